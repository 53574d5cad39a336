//! How far the changes of an endpoint stand and fall together.

use std::collections::HashSet;

use crate::model::endpoint::{Handle, Intent};
use crate::model::plan::{Action, Plan, RecordChange, Step};
use crate::model::state::Desired;

/// What a step stops with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bond {
    /// With itself. A name of ours that stands is changed, or leaves a label that anybody may claim: where it leads while its
    /// endpoint is elsewhere, anybody may be by now.
    Name,
    /// With what it leads to. A name comes to stand, and nothing that it leads to has to be made first.
    Door,
    /// With the others of its account. The configuration does not name it any more.
    Stray,
    /// With the whole of its endpoint: what is built and taken down, the names that wait for it, and those that are taken
    /// from others.
    Endpoint,
}

/// Tells the steps of one plan apart.
pub(super) struct Bonds<'d> {
    desired: &'d Desired,
    /// The endpoints that give up their label: their names leave it in the order that ends with that.
    releasing: HashSet<Handle>,
}

impl<'d> Bonds<'d> {
    pub(super) fn of(desired: &'d Desired, plan: &Plan) -> Self {
        let releasing = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Network(change) => change.releases().map(|_| change.endpoint.clone()),
            Action::Gateway(_) | Action::Record(_) | Action::Settle(_) => None,
        });
        Self { desired, releasing: releasing.collect() }
    }

    /// Of `step`, which is one of the plan's.
    pub(super) fn bond(&self, step: &Step) -> Bond {
        let Action::Record(change) = &step.action else { return Bond::Endpoint };
        let stands = change.before.iter().any(|set| set.is_ours(&self.desired.owner));
        match (&change.after, &step.endpoint) {
            _ if !step.after.is_empty() => Bond::Endpoint,
            (Some(_), _) if stands => Bond::Name,
            (Some(_), _) if change.before.is_empty() => Bond::Door,
            (None, None) => Bond::Stray,
            (None, Some(endpoint)) if !self.is_asked(change, endpoint) => Bond::Name,
            _ => Bond::Endpoint,
        }
    }

    /// Whether the name of a withdrawal goes because somebody says so, and not for where it leads.
    fn is_asked(&self, change: &RecordChange, endpoint: &Handle) -> bool {
        self.releasing.contains(endpoint)
            || self.desired.records.get(&change.key).is_none_or(|wanted| wanted.withdraw)
            || self.desired.endpoints.get(endpoint).is_none_or(|leader| leader.intent == Intent::Remove)
    }
}
