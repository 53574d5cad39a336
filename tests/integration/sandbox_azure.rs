//! The sandbox's Azure, asked over HTTPS as any client asks: what it gives, what it refuses and in which words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test takes for granted may break it"
)]

mod client;
mod control;
mod faults;
mod identity;
mod network;
mod public_ip;
mod record_set;
