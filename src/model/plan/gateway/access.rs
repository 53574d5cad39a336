//! Security groups and the rules in them: who gets in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Note, Part, Piece, SecurityRuleChange, Site, Subject};
use crate::model::endpoint::{Endpoint, Intent, Provisioning};
use crate::model::gateway::fit::{Door, security_rule};
use crate::model::gateway::{
    Access, Gateway, GatewayState, NatRule, NetworkInterface, SecurityGroup, SecurityRule, marked,
};
use crate::model::plan::derive::Planner;
use crate::model::plan::groups::Going;
use crate::model::plan::{GroupChange, SecurityGroupChange};
use crate::model::resource_id::ResourceId;
use crate::model::state::Desired;

/// What several endpoints share, as far as this plan has come.
#[derive(Default)]
pub(in crate::model::plan) struct Shared<'p> {
    /// The steps that make security groups.
    groups: BTreeMap<ResourceId, usize>,
    /// The priorities that this plan gives away.
    priorities: BTreeMap<ResourceId, Vec<u16>>,
    /// The priorities that this plan takes from rules, and the steps.
    pub(super) freed: BTreeMap<(ResourceId, u16), usize>,
    /// The security groups that were looked through for rules that nobody wants any more.
    pub(in crate::model::plan) pruned: BTreeSet<ResourceId>,
    /// The steps that take network interfaces out of security groups that go.
    pub(in crate::model::plan) cleared: BTreeMap<ResourceId, BTreeMap<ResourceId, usize>>,
    /// The security groups to take away, once everything else is planned.
    pub(in crate::model::plan) going: BTreeMap<&'p ResourceId, Going<'p>>,
}

impl<'p> Planner<'p> {
    /// Lets in whom the NAT rules name.
    pub(super) fn access(&mut self, site: &Site<'p>) -> Vec<usize> {
        let rules = site.gateway.nat_rules.iter().filter_map(|rule| Some((rule, rule.access.as_ref()?)));
        // Those with a choice make room for those without, and whoever leaves a place goes before whoever comes.
        let (mut fixed, mut ordered): (Vec<_>, Vec<_>) =
            rules.partition(|(_, access)| access.priority.is_some());
        while !fixed.is_empty() {
            let waits = |(rule, access): &(&NatRule, &Access)| {
                let mut others = fixed.iter().filter(|(other, _)| other.name != rule.name);
                others.any(|(other, _)| self.stands_in_place(site.state, access, other))
            };
            // Where they wait for one another, the guard says so.
            let next = fixed.iter().position(|one| !waits(one)).unwrap_or(0);
            ordered.push(fixed.remove(next));
        }
        ordered.into_iter().flat_map(|(rule, access)| self.admit(site, rule, access)).collect()
    }

