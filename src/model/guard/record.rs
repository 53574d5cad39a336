//! The rules for names.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Refusal, Rule};
use crate::model::endpoint::{Handle, Intent};
use crate::model::name::Fqdn;
use crate::model::plan::{Action, Plan, RecordChange, Subject, displaced, mode};
use crate::model::record::{Data, Mode, Owner, Policy, RecordSet, RecordType, mark};
use crate::model::state::{Desired, NoZone, Observed, RecordKey, Wanted, Zone};
use crate::model::zone::ZoneIndex;

/// Every name that is wanted, whether or not a change is planned for it yet: a public IP is not made for a name
/// that could not follow it.
pub(super) fn check(desired: &Desired, observed: &Observed, plan: &Plan, refusals: &mut BTreeSet<Refusal>) {
    let zones = ZoneIndex::new(observed);
    let written: HashSet<&RecordKey> = (plan.steps.iter())
        .filter_map(|step| match &step.action {
            Action::Record(change) if change.after.is_some() => Some(&change.key),
            _ => None,
        })
        .collect();
    for (key, wanted) in &desired.records {
        let leader = desired.endpoints.get(&wanted.endpoint);
        let goes = wanted.withdraw || leader.is_some_and(|leader| leader.intent == Intent::Remove);
        match zones.of(key) {
            Ok(zone) if !goes => {
                held_to_rules(desired, observed, (key, wanted), zone, written.contains(key), refusals)
            }
            Ok(_) if wanted.withdraw && leader.is_some_and(|leader| leader.intent == Intent::Watch) => {
                not_ours_to_remove(desired, observed, key, wanted, refusals);
            }
            Ok(_) | Err(NoZone::Unknown(_)) => {}
            Err(NoZone::None) => {
                let reason = format!("{} holds no zone for {}.", key.account, key.name);
                let allow = format!(
                    "check what the table of {} limits it to (zones, resource_group, subscription) and what its credential reaches, or take {} out of the record's accounts",
                    key.account, key.account
                );
                refusals.insert(refusal(key, wanted, Rule::Zone, reason, allow));
            }
            Err(NoZone::Several(name, ids)) => {
                let reason = format!(
                    "{} holds {} zones named {name}, with the ids {}.",
                    key.account,
                    ids.len(),
                    ids.join(" and ")
                );
                // Zones that are written down are not looked up, and so do not tell who answers for them.
                let allow = format!(
                    "set `zones` of the account {} so that it names one of them, and `name_servers` to those of that one",
                    key.account
                );
                refusals.insert(refusal(key, wanted, Rule::Zone, reason, allow));
            }
        }
    }
    mine(desired, plan, refusals);
    strays(desired, plan, refusals);
}

