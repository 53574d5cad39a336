//! A provider that failed is left alone for a while, and tried again apart from the rounds.
//!
//! A round reads everything before it decides anything, so one provider that hangs would hold all others. Behind this,
//! a read that was answered slowly or not at all costs one round a bounded wait, once: from then on rounds are told at
//! once that nothing is known there, and freeze what depends on it, until a read in the background succeeds and
//! [`Away::back`] rings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::pace::rest;
use crate::model::endpoint::{Endpoint, Handle, PublicIp};
use crate::model::gateway::GatewayState;
use crate::model::plan::{GatewayChange, NetworkChange, RecordChange};
use crate::model::record::{Owner, RecordSet};
use crate::model::resource_id::ResourceId;
use crate::model::state::{EndpointState, Seen, Zone};
use crate::provider::{DnsProvider, Error, Found, Kind, Look, Mapping, NetworkProvider};

/// What is left alone at present, and a bell for its return.
#[derive(Debug, Default)]
pub(super) struct Away {
    ring: Notify,
    absent: Mutex<BTreeMap<String, Absence>>,
}

/// See [`Away::absences`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Absence {
    /// The account; `endpoints` stands for the endpoints' own.
    pub(super) account: String,
    /// When it is tried next.
    pub(super) until: Instant,
    /// Why.
    pub(super) reason: String,
    /// How often it failed in a row.
    pub(super) failures: u32,
    /// Whether it was refused rather than not reached. An endpoint's failure does not say.
    pub(super) denied: bool,
}

impl Away {
    /// Waits until something that was away has answered.
    pub(super) async fn back(&self) {
        self.ring.notified().await;
    }

    /// What is away, an entry for each account: of several parts of one, that which failed most.
    #[must_use]
    pub(super) fn absences(&self) -> Vec<Absence> {
        let mut worst: BTreeMap<String, Absence> = BTreeMap::new();
        for absence in locked(&self.absent).values() {
            let known = worst.entry(absence.account.clone()).or_insert_with(|| absence.clone());
            if absence.failures > known.failures {
                *known = absence.clone();
            }
        }
        worst.into_values().collect()
    }

    /// Whether a credential was not accepted, as far as that can be told.
    pub(super) fn is_denied(&self) -> bool {
        locked(&self.absent).values().any(|absence| absence.denied)
    }

    fn note(&self, place: &str, absence: Option<Absence>) {
        let mut absent = locked(&self.absent);
        match absence {
            Some(absence) => absent.insert(place.to_owned(), absence),
            None => absent.remove(place),
        };
    }
}

/// Everything that is known of one place that is read: a list of zones, one zone, one endpoint.
#[derive(Debug, Default)]
struct Place {
    /// How long the last good answer took.
    took: Option<Duration>,
    failures: u32,
    /// Why it is left alone; `None` while it answers.
    reason: Option<String>,
    /// The reads in the background.
    retry: Option<AbortHandle>,
}

impl Place {
    fn answered(&mut self, took: Duration) {
        (self.reason, self.failures, self.took) = (None, 0, Some(took));
    }

    /// How long a round waits for an answer.
    fn limit(&self) -> Duration {
        self.took.map_or(FIRST_LIMIT, |took| (took * 4).clamp(LEAST_LIMIT, MOST_LIMIT))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(retry) = &self.retry {
            retry.abort();
        }
    }
}

/// An account that is left alone while it is down.
#[derive(Debug)]
pub(super) struct PatientDns {
    inner: Arc<dyn DnsProvider>,
    away: Arc<Away>,
    /// The list of zones stands under the empty id.
    places: Mutex<BTreeMap<String, Place>>,
    me: Weak<Self>,
}

/// What a read in the background repeats.
#[derive(Clone)]
enum Read {
    Zones,
    Zone(Zone, Look),
}