    /// The endpoints, each after those whose rules leave the places that its own are given.
    pub(in crate::model::plan) fn in_order(&self) -> Vec<&'p Endpoint> {
        let mut rest: Vec<&'p Endpoint> = self.desired.endpoints.values().collect();
        let mut ordered = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let waits = |one: &&Endpoint| {
                rest.iter().any(|other| other.name != one.name && self.comes_after(one, other))
            };
            // Where they wait for one another, the guard refuses one, and the next round has room for it.
            let next = rest.iter().position(|one| !waits(one)).unwrap_or(0);
            ordered.push(rest.remove(next));
        }
        ordered
    }

    /// Whether a rule of `one` is given the place that a rule of `other` stands in.
    fn comes_after(&self, one: &Endpoint, other: &Endpoint) -> bool {
        let state = self.observed.endpoints.get(&one.name).and_then(|state| state.gateway.as_ref());
        let (Some(state), Some(ours), Some(theirs)) = (state, &one.gateway, &other.gateway) else {
            return false;
        };
        one.intent == Intent::Hold
            && other.intent == Intent::Hold
            && (ours.nat_rules.iter().filter_map(|rule| rule.access.as_ref()))
                .filter(|access| access.priority.is_some())
                .any(|access| theirs.nat_rules.iter().any(|rule| self.stands_in_place(state, access, rule)))
    }

    /// Whether what stands where the configuration puts `access` is the security rule of `other`.
    fn stands_in_place(&self, state: &GatewayState, access: &Access, other: &NatRule) -> bool {
        let group = &access.network_security_group;
        let shared = other.access.as_ref().is_some_and(|theirs| theirs.network_security_group == *group);
        let held = || state.group(group)?.rule(&marked(&self.desired.owner, &other.name));
        shared && held().is_some_and(|held| held.inbound && Some(held.priority) == access.priority)
    }

    /// The security group, and the rule in it.
    fn admit(&mut self, site: &Site<'p>, rule: &'p NatRule, access: &'p Access) -> Vec<usize> {
        let id = &access.network_security_group;
        let endpoint = &site.endpoint.name;
        let interface = site.state.interface(&rule.network_interface);
        let owner = &self.desired.owner;
        let door = Door { owner, access, rule, interface };
        // What nothing wants is on its way out, and in nobody's way.
        let held = site.state.group(id).map(|held| {
            let mut held = held.clone();
            if self.desired.prune {
                let strays: Vec<&SecurityRule> = self.stray_security_rules(&held).collect();
                let rules = held.rules.iter().filter(|rule| !strays.contains(rule)).cloned().collect();
                held.rules = rules;
            }
            held
        });
        let held = held.as_ref();
        let name = marked(owner, &rule.name);
        let ours = held.and_then(|held| held.rule(&name));
        if let Some(held) = held.filter(|held| ours.is_none() && held.serves(door)) {
            self.served(site, rule, access, held, name);
            self.doors(site, rule, access, None);
            return Vec::new();
        }
        let mut steps = Vec::new();
        if held.is_none() {
            let step = match self.shared.groups.get(id) {
                Some(step) => *step,
                None => {
                    let location = site.endpoint.public_ip.location.clone();
                    let change = SecurityGroupChange { id: id.clone(), location, held: None };
                    let reason = "does not exist yet".to_owned();
                    let step = self.build(endpoint, Part::SecurityGroup(change), Vec::new(), reason);
                    self.shared.groups.insert(id.clone(), step);
                    step
                }
            };
            steps.push(step);
        }
        let mut planned = reserved(self.desired, id, rule);
        planned.extend(self.shared.priorities.get(id).into_iter().flatten());
        let empty;
        let group = match held {
            Some(held) => held,
            None => {
                empty = SecurityGroup::empty(id.clone());
                &empty
            }
        };
        let Some(priority) = group.place(door, &planned) else {
            // Where none becomes free by this plan the guard refuses it, with what there is to say.
            let subject = Subject::Gateway(endpoint.clone(), Piece::SecurityRule(name));
            self.block(subject, &format!("a free priority in {}", id.name()), true);
            return steps;
        };
        self.shared.priorities.entry(id.clone()).or_default().push(priority);
        let mut wanted = security_rule(owner, access, rule, priority);
        self.doors(site, rule, access, Some(&wanted));
        let behind = group.users.iter().any(|user| *user != rule.network_interface);
        if behind {
            let sources: Vec<String> = wanted.sources.iter().map(ToString::to_string).collect();
            let text = format!(
                "opens port {} of every machine behind {} to {}",
                rule.backend_port,
                id.name(),
                sources.join(", ")
            );
            let subject = Subject::Gateway(endpoint.clone(), Piece::SecurityRule(name.clone()));
            self.plan.notes.push(Note { subject, text });
        }
        let failed = held.is_some_and(|held| held.provisioning == Provisioning::Failed);
        let reason = match ours {
            None => format!("lets {} clients in", rule.protocol),
            Some(ours) => {
                // Azure keeps the case that a name was made in.
                wanted.name.clone_from(&ours.name);
                match differences(ours, &wanted) {
                    Some(differences) => differences,
                    None if failed => "the last operation on its group failed".to_owned(),
                    None => return steps,
                }
            }
        };
        let mut after = steps.clone();
        after.extend(self.shared.freed.get(&(id.clone(), priority)));
        let change = SecurityRuleChange { group: id.clone(), held: ours.cloned(), wanted: Some(wanted) };
        let step = self.build(endpoint, Part::SecurityRule(change), after, reason);
        if let Some(left) = ours.map(|ours| ours.priority).filter(|left| *left != priority) {
            self.shared.freed.insert((id.clone(), left), step);
        }
        steps.push(step);
        steps
    }
}

