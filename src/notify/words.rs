//! From what the service has seen to what it tells, in words for somebody who reads them on a telephone at night.
//!
//! Titles of troubles say nothing that changes from round to round: by them the same trouble is known again.

mod unsettled;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use time::OffsetDateTime;

pub use unsettled::unsettled;
use unsettled::{link_in, link_of, port_of};

use super::digest::{FEW, few};
use super::{Notice, Topic};
use crate::journal::Noticed;
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::plan::{Verb, counted};
use crate::model::record::{Mode, Owner, Policy};
use crate::model::sight::{Happening, HappeningKind};
use crate::model::state::Desired;
use crate::model::verify::Verdict;
use crate::reconcile::round::{ChangeOutcome, ChangeReport, Link, LinkState, Outcome, Round, SubjectKind};

/// Everything that a finished round has to tell: each trouble that it found, and what it changed.
#[must_use]
pub fn notices_of(round: &Round, owner: &Owner, at: OffsetDateTime) -> Vec<Notice> {
    let teller = Teller { owner, at };
    let mut notices = teller.unread(round);
    notices.extend(teller.failed(round));
    notices.extend(round.refused.iter().map(|refusal| {
        let place = refusal.kind.place(&refusal.name, refusal.account.as_ref());
        Notice {
            details: vec![refusal.reason.clone()],
            next_step: Some(refusal.allow.clone()),
            of: about(refusal.kind, &refusal.name, refusal.account.as_ref()).into(),
            ..teller.notice(Topic::Refusal, &refusal.name, format!("{place}: refused ({})", refusal.rule))
        }
    }));
    notices.extend(teller.unverified(round));
    notices.extend(teller.loose(round));
    notices.extend(teller.changed(&round.changes));
    notices
}

/// What a round that was given up had changed by then. Whether it found a trouble is for the next one to say.
#[must_use]
pub fn notices_of_changes(changes: &[ChangeReport], owner: &Owner, at: OffsetDateTime) -> Vec<Notice> {
    Teller { owner, at }.changed(changes)
}

/// What happened to an endpoint's address or label, and what becomes of the names of `desired` that follow it.
#[must_use]
pub fn notice_of_happening(
    endpoint: &Handle,
    happening: &Happening,
    noticed: Noticed,
    desired: &Desired,
    at: OffsetDateTime,
) -> Notice {
    let how = match noticed {
        Noticed::Start => "it happened while nobody watched: the service was not running",
        Noticed::Label => "noticed in DNS: the label's own servers gave another answer",
        Noticed::Round => "noticed by a round: Azure said so",
    };
    let next_step = match happening.kind {
        HappeningKind::LabelTaken => {
            Some("choose another label for it, and see which names still lead there with: cnamed status")
        }
        HappeningKind::Deleted => {
            Some("find out who deleted it, and what is done about it with: cnamed plan")
        }
        HappeningKind::Released => {
            Some("start what the address belongs to; until then the names lead nowhere")
        }
        _ => None,
    };
    Notice {
        before: happening.before.clone(),
        after: happening.after.clone(),
        details: std::iter::once(how.to_owned()).chain(followers(endpoint, happening, desired)).collect(),
        next_step: next_step.map(str::to_owned),
        ..Teller { owner: &desired.owner, at }.notice(
            Topic::Address,
            endpoint.as_str(),
            format!("{endpoint}: {happening}"),
        )
    }
}

/// Something about the service itself; `title` without a full stop.
#[must_use]
pub fn notice_of_service(owner: &Owner, at: OffsetDateTime, title: &str, details: Vec<String>) -> Notice {
    Notice { details, ..Teller { owner, at }.notice(Topic::Service, "", title.to_owned()) }
}

/// What `cnamed notify test` sends.
#[must_use]
pub fn notice_of_test(owner: &Owner, at: OffsetDateTime) -> Notice {
    Notice {
        details: vec!["it was sent by `cnamed notify test`, and nothing is wrong".to_owned()],
        ..Teller { owner, at }.notice(Topic::Test, "", "this is a test".to_owned())
    }
}

