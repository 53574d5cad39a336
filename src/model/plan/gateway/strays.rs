//! What carries our mark in a gateway, and nothing wants.

use std::collections::BTreeSet;

use super::{
    LoadBalancerChange, NatRuleChange, Note, Part, Piece, SecurityRuleChange, Site, Subject, unchanged,
};
use crate::model::endpoint::Endpoint;
use crate::model::gateway::{GatewayState, SecurityGroup, SecurityRule, is_marked, marked};
use crate::model::plan::derive::Planner;
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

impl<'p> Planner<'p> {
    /// Takes away NAT rules and security rules that nothing wants; gives the steps of either.
    pub(super) fn stray_rules(&mut self, site: &Site<'p>) -> (Vec<usize>, Vec<usize>) {
        if !self.desired.prune {
            return (Vec::new(), Vec::new());
        }
        let Site { endpoint, state, .. } = site;
        let wanted = self.wanted_names(site);
        let mut ports = Vec::new();
        if let Some(balancer) = state.load_balancer.present() {
            let strays: Vec<_> =
                balancer.nat_rules.iter().filter(|rule| self.is_stray(&rule.name, &wanted)).collect();
            for rule in strays {
                let change = NatRuleChange {
                    load_balancer: balancer.id.clone(),
                    held: Some(rule.clone()),
                    wanted: None,
                };
                ports.push(self.build(&endpoint.name, Part::NatRule(change), Vec::new(), UNWANTED.into()));
            }
        }
        let doors = self.close_strays(endpoint, state, |_| true, &ports, UNWANTED);
        (ports, doors)
    }

    /// Takes away the security rules of ours that nothing wants, in those groups of `state` that `goes_through`
    /// chooses, after `before`; gives the steps. A group that several endpoints share is gone through once.
    pub(in crate::model::plan) fn close_strays(
        &mut self,
        endpoint: &Endpoint,
        state: &GatewayState,
        goes_through: impl Fn(&SecurityGroup) -> bool,
        before: &[usize],
        reason: &str,
    ) -> Vec<usize> {
        let mut closed = Vec::new();
        if !self.desired.prune {
            return closed;
        }
        for group in state.groups.values().filter_map(Seen::present).filter(|group| goes_through(group)) {
            if !self.shared.pruned.insert(group.id.clone()) {
                continue;
            }
            let strays: Vec<&SecurityRule> = self.stray_security_rules(group).collect();
            for rule in strays {
                let change =
                    SecurityRuleChange { group: group.id.clone(), held: Some(rule.clone()), wanted: None };
                let part = Part::SecurityRule(change);
                let step = self.build(&endpoint.name, part, before.to_vec(), reason.to_owned());
                if rule.inbound {
                    self.shared.freed.insert((group.id.clone(), rule.priority), step);
                }
                closed.push(step);
            }
        }
        closed
    }

    /// Takes away the pools and frontends that nothing wants, once nothing of ours leads to them any more.
    pub(super) fn stray_parts(&mut self, site: &Site<'p>, after: Vec<usize>) {
        let Site { endpoint, gateway, state } = site;
        let Some(balancer) = state.load_balancer.present().filter(|_| self.desired.prune) else { return };
        let owner = &self.desired.owner;
        let wanted = self.wanted_names(site);
        let own = balancer
            .frontend_of(&gateway.public_ip)
            .map_or_else(|| marked(owner, endpoint.name.as_str()), |frontend| frontend.name.clone())
            .to_ascii_lowercase();
        let pools = balancer.pools.iter().map(|pool| &pool.name);
        let frontends = balancer.frontends.iter().map(|frontend| &frontend.name);
        let mut kept = Vec::new();
        let mut strays = |names: &mut dyn Iterator<Item = &String>, wanted: &BTreeSet<String>, pool: bool| {
            let mut gone = Vec::new();
            for name in names.filter(|name| self.is_stray(name, wanted)) {
                let (user, what) = if pool {
                    (balancer.pool_user(owner, name), "pool")
                } else {
                    (balancer.frontend_user(owner, name), "frontend")
                };
                match user {
                    Some(user) => kept.push(format!(
                        "nothing of ours needs the {what} {name} any more, and it stays, since {user} uses it"
                    )),
                    None => gone.push(name.clone()),
                }
            }
            gone
        };
        let without_pools = strays(&mut { pools }, &wanted, true);
        let without_frontends = strays(&mut { frontends }, &[own].into(), false);
        for text in kept {
            let piece = Piece::LoadBalancer(balancer.id.name().to_owned());
            self.plan.notes.push(Note { subject: Subject::Gateway(endpoint.name.clone(), piece), text });
        }
        if without_pools.is_empty() && without_frontends.is_empty() {
            return;
        }
        let change = LoadBalancerChange { without_frontends, without_pools, ..unchanged(balancer) };
        let reason = "nothing needs these parts of ours any more";
        self.build(&endpoint.name, Part::LoadBalancer(change), after, reason.into());
    }

    /// The rules of ours in `group` that no endpoint wants there.
    pub(in crate::model::plan) fn stray_security_rules<'g>(
        &self,
        group: &'g SecurityGroup,
    ) -> impl Iterator<Item = &'g SecurityRule> + use<'g> {
        let wanted = self.admitted(&group.id, |_| true);
        let owner = self.desired.owner.clone();
        group.rules.iter().filter(move |rule| {
            is_marked(&owner, &rule.name) && !wanted.contains(&rule.name.to_ascii_lowercase())
        })
    }

    /// The names of the security rules that endpoints want in `group`, in lower case.
    pub(in crate::model::plan) fn admitted(
        &self,
        group: &ResourceId,
        of: impl Fn(&Endpoint) -> bool,
    ) -> BTreeSet<String> {
        (self.desired.endpoints.values())
            .filter(|endpoint| of(endpoint))
            .filter_map(|endpoint| endpoint.gateway.as_ref())
            .flat_map(|gateway| &gateway.nat_rules)
            .filter(|rule| rule.access.as_ref().is_some_and(|access| access.network_security_group == *group))
            .map(|rule| marked(&self.desired.owner, &rule.name).to_ascii_lowercase())
            .collect()
    }

    fn wanted_names(&self, site: &Site<'p>) -> BTreeSet<String> {
        let owner = &self.desired.owner;
        site.gateway.nat_rules.iter().map(|rule| marked(owner, &rule.name).to_ascii_lowercase()).collect()
    }

    fn is_stray(&self, name: &str, wanted: &BTreeSet<String>) -> bool {
        is_marked(&self.desired.owner, name) && !wanted.contains(&name.to_ascii_lowercase())
    }
}

pub(super) const UNWANTED: &str = "carries our mark, and the configuration does not name it";
