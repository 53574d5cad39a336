//! Taking a gateway down: what we made goes, in the reverse order; what was there before stays.

use std::collections::BTreeSet;

use super::derive::Planner;
use super::gateway::{Site, unchanged};
use super::{
    GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Part, SecurityGroupChange,
    SecurityRuleChange,
};
use crate::model::endpoint::Endpoint;
use crate::model::gateway::{GatewayState, LoadBalancer, SecurityGroup, marked, prefix};
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
        let ours = |name: &str| name.starts_with(&prefix(&owner));
        let reason = || "its endpoint is taken down".to_owned();
        let doomed = self.doomed(endpoint, state);
        let mut left: Vec<usize> = settled.to_vec();
        for interface in state.interfaces.values().filter_map(Seen::present) {
            let all: BTreeSet<ResourceId> =
                interface.configurations.iter().flat_map(|one| one.pools.clone()).collect();
            let leave: BTreeSet<ResourceId> = all
                .into_iter()
                .filter(|pool| pool.whole() == gateway.load_balancer && ours(pool.name()))
                .collect();
            let made = interface.group.as_ref().is_some_and(|group| doomed.contains(group));
            let group = if made { GroupChange::Cleared } else { GroupChange::Kept };
            if !leave.is_empty() || made {
                let change = InterfaceChange { held: interface.clone(), join: [].into(), leave, group };
                left.push(self.build(&endpoint.name, Part::Interface(change), settled.to_vec(), reason()));
            }
        }
        let wanted: BTreeSet<String> =
            gateway.nat_rules.iter().map(|rule| marked(&owner, &rule.name)).collect();
        for group in state.groups.values().filter_map(Seen::present) {
            if doomed.contains(&group.id) {
                let change = SecurityGroupChange {
                    id: group.id.clone(),
                    location: group.location.clone(),
                    held: Some(group.clone()),
                };
                self.build(&endpoint.name, Part::SecurityGroup(change), left.clone(), reason());
                continue;
            }
            for rule in group.rules.iter().filter(|rule| wanted.contains(&rule.name)) {
                let change =
                    SecurityRuleChange { group: group.id.clone(), held: Some(rule.clone()), wanted: None };
                self.build(&endpoint.name, Part::SecurityRule(change), left.clone(), reason());
            }
        }
        let Some(balancer) = state.load_balancer.present() else { return Some(left) };
        if balancer.goes(&owner, endpoint) {
            let change = LoadBalancerChange { delete: true, ..unchanged(balancer) };
            return Some(vec![self.build(&endpoint.name, Part::LoadBalancer(change), left, reason())]);
        }
        let frontend =
            balancer.frontends.iter().find(|held| held.name == marked(&owner, endpoint.name.as_str()));
        let mut gone = left;
        let settled_and_left = gone.clone();
        for rule in balancer.nat_rules.iter().filter(|rule| ours(&rule.name)) {
            let change =
                NatRuleChange { load_balancer: balancer.id.clone(), held: Some(rule.clone()), wanted: None };
            gone.push(self.build(&endpoint.name, Part::NatRule(change), settled_and_left.clone(), reason()));
        }
        let pools: Vec<String> =
            balancer.pools.iter().map(|pool| pool.name.clone()).filter(|name| ours(name)).collect();
        let frontends: Vec<String> = frontend.into_iter().map(|held| held.name.clone()).collect();
        if pools.is_empty() && frontends.is_empty() {
            return Some(gone);
        }
        let change =
            LoadBalancerChange { without_frontends: frontends, without_pools: pools, ..unchanged(balancer) };
        Some(vec![self.build(&endpoint.name, Part::LoadBalancer(change), gone, reason())])
    }

    /// Whether anything of ours is left of `endpoint`'s gateway, as far as that was read.
    pub(super) fn has_remains(&self, endpoint: &Endpoint) -> bool {
        let owner = &self.desired.owner;
        let Some(gateway) = &endpoint.gateway else { return false };
        let Some(state) =
            self.observed.endpoints.get(&endpoint.name).and_then(|state| state.gateway.as_ref())
        else {
            return true;
        };
        let ours = |name: &str| name.starts_with(&prefix(owner));
        let wanted: BTreeSet<String> =
            gateway.nat_rules.iter().map(|rule| marked(owner, &rule.name)).collect();
        let in_balancer = state.load_balancer.present().is_some_and(|held| {
            held.goes(owner, endpoint)
                || held.nat_rules.iter().any(|rule| ours(&rule.name))
                || held.pools.iter().any(|pool| ours(&pool.name))
                || held.frontends.iter().any(|held| held.name == marked(owner, endpoint.name.as_str()))
        });
        let mut groups = state.groups.values().filter_map(Seen::present);
        state.unread().is_some()
            || in_balancer
            || !self.doomed(endpoint, state).is_empty()
            || groups.any(|group| group.rules.iter().any(|rule| wanted.contains(&rule.name)))
    }

    /// The security groups that go with the endpoint: ours, with nothing of others in them or in front of them.
    fn doomed(&self, endpoint: &Endpoint, state: &GatewayState) -> BTreeSet<ResourceId> {
        let owner = &self.desired.owner;
        let needed: BTreeSet<&ResourceId> = (self.desired.endpoints.values())
            .filter(|other| other.name != endpoint.name)
            .filter_map(|other| other.gateway.as_ref())
            .flat_map(|gateway| &gateway.nat_rules)
            .filter_map(|rule| Some(&rule.access.as_ref()?.network_security_group))
            .collect();
        let alone = |group: &&SecurityGroup| {
            group.mark.as_ref() == Some(owner)
                && !needed.contains(&group.id)
                && group.foreign(owner).next().is_none()
                && group.users.iter().all(|user| state.interfaces.contains_key(user))
        };
        state.groups.values().filter_map(Seen::present).filter(alone).map(|group| group.id.clone()).collect()
    }
}

impl LoadBalancer {
    /// Whether it goes with `endpoint`: it is `owner`'s, and nothing of others is in it.
    fn goes(&self, owner: &Owner, endpoint: &Endpoint) -> bool {
        let ours = |name: &str| name.starts_with(&prefix(owner));
        self.mark.as_ref() == Some(owner)
            && self.nat_rules.iter().all(|rule| ours(&rule.name))
            && self.pools.iter().all(|pool| ours(&pool.name))
            && self.other_ports.is_empty()
            && self.outbound.is_empty()
            && self.frontends.iter().all(|held| held.name == marked(owner, endpoint.name.as_str()))
    }
}