impl PatientDns {
    /// Puts patience before `inner`.
    #[must_use]
    pub(super) fn new(inner: Arc<dyn DnsProvider>, away: Arc<Away>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self { inner, away, places: Mutex::default(), me: me.clone() })
    }

    async fn read<T>(&self, read: &Read, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let place = read.place();
        let limit = {
            let mut places = locked(&self.places);
            let known = places.entry(place.clone()).or_default();
            if let Some(reason) = &known.reason {
                let error = Error::new(Kind::Unreachable, "ask", self.inner.account().as_str());
                return Err(error.because(reason.clone()).remedy(AGAIN));
            }
            known.limit()
        };
        let began = Instant::now();
        let outcome = match timeout(limit, answer).await {
            Ok(outcome) => outcome,
            Err(_) => Err(late(self.inner.account(), limit)),
        };
        match &outcome {
            Ok(_) => self.well(&place, began.elapsed()),
            Err(error) if is_outage(error.kind()) => self.ill(read, error),
            Err(_) => {}
        }
        outcome
    }

    fn well(&self, place: &str, took: Duration) {
        let mut places = locked(&self.places);
        places.entry(place.to_owned()).or_default().answered(took);
        self.away.note(&self.whole(place), None);
    }

    /// Leaves the place alone, and tries it in the background until it answers.
    fn ill(&self, read: &Read, error: &Error) {
        let place = read.place();
        let mut places = locked(&self.places);
        let known = places.entry(place.clone()).or_default();
        let again = self.leave_alone(&place, known, error);
        if known.retry.as_ref().is_some_and(|retry| !retry.is_finished()) {
            return;
        }
        let (me, read) = (self.me.clone(), read.clone());
        known.retry = Some(tokio::spawn(retry(me, read, again)).abort_handle());
    }

    fn leave_alone(&self, place: &str, known: &mut Place, error: &Error) -> Duration {
        known.failures = known.failures.saturating_add(1);
        known.reason = Some(error.causes());
        let again = again_after(known.failures, error.kind());
        let absence = Absence {
            account: self.inner.account().to_string(),
            until: Instant::now() + again,
            reason: error.chain(),
            failures: known.failures,
            denied: error.kind() == Kind::Denied,
        };
        self.away.note(&self.whole(place), Some(absence));
        again
    }

    fn whole(&self, place: &str) -> String {
        format!("{}/{place}", self.inner.account())
    }
}

/// Reads again until there is an answer, whoever waits for it.
async fn retry(patient: Weak<PatientDns>, read: Read, mut again: Duration) {
    loop {
        sleep(again).await;
        let Some(patient) = patient.upgrade() else { return };
        let began = Instant::now();
        let answer = async {
            match &read {
                Read::Zones => patient.inner.zones().await.map(drop),
                Read::Zone(zone, look) => patient.inner.observe(zone, look).await.map(drop),
            }
        };
        let outcome = timeout(MOST_LIMIT, answer).await;
        let outcome = outcome.unwrap_or_else(|_| Err(late(patient.inner.account(), MOST_LIMIT)));
        match outcome {
            Err(error) if is_outage(error.kind()) => {
                let place = read.place();
                let mut places = locked(&patient.places);
                again = patient.leave_alone(&place, places.entry(place.clone()).or_default(), &error);
            }
            // Any other refusal is an answer, which a round tells better.
            _ => {
                let took = began.elapsed();
                let mut places = locked(&patient.places);
                let known = places.entry(read.place()).or_default();
                known.answered(took);
                drop(places);
                patient.away.note(&patient.whole(&read.place()), None);
                patient.away.ring.notify_one();
                return;
            }
        }
    }
}

#[async_trait]
impl DnsProvider for PatientDns {
    fn account(&self) -> &Handle {
        self.inner.account()
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        self.read(&Read::Zones, self.inner.zones()).await
    }

    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error> {
        self.read(&Read::Zone(zone.clone(), look.clone()), self.inner.observe(zone, look)).await
    }

    async fn apply(
        &self,
        zone: &Zone,
        owner: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>> {
        self.inner.apply(zone, owner, changes).await
    }
}

impl Read {
    fn place(&self) -> String {
        match self {
            Self::Zones => String::new(),
            Self::Zone(zone, _) => zone.id.clone(),
        }
    }
}

/// The endpoints' account, left alone while it is down: each endpoint for itself.
#[derive(Debug)]
pub(super) struct PatientNetwork {
    inner: Arc<dyn NetworkProvider>,
    away: Arc<Away>,
    places: Mutex<BTreeMap<Handle, Place>>,
    me: Weak<Self>,
}

impl PatientNetwork {
    /// Puts patience before `inner`.
    #[must_use]
    pub(super) fn new(inner: Arc<dyn NetworkProvider>, away: Arc<Away>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self { inner, away, places: Mutex::default(), me: me.clone() })
    }

