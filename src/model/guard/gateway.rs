//! The rules for what stands behind a public IP: what Azure would refuse half-way is refused before the first write.

use std::collections::BTreeSet;

use super::{Refusal, Rule};
use crate::model::endpoint::{Endpoint, Intent, PublicIp};
use crate::model::gateway::admission::{Visit, decides, is_everybody};
use crate::model::gateway::fit::{GREATEST, LEAST};
use crate::model::gateway::{
    Access, AllowFrom, Gateway, GatewayState, INTERNET_TAG, LoadBalancer, NatRule, NetworkInterface,
    SecurityGroup, Source, marked, same_name,
};
use crate::model::plan::{GroupChange, Piece, Plan, Subject, grouping};
use crate::model::record::Owner;
use crate::model::resource_id::ResourceId;
use crate::model::state::{Desired, Observed, Seen};

/// Every gateway that shall be held, and every step that changes one.
pub(super) fn check(desired: &Desired, observed: &Observed, plan: &Plan, refusals: &mut BTreeSet<Refusal>) {
    if desired.endpoints.values().all(|endpoint| endpoint.gateway.is_none()) {
        return;
    }
    let later = super::steps::check(desired, observed, plan, refusals);
    for endpoint in desired.endpoints.values().filter(|endpoint| endpoint.intent == Intent::Hold) {
        let Some(gateway) = &endpoint.gateway else { continue };
        let Some(seen) = observed.endpoints.get(&endpoint.name) else { continue };
        let Some(state) = seen.gateway.as_ref().filter(|state| state.unread().is_none()) else { continue };
        let later = later.endpoints.get(&endpoint.name).and_then(|state| state.gateway.as_ref());
        let later = later.unwrap_or(state);
        let owner = &desired.owner;
        let mut court = Court { owner, endpoint, gateway, state, later, refusals };
        if let Seen::Present(ip) = &seen.public_ip {
            court.public_ip(ip);
        }
        court.balancer();
        for rule in &gateway.nat_rules {
            court.machine(rule);
            if let Some(access) = &rule.access {
                court.access(access, rule, seen.public_ip.present());
            }
            if !desired.consents.internet {
                court.exposure(rule);
            }
        }
    }
}

struct Court<'c> {
    owner: &'c Owner,
    endpoint: &'c Endpoint,
    gateway: &'c Gateway,
    state: &'c GatewayState,
    /// As the plan would leave it.
    later: &'c GatewayState,
    refusals: &'c mut BTreeSet<Refusal>,
}

