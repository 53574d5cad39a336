//! What holds for every plan, whatever is wanted and whatever is seen.

use cnamed::model::endpoint::{Endpoint, Handle, Intent, Provisioning};
use cnamed::model::gateway::{NatRule, SecurityGroup};
use cnamed::model::guard::{Cleared, Refusal, Rule, check};
use cnamed::model::name::Fqdn;
use cnamed::model::plan::{Action, Blocked, Part, Plan, RecordChange, Step, Subject, plan};
use cnamed::model::record::{Data, Mode, Owner, Policy, RecordSet};
use cnamed::model::state::{Desired, LabelHolder, NoZone, Observed, RecordKey, Seen};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

mod gateway;
mod judge;
mod mending;
pub(crate) mod site;
pub(crate) mod world;

use world::{World, world};

pub(crate) fn settings() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        // PROPTEST_CASES asks for more.
        cases: usual.cases.max(1_000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/integration/laws/regressions.txt"
        )))),
        ..usual
    }
}

pub(crate) fn cleared(desired: &Desired, observed: &Observed) -> Cleared {
    check(desired, observed, plan(desired, observed))
}

/// Whose a record is, judged without the product's own judgement.
fn belongs(set: &RecordSet, owner: &Owner) -> bool {
    set.mark.as_ref() == Some(owner)
}

/// Whether a public IP that was seen holds the label, judged likewise.
fn held(observed: &Observed, label: &Fqdn) -> bool {
    let ips = observed.endpoints.values().filter_map(|state| state.public_ip.present());
    ips.filter_map(|ip| ip.fqdn.as_ref()).any(|fqdn| fqdn == label)
}

fn record_changes(plan: &Plan) -> impl Iterator<Item = (&Step, &RecordChange)> {
    plan.steps.iter().filter_map(|step| match &step.action {
        Action::Record(change) => Some((step, change)),
        _ => None,
    })
}

/// The security group that `step` takes away.
fn going(step: &Step) -> Option<&SecurityGroup> {
    let Action::Gateway(change) = &step.action else { return None };
    let Part::SecurityGroup(group) = &change.part else { return None };
    group.held.as_ref()
}

/// What keeps a name from being written when something else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tied {
    /// Nothing: it is of ours, and would be left at what anybody may have.
    Not,
    /// What it would come to lead to.
    ToItsDoor,
    /// The other names of its account that the configuration does not name.
    ToItsAccount,
    /// Everything of its endpoint.
    ToItsEndpoint,
}

/// How `step` of `plan` is tied, judged likewise.
fn tied(desired: &Desired, plan: &Plan, step: &Step) -> Tied {
    let Action::Record(change) = &step.action else { return Tied::ToItsEndpoint };
    if !step.after.is_empty() {
        return Tied::ToItsEndpoint;
    }
    let Some(endpoint) = &step.endpoint else { return Tied::ToItsAccount };
    if change.after.is_some() {
        let stands = change.before.iter().any(|set| belongs(set, &desired.owner));
        return match (stands, change.before.is_empty()) {
            (true, _) => Tied::Not,
            (false, true) => Tied::ToItsDoor,
            (false, false) => Tied::ToItsEndpoint,
        };
    }
    let asked = desired.records[&change.key].withdraw || desired.endpoints[endpoint].intent == Intent::Remove;
    let gives_up = |other: &Step| matches!(&other.action, Action::Network(n) if n.endpoint == *endpoint && n.releases().is_some());
    if asked || plan.steps.iter().any(gives_up) { Tied::ToItsEndpoint } else { Tied::Not }
}

/// Every CNAME of ours that points at a name that begins with one of the labels, and where.
fn pointing<'o>(
    desired: &'o Desired,
    observed: &'o Observed,
) -> impl Iterator<Item = (&'o RecordKey, &'o Fqdn)> {
    observed.records.iter().flat_map(|(key, seen)| {
        let sets = seen.present().into_iter().flatten().filter(|set| belongs(set, &desired.owner));
        sets.filter_map(move |set| match &set.content.data {
            Data::Cname(target) if target.as_str().ends_with(".cloudapp.azure.com") => Some((key, target)),
            _ => None,
        })
    })
}

