//! What stands behind public IPs, in memory, and refers to each other as Azure insists.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::endpoint::Provisioning;
use crate::model::gateway::{
    Gateway, GatewayState, HeldNatRule, LoadBalancer, NetworkInterface, Ports, SecurityGroup, SecurityRule,
    Subnet, carries_mark, same_name,
};
use crate::model::plan::{
    GatewayChange, GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Part,
    SecurityGroupChange, SecurityRuleChange,
};
use crate::model::record::{Owner, Version};
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;
use crate::provider::{Kind, Mapping};

/// Every resource but the public IPs. Who is in a pool and who uses a group is told by those who are and do.
#[derive(Clone, Debug, Default)]
pub(super) struct Resources {
    pub(super) balancers: BTreeMap<ResourceId, LoadBalancer>,
    pub(super) interfaces: BTreeMap<ResourceId, NetworkInterface>,
    pub(super) subnets: BTreeMap<ResourceId, Subnet>,
    pub(super) groups: BTreeMap<ResourceId, SecurityGroup>,
}

/// What a change comes to.
pub(super) enum Outcome {
    /// It stands so already.
    Stands,
    /// This shall be kept in its place.
    Written(Box<Resources>),
}

impl Resources {
    /// What is seen of `gateway`.
    pub(super) fn observe(&self, gateway: &Gateway) -> GatewayState {
        let balancer = self.balancer(&gateway.load_balancer);
        let marked = balancer.iter().flat_map(|held| &held.pools).filter(|pool| carries_mark(&pool.name));
        let members = marked.flat_map(|pool| pool.members.iter().map(ResourceId::whole));
        let wanted = gateway.nat_rules.iter().map(|rule| rule.network_interface.clone());
        let interfaces: BTreeSet<ResourceId> = wanted.chain(members).collect();
        let held: Vec<&NetworkInterface> =
            interfaces.iter().filter_map(|id| self.interfaces.get(id)).collect();
        let configurations = || held.iter().flat_map(|interface| &interface.configurations);
        let subnets: BTreeSet<&ResourceId> = configurations().filter_map(|one| one.subnet.as_ref()).collect();
        let allowing = gateway.nat_rules.iter().filter_map(|rule| rule.access.as_ref());
        let groups: BTreeSet<&ResourceId> = allowing
            .map(|access| &access.network_security_group)
            .chain(held.iter().filter_map(|interface| interface.group.as_ref()))
            .chain(subnets.iter().filter_map(|id| self.subnets.get(id)?.group.as_ref()))
            .collect();
        let referred = configurations().flat_map(|one| one.pools.iter().chain(&one.nat_rules));
        let others: BTreeSet<ResourceId> =
            referred.map(ResourceId::whole).filter(|id| *id != gateway.load_balancer).collect();
        GatewayState {
            load_balancer: seen(balancer),
            groups: groups.into_iter().map(|id| (id.clone(), seen(self.group(id)))).collect(),
            subnets: (subnets.into_iter())
                .map(|id| (id.clone(), seen(self.subnets.get(id).cloned())))
                .collect(),
            others: others.into_iter().map(|id| (id.clone(), seen(self.balancer(&id)))).collect(),
            interfaces: (interfaces.iter())
                .map(|id| (id.clone(), seen(self.interfaces.get(id).cloned())))
                .collect(),
        }
    }

