//! Look at everything at once, writing nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::join_all;
use futures::stream::{self, BoxStream, FuturesUnordered, SelectAll, StreamExt};
use tokio::time::{Instant, sleep};

use super::apply::ASK_AGAIN;
use super::{Newest, Reconciler};
use crate::model::endpoint::{Endpoint, Handle, Intent, PublicIp};
use crate::model::name::{Apexes, Fqdn};
use crate::model::record::RecordSet;
use crate::model::state::{Desired, EndpointState, Observed, RecordKey, Seen, Zone};
use crate::provider::{Ahead, DnsProvider, Found, Look};

/// How many reads of endpoints are under way at once; Azure allows many more.
const ENDPOINTS_AT_ONCE: usize = 16;
/// Why nothing is known yet.
const UNANSWERED: &str = "no answer yet";

/// What is being read, and what is known so far.
///
/// Nothing is known of whatever has not answered, which freezes what depends on it.
pub(super) struct Reading<'a> {
    desired: &'a Desired,
    newest: &'a Newest,
    began: Instant,
    parts: SelectAll<BoxStream<'a, Part>>,
    awaited: BTreeSet<Whom>,
    observed: Observed,
    news: BTreeSet<Handle>,
}

/// What comes of one look.
enum Part {
    /// The public IP of an endpoint, before the rest of it.
    PublicIp(Handle, PublicIp),
    Endpoint(Handle, Box<EndpointState>),
    Account(Looked),
}

/// Who has not answered yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Endpoint(Handle),
    Account(Handle),
}

impl Reconciler {
    /// Everything that `desired` depends on, as it stands now.
    ///
    /// What could not be read is [`Seen::Unknown`] with its reason, and holds back nothing else.
    pub(super) async fn observe(&self, desired: &Desired) -> Observed {
        let mut reading = self.reading(desired);
        while reading.next().await {}
        reading.look()
    }

    /// Begins to look at everything that `desired` depends on.
    pub(super) fn reading<'a>(&'a self, desired: &'a Desired) -> Reading<'a> {
        let (ahead, told) = Ahead::listening();
        let endpoints = stream::iter(desired.endpoints.values())
            .map(move |endpoint| {
                let ahead = ahead.clone();
                async move {
                    let (state, _) = self.network.look(endpoint, &ahead).await;
                    Part::Endpoint(endpoint.name.clone(), Box::new(state))
                }
            })
            .buffer_unordered(ENDPOINTS_AT_ONCE);
        let early = stream::unfold(told, async |mut told| {
            let (endpoint, ip) = told.recv().await?;
            Some((Part::PublicIp(endpoint, ip), told))
        });
        let accounts: FuturesUnordered<_> =
            self.accounts.values().map(|account| look(account.as_ref(), desired)).collect();
        let known = |account: &Handle| {
            let names = desired.records.keys().filter(|key| key.account == *account).cloned();
            names.map(|key| (key, unanswered())).collect::<Vec<_>>()
        };
        Reading {
            desired,
            newest: &self.newest,
            began: Instant::now(),
            parts: stream::select_all([
                early.boxed(),
                endpoints.boxed(),
                accounts.map(Part::Account).boxed(),
            ]),
            awaited: (desired.endpoints.keys().cloned().map(Whom::Endpoint))
                .chain(self.accounts.keys().cloned().map(Whom::Account))
                .collect(),
            news: BTreeSet::new(),
            observed: Observed {
                endpoints: (desired.endpoints.iter())
                    .map(|(name, endpoint)| (name.clone(), EndpointState::unknown(endpoint, UNANSWERED)))
                    .collect(),
                zones: self.accounts.keys().map(|account| (account.clone(), unanswered())).collect(),
                records: self.accounts.keys().flat_map(known).collect(),
            },
        }
    }

    /// The endpoints of ours on which an operation is under way.
    pub(super) fn busy<'d>(desired: &'d Desired, observed: &Observed) -> Vec<&'d Endpoint> {
        let busy = |endpoint: &&Endpoint| {
            let state = observed.endpoints.get(&endpoint.name);
            endpoint.intent != Intent::Watch && state.is_some_and(EndpointState::is_busy)
        };
        desired.endpoints.values().filter(busy).collect()
    }

    /// Waits until what is under way on `busy` has ended, or patience has.
    ///
    /// A round that was killed leaves its operation running at Azure. What follows from its end is this round's to
    /// do: whoever runs it again expects to find everything in sync afterwards.
    pub(super) async fn at_rest(&self, busy: Vec<&Endpoint>) {
        join_all(busy.into_iter().map(|endpoint| self.rest(endpoint))).await;
    }

    /// As [`Self::observe`], once what is under way on our endpoints has ended, or patience has.
    pub(super) async fn observe_at_rest(&self, desired: &Desired) -> Observed {
        let observed = self.observe(desired).await;
        let busy = Self::busy(desired, &observed);
        if busy.is_empty() {
            return observed;
        }
        self.at_rest(busy).await;
        self.observe(desired).await
    }

    async fn rest(&self, endpoint: &Endpoint) {
        let deadline = Instant::now() + self.verification.agreement;
        while Instant::now() + ASK_AGAIN < deadline {
            sleep(ASK_AGAIN).await;
            let state = self.network.observe(endpoint).await;
            if !state.is_busy() {
                break;
            }
        }
    }
}

