//! What is promised, as one binary: every extra one links the world again.

#[cfg(feature = "sandbox")]
mod sandbox_azure;
#[cfg(feature = "sandbox")]
mod sandbox_cloudflare;
#[cfg(feature = "sandbox")]
mod sandbox_dns;
