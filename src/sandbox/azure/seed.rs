//! What exists when a sandbox starts.

/// The tenant of the seeded principals.
pub(crate) const TENANT: &str = "7e9a4700-0000-4000-8000-00000000c0de";
/// The subscription.
pub(crate) const SUBSCRIPTION: &str = "5ab5c200-0000-4000-8000-00000000c0de";
/// A principal that may do everything.
pub(crate) const WRITER: &str = "c11e4700-0000-4000-8000-000000000001";
/// Its secret.
pub(crate) const WRITER_SECRET: &str = "sandbox~writer~secret";
/// A principal that may only read.
pub(crate) const READER: &str = "c11e4700-0000-4000-8000-000000000002";
/// Its secret.
pub(crate) const READER_SECRET: &str = "sandbox~reader~secret";
/// The group of the virtual machine and of the public IP to come.
pub(crate) const NETWORK_GROUP: &str = "rg-mgmt";
/// The group of the DNS zone.
pub(crate) const DNS_GROUP: &str = "rg-dns";
/// Where everything is.
pub(crate) const LOCATION: &str = "westeurope";
/// The zone that both providers hold.
pub(crate) const ZONE: &str = "example.com";
/// The management VM.
pub(crate) const VM: &str = "vm-jump";
/// Its network interface.
pub(crate) const NIC: &str = "vm-jump-nic";