impl Reading<'_> {
    /// Takes in what comes next, and whatever else is there by then; gives whether anything was to come.
    ///
    /// Cancel-safe: what has come is not lost.
    pub(super) async fn next(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let Some(part) = self.parts.next().await else {
            self.awaited.clear();
            return false;
        };
        self.take(part);
        while let Some(Some(part)) = self.parts.next().now_or_never() {
            self.take(part);
        }
        true
    }

    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Whether everybody has answered.
    pub(super) fn is_over(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Whether nobody has answered yet.
    pub(super) fn is_silent(&self) -> bool {
        self.awaited.len() == self.observed.endpoints.len() + self.observed.zones.len()
    }

    /// Whether any account has answered.
    pub(super) fn has_records(&self) -> bool {
        let accounts = self.awaited.iter().filter(|whom| matches!(whom, Whom::Account(_)));
        accounts.count() < self.observed.zones.len()
    }

    /// What is known so far.
    pub(super) fn so_far(&self) -> &Observed {
        &self.observed
    }

    /// The same, to be kept; once everybody has answered there is no more than one of it.
    pub(super) fn look(&mut self) -> Observed {
        if self.is_over() { std::mem::take(&mut self.observed) } else { self.observed.clone() }
    }

    /// The endpoints of which something was heard since this was last asked.
    pub(super) fn news(&mut self) -> BTreeSet<Handle> {
        std::mem::take(&mut self.news)
    }

    fn take(&mut self, part: Part) {
        match part {
            Part::PublicIp(name, ip) => {
                let wanted = self.desired.endpoints.get(&name);
                // The whole of it may have come first.
                let (true, Some(wanted)) = (self.awaited.contains(&Whom::Endpoint(name.clone())), wanted)
                else {
                    return;
                };
                let mut state = EndpointState::unknown(wanted, UNANSWERED);
                if ip.label.as_ref() == Some(&wanted.public_ip.label) {
                    state.label = Seen::Absent;
                }
                state.public_ip = Seen::Present(ip);
                self.newest.take(&name, self.began, &state.public_ip);
                self.news.insert(name.clone());
                self.observed.endpoints.insert(name, state);
            }
            Part::Endpoint(name, state) => {
                self.awaited.remove(&Whom::Endpoint(name.clone()));
                self.newest.take(&name, self.began, &state.public_ip);
                self.news.insert(name.clone());
                self.observed.endpoints.insert(name, *state);
            }
            Part::Account((account, zones, records)) => {
                self.awaited.remove(&Whom::Account(account.clone()));
                self.observed.records.retain(|key, _| key.account != account);
                self.observed.records.extend(records);
                self.observed.zones.insert(account, zones);
            }
        }
    }
}

fn unanswered<T>() -> Seen<T> {
    Seen::Unknown(UNANSWERED.to_owned())
}

type Looked = (Handle, Seen<Vec<Zone>>, BTreeMap<RecordKey, Seen<Vec<RecordSet>>>);

async fn look(provider: &dyn DnsProvider, desired: &Desired) -> Looked {
    let account = provider.account().clone();
    let key = |name: &Fqdn| RecordKey { name: name.clone(), account: account.clone() };
    let names: BTreeSet<_> =
        desired.records.keys().filter(|key| key.account == account).map(|key| key.name.clone()).collect();
    let releasing = may_release(desired);
    if names.is_empty() && !desired.prune && !releasing {
        return (account, Seen::Absent, BTreeMap::new());
    }
    let zones = match provider.zones().await {
        Ok(zones) => zones,
        Err(error) => {
            let reason = error.chain();
            let unread = names.iter().map(|name| (key(name), Seen::Unknown(reason.clone()))).collect();
            return (account, Seen::Unknown(reason), unread);
        }
    };
    let marked = (desired.prune || releasing).then(|| desired.owner.clone());
    // A name that no zone or several zones answer for is the guard's to refuse; there is nothing to read for it.
    let apexes = Apexes::new(&zones, |zone| &zone.name);
    let mut wanted: BTreeMap<&str, BTreeSet<Fqdn>> = BTreeMap::new();
    for name in &names {
        if let [zone] = apexes.nearest(name) {
            wanted.entry(&zone.id).or_default().insert(name.clone());
        }
    }
    // Strays are searched in every zone, also where no name is wanted any more: in sync means that none is left.
    let looks = zones.iter().filter_map(|zone| {
        let names = wanted.remove(zone.id.as_str()).unwrap_or_default();
        let look = Look { names, marked: marked.clone() };
        (!look.names.is_empty() || look.marked.is_some()).then_some((zone, look))
    });
    let found = join_all(looks.map(|(zone, look)| async move {
        match provider.observe(zone, &look).await {
            Ok(found) => found,
            Err(error) => {
                let reason = error.chain();
                // Marked records may hide in a zone that could not be searched: its apex stands for them.
                let hidden = look.marked.as_ref().map(|_| zone.name.apex());
                let unread = look.names.iter().chain(hidden);
                unread.map(|name| (name.clone(), Seen::Unknown(reason.clone()))).collect::<Found>()
            }
        }
    }))
    .await;
    let records = found.into_iter().flatten().map(|(name, seen)| (key(&name), seen)).collect();
    (account, if zones.is_empty() { Seen::Absent } else { Seen::Present(zones) }, records)
}

/// Whether a label may be given up: then every name of ours counts, wherever it stands.
pub(super) fn may_release(desired: &Desired) -> bool {
    desired.consents.relabel || desired.endpoints.values().any(|endpoint| endpoint.intent == Intent::Remove)
}
