//! A round in words: the outcome first, then what it rests on, what went wrong, what is merely to be known, and the next
//! step last.

mod chains;

use super::exit::Exit;
use super::output::{Output, Tone};
use super::table::Table;
use crate::model::endpoint::Handle;
use crate::model::guard::Cleared;
use crate::model::plan::Verb;
use crate::model::verify::Verdict;
use crate::reconcile::round::{ChangeOutcome, EndpointStatus, Outcome, RecordReport, Round, SubjectKind};

/// A plan as a person reads it: what could not be read goes with it, since it holds things back.
pub(crate) fn preview(cleared: &Cleared, round: &Round) -> String {
    let mut out = format!("{}\n", headline(round));
    unread(&mut out, round);
    out.push_str(&format!("\n{cleared}"));
    out
}

/// Tells `round` in the format that was asked for, and gives what the command ends with. `next` is the command that does
/// what is planned and was not done.
pub(crate) fn tell(told: &Round, next: &str, output: &Output) -> Exit {
    if output.is_json() {
        let _ = output.json(told);
    } else {
        output.text(&round(told, next));
    }
    Exit::from(told.outcome)
}

/// `round` as a person reads it.
fn round(round: &Round, next: &str) -> String {
    let mut out = format!("{}\n", headline(round));
    section(&mut out, "Endpoints", &endpoints(round));
    section(&mut out, "Changes", &changes(round));
    if round.chains.is_empty() {
        section(&mut out, "Records", &records(round));
    }
    out.push_str(&chains::render(round));
    section(&mut out, "Waiting", &waiting(round));
    for change in round.changes.iter().filter(|change| change.error.is_some()) {
        let error = change.error.as_deref().unwrap_or_default();
        let what = match change.outcome {
            ChangeOutcome::Unconfirmed => "could not confirm",
            ChangeOutcome::Skipped => "not begun",
            _ => "failed",
        };
        out.push_str(&problem(what, &change.kind.place(&change.name, change.account.as_ref()), error));
    }
    unread(&mut out, round);
    for refusal in &round.refused {
        let place = refusal.kind.place(&refusal.name, refusal.account.as_ref());
        out.push_str(&problem(&format!("refused ({})", refusal.rule), &place, &refusal.reason));
        out.push_str(&format!("    {} {}\n", Tone::Faint.paint("next:"), refusal.allow));
    }
    section(&mut out, "Notes", &notes(round));
    if round.outcome == Outcome::Unverified {
        let next = "whatever was changed stands; look again with: cnamed status";
        out.push_str(&format!("\n{} {next}\n", Tone::Faint.paint("next:")));
    }
    let made = |outcome| round.changes.iter().any(|change| change.outcome == outcome);
    if round.outcome == Outcome::Pending && made(ChangeOutcome::Planned) && !made(ChangeOutcome::Applied) {
        out.push_str(&format!("\n{} make it so with: {next}\n", Tone::Faint.paint("next:")));
    }
    out
}

fn unread(out: &mut String, round: &Round) {
    for unknown in &round.unknown {
        out.push_str(&problem("could not read", &unknown.what, &unknown.reason));
    }
}

fn headline(round: &Round) -> String {
    let tone = match round.outcome {
        Outcome::InSync | Outcome::Changed => Tone::Good,
        Outcome::Pending | Outcome::Unverified => Tone::Warn,
        Outcome::Refused | Outcome::Partial | Outcome::Failed => Tone::Bad,
    };
    let (word, rest) = round.headline();
    format!("{}: {rest}.", tone.paint(word))
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
        let place = change.kind.place(&change.name, change.account.as_ref());
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
            (holder(blocked.kind, blocked.account.as_ref()), Tone::Plain),
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
            (holder(note.kind, note.account.as_ref()), Tone::Plain),
            (note.text.clone(), Tone::Plain),
        ]);
    }
    table
}

fn holder(kind: SubjectKind, account: Option<&Handle>) -> String {
    match kind {
        SubjectKind::Record => account.map(ToString::to_string).unwrap_or_default(),
        kind => kind.words().to_owned(),
    }
}

fn problem(what: &str, place: &str, why: &str) -> String {
    format!("\n{} {}\n    {why}\n", Tone::Bad.paint(&format!("{what}:")), Tone::Strong.paint(place))
}
