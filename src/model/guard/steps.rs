//! The rules for the steps of a plan that change a gateway: each is held against what stands there when its turn comes.

use std::collections::BTreeSet;

use super::{Refusal, Rule};
use crate::model::gateway::admission::is_everybody;
use crate::model::gateway::{GatewayState, HeldNatRule, is_marked, marked, same_name};
use crate::model::plan::{
    Action, GatewayChange, LoadBalancerChange, NatRuleChange, Part, Plan, SecurityRuleChange, Step,
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
                Part::SecurityGroup(_) | Part::Interface(_) => None,
            };
            refusals.extend(found.map(|found| found.of(step)));
        }
        seen = seen.after_steps(&plan.owner, [step]);
    }
    seen
}

/// A rule that a step would break, why, and the way out.
struct Found {
    rule: Rule,
    reason: String,
    allow: String,
}

impl Found {
    fn of(self, step: &Step) -> Refusal {
        let Self { rule, reason, allow } = self;
        Refusal { subject: step.subject(), endpoint: step.endpoint.clone(), rule, reason, allow }
    }
}

/// What of others uses a part of ours that would go.
fn in_use(desired: &Desired, state: &GatewayState, change: &LoadBalancerChange) -> Option<Found> {
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
    let (led_to, other): (&ResourceId, &HeldNatRule) =
        machines.find_map(|machine| Some((machine, held.rival(wanted, machine)?)))?;
    Some(Found {
        rule: Rule::Port,
        reason: format!(
            "{protocol} port {} of {} is led to by {} already, from port {}, and Azure lets one rule of a load balancer do so.",
            rule.backend_port,
            led_to.whole().name(),
            other.name,
            other.ports
        ),
        allow: format!(
            "set frontend_port = {} for {}, or take {} away",
            other.ports.first, rule.name, other.name
        ),
    })
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
                "name the networks that need it in allow_from, or run `cnamed sync --allow internet` for {}",
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
