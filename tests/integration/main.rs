//! What is promised, as one binary: every extra one links the world again.

mod cloudflare;
mod sandbox_azure;
mod sandbox_cloudflare;
mod sandbox_dns;
mod transport;