/// The priorities of `group` that the configuration gives to other rules than `rule`.
pub(in crate::model) fn reserved(desired: &Desired, group: &ResourceId, rule: &NatRule) -> Vec<u16> {
    (desired.endpoints.values())
        .filter(|endpoint| endpoint.intent == Intent::Hold)
        .filter_map(|endpoint| endpoint.gateway.as_ref())
        .flat_map(|gateway| &gateway.nat_rules)
        .filter(|other| other.name != rule.name)
        .filter_map(|other| other.access.as_ref())
        .filter(|access| access.network_security_group == *group)
        .filter_map(|access| access.priority)
        .collect()
}

/// In what `held` is not as it shall be, in words.
fn differences(held: &SecurityRule, wanted: &SecurityRule) -> Option<String> {
    if held.says(wanted) {
        return None;
    }
    // Each part by itself, in what is otherwise as it shall be.
    let differs = |part: SecurityRule| !part.says(wanted);
    let mut why = Vec::new();
    if !held.allow {
        why.push("keeps out whom it shall let in".to_owned());
    } else if differs(SecurityRule { sources: held.sources.clone(), ..wanted.clone() }) {
        let lacking = |of: &SecurityRule, from: &SecurityRule| -> Option<String> {
            let texts =
                |rule: &SecurityRule| rule.sources.iter().map(ToString::to_string).collect::<Vec<_>>();
            let held = texts(from);
            let mut missing = texts(of);
            missing.retain(|text| !held.iter().any(|held| held.eq_ignore_ascii_case(text)));
            (!missing.is_empty()).then(|| missing.join(" and "))
        };
        why.extend(lacking(held, wanted).map(|extra| format!("lets in {extra} too")));
        why.extend(lacking(wanted, held).map(|missing| format!("keeps out {missing}")));
    }
    if differs(SecurityRule { ports: held.ports.clone(), ..wanted.clone() }) {
        why.push("is about another port".to_owned());
    }
    if held.protocol != wanted.protocol {
        why.push("is about another protocol".to_owned());
    }
    if held.inbound != wanted.inbound {
        why.push("is about what goes out".to_owned());
    }
    if !held.any_source_port {
        why.push("is about some source ports only".to_owned());
    }
    if differs(SecurityRule { destinations: held.destinations.clone(), ..wanted.clone() }) {
        why.push("is about another destination".to_owned());
    }
    if held.priority != wanted.priority {
        why.push(format!("its priority is {}, not {}", held.priority, wanted.priority));
    }
    Some(why.join(", and "))
}

/// The security group that `interface` gets, where it and its subnet lack what its rules stand in.
pub(in crate::model) fn grouping(
    gateway: &Gateway,
    state: &GatewayState,
    interface: &NetworkInterface,
) -> GroupChange {
    let mut wanted = (gateway.nat_rules.iter())
        .filter(|rule| rule.network_interface == interface.id)
        .filter_map(|rule| Some(&rule.access.as_ref()?.network_security_group));
    match wanted.find(|group| state.subnet_group(interface) != Some(*group)) {
        Some(group) if interface.group.is_none() => GroupChange::Set(group.clone()),
        _ => GroupChange::Kept,
    }
}
