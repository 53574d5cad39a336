//! The rules for what stands behind a public IP: what Azure would refuse half-way is refused before the first write.

use std::collections::BTreeSet;

use super::{Refusal, Rule};
use crate::model::endpoint::{Endpoint, Intent, PublicIp, same_region};
use crate::model::gateway::admission::is_everybody;
use crate::model::gateway::{Gateway, GatewayState, NatRule, is_marked, marked, same_name};
use crate::model::plan::dismantle::{goes_whole, without_ours};
use crate::model::plan::{Piece, Plan, Subject};
use crate::model::record::Owner;
use crate::model::resource_id::ResourceId;
use crate::model::state::{Desired, Observed};

mod access;
mod machine;

/// Every gateway that shall be held, and every step that changes one.
pub(super) fn check(desired: &Desired, observed: &Observed, plan: &Plan, refusals: &mut BTreeSet<Refusal>) {
    if desired.endpoints.values().all(|endpoint| endpoint.gateway.is_none()) {
        return;
    }
    let later = super::steps::check(desired, observed, plan, refusals);
    removed(desired, observed, refusals);
    for endpoint in desired.endpoints.values().filter(|endpoint| endpoint.intent == Intent::Hold) {
        let Some(gateway) = &endpoint.gateway else { continue };
        let Some(seen) = observed.endpoints.get(&endpoint.name) else { continue };
        let Some(state) = seen.gateway.as_ref().filter(|state| state.unread().is_none()) else { continue };
        let later = later.endpoints.get(&endpoint.name).and_then(|state| state.gateway.as_ref());
        let later = later.unwrap_or(state);
        let owner = &desired.owner;
        let ip = seen.public_ip.present();
        let mut court = Court { desired, owner, endpoint, gateway, ip, state, later, refusals };
        if let Some(ip) = ip {
            court.public_ip(ip);
        }
        court.balancer();
        if gateway.nat_rules.is_empty() && !desired.consents.deletes {
            court.emptied();
        }
        for rule in &gateway.nat_rules {
            court.machine(rule);
            if let Some(access) = &rule.access {
                court.access(access, rule);
            }
            if !desired.consents.internet {
                court.exposure(rule);
            }
        }
    }
}

/// What cannot be taken down is told at once, and not only when the names have left.
fn removed(desired: &Desired, observed: &Observed, refusals: &mut BTreeSet<Refusal>) {
    for endpoint in desired.endpoints.values().filter(|endpoint| endpoint.intent == Intent::Remove) {
        let state = observed.endpoints.get(&endpoint.name).and_then(|seen| seen.gateway.as_ref());
        let Some(state) = state.filter(|state| endpoint.gateway.is_some() && state.unread().is_none()) else {
            continue;
        };
        let stays = state.load_balancer.present().filter(|held| !goes_whole(held, &desired.owner));
        let Some(balancer) = stays else { continue };
        let change = without_ours(balancer, &desired.owner);
        if let Some(found) = super::steps::in_use(desired, state, &change) {
            let subject =
                Subject::Gateway(endpoint.name.clone(), Piece::LoadBalancer(balancer.id.name().to_owned()));
            refusals.insert(found.at(subject, Some(endpoint.name.clone())));
        }
    }
}

struct Court<'c> {
    desired: &'c Desired,
    owner: &'c Owner,
    endpoint: &'c Endpoint,
    gateway: &'c Gateway,
    ip: Option<&'c PublicIp>,
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

    /// `id` as it is typed in the configuration: its name alone where it is in the endpoint's resource group.
    fn typed(&self, id: &ResourceId) -> String {
        if id.is_beside(&self.gateway.load_balancer) { id.name().to_owned() } else { id.to_string() }
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
        if let Some(pool) = held.nat_pools.first().filter(|_| !self.gateway.nat_rules.is_empty()) {
            let reason = format!(
                "The load balancer {name} has the inbound NAT pool {pool}, and Azure lets no inbound NAT rule stand beside one."
            );
            let allow = format!(
                "move what uses {pool} to inbound NAT rules, or name another load balancer for {}",
                self.endpoint.name
            );
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

    /// Every port of ours would be taken away: the file may have lost its last NAT rule by mistake.
    fn emptied(&mut self) {
        let (Some(held), Some(later)) =
            (self.state.load_balancer.present(), self.later.load_balancer.present())
        else {
            return;
        };
        let stays = |name: &str| later.nat_rules.iter().any(|rule| same_name(&rule.name, name));
        let gone: Vec<&str> = (held.nat_rules.iter().map(|rule| rule.name.as_str()))
            .filter(|name| is_marked(self.owner, name) && !stays(name))
            .collect();
        if gone.is_empty() {
            return;
        }
        let reason = format!(
            "The configuration names no NAT rule of {} at all, yet our mark stands on {}.",
            self.endpoint.name,
            gone.join(" and ")
        );
        let allow = "run `cnamed sync --allow deletes` to take them away, or set prune = false to keep them"
            .to_owned();
        self.refuse(self.at_balancer(), Rule::WantedEmpty, reason, allow);
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
        if leads(self.state) == Some(leads_to) && self.state.open_door(rule).is_some() {
            return;
        }
        // What another endpoint's steps would close stays open where those are refused.
        let unclosed = GatewayState { groups: self.state.groups.clone(), ..self.later.clone() };
        let Some((group, by)) = self.later.open_door(rule).or_else(|| unclosed.open_door(rule)) else {
            return;
        };
        let reason = format!(
            "Port {} would lead to port {} of {}, which {group} opens to the whole internet by its rule {by}: it would be found and attacked within minutes.",
            rule.frontend_port,
            leads_to.1,
            rule.network_interface.name(),
        );
        let allow = format!(
            "narrow {by} in {group}, or run `cnamed sync --allow internet --only {}`",
            self.endpoint.name
        );
        self.refuse(Piece::NatRule(marked(self.owner, &rule.name)), Rule::Internet, reason, allow);
    }
}

const STANDARD: &str = "Standard";