    /// What `change` comes to, with `version` on what it writes. `public_ips` are those that are there, and what
    /// each stands in front of.
    pub(super) fn build(
        &self,
        owner: &Owner,
        change: &GatewayChange,
        public_ips: &BTreeMap<ResourceId, Option<ResourceId>>,
        version: &Version,
    ) -> Result<Outcome, Kind> {
        let needed = match &change.part {
            Part::LoadBalancer(part) => self.balances(part, public_ips)?,
            Part::NatRule(part) => self.translates(part)?,
            Part::SecurityGroup(part) => self.founds(owner, part)?,
            Part::SecurityRule(part) => self.admits(part)?,
            Part::Interface(part) => self.attaches(part)?,
        };
        if !needed {
            return Ok(Outcome::Stands);
        }
        let mut after = self.clone();
        let balancer = match &change.part {
            Part::LoadBalancer(part) => Some(&part.id),
            Part::NatRule(part) => Some(&part.load_balancer),
            _ => None,
        };
        let mut state = GatewayState {
            load_balancer: seen(balancer.and_then(|id| self.balancer(id))),
            interfaces: all(&self.interfaces),
            subnets: BTreeMap::new(),
            groups: all(&self.groups),
            others: BTreeMap::new(),
        };
        if let Part::SecurityGroup(part) = &change.part {
            state.groups.entry(part.id.clone()).or_insert(Seen::Absent);
        }
        state.make(owner, &change.part);
        match &change.part {
            Part::LoadBalancer(LoadBalancerChange { id, .. })
            | Part::NatRule(NatRuleChange { load_balancer: id, .. }) => match state.load_balancer {
                Seen::Present(held) => {
                    let version = version.clone();
                    after.balancers.insert(id.clone(), LoadBalancer { version, ..held });
                }
                Seen::Absent | Seen::Unknown(_) => drop(after.balancers.remove(id)),
            },
            Part::SecurityGroup(SecurityGroupChange { id, .. })
            | Part::SecurityRule(SecurityRuleChange { group: id, .. }) => match state.groups.remove(id) {
                Some(Seen::Present(held)) => {
                    let version = version.clone();
                    after.groups.insert(id.clone(), SecurityGroup { version, ..held });
                }
                _ => drop(after.groups.remove(id)),
            },
            Part::Interface(part) => {
                if let Some(Seen::Present(held)) = state.interfaces.remove(&part.held.id) {
                    let version = version.clone();
                    after.interfaces.insert(part.held.id.clone(), NetworkInterface { version, ..held });
                }
            }
        }
        after.fits().then(|| Outcome::Written(Box::new(after))).ok_or(Kind::Rejected)
    }

    /// Which port leads to `machine` by the rule called `rule`.
    pub(super) fn mapping(&self, pool: &ResourceId, machine: &ResourceId, rule: &str) -> Option<Mapping> {
        let balancer = self.balancer(&pool.whole())?;
        let held = balancer.pools.iter().find(|one| balancer.pool_id(&one.name) == *pool)?;
        held.members.iter().find(|member| member.whole() == *machine)?;
        let leads = |one: &&HeldNatRule| same_name(&one.name, rule) && one.pool.as_ref() == Some(pool);
        let rule = balancer.nat_rules.iter().find(leads)?;
        Some(Mapping { frontend_port: rule.ports.first, backend_port: rule.backend_port })
    }

    /// A load balancer, with the members of its pools and the targets of its rules.
    pub(super) fn balancer(&self, id: &ResourceId) -> Option<LoadBalancer> {
        let mut held = self.balancers.get(id)?.clone();
        let configurations = || {
            self.interfaces.values().flat_map(|interface| {
                let id = |name: &str| interface.id.part("ipConfigurations", name);
                interface.configurations.iter().map(move |one| (id(&one.name), one))
            })
        };
        let ids: Vec<ResourceId> = held.pools.iter().map(|pool| held.pool_id(&pool.name)).collect();
        for (pool, id) in held.pools.iter_mut().zip(ids) {
            pool.members =
                configurations().filter(|(_, one)| one.pools.contains(&id)).map(|(at, _)| at).collect();
        }
        for rule in held.nat_rules.iter_mut().filter(|rule| rule.pool.is_none()) {
            let id = id.part("inboundNatRules", &rule.name);
            rule.target = configurations().find(|(_, one)| one.nat_rules.contains(&id)).map(|(at, _)| at);
        }
        Some(held)
    }

    /// A security group, with those that use it.
    pub(super) fn group(&self, id: &ResourceId) -> Option<SecurityGroup> {
        let mut held = self.groups.get(id)?.clone();
        let interfaces = self.interfaces.iter().filter(|(_, one)| one.group.as_ref() == Some(id));
        let subnets = self.subnets.iter().filter(|(_, one)| one.group.as_ref() == Some(id));
        held.users = interfaces.map(|(at, _)| at).chain(subnets.map(|(at, _)| at)).cloned().collect();
        Some(held)
    }

