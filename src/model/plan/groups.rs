//! Security groups that go: with the last machine that is behind them, whichever endpoints see them.

use std::collections::BTreeSet;

use super::derive::Planner;
use super::dismantle::NOT_OURS;
use super::gateway::Site;
use super::{Action, Part, SecurityGroupChange};
use crate::model::endpoint::{Endpoint, Intent};
use crate::model::gateway::{GatewayState, NetworkInterface, SecurityGroup, SecurityRule};
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

/// A security group that an endpoint would have gone.
pub(super) struct Going<'p> {
    endpoint: &'p Endpoint,
    group: &'p SecurityGroup,
    reason: &'static str,
}

impl<'p> Planner<'p> {
    /// Has `group` go for `endpoint`, once everything else is planned.
    pub(super) fn goes(&mut self, endpoint: &'p Endpoint, group: &'p SecurityGroup, reason: &'static str) {
        self.shared.going.entry(&group.id).or_insert(Going { endpoint, group, reason });
    }

    /// Takes away each security group that goes, after whatever this plan changes behind it and in it.
    pub(super) fn groups(&mut self) {
        for (id, Going { endpoint, group, reason }) in std::mem::take(&mut self.shared.going) {
            let cleared = self.shared.cleared.get(id);
            let behind: Option<Vec<usize>> =
                group.users.iter().map(|user| cleared.and_then(|steps| steps.get(user)).copied()).collect();
            let Some(mut after) = behind else { continue };
            let inside = |(at, action): (usize, &Action)| match action {
                Action::Gateway(change) => {
                    (matches!(change.part, Part::SecurityRule(_)) && change.whole() == id).then_some(at)
                }
                Action::Network(_) | Action::Record(_) | Action::Settle(_) => None,
            };
            after.extend(self.plan.steps.iter().map(|step| &step.action).enumerate().filter_map(inside));
            let after = self.last(after);
            let change = SecurityGroupChange {
                id: id.clone(),
                location: group.location.clone(),
                held: Some(group.clone()),
            };
            self.build(&endpoint.name, Part::SecurityGroup(change), after, reason.to_owned());
        }
    }

    /// The security groups that go: ours, with nothing in them or in front of them but what goes as well.
    pub(super) fn doomed(&self, state: &GatewayState) -> BTreeSet<ResourceId> {
        let groups = state.groups.values().filter_map(Seen::present);
        groups.filter(|group| self.stays(group).is_none()).map(|group| group.id.clone()).collect()
    }

    /// What keeps `group` once everything has gone that is taken down or that nothing wants, in words.
    pub(super) fn stays(&self, group: &SecurityGroup) -> Option<String> {
        if group.mark.as_ref() != Some(&self.desired.owner) {
            return Some(NOT_OURS.to_owned());
        }
        let leaving = |endpoint: &Endpoint| endpoint.intent == Intent::Remove;
        if let Some(rule) = self.admitted(&group.id, |endpoint| !leaving(endpoint)).first() {
            return Some(format!("stays: {rule} is wanted in it"));
        }
        let theirs = self.admitted(&group.id, leaving);
        let strays: Vec<&SecurityRule> = self.stray_security_rules(group).collect();
        let goes = |rule: &SecurityRule| {
            theirs.contains(&rule.name.to_ascii_lowercase()) || (self.desired.prune && strays.contains(&rule))
        };
        if let Some(rule) = group.rules.iter().find(|rule| !goes(rule)) {
            return Some(format!("stays: {} is in it", rule.name));
        }
        let left = self.left_interfaces();
        let user = group.users.iter().find(|user| !left.contains(user))?;
        Some(format!("stays: {} is behind it", user.name()))
    }

    /// The network interfaces that need no security group of ours afterwards.
    fn left_interfaces(&self) -> BTreeSet<&'p ResourceId> {
        let observed: &'p _ = self.observed;
        let mut left = BTreeSet::new();
        for endpoint in self.desired.endpoints.values() {
            let state = observed.endpoints.get(&endpoint.name).and_then(|state| state.gateway.as_ref());
            let (Some(gateway), Some(state)) = (&endpoint.gateway, state) else { continue };
            let site = Site { endpoint, gateway, state };
            let goes = |interface: &&NetworkInterface| match endpoint.intent {
                Intent::Remove => true,
                Intent::Hold => self.is_left(&site, interface),
                Intent::Watch => false,
            };
            let held = state.interfaces.values().filter_map(Seen::present);
            // With an address of its own a machine may be open to everybody without a group.
            let closed = held.filter(|interface| interface.own_address().is_none());
            left.extend(closed.filter(goes).map(|interface| &interface.id));
        }
        left
    }
}
