//! The rules for what stands behind a public IP: what Azure would refuse half-way is refused before the first write.

use std::collections::BTreeSet;

use super::{Refusal, Rule};
use crate::model::endpoint::{Endpoint, Intent, PublicIp};
use crate::model::gateway::fit::{FRONTENDS, GREATEST, LEAST};
use crate::model::gateway::{
    Access, AllowFrom, Gateway, GatewayState, LoadBalancer, NatRule, NetworkInterface, SecurityGroup, Source,
    marked,
};
use crate::model::plan::{Action, Part, Piece, Plan, Subject};
use crate::model::record::Owner;
use crate::model::resource_id::ResourceId;
use crate::model::state::{Desired, Observed, Seen};

/// Every gateway that shall be held, and every door that a plan would open.
pub(super) fn check(desired: &Desired, observed: &Observed, plan: &Plan, refusals: &mut BTreeSet<Refusal>) {
    for endpoint in desired.endpoints.values().filter(|endpoint| endpoint.intent == Intent::Hold) {
        let Some(gateway) = &endpoint.gateway else { continue };
        let Some(seen) = observed.endpoints.get(&endpoint.name) else { continue };
        let Some(state) = seen.gateway.as_ref().filter(|state| state.unread().is_none()) else { continue };
        let mut court = Court { owner: &desired.owner, endpoint, gateway, state, refusals };
        if let Seen::Present(ip) = &seen.public_ip {
            court.public_ip(ip);
        }
        court.balancer();
        for rule in &gateway.nat_rules {
            court.port(rule);
            court.machine(rule);
            if let Some(access) = &rule.access {
                court.access(access, rule, seen.public_ip.present());
            }
        }
    }
    if desired.consents.internet {
        return;
    }
    for step in &plan.steps {
        let Action::Gateway(change) = &step.action else { continue };
        let Part::SecurityRule(rule) = &change.part else { continue };
        let Some(wanted) =
            rule.wanted.as_ref().filter(|wanted| wanted.sources.iter().any(Source::is_everybody))
        else {
            continue;
        };
        let ports: Vec<String> = wanted.ports.iter().map(ToString::to_string).collect();
        let reason = format!(
            "Port {} would be open to the whole internet, where it is found and attacked within minutes.",
            ports.join(", ")
        );
        let allow = format!(
            "name the networks that need it in allow_from, or run `cnamed sync --allow internet` for {}",
            change.endpoint
        );
        refusals.insert(Refusal {
            subject: step.subject(),
            endpoint: Some(change.endpoint.clone()),
            rule: Rule::Internet,
            reason,
            allow,
        });
    }
}

struct Court<'c> {
    owner: &'c Owner,
    endpoint: &'c Endpoint,
    gateway: &'c Gateway,
    state: &'c GatewayState,
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

    fn port(&mut self, rule: &NatRule) {
        let Some(held) = self.state.load_balancer.present() else { return };
        let ours = marked(self.owner, &rule.name);
        let serves = held.serving(self.owner, &self.gateway.public_ip, rule, self.state).is_some();
        let frontend = held.frontend_of(&self.gateway.public_ip).map_or_else(
            || held.id.part(FRONTENDS, &marked(self.owner, self.endpoint.name.as_str())),
            |frontend| held.frontend_id(&frontend.name),
        );
        let mine = held.nat_rules.iter().any(|held| held.name == ours);
        let Some(other) = held.taken(&frontend, rule.protocol, rule.frontend_port, &ours) else { return };
        if serves && !mine {
            return;
        }
        let reason = format!(
            "{} port {} of {} leads elsewhere already, by {other}.",
            rule.protocol,
            rule.frontend_port,
            held.id.name()
        );
        let allow = format!("choose another frontend_port for {}, or take {other} away", rule.name);
        self.refuse(Piece::NatRule(rule.name.clone()), Rule::Port, reason, allow);
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
        let others =
            primary.pools.iter().map(ResourceId::whole).filter(|other| *other != self.gateway.load_balancer);
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
            self.refuse(Piece::SecurityRule(rule.name.clone()), Rule::Family, reason, allow);
        }
        if let Some(group) = self.state.group(wanted) {
            self.region(at_group(), "network security group", wanted, &group.location);
            self.priority(access, rule, group);
        }
        let Some(interface) = self.state.interface(&rule.network_interface) else { return };
        let own = interface.group.as_ref();
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
            let Some(group) = self.state.group(other) else { continue };
            if let Some((source, by)) = SecurityGroup::shut(group.rules.iter(), access, rule, Some(interface))
            {
                self.shut(other, whose, rule, interface, &source, by.map(|by| by.name.as_str()));
            }
        }
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
        let needed = group.rules.iter().any(|held| held.name == ours)
            || SecurityGroup::shut(group.foreign(self.owner), access, rule, interface).is_some();
        if !needed {
            return;
        }
        let piece = || Piece::SecurityRule(rule.name.clone());
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
        if let Some(other) =
            group.rules.iter().find(|held| held.inbound && held.name != ours && held.priority == priority)
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
    /// Whether everybody is meant.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        match self {
            Self::Network(network) => network.is_everything(),
            Self::Tag(_) => self.covers(&Self::Tag(crate::model::gateway::INTERNET_TAG.to_owned())),
        }
    }

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

/// Azure writes a region as `westeurope` and as `West Europe`.
fn same_region(one: &str, other: &str) -> bool {
    let plain =
        |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    plain(one) == plain(other)
}

const STANDARD: &str = "Standard";
