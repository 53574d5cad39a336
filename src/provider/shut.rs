//! What nobody can be let into, say because its secret cannot be read. The work goes on without it, and it is told of
//! like one whose secret is not accepted.

use async_trait::async_trait;

use super::{Ahead, DnsProvider, Error, Found, Kind, Look, Mapping, NetworkProvider};
use crate::model::endpoint::{Endpoint, Handle, PublicIp};
use crate::model::plan::{GatewayChange, NetworkChange, RecordChange};
use crate::model::record::{Owner, RecordSet};
use crate::model::resource_id::ResourceId;
use crate::model::state::{EndpointState, Zone};

/// Stands in for an account at a DNS provider: asks nobody, changes nothing, and says why.
#[derive(Debug)]
pub struct ShutDns {
    account: Handle,
    reason: String,
}

impl ShutDns {
    /// Stands in for `account`, which is shut for `reason`.
    #[must_use]
    pub fn new(account: Handle, reason: String) -> Self {
        Self { account, reason }
    }

    fn denied(&self) -> Error {
        denied("ask", self.account.as_str(), &self.reason)
    }
}

#[async_trait]
impl DnsProvider for ShutDns {
    fn account(&self) -> &Handle {
        &self.account
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        Err(self.denied())
    }

    fn forget_zones(&self) {}

    async fn listed_servers(&self, _zone: &Zone) -> Result<Vec<String>, Error> {
        Err(self.denied())
    }

    async fn observe(&self, _zone: &Zone, _look: &Look) -> Result<Found, Error> {
        Err(self.denied())
    }

    async fn apply(
        &self,
        _zone: &Zone,
        _owner: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>> {
        changes.iter().map(|_| Err(self.denied())).collect()
    }
}

/// Stands in for the account that holds endpoints' resources, as [`ShutDns`] does for one at a DNS provider.
#[derive(Debug)]
pub struct ShutNetwork {
    reason: String,
}

impl ShutNetwork {
    /// Stands in for an account that is shut for `reason`.
    #[must_use]
    pub fn new(reason: String) -> Self {
        Self { reason }
    }
}

#[async_trait]
impl NetworkProvider for ShutNetwork {
    async fn look(&self, endpoint: &Endpoint, _ahead: &Ahead) -> (EndpointState, Option<Error>) {
        let error = denied("read", endpoint.name.as_str(), &self.reason);
        (EndpointState::unknown(endpoint, &error.chain()), Some(error))
    }

    async fn apply(&self, _owner: &Owner, _change: &NetworkChange) -> Result<Option<PublicIp>, Error> {
        Err(denied("change", "a public IP", &self.reason))
    }

    async fn build(&self, _owner: &Owner, _change: &GatewayChange) -> Result<(), Error> {
        Err(denied("change", "a gateway", &self.reason))
    }

    async fn mapping(
        &self,
        pool: &ResourceId,
        _machine: &ResourceId,
        _rule: &str,
    ) -> Result<Option<Mapping>, Error> {
        Err(denied("read", pool.name(), &self.reason))
    }
}

fn denied(operation: &'static str, what: &str, reason: &str) -> Error {
    Error::new(Kind::Denied, operation, what)
        .because(reason.to_owned())
        .remedy("put it right: it is read again by itself, after a while")
}