struct Teller<'t> {
    owner: &'t Owner,
    at: OffsetDateTime,
}

impl Teller<'_> {
    fn notice(&self, topic: Topic, subject: &str, title: String) -> Notice {
        Notice {
            at: self.at,
            topic,
            owner: self.owner.to_string(),
            subject: subject.to_owned(),
            title,
            before: None,
            after: None,
            details: Vec::new(),
            next_step: None,
            repeats: 0,
            of: BTreeSet::new(),
        }
    }

    /// What could not be read, by account or endpoint.
    fn unread(&self, round: &Round) -> Vec<Notice> {
        let mut by_whom: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for unknown in &round.unknown {
            by_whom.entry(whose(&unknown.what)).or_default().push((&unknown.what, &unknown.reason));
        }
        let tell = |(whose, problems): (&str, Vec<(&str, &str)>)| {
            let step = problems.first().and_then(|(_, reason)| next_step(reason));
            Notice {
                details: few(problems
                    .iter()
                    .map(|(what, reason)| format!("{what}: {}", without_step(reason)))),
                next_step: step,
                ..self.notice(Topic::Failure, whose, format!("{whose} cannot be read"))
            }
        };
        by_whom.into_iter().map(tell).collect()
    }

    /// What was tried and failed, and what could not be confirmed, by account.
    fn failed(&self, round: &Round) -> Vec<Notice> {
        let mut by_account: BTreeMap<(&str, bool), Vec<&ChangeReport>> = BTreeMap::new();
        for change in &round.changes {
            if matches!(change.outcome, ChangeOutcome::Failed | ChangeOutcome::Unconfirmed) {
                let unsure = change.outcome == ChangeOutcome::Unconfirmed;
                by_account.entry((endpoints_or(change.account.as_ref()), unsure)).or_default().push(change);
            }
        }
        let tell = |((account, unsure), changes): ((&str, bool), Vec<&ChangeReport>)| {
            let error =
                |change: &ChangeReport| change.error.clone().unwrap_or_else(|| change.outcome.to_string());
            let first = changes.first().map(|change| error(change)).unwrap_or_default();
            let line =
                |change: &&ChangeReport| format!("{}: {}", attempt(change), without_step(&error(change)));
            let title = match unsure {
                true => format!("could not confirm changes in {account}"),
                false => format!("changes in {account} failed"),
            };
            let of = changes.iter().flat_map(|it| about(it.kind, &it.name, it.account.as_ref())).collect();
            Notice {
                details: few(changes.iter().map(line)),
                next_step: next_step(&first),
                of,
                ..self.notice(Topic::Failure, account, title)
            }
        };
        let mut notices: Vec<Notice> = by_account.into_iter().map(tell).collect();
        let skipped = round.changes.iter().filter(|change| change.outcome == ChangeOutcome::Skipped).count();
        if let (Some(first), true) = (notices.first_mut(), skipped > 0) {
            first.details.push(format!("{} not begun because of it", counted(skipped, "more change")));
        }
        notices
    }

    /// What name servers say otherwise, and the ports where the right one does not answer; unless something else that
    /// is told is the reason.
    fn unverified(&self, round: &Round) -> Vec<Notice> {
        let told = |name: &str, of: &Handle| {
            let is_it = |kind: SubjectKind, its: &str, account: Option<&Handle>| {
                kind == SubjectKind::Record && its == name && account == Some(of)
            };
            round.refused.iter().any(|it| is_it(it.kind, &it.name, it.account.as_ref()))
                || round.changes.iter().any(|it| {
                    it.outcome != ChangeOutcome::Applied && is_it(it.kind, &it.name, it.account.as_ref())
                })
                || round.unknown.iter().any(|it| whose(&it.what) == of.as_str())
        };
        let mut notices = Vec::new();
        for record in round.records.iter().filter(|record| !told(record.name.as_str(), &record.account)) {
            let (name, account) = (&record.name, &record.account);
            let title = match record.verdict {
                Verdict::Contradicted => format!("{name} in {account}: name servers say something else"),
                Verdict::Unanswered => format!("{name} in {account}: name servers do not answer"),
                // An old TTL runs out by itself.
                Verdict::Agreed | Verdict::Masked | Verdict::Pending => continue,
            };
            notices.push(Notice {
                details: vec![record.detail.clone()],
                next_step: Some(format!("cnamed status {name}")),
                of: [link_of("name", name.as_str(), account), account.to_string()].into(),
                ..self.notice(Topic::Unverified, name.as_str(), title)
            });
        }
        for way in &round.ways_in {
            let how = match way.port.state {
                LinkState::Broken => "leads to nobody",
                LinkState::Unknown if round.outcome == Outcome::Unverified => "could not be tried",
                // It waits for the address, whose release is told.
                LinkState::Unknown | LinkState::Pending | LinkState::Whole => continue,
            };
            let title = format!("port {} of {} {how}", way.frontend_port, way.endpoint);
            notices.push(Notice {
                details: vec![way.port.detail.clone()],
                next_step: Some(format!("cnamed status {}", way.endpoint)),
                of: [port_of(way.frontend_port, &way.endpoint), way.endpoint.to_string()].into(),
                ..self.notice(Topic::Unverified, way.endpoint.as_str(), title)
            });
        }
        notices
    }

    /// The links between a name and its port that do not hold: once for an endpoint, however many names follow it.
    fn loose(&self, round: &Round) -> Vec<Notice> {
        let is_port = |link: &Link| round.ways_in.iter().any(|way| way.port.from == link.from);
        // By endpoint, link and whether it is broken: what was seen, and what it is about.
        let mut by_link: BTreeMap<(&Handle, &str, bool), [BTreeSet<String>; 2]> = BTreeMap::new();
        for (chain, link) in round.loose().filter(|(_, link)| !is_port(link)) {
            let is_record =
                round.records.iter().any(|it| (&it.name, &it.account) == (&chain.name, &chain.account));
            let told = match &*link.from {
                // What its servers say of a record is told as such.
                "name" => round.outcome == Outcome::Unverified && !is_record,
                // Any other outcome has a reason that is told, and is why this is not whole.
                "label" => round.outcome == Outcome::Unverified,
                _ => true,
            };
            if told {
                let broken = link.state == LinkState::Broken;
                let [details, of] = by_link.entry((&chain.endpoint, &link.from, broken)).or_default();
                details.insert(link.detail.clone());
                let reader = if link.from == "name" { &chain.account } else { &chain.endpoint };
                of.extend([link_in(&link.from, chain), reader.to_string()]);
            }
        }
        let told = by_link.into_iter().map(|((endpoint, from, broken), [details, of])| {
            let how = if broken { "is broken" } else { "could not be seen" };
            Notice {
                details: few(details),
                next_step: Some(format!("cnamed status {endpoint}")),
                of,
                ..self.notice(Topic::Unverified, endpoint.as_str(), format!("{endpoint}: the {from} {how}"))
            }
        });
        told.collect()
    }

    /// What was written: one by one while it is little.
    fn changed(&self, changes: &[ChangeReport]) -> Vec<Notice> {
        let applied: Vec<&ChangeReport> =
            changes.iter().filter(|change| change.outcome == ChangeOutcome::Applied).collect();
        if applied.len() <= FEW {
            return applied.into_iter().map(|change| self.change(change)).collect();
        }
        let named = |change: &&ChangeReport| change.kind.place(&change.name, change.account.as_ref());
        let first: Vec<String> = applied.iter().take(2).map(named).collect();
        let title = format!(
            "{} made: {} and {} more",
            counted(applied.len(), "change"),
            first.join(", "),
            applied.len() - first.len()
        );
        let line = |change: &&ChangeReport| match (&change.before, &change.after) {
            (Some(before), Some(after)) => format!("{}: {before} → {after}", did(change)),
            _ => did(change),
        };
        vec![Notice { details: few(applied.iter().map(line)), ..self.notice(Topic::Change, "", title) }]
    }

    fn change(&self, change: &ChangeReport) -> Notice {
        Notice {
            before: change.before.clone(),
            after: change.after.clone(),
            details: vec![change.reason.clone()],
            ..self.notice(Topic::Change, &change.name, did(change))
        }
    }
}

