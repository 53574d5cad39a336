//! What two configurations want alike: what one of them may still do while the other is about to take its place.

use std::collections::BTreeSet;

use super::endpoint::Handle;
use super::plan::{Action, Step};
use super::state::{Desired, RecordKey};

/// What is wanted now and will be wanted next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    endpoints: BTreeSet<Handle>,
    /// Gateways are shared: the rules of one stand in the same resources as another's.
    gateways: bool,
    records: BTreeSet<RecordKey>,
    /// The names that both would withdraw from a label that is anybody's.
    withdrawn: BTreeSet<RecordKey>,
}

impl Common {
    /// What `now` and `next` want alike, in accounts that are not `moved`: an account whose zones are elsewhere next holds
    /// other names.
    #[must_use]
    pub fn of(now: &Desired, next: &Desired, moved: &BTreeSet<Handle>) -> Self {
        if now.owner != next.owner {
            return Self::default();
        }
        let endpoints: BTreeSet<Handle> = (now.endpoints.iter())
            .filter(|(name, endpoint)| next.endpoints.get(*name) == Some(endpoint))
            .map(|(name, _)| name.clone())
            .collect();
        let names = || now.records.iter().filter(|(key, _)| !moved.contains(&key.account));
        let records = names()
            .filter(|(key, wanted)| {
                next.records.get(key) == Some(wanted) && endpoints.contains(&wanted.endpoint)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let withdrawn = names()
            .filter(|(key, wanted)| match next.records.get(key) {
                Some(next) => next.policy == wanted.policy,
                None => next.prune,
            })
            .map(|(key, _)| key.clone())
            .collect();
        let gateways = now.endpoints == next.endpoints;
        Self { endpoints, gateways, records, withdrawn }
    }

    /// Whether `step`, which the one wants, is what the other wants too. What the configuration does not name is withdrawn
    /// by whoever knows what the next one names.
    #[must_use]
    pub fn has(&self, step: &Step) -> bool {
        match &step.action {
            Action::Record(change) if self.records.contains(&change.key) => true,
            Action::Record(change) => {
                change.after.is_none() && step.endpoint.is_some() && self.withdrawn.contains(&change.key)
            }
            Action::Network(change) => self.endpoints.contains(&change.endpoint),
            Action::Gateway(_) => self.gateways,
            Action::Settle(_) => true,
        }
    }
}
