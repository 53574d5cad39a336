//! The sandbox's Azure, asked over HTTPS as any client asks: what it gives, what it refuses and in which words.

mod client;
mod control;
mod faults;
mod identity;
mod network;
mod public_ip;
mod record_set;
