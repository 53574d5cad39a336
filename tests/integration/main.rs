//! What is promised, as one binary: every extra one links the world again.

#[cfg(feature = "sandbox")]
mod azure_auth;
#[cfg(feature = "sandbox")]
mod azure_cloud;
#[cfg(feature = "sandbox")]
mod azure_dns;
#[cfg(feature = "sandbox")]
mod azure_network;
mod cloudflare;
mod sandbox_azure;
mod sandbox_cloudflare;
mod sandbox_dns;
mod transport;