impl Court<'_> {
    fn refuse(&mut self, piece: Piece, rule: Rule, reason: String, allow: String) {
        let endpoint = self.endpoint.name.clone();
        let subject = Subject::Gateway(endpoint.clone(), piece);
        self.refusals.insert(Refusal { subject, endpoint: Some(endpoint), rule, reason, allow });
    }

    fn at_balancer(&self) -> Piece {
        Piece::LoadBalancer(self.gateway.load_balancer.name().to_owned())
    }

    fn public_ip(&mut self, ip: &PublicIp) {
        let name = self.endpoint.public_ip.name.clone();
        if ip.sku != STANDARD {
            let reason = format!(
                "The public IP {name} is {}, and a Standard load balancer takes a Standard public IP only.",
                ip.sku
            );
            let allow = format!(
                "upgrade {name} to Standard (make it static, take it off what uses it, then upgrade), or name another public_ip"
            );
            self.refuse(self.at_balancer(), Rule::Sku, reason, allow);
        }
        let elsewhere = ip
            .attached_to
            .as_ref()
            .filter(|user| ResourceId::new(user.as_str()) != self.gateway.load_balancer);
        if let Some(user) = elsewhere {
            let reason = format!("The public IP {name} stands in front of {user} already.");
            let allow =
                format!("take {name} off {user}, or name another public_ip for {}", self.endpoint.name);
            self.refuse(self.at_balancer(), Rule::InUse, reason, allow);
        }
    }

    fn balancer(&mut self) {
        let Some(held) = self.state.load_balancer.present() else { return };
        let name = held.id.name().to_owned();
        if held.sku != STANDARD {
            let reason = format!(
                "The load balancer {name} is {}, and inbound NAT rules onto a pool need Standard.",
                held.sku
            );
            let allow = format!(
                "upgrade {name} to Standard, or name another load balancer for {}",
                self.endpoint.name
            );
            self.refuse(self.at_balancer(), Rule::Sku, reason, allow);
        }
        if let Some(internal) = held.frontends.iter().find(|frontend| frontend.public_ip.is_none()) {
            let reason = format!(
                "The load balancer {name} is an internal one, with the frontend {}, and Azure lets no public IP stand beside that.",
                internal.name
            );
            let allow = format!("name another load balancer for {}", self.endpoint.name);
            self.refuse(self.at_balancer(), Rule::Sku, reason, allow);
        }
        let ours: Vec<String> =
            self.gateway.nat_rules.iter().map(|rule| marked(self.owner, &rule.name)).collect();
        let shared = held
            .pools
            .iter()
            .find(|pool| pool.addresses && ours.iter().any(|name| same_name(name, &pool.name)));
        if let Some(pool) = shared {
            let reason = format!(
                "The pool {} of {name} holds addresses beside network interfaces, and its port has room for one machine.",
                pool.name
            );
            let allow = format!("take the addresses out of {}", pool.name);
            self.refuse(self.at_balancer(), Rule::Membership, reason, allow);
        }
        self.region(self.at_balancer(), "load balancer", &held.id, &held.location);
    }

    /// Whether `id` is in the endpoint's subscription, which its id alone tells.
    fn within(&mut self, piece: Piece, what: &str, id: &ResourceId) -> bool {
        let here = self.gateway.load_balancer.subscription();
        let within = id.subscription().eq_ignore_ascii_case(here);
        if !within {
            let reason = format!(
                "The {what} {} is in the subscription {}, and the load balancer in {here}.",
                id.name(),
                id.subscription(),
            );
            self.refuse(piece, Rule::Region, reason, format!("name a {what} in the endpoint's subscription"));
        }
        within
    }

    fn region(&mut self, piece: Piece, what: &str, id: &ResourceId, location: &str) {
        let wanted = &self.endpoint.public_ip.location;
        if !location.is_empty() && !same_region(location, wanted) {
            let reason = format!("The {what} {} is in {location}, and the public IP in {wanted}.", id.name());
            let allow =
                format!("name one in {wanted}, or set location = \"{location}\" for {}", self.endpoint.name);
            self.refuse(piece, Rule::Region, reason, allow);
        }
    }

    fn machine(&mut self, rule: &NatRule) {
        let id = &rule.network_interface;
        let piece = || Piece::Interface(id.name().to_owned());
        if !self.within(piece(), "network interface", id) {
            return;
        }
        let Some(interface) = self.state.interface(id) else {
            let reason = format!("The network interface {} does not exist.", id.name());
            let allow = format!("make the machine first, or correct network_interface of {}", rule.name);
            return self.refuse(piece(), Rule::Missing, reason, allow);
        };
        self.region(piece(), "network interface", id, &interface.location);
        let Some(primary) = interface.primary() else {
            let reason = format!("The network interface {} has no IP configuration.", id.name());
            return self.refuse(piece(), Rule::Missing, reason, format!("give {} one", id.name()));
        };
        if let Some(own) = &primary.public_ip {
            let reason = format!(
                "The network interface {} has the public IP {} of its own, so every port that its security group opens is open past the gateway.",
                id.name(),
                own.name()
            );
            self.refuse(piece(), Rule::OwnAddress, reason, format!("take {} off {}", own.name(), id.name()));
        }
        let referred = interface.configurations.iter().flat_map(|one| one.pools.iter().chain(&one.nat_rules));
        let others = referred.map(ResourceId::whole).filter(|other| *other != self.gateway.load_balancer);
        let public = others.collect::<BTreeSet<_>>().into_iter().find(|other| {
            self.state.others.get(other).and_then(Seen::present).is_some_and(LoadBalancer::is_public)
        });
        if let Some(other) = public {
            let reason = format!(
                "The network interface {} is behind the load balancer {} already, and a machine has one public load balancer.",
                id.name(),
                other.name()
            );
            let allow = format!(
                "name {} as the load balancer of {}, or take {} out of its pool",
                other.name(),
                self.endpoint.name,
                id.name()
            );
            self.refuse(piece(), Rule::Membership, reason, allow);
        }
    }

    fn access(&mut self, access: &Access, rule: &NatRule, ip: Option<&PublicIp>) {
        let wanted = &access.network_security_group;
        let at_group = || Piece::SecurityGroup(wanted.name().to_owned());
        if !self.within(at_group(), "network security group", wanted) {
            return;
        }
        let v6 = ip.and_then(|ip| ip.address).is_some_and(|address| address.is_ipv6());
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
            self.priority(access, rule, group);
        }
        let Some(interface) = self.state.interface(&rule.network_interface) else { return };
        let set = match grouping(self.gateway, self.state, interface) {
            GroupChange::Set(group) => Some(group),
            GroupChange::Kept | GroupChange::Cleared => None,
        };
        let own = interface.group.as_ref().or(set.as_ref());
        let subnets = self.state.subnet_group(interface);
        if let Some(own) = own.filter(|own| *own != wanted && subnets != Some(wanted)) {
            let reason = format!(
                "The network interface {} is behind {}, not behind {}.",
                interface.id.name(),
                own.name(),
                wanted.name()
            );
            let allow = format!("set network_security_group = \"{}\" for {}", own.name(), rule.name);
            return self.refuse(at_group(), Rule::Closed, reason, allow);
        }
        for (other, whose) in [(own, "network interface"), (subnets, "subnet")] {
            let Some(other) = other.filter(|other| *other != wanted) else { continue };
            let Some(group) = self.later.group(other) else { continue };
            if let Some((source, by)) = SecurityGroup::shut(group.rules.iter(), access, rule, Some(interface))
            {
                self.shut(other, whose, rule, interface, &source, by.map(|by| by.name.as_str()));
            }
        }
    }

    /// A port that begins to lead to a machine, past groups in which others let everybody in.
    fn exposure(&mut self, rule: &NatRule) {
        let name = marked(self.owner, &rule.name);
        let door = |state: &GatewayState| {
            let group = state.group(&rule.access.as_ref()?.network_security_group)?;
            group.rule(&name).cloned()
        };
        // A door that the plan itself opens is judged as a step.
        let opened = door(self.later).filter(|later| door(self.state).as_ref() != Some(later));
        if opened.is_some_and(|opened| is_everybody(&opened.sources)) {
            return;
        }
        let leads = |state: &GatewayState| {
            let held = state.load_balancer.present();
            let ours = held.and_then(|held| held.nat_rules.iter().find(|held| same_name(&held.name, &name)));
            let public_ip = &self.gateway.public_ip;
            ours.or_else(|| held?.serving(self.owner, public_ip, rule, state))
                .map(|held| (held.protocol, held.backend_port))
        };
        let Some(leads_to) = leads(self.later) else { return };
        if leads(self.state) == Some(leads_to) && open_door(self.state, rule).is_some() {
            return;
        }
        // What another endpoint's steps would close stays open where those are refused.
        let unclosed = GatewayState { groups: self.state.groups.clone(), ..self.later.clone() };
        let Some((group, by)) = open_door(self.later, rule).or_else(|| open_door(&unclosed, rule)) else {
            return;
        };
        let reason = format!(
            "Port {} would lead to port {} of {}, which {group} opens to the whole internet by its rule {by}: it would be found and attacked within minutes.",
            rule.frontend_port,
            leads_to.1,
            rule.network_interface.name(),
        );
        let allow = format!(
            "narrow {by} in {group}, or run `cnamed sync --allow internet` for {}",
            self.endpoint.name
        );
        self.refuse(Piece::NatRule(marked(self.owner, &rule.name)), Rule::Internet, reason, allow);
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
            group.name(),
            rule.name
        );
        self.refuse(Piece::SecurityGroup(group.name().to_owned()), Rule::Closed, reason, allow);
    }

    fn priority(&mut self, access: &Access, rule: &NatRule, group: &SecurityGroup) {
        let ours = marked(self.owner, &rule.name);
        let interface = self.state.interface(&rule.network_interface);
        if group.rule(&ours).is_none() && group.serves(self.owner, access, rule, interface) {
            return;
        }
        let piece = || Piece::SecurityRule(marked(self.owner, &rule.name));
        let refusal = group.first_refusal(self.owner, access, rule, interface);
        let free =
            group.place(self.owner, &Access { priority: None, ..access.clone() }, rule, interface, &[]);
        let remedy = |name: &str| match free {
            Some(free) => format!("set priority = {free} for {}, or leave it out", rule.name),
            None => format!(
                "take {name} away, or move it behind {GREATEST} less the rules that must stand before it"
            ),
        };
        let Some(priority) = access.priority else {
            if let (None, Some(refusal)) = (free, refusal) {
                let reason = format!(
                    "{} of {} denies it at priority {}, and no priority from {LEAST} on is free before that.",
                    refusal.name,
                    group.id.name(),
                    refusal.priority
                );
                let allow = format!("take {} away, or give it a greater priority", refusal.name);
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
        } else if let Some(refusal) = refusal.filter(|refusal| refusal.priority < priority) {
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

impl LoadBalancer {
    /// Whether a public IP stands in front of it.
    fn is_public(&self) -> bool {
        self.frontends.iter().any(|frontend| frontend.public_ip.is_some())
    }
}

/// The first group before `rule`'s machine and the rule in it that lets everybody in, where every group does.
fn open_door(state: &GatewayState, rule: &NatRule) -> Option<(String, String)> {
    let interface = state.interface(&rule.network_interface)?;
    let source = Source::Tag(INTERNET_TAG.to_owned());
    let visit = Visit {
        source: &source,
        protocol: rule.protocol,
        port: rule.backend_port,
        machine: interface.primary().and_then(|one| one.address),
    };
    let open = |id: &ResourceId| {
        let by = decides(&state.group(id)?.rules, visit).filter(|by| by.allow)?;
        Some((id.name().to_owned(), by.name.clone()))
    };
    let groups = interface.group.iter().chain(state.subnet_group(interface));
    let doors: Option<Vec<(String, String)>> = groups.map(open).collect();
    doors?.into_iter().next()
}

/// Azure writes a region as `westeurope` and as `West Europe`.
fn same_region(one: &str, other: &str) -> bool {
    let plain =
        |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    plain(one) == plain(other)
}

const STANDARD: &str = "Standard";
