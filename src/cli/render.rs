//! A round in words: the outcome first, then what it rests on, then the next step.

mod chains;

use super::exit::Exit;
use super::output::{Output, Tone};
use super::table::Table;
use crate::model::guard::Cleared;
use crate::model::plan::{Verb, counted};
use crate::model::verify::Verdict;
use crate::reconcile::round::{
    ChangeOutcome, EndpointStatus, LinkState, Outcome, RecordReport, Round, SubjectKind,
};

/// A plan as a person reads it: what could not be read goes with it, since it holds things back.
pub(crate) fn preview(cleared: &Cleared, round: &Round) -> String {
    let mut out = format!("{}\n\n{cleared}", headline(round));
    for unknown in &round.unknown {
        out.push_str(&problem("could not read", &unknown.what, &unknown.reason));
    }
    out
}

/// Tells `round` in the format that was asked for, and gives what the command ends with.
pub(crate) fn tell(told: &Round, output: &Output) -> Exit {
    if output.is_json() {
        let _ = output.json(told);
    } else {
        output.text(&round(told));
    }
    Exit::from(told.outcome)
}

/// `round` as a person reads it.
pub(crate) fn round(round: &Round) -> String {
    let mut out = String::new();
    if round.outcome == Outcome::InSync && !round.authoritative {
        // In sync is what name servers bear out.
        let word = Tone::Good.paint("Unchanged");
        out.push_str(&format!("{word}: nothing to do; name servers were not asked.\n"));
    } else {
        out.push_str(&headline(round));
        out.push('\n');
    }
    section(&mut out, "Endpoints", &endpoints(round));
    section(&mut out, "Changes", &changes(round));
    if round.chains.is_empty() {
        section(&mut out, "Records", &records(round));
    }
    out.push_str(&chains::render(round));
    section(&mut out, "Waiting", &waiting(round));
    section(&mut out, "Notes", &notes(round));
    for change in round.changes.iter().filter(|change| change.error.is_some()) {
        let error = change.error.as_deref().unwrap_or_default();
        let what = match change.outcome {
            ChangeOutcome::Unconfirmed => "could not confirm",
            ChangeOutcome::Skipped => "not begun",
            _ => "failed",
        };
        out.push_str(&problem(
            what,
            &place(change.kind, &change.name, change.account.as_ref().map(|a| a.as_str())),
            error,
        ));
    }
    for unknown in &round.unknown {
        out.push_str(&problem("could not read", &unknown.what, &unknown.reason));
    }
    if round.outcome == Outcome::Unverified {
        let next = "whatever was changed stands; look again with: cnamed status";
        out.push_str(&format!("\n{} {next}\n", Tone::Faint.paint("next:")));
    }
    let made = |outcome| round.changes.iter().any(|change| change.outcome == outcome);
    if round.outcome == Outcome::Pending && made(ChangeOutcome::Planned) && !made(ChangeOutcome::Applied) {
        out.push_str(&format!("\n{} make it so with: cnamed sync\n", Tone::Faint.paint("next:")));
    }
    for refusal in &round.refused {
        let place = place(refusal.kind, &refusal.name, refusal.account.as_ref().map(|a| a.as_str()));
        out.push_str(&problem(&format!("refused ({})", refusal.rule), &place, &refusal.reason));
        out.push_str(&format!("    {} {}\n", Tone::Faint.paint("next:"), refusal.allow));
    }
    out
}

