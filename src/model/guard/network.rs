//! The rules for public IPs and their labels.

use std::collections::{BTreeSet, HashMap};

use super::record::left_behind;
use super::{Refusal, Rule};
use crate::model::endpoint::{
    Allocation, Endpoint, Handle, Intent, Provisioning, PublicIp, PublicIpSpec, same_region,
};
use crate::model::name::{DnsLabel, Fqdn};
use crate::model::plan::dismantle::{goes_whole, without_ours};
use crate::model::plan::{Action, NetworkChange, Plan, RecordChange, Subject, points_at_label};
use crate::model::record::RecordSet;
use crate::model::resource_id::ResourceId;
use crate::model::state::{Desired, LabelHolder, Observed, RecordKey, Seen};

/// Every endpoint, and every change to one.
pub(super) fn check(desired: &Desired, observed: &Observed, plan: &Plan, refusals: &mut BTreeSet<Refusal>) {
    let mut given_up: HashMap<&Handle, &Fqdn> = HashMap::new();
    for step in &plan.steps {
        let Action::Network(change) = &step.action else { continue };
        changed(desired, change, refusals);
        if let Some(label) = change.releases().and_then(|held| held.fqdn.as_ref()) {
            given_up.insert(&change.endpoint, label);
        }
    }
    left_behind(desired, observed, &given_up, refusals);
    let exposed: HashMap<&Handle, &Endpoint> = (desired.endpoints.iter())
        .filter(|(_, endpoint)| endpoint.intent != Intent::Remove && strangers(observed, endpoint))
        .collect();
    if !exposed.is_empty() {
        for (key, wanted) in desired.records.iter().filter(|(_, wanted)| !wanted.withdraw) {
            let Some(endpoint) = exposed.get(&wanted.endpoint) else { continue };
            let ours = |set: &&RecordSet| set.is_ours(&desired.owner);
            if !leads_away(plan, endpoint, key)
                && observed.sets(key).iter().filter(ours).any(|set| points_at_label(&set.content, endpoint))
            {
                refusals.insert(exposure(endpoint, key));
            }
        }
    }
    for endpoint in desired.endpoints.values().filter(|endpoint| endpoint.intent == Intent::Hold) {
        wanted_label(desired, observed, endpoint, refusals);
    }
    for endpoint in desired.endpoints.values().filter(|endpoint| endpoint.intent == Intent::Remove) {
        in_front(desired, observed, endpoint, refusals);
    }
}

/// A public IP that shall go and stands in front of what stays is told at once, and not only when its names have left.
fn in_front(desired: &Desired, observed: &Observed, endpoint: &Endpoint, refusals: &mut BTreeSet<Refusal>) {
    let Some(state) = observed.endpoints.get(&endpoint.name) else { return };
    let Some(ip) = state.public_ip.present().filter(|ip| ip.mark.as_ref() == Some(&desired.owner)) else {
        return;
    };
    let Some(user) = &ip.attached_to else { return };
    let gateway = state.gateway.as_ref().filter(|_| endpoint.gateway.is_some());
    if gateway.is_some_and(|gateway| gateway.unread().is_some()) {
        return;
    }
    let balancer = gateway.and_then(|gateway| gateway.load_balancer.present());
    let goes = balancer.filter(|held| held.id == ResourceId::new(user.as_str())).is_some_and(|held| {
        let front = held.frontend_of(&ResourceId::new(ip.id.as_str()));
        let leaves = |name| without_ours(held, &desired.owner).without_frontends.contains(name);
        goes_whole(held, &desired.owner) || front.is_some_and(|front| leaves(&front.name))
    });
    if !goes {
        let name = &endpoint.public_ip.name;
        let reason = format!("The public IP {name} still stands in front of {user}.");
        let allow = format!("take {name} off {user}, then run the same again");
        refusals.insert(of(&endpoint.name, Rule::InUse, reason, allow));
    }
}

fn changed(desired: &Desired, change: &NetworkChange, refusals: &mut BTreeSet<Refusal>) {
    let NetworkChange { endpoint, spec, held, delete } = change;
    let mut refuse = |rule, reason: String, allow: String| {
        refusals.insert(of(endpoint, rule, reason, allow));
    };
    let Some(held) = held else {
        if spec.allocation == Allocation::Dynamic {
            let reason = format!(
                "The public IP {} does not exist, and Azure makes no dynamic addresses any more: only the retired Basic kind had them.",
                spec.name
            );
            refuse(Rule::Mode, reason, format!("set allocation = \"static\" for {endpoint}"));
        }
        return;
    };
    if !delete {
        unchangeable(endpoint, held, change, &mut refuse);
        let renamed = held.label.as_ref().filter(|_| change.releases().is_some());
        if let (Some(label), false) = (renamed, desired.consents.relabel) {
            refusals.insert(renaming(endpoint, spec, label));
        }
    }
}

