//! Taking a gateway down: what we made goes, in the reverse order; what was there before stays.

use std::collections::BTreeSet;

use super::derive::Planner;
use super::gateway::{Site, unchanged};
use super::{
    GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Part, SecurityGroupChange,
    SecurityRuleChange,
};
use crate::model::endpoint::{Endpoint, Intent};
use crate::model::gateway::{GatewayState, LoadBalancer, SecurityGroup, SecurityRule, is_marked};
use crate::model::record::Owner;
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

impl<'p> Planner<'p> {
    /// Takes down what we made of `endpoint`'s gateway, after `settled`; gives the last steps.
    ///
    /// `None` when it cannot be planned, which was told.
    pub(super) fn dismantle(&mut self, endpoint: &'p Endpoint, settled: &[usize]) -> Option<Vec<usize>> {
        if endpoint.gateway.is_none() {
            return Some(settled.to_vec());
        }
        let Site { gateway, state, .. } = self.site(endpoint)?;
        let owner = self.desired.owner.clone();
        let ours = |name: &str| is_marked(&owner, name);
        let doomed = self.doomed(state);
        let mut left: Vec<usize> = settled.to_vec();
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
            let step =
                self.build(&endpoint.name, Part::Interface(change), settled.to_vec(), TAKEN_DOWN.into());
            left.push(step);
            if let Some(group) = group {
                let cleared = self.shared.cleared.entry(group.clone()).or_default();
                cleared.insert(interface.id.clone(), step);
            }
        }
        self.close(endpoint, state, &doomed, &left);
        let Some(balancer) = state.load_balancer.present() else { return Some(left) };
        if balancer.goes(&owner) {
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
        let pools = balancer.pools.iter().map(|pool| pool.name.clone()).filter(|name| ours(name));
        let frontends = balancer.frontends.iter().map(|held| held.name.clone()).filter(|name| ours(name));
        let change = LoadBalancerChange {
            without_frontends: frontends.collect(),
            without_pools: pools.collect(),
            ..unchanged(balancer)
        };
        if change.without_pools.is_empty() && change.without_frontends.is_empty() {
            return Some(gone);
        }
        Some(vec![self.build(&endpoint.name, Part::LoadBalancer(change), gone, TAKEN_DOWN.into())])
    }

    /// Takes away the security rules of `endpoint`, or their whole group where it goes, after `left`.
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
            // It goes with the last of the endpoints that share it.
            let cleared = self.shared.cleared.get(&group.id);
            let steps: Option<Vec<usize>> =
                group.users.iter().map(|user| cleared.and_then(|steps| steps.get(user)).copied()).collect();
            let Some(steps) = steps.filter(|_| !self.shared.gone.contains(&group.id)) else { continue };
            let mut after: Vec<usize> = left.iter().copied().chain(steps).collect();
            after.sort_unstable();
            after.dedup();
            let change = SecurityGroupChange {
                id: group.id.clone(),
                location: group.location.clone(),
                held: Some(group.clone()),
            };
            self.build(&endpoint.name, Part::SecurityGroup(change), after, TAKEN_DOWN.into());
            self.shared.gone.insert(group.id.clone());
        }
    }

    /// The rules in `group` that go with `endpoint`: its own, and those that nothing wants.
    fn own_rules(&mut self, endpoint: &Endpoint, group: &'p SecurityGroup) -> Vec<&'p SecurityRule> {
        let owner = &self.desired.owner;
        let wanted = self.admitted(&group.id, |other| other.name == endpoint.name);
        let own = |rule: &&SecurityRule| {
            is_marked(owner, &rule.name) && wanted.contains(&rule.name.to_ascii_lowercase())
        };
        let mut rules: Vec<&SecurityRule> = group.rules.iter().filter(own).collect();
        if self.desired.prune && self.shared.pruned.insert(group.id.clone()) {
            rules.extend(self.stray_security_rules(group));
        }
        rules
    }

    /// The security groups that go: ours, with nothing in them or in front of them but what goes as well.
    fn doomed(&self, state: &GatewayState) -> BTreeSet<ResourceId> {
        let leaving = |endpoint: &&Endpoint| endpoint.intent == Intent::Remove;
        let interfaces: BTreeSet<&ResourceId> = (self.desired.endpoints.values().filter(leaving))
            .filter_map(|endpoint| self.observed.endpoints.get(&endpoint.name)?.gateway.as_ref())
            .flat_map(|state| state.interfaces.keys())
            .collect();
        let goes = |group: &&SecurityGroup| {
            let theirs = self.admitted(&group.id, |endpoint| leaving(&endpoint));
            let strays: Vec<&SecurityRule> = self.stray_security_rules(group).collect();
            let goes = |rule: &SecurityRule| {
                theirs.contains(&rule.name.to_ascii_lowercase())
                    || (self.desired.prune && strays.contains(&rule))
            };
            group.mark.as_ref() == Some(&self.desired.owner)
                && self.admitted(&group.id, |endpoint| !leaving(&endpoint)).is_empty()
                && group.rules.iter().all(goes)
                && group.users.iter().all(|user| interfaces.contains(user))
        };
        state.groups.values().filter_map(Seen::present).filter(goes).map(|group| group.id.clone()).collect()
    }
}

impl LoadBalancer {
    /// Whether it goes with its endpoint: it is `owner`'s, and nothing of others is in it.
    fn goes(&self, owner: &Owner) -> bool {
        let ours = |name: &str| is_marked(owner, name);
        self.mark.as_ref() == Some(owner)
            && self.nat_rules.iter().all(|rule| ours(&rule.name))
            && self.pools.iter().all(|pool| ours(&pool.name))
            && self.other_ports.is_empty()
            && self.outbound.is_empty()
            && self.frontends.iter().all(|held| ours(&held.name))
    }
}

const TAKEN_DOWN: &str = "its endpoint is taken down";