    /// Whether there is something to write, as for the rest.
    fn balances(
        &self,
        change: &LoadBalancerChange,
        public_ips: &BTreeMap<ResourceId, Option<ResourceId>>,
    ) -> Result<bool, Kind> {
        let Some(present) = self.balancers.get(&change.id) else {
            let goes = change.delete || (change.frontends.is_empty() && change.pools.is_empty());
            return match (&change.held, goes) {
                (Some(_), true) => Ok(false),
                (Some(_), false) => Err(Kind::Stale),
                (None, _) => self.fronts(change, public_ips),
            };
        };
        if change.delete {
            let planned = change.held.as_ref().is_some_and(|held| {
                let known = |names: Vec<&str>, held: Vec<&str>| names.iter().all(|name| held.contains(name));
                known(parts(present), parts(held))
            });
            return if planned { Ok(true) } else { Err(Kind::Stale) };
        }
        if !change.meets(present) {
            return Err(Kind::Stale);
        }
        let stands = change.frontends.iter().all(|one| present.frontends.contains(one))
            && change.pools.iter().all(|name| present.pools.iter().any(|one| same_name(&one.name, name)))
            && !change
                .without_frontends
                .iter()
                .any(|name| present.frontends.iter().any(|one| one.name == *name))
            && !change.without_pools.iter().any(|name| present.pools.iter().any(|one| one.name == *name));
        if stands && present.provisioning == Provisioning::Succeeded {
            return Ok(false);
        }
        if change.held.is_none() && !stands {
            return Err(Kind::Stale);
        }
        self.fronts(change, public_ips)
    }

    /// Whether the public IPs are there, and in front of nothing else.
    fn fronts(
        &self,
        change: &LoadBalancerChange,
        public_ips: &BTreeMap<ResourceId, Option<ResourceId>>,
    ) -> Result<bool, Kind> {
        for public_ip in change.frontends.iter().filter_map(|one| one.public_ip.as_ref()) {
            match public_ips.get(public_ip) {
                None => return Err(Kind::Rejected),
                Some(Some(user)) if *user != change.id => return Err(Kind::Rejected),
                Some(_) => {}
            }
        }
        Ok(true)
    }

    fn translates(&self, change: &NatRuleChange) -> Result<bool, Kind> {
        let Some(balancer) = self.balancers.get(&change.load_balancer) else {
            return if change.wanted.is_none() { Ok(false) } else { Err(Kind::Missing) };
        };
        let name = change.wanted.as_ref().or(change.held.as_ref()).map_or("", |rule| rule.name.as_str());
        let present = balancer.nat_rules.iter().find(|one| same_name(&one.name, name));
        planned(present, change.held.as_ref(), change.wanted.as_ref(), |one, other| one == other)
    }

    fn founds(&self, owner: &Owner, change: &SecurityGroupChange) -> Result<bool, Kind> {
        match (self.groups.get(&change.id), &change.held) {
            (None, Some(_)) => Ok(false),
            (None, None) => Ok(true),
            (Some(present), None) if present.mark.as_ref() == Some(owner) => Ok(false),
            (Some(_), None) => Err(Kind::Stale),
            (Some(present), Some(held)) => {
                let known = |rule: &SecurityRule| held.rule(&rule.name).is_some();
                if present.rules.iter().all(known) { Ok(true) } else { Err(Kind::Stale) }
            }
        }
    }

    fn admits(&self, change: &SecurityRuleChange) -> Result<bool, Kind> {
        let Some(group) = self.groups.get(&change.group) else {
            return if change.wanted.is_none() { Ok(false) } else { Err(Kind::Missing) };
        };
        let name = change.wanted.as_ref().or(change.held.as_ref()).map_or("", |rule| rule.name.as_str());
        planned(group.rule(name), change.held.as_ref(), change.wanted.as_ref(), SecurityRule::says)
    }

