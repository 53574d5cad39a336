//! Providers behind patience: one that failed is left alone for a while, and tried again apart from the rounds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::pace::Chance;
use super::patience::{Away, Errand, Outage, Patience, locked};
use super::writing::Writing;
use crate::model::endpoint::{Endpoint, Handle, PublicIp};
use crate::model::plan::{GatewayChange, NetworkChange, RecordChange};
use crate::model::record::{Owner, RecordSet};
use crate::model::resource_id::ResourceId;
use crate::model::state::{EndpointState, Seen, Zone};
use crate::provider::{
    Ahead, BEING_WRITTEN, DnsProvider, Error, Found, Kind, Look, Mapping, NetworkProvider,
};
use crate::reconcile::Newest;

/// The patience with every account, which outlives the secrets that are read anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Patiences {
    /// What is left alone at present.
    pub(super) away: Arc<Away>,
    /// What spreads the waits of whoever is met for the first time.
    pub(super) chance: Chance,
    of: BTreeMap<String, Arc<Patience>>,
    writing: BTreeMap<Handle, Arc<Writing>>,
    /// What is known of the endpoints, by old secrets or new.
    pub(super) newest: Arc<Newest>,
}

impl Patiences {
    /// The same, for providers with new secrets. See [`Patience::renew`].
    #[must_use]
    pub(super) fn renewed(&self) -> Self {
        self.of.values().for_each(|patience| patience.renew());
        self.clone()
    }

    /// See [`Patience::hurry`].
    pub(super) fn hurry(&self) {
        self.of.values().for_each(|patience| patience.hurry());
    }

    /// How long it takes to look at an endpoint: the slowest of them, as it was last.
    pub(super) fn network_takes(&self) -> Duration {
        self.of.get(NETWORK).map_or(Duration::ZERO, |patience| patience.takes())
    }

    fn with(&mut self, account: &str) -> Arc<Patience> {
        let new = || Patience::with(account, Arc::clone(&self.away), self.chance.clone());
        Arc::clone(self.of.entry(account.to_owned()).or_insert_with(new))
    }
}

/// An account that is left alone while it is down.
#[derive(Debug)]
pub(super) struct PatientDns {
    inner: Arc<dyn DnsProvider>,
    patience: Arc<Patience>,
    writing: Arc<Writing>,
    listed: Mutex<Listed>,
}

/// The zones as they were last read.
#[derive(Debug, Default)]
struct Listed {
    /// When; `None` while they are to be read anew.
    at: Option<Instant>,
    zones: Vec<Zone>,
}

impl PatientDns {
    /// Puts the patience that is had with its account before `inner`.
    #[must_use]
    pub(super) fn new(inner: Arc<dyn DnsProvider>, all: &mut Patiences) -> Self {
        let patience = all.with(inner.account().as_str());
        let writing = Arc::clone(all.writing.entry(inner.account().clone()).or_default());
        Self { inner, patience, writing, listed: Mutex::default() }
    }
}

#[async_trait]
impl DnsProvider for PatientDns {
    fn account(&self) -> &Handle {
        self.inner.account()
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        if locked(&self.listed).at.is_some_and(|at| at.elapsed() >= LISTED_FOR) {
            self.forget_zones();
        }
        let read = self.patience.read(Zones(Arc::clone(&self.inner))).await;
        let mut listed = locked(&self.listed);
        match read {
            Ok(zones) => {
                listed.at.get_or_insert_with(Instant::now);
                listed.zones.clone_from(&zones);
                Ok(zones)
            }
            // What served until now serves on: the records may well be in reach while their list is not.
            Err(_) if listed.at.is_none() && !listed.zones.is_empty() => Ok(listed.zones.clone()),
            Err(error) => Err(error),
        }
    }

    fn forget_zones(&self) {
        locked(&self.listed).at = None;
        self.inner.forget_zones();
    }

    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error> {
        self.inner.listed_servers(zone).await
    }

    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error> {
        let errand = InZone { of: Arc::clone(&self.inner), zone: zone.clone(), look: look.clone() };
        let began = Instant::now();
        let mut found = self.patience.read(errand).await;
        if let Ok(found) = &mut found {
            for name in self.writing.since(began) {
                if look.names.contains(&name) || found.contains_key(&name) {
                    found.insert(name, Seen::Unknown(BEING_WRITTEN.to_owned()));
                }
            }
        }
        // There is no such zone, or no such id: it was deleted, and may stand under another id again.
        if found.as_ref().is_err_and(|error| matches!(error.kind(), Kind::Missing | Kind::Rejected)) {
            self.forget_zones();
        }
        found
    }

    async fn apply(
        &self,
        zone: &Zone,
        owner: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>> {
        let _until_answered = self.writing.begin(changes.iter().map(|change| &change.key.name));
        self.inner.apply(zone, owner, changes).await
    }
}

/// Reads the list of zones, which stands under the empty id.
struct Zones(Arc<dyn DnsProvider>);

#[async_trait]
impl Errand for Zones {
    type Answer = Result<Vec<Zone>, Error>;

    fn place(&self) -> String {
        String::new()
    }