fn headline(round: &Round) -> String {
    let agreed =
        round.records.iter().filter(|r| matches!(r.verdict, Verdict::Agreed | Verdict::Masked)).count();
    let total = round.records.len();
    let count = |outcome| round.changes.iter().filter(|change| change.outcome == outcome).count();
    let applied = count(ChangeOutcome::Applied);
    let planned = count(ChangeOutcome::Planned);
    let (tone, word, rest) = match round.outcome {
        Outcome::InSync if total > 0 => (
            Tone::Good,
            "In sync",
            format!("{}, and every authoritative server agrees{}", counted(total, "record"), ways_in(round)),
        ),
        Outcome::InSync => (Tone::Good, "In sync", "nothing to do".to_owned()),
        Outcome::Changed if total > 0 => (
            Tone::Good,
            "Done",
            format!(
                "{} made, and every authoritative server agrees on {}{}",
                counted(applied, "change"),
                counted(total, "record"),
                ways_in(round)
            ),
        ),
        Outcome::Changed => (Tone::Good, "Done", format!("{} made", counted(applied, "change"))),
        Outcome::Pending if planned > 0 && applied > 0 => (
            Tone::Warn,
            "Pending",
            format!(
                "{} made, {} still to make: plan again",
                counted(applied, "change"),
                counted(planned, "change")
            ),
        ),
        Outcome::Pending if planned > 0 => {
            (Tone::Warn, "Pending", format!("{} to make", counted(planned, "change")))
        }
        Outcome::Pending if applied > 0 => (
            Tone::Warn,
            "Pending",
            format!("{} made; something waits that cannot be done here", counted(applied, "change")),
        ),
        Outcome::Pending => {
            (Tone::Warn, "Pending", "something waits, and nothing can be done about it here".to_owned())
        }
        Outcome::Unverified if agreed == total => {
            let broken = round.ways_in.iter().filter(|way| way.port.state != LinkState::Whole);
            let ports: Vec<String> = broken.map(|way| way.frontend_port.to_string()).collect();
            let severed = round.chains.iter().find_map(|chain| {
                let link = chain.links.iter().find(|link| link.state == LinkState::Broken)?;
                Some(format!("the chain of {} is broken at its {}", chain.name, link.from))
            });
            let found = match severed {
                Some(severed) if ports.is_empty() => severed,
                _ => format!("no way in was proved through {}", ports.join(" and ")),
            };
            (Tone::Warn, "Not verified", found)
        }
        Outcome::Unverified => (
            Tone::Warn,
            "Not verified",
            format!("{agreed} of {} on every authoritative server as wanted", counted(total, "record")),
        ),
        Outcome::Refused => {
            (Tone::Bad, "Refused", "nothing of the endpoints concerned was touched".to_owned())
        }
        Outcome::Partial => (
            Tone::Bad,
            "Partly failed",
            match applied {
                0 => "what was not read or not done is told below".to_owned(),
                _ => format!("{} made; the rest is told below", counted(applied, "change")),
            },
        ),
        Outcome::Failed => (Tone::Bad, "Failed", "see below".to_owned()),
    };
    format!("{}: {rest}.", tone.paint(word))
}

/// The ports, where they were tried and all of them hold.
fn ways_in(round: &Round) -> String {
    match round.ways_in.len() {
        0 => String::new(),
        1 => "; 1 port leads to its service".to_owned(),
        ports => format!("; {ports} ports lead to their services"),
    }
}

fn section(out: &mut String, title: &str, table: &Table) {
    if !table.is_empty() {
        out.push_str(&format!("\n{}\n{}", Tone::Strong.paint(title), table.render()));
    }
}

fn endpoints(round: &Round) -> Table {
    let mut table = Table::default();
    for endpoint in &round.endpoints {
        let (state, tone) = match endpoint.state {
            EndpointStatus::Ready => ("ready", Tone::Good),
            EndpointStatus::Released => ("released", Tone::Warn),
            EndpointStatus::Absent => ("absent", Tone::Warn),
            EndpointStatus::Unknown => ("unknown", Tone::Bad),
        };
        let fqdn = endpoint.fqdn.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let address = endpoint.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        table.row([
            (endpoint.name.to_string(), Tone::Plain),
            (state.to_owned(), tone),
            (fqdn, Tone::Plain),
            (address, Tone::Plain),
        ]);
    }
    table
}

