//! The rules for putting a change back.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Refusal, Rule};
use crate::model::name::{Fqdn, LABEL_SUFFIXES};
use crate::model::plan::{Plan, Subject, Undo, standing};
use crate::model::record::{Data, RecordSet};
use crate::model::state::{Desired, Observed};

/// Nothing is put back but onto what the change left, and nothing that would lead to who knows whom.
pub(super) fn check(
    desired: &Desired,
    observed: &Observed,
    undo: &Undo,
    plan: &Plan,
    refusals: &mut BTreeSet<Refusal>,
) {
    let key = &undo.change.key;
    let endpoint = desired.records.get(key).map(|wanted| wanted.endpoint.clone());
    let mut refuse = |rule, reason: String, allow: String| {
        let subject = Subject::Record(key.clone());
        refusals.insert(Refusal { subject, endpoint: endpoint.clone(), rule, reason, allow });
    };
    // What was not read is blocked, and differs from nothing.
    if plan.steps.is_empty() {
        return;
    }
    let standing = standing(observed, &desired.owner, undo);
    let as_left = match (&undo.change.after, standing.as_slice()) {
        (Some(written), [set]) => set.content.same(written),
        (None, []) => true,
        _ => false,
    };
    if !as_left {
        let text = |sets: Vec<String>| if sets.is_empty() { NOTHING.to_owned() } else { sets.join(" and ") };
        let is = text(standing.iter().map(|set| set.content.to_string()).collect());
        let was = text(undo.change.after.iter().map(ToString::to_string).collect());
        let reason = format!("{key} is {is} now, of ours, and the change left {was}.");
        let allow = format!("see what was changed since with `cnamed history --name {}`", key.name);
        return refuse(Rule::Differs, reason, allow);
    }
    for set in &undo.change.before {
        let ours = set.is_ours(&desired.owner);
        if let Data::Opaque { rtype, .. } = &set.content.data {
            let reason = format!("{key} was a {rtype} that cannot be read here, so it cannot be written.");
            refuse(Rule::Mode, reason, "put it back by hand".to_owned());
        } else if let Some(stranger) = stranger(desired, observed, set, ours) {
            let reason = format!(
                "{key} would lead to {stranger}, which no endpoint is seen to hold: whoever gets it answers for the name."
            );
            let allow = format!("configure the public IP that holds {stranger} as an endpoint, or leave it");
            refuse(Rule::Dangling, reason, allow);
        }
    }
}

/// The label or the address that `set` would lead to, if no endpoint is seen to hold it.
///
/// What a person wrote before it was ours may lead anywhere but to a label: those are anybody's to claim.
fn stranger(desired: &Desired, observed: &Observed, set: &RecordSet, ours: bool) -> Option<String> {
    let unheld = |address: &IpAddr| {
        let mut ips = observed.endpoints.values().filter_map(|state| state.public_ip.present());
        ours && !ips.any(|ip| ip.address == Some(*address))
    };
    let found = match &set.content.data {
        Data::Cname(target) => {
            let claimable = ours || is_label(desired, observed, target);
            return (claimable && !observed.holds_label(target)).then(|| target.to_string());
        }
        Data::A(held) => held.iter().copied().map(IpAddr::V4).find(unheld),
        Data::Aaaa(held) => held.iter().copied().map(IpAddr::V6).find(unheld),
        // Azure empties one whose target goes.
        Data::Alias { .. } | Data::Opaque { .. } => None,
    };
    found.map(|address| address.to_string())
}

/// Whether `name` is one that Azure gives to labels, in any of its clouds or in the endpoints' own.
fn is_label(desired: &Desired, observed: &Observed, name: &Fqdn) -> bool {
    let below = |suffix: &str| name.as_str().strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    LABEL_SUFFIXES.iter().any(|suffix| below(suffix))
        || desired.endpoints.values().any(|endpoint| {
            let fqdn = observed.public_ip(&endpoint.name).and_then(|ip| ip.fqdn.as_ref());
            let region = format!(".{}.", endpoint.public_ip.location.to_ascii_lowercase());
            fqdn.and_then(|fqdn| fqdn.as_str().split_once(&region)).is_some_and(|(_, suffix)| below(suffix))
        })
}

const NOTHING: &str = "nothing";
