//! The rules for the steps of a plan that change a gateway: each is held against what stands there when its turn comes.

use std::collections::BTreeSet;

use super::{Refusal, Rule};
use crate::model::endpoint::Handle;
use crate::model::gateway::admission::is_everybody;
use crate::model::gateway::fit::Rival;
use crate::model::gateway::{GatewayState, HeldNatRule, is_marked, marked, same_name};
use crate::model::plan::{
    Action, GatewayChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Part, Plan,
    SecurityRuleChange, Step, Subject,
};
use crate::model::resource_id::ResourceId;
use crate::model::state::{Desired, Observed};

/// Walks through `plan`; gives what it would leave behind it.
pub(super) fn check(
    desired: &Desired,
    observed: &Observed,
    plan: &Plan,
    refusals: &mut BTreeSet<Refusal>,
) -> Observed {
    let mut seen = Observed { endpoints: observed.endpoints.clone(), ..Observed::default() };
    for step in &plan.steps {
        let Action::Gateway(change) = &step.action else { continue };
        let state = seen.endpoints.get(&change.endpoint).and_then(|state| state.gateway.as_ref());
        if let Some(state) = state {
            let found = match &change.part {
                Part::LoadBalancer(part) => in_use(desired, state, part),
                Part::NatRule(part) => port(desired, change, state, part),
                Part::SecurityRule(part) => door(desired, change, state, part),
                // What a NAT rule of this plan was refused for is not told again.
                Part::Interface(_) if told(refusals, step) => None,
                Part::Interface(part) => {
                    let after = seen.after_steps(&plan.owner, [step]);
                    let after =
                        after.endpoints.get(&change.endpoint).and_then(|state| state.gateway.as_ref());
                    after.and_then(|after| joined(after, part))
                }
                Part::SecurityGroup(_) => None,
            };
            refusals.extend(found.map(|found| found.of(step)));
        }
        seen = seen.after_steps(&plan.owner, [step]);
    }
    seen
}

/// Whether a port was refused already to `step`'s endpoint.
fn told(refusals: &BTreeSet<Refusal>, step: &Step) -> bool {
    refusals.iter().any(|refusal| refusal.rule == Rule::Port && refusal.endpoint == step.endpoint)
}

/// A rule that a step would break, why, and the way out.
pub(super) struct Found {
    rule: Rule,
    reason: String,
    allow: String,
}

impl Found {
    fn of(self, step: &Step) -> Refusal {
        self.at(step.subject(), step.endpoint.clone())
    }

    pub(super) fn at(self, subject: Subject, endpoint: Option<Handle>) -> Refusal {
        let Self { rule, reason, allow } = self;
        Refusal { subject, endpoint, rule, reason, allow }
    }
}

/// What of others uses a part of ours that would go.
pub(super) fn in_use(desired: &Desired, state: &GatewayState, change: &LoadBalancerChange) -> Option<Found> {
    let held = state.load_balancer.present()?;
    let pools = change.without_pools.iter().map(|name| ("pool", name, held.pool_user(&desired.owner, name)));
    let frontends = change
        .without_frontends
        .iter()
        .map(|name| ("frontend", name, held.frontend_user(&desired.owner, name)));
    let (what, name, user) =
        pools.chain(frontends).find_map(|(what, name, user)| Some((what, name, user?)))?;
    Some(Found {
        rule: Rule::InUse,
        reason: format!(
            "The {what} {name} of {} is ours, and {user}, which is not, uses it.",
            held.id.name()
        ),
        allow: format!("take {user} off {name}, then run the same again"),
    })
}

