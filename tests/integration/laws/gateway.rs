//! What holds for every plan of a gateway.

use std::collections::BTreeSet;

use cnamed::model::endpoint::{Handle, Intent};
use cnamed::model::gateway::{Gateway, GatewayState, HeldNatRule, NatRule, Ports, is_marked};
use cnamed::model::guard::check;
use cnamed::model::plan::{Action, GroupChange, Part, Plan, Subject, plan};
use cnamed::model::record::Owner;
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::{Desired, LabelHolder, Observed, Seen};
use proptest::prelude::*;

use super::judge::{admits, admits_anybody};
use super::site::{Site, install};
use super::world::{World, version, world};
use super::{cleared, settings};

fn gateways(observed: &Observed) -> impl Iterator<Item = (&Handle, &GatewayState)> {
    observed.endpoints.iter().filter_map(|(name, state)| Some((name, state.gateway.as_ref()?)))
}

/// Every reference leads to what is there, as Azure insists.
fn consistent(observed: &Observed, public_ip: impl Fn(&Handle) -> Option<ResourceId>) -> Result<(), String> {
    for (name, state) in gateways(observed) {
        let own = public_ip(name);
        if let Seen::Present(balancer) = &state.load_balancer {
            let absent = observed.endpoints[name].public_ip == Seen::Absent;
            if absent && own.as_ref().is_some_and(|own| balancer.frontend_of(own).is_some()) {
                return Err(format!("{name}: a frontend on a public IP that is not there"));
            }
            for rule in &balancer.nat_rules {
                if !balancer.frontends.iter().any(|one| balancer.frontend_id(&one.name) == rule.frontend) {
                    return Err(format!("{name}: {} has no frontend", rule.name));
                }
                if let Some(other) = balancer.taken(rule) {
                    return Err(format!("{name}: {} and {other} listen on one port", rule.name));
                }
                let Some(id) = &rule.pool else { continue };
                let Some(pool) = balancer.pools.iter().find(|one| balancer.pool_id(&one.name) == *id) else {
                    return Err(format!("{name}: {} has no pool", rule.name));
                };
                if pool.members.len() > 1 {
                    return Err(format!("{name}: {} has one port for {:?}", rule.name, pool.members));
                }
                for machine in &pool.members {
                    if let Some(rival) = balancer.rival(rule, machine) {
                        return Err(format!("{name}: {} and {} lead to one port", rule.name, rival.name));
                    }
                }
            }
            for id in balancer.pool_users.keys() {
                if !balancer.pools.iter().any(|one| balancer.pool_id(&one.name) == *id) {
                    return Err(format!("{name}: {id} is used and gone"));
                }
            }
            for id in balancer.frontend_users.keys() {
                if !balancer.frontends.iter().any(|one| balancer.frontend_id(&one.name) == *id) {
                    return Err(format!("{name}: {id} is used and gone"));
                }
            }
            for (rule, _, id, _) in &balancer.other_ports {
                if !balancer.frontends.iter().any(|one| balancer.frontend_id(&one.name) == *id) {
                    return Err(format!("{name}: {rule} has no frontend"));
                }
            }
        }
        for interface in state.interfaces.values().filter_map(Seen::present) {
            for pool in interface.configurations.iter().flat_map(|one| &one.pools) {
                let ours =
                    pool.whole().name().trim_start_matches("lb-") == name.as_str().trim_start_matches('e');
                let there = match &state.load_balancer {
                    Seen::Present(held) => held.pools.iter().any(|one| held.pool_id(&one.name) == *pool),
                    Seen::Absent => false,
                    Seen::Unknown(_) => true,
                };
                if ours && !there {
                    return Err(format!("{name}: {} is in {pool}, which is not there", interface.id.name()));
                }
            }
            if let Some(group) = &interface.group
                && state.groups.get(group) == Some(&Seen::Absent)
            {
                return Err(format!("{name}: {} is behind {group}, which is not there", interface.id.name()));
            }
        }
        for group in state.groups.values().filter_map(Seen::present) {
            let mut taken = BTreeSet::new();
            if let Some(rule) = group.rules.iter().find(|rule| !taken.insert((rule.inbound, rule.priority))) {
                return Err(format!("{name}: two rules at {} of {}", rule.priority, group.id.name()));
            }
        }
    }
    Ok(())
}

