//! What a round has read, as far as its outcome depends on it.

use super::{Round, SubjectKind};
use crate::model::endpoint::Handle;
use crate::model::state::{Desired, Observed, RecordKey, Seen};

/// What was read.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Whether any read has succeeded, also one that found nothing.
    pub(super) anything: bool,
    /// The wanted records that were read and are ours.
    ours: Vec<RecordKey>,
}

impl Standing {
    pub(super) fn of(desired: &Desired, observed: &Observed) -> Self {
        let endpoint = observed.endpoints.values().any(|state| state.public_ip.unknown().is_none());
        let record = observed.records.values().any(|seen| seen.unknown().is_none());
        // An account that nothing was to be read of is absent, which is no success.
        let zones = observed.zones.values().any(|seen| matches!(seen, Seen::Present(_)));
        let ours = |key: &RecordKey| observed.sets(key).iter().any(|set| set.is_ours(&desired.owner));
        let wanted = desired.records.iter().filter(|(key, wanted)| !wanted.withdraw && ours(key));
        let ours = wanted.map(|(key, _)| key.clone()).collect();
        Self { anything: endpoint || record || zones, ours }
    }
}

impl Round {
    /// Whether a wanted record stands that nothing is to be done about.
    pub(super) fn stands(&self) -> bool {
        let concerned = self.changes.iter().map(|it| (it.kind, &it.name, &it.account));
        let concerned = concerned.chain(self.blocked.iter().map(|it| (it.kind, &it.name, &it.account)));
        let concerned = concerned.chain(self.refused.iter().map(|it| (it.kind, &it.name, &it.account)));
        let concerned: Vec<_> = concerned.collect();
        self.standing.ours.iter().any(|key| {
            let is_it = |(kind, name, account): &(SubjectKind, &String, &Option<Handle>)| {
                *kind == SubjectKind::Record
                    && name.as_str() == key.name.as_str()
                    && account.as_ref() == Some(&key.account)
            };
            !concerned.iter().any(is_it)
        })
    }
}