    fn leave_alone(&self, endpoint: &Handle, known: &mut Place, reason: &str) -> Duration {
        known.failures = known.failures.saturating_add(1);
        known.reason = Some(reason.to_owned());
        let again = rest(known.failures, None, chance());
        let absence = Absence {
            account: NETWORK.to_owned(),
            until: Instant::now() + again,
            reason: reason.to_owned(),
            failures: known.failures,
            denied: true,
        };
        self.away.note(&format!("{NETWORK}//{endpoint}"), Some(absence));
        again
    }
}

async fn retry_endpoint(patient: Weak<PatientNetwork>, endpoint: Endpoint, mut again: Duration) {
    loop {
        sleep(again).await;
        let Some(patient) = patient.upgrade() else { return };
        let began = Instant::now();
        let answer = timeout(MOST_LIMIT, patient.inner.observe(&endpoint)).await;
        let state = answer.unwrap_or_else(|_| unread(&endpoint, late(&endpoint.name, MOST_LIMIT).chain()));
        let mut places = locked(&patient.places);
        let known = places.entry(endpoint.name.clone()).or_default();
        if let Seen::Unknown(reason) = &state.public_ip {
            again = patient.leave_alone(&endpoint.name, known, reason);
        } else {
            known.answered(began.elapsed());
            drop(places);
            patient.away.note(&format!("{NETWORK}//{}", endpoint.name), None);
            patient.away.ring.notify_one();
            return;
        }
    }
}

#[async_trait]
impl NetworkProvider for PatientNetwork {
    async fn observe(&self, endpoint: &Endpoint) -> EndpointState {
        let limit = {
            let mut places = locked(&self.places);
            let known = places.entry(endpoint.name.clone()).or_default();
            if let Some(reason) = &known.reason {
                return unread(endpoint, reason.clone());
            }
            known.limit()
        };
        let began = Instant::now();
        let answer = timeout(limit, self.inner.observe(endpoint)).await;
        let state = answer.unwrap_or_else(|_| unread(endpoint, late(&endpoint.name, limit).chain()));
        let mut places = locked(&self.places);
        let known = places.entry(endpoint.name.clone()).or_default();
        if let Seen::Unknown(reason) = &state.public_ip {
            let again = self.leave_alone(&endpoint.name, known, reason);
            if known.retry.as_ref().is_none_or(AbortHandle::is_finished) {
                let task = retry_endpoint(self.me.clone(), endpoint.clone(), again);
                known.retry = Some(tokio::spawn(task).abort_handle());
            }
        } else {
            known.answered(began.elapsed());
            self.away.note(&format!("{NETWORK}//{}", endpoint.name), None);
        }
        state
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

/// Whether an error says that nobody is there, or that nobody may come in, rather than anything of what was asked.
fn is_outage(kind: Kind) -> bool {
    matches!(kind, Kind::Unreachable | Kind::Throttled(_) | Kind::Denied)
}

/// Nothing is known of the endpoint, for this reason.
fn unread(endpoint: &Endpoint, reason: String) -> EndpointState {
    let gateway = endpoint.gateway.as_ref().map(|_| GatewayState {
        load_balancer: Seen::Unknown(reason.clone()),
        interfaces: BTreeMap::new(),
        subnets: BTreeMap::new(),
        groups: BTreeMap::new(),
        others: BTreeMap::new(),
    });
    EndpointState { public_ip: Seen::Unknown(reason.clone()), label: Seen::Unknown(reason), gateway }
}

fn again_after(failures: u32, kind: Kind) -> Duration {
    let asked = match kind {
        Kind::Throttled(delay) => Some(delay),
        _ => None,
    };
    rest(failures, asked, chance())
}

fn late(account: &Handle, limit: Duration) -> Error {
    let resource = account.as_str().to_owned();
    Error::new(Kind::Unreachable, "read", resource)
        .because(format!("no answer within {:.0} s", limit.as_secs_f64()))
        .remedy(AGAIN)
}

fn chance() -> f64 {
    rand::rng().random()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The endpoints' account, among the DNS accounts, whose names the operator chooses.
const NETWORK: &str = "endpoints";
const AGAIN: &str = "it is asked again by itself, after a while";
/// Before anything is known of how long it takes.
const FIRST_LIMIT: Duration = Duration::from_secs(15);
const LEAST_LIMIT: Duration = Duration::from_secs(5);
const MOST_LIMIT: Duration = Duration::from_secs(120);
