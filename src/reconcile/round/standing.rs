//! What a round has read, as far as its outcome depends on it.

use super::{Round, SubjectKind};
use crate::model::endpoint::Handle;
use crate::model::state::{Desired, Observed, RecordKey};

/// What was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Whether anything that is wanted was read and stands, as it should or not.
    pub(super) anything: bool,
    /// The wanted records that were read and are ours.
    ours: Vec<RecordKey>,
}

impl Standing {
    pub(super) fn of(desired: &Desired, observed: &Observed) -> Self {
        let ours = |key: &RecordKey| observed.sets(key).iter().any(|set| set.is_ours(&desired.owner));
        let wanted = desired.records.iter().filter(|(key, wanted)| !wanted.withdraw && ours(key));
        let ours: Vec<RecordKey> = wanted.map(|(key, _)| key.clone()).collect();
        let endpoint = desired.endpoints.keys().any(|endpoint| observed.public_ip(endpoint).is_some());
        Self { anything: endpoint || !ours.is_empty(), ours }
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
