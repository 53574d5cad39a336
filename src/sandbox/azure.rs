//! Azure: Entra's token endpoint, Resource Manager, the network resource provider, compute, and Azure DNS.

pub(crate) mod authority;

use std::net::IpAddr;

use super::exchange::{Request, Response};
use super::world::World;

/// Azure's state.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {}

impl State {
    /// The seeded subscription.
    pub(crate) fn seeded() -> Self {
        Self {}
    }

    /// The next accepted write's operation ends so.
    pub(crate) fn fail_next_operation(&mut self, _code: &str, _message: &str, _details: &[(String, String)]) {}

    /// Forgets [`State::fail_next_operation`].
    pub(crate) fn forget_failure(&mut self) {}
}

/// Lets everything happen that is due by now.
pub(crate) fn settle(_world: &mut World) {}

/// Answers one request to Resource Manager.
pub(crate) fn handle(_world: &mut World, _request: &Request) -> Response {
    Response::empty(404)
}

/// What an Azure DNS server says of one record set of a name, in presentation format (RFC 1035, 5.1): `values` are
/// RDATA texts such as `10 mail.example.com.`, `"some text"` or `203.0.113.7`; names in them are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// `A`, `CNAME`, `SOA`, …
    pub(crate) kind: String,
    /// Seconds.
    pub(crate) ttl: u32,
    /// One text a record. Never empty: an alias set whose target is gone is not served at all.
    pub(crate) values: Vec<String>,
}

/// The apex names of all zones that Azure DNS serves, lower case, without the trailing dot.
pub(crate) fn zones(_world: &World) -> Vec<String> {
    Vec::new()
}

/// Everything that `zone` serves at `name` (both lower case, no trailing dot), wildcards not expanded.
/// `None` when neither the name nor anything below it exists: NXDOMAIN. Empty: NODATA.
pub(crate) fn served(_world: &World, _zone: &str, _name: &str) -> Option<Vec<Served>> {
    None
}

/// What the label zone's server says of a name such as `contoso-jump.westeurope.cloudapp.azure.com` (lower case, no
/// trailing dot): `None` when nobody holds that label, `Some(None)` when it has no address at present. TTL is 10.
#[expect(clippy::option_option, reason = "held without an address is a state of its own")]
pub(crate) fn label_address(_world: &World, _fqdn: &str) -> Option<Option<IpAddr>> {
    None
}

/// The suffix of the label zones; the region stands before it.
pub(crate) const LABEL_SUFFIX: &str = "cloudapp.azure.com";
