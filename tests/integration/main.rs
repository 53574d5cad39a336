//! What is promised, as one binary: every extra one links the world again.

#[cfg(feature = "sandbox")]
mod azure_auth;
#[cfg(feature = "sandbox")]
mod azure_cloud;
#[cfg(feature = "sandbox")]
mod azure_dns;
#[cfg(feature = "sandbox")]
mod azure_network;
#[cfg(feature = "sandbox")]
mod cloudflare;
#[cfg(feature = "sandbox")]
mod sandbox_azure;
#[cfg(feature = "sandbox")]
mod sandbox_cloudflare;
#[cfg(feature = "sandbox")]
mod sandbox_dns;
mod transport;
