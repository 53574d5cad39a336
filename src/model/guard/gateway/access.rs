//! Who gets in: the security group that a rule stands in, and those that stand before the same machine.

use super::Court;
use crate::model::endpoint::Intent;
use crate::model::gateway::fit::{Door, GREATEST, LEAST};
use crate::model::gateway::{Access, AllowFrom, NatRule, NetworkInterface, SecurityGroup, Source, marked};
use crate::model::guard::Rule;
use crate::model::plan::{GroupChange, Piece, grouping, reserved};
use crate::model::resource_id::ResourceId;

impl Court<'_> {
    pub(super) fn access(&mut self, access: &Access, rule: &NatRule) {
        let wanted = &access.network_security_group;
        let at_group = || Piece::SecurityGroup(wanted.name().to_owned());
        if !self.within(at_group(), "network security group", wanted) {
            return;
        }
        let v6 = self.ip.and_then(|ip| ip.address).is_some_and(|address| address.is_ipv6());
        if let AllowFrom::Sources(sources) = &access.from
            && let Some(stranger) =
                sources.iter().find(|source| source.is_ipv6().is_some_and(|source| source != v6))
        {
            let family = if v6 { "IPv6" } else { "IPv4" };
            let reason = format!(
                "{} is {family}, and nobody in {stranger} can come to it.",
                self.endpoint.public_ip.name
            );
            let allow = format!("keep {family} networks only in allow_from of {}", rule.name);
            self.refuse(Piece::SecurityRule(marked(self.owner, &rule.name)), Rule::Family, reason, allow);
        }
        if let Some(group) = self.state.group(wanted) {
            self.region(at_group(), "network security group", wanted, &group.location);
        }
        // What this very plan gives to another rule is free no more, and what it takes away is in nobody's way.
        if let Some(group) = self.later.group(wanted) {
            self.priority(access, rule, group);
        }
        let Some(interface) = self.state.interface(&rule.network_interface) else { return };
        let set = match grouping(self.gateway, self.state, interface) {
            GroupChange::Set(group) => Some(group),
            GroupChange::Kept | GroupChange::Cleared => None,
        };
        if set.is_some() && !self.takes(wanted, rule, interface) {
            return;
        }
        let own = interface.group.as_ref().or(set.as_ref());
        let subnets = self.state.subnet_group(interface);
        if let Some(own) = own.filter(|own| *own != wanted && subnets != Some(wanted)) {
            let reason = format!(
                "The network interface {} is behind {}, not behind {}.",
                interface.id.name(),
                own.name(),
                wanted.name()
            );
            let allow = format!("set network_security_group = \"{}\" for {}", self.typed(own), rule.name);
            return self.refuse(at_group(), Rule::Closed, reason, allow);
        }
        for (other, whose) in [(own, "network interface"), (subnets, "subnet")] {
            let Some(other) = other.filter(|other| *other != wanted) else { continue };
            let Some(group) = self.later.group(other) else { continue };
            let door = Door { owner: self.owner, access, rule, interface: Some(interface) };
            if let Some((source, by)) = door.shut_by(group.rules.iter()) {
                self.shut(other, whose, rule, interface, &source, by.map(|by| by.name.as_str()));
            }
        }
    }

    /// Whether `wanted` can be put before `interface`, which has no group yet.
    fn takes(&mut self, wanted: &ResourceId, rule: &NatRule, interface: &NetworkInterface) -> bool {
        let (name, group) = (interface.id.name(), wanted.name());
        let piece = || Piece::SecurityGroup(group.to_owned());
        let subnets = self.state.subnet_group(interface);
        if let Some(subnets) = subnets.filter(|subnets| *subnets != wanted) {
            let reason = format!(
                "The subnet of {name} is behind {}, and {group} before {name} would refuse everything else that {} lets in.",
                subnets.name(),
                subnets.name()
            );
            let allow = format!("set network_security_group = \"{}\" for {}", self.typed(subnets), rule.name);
            self.refuse(piece(), Rule::Closed, reason, allow);
            return false;
        }
        let other = (self.desired.endpoints.values())
            .filter(|endpoint| endpoint.intent == Intent::Hold)
            .filter_map(|endpoint| endpoint.gateway.as_ref())
            .flat_map(|gateway| &gateway.nat_rules)
            .filter(|other| other.network_interface == interface.id)
            .filter_map(|other| Some((&other.name, &other.access.as_ref()?.network_security_group)))
            .find(|(_, other)| *other != wanted && subnets != Some(*other));
        if let Some((by, other)) = other {
            let reason = format!(
                "The NAT rules {} and {by} put {name} behind {group} and behind {}, and a network interface has one security group.",
                rule.name,
                other.name()
            );
            let allow = format!("name one network_security_group for {} and {by}", rule.name);
            self.refuse(piece(), Rule::Closed, reason, allow);
            return false;
        }
        if self.state.group(wanted).is_some_and(|held| held.mark.as_ref() != Some(self.owner)) {
            let reason = format!(
                "{group} is not ours, and {name} is not behind it: what others rely on would be refused, and a teardown could not take it off again."
            );
            let allow = format!(
                "put {} in front of the machine or its subnet, or name a group that does not exist yet",
                self.typed(wanted)
            );
            self.refuse(piece(), Rule::Closed, reason, allow);
            return false;
        }
        true
    }

    fn shut(
        &mut self,
        group: &ResourceId,
        whose: &str,
        rule: &NatRule,
        interface: &NetworkInterface,
        source: &Source,
        by: Option<&str>,
    ) {
        let by = by.map_or_else(
            || "none of its rules allows it".to_owned(),
            |by| format!("its rule {by} denies it"),
        );
        let reason = format!(
            "The {whose} of {} has a security group of its own, {}, which keeps out {} port {} from {source}: {by}.",
            interface.id.name(),
            group.name(),
            rule.protocol,
            rule.backend_port
        );
        let allow = format!(
            "let it in there, or set network_security_group = \"{}\" for {}",
            self.typed(group),
            rule.name
        );
        self.refuse(Piece::SecurityGroup(group.name().to_owned()), Rule::Closed, reason, allow);
    }

    /// Whether there is a place for `rule` in `group`, as the plan would leave that.
    fn priority(&mut self, access: &Access, rule: &NatRule, group: &SecurityGroup) {
        let ours = marked(self.owner, &rule.name);
        let interface = self.state.interface(&rule.network_interface);
        let door = Door { owner: self.owner, access, rule, interface };
        if group.rule(&ours).is_none() && group.serves(door) {
            return;
        }
        let piece = || Piece::SecurityRule(marked(self.owner, &rule.name));
        let refusal = group.first_refusal(door);
        let certain = group.first_certain_refusal(door);
        let free = group.free_place(door, &reserved(self.desired, &group.id, rule));
        let remedy = |name: &str| match free {
            Some(free) => format!("set priority = {free} for {}, or leave it out", rule.name),
            None => format!(
                "take {name} away, or move it behind {GREATEST} less the rules that must stand before it"
            ),
        };
        let Some(priority) = access.priority else {
            if let (None, Some(refusal)) = (free, refusal) {
                let (denies, or) = match certain {
                    Some(certain) if certain.priority <= refusal.priority => ("denies it", String::new()),
                    _ => (
                        "may deny a part of it",
                        format!(
                            ", or set a priority for {} behind it, where that part may stay out",
                            rule.name
                        ),
                    ),
                };
                let reason = format!(
                    "{} of {} {denies} at priority {}, and no priority from {LEAST} on is free before that.",
                    refusal.name,
                    group.id.name(),
                    refusal.priority
                );
                let allow = format!("take {} away, or give it a greater priority{or}", refusal.name);
                self.refuse(piece(), Rule::Priority, reason, allow);
            } else if free.is_none() {
                let reason = format!("Every priority of {} is taken.", group.id.name());
                self.refuse(
                    piece(),
                    Rule::Priority,
                    reason,
                    format!("take a rule of {} away", group.id.name()),
                );
            }
            return;
        };
        if let Some(other) = group.foreign(self.owner).find(|held| held.inbound && held.priority == priority)
        {
            let reason =
                format!("Priority {priority} of {} is that of {} already.", group.id.name(), other.name);
            self.refuse(piece(), Rule::Priority, reason, remedy(&other.name));
        } else if let Some(refusal) = certain.filter(|refusal| refusal.priority < priority) {
            let reason = format!(
                "At priority {priority} it would never be asked: {} of {} denies it at {}.",
                refusal.name,
                group.id.name(),
                refusal.priority
            );
            self.refuse(piece(), Rule::Priority, reason, remedy(&refusal.name));
        }
    }
}

impl Source {
    /// The family of a network; `None` for a service tag.
    fn is_ipv6(&self) -> Option<bool> {
        match self {
            Self::Network(network) => Some(network.address().is_ipv6()),
            Self::Tag(_) => None,
        }
    }
}
