//! The gateway: load balancer, NAT rules, security rules, network interfaces, in the order in which each finds what it
//! needs.

use std::collections::{BTreeMap, BTreeSet};

use super::derive::{BUSY, Planner};
use super::{
    Action, GatewayChange, GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Note, Part,
    SecurityGroupChange, SecurityRuleChange, Subject,
};
use crate::model::endpoint::{Endpoint, Handle, Provisioning};
use crate::model::gateway::fit::{nat_rule, security_rule};
use crate::model::gateway::{
    Frontend, Gateway, GatewayState, LoadBalancer, NatRule, NetworkInterface, SecurityGroup, marked, prefix,
};
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

/// What several endpoints share, as far as this plan has come.
#[derive(Default)]
pub(super) struct Shared {
    /// The security groups that this plan makes, for whom, and the step.
    groups: BTreeMap<ResourceId, (Handle, usize)>,
    /// The priorities that this plan gives away.
    priorities: BTreeMap<ResourceId, Vec<u16>>,
    /// The security groups that were looked through for rules that nobody wants any more.
    pruned: BTreeSet<ResourceId>,
}

/// One endpoint's gateway while it is planned.
pub(super) struct Site<'p> {
    pub(super) endpoint: &'p Endpoint,
    pub(super) gateway: &'p Gateway,
    pub(super) state: &'p GatewayState,
}

impl<'p> Planner<'p> {
    /// Plans what `endpoint`'s gateway lacks, after the step that makes its public IP; gives the last steps.
    pub(super) fn gateway(&mut self, endpoint: &'p Endpoint, public_ip: Option<usize>) -> Vec<usize> {
        let Some(site) = self.site(endpoint) else { return Vec::new() };
        self.way_out(&site);
        let balancer = self.balancer(&site, public_ip);
        let mut behind: Vec<usize> = balancer.into_iter().collect();
        let mut before: Vec<usize> = Vec::new();
        for rule in &site.gateway.nat_rules {
            before.extend(self.nat_rule(&site, rule, balancer));
        }
        let mut held_back = false;
        for rule in &site.gateway.nat_rules {
            match self.access(&site, rule) {
                Ok(step) => before.extend(step),
                Err(()) => held_back = true,
            }
        }
        behind.extend(&before);
        let behind = self.last(behind);
        if held_back {
            return behind;
        }
        let interfaces = self.interfaces(&site, &behind);
        if self.desired.prune {
            self.unwanted(&site, &interfaces);
        }
        if interfaces.is_empty() { behind } else { interfaces }
    }

