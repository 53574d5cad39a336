//! What exists when a sandbox starts.

use serde::Serialize;

/// Who can sign in to every sandbox, and where.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct AzureIdentity {
    /// The tenant's id.
    pub tenant: &'static str,
    /// The subscription's id.
    pub subscription: &'static str,
    /// A principal that may do everything.
    pub client_id: &'static str,
    /// Its secret.
    pub client_secret: &'static str,
    /// A principal that may only read.
    pub reader_client_id: &'static str,
    /// Its secret.
    pub reader_client_secret: &'static str,
}

/// See [`AzureIdentity`].
pub const AZURE_IDENTITY: AzureIdentity = AzureIdentity {
    tenant: TENANT,
    subscription: SUBSCRIPTION,
    client_id: WRITER,
    client_secret: WRITER_SECRET,
    reader_client_id: READER,
    reader_client_secret: READER_SECRET,
};

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
/// The Log Analytics workspace that machines report to.
pub(crate) const WORKSPACE: &str = "law-mgmt";
/// Its customer id.
pub(crate) const WORKSPACE_ID: &str = "1a61c500-0000-4000-8000-00000000c0de";
