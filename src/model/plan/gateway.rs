//! The gateway: load balancer, NAT rules, security rules, network interfaces, in the order in which each finds what it
//! needs.

use super::derive::{BUSY, Planner};
use super::{
    Action, GatewayChange, LoadBalancerChange, NatRuleChange, Note, Part, Piece, SecurityRuleChange, Subject,
};
use crate::model::endpoint::{Endpoint, Handle, Provisioning};
use crate::model::gateway::fit::nat_rule;
use crate::model::gateway::{
    Frontend, Gateway, GatewayState, HeldNatRule, LoadBalancer, NatRule, marked, same_name,
};
use crate::model::state::Seen;

mod access;
mod doors;
mod membership;
mod strays;

pub(super) use access::Shared;
pub(in crate::model) use access::{grouping, reserved};

/// One endpoint's gateway while it is planned.
pub(super) struct Site<'p> {
    pub(super) endpoint: &'p Endpoint,
    pub(super) gateway: &'p Gateway,
    pub(super) state: &'p GatewayState,
}

impl<'p> Planner<'p> {
    /// Plans what `endpoint`'s gateway lacks, after the step that makes its public IP; gives the last steps.
    ///
    /// `None` when it cannot be planned, which was told.
    pub(super) fn gateway(&mut self, endpoint: &'p Endpoint, public_ip: Option<usize>) -> Option<Vec<usize>> {
        if endpoint.gateway.is_none() {
            return Some(Vec::new());
        }
        let site = self.site(endpoint)?;
        self.way_out(&site);
        self.standing(&site);
        // What nothing needs goes first: it may be in the way of what shall come.
        let (ports, doors) = self.stray_rules(&site);
        let balancer = self.balancer(&site, public_ip);
        let mut before: Vec<usize> = balancer.into_iter().chain(ports).collect();
        before.sort_unstable();
        let mut behind: Vec<usize> = balancer.into_iter().collect();
        behind.extend(self.nat_rules(&site, &before));
        behind.extend(self.access(&site));
        before.extend(&behind);
        // Being in a pool of ours is all that leads to a door that nothing names any more: it ends once that is closed.
        before.extend(doors);
        let before = self.last(before);
        let interfaces = self.interfaces(&site, &before);
        let done = self.last(before.iter().chain(&interfaces).copied().collect());
        self.left_groups(&site);
        self.stray_parts(&site, done);
        Some(if interfaces.is_empty() { self.last(behind) } else { interfaces })
    }

