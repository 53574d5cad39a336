//! The sandbox's Azure, asked over HTTPS as any client asks: what it gives, what it refuses and in which words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test takes for granted may break it"
)]

mod by_hand;
pub(crate) mod client;
mod control;
mod faults;
pub(crate) mod gateway;
mod identity;
mod interface;
mod load_balancer;
mod network;
mod port_mapping;
mod public_ip;
mod record_set;
mod rights;
mod security_group;