    fn attaches(&self, change: &InterfaceChange) -> Result<bool, Kind> {
        let present = self.interfaces.get(&change.held.id).ok_or(Kind::Missing)?;
        let group = present.group.as_ref();
        let regrouped = match &change.group {
            GroupChange::Kept => false,
            GroupChange::Set(wanted) if group == Some(wanted) => false,
            GroupChange::Set(wanted) if group.is_none() => {
                self.groups.get(wanted).ok_or(Kind::Rejected)?;
                true
            }
            GroupChange::Cleared if group.is_none() => false,
            GroupChange::Cleared if group == change.held.group.as_ref() => true,
            GroupChange::Set(_) | GroupChange::Cleared => return Err(Kind::Stale),
        };
        let primary = present.primary().ok_or(Kind::Rejected)?;
        let joined = change.join.iter().all(|pool| primary.pools.contains(pool));
        let left = present.configurations.iter().all(|one| one.pools.is_disjoint(&change.leave));
        let failed = present.provisioning == Provisioning::Failed;
        Ok(regrouped || !joined || !left || failed)
    }

    /// Whether everything refers to what is there.
    fn fits(&self) -> bool {
        let balancers: Vec<LoadBalancer> = self.balancers.keys().filter_map(|id| self.balancer(id)).collect();
        let whole = balancers.iter().all(|held| {
            held.nat_rules.iter().all(|rule| {
                let pool =
                    rule.pool.as_ref().map(|id| held.pools.iter().find(|one| held.pool_id(&one.name) == *id));
                let members = pool.flatten().map(|pool| pool.members.iter().collect::<Vec<_>>());
                held.frontends.iter().any(|one| held.frontend_id(&one.name) == rule.frontend)
                    && held.taken(rule).is_none()
                    && pool.is_none_or(|pool| pool.is_some())
                    && members.iter().flatten().all(|machine| held.rival(rule, machine).is_none())
                    && members.is_none_or(|members| members.len() <= room(rule.ports))
            }) && held
                .other_ports
                .iter()
                .all(|(_, _, at, _)| held.frontends.iter().any(|one| held.frontend_id(&one.name) == *at))
        });
        let pool_is_there = |id: &ResourceId| {
            let held = self.balancers.get(&id.whole());
            held.is_some_and(|held| held.pools.iter().any(|one| held.pool_id(&one.name) == *id))
        };
        let interfaces = self.interfaces.values().all(|interface| {
            interface.configurations.iter().flat_map(|one| &one.pools).all(pool_is_there)
                && interface.group.as_ref().is_none_or(|group| self.groups.contains_key(group))
        });
        let subnets = self.subnets.values().filter_map(|subnet| subnet.group.as_ref());
        let mut places = BTreeSet::new();
        let groups = self.groups.values().all(|group| {
            group.rules.iter().all(|rule| places.insert((group.id.clone(), rule.inbound, rule.priority)))
        });
        whole && interfaces && groups && subnets.into_iter().all(|group| self.groups.contains_key(group))
    }
}

/// Whether a part must be written to become `wanted`, if it is as it was held.
fn planned<T>(
    present: Option<&T>,
    held: Option<&T>,
    wanted: Option<&T>,
    same: impl Fn(&T, &T) -> bool,
) -> Result<bool, Kind> {
    match (present, wanted) {
        (None, None) => return Ok(false),
        (Some(present), Some(wanted)) if same(present, wanted) => return Ok(false),
        _ => {}
    }
    match (present, held) {
        (None, None) => Ok(true),
        (Some(present), Some(held)) if same(present, held) => Ok(true),
        _ => Err(Kind::Stale),
    }
}

fn parts(balancer: &LoadBalancer) -> Vec<&str> {
    let frontends = balancer.frontends.iter().map(|one| one.name.as_str());
    let pools = balancer.pools.iter().map(|one| one.name.as_str());
    let rules = balancer.nat_rules.iter().map(|one| one.name.as_str());
    frontends.chain(pools).chain(rules).chain(balancer.other_ports.iter().map(|one| one.0.as_str())).collect()
}

/// How many machines a span of ports has room for.
fn room(ports: Ports) -> usize {
    usize::from(ports.last - ports.first) + 1
}

fn seen<T>(held: Option<T>) -> Seen<T> {
    held.map_or(Seen::Absent, Seen::Present)
}

fn all<T: Clone>(held: &BTreeMap<ResourceId, T>) -> BTreeMap<ResourceId, Seen<T>> {
    held.iter().map(|(id, one)| (id.clone(), Seen::Present(one.clone()))).collect()
}