/// How the names follow `endpoint` to another address, and whether anything is written for it: a line for each way.
///
/// What is done about an endpoint that was made anew is for the plan to say, but for the addresses in its records: the
/// new one may have lost its label, and an alias what it led to.
fn followers(endpoint: &Handle, happening: &Happening, desired: &Desired) -> Vec<String> {
    let address = happening.after.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
    let is_same = match happening.kind {
        HappeningKind::Changed | HappeningKind::Assigned => true,
        HappeningKind::Recreated => false,
        _ => return Vec::new(),
    };
    let Some(address) = address else { return Vec::new() };
    let mut written: BTreeSet<&Fqdn> = BTreeSet::new();
    let mut left: BTreeSet<&Fqdn> = BTreeSet::new();
    for (key, wanted) in &desired.records {
        if wanted.endpoint != *endpoint || wanted.withdraw {
            continue;
        }
        match wanted.mode {
            // What exists is not ours to change.
            Mode::Address if wanted.policy == Policy::CreateOnly => continue,
            Mode::Address => written.insert(&key.name),
            Mode::Cname | Mode::Alias | Mode::Auto if is_same => left.insert(&key.name),
            Mode::Cname | Mode::Alias | Mode::Auto => continue,
        };
    }
    let rtype = if address.is_ipv4() { "A" } else { "AAAA" };
    let mut lines = Vec::new();
    if let Some(names) = listed(&written) {
        lines.push(match written.len() {
            1 => format!("the {rtype} record of {names} is to follow"),
            _ => format!("the {rtype} records of {names} are to follow"),
        });
    }
    if let Some(names) = listed(&left) {
        lines.push(match left.len() {
            1 => format!("{names} follows by the label; nothing has to be written for it"),
            _ => format!("{names} follow by the label; nothing has to be written for them"),
        });
    }
    lines
}

