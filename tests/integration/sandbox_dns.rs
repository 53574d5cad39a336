//! The sandbox's name servers answer as the RFCs and the providers say: asked over real sockets.

mod authoritative;
mod faults;
mod question;
mod recursive;
