//! Taking a gateway down: what we made goes, in the reverse order; what was there before stays.

use std::collections::BTreeSet;

use super::derive::Planner;
use super::gateway::{Site, unchanged};
use super::{
    GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Note, Part, Piece, SecurityRuleChange,
    Subject,
};
use crate::model::endpoint::Endpoint;
use crate::model::gateway::{GatewayState, LoadBalancer, SecurityGroup, SecurityRule, is_marked};
use crate::model::record::Owner;
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

/// What of a load balancer goes with the gateway, where others keep it in place.
pub(in crate::model) fn without_ours(balancer: &LoadBalancer, owner: &Owner) -> LoadBalancerChange {
    let ours = |name: &String| is_marked(owner, name);
    let pools = balancer.pools.iter().map(|pool| pool.name.clone()).filter(ours);
    let frontends = balancer.frontends.iter().map(|held| held.name.clone()).filter(ours);
    LoadBalancerChange {
        without_frontends: frontends.collect(),
        without_pools: pools.collect(),
        ..unchanged(balancer)
    }
}

/// Whether a load balancer goes whole: it is ours, and nothing in it is anybody else's.
pub(in crate::model) fn goes_whole(balancer: &LoadBalancer, owner: &Owner) -> bool {
    balancer.mark.as_ref() == Some(owner) && balancer.of_others(owner).is_none()
}

impl<'p> Planner<'p> {
    /// Takes down what we made of `endpoint`'s gateway, after `settled`; gives the last steps.
    ///
    /// `None` when it cannot be planned, which was told.
    pub(super) fn dismantle(&mut self, endpoint: &'p Endpoint, settled: &[usize]) -> Option<Vec<usize>> {
        if endpoint.gateway.is_none() {
            return Some(settled.to_vec());
        }
        let site = self.site(endpoint)?;
        self.note_what_stays(&site);
        let Site { gateway, state, .. } = site;
        let owner = self.desired.owner.clone();
        let ours = |name: &str| is_marked(&owner, name);
        let doomed = self.doomed(state);
        let mut left: Vec<usize> = settled.to_vec();
        // As in a round that goes on, what leads to a door outlasts it.
        let stays = |group: &SecurityGroup| !doomed.contains(&group.id);
        left.extend(self.close_strays(endpoint, state, stays, settled, TAKEN_DOWN));
        let before = left.clone();
        for interface in state.interfaces.values().filter_map(Seen::present) {
            let leave: BTreeSet<ResourceId> = (interface.configurations.iter())
                .flat_map(|one| &one.pools)
                .filter(|pool| pool.whole() == gateway.load_balancer && ours(pool.name()))
                .cloned()
                .collect();
            let group = interface.group.as_ref().filter(|group| doomed.contains(*group));
            if leave.is_empty() && group.is_none() {
                continue;
            }
            let becomes = if group.is_some() { GroupChange::Cleared } else { GroupChange::Kept };
            let change = InterfaceChange { held: interface.clone(), join: [].into(), leave, group: becomes };
            let step = self.build(&endpoint.name, Part::Interface(change), before.clone(), TAKEN_DOWN.into());
            left.push(step);
            if let Some(group) = group {
                let cleared = self.shared.cleared.entry(group.clone()).or_default();
                cleared.insert(interface.id.clone(), step);
            }
        }
        self.close(endpoint, state, &doomed, &left);
        let Some(balancer) = state.load_balancer.present() else { return Some(left) };
        if goes_whole(balancer, &owner) {
            let change = LoadBalancerChange { delete: true, ..unchanged(balancer) };
            let part = Part::LoadBalancer(change);
            return Some(vec![self.build(&endpoint.name, part, left, TAKEN_DOWN.into())]);
        }
        let mut gone = left.clone();
        for rule in balancer.nat_rules.iter().filter(|rule| ours(&rule.name)) {
            let change =
                NatRuleChange { load_balancer: balancer.id.clone(), held: Some(rule.clone()), wanted: None };
            gone.push(self.build(&endpoint.name, Part::NatRule(change), left.clone(), TAKEN_DOWN.into()));
        }
        let change = without_ours(balancer, &owner);
        if change.without_pools.is_empty() && change.without_frontends.is_empty() {
            return Some(gone);
        }
        Some(vec![self.build(&endpoint.name, Part::LoadBalancer(change), gone, TAKEN_DOWN.into())])
    }

    /// Takes away the security rules of `endpoint` after `left`, unless their whole group goes.
    fn close(
        &mut self,
        endpoint: &'p Endpoint,
        state: &'p GatewayState,
        doomed: &BTreeSet<ResourceId>,
        left: &[usize],
    ) {
        for group in state.groups.values().filter_map(Seen::present) {
            if !doomed.contains(&group.id) {
                let rules: Vec<&SecurityRule> = self.own_rules(endpoint, group);
                for rule in rules {
                    let change = SecurityRuleChange {
                        group: group.id.clone(),
                        held: Some(rule.clone()),
                        wanted: None,
                    };
                    self.build(&endpoint.name, Part::SecurityRule(change), left.to_vec(), TAKEN_DOWN.into());
                }
                continue;
            }
            self.goes(endpoint, group, TAKEN_DOWN);
        }
    }

    /// The rules in `group` that go with `endpoint`.
    fn own_rules(&self, endpoint: &Endpoint, group: &'p SecurityGroup) -> Vec<&'p SecurityRule> {
        let owner = &self.desired.owner;
        let wanted = self.admitted(&group.id, |other| other.name == endpoint.name);
        let own = |rule: &&SecurityRule| {
            is_marked(owner, &rule.name) && wanted.contains(&rule.name.to_ascii_lowercase())
        };
        group.rules.iter().filter(own).collect()
    }

    /// Notes what stays although its endpoint goes, since it is billed, or serves others.
    fn note_what_stays(&mut self, site: &Site<'p>) {
        let Site { endpoint, state, .. } = site;
        let owner = &self.desired.owner;
        let balancer = state.load_balancer.present().and_then(|held| {
            let text = match held.mark.as_ref() {
                Some(mark) if mark == owner => format!("stays: {} is in it", held.of_others(owner)?),
                _ => NOT_OURS.to_owned(),
            };
            Some((Piece::LoadBalancer(held.id.name().to_owned()), text))
        });
        let concerns = |group: &&SecurityGroup| {
            group.mark.as_ref() == Some(owner)
                || !self.admitted(&group.id, |other| other.name == endpoint.name).is_empty()
        };
        let groups = state.groups.values().filter_map(Seen::present).filter(concerns);
        let groups = groups
            .filter_map(|group| Some((Piece::SecurityGroup(group.id.name().to_owned()), self.stays(group)?)));
        let notes: Vec<Note> = (balancer.into_iter().chain(groups))
            .map(|(piece, text)| Note { subject: Subject::Gateway(endpoint.name.clone(), piece), text })
            .collect();
        self.plan.notes.extend(notes);
    }
}

pub(super) const NOT_OURS: &str = "does not carry our mark, and stays";
const TAKEN_DOWN: &str = "its endpoint is taken down";