/// So many of them that it is still read.
fn listed(names: &BTreeSet<&Fqdn>) -> Option<String> {
    let mut each = names.iter();
    Some(match (each.next()?, each.next(), each.len()) {
        (one, None, _) => one.to_string(),
        (one, Some(other), 0) => format!("{one} and {other}"),
        (one, Some(_), _) => format!("{one} and {}", counted(names.len() - 1, "more name")),
    })
}

fn did(change: &ChangeReport) -> String {
    let verb = match change.verb {
        Verb::Create => "created",
        Verb::Update => "updated",
        Verb::Delete => "withdrew",
    };
    format!("{verb} {}", change.kind.place(&change.name, change.account.as_ref()))
}

fn attempt(change: &ChangeReport) -> String {
    let verb = match change.verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Delete => "withdraw",
    };
    format!("{verb} {}", change.kind.place(&change.name, change.account.as_ref()))
}

/// The account of a change; the endpoints' own is called as in the metrics.
fn endpoints_or(account: Option<&Handle>) -> &str {
    account.map_or("endpoints", Handle::as_str)
}

/// What a change or its refusal is about: its place, and who has to be read before anybody knows how that stands. For a
/// public IP that is its endpoint, for the rest an account.
fn about(kind: SubjectKind, name: &str, account: Option<&Handle>) -> [String; 2] {
    let reader = if kind == SubjectKind::PublicIp { name } else { endpoints_or(account) };
    [kind.place(name, account), reader.to_owned()]
}

/// The account or the endpoint of what could not be read: what it is called ends in one or the other.
fn whose(what: &str) -> &str {
    what.rsplit(' ').next().unwrap_or(what)
}

/// A reason ends in the operator's next step. To run again is what the service does by itself.
fn next_step(reason: &str) -> Option<String> {
    let (_, step) = reason.split_once("; ")?;
    match step.strip_prefix("run again") {
        Some(rest) => rest.split_once("; ").map(|(_, step)| step.to_owned()),
        None => Some(step.to_owned()),
    }
}

fn without_step(reason: &str) -> &str {
    reason.split_once("; ").map_or(reason, |(cause, _)| cause)
}
