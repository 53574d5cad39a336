//! The sandbox's Cloudflare keeps the rules of the real one: asked over real TLS, without any of the product's code.

mod batch;
pub(crate) mod client;
mod list;
mod record;
mod token;
