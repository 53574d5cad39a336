//! Look at everything at once, writing nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use tokio::time::{Instant, sleep};

use super::Reconciler;
use super::apply::ASK_AGAIN;
use crate::model::endpoint::{Endpoint, Handle, Intent};
use crate::model::name::{Apexes, Fqdn};
use crate::model::record::RecordSet;
use crate::model::state::{Desired, EndpointState, Observed, RecordKey, Seen, Zone};
use crate::provider::{DnsProvider, Found, Look};

/// How many reads of endpoints are under way at once; Azure allows many more.
const ENDPOINTS_AT_ONCE: usize = 16;

impl Reconciler {
    /// Everything that `desired` depends on, as it stands now.
    ///
    /// What could not be read is [`Seen::Unknown`] with its reason, and holds back nothing else.
    pub(super) async fn observe(&self, desired: &Desired) -> Observed {
        let endpoints = stream::iter(desired.endpoints.values())
            .map(|endpoint| async { (endpoint.name.clone(), self.network.observe(endpoint).await) })
            .buffer_unordered(ENDPOINTS_AT_ONCE)
            .collect::<BTreeMap<_, _>>();
        let accounts = join_all(self.accounts.values().map(|account| look(account.as_ref(), desired)));
        let (endpoints, accounts) = futures::join!(endpoints, accounts);
        let mut observed = Observed { endpoints, ..Observed::default() };
        for (account, zones, records) in accounts {
            observed.zones.insert(account, zones);
            observed.records.extend(records);
        }
        observed
    }

    /// As [`Self::observe`], once what is under way on our endpoints has ended, or patience has.
    ///
    /// A round that was killed leaves its operation running at Azure. What follows from its end is this round's to
    /// do: whoever runs it again expects to find everything in sync afterwards.
    pub(super) async fn observe_at_rest(&self, desired: &Desired) -> Observed {
        let observed = self.observe(desired).await;
        let busy = |endpoint: &&Endpoint| {
            let state = observed.endpoints.get(&endpoint.name);
            endpoint.intent != Intent::Watch && state.is_some_and(EndpointState::is_busy)
        };
        let busy: Vec<&Endpoint> = desired.endpoints.values().filter(busy).collect();
        if busy.is_empty() {
            return observed;
        }
        join_all(busy.into_iter().map(|endpoint| self.rest(endpoint))).await;
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
fn may_release(desired: &Desired) -> bool {
    desired.consents.relabel || desired.endpoints.values().any(|endpoint| endpoint.intent == Intent::Remove)
}