fn fronts(desired: &Desired) -> impl Fn(&Handle) -> Option<ResourceId> + '_ {
    |name| Some(desired.endpoints.get(name)?.gateway.as_ref()?.public_ip.clone())
}

/// What `owner` did not make in a gateway.
#[derive(Debug, PartialEq)]
struct Foreign {
    balancer: Option<Vec<String>>,
    interfaces: Vec<String>,
    groups: Vec<String>,
}

impl Foreign {
    fn of(owner: &Owner, state: &GatewayState) -> Self {
        let balancer = state.load_balancer.present().map(|held| {
            let mut held = held.clone();
            held.nat_rules.sort_by(|a, b| a.name.cmp(&b.name));
            let frontends = held.frontends.iter().filter(|one| !is_marked(owner, &one.name));
            let pools = held.pools.iter().filter(|one| !is_marked(owner, &one.name));
            let rules = held.nat_rules.iter().filter(|one| !is_marked(owner, &one.name));
            (frontends.map(|one| format!("{one:?}")))
                .chain(pools.map(|one| format!("{one:?}")))
                .chain(rules.map(|one| format!("{one:?}")))
                .chain(held.other_ports.iter().map(|one| format!("{one:?}")))
                .chain(held.outbound.iter().map(|one| format!("{one:?}")))
                .chain([format!("{} {} {:?}", held.sku, held.location, held.mark)])
                .collect()
        });
        let interfaces = state.interfaces.values().filter_map(Seen::present).map(|interface| {
            let mut rest = interface.clone();
            rest.group = None;
            rest.version = version("");
            for configuration in &mut rest.configurations {
                configuration.pools.retain(|pool| !is_marked(owner, pool.name()));
            }
            format!("{rest:?}")
        });
        let groups = state.groups.values().filter_map(Seen::present).flat_map(|group| {
            group.foreign(owner).map(|rule| format!("{} {rule:?}", group.id)).collect::<Vec<_>>()
        });
        let mut groups: Vec<String> = groups.collect();
        groups.sort();
        Self { balancer, interfaces: interfaces.collect(), groups }
    }
}

/// The NAT rule that leads from the gateway's public IP to `rule`'s machine.
fn leading<'s>(gateway: &Gateway, state: &'s GatewayState, rule: &NatRule) -> Option<&'s HeldNatRule> {
    let held = state.load_balancer.present()?;
    let front = held.frontend_id(&held.frontend_of(&gateway.public_ip)?.name);
    let machine = state.interface(&rule.network_interface)?.primary_id()?;
    held.nat_rules.iter().find(|nat| {
        let pool =
            nat.pool.as_ref().and_then(|id| held.pools.iter().find(|one| held.pool_id(&one.name) == *id));
        nat.frontend == front
            && nat.ports == Ports::one(rule.frontend_port)
            && nat.backend_port == rule.backend_port
            && nat.protocol.is_none_or(|protocol| protocol == rule.protocol)
            && match pool {
                Some(pool) => pool.members.iter().eq([&machine]),
                None => nat.target.as_ref() == Some(&machine),
            }
    })
}

/// Whether `step` of `plan` waits for `other`, directly or not.
fn waits(plan: &Plan, step: usize, other: usize) -> bool {
    plan.steps[step].after.iter().any(|on| *on == other || waits(plan, *on, other))
}

/// Runs passes until nothing more is planned.
fn settled(desired: &Desired, observed: &Observed) -> Observed {
    let mut seen = observed.clone();
    for _ in 0..4 {
        seen = seen.after(cleared(desired, &seen).plan());
    }
    seen
}

/// The same without versions and states, which no plan brings back.
fn timeless(observed: &Observed) -> Vec<GatewayState> {
    let mut states: Vec<GatewayState> = gateways(observed).map(|(_, state)| state.clone()).collect();
    for state in &mut states {
        if let Seen::Present(balancer) = &mut state.load_balancer {
            balancer.nat_rules.sort_by(|a, b| a.name.cmp(&b.name));
        }
        for interface in state.interfaces.values_mut() {
            if let Seen::Present(interface) = interface {
                interface.version = version("");
            }
        }
        for group in state.groups.values_mut() {
            if let Seen::Present(group) = group {
                group.version = version("");
                group.rules.sort_by(|a, b| a.name.cmp(&b.name));
                group.provisioning = cnamed::model::endpoint::Provisioning::Succeeded;
            }
        }
    }
    states
}

