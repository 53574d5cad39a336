//! The way back from a change that was made.

use super::derive::sorted;
use super::{Action, Blocked, Note, Plan, RecordChange, Step, Subject};
use crate::model::endpoint::{Handle, Intent};
use crate::model::record::{Content, Data, Mode, Owner, Policy, RecordSet, Ttl};
use crate::model::state::{Desired, NoZone, Observed, Seen, Wanted};

/// A change that was made, to be put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The change.
    pub change: RecordChange,
    /// Why it is put back, in a few words.
    pub reason: String,
}

impl Undo {
    /// What shall stand at the name again; nothing where the change made it.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.change.before.iter().map(|set| &set.content)
    }

    /// The wish that this is held against: the one name, as it was, and every endpoint of `desired`, only watched.
    ///
    /// `None` when `desired` has no endpoint at all: then nothing of it can be looked at.
    #[must_use]
    pub fn desired(&self, mut desired: Desired) -> Option<Desired> {
        let key = &self.change.key;
        let follows = desired.records.get(key).map(|wanted| wanted.endpoint.clone());
        let endpoint = follows.or_else(|| desired.endpoints.keys().next().cloned())?;
        let first = self.contents().next();
        let wanted = Wanted {
            endpoint,
            mode: first.map_or(Mode::Cname, |content| match &content.data {
                Data::Cname(_) => Mode::Cname,
                Data::Alias { .. } => Mode::Alias,
                Data::A(_) | Data::Aaaa(_) | Data::Opaque { .. } => Mode::Address,
            }),
            ttl: first.map_or(Ttl::DEFAULT, |content| content.ttl),
            proxied: first.is_some_and(|content| content.proxied),
            policy: Policy::Sync,
            withdraw: first.is_none(),
        };
        desired.records = [(key.clone(), wanted)].into();
        for endpoint in desired.endpoints.values_mut() {
            endpoint.intent = Intent::Watch;
            endpoint.gateway = None;
        }
        desired.prune = false;
        Some(desired)
    }

    /// The steps that put it back, against what stands there now. What must not be is the guard's to say.
    pub(in crate::model) fn plan(&self, desired: &Desired, observed: &Observed) -> Plan {
        let RecordChange { key, before, .. } = &self.change;
        let subject = || Subject::Record(key.clone());
        let owner = &desired.owner;
        let mut plan =
            Plan { owner: owner.clone(), steps: Vec::new(), blocked: Vec::new(), notes: Vec::new() };
        if let Some(waits_for) = unreadable(observed, self) {
            plan.blocked.push(Blocked { subject: subject(), waits_for, ours: false });
            return plan;
        }
        let endpoint = desired.records.get(key).map(|wanted| wanted.endpoint.clone());
        let standing = standing(observed, owner, self);
        let mut wanted: Vec<Option<&Content>> = self.contents().map(Some).collect();
        if wanted.is_empty() {
            wanted.push(None);
        }
        // What stands there changes in place, where one of them is of its type.
        let rtype = standing.first().map(|set| set.content.data.rtype());
        wanted.sort_by_key(|content| content.map(|content| content.data.rtype()) != rtype);
        for (at, after) in wanted.into_iter().enumerate() {
            let before = if at == 0 { standing.clone() } else { Vec::new() };
            let change = RecordChange { key: key.clone(), before, after: after.cloned() };
            plan.steps.push(Step {
                action: Action::Record(change),
                endpoint: endpoint.clone(),
                after: (at > 0).then_some(0).into_iter().collect(),
                reason: self.reason.clone(),
            });
        }
        if let Some(set) = before.iter().find(|set| !set.is_ours(owner)) {
            let whose = |mark: &Owner| format!("the mark of {mark}");
            let had = set.mark.as_ref().map_or_else(|| "no mark".to_owned(), whose);
            let text = format!(
                "had {had} before, and keeps ours, which every write of ours carries: take it off by hand to give the record back"
            );
            plan.notes.push(Note { subject: subject(), text });
        }
        plan
    }
}

/// What of ours stands at the name.
pub(in crate::model) fn standing(observed: &Observed, owner: &Owner, undo: &Undo) -> Vec<RecordSet> {
    sorted(observed.sets(&undo.change.key).iter().filter(|set| set.is_ours(owner)))
}

fn unreadable(observed: &Observed, undo: &Undo) -> Option<String> {
    let key = &undo.change.key;
    let held = |account: &Handle| format!("what {account} holds there");
    match (observed.zone(key), observed.records.get(key)) {
        (Err(NoZone::Unknown(reason)), _) => Some(format!("the zones of {}: {reason}", key.account)),
        // The guard refuses it with what there is to say.
        (Err(_), _) | (_, Some(Seen::Present(_) | Seen::Absent)) => None,
        (_, Some(Seen::Unknown(reason))) => {
            Some(format!("{}, which could not be read: {reason}", held(&key.account)))
        }
        (_, None) => Some(format!("{}, which was not looked at", held(&key.account))),
    }
}
