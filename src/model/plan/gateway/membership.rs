//! Network interfaces: which pools they are in.
//!
//! A NAT rule of one port has room for one machine, so whoever leaves its pool goes before whoever comes.

use std::collections::BTreeSet;

use super::{Part, Site, access, strays};
use crate::model::endpoint::Provisioning;
use crate::model::gateway::fit::POOLS;
use crate::model::gateway::{NetworkInterface, SecurityGroup, is_marked, marked, same_name};
use crate::model::plan::derive::Planner;
use crate::model::plan::{GroupChange, InterfaceChange, Note, Piece, Subject};
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

type Pools = BTreeSet<ResourceId>;

impl<'p> Planner<'p> {
    /// One write for each network interface: the pools that it shall be in, and its security group.
    pub(super) fn interfaces(&mut self, site: &Site<'p>, before: &[usize]) -> Vec<usize> {
        let mut coming: Vec<(&'p NetworkInterface, Pools, Pools)> = (site.state.interfaces.values())
            .filter_map(Seen::present)
            .map(|interface| {
                let (join, leave) = self.memberships(site, interface);
                (interface, join, leave)
            })
            .collect();
        let mut steps = Vec::new();
        let mut left: Vec<(usize, Pools)> = Vec::new();
        while !coming.is_empty() {
            let waits = |(one, join, _): &(&NetworkInterface, Pools, Pools)| {
                coming.iter().any(|(other, _, leave)| other.id != one.id && !join.is_disjoint(leave))
            };
            let next = coming.iter().position(|one| !waits(one));
            let (interface, mut join, leave) = coming.remove(next.unwrap_or(0));
            if next.is_none() {
                // Two that change places: one leaves first, and comes once the other has left.
                let subject = Subject::Gateway(
                    site.endpoint.name.clone(),
                    Piece::Interface(interface.id.name().to_owned()),
                );
                self.block(subject, "another network interface to leave its pool", true);
                join = Pools::new();
            }
            let mut after = before.to_vec();
            after.extend(left.iter().filter(|(_, left)| !left.is_disjoint(&join)).map(|(step, _)| *step));
            let left_now = leave.clone();
            if let Some(step) = self.interface(site, interface, (join, leave), after) {
                left.push((step, left_now));
                steps.push(step);
            }
        }
        steps
    }

    fn interface(
        &mut self,
        site: &Site<'p>,
        interface: &'p NetworkInterface,
        (join, leave): (Pools, Pools),
        after: Vec<usize>,
    ) -> Option<usize> {
        let mut group = access::grouping(site.gateway, site.state, interface);
        let forsaken = interface.group.as_ref().filter(|_| self.is_left(site, interface));
        if let Some(held) = forsaken.and_then(|id| site.state.group(id)) {
            match self.stays(held) {
                None => group = GroupChange::Cleared,
                Some(text) => self.stays_behind(site, interface, held, &text),
            }
        }
        let mut why = Vec::new();
        if !join.is_empty() {
            why.push("is not in its pool");
        }
        if !leave.is_empty() {
            why.push("is in a pool that it shall not be in");
        }
        match group {
            GroupChange::Kept => {}
            GroupChange::Set(_) => why.push("has no security group"),
            GroupChange::Cleared => {
                why.push("is behind a security group of ours that nothing needs any more")
            }
        }
        let wanted = site.gateway.nat_rules.iter().any(|rule| rule.network_interface == interface.id);
        if why.is_empty() && wanted && interface.provisioning == Provisioning::Failed {
            why.push("its last operation failed");
        }
        if why.is_empty() {
            return None;
        }
        let reason = why.join(", and ");
        let cleared = interface.group.as_ref().filter(|_| group == GroupChange::Cleared);
        let change = InterfaceChange { held: interface.clone(), join, leave, group };
        let step = self.build(&site.endpoint.name, Part::Interface(change), after, reason);
        if let Some(group) = cleared {
            self.shared.cleared.entry(group.clone()).or_default().insert(interface.id.clone(), step);
        }
        Some(step)
    }

    /// Has the security groups go that no endpoint lets anybody in by any more.
    pub(super) fn left_groups(&mut self, site: &Site<'p>) {
        for group in site.state.groups.values().filter_map(Seen::present) {
            let unwanted = self.desired.prune && self.admitted(&group.id, |_| true).is_empty();
            if unwanted && self.stays(group).is_none() {
                self.goes(site.endpoint, group, strays::UNWANTED);
            }
        }
    }

    /// Whether `interface` leaves every pool of ours, and no rule of any endpoint wants it.
    pub(in crate::model::plan) fn is_left(&self, site: &Site<'_>, interface: &NetworkInterface) -> bool {
        if !self.desired.prune {
            return false;
        }
        let owner = &self.desired.owner;
        let gateways = self.desired.endpoints.values().filter_map(|endpoint| endpoint.gateway.as_ref());
        let wanted = gateways
            .flat_map(|gateway| &gateway.nat_rules)
            .any(|rule| rule.network_interface == interface.id);
        let (_, leave) = self.memberships(site, interface);
        let mut pools = interface.configurations.iter().flat_map(|one| &one.pools);
        !wanted
            && !leave.is_empty()
            && pools.all(|pool| !is_marked(owner, pool.name()) || leave.contains(pool))
    }

    /// Notes that a machine which nothing leads to any more stays behind a group that we put before it.
    fn stays_behind(
        &mut self,
        site: &Site<'p>,
        interface: &NetworkInterface,
        group: &SecurityGroup,
        text: &str,
    ) {
        let ours = group.mark.as_ref() == Some(&self.desired.owner);
        if ours && self.admitted(&group.id, |_| true).is_empty() {
            let (name, group) = (interface.id.name(), group.id.name());
            let text = format!("{text}, and nothing leads to {name} any more, which is behind it");
            let piece = Piece::SecurityGroup(group.to_owned());
            self.plan.notes.push(Note { subject: Subject::Gateway(site.endpoint.name.clone(), piece), text });
        }
    }

    /// The pools that `interface` lacks, and those of ours that it shall not be in.
    fn memberships(&self, site: &Site<'_>, interface: &NetworkInterface) -> (Pools, Pools) {
        let Site { gateway, state, .. } = site;
        let owner = &self.desired.owner;
        let held = state.load_balancer.present();
        let served = |name: &str, rule| {
            let made = held.is_some_and(|held| held.nat_rules.iter().any(|held| same_name(&held.name, name)));
            !made && held.is_some_and(|held| held.serving(owner, &gateway.public_ip, rule, state).is_some())
        };
        let mut needed = Pools::new();
        let mut wanted = Pools::new();
        for rule in &gateway.nat_rules {
            let name = marked(owner, &rule.name);
            if !served(&name, rule) {
                let pool = gateway.load_balancer.part(POOLS, &name);
                if rule.network_interface == interface.id {
                    wanted.insert(pool.clone());
                }
                needed.insert(pool);
            }
        }
        let in_primary = interface.primary().map(|one| one.pools.clone()).unwrap_or_default();
        let join = wanted.difference(&in_primary).cloned().collect();
        let all = interface.configurations.iter().flat_map(|one| &one.pools);
        let leave = all
            .filter(|pool| pool.whole() == gateway.load_balancer && is_marked(owner, pool.name()))
            .filter(|pool| !wanted.contains(pool))
            // What a rule of ours needs holds its machine alone; the rest goes with what nothing needs.
            .filter(|pool| needed.contains(pool) || (self.desired.prune && !self.is_used(site, pool)))
            .cloned()
            .collect();
        (join, leave)
    }

    /// Whether something of others leads to `pool` of ours.
    fn is_used(&self, site: &Site<'_>, pool: &ResourceId) -> bool {
        let held = site.state.load_balancer.present();
        held.is_some_and(|held| held.pool_user(&self.desired.owner, pool.name()).is_some())
    }
}