    /// The gateway of `endpoint` and what was seen of it; tells what keeps it from being planned.
    pub(super) fn site(&mut self, endpoint: &'p Endpoint) -> Option<Site<'p>> {
        let gateway = endpoint.gateway.as_ref()?;
        let subject = Subject::Gateway(
            endpoint.name.clone(),
            super::Piece::LoadBalancer(gateway.load_balancer.name().to_owned()),
        );
        let observed: &'p _ = self.observed;
        let Some(state) = observed.endpoints.get(&endpoint.name).and_then(|state| state.gateway.as_ref())
        else {
            self.block(subject, "what stands behind the public IP, which was not read", false);
            return None;
        };
        if let Some((what, reason)) = state.unread() {
            self.block(subject, &format!("the {what}, which could not be read: {reason}"), false);
            return None;
        }
        if let Some(what) = state.busy() {
            self.block(subject, &BUSY.replace("the public IP", &what), false);
            return None;
        }
        Some(Site { endpoint, gateway, state })
    }

    pub(super) fn build(
        &mut self,
        endpoint: &Handle,
        part: Part,
        after: Vec<usize>,
        reason: String,
    ) -> usize {
        let change = GatewayChange { endpoint: endpoint.clone(), part };
        self.step(Some(endpoint), Action::Gateway(Box::new(change)), after, reason)
    }

    /// Those of `steps` that no other of them waits for.
    fn last(&self, mut steps: Vec<usize>) -> Vec<usize> {
        steps.sort_unstable();
        steps.dedup();
        let waited = |step: &usize| {
            steps
                .iter()
                .filter_map(|other| self.plan.steps.get(*other))
                .any(|other| other.after.contains(step))
        };
        steps.iter().copied().filter(|step| !waited(step)).collect()
    }

    fn balancer(&mut self, site: &Site<'p>, public_ip: Option<usize>) -> Option<usize> {
        let Site { endpoint, gateway, state } = site;
        let owner = &self.desired.owner;
        let held = state.load_balancer.present();
        let mut change = LoadBalancerChange {
            id: gateway.load_balancer.clone(),
            location: endpoint.public_ip.location.clone(),
            held: held.cloned(),
            delete: false,
            frontends: Vec::new(),
            pools: Vec::new(),
            without_frontends: Vec::new(),
            without_pools: Vec::new(),
        };
        let mut why = Vec::new();
        if held.is_none_or(|held| held.frontend_of(&gateway.public_ip).is_none()) {
            let name = marked(owner, endpoint.name.as_str());
            let elsewhere = held.is_some_and(|held| held.frontends.iter().any(|held| held.name == name));
            why.push(if elsewhere {
                "its frontend is elsewhere"
            } else {
                "it has no frontend on the public IP"
            });
            change.frontends.push(Frontend { name, public_ip: Some(gateway.public_ip.clone()) });
        }
        for rule in &gateway.nat_rules {
            let name = marked(owner, &rule.name);
            let served =
                held.is_some_and(|held| held.serving(owner, &gateway.public_ip, rule, state).is_some());
            if !served && !held.is_some_and(|held| held.pools.iter().any(|pool| pool.name == name)) {
                change.pools.push(name);
            }
        }
        if !change.pools.is_empty() {
            why.push("a NAT rule needs a pool");
        }
        let reason = match held {
            None => "does not exist yet".to_owned(),
            Some(held) if why.is_empty() && held.provisioning == Provisioning::Failed => {
                "its last operation failed".to_owned()
            }
            Some(_) if why.is_empty() => return None,
            Some(_) => why.join(", and "),
        };
        let after = public_ip.into_iter().collect();
        Some(self.build(&endpoint.name, Part::LoadBalancer(change), after, reason))
    }

    fn nat_rule(&mut self, site: &Site<'p>, rule: &'p NatRule, balancer: Option<usize>) -> Option<usize> {
        let Site { endpoint, gateway, state } = site;
        let owner = &self.desired.owner;
        let held = state.load_balancer.present();
        let name = marked(owner, &rule.name);
        let ours = held.and_then(|held| held.nat_rules.iter().find(|held| held.name == name));
        if let (None, Some(serving)) =
            (ours, held.and_then(|held| held.serving(owner, &gateway.public_ip, rule, state)))
        {
            if serving.pool.is_none() {
                let text = format!(
                    "{} does it, and is of version 1, which Azure retires on 30 September 2027",
                    serving.name
                );
                let subject =
                    Subject::Gateway(endpoint.name.clone(), super::Piece::NatRule(rule.name.clone()));
                self.plan.notes.push(Note { subject, text });
            }
            return None;
        }
        let frontend =
            held.and_then(|held| held.frontend_of(&gateway.public_ip)).map(|frontend| frontend.name.clone());
        let frontend = frontend.unwrap_or_else(|| marked(owner, endpoint.name.as_str()));
        let wanted = nat_rule(owner, gateway, rule, &frontend);
        let reason = match ours {
            None => "does not exist yet".to_owned(),
            Some(held) if *held == wanted => return None,
            Some(held) if held.provisioning == Provisioning::Failed => "its last operation failed".to_owned(),
            Some(_) => "leads elsewhere than it shall".to_owned(),
        };
        let change = NatRuleChange {
            load_balancer: gateway.load_balancer.clone(),
            held: ours.cloned(),
            wanted: Some(wanted),
        };
        Some(self.build(&endpoint.name, Part::NatRule(change), balancer.into_iter().collect(), reason))
    }

    /// The security group, and the rule in it; an error when somebody else's step comes first.
    fn access(&mut self, site: &Site<'p>, rule: &'p NatRule) -> Result<Vec<usize>, ()> {
        let Some(access) = &rule.access else { return Ok(Vec::new()) };
        let id = &access.network_security_group;
        let interface = site.state.interface(&rule.network_interface);
        let mut steps = Vec::new();
        let held = match site.state.group(id) {
            Some(held) => Some(held),
            None => {
                match self.shared.groups.get(id) {
                    Some((endpoint, step)) if *endpoint == site.endpoint.name => steps.push(*step),
                    Some((endpoint, _)) => {
                        let subject = Subject::Gateway(
                            site.endpoint.name.clone(),
                            super::Piece::SecurityGroup(id.name().to_owned()),
                        );
                        let waits_for = format!("the security group, which {endpoint} makes");
                        self.block(subject, &waits_for, true);
                        return Err(());
                    }
                    None => {
                        let location = site.endpoint.public_ip.location.clone();
                        let change = SecurityGroupChange { id: id.clone(), location, held: None };
                        let step = self.build(
                            &site.endpoint.name,
                            Part::SecurityGroup(change),
                            Vec::new(),
                            "does not exist yet".into(),
                        );
                        self.shared.groups.insert(id.clone(), (site.endpoint.name.clone(), step));
                        steps.push(step);
                    }
                }
                None
            }
        };
        let owner = &self.desired.owner;
        let name = marked(owner, &rule.name);
        let ours = held.and_then(|held| held.rules.iter().find(|held| held.name == name));
        let closed = held.and_then(|held| SecurityGroup::shut(held.foreign(owner), access, rule, interface));
        if held.is_some() && closed.is_none() && ours.is_none() {
            return Ok(steps);
        }
        let planned = self.shared.priorities.entry(id.clone()).or_default();
        let empty;
        let group = match held {
            Some(held) => held,
            None => {
                empty = SecurityGroup::empty(id.clone());
                &empty
            }
        };
        // Without a place for it the guard refuses it, with what there is to say.
        let Some(priority) = group.place(owner, access, rule, interface, planned) else { return Ok(steps) };
        planned.push(priority);
        let wanted = security_rule(owner, access, rule, priority);
        let failed = held.is_some_and(|held| held.provisioning == Provisioning::Failed);
        let reason = match ours {
            None => format!("lets {} clients in", rule.protocol),
            Some(held) if *held == wanted && !failed => return Ok(steps),
            Some(held) if *held == wanted => "the last operation on its group failed".to_owned(),
            Some(_) => "lets in others than it shall".to_owned(),
        };
        let change = SecurityRuleChange { group: id.clone(), held: ours.cloned(), wanted: Some(wanted) };
        let step = self.build(&site.endpoint.name, Part::SecurityRule(change), steps.clone(), reason);
        steps.push(step);
        Ok(steps)
    }

    /// One write for each network interface: the pools that it shall be in, and its security group.
    fn interfaces(&mut self, site: &Site<'p>, after: &[usize]) -> Vec<usize> {
        let Site { endpoint, gateway, state } = site;
        let mut steps = Vec::new();
        for interface in state.interfaces.values().filter_map(Seen::present) {
            let (join, leave) = self.memberships(site, interface);
            let group = grouping(gateway, state, interface);
            let mut why = Vec::new();
            if !join.is_empty() {
                why.push("is not in its pool");
            }
            if !leave.is_empty() {
                why.push("is in a pool that nothing needs");
            }
            if group != GroupChange::Kept {
                why.push("has no security group");
            }
            // What put it into our pool may be what failed; writing it again is Azure's remedy.
            if why.is_empty()
                && interface.provisioning == Provisioning::Failed
                && self.is_in_ours(site, interface)
            {
                why.push("its last operation failed");
            }
            if why.is_empty() {
                continue;
            }
            let reason = why.join(", and ");
            let change = InterfaceChange { held: interface.clone(), join, leave, group };
            steps.push(self.build(&endpoint.name, Part::Interface(change), after.to_vec(), reason));
        }
        steps
    }

    /// Whether `interface` is in a pool of ours.
    fn is_in_ours(&self, site: &Site<'p>, interface: &NetworkInterface) -> bool {
        let prefix = prefix(&self.desired.owner);
        let ours = |pool: &ResourceId| {
            pool.whole() == site.gateway.load_balancer && pool.name().starts_with(&prefix)
        };
        interface.configurations.iter().any(|one| one.pools.iter().any(ours))
    }

    /// The pools that `interface` lacks, and those of ours that it shall not be in.
    fn memberships(
        &self,
        site: &Site<'p>,
        interface: &NetworkInterface,
    ) -> (BTreeSet<ResourceId>, BTreeSet<ResourceId>) {
        let Site { gateway, state, .. } = site;
        let owner = &self.desired.owner;
        let held = state.load_balancer.present();
        let wanted: BTreeSet<ResourceId> = (gateway.nat_rules.iter())
            .filter(|rule| rule.network_interface == interface.id)
            .filter(|rule| {
                let ours = marked(owner, &rule.name);
                let made = held.is_some_and(|held| held.nat_rules.iter().any(|held| held.name == ours));
                made || !held
                    .is_some_and(|held| held.serving(owner, &gateway.public_ip, rule, state).is_some())
            })
            .map(|rule| {
                gateway.load_balancer.part(crate::model::gateway::fit::POOLS, &marked(owner, &rule.name))
            })
            .collect();
        let in_primary = interface.primary().map(|one| one.pools.clone()).unwrap_or_default();
        let join = wanted.difference(&in_primary).cloned().collect();
        let prefix = prefix(owner);
        let ours =
            |pool: &&ResourceId| pool.whole() == gateway.load_balancer && pool.name().starts_with(&prefix);
        let all: BTreeSet<ResourceId> =
            interface.configurations.iter().flat_map(|one| one.pools.clone()).collect();
        let leave = all.iter().filter(ours).filter(|pool| !wanted.contains(pool)).cloned().collect();
        (join, if self.desired.prune { leave } else { BTreeSet::new() })
    }

    /// What carries our mark in the gateway, and nothing wants: rules, then the pools that they led to.
    fn unwanted(&mut self, site: &Site<'p>, interfaces: &[usize]) {
        let Site { endpoint, gateway, state } = site;
        let owner = self.desired.owner.clone();
        let wanted: BTreeSet<String> =
            gateway.nat_rules.iter().map(|rule| marked(&owner, &rule.name)).collect();
        let mut gone: Vec<usize> = interfaces.to_vec();
        let stray = |name: &str| name.starts_with(&prefix(&owner)) && !wanted.contains(name);
        let Some(balancer) = state.load_balancer.present() else { return };
        for rule in balancer.nat_rules.iter().filter(|rule| stray(&rule.name)) {
            let change =
                NatRuleChange { load_balancer: balancer.id.clone(), held: Some(rule.clone()), wanted: None };
            gone.push(self.build(
                &endpoint.name,
                Part::NatRule(change),
                interfaces.to_vec(),
                UNWANTED.into(),
            ));
        }
        let pools: Vec<String> =
            balancer.pools.iter().map(|pool| pool.name.clone()).filter(|name| stray(name)).collect();
        if !pools.is_empty() {
            let change = LoadBalancerChange { without_pools: pools, ..unchanged(balancer) };
            self.build(
                &endpoint.name,
                Part::LoadBalancer(change),
                gone,
                "nothing needs a pool of ours any more".into(),
            );
        }
        let everywhere: BTreeSet<String> = (self.desired.endpoints.values())
            .filter_map(|endpoint| endpoint.gateway.as_ref())
            .flat_map(|gateway| &gateway.nat_rules)
            .filter(|rule| rule.access.is_some())
            .map(|rule| marked(&owner, &rule.name))
            .collect();
        for group in state.groups.values().filter_map(Seen::present) {
            if !self.shared.pruned.insert(group.id.clone()) {
                continue;
            }
            let stray = |name: &str| name.starts_with(&prefix(&owner)) && !everywhere.contains(name);
            for rule in group.rules.iter().filter(|rule| stray(&rule.name)) {
                let change =
                    SecurityRuleChange { group: group.id.clone(), held: Some(rule.clone()), wanted: None };
                self.build(&endpoint.name, Part::SecurityRule(change), interfaces.to_vec(), UNWANTED.into());
            }
        }
    }

    /// An inbound NAT rule lets in only.
    fn way_out(&mut self, site: &Site<'p>) {
        let Site { endpoint, gateway, state } = site;
        let outbound = state.load_balancer.present().map(|held| &held.outbound);
        for interface in state.interfaces.values().filter_map(Seen::present) {
            if !gateway.nat_rules.iter().any(|rule| rule.network_interface == interface.id) {
                continue;
            }
            let Some(primary) = interface.primary() else { continue };
            let subnet =
                primary.subnet.as_ref().and_then(|subnet| state.subnets.get(subnet)).and_then(Seen::present);
            let translated =
                outbound.is_some_and(|outbound| primary.pools.iter().any(|pool| outbound.contains(pool)));
            if primary.public_ip.is_some() || translated || subnet.is_some_and(|subnet| subnet.nat_gateway) {
                continue;
            }
            let subject = Subject::Gateway(
                endpoint.name.clone(),
                super::Piece::Interface(interface.id.name().to_owned()),
            );
            self.plan.notes.push(Note { subject, text: NO_WAY_OUT.into() });
        }
    }
}

/// The security group that `interface` gets, where it and its subnet lack what its rules stand in.
fn grouping(gateway: &Gateway, state: &GatewayState, interface: &NetworkInterface) -> GroupChange {
    let mut wanted = (gateway.nat_rules.iter())
        .filter(|rule| rule.network_interface == interface.id)
        .filter_map(|rule| Some(&rule.access.as_ref()?.network_security_group));
    match wanted.find(|group| state.subnet_group(interface) != Some(*group)) {
        Some(group) if interface.group.is_none() => GroupChange::Set(group.clone()),
        _ => GroupChange::Kept,
    }
}

/// A change to `balancer` that changes nothing yet.
pub(super) fn unchanged(balancer: &LoadBalancer) -> LoadBalancerChange {
    LoadBalancerChange {
        id: balancer.id.clone(),
        location: balancer.location.clone(),
        held: Some(balancer.clone()),
        delete: false,
        frontends: Vec::new(),
        pools: Vec::new(),
        without_frontends: Vec::new(),
        without_pools: Vec::new(),
    }
}

const UNWANTED: &str = "carries our mark, and the configuration does not name it";
const NO_WAY_OUT: &str = "has no way out to the internet through an inbound NAT rule, which lets in only; where it needs \
                          one, give its subnet a NAT gateway, the load balancer an outbound rule, or the machine a \
                          public IP of its own";
