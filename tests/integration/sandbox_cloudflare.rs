//! The sandbox's Cloudflare keeps the rules of the real one: asked over real TLS, without any of the product's code.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test speaks by panicking, in its helping functions too"
)]
#![allow(
    clippy::field_reassign_with_default,
    reason = "`Options` may grow, so it has no literal outside its crate"
)]

mod batch;
pub(crate) mod client;
mod list;
mod record;
mod token;