fn changes(round: &Round) -> Table {
    let mut table = Table::default();
    for change in &round.changes {
        let (outcome, tone) = match change.outcome {
            ChangeOutcome::Planned => ("", Tone::Plain),
            ChangeOutcome::Applied => ("done", Tone::Good),
            ChangeOutcome::Failed => ("failed", Tone::Bad),
            ChangeOutcome::Skipped => ("not begun", Tone::Warn),
            ChangeOutcome::Unconfirmed => ("could not confirm", Tone::Bad),
        };
        let place = place(change.kind, &change.name, change.account.as_ref().map(|a| a.as_str()));
        let standing = change.after.as_ref().or(change.before.as_ref()).cloned().unwrap_or_default();
        table.row([
            (outcome.to_owned(), tone),
            (change.verb.to_string(), Tone::Plain),
            (place, Tone::Strong),
            (standing, Tone::Plain),
        ]);
        let why = match (&change.before, &change.after) {
            // That it was not there goes without saying once it is.
            (None, Some(_)) if change.outcome == ChangeOutcome::Applied && change.verb == Verb::Create => {
                continue;
            }
            (Some(before), Some(_)) => format!("was {before}: {}", change.reason),
            _ => change.reason.clone(),
        };
        let blank = || (String::new(), Tone::Plain);
        table.row([blank(), blank(), blank(), (why, Tone::Faint)]);
    }
    table
}

fn records(round: &Round) -> Table {
    let mut table = Table::default();
    for record in &round.records {
        let tone = match record.verdict {
            Verdict::Agreed | Verdict::Masked => Tone::Good,
            Verdict::Pending | Verdict::Unanswered => Tone::Warn,
            Verdict::Contradicted => Tone::Bad,
        };
        table.row([
            (record.name.to_string(), Tone::Strong),
            (record.account.to_string(), Tone::Plain),
            (record.verdict.to_string(), tone),
            (evidence(record), Tone::Plain),
        ]);
    }
    table
}

fn evidence(record: &RecordReport) -> String {
    match &record.resolvers {
        Some(finding) if finding.verdict != Verdict::Agreed => {
            format!("{}; {}", record.detail, finding.detail)
        }
        _ => record.detail.clone(),
    }
}

fn waiting(round: &Round) -> Table {
    let mut table = Table::default();
    for blocked in &round.blocked {
        table.row([
            (blocked.name.clone(), Tone::Strong),
            (holder(blocked.kind, blocked.account.as_ref().map(|a| a.as_str())), Tone::Plain),
            (format!("waits for {}", blocked.waits_for), Tone::Plain),
        ]);
    }
    table
}

fn notes(round: &Round) -> Table {
    let mut table = Table::default();
    for note in &round.notes {
        table.row([
            (note.name.clone(), Tone::Strong),
            (holder(note.kind, note.account.as_ref().map(|a| a.as_str())), Tone::Plain),
            (note.text.clone(), Tone::Plain),
        ]);
    }
    table
}

fn holder(kind: SubjectKind, account: Option<&str>) -> String {
    match (kind, account) {
        (SubjectKind::Record, Some(account)) => account.to_owned(),
        (SubjectKind::Record, None) => String::new(),
        (SubjectKind::PublicIp, _) => "public IP".to_owned(),
        (SubjectKind::LoadBalancer, _) => "load balancer".to_owned(),
        (SubjectKind::NatRule, _) => "NAT rule".to_owned(),
        (SubjectKind::NetworkSecurityGroup, _) => "security group".to_owned(),
        (SubjectKind::NsgRule, _) => "security rule".to_owned(),
        (SubjectKind::NetworkInterface, _) => "network interface".to_owned(),
    }
}

fn place(kind: SubjectKind, name: &str, account: Option<&str>) -> String {
    match (kind, account) {
        (SubjectKind::Record, Some(account)) => format!("{name} in {account}"),
        (SubjectKind::Record, None) => name.to_owned(),
        (SubjectKind::PublicIp, _) => format!("public IP of {name}"),
        (SubjectKind::LoadBalancer, _) => format!("load balancer {name}"),
        (SubjectKind::NatRule, _) => format!("NAT rule {name}"),
        (SubjectKind::NetworkSecurityGroup, _) => format!("security group {name}"),
        (SubjectKind::NsgRule, _) => format!("security rule {name}"),
        (SubjectKind::NetworkInterface, _) => format!("network interface {name}"),
    }
}

fn problem(what: &str, place: &str, why: &str) -> String {
    format!("\n{} {}\n    {why}\n", Tone::Bad.paint(&format!("{what}:")), Tone::Strong.paint(place))
}
