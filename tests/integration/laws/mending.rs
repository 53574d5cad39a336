//! What holds when names are mended before everything was read.

use std::collections::BTreeSet;

use cnamed::model::endpoint::{Endpoint, Intent};
use cnamed::model::plan::{Action, Plan, Step};
use cnamed::model::record::Policy;
use cnamed::model::state::{Desired, EndpointState, Observed, RecordKey, Seen};
use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{ACCOUNTS, World, handle, world};
use super::{Tied, cleared, prefixes_are_safe, settings, tied};

/// How much of each endpoint is known, of which accounts and which of their zones anything is, and what stands at which
/// names that are wanted.
#[derive(Clone, Debug)]
struct Knowledge {
    endpoints: Vec<Known>,
    accounts: Vec<bool>,
    zones: Vec<bool>,
    names: Vec<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    Whole,
    PublicIpAlone,
    Nothing,
}

fn knowledge() -> impl Strategy<Value = Knowledge> {
    let known =
        prop_oneof![1 => Just(Known::Whole), 3 => Just(Known::PublicIpAlone), 1 => Just(Known::Nothing)];
    let (account, name) = (prop::bool::weighted(0.7), prop::bool::weighted(0.8));
    let zone = prop::bool::weighted(0.8);
    (vec(known, 2), vec(account, ACCOUNTS.len()), vec(zone, 4), vec(name, 12))
        .prop_map(|(endpoints, accounts, zones, names)| Knowledge { endpoints, accounts, zones, names })
}

impl Knowledge {
    /// `observed`, as far as it is known.
    fn of(&self, desired: &Desired, observed: &Observed) -> Observed {
        let mut seen = observed.clone();
        for (endpoint, known) in desired.endpoints.values().zip(&self.endpoints) {
            let Some(state) = seen.endpoints.get_mut(&endpoint.name) else { continue };
            let unknown = EndpointState::unknown(endpoint, UNREAD);
            *state = match known {
                Known::Whole => continue,
                Known::PublicIpAlone => {
                    let label = if has_its_label(endpoint, state) { Seen::Absent } else { unknown.label };
                    EndpointState { public_ip: state.public_ip.clone(), label, gateway: unknown.gateway }
                }
                Known::Nothing => unknown,
            };
        }
        let zones = observed.zones.iter().flat_map(|(account, zones)| {
            zones.present().into_iter().flatten().map(move |zone| (account, zone))
        });
        for ((account, zone), _) in zones.zip(self.zones.iter().cycle()).filter(|(_, known)| !**known) {
            // What nobody wants there is not even heard of, and the apex stands for it.
            let within = |key: &RecordKey| {
                key.account == *account && observed.zone(key).is_ok_and(|of| of.id == zone.id)
            };
            seen.records.retain(|key, _| !within(key));
            let wanted = desired.records.keys().filter(|key| within(key)).cloned();
            let apex = RecordKey { name: zone.name.apex().clone(), account: account.clone() };
            let unread = wanted.chain([apex]);
            seen.records.extend(unread.map(|key| (key, Seen::Unknown(UNREAD.into()))));
        }
        let names = desired.records.keys().zip(self.names.iter().cycle());
        for (key, _) in names.filter(|(_, known)| !**known) {
            seen.records.insert(key.clone(), Seen::Unknown(UNREAD.into()));
        }
        for (account, _) in ACCOUNTS.iter().zip(&self.accounts).filter(|(_, known)| !**known) {
            forget(&mut seen, desired, account);
        }
        seen
    }
}

/// Has an account not have answered.
fn forget(seen: &mut Observed, desired: &Desired, account: &str) {
    let account = handle(account);
    seen.records.retain(|key, _| key.account != account);
    let wanted = desired.records.keys().filter(|key| key.account == account);
    seen.records.extend(wanted.map(|key| (key.clone(), Seen::Unknown(UNREAD.into()))));
    seen.zones.insert(account, Seen::Unknown(UNREAD.into()));
}

fn has_its_label(endpoint: &Endpoint, state: &EndpointState) -> bool {
    state.public_ip.present().is_some_and(|ip| ip.label.as_ref() == Some(&endpoint.public_ip.label))
}

/// The same world, in which no label may be given up: where one may, everything is read first.
fn kept(mut world: World) -> World {
    world.desired.consents.relabel = false;
    for endpoint in world.desired.endpoints.values_mut().filter(|one| one.intent == Intent::Remove) {
        endpoint.intent = Intent::Hold;
    }
    world
}

/// Some of the names that are wanted.
fn some(desired: &Desired, coins: &[bool]) -> BTreeSet<RecordKey> {
    let names = desired.records.keys().zip(coins.iter().cycle());
    names.filter(|(_, coin)| **coin).map(|(key, _)| key.clone()).collect()
}

fn key(step: &Step) -> Option<&RecordKey> {
    match &step.action {
        Action::Record(change) => Some(&change.key),
        _ => None,
    }
}