/// Stopped anywhere, with any steps of `plan` done whose conditions were met, no CNAME of ours points at a label that we
/// do not hold, if none did in `observed`.
fn prefixes_are_safe(
    desired: &Desired,
    observed: &Observed,
    plan: &Plan,
    coins: &[bool],
) -> Result<(), TestCaseError> {
    let safe: Vec<(&RecordKey, &Fqdn)> =
        pointing(desired, observed).filter(|(_, target)| held(observed, target)).collect();
    let judge = |after: &Observed| {
        for (key, target) in pointing(desired, after) {
            let was_unsafe = observed
                .sets(key)
                .iter()
                .any(|set| set.content.data == Data::Cname(target.clone()) && !safe.contains(&(key, target)));
            prop_assert!(was_unsafe || held(after, target), "{key} points at {target}\n{plan}");
        }
        Ok(())
    };
    for length in 0..=plan.steps.len() {
        judge(&observed.after_steps(&plan.owner, &plan.steps[..length]))?;
    }
    let mut done = vec![false; plan.steps.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        done[at] = coins[at % coins.len()] && step.after.iter().all(|on| done[*on]);
    }
    let steps = plan.steps.iter().zip(&done).filter(|(_, done)| **done).map(|(step, _)| step);
    judge(&observed.after_steps(&plan.owner, steps))
}