    async fn ask(&self) -> Self::Answer {
        self.0.zones().await
    }

    fn late(&self, limit: Duration) -> Self::Answer {
        Err(late(self.0.account(), limit))
    }

    fn left_alone(&self, reason: &str) -> Self::Answer {
        Err(unasked(self.0.account(), reason))
    }

    fn outage(answer: &Self::Answer) -> Option<Outage> {
        outage(answer.as_ref().err()?)
    }
}

/// Looks into one zone.
struct InZone {
    of: Arc<dyn DnsProvider>,
    zone: Zone,
    look: Look,
}

#[async_trait]
impl Errand for InZone {
    type Answer = Result<Found, Error>;

    fn place(&self) -> String {
        self.zone.id.clone()
    }

    async fn ask(&self) -> Self::Answer {
        self.of.observe(&self.zone, &self.look).await
    }

    fn late(&self, limit: Duration) -> Self::Answer {
        Err(late(self.of.account(), limit))
    }

    fn left_alone(&self, reason: &str) -> Self::Answer {
        Err(unasked(self.of.account(), reason))
    }

    fn outage(answer: &Self::Answer) -> Option<Outage> {
        outage(answer.as_ref().err()?)
    }
}

/// The endpoints' account, left alone while it is down: each endpoint for itself.
#[derive(Debug)]
pub(super) struct PatientNetwork {
    inner: Arc<dyn NetworkProvider>,
    patience: Arc<Patience>,
}

impl PatientNetwork {
    /// Puts the patience that is had with the endpoints before `inner`.
    #[must_use]
    pub(super) fn new(inner: Arc<dyn NetworkProvider>, all: &mut Patiences) -> Self {
        Self { inner, patience: all.with(NETWORK) }
    }
}

#[async_trait]
impl NetworkProvider for PatientNetwork {
    async fn look(&self, endpoint: &Endpoint, ahead: &Ahead) -> (EndpointState, Option<Error>) {
        let (of, endpoint, ahead) = (Arc::clone(&self.inner), endpoint.clone(), ahead.clone());
        self.patience.read(AtEndpoint { of, endpoint, ahead }).await
    }

    async fn apply(&self, owner: &Owner, change: &NetworkChange) -> Result<Option<PublicIp>, Error> {
        self.inner.apply(owner, change).await
    }

    async fn build(&self, owner: &Owner, change: &GatewayChange) -> Result<(), Error> {
        self.inner.build(owner, change).await
    }

    async fn mapping(
        &self,
        pool: &ResourceId,
        machine: &ResourceId,
        rule: &str,
    ) -> Result<Option<Mapping>, Error> {
        self.inner.mapping(pool, machine, rule).await
    }
}

/// Looks at one endpoint.
struct AtEndpoint {
    of: Arc<dyn NetworkProvider>,
    endpoint: Endpoint,
    ahead: Ahead,
}

#[async_trait]
impl Errand for AtEndpoint {
    type Answer = (EndpointState, Option<Error>);

    // The operator may have called a DNS account `endpoints` too, and no zone has such an id.
    fn place(&self) -> String {
        format!("/{}", self.endpoint.name)
    }

    async fn ask(&self) -> Self::Answer {
        self.of.look(&self.endpoint, &self.ahead).await
    }

    fn late(&self, limit: Duration) -> Self::Answer {
        let late = late(&self.endpoint.name, limit);
        (self.left_alone(&late.chain()).0, Some(late))
    }

    fn left_alone(&self, reason: &str) -> Self::Answer {
        (EndpointState::unknown(&self.endpoint, reason), None)
    }

    fn outage((_, error): &Self::Answer) -> Option<Outage> {
        let outage = outage(error.as_ref()?)?;
        // What is unknown has its reason whole.
        Some(Outage { reason: outage.told.clone(), ..outage })
    }
}

/// What `error` says of whoever was asked, rather than of what was asked.
fn outage(error: &Error) -> Option<Outage> {
    let kind = error.kind();
    let asked = match kind {
        Kind::Throttled(delay) => Some(delay),
        Kind::Unreachable | Kind::Denied => None,
        Kind::Missing | Kind::Stale | Kind::Rejected | Kind::Unconfirmed => return None,
    };
    Some(Outage { reason: error.causes(), told: error.chain(), denied: kind == Kind::Denied, asked })
}

fn unasked(account: &Handle, reason: &str) -> Error {
    Error::new(Kind::Unreachable, "ask", account.as_str()).because(reason.to_owned()).remedy(AGAIN)
}

fn late(whose: &Handle, limit: Duration) -> Error {
    Error::new(Kind::Unreachable, "read", whose.as_str())
        .because(format!("no answer within {:.0} s", limit.as_secs_f64()))
        .remedy(AGAIN)
}

/// The endpoints' account, among the DNS accounts, whose names the operator chooses.
const NETWORK: &str = "endpoints";
/// How long a list of zones serves: one that was deleted and made again may keep its id, and has other name servers.
const LISTED_FOR: Duration = Duration::from_secs(3600);
const AGAIN: &str = "it is asked again by itself, after a while";

#[cfg(test)]
pub(super) mod tests;
