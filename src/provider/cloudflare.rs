//! Cloudflare DNS.