proptest! {
    #![proptest_config(settings())]

    /// Three passes reach a state for which nothing more is planned, with the guard and without.
    #[test]
    fn a_fixpoint_is_reached(World { desired, observed } in world()) {
        let mut seen = observed.clone();
        for _ in 0..3 {
            seen = seen.after(cleared(&desired, &seen).plan());
        }
        let rest = cleared(&desired, &seen);
        prop_assert!(rest.plan().steps.is_empty(), "{rest}");
        let mut seen = observed;
        for _ in 0..3 {
            seen = seen.after(&plan(&desired, &seen));
        }
        let rest = plan(&desired, &seen);
        prop_assert!(rest.steps.is_empty(), "{rest}");
    }

    /// The order in which a provider lists zones and record sets does not show.
    #[test]
    fn input_order_does_not_show(World { desired, observed } in world()) {
        let mut other = observed.clone();
        for zones in other.zones.values_mut() {
            if let Seen::Present(zones) = zones { zones.reverse(); }
        }
        for sets in other.records.values_mut() {
            if let Seen::Present(sets) = sets { sets.reverse(); }
        }
        let (one, two) = (cleared(&desired, &observed), cleared(&desired, &other));
        prop_assert_eq!(&one, &two);
        let text = serde_json::to_string(one.plan()).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Plan>(&text).unwrap(), one.plan());
    }

    /// A record set without our mark stands afterwards as it stood before, unless it was adopted by name; and no
    /// name is written of which it is not certain in which zone it stands.
    #[test]
    fn the_foreign_is_untouched(World { desired, observed } in world()) {
        let cleared = cleared(&desired, &observed);
        let after = observed.after(cleared.plan());
        for (_, change) in record_changes(cleared.plan()) {
            prop_assert!(observed.zone(&change.key).is_ok(), "{cleared}");
        }
        let taken = |set: &RecordSet| match (&set.mark, desired.consents.adopt.get(&set.name)) {
            (None, Some(_)) => true,
            (Some(mark), Some(Some(from))) => mark == from,
            _ => false,
        };
        for key in observed.records.keys() {
            for set in observed.sets(key) {
                if !belongs(set, &desired.owner) && !taken(set) {
                    prop_assert!(after.sets(key).contains(set), "{key} {set}\n{cleared}");
                }
            }
        }
    }

    /// Nothing is done to what was not read, nor because of it.
    #[test]
    fn the_unknown_freezes(World { desired, observed } in world()) {
        let plan = plan(&desired, &observed);
        let unread = |key: &RecordKey| {
            matches!(observed.zone(key), Err(NoZone::Unknown(_)))
                || matches!(observed.records.get(key), None | Some(Seen::Unknown(_)))
        };
        let anything_unread = observed.zones.values().any(|zones| zones.unknown().is_some())
            || observed.records.values().any(|sets| sets.unknown().is_some());
        for (step, change) in record_changes(&plan) {
            prop_assert!(!unread(&change.key), "{plan}");
            if change.after.is_some() {
                let state = step.endpoint.as_ref().and_then(|endpoint| observed.endpoints.get(endpoint));
                prop_assert!(state.is_some_and(|state| state.public_ip.present().is_some()), "{plan}");
            }
        }
        for step in &plan.steps {
            let Action::Network(change) = &step.action else { continue };
            let state = &observed.endpoints[&change.endpoint];
            prop_assert!(state.public_ip.unknown().is_none(), "{plan}");
            prop_assert!(!(change.releases().is_some() && anything_unread), "{plan}");
            let labels = change.held.as_ref().and_then(|held| held.label.as_ref()) != Some(&change.spec.label);
            prop_assert!(change.delete || !labels || state.label.present().is_some(), "{plan}");
        }
    }

    /// Stopped anywhere, with any steps done whose conditions were met, no CNAME of ours points at a label that
    /// we do not hold, if none did before.
    #[test]
    fn every_prefix_is_safe(World { desired, observed } in world(), coins in prop::collection::vec(any::<bool>(), 40)) {
        prefixes_are_safe(&desired, &observed, cleared(&desired, &observed).plan(), &coins)?;
    }

    /// Stopped anywhere and run again, a plan ends where it would have ended anyway.
    #[test]
    fn an_interruption_does_not_matter(World { desired, observed } in world(), cut in any::<prop::sample::Index>()) {
        let mut desired = desired;
        // What may only be created or changed remembers, by design, whether it was there.
        desired.records.values_mut().for_each(|wanted| wanted.policy = Policy::Sync);
        let settle = |mut seen: Observed| {
            for _ in 0..4 {
                seen = seen.after(cleared(&desired, &seen).plan());
            }
            seen
        };
        let plan = cleared(&desired, &observed).plan().clone();
        let done = cut.index(plan.steps.len() + 1);
        let interrupted = settle(observed.after_steps(&plan.owner, &plan.steps[..done]));
        let whole = settle(observed);
        prop_assert_eq!(interrupted, whole, "after {} steps of\n{}", done, plan);
    }

    /// Between a name's leaving a label and the label's release stands the wait for the name.
    #[test]
    fn a_release_waits_for_every_name(World { desired, observed } in world()) {
        let plan = plan(&desired, &observed);
        for step in &plan.steps {
            let Action::Network(change) = &step.action else { continue };
            let Some(label) = change.releases().and_then(|held| held.fqdn.as_ref()) else { continue };
            for (key, _) in pointing(&desired, &observed).filter(|(_, target)| *target == label) {
                let waits = step.after.iter().map(|at| &plan.steps[*at]).any(|wait| {
                    let settles = matches!(&wait.action, Action::Settle(settle) if settle.key == *key);
                    let leaves = |at: &usize| matches!(&plan.steps[*at].action, Action::Record(left) if left.key == *key);
                    settles && wait.after.iter().any(leaves)
                });
                prop_assert!(waits, "{key}\n{plan}");
            }
        }
    }

    /// A rename takes names away only when it follows in the same plan.
    #[test]
    fn a_rename_is_all_or_nothing(World { desired, observed } in world()) {
        for plan in [plan(&desired, &observed), cleared(&desired, &observed).plan().clone()] {
            for (step, change) in record_changes(&plan) {
                let Some(wanted) = desired.records.get(&change.key) else { continue };
                let endpoint = &desired.endpoints[&wanted.endpoint];
                let claimable = matches!(
                    observed.endpoints.get(&endpoint.name).map(|state| &state.label),
                    Some(Seen::Present(LabelHolder::Nobody))
                );
                let asked = wanted.withdraw || endpoint.intent == Intent::Remove;
                if change.after.is_none() && !asked && !(endpoint.intent == Intent::Watch && claimable) {
                    let renames = |other: &&Step| {
                        other.endpoint == step.endpoint
                            && matches!(&other.action, Action::Network(n) if n.releases().is_some())
                    };
                    prop_assert!(plan.steps.iter().any(|other| renames(&other)), "{plan}");
                }
            }
        }
    }

    /// No step changes nothing, and no name is written twice.
    #[test]
    fn a_plan_is_minimal(World { desired, observed } in world()) {
        let plan = plan(&desired, &observed);
        let mut written = std::collections::BTreeSet::new();
        for (_, change) in record_changes(&plan) {
            prop_assert!(written.insert(&change.key), "{plan}");
            prop_assert!(change.after.is_some() || !change.before.is_empty(), "{plan}");
            if let ([set], Some(after)) = (change.before.as_slice(), &change.after) {
                let same = set.content.data.same(&after.data)
                    && (set.content.ttl, set.content.proxied) == (after.ttl, after.proxied);
                prop_assert!(!(same && belongs(set, &desired.owner)), "{plan}");
            }
        }
        for step in &plan.steps {
            let Action::Network(change) = &step.action else { continue };
            let Some(held) = change.held.as_ref().filter(|_| !change.delete) else { continue };
            let differs = held.label.as_ref() != Some(&change.spec.label);
            prop_assert!(differs || held.provisioning == Provisioning::Failed, "{plan}");
        }
    }

    /// What a plan leaves behind is what its steps say, and everything else as it was.
    #[test]
    fn the_effect_is_what_the_steps_say(World { desired, observed } in world()) {
        let plan = plan(&desired, &observed);
        let after = observed.after(&plan);
        let changes: std::collections::BTreeMap<_, _> =
            record_changes(&plan).map(|(_, change)| (&change.key, change)).collect();
        for key in observed.records.keys().chain(changes.keys().copied()) {
            let Some(change) = changes.get(key) else {
                prop_assert_eq!(observed.records.get(key), after.records.get(key));
                continue;
            };
            let ours: Vec<_> =
                after.sets(key).iter().filter(|set| belongs(set, &desired.owner)).map(|set| &set.content).collect();
            prop_assert_eq!(ours, change.after.iter().collect::<Vec<_>>());
        }
        let mut step_by_step = observed.clone();
        for step in &plan.steps {
            step_by_step = step_by_step.after_steps(&plan.owner, [step]);
        }
        prop_assert_eq!(step_by_step, after);
    }

    /// Whoever renames a public IP leaves no name of ours at the label that it had: that is anybody's. Only a refusal of the
    /// name itself, a policy, or something that could not be read keeps one there.
    #[test]
    fn names_follow_the_label_that_is_held(World { desired, observed } in world()) {
        let before = plan(&desired, &observed);
        let cleared = check(&desired, &observed, before.clone());
        let after = observed.after(cleared.plan());
        for endpoint in desired.endpoints.values().filter(|endpoint| endpoint.intent != Intent::Remove) {
            let Some(fqdn) = observed.public_ip(&endpoint.name).and_then(|ip| ip.fqdn.as_ref()) else { continue };
            let renamed = before.steps.iter().any(|step| matches!(&step.action, Action::Network(n) if n.endpoint == endpoint.name));
            for (key, wanted) in desired.records.iter().filter(|(_, wanted)| wanted.endpoint == endpoint.name) {
                let may = wanted.policy == Policy::Sync && !wanted.withdraw && wanted.mode == Mode::Cname;
                let is_read = matches!(observed.records.get(key), Some(Seen::Present(_) | Seen::Absent)) && observed.zone(key).is_ok();
                let is_refused = cleared.refusals().iter().any(|refusal| refusal.subject == Subject::Record(key.clone()));
                if !may || !is_read || renamed || is_refused {
                    continue;
                }
                for set in after.sets(key).iter().filter(|set| belongs(set, &desired.owner)) {
                    if let Data::Cname(target) = &set.content.data {
                        prop_assert_eq!(target, fqdn, "{}\n{}", key, cleared);
                    }
                }
            }
        }
    }

    /// Of a refused endpoint nothing is left but names for which nothing has to be built, taken down or taken from others,
    /// of others everything is, and whatever is left can run.
    #[test]
    fn a_refusal_stops_its_endpoint_alone(World { desired, observed } in world()) {
        let before = plan(&desired, &observed);
        let cleared = check(&desired, &observed, before.clone());
        let after = cleared.plan();
        // A label that a public IP shall have instead of its own is refused, and nothing else with it.
        let of_label_alone = |refusal: &Refusal| {
            let (Rule::Relabel | Rule::Takeover, Subject::PublicIp(endpoint)) = (refusal.rule, &refusal.subject) else {
                return false;
            };
            let has_another = observed.public_ip(endpoint).is_some_and(|ip| {
                ip.label.as_ref().is_some_and(|label| *label != desired.endpoints[endpoint].public_ip.label)
            });
            let renamed = |step: &Step| matches!(&step.action, Action::Network(change) if change.endpoint == *endpoint);
            has_another && !before.steps.iter().any(renamed)
        };
        let is_refused = |step: &Step| cleared.refusals().iter().any(|refusal| refusal.subject == step.subject());
        let is_shut = |endpoint: &Option<Handle>| cleared.refusals().iter().any(|refusal| {
            matches!(refusal.subject, Subject::Gateway(..)) && refusal.endpoint == *endpoint
        });
        let has_too_many = |step: &Step| cleared.refusals().iter().any(|refusal| {
            let account = |subject: &Subject| match subject {
                Subject::Record(key) => Some(key.account.clone()),
                _ => None,
            };
            refusal.endpoint.is_none() && account(&refusal.subject) == account(&step.subject())
        });
        // Whether it goes on, whatever else of its endpoint is refused.
        let goes_alone = |step: &Step| match tied(&desired, &before, step) {
            Tied::Not => !is_refused(step),
            Tied::ToItsDoor => !is_refused(step) && !is_shut(&step.endpoint),
            Tied::ToItsAccount => !has_too_many(step),
            Tied::ToItsEndpoint => false,
        };
        let original = |step: &Step| before.steps.iter().find(|other| other.action == step.action).unwrap();
        for refusal in cleared.refusals() {
            let stops = !of_label_alone(refusal);
            let halts = |step: &Step| {
                step.endpoint == refusal.endpoint && (going(step).is_some() || !goes_alone(original(step)))
            };
            prop_assert!(!(stops && after.steps.iter().any(halts)), "{cleared}");
            // Whose label alone is refused goes on, and so may wait for a refused change of another endpoint.
            let waits = |waits_for: &str| !stops && waits_for.ends_with("which was refused");
            let twice = |blocked: &Blocked| blocked.subject == refusal.subject && !waits(&blocked.waits_for);
            prop_assert!(!after.blocked.iter().any(twice), "{cleared}");
            prop_assert!(refusal.reason.ends_with('.') && !refusal.allow.is_empty(), "{refusal:?}");
        }
        let stopping = cleared.refusals().iter().filter(|refusal| !of_label_alone(refusal));
        let mut stopped: std::collections::BTreeSet<_> = stopping.map(|refusal| refusal.endpoint.clone()).collect();
        loop {
            let halts = |on: &usize| stopped.contains(&before.steps[*on].endpoint) && !goes_alone(&before.steps[*on]);
            let waits = before.steps.iter().find(|step| {
                !stopped.contains(&step.endpoint) && going(step).is_none() && step.after.iter().any(halts)
            });
            let Some(step) = waits else { break };
            stopped.insert(step.endpoint.clone());
            let told = after.blocked.iter().any(|blocked| match &blocked.subject {
                Subject::PublicIp(endpoint) | Subject::Gateway(endpoint, _) => Some(endpoint) == step.endpoint.as_ref(),
                Subject::Record(_) => false,
            });
            prop_assert!(told, "{cleared}");
        }
        let goes_on = |step: &Step| !stopped.contains(&step.endpoint) || goes_alone(step);
        let others = |steps: &[Step]| -> Vec<Action> {
            let others = steps.iter().filter(|step| going(step).is_none() && goes_on(step));
            others.map(|step| step.action.clone()).collect()
        };
        prop_assert_eq!(others(&before.steps), others(&after.steps));
        // A group goes with any endpoint before which it stands and that goes on, and not with a rule of one that does not.
        for step in &before.steps {
            let Some(group) = going(step) else { continue };
            let sees = |endpoint: &Endpoint| {
                let state = observed.endpoints.get(&endpoint.name).and_then(|state| state.gateway.as_ref());
                state.is_some_and(|state| matches!(state.groups.get(&group.id), Some(Seen::Present(_))))
            };
            let mut halted = desired.endpoints.values().filter(|endpoint| stopped.contains(&Some(endpoint.name.clone())));
            let rule_stays = halted.any(|endpoint| {
                let rules = endpoint.gateway.iter().flat_map(|gateway| &gateway.nat_rules);
                let here = |rule: &&NatRule| rule.access.iter().any(|access| access.network_security_group == group.id);
                rules.filter(here).map(|rule| format!("cnamed_{}_{}", desired.owner, rule.name).to_lowercase())
                    .any(|name| group.rules.iter().any(|held| held.name.to_lowercase() == name))
            });
            let leaves = desired.endpoints.values().any(|endpoint| {
                endpoint.intent != Intent::Watch && !stopped.contains(&Some(endpoint.name.clone())) && sees(endpoint)
            });
            let waits = !step.after.iter().all(|on| goes_on(&before.steps[*on]));
            let kept = after.steps.iter().any(|step| going(step).is_some_and(|kept| kept.id == group.id));
            prop_assert_eq!(kept, leaves && !waits && !rule_stays, "{}", cleared);
        }
        for (at, step) in after.steps.iter().enumerate() {
            let same = |other: &&Step| match going(step) {
                Some(group) => going(other).is_some_and(|other| other.id == group.id),
                None => other.action == step.action,
            };
            let original = before.steps.iter().find(same).unwrap();
            prop_assert_eq!(original.after.len(), step.after.len());
            for (was, is) in original.after.iter().zip(&step.after) {
                prop_assert!(*is < at);
                prop_assert_eq!(&before.steps[*was].action, &after.steps[*is].action);
            }
        }
    }
}