/// What Azure fixes at creation.
fn unchangeable(
    endpoint: &Handle,
    held: &PublicIp,
    change: &NetworkChange,
    refuse: &mut impl FnMut(Rule, String, String),
) {
    let spec = &change.spec;
    if !same_region(&held.location, &spec.location) {
        let reason = format!(
            "The public IP {} is in {} and cannot move to {}.",
            spec.name, held.location, spec.location
        );
        let allow = format!("set location = \"{}\" for {endpoint}, or name another public_ip", held.location);
        refuse(Rule::Immutable, reason, allow);
    }
    let labels = held.label.as_ref() != Some(&spec.label);
    if let (true, Some(scope)) = (labels && held.label_scope != spec.label_scope, spec.label_scope) {
        let has = held.label_scope.map_or_else(|| "none".to_owned(), |scope| scope.to_string());
        let reason = format!(
            "The public IP {} would get the label {} with the scope {scope}, but a scope is set at creation only, and it has {has}.",
            spec.name, spec.label
        );
        let allow = format!("take label_scope out of {endpoint}, or name another public_ip");
        refuse(Rule::Immutable, reason, allow);
    }
}

/// A label that is wanted and cannot be had, or not unasked.
fn wanted_label(
    desired: &Desired,
    observed: &Observed,
    endpoint: &Endpoint,
    refusals: &mut BTreeSet<Refusal>,
) {
    let spec = &endpoint.public_ip;
    let Some(state) = observed.endpoints.get(&endpoint.name) else { return };
    let ip = state.public_ip.present();
    let held = ip.and_then(|ip| ip.label.as_ref());
    if held == Some(&spec.label) || state.public_ip.unknown().is_some() {
        return;
    }
    let (reason, allow) = match (&state.label, held) {
        (Seen::Present(LabelHolder::Own(id)), _) => (
            format!("The label {} in {} is held by {id}.", spec.label, spec.location),
            format!("take the label off it, or name it as the public_ip of {}", endpoint.name),
        ),
        (Seen::Present(LabelHolder::Stranger), _) => (
            format!(
                "The label {} in {} is held by somebody else or by a resource that we cannot read, or kept back after a deletion.",
                spec.label, spec.location
            ),
            match held {
                Some(held) => {
                    format!("set label = \"{held}\" for {}, which it has, or choose another", endpoint.name)
                }
                None => format!("choose another label for {}", endpoint.name),
            },
        ),
        (Seen::Present(LabelHolder::Nobody), Some(held)) => {
            if !desired.consents.relabel && ip.is_some_and(|ip| ip.provisioning != Provisioning::Busy) {
                refusals.insert(renaming(&endpoint.name, spec, held));
            }
            return;
        }
        (Seen::Present(LabelHolder::Nobody) | Seen::Absent | Seen::Unknown(_), _) => return,
    };
    refusals.insert(of(&endpoint.name, Rule::Takeover, reason, allow));
}

/// A label that would be given up unasked.
fn renaming(endpoint: &Handle, spec: &PublicIpSpec, held: &DnsLabel) -> Refusal {
    let reason = format!(
        "The label of {} would change from {held} to {}, which frees {held} for anybody and takes the endpoint's names away for as long as their TTL.",
        spec.name, spec.label
    );
    let allow = format!("run `cnamed sync --allow relabel`, or set label = \"{held}\" for {endpoint}");
    of(endpoint, Rule::Relabel, reason, allow)
}

/// Whether somebody unknown holds the endpoint's label.
fn strangers(observed: &Observed, endpoint: &Endpoint) -> bool {
    let state = observed.endpoints.get(&endpoint.name);
    state.is_some_and(|state| matches!(state.label, Seen::Present(LabelHolder::Stranger)))
}

/// Whether `plan` points the name at another label, which Azure itself reports for the public IP: no guess, and the
/// sooner the better.
fn leads_away(plan: &Plan, endpoint: &Endpoint, key: &RecordKey) -> bool {
    plan.steps.iter().any(|step| match &step.action {
        Action::Record(RecordChange { key: changed, after: Some(after), .. }) if changed == key => {
            !points_at_label(after, endpoint)
        }
        _ => false,
    })
}

/// A name of ours that leads to a stranger. Nothing here may be mended by guessing: it is told, and left.
fn exposure(endpoint: &Endpoint, key: &RecordKey) -> Refusal {
    let reason = format!(
        "{key} points at the label {}, which somebody else holds or a resource that we cannot read: whoever that is answers for the name.",
        endpoint.public_ip.label
    );
    Refusal {
        subject: Subject::Record(key.clone()),
        endpoint: Some(endpoint.name.clone()),
        rule: Rule::Takeover,
        reason,
        allow: format!("cnamed remove {}", key.name),
    }
}

fn of(endpoint: &Handle, rule: Rule, reason: String, allow: String) -> Refusal {
    Refusal {
        subject: Subject::PublicIp(endpoint.clone()),
        endpoint: Some(endpoint.clone()),
        rule,
        reason,
        allow,
    }
}