    /// The gateway of `endpoint` and what was seen of it; tells what keeps it from being planned.
    pub(super) fn site(&mut self, endpoint: &'p Endpoint) -> Option<Site<'p>> {
        let gateway = endpoint.gateway.as_ref()?;
        let subject = Subject::Gateway(
            endpoint.name.clone(),
            Piece::LoadBalancer(gateway.load_balancer.name().to_owned()),
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
    pub(super) fn last(&self, mut steps: Vec<usize>) -> Vec<usize> {
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
            held: held.cloned().map(Box::new),
            delete: false,
            frontends: Vec::new(),
            pools: Vec::new(),
            without_frontends: Vec::new(),
            without_pools: Vec::new(),
        };
        let mut why = Vec::new();
        if held.is_none_or(|held| held.frontend_of(&gateway.public_ip).is_none()) {
            let name = marked(owner, endpoint.name.as_str());
            let elsewhere =
                held.and_then(|held| held.frontends.iter().find(|held| same_name(&held.name, &name)));
            why.push(match elsewhere {
                Some(_) => "its frontend is elsewhere",
                None => "it has no frontend on the public IP",
            });
            let name = elsewhere.map_or(name, |held| held.name.clone());
            change.frontends.push(Frontend { name, public_ip: Some(gateway.public_ip.clone()) });
        }
        for rule in &gateway.nat_rules {
            let name = marked(owner, &rule.name);
            let served =
                held.is_some_and(|held| held.serving(owner, &gateway.public_ip, rule, state).is_some());
            if !served && !held.is_some_and(|held| held.pools.iter().any(|pool| same_name(&pool.name, &name)))
            {
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

    /// The NAT rules, each after those that leave the port that it comes to.
    fn nat_rules(&mut self, site: &Site<'p>, before: &[usize]) -> Vec<usize> {
        let mut coming: Vec<(Option<&'p HeldNatRule>, HeldNatRule, String)> =
            site.gateway.nat_rules.iter().filter_map(|rule| self.nat_rule(site, rule)).collect();
        let mut steps = Vec::new();
        let mut gone: Vec<(usize, &'p HeldNatRule)> = Vec::new();
        while !coming.is_empty() {
            let waits = |(_, wanted, _): &(_, HeldNatRule, _)| {
                let in_the_way =
                    |held: &HeldNatRule| !same_name(&held.name, &wanted.name) && held.meets(wanted);
                coming.iter().filter_map(|(held, ..)| *held).any(in_the_way)
            };
            // Where they wait for one another, the guard says so.
            let next = coming.iter().position(|one| !waits(one)).unwrap_or(0);
            let (held, wanted, reason) = coming.remove(next);
            let mut after = before.to_vec();
            after.extend(gone.iter().filter(|(_, held)| held.meets(&wanted)).map(|(step, _)| *step));
            let change = NatRuleChange {
                load_balancer: site.gateway.load_balancer.clone(),
                held: held.cloned(),
                wanted: Some(wanted),
            };
            let step = self.build(&site.endpoint.name, Part::NatRule(change), after, reason);
            gone.extend(held.map(|held| (step, held)));
            steps.push(step);
        }
        steps
    }

    /// What is held, what shall be, and why; `None` where nothing need be done.
    fn nat_rule(
        &mut self,
        site: &Site<'p>,
        rule: &'p NatRule,
    ) -> Option<(Option<&'p HeldNatRule>, HeldNatRule, String)> {
        let Site { endpoint, gateway, state } = site;
        let owner = &self.desired.owner;
        let held = state.load_balancer.present();
        let name = marked(owner, &rule.name);
        let ours = held.and_then(|held| held.nat_rules.iter().find(|held| same_name(&held.name, &name)));
        if let (None, Some(serving)) =
            (ours, held.and_then(|held| held.serving(owner, &gateway.public_ip, rule, state)))
        {
            self.adopted(site, rule, serving, &name);
            return None;
        }
        let frontend =
            held.and_then(|held| held.frontend_of(&gateway.public_ip)).map(|frontend| frontend.name.clone());
        let frontend = frontend.unwrap_or_else(|| marked(owner, endpoint.name.as_str()));
        let mut wanted = nat_rule(owner, gateway, rule, &frontend);
        let reason = match ours {
            None => "does not exist yet".to_owned(),
            Some(held) => {
                // Azure keeps the case that a name was made in.
                wanted.name.clone_from(&held.name);
                match differences(held, &wanted) {
                    Some(differences) => differences,
                    None if held.provisioning == Provisioning::Failed => {
                        "its last operation failed".to_owned()
                    }
                    None => return None,
                }
            }
        };
        Some((ours, wanted, reason))
    }

    /// An inbound NAT rule lets in only.
    fn way_out(&mut self, site: &Site<'p>) {
        let Site { endpoint, gateway, state } = site;
        let balancers =
            state.load_balancer.present().into_iter().chain(state.others.values().filter_map(Seen::present));
        for interface in state.interfaces.values().filter_map(Seen::present) {
            if !gateway.nat_rules.iter().any(|rule| rule.network_interface == interface.id) {
                continue;
            }
            let Some(primary) = interface.primary() else { continue };
            let subnet =
                primary.subnet.as_ref().and_then(|subnet| state.subnets.get(subnet)).and_then(Seen::present);
            let translated =
                balancers.clone().any(|held| primary.pools.iter().any(|pool| held.outbound.contains(pool)));
            if primary.public_ip.is_some() || translated || subnet.is_some_and(|subnet| subnet.nat_gateway) {
                continue;
            }
            let subject =
                Subject::Gateway(endpoint.name.clone(), Piece::Interface(interface.id.name().to_owned()));
            self.plan.notes.push(Note { subject, text: NO_WAY_OUT.into() });
        }
    }
}

/// In what `held` is not as it shall be, in words.
fn differences(held: &HeldNatRule, wanted: &HeldNatRule) -> Option<String> {
    let mut why = Vec::new();
    if held.ports != wanted.ports {
        why.push("listens on another port");
    }
    if held.frontend != wanted.frontend {
        why.push("listens on another frontend");
    }
    if held.protocol != wanted.protocol {
        why.push("is about another protocol");
    }
    if held.backend_port != wanted.backend_port {
        why.push("leads to another port");
    }
    if held.pool != wanted.pool || held.target.is_some() {
        why.push("leads to another machine");
    }
    if held.idle_timeout_minutes != wanted.idle_timeout_minutes {
        why.push("keeps idle connections for another time");
    }
    if held.floating != wanted.floating {
        why.push("keeps the frontend's address, which the machine does not answer for");
    }
    (!why.is_empty()).then(|| why.join(", and "))
}

/// A change to `balancer` that changes nothing yet.
pub(super) fn unchanged(balancer: &LoadBalancer) -> LoadBalancerChange {
    LoadBalancerChange {
        id: balancer.id.clone(),
        location: balancer.location.clone(),
        held: Some(Box::new(balancer.clone())),
        delete: false,
        frontends: Vec::new(),
        pools: Vec::new(),
        without_frontends: Vec::new(),
        without_pools: Vec::new(),
    }
}

const NO_WAY_OUT: &str = "has no way out to the internet: an inbound NAT rule lets in only. Where it needs one, give its subnet a NAT \
                          gateway, the load balancer an outbound rule, or the machine a public IP of its own";
