//! What is promised, as one binary: every extra one links the world again.

mod azure_auth;
mod azure_cloud;
mod azure_dns;
mod azure_network;
mod sandbox_cloudflare;
mod sandbox_dns;
