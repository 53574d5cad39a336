//! One endpoint as wanted and as held: the public IP and its DNS label.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gateway::Gateway;
use super::name::{DnsLabel, Fqdn};
use super::record::{Owner, Version};

/// A short name of the operator's own for an endpoint or an account: `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

impl Handle {
    /// Parses a handle.
    ///
    /// # Errors
    /// The rule, in words.
    pub fn parse(text: &str) -> Result<Self, HandleError> {
        let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let fits = (1..=63).contains(&text.len())
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && text.bytes().all(inside);
        if fits { Ok(Self(text.to_owned())) } else { Err(HandleError(text.to_owned())) }
    }

    /// The handle's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not a handle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a name: 1 to 63 letters, digits, dots, underscores and hyphens, beginning with a letter or digit"
)]
pub struct HandleError(String);

impl FromStr for Handle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Handle {
    type Error = HandleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How Azure assigns the address (`publicIPAllocationMethod`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// Assigned at creation, released at deletion. All that Azure still sells.
    #[default]
    Static,
    /// Comes and goes with the machine behind it. Basic SKU only, so only ever adopted.
    Dynamic,
}

/// Who may claim the label's name again (`domainNameLabelScope`): the defence against takeover.
///
/// Azure inserts a hash of the scope into the name, so another scope can never rebuild it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelScope {
    /// The same tenant gets the same hash.
    TenantReuse,
    /// The same subscription gets the same hash.
    SubscriptionReuse,
    /// The same resource group gets the same hash.
    ResourceGroupReuse,
    /// A new hash every time.
    NoReuse,
}

/// A public IP as the configuration wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIpSpec {
    /// Its resource group.
    pub resource_group: String,
    /// Its name in that group.
    pub name: String,
    /// Its region, as in `westeurope`.
    pub location: String,
    /// Its DNS label.
    pub label: DnsLabel,
    /// The label's scope, settable only at creation.
    pub label_scope: Option<LabelScope>,
    /// How its address is assigned.
    pub allocation: Allocation,
    /// Availability zones, settable only at creation; empty leaves it to the region.
    pub zones: Vec<String>,
}

#[cfg(test)]
impl PublicIpSpec {
    /// One of which nothing matters.
    pub(crate) fn any() -> Self {
        Self {
            resource_group: "rg".into(),
            name: "pip".into(),
            location: "westeurope".into(),
            label: DnsLabel::parse("contoso").unwrap(),
            label_scope: None,
            allocation: Allocation::Static,
            zones: Vec::new(),
        }
    }
}

/// A public IP as Azure holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIp {
    /// Its resource id.
    pub id: String,
    /// Azure's id of this very resource (`resourceGuid`): one that is made anew under the same name has another.
    #[serde(default)]
    pub guid: Option<String>,
    /// Its region.
    pub location: String,
    /// `sku.name`, such as `Standard`; absent means Basic.
    pub sku: String,
    /// How its address is assigned.
    pub allocation: Allocation,
    /// Its label, if it has one.
    pub label: Option<DnsLabel>,
    /// Its label's scope, if it has one.
    pub label_scope: Option<LabelScope>,
    /// `dnsSettings.fqdn`, the only true name of the label.
    pub fqdn: Option<Fqdn>,
    /// Its address; absent is the normal state "released".
    pub address: Option<IpAddr>,
    /// Whether Azure says that its last operation did not succeed, in Azure's words.
    pub provisioning: Provisioning,
    /// The resource whose front it is, if any.
    pub attached_to: Option<String>,
    /// Whose it is: set when we created it, `None` when we found it.
    pub mark: Option<Owner>,
    /// Its etag.
    pub version: Version,
}

impl PublicIp {
    /// Whether this is `planned` in all that a plan for it stands on: its mark and its name. The version tells less,
    /// since Azure renews it also when a load balancer begins or ceases to use the address.
    #[must_use]
    pub fn is_still(&self, planned: &Self) -> bool {
        let stands_on = |ip: &Self| (ip.mark.clone(), ip.label.clone(), ip.label_scope, ip.fqdn.clone());
        stands_on(self) == stands_on(planned)
    }
}

/// Whether both name one region. Azure writes `westeurope` and `West Europe`.
#[must_use]
pub fn same_region(one: &str, other: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
    };
    plain(one) == plain(other)
}

/// `provisioningState`, as far as it changes what we do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provisioning {
    /// At rest; absent in the answer counts as this.
    #[default]
    Succeeded,
    /// An operation is under way: a write now would be refused or superseded.
    Busy,
    /// The last operation failed; a PUT of the same resource repairs it.
    Failed,
}

/// What Azure says of a label that nobody of ours holds yet. Advisory: another tenant may be quicker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Availability {
    /// Free in the region.
    Free,
    /// Held or reserved by somebody.
    Taken,
}

/// What is wanted of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The operator's name for it.
    pub name: Handle,
    /// Its public IP.
    pub public_ip: PublicIpSpec,
    /// What stands behind it, if anything shall.
    pub gateway: Option<Gateway>,
    /// What we may do to it.
    pub intent: Intent,
}

/// What may be done to an endpoint's resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Create what is missing, keep the rest as configured (`manage = true`).
    Hold,
    /// Look only (`manage = false`).
    Watch,
    /// Take down what we made, after every name has been withdrawn.
    Remove,
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        })
    }
}

impl fmt::Display for LabelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TenantReuse => "tenant-reuse",
            Self::SubscriptionReuse => "subscription-reuse",
            Self::ResourceGroupReuse => "resource-group-reuse",
            Self::NoReuse => "no-reuse",
        })
    }
}