fn held_to_rules(
    desired: &Desired,
    observed: &Observed,
    (key, wanted): (&RecordKey, &Wanted),
    zone: &Zone,
    written: bool,
    refusals: &mut BTreeSet<Refusal>,
) {
    let rules = &zone.rules;
    let mode = mode(key, wanted, zone);
    let apex = zone.name.apex() == &key.name;
    let mut refuse = |rule, reason, allow| {
        refusals.insert(refusal(key, wanted, rule, reason, allow));
    };
    if mode == Mode::Cname && apex && !rules.flattens_apex {
        let reason = format!(
            "{} is the apex of its zone in {}, where a CNAME cannot stand beside the SOA and NS records (RFC 1034, 3.6.2).",
            key.name, key.account
        );
        refuse(Rule::Apex, reason, format!("set mode = \"auto\" for {}", key.name));
    }
    if mode == Mode::Alias && !rules.alias {
        let reason = format!("{} has no alias record sets; those exist in Azure DNS only.", key.account);
        refuse(Rule::Mode, reason, format!("set mode = \"auto\" for {}", key.name));
    }
    if wanted.proxied && !rules.proxying {
        let reason = format!("{} cannot proxy {}; only Cloudflare can.", key.account, key.name);
        let allow =
            format!("set proxied = false, or give {} a record of its own in {}", key.name, key.account);
        refuse(Rule::Mode, reason, allow);
    }
    if !(rules.takes(wanted.ttl) || (wanted.proxied && rules.proxying)) {
        let automatic = if rules.automatic_ttl { ", or 1 for automatic" } else { "" };
        let range = format!("{} to {} seconds{automatic}", rules.least_ttl, rules.greatest_ttl);
        let reason = format!("The TTL {} is outside what {} takes: {range}.", wanted.ttl, key.account);
        let nearest = wanted.ttl.seconds().clamp(rules.least_ttl, rules.greatest_ttl);
        refuse(Rule::Ttl, reason, format!("set ttl = {nearest} for {}", key.name));
    }
    if wanted.policy == Policy::CreateOnly {
        return;
    }
    let v6 = observed.public_ip(&wanted.endpoint).and_then(|ip| ip.address).is_some_and(|a| a.is_ipv6());
    let rtype = match mode {
        Mode::Cname | Mode::Auto => RecordType::Cname,
        Mode::Address | Mode::Alias if v6 => RecordType::Aaaa,
        Mode::Address | Mode::Alias => RecordType::A,
    };
    // As the plan will see it once there is something to write: what is refused then is refused before anything is made.
    let stands_there = |set: &&RecordSet| set.is_ours(&desired.owner) || displaced(&rtype, set, apex);
    let sets: Vec<&RecordSet> = observed.sets(key).iter().filter(stands_there).collect();
    let fixed = types(sets.iter().filter(|set| is_fixed(set)));
    if !fixed.is_empty() {
        let reason =
            format!("{} holds {fixed} in {}, which {rtype} cannot stand beside.", key.name, key.account);
        let allow = if rtype == RecordType::Cname && !fixed.contains("NS") {
            format!("set mode = \"address\" for {}, or move its {fixed} to another name", key.name)
        } else {
            format!("take the {fixed} record off {}, or choose another name", key.name)
        };
        refuse(Rule::Coexistence, reason, allow);
    } else if let Some(set) = first(sets.iter().copied().filter(|set| !may_take(desired, set))) {
        let (reason, allow) = not_ours(key, set);
        refuse(Rule::Foreign, reason, allow);
    } else if let Some(limit) = rules.comment {
        let room = mark::room(&desired.owner, limit);
        // One of ours has its mark already, and may stay as it is.
        let is_full = |set: &&RecordSet| set.words > room && (written || !set.is_ours(&desired.owner));
        if let Some(set) = first(sets.into_iter().filter(is_full)) {
            let reason = format!(
                "The comment at {key} has {} characters, and with our mark it may have {limit} in all.",
                set.words
            );
            refuse(Rule::Comment, reason, format!("shorten the comment at {key} to {room} characters"));
        }
    }
}

/// A name that was asked to be removed, and of which nothing is ours anywhere: what stands there is no less in the way for
/// being somebody else's. Where one of ours goes, theirs is noted, and stays.
fn not_ours_to_remove(
    desired: &Desired,
    observed: &Observed,
    key: &RecordKey,
    wanted: &Wanted,
    refusals: &mut BTreeSet<Refusal>,
) {
    // A refusal stops what is new of its endpoint, and what goes: it has a say only where nothing but this is asked.
    let mut asked = desired.records.iter().filter(|(_, other)| other.endpoint == wanted.endpoint);
    if !asked.all(|(other, wanted)| other.name == key.name && wanted.withdraw) {
        return;
    }
    let ours = |set: &RecordSet| set.is_ours(&desired.owner);
    let namesakes = desired.records.keys().filter(|other| other.name == key.name);
    if namesakes.flat_map(|other| observed.sets(other)).any(ours) {
        return;
    }
    let Some(set) = first(observed.sets(key).iter()) else { return };
    let reason = format!("{key} is {} {}, and only what is ours is removed.", set.content.data, whose(set));
    let allow = match &set.mark {
        Some(owner) => format!("remove it with the configuration of {owner}, who made it"),
        None => format!(
            "take it away where it was made, or adopt it first: a [[record]] for it, then `cnamed adopt {}`",
            key.name
        ),
    };
    refusals.insert(refusal(key, wanted, Rule::Foreign, reason, allow));
}

/// Whatever a plan says, a record is not changed without our mark or the operator's word.
fn mine(desired: &Desired, plan: &Plan, refusals: &mut BTreeSet<Refusal>) {
    let refused: HashSet<Subject> = refusals.iter().map(|refusal| refusal.subject.clone()).collect();
    for step in &plan.steps {
        let Action::Record(change) = &step.action else { continue };
        let foreign = |set: &&RecordSet| match change.after {
            Some(_) => !may_take(desired, set) || is_fixed(set),
            None => !set.is_ours(&desired.owner),
        };
        let Some(set) = change.before.iter().find(foreign) else { continue };
        if !refused.contains(&step.subject()) {
            let (reason, allow) = not_ours(&change.key, set);
            let endpoint = step.endpoint.clone();
            refusals.insert(Refusal {
                subject: step.subject(),
                endpoint,
                rule: Rule::Foreign,
                reason,
                allow,
            });
        }
    }
}