proptest! {
    #![proptest_config(settings())]

    /// What is left out is the names and what waits for them, directly or not; what stays waits for what it waited for.
    #[test]
    fn apart_from_names_goes_what_waits_for_them(World { desired, observed } in world(), coins in vec(any::<bool>(), 12)) {
        let whole = cleared(&desired, &observed);
        let names = some(&desired, &coins);
        let rest = whole.apart_from(&names);
        let steps = &whole.plan().steps;
        let mut goes: Vec<bool> = Vec::new();
        for step in steps {
            let named = key(step).is_some_and(|key| names.contains(key));
            goes.push(named || step.after.iter().any(|on| goes[*on]));
        }
        let stays = steps.iter().zip(&goes).filter(|(_, goes)| !**goes).map(|(step, _)| step);
        let awaited = |plan: &Plan, step: &Step| -> Vec<Action> {
            step.after.iter().map(|on| plan.steps[*on].action.clone()).collect()
        };
        let told = |plan: &Plan, step: &Step| (step.action.clone(), step.endpoint.clone(), awaited(plan, step));
        let stays: Vec<_> = stays.map(|step| told(whole.plan(), step)).collect();
        let rests: Vec<_> = rest.plan().steps.iter().map(|step| told(rest.plan(), step)).collect();
        prop_assert_eq!(stays, rests, "{}", whole);
        prop_assert_eq!(whole.refusals(), rest.refusals());
        prop_assert_eq!((&whole.plan().blocked, &whole.plan().notes), (&rest.plan().blocked, &rest.plan().notes));
    }

    /// Whatever was not read, no name is made to say what it would not say in the plan of whoever has read everything.
    #[test]
    fn less_knowledge_mends_nothing_else(world in world(), knowledge in knowledge(), coins in vec(any::<bool>(), 12)) {
        let World { desired, observed } = kept(world);
        let part = cleared(&desired, &knowledge.of(&desired, &observed));
        let whole = cleared(&desired, &observed);
        let but = some(&desired, &coins);
        let mending = part.at_once(&desired, &but);
        for step in &mending.plan().steps {
            prop_assert!(key(step).is_some_and(|key| !but.contains(key)), "{mending}");
        }
        let all = part.at_once(&desired, &[].into());
        prop_assert!(all.refusals().is_empty() && all.plan().blocked.is_empty() && all.plan().notes.is_empty());
        let free = |step: &&Step| tied(&desired, part.plan(), step) != Tied::ToItsEndpoint;
        prop_assert!(part.plan().steps.iter().filter(free).eq(&all.plan().steps));
        for step in &all.plan().steps {
            let planned = whole.plan().steps.iter().any(|other| other == step);
            prop_assert!(planned, "{}\nof\n{part}\nis no step of\n{whole}", all.plan());
        }
    }

    /// Whoever does not answer holds no name of another account that waits for nothing to be built.
    #[test]
    fn silence_holds_no_name_of_another_account(world in world()) {
        let World { desired, observed } = kept(world);
        let whole = cleared(&desired, &observed).at_once(&desired, &[].into());
        for account in ACCOUNTS {
            let mut seen = observed.clone();
            forget(&mut seen, &desired, account);
            let of_others = |steps: &[Step]| -> Vec<Step> {
                let others = steps.iter().filter(|step| key(step).is_some_and(|key| key.account.as_str() != account));
                others.cloned().collect()
            };
            let part = cleared(&desired, &seen).at_once(&desired, &[].into());
            prop_assert_eq!(of_others(&part.plan().steps), of_others(&whole.plan().steps), "without {}", account);
        }
    }

    /// Names are mended, then the rest is done: stopped anywhere that is safe, and it ends where it would without the names
    /// that were mended first, which is where the whole plan ends.
    #[test]
    fn mending_comes_first_and_changes_nothing_else(
        world in world(),
        knowledge in knowledge(),
        coins in vec(any::<bool>(), 40),
        cut in any::<prop::sample::Index>(),
    ) {
        let World { mut desired, observed } = kept(world);
        // What may only be created or changed remembers, by design, whether it was there.
        desired.records.values_mut().for_each(|wanted| wanted.policy = Policy::Sync);
        let part = cleared(&desired, &knowledge.of(&desired, &observed));
        let mending = part.at_once(&desired, &some(&desired, &coins)).plan().clone();
        let begun: BTreeSet<RecordKey> = mending.steps.iter().filter_map(key).cloned().collect();
        let rest = cleared(&desired, &observed).apart_from(&begun).plan().clone();
        let moved = mending.steps.len();
        let later = rest.steps.into_iter().map(|step| Step { after: step.after.iter().map(|on| on + moved).collect(), ..step });
        let both = Plan { steps: mending.steps.into_iter().chain(later).collect(), ..rest };
        prefixes_are_safe(&desired, &observed, &both, &coins)?;
        let settle = |mut seen: Observed| {
            for _ in 0..3 {
                seen = seen.after(cleared(&desired, &seen).plan());
            }
            seen
        };
        let done = cut.index(both.steps.len() + 1);
        let interrupted = settle(observed.after_steps(&both.owner, &both.steps[..done]));
        let without = settle(observed.after_steps(&both.owner, both.steps[..done].iter().skip(moved)));
        prop_assert_eq!(interrupted, without, "after {} steps of\n{}", done, both);
        prop_assert_eq!(settle(observed.after(&both)), settle(observed), "after\n{}", both);
    }
}

const UNREAD: &str = "not read yet";
