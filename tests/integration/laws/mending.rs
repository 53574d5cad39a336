//! What holds when names that stand are mended before everything was read.

use std::collections::BTreeSet;

use cnamed::model::plan::{Action, Plan, Step};
use cnamed::model::state::{Desired, RecordKey};
use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{World, world};
use super::{cleared, settings};

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
}