/// Withdrawals of what the configuration no longer names: counted, since one record is too many to lose by
/// mistake and a share of one is nothing. Each account is counted for itself, so that one name in several is one, and
/// that nothing depends on whether others answer.
fn strays(desired: &Desired, plan: &Plan, refusals: &mut BTreeSet<Refusal>) {
    if desired.consents.deletes {
        return;
    }
    let mut strays: BTreeMap<&Handle, Vec<&RecordKey>> = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.endpoint.is_none()) {
        if let Action::Record(RecordChange { key, after: None, .. }) = &step.action {
            strays.entry(&key.account).or_default().push(key);
        }
    }
    let allow =
        "run `cnamed sync --allow deletes` to withdraw them, or set prune = false to keep them".to_owned();
    for (account, keys) in strays {
        let (rule, reason) = if desired.records.is_empty() {
            let reason = format!(
                "The configuration names no record at all, yet our mark stands on {}.",
                listed(&keys)
            );
            (Rule::WantedEmpty, reason)
        } else if keys.len() > desired.deletes_per_round {
            let reason = format!(
                "{} would be withdrawn from {account} in one round, and limits.deletes_per_round is {}.",
                listed(&keys),
                desired.deletes_per_round
            );
            (Rule::TooManyDeletes, reason)
        } else {
            continue;
        };
        let subject = Subject::Record(keys[0].clone());
        refusals.insert(Refusal { subject, endpoint: None, rule, reason, allow: allow.clone() });
    }
}

/// Foreign CNAMEs at names that follow an endpoint and point at its label, which is about to be given up.
pub(super) fn left_behind(
    desired: &Desired,
    observed: &Observed,
    given_up: &HashMap<&Handle, &Fqdn>,
    refusals: &mut BTreeSet<Refusal>,
) {
    if given_up.is_empty() {
        return;
    }
    for (key, wanted) in &desired.records {
        let Some(label) = given_up.get(&wanted.endpoint) else { continue };
        let points = |set: &&RecordSet| matches!(&set.content.data, Data::Cname(target) if target == *label);
        let foreign = |set: &&RecordSet| points(set) && !set.is_ours(&desired.owner);
        if let Some(set) = first(observed.sets(key).iter().filter(foreign)) {
            let (_, allow) = not_ours(key, set);
            let reason = format!(
                "{key} points at {label} {}, and would be left pointing at a label that anybody can claim.",
                whose(set)
            );
            refusals.insert(refusal(key, wanted, Rule::Foreign, reason, allow));
        }
    }
}

/// Whether the operator's word, or our own mark, lets us change it.
fn may_take(desired: &Desired, set: &RecordSet) -> bool {
    let Some(mark) = &set.mark else { return desired.consents.adopt.contains_key(&set.name) };
    let named = desired.consents.adopt.get(&set.name).and_then(Option::as_ref);
    *mark == desired.owner || named == Some(mark)
}

/// Whether it is of a type that we never write, and so never displace.
fn is_fixed(set: &RecordSet) -> bool {
    matches!(set.content.data.rtype(), RecordType::Other(_))
}

fn not_ours(key: &RecordKey, set: &RecordSet) -> (String, String) {
    let reason = format!("{key} is {} {}.", set.content.data, whose(set));
    let allow = match &set.mark {
        Some(owner) => format!("cnamed adopt {} --from {owner}", key.name),
        None => format!("cnamed adopt {}", key.name),
    };
    (reason, allow)
}

fn whose(set: &RecordSet) -> String {
    let owner = |owner: &Owner| format!("with the mark of {owner}");
    set.mark.as_ref().map_or_else(|| "without our mark".to_owned(), owner)
}

/// The first by type, so that a provider's order does not show.
fn first<'s>(sets: impl Iterator<Item = &'s RecordSet>) -> Option<&'s RecordSet> {
    sets.min_by_key(|set| set.content.data.rtype())
}

fn types<'s>(sets: impl Iterator<Item = &'s &'s RecordSet>) -> String {
    let types: BTreeSet<String> = sets.map(|set| set.content.data.rtype().to_string()).collect();
    types.into_iter().collect::<Vec<_>>().join(" and ")
}

fn listed(keys: &[&RecordKey]) -> String {
    let shown: Vec<String> = keys.iter().take(3).map(ToString::to_string).collect();
    let names = shown.join(", ");
    match keys.len() {
        1 => format!("1 record ({names})"),
        all if all > shown.len() => format!("{all} records ({names} and {} more)", all - shown.len()),
        all => format!("{all} records ({names})"),
    }
}

fn refusal(key: &RecordKey, wanted: &Wanted, rule: Rule, reason: String, allow: String) -> Refusal {
    Refusal {
        subject: Subject::Record(key.clone()),
        endpoint: Some(wanted.endpoint.clone()),
        rule,
        reason,
        allow,
    }
}
