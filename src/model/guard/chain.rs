//! The rule that a name must lead somewhere.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Refusal, Rule};
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::plan::{Action, Plan, Subject};
use crate::model::record::{Data, RecordSet};
use crate::model::state::{Desired, Observed, RecordKey};

/// Every planned CNAME, over what is planned and what was seen in all zones of all accounts.
pub(super) fn check(desired: &Desired, observed: &Observed, plan: &Plan, refusals: &mut BTreeSet<Refusal>) {
    if !leads_on(desired, observed, plan) {
        return;
    }
    let endless = endless(observed, plan);
    for step in &plan.steps {
        let Action::Record(change) = &step.action else { continue };
        let Some(Data::Cname(target)) = change.after.as_ref().map(|content| &content.data) else { continue };
        if !endless.contains(&change.key.name) {
            continue;
        }
        let reason = if *target == change.key.name {
            format!("{} would point at itself.", change.key.name)
        } else {
            format!("{} would point at {target}, from where the chain never ends.", change.key.name)
        };
        let allow = match desired.records.get(&change.key) {
            Some(wanted) => format!("choose another name than {} for {}", change.key.name, wanted.endpoint),
            None => format!("choose another name than {}", change.key.name),
        };
        refusals.insert(Refusal {
            subject: Subject::Record(change.key.clone()),
            endpoint: step.endpoint.clone(),
            rule: Rule::Loop,
            reason,
            allow,
        });
    }
}

/// Whether any planned target is itself a name that we know of: only then can a chain come back.
fn leads_on(desired: &Desired, observed: &Observed, plan: &Plan) -> bool {
    let targets: HashSet<&Fqdn> = (plan.steps.iter())
        .filter_map(|step| match &step.action {
            Action::Record(change) => target(&change.after.as_ref()?.data),
            _ => None,
        })
        .collect();
    let known = |name: &Fqdn, account: &Handle| {
        let key = RecordKey { name: name.clone(), account: account.clone() };
        desired.records.contains_key(&key) || observed.records.contains_key(&key)
    };
    targets.iter().any(|name| observed.zones.keys().any(|account| known(name, account)))
}

/// The names from which some chain of CNAMEs never ends.
///
/// Names that end are peeled off from the end of their chains (Kahn); what is left leads round in a circle.
/// Takes time in the number of CNAMEs.
fn endless<'n>(observed: &'n Observed, plan: &'n Plan) -> BTreeSet<&'n Fqdn> {
    let mut replaced: HashMap<&RecordKey, Option<&Fqdn>> = HashMap::new();
    for step in &plan.steps {
        if let Action::Record(change) = &step.action {
            let target = change.after.as_ref().and_then(|content| target(&content.data));
            replaced.insert(&change.key, target);
        }
    }
    let held = |key: &RecordKey, sets: &'n [RecordSet]| {
        let kept = !replaced.contains_key(key);
        sets.iter().filter(move |_| kept).filter_map(|set| target(&set.content.data))
    };
    let mut onward: HashMap<&Fqdn, usize> = HashMap::new();
    let mut back: HashMap<&Fqdn, Vec<&Fqdn>> = HashMap::new();
    let seen = observed.records.iter().flat_map(|(key, seen)| {
        let sets = seen.present().map_or(&[][..], Vec::as_slice);
        held(key, sets).map(move |target| (&key.name, target))
    });
    let planned = replaced.iter().filter_map(|(key, target)| Some((&key.name, (*target)?)));
    for (name, target) in seen.chain(planned) {
        *onward.entry(name).or_default() += 1;
        back.entry(target).or_default().push(name);
    }
    let mut ends: Vec<&Fqdn> = back.keys().copied().filter(|name| !onward.contains_key(name)).collect();
    while let Some(end) = ends.pop() {
        for name in back.get(end).into_iter().flatten() {
            if let Some(left) = onward.get_mut(name) {
                *left -= 1;
                if *left == 0 {
                    ends.push(name);
                }
            }
        }
    }
    onward.into_iter().filter(|(_, left)| *left > 0).map(|(name, _)| name).collect()
}

fn target(data: &Data) -> Option<&Fqdn> {
    match data {
        Data::Cname(target) => Some(target),
        _ => None,
    }
}