/// A port that listens for something else, or a port of the machine that another rule leads to.
fn port(
    desired: &Desired,
    change: &GatewayChange,
    state: &GatewayState,
    part: &NatRuleChange,
) -> Option<Found> {
    let wanted = part.wanted.as_ref()?;
    let held = state.load_balancer.present()?;
    let rules = desired.endpoints.get(&change.endpoint)?.gateway.as_ref()?.nat_rules.iter();
    let rule = rules.into_iter().find(|rule| same_name(&marked(&desired.owner, &rule.name), &wanted.name))?;
    let protocol = rule.protocol;
    if let Some(other) = held.taken(wanted) {
        return Some(Found {
            rule: Rule::Port,
            reason: format!(
                "{protocol} port {} of {} leads elsewhere already, by {other}.",
                rule.frontend_port,
                held.id.name()
            ),
            allow: format!("choose another frontend_port for {}, or take {other} away", rule.name),
        });
    }
    let machine = state.interface(&rule.network_interface)?.primary_id()?;
    // Who is in the pool by mistake is so still when the rule comes.
    let in_pool = held.pools.iter().filter(|pool| wanted.pool == Some(held.pool_id(&pool.name)));
    let mut machines = in_pool.flat_map(|pool| &pool.members).chain([&machine]);
    let (led_to, other): (&ResourceId, Rival<'_>) =
        machines.find_map(|machine| Some((machine, held.rival(wanted, machine)?)))?;
    let or = |nat: &HeldNatRule| format!("set frontend_port = {} for {}, or ", nat.ports.first, rule.name);
    Some(led_twice(wanted, led_to, other, other.nat.map(or)))
}

/// A port of the machine that two rules would lead to once it is in its pools, as it is in `after`.
fn joined(after: &GatewayState, part: &InterfaceChange) -> Option<Found> {
    let held = after.load_balancer.present()?;
    let machine = part.held.primary_id()?;
    let comes = |rule: &&HeldNatRule| rule.pool.as_ref().is_some_and(|pool| part.join.contains(pool));
    let (rule, other) =
        (held.nat_rules.iter().filter(comes)).find_map(|rule| Some((rule, held.rival(rule, &machine)?)))?;
    Some(led_twice(rule, &machine, other, None))
}

fn led_twice(rule: &HeldNatRule, machine: &ResourceId, other: Rival<'_>, or: Option<String>) -> Found {
    let name = machine.whole();
    let protocol = rule.protocol.map_or_else(String::new, |protocol| format!("{protocol} "));
    let from = match other.nat {
        Some(nat) => format!(", from port {}", nat.ports),
        None => String::new(),
    };
    Found {
        rule: Rule::Port,
        reason: format!(
            "{protocol}port {} of {} is led to by {} already{from}, and Azure lets one rule of a load balancer do so.",
            rule.backend_port,
            name.name(),
            other.name,
        ),
        allow: match other.nat {
            Some(_) => format!("{}take {} away", or.unwrap_or_default(), other.name),
            None => format!(
                "take {} out of the pool that {} leads to, or let {} use floating IP",
                name.name(),
                other.name,
                other.name
            ),
        },
    }
}

/// A door that would stand open to everybody, or in the place of another rule.
fn door(
    desired: &Desired,
    change: &GatewayChange,
    state: &GatewayState,
    part: &SecurityRuleChange,
) -> Option<Found> {
    let wanted = part.wanted.as_ref()?;
    if is_everybody(&wanted.sources) && !desired.consents.internet {
        let ports: Vec<String> = wanted.ports.iter().map(ToString::to_string).collect();
        return Some(Found {
            rule: Rule::Internet,
            reason: format!(
                "Port {} would be open to the whole internet, where it is found and attacked within minutes.",
                ports.join(", ")
            ),
            allow: format!(
                "name the networks that need it in allow_from, or run `cnamed sync --allow internet --only {}`",
                change.endpoint
            ),
        });
    }
    let group: &ResourceId = &part.group;
    let taken = state.group(group)?.rules.iter().find(|held| {
        // That of others in a configured place is told with the configuration.
        is_marked(&desired.owner, &held.name)
            && held.inbound
            && held.priority == wanted.priority
            && !same_name(&held.name, &wanted.name)
    })?;
    Some(Found {
        rule: Rule::Priority,
        reason: format!(
            "Priority {} of {} is that of {} already.",
            wanted.priority,
            group.name(),
            taken.name
        ),
        allow: format!("leave priority out of the rule, or give {} another", taken.name),
    })
}
