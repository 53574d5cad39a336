//! The sandbox's name servers answer as the RFCs and the providers say: asked over real sockets.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test speaks by panicking, in its helping functions too"
)]
#![allow(
    clippy::field_reassign_with_default,
    reason = "`Options` may grow, so it has no literal outside its crate"
)]

mod authoritative;
mod azure;
mod faults;
pub(crate) mod question;
mod recursive;