fn any_prefix(plan: &Plan, coins: &[bool]) -> Vec<usize> {
    let mut done = vec![false; plan.steps.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        done[at] = coins[at % coins.len()] && step.after.iter().all(|on| done[*on]);
    }
    (0..done.len()).filter(|at| done[*at]).collect()
}

proptest! {
    #![proptest_config(settings())]

    /// What others made in a load balancer, a security group or a network interface is there afterwards as before,
    /// also when everything is taken down.
    #[test]
    fn what_others_made_in_it_stays(World { desired, observed } in world(), down in any::<bool>()) {
        let desired = if down { desired.torn_down() } else { desired };
        let cleared = cleared(&desired, &observed);
        let after = settled(&desired, &observed);
        for (name, before) in gateways(&observed) {
            let later = after.endpoints[name].gateway.as_ref().unwrap();
            let (was, is) = (Foreign::of(&desired.owner, before), Foreign::of(&desired.owner, later));
            prop_assert_eq!(&was.interfaces, &is.interfaces, "{}", cleared);
            prop_assert_eq!(&was.groups, &is.groups, "{}", cleared);
            let removed = desired.endpoints[name].intent == Intent::Remove;
            if let Some(was) = &was.balancer {
                match &is.balancer {
                    Some(is) => prop_assert_eq!(was, is, "{}", cleared),
                    None => prop_assert!(was.len() == 1 && was[0].contains("ops"), "{was:?}\n{cleared}"),
                }
            }
            for (id, seen) in &before.interfaces {
                let (Some(was), Some(is)) = (seen.present(), later.interface(id)) else { continue };
                let ours = |id: &ResourceId| before.group(id).is_some_and(|group| group.mark.as_ref() == Some(&desired.owner));
                match (&was.group, &is.group) {
                    (was, is) if was == is => {}
                    // Never behind a group of others, which nothing would take it out of again.
                    (None, Some(is)) => {
                        let mark = later.group(is).and_then(|group| group.mark.as_ref());
                        prop_assert!(!removed && mark == Some(&desired.owner), "{cleared}");
                    }
                    (Some(was), None) => {
                        let wanted = desired.endpoints.values().filter_map(|one| one.gateway.as_ref());
                        let wanted = wanted.flat_map(|one| &one.nat_rules).any(|rule| rule.network_interface == *id);
                        prop_assert!((removed || (desired.prune && !wanted)) && ours(was), "{cleared}");
                    }
                    (was, is) => prop_assert!(false, "{was:?} became {is:?}\n{cleared}"),
                }
            }
            for (id, seen) in &before.groups {
                let gone = seen.present().filter(|_| later.groups[id] == Seen::Absent);
                if let Some(gone) = gone {
                    prop_assert_eq!(gone.mark.as_ref(), Some(&desired.owner));
                    prop_assert!(gone.foreign(&desired.owner).next().is_none(), "{cleared}");
                }
            }
        }
    }

    /// No port opens to everybody without consent: neither by a rule of ours, nor by a NAT rule that begins to lead
    /// past the open door of others.
    #[test]
    fn a_port_opens_to_everybody_by_consent_alone(World { desired, observed } in world()) {
        let mut desired = desired;
        desired.consents.internet = false;
        let cleared = cleared(&desired, &observed);
        let after = observed.after(cleared.plan());
        for endpoint in desired.endpoints.values() {
            let Some(gateway) = &endpoint.gateway else { continue };
            let state = |seen: &Observed| seen.endpoints.get(&endpoint.name).and_then(|state| state.gateway.clone());
            let (Some(before), Some(after)) = (state(&observed), state(&after)) else { continue };
            for rule in &gateway.nat_rules {
                let open = |state: &GatewayState| admits_anybody(state, rule);
                let led = leading(gateway, &before, rule).is_some();
                let was_open = open(&before);
                if leading(gateway, &after, rule).is_some() && open(&after) {
                    // What leads there by then may have been pulled out of its pool, or pointed elsewhere, since it was built.
                    let built = before.load_balancer.present().is_some_and(|held| {
                        held.nat_rules.iter().any(|held| held.name.eq_ignore_ascii_case(&format!("cnamed_ops_{}", rule.name)) && held.backend_port == rule.backend_port)
                    });
                    prop_assert!(was_open && (led || built), "{rule:?}\n{cleared}");
                }
            }
        }
    }

    /// At rest, without anything refused, blocked or unread, every wanted port leads to its machine, and everybody who
    /// shall come in does.
    #[test]
    fn at_rest_every_port_leads_to_its_machine(World { desired, observed } in world()) {
        let seen = settled(&desired, &observed);
        let rest = cleared(&desired, &seen);
        if !(rest.refusals().is_empty() && rest.plan().blocked.is_empty()) {
            return Ok(());
        }
        for endpoint in desired.endpoints.values().filter(|endpoint| endpoint.intent == Intent::Hold) {
            let Some(gateway) = &endpoint.gateway else { continue };
            let state = seen.endpoints[&endpoint.name].gateway.as_ref().unwrap();
            for rule in &gateway.nat_rules {
                prop_assert!(leading(gateway, state, rule).is_some(), "{rule:?}\n{state:#?}\n{rest}");
                if let Some(access) = &rule.access {
                    let admitted = admits(&desired, state, rule, &access.from.sources());
                    prop_assert!(admitted.is_ok(), "{admitted:?} {rule:?}\n{state:#?}");
                }
            }
        }
    }

    /// What the guard lets through whole it refuses of no gateway in a later pass: what cannot be is told at once, or not
    /// at all.
    #[test]
    fn what_passed_the_guard_is_refused_in_no_later_pass(World { desired, observed } in world()) {
        let mut cleared_then = cleared(&desired, &observed);
        if !cleared_then.refusals().is_empty() {
            return Ok(());
        }
        let mut seen = observed;
        for _ in 0..4 {
            seen = seen.after(cleared_then.plan());
            let now = cleared(&desired, &seen);
            let mut refused = now.refusals().iter().map(|refusal| &refusal.subject);
            let of_gateway = refused.any(|subject| matches!(subject, Subject::Gateway(..)));
            prop_assert!(!of_gateway, "{now}\nafter\n{cleared_then}");
            cleared_then = now;
        }
    }

    /// Being in a pool of ours is all that leads to a door that nothing names any more, so it ends after that is closed.
    #[test]
    fn what_leads_to_a_door_outlasts_it(World { desired, observed } in world(), down in any::<bool>()) {
        let desired = if down { desired.torn_down() } else { desired };
        let plan = plan(&desired, &observed);
        let named: BTreeSet<String> = (desired.endpoints.values())
            .filter_map(|endpoint| endpoint.gateway.as_ref())
            .flat_map(|gateway| &gateway.nat_rules)
            .map(|rule| format!("cnamed_ops_{}", rule.name))
            .collect();
        let parts = || plan.steps.iter().enumerate().filter_map(|(at, step)| match &step.action {
            Action::Gateway(change) => Some((at, &change.endpoint, &change.part)),
            _ => None,
        });
        for (door, endpoint, part) in parts() {
            let Part::SecurityRule(change) = part else { continue };
            let gone = change.held.as_ref().filter(|_| change.wanted.is_none());
            if gone.is_none_or(|gone| named.contains(&gone.name.to_ascii_lowercase())) {
                continue;
            }
            for (step, of, part) in parts() {
                let forgets = match part {
                    Part::Interface(nic) => !nic.leave.is_empty(),
                    Part::LoadBalancer(balancer) => balancer.delete || !balancer.without_pools.is_empty(),
                    _ => false,
                };
                prop_assert!(of != endpoint || !forgets || waits(&plan, step, door), "{step} and {door}\n{plan}");
            }
        }
    }

    /// Stopped anywhere, with any steps done whose conditions were met, everything refers to what is there.
    #[test]
    fn every_prefix_refers_to_what_is_there(
        World { desired, observed } in world(),
        down in any::<bool>(),
        coins in prop::collection::vec(any::<bool>(), 40),
    ) {
        let own = fronts(&desired);
        prop_assert_eq!(consistent(&observed, &own), Ok(()), "the world itself");
        let desired = if down { desired.clone().torn_down() } else { desired.clone() };
        let cleared = cleared(&desired, &observed);
        let plan = cleared.plan();
        for length in 0..=plan.steps.len() {
            let after = observed.after_steps(&plan.owner, &plan.steps[..length]);
            prop_assert_eq!(consistent(&after, &own), Ok(()), "after {} steps of\n{}", length, plan);
        }
        let done = any_prefix(plan, &coins);
        let after = observed.after_steps(&plan.owner, done.iter().map(|at| &plan.steps[*at]));
        prop_assert_eq!(consistent(&after, &own), Ok(()), "after {:?} of\n{}", done, plan);
        for step in &plan.steps {
            let Action::Gateway(change) = &step.action else { continue };
            // What goes has nothing in front of it by then.
            let before = observed.after_steps(&plan.owner, plan.steps.iter().take_while(|other| *other != step));
            let state = before.endpoints[&change.endpoint].gateway.as_ref().unwrap();
            match &change.part {
                Part::SecurityGroup(group) if group.held.is_some() => {
                    let users = state.group(&group.id).map(|group| group.users.len());
                    prop_assert_eq!(users, Some(0), "{}", plan);
                }
                Part::LoadBalancer(balancer) if balancer.delete => {
                    let held = state.load_balancer.present().unwrap();
                    prop_assert!(held.pools.iter().all(|pool| pool.members.is_empty()), "{plan}");
                }
                Part::Interface(interface) => {
                    prop_assert!(!matches!(&interface.group, GroupChange::Set(group) if state.group(group).is_none()), "{plan}");
                }
                _ => {}
            }
        }
    }

    /// Nothing is changed that is as it shall be, and nothing of what was not read.
    #[test]
    fn a_gateway_changes_where_it_differs(World { desired, observed } in world()) {
        let plan = plan(&desired, &observed);
        for step in &plan.steps {
            let Action::Gateway(change) = &step.action else { continue };
            let state = observed.endpoints[&change.endpoint].gateway.as_ref().unwrap();
            prop_assert!(state.unread().is_none() && state.busy().is_none(), "{plan}");
            let before = observed.after_steps(&plan.owner, plan.steps.iter().take_while(|other| *other != step));
            let after = before.after_steps(&plan.owner, [step]);
            if !step.reason.contains("failed") {
                let state = |seen: &Observed| timeless(seen);
                prop_assert_ne!(state(&before), state(&after), "{:?}\n{}", step, plan);
            }
        }
    }

    /// What a sync builds from nothing, a teardown takes away to the last part.
    #[test]
    fn a_teardown_leaves_what_was_there(
        World { desired, observed } in world(),
        sites in prop::collection::vec(super::site::site(), 2),
    ) {
        let (mut desired, mut observed) = (desired, observed);
        desired.consents.internet = true;
        desired.prune = true;
        desired.records.clear();
        observed.records.clear();
        observed.zones.clear();
        for endpoint in desired.endpoints.values_mut() {
            (endpoint.intent, endpoint.gateway) = (Intent::Hold, None);
            endpoint.public_ip.label_scope = None;
        }
        observed.endpoints.clear();
        for name in desired.endpoints.keys() {
            let state = cnamed::model::state::EndpointState {
                public_ip: Seen::Absent, label: Seen::Present(LabelHolder::Nobody), gateway: None,
            };
            observed.endpoints.insert(name.clone(), state);
        }
        let bare = sites.into_iter().map(|site| site.map(Site::bare)).collect();
        install(&mut desired, &mut observed, bare, vec![None, None, None]);
        let built = settled(&desired, &observed);
        let rest = cleared(&desired, &built);
        if !rest.refusals().is_empty() {
            return Ok(());
        }
        prop_assert!(rest.plan().is_empty(), "{rest}");
        let down = desired.clone().torn_down();
        let left = settled(&down, &built);
        let rest = check(&down, &left, plan(&down, &left));
        prop_assert!(rest.refusals().is_empty() && rest.plan().is_empty(), "{rest}");
        prop_assert_eq!(timeless(&observed), timeless(&left));
        prop_assert!(left.endpoints.values().all(|state| state.public_ip == Seen::Absent));
    }
}
