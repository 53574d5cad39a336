//! `cnamed history`: what changed and what happened, when, why, and how long everybody took to say so.

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use time::{OffsetDateTime, UtcOffset};

use super::args::{Global, HistoryArgs};
use super::compose::load_config;
use super::exit::Exit;
use super::journal;
use super::output::{Output, Tone};
use super::table::Table;
use crate::journal::{Agreed, Change, Entry, Filter, What};
use crate::reconcile::round::{SubjectKind, VERSION};

/// The entries, as a script reads them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct History<'h> {
    /// The contract's version.
    version: u32,
    /// What was done and what happened, the newest last.
    entries: &'h [Entry],
}

pub(crate) fn run(global: &Global, args: &HistoryArgs, output: &Output) -> Exit {
    let config = match load_config(global, output) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let directory = &config.state.directory;
    let (entries, kept) = match read(directory, args, output) {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    if output.is_json() {
        let entries: Vec<Entry> = entries.into_iter().map(Entry::for_show).collect();
        return output.json(&History { version: VERSION, entries: &entries });
    }
    output.text(&text(&entries, &kept, args, directory, output.columns()));
    Exit::InSync
}

/// What there is beyond what is shown.
#[derive(Debug, Default)]
struct Kept {
    count: usize,
    oldest: Option<OffsetDateTime>,
    /// Whether older entries match as well.
    more: bool,
}

fn read(directory: &Path, args: &HistoryArgs, output: &Output) -> Result<(Vec<Entry>, Kept), Exit> {
    let Some(journal) = journal::look(directory, output)? else { return Ok(Default::default()) };
    // One more than is shown tells whether there are more.
    let filter = Filter {
        since: args.since.map(|since| since.moment(OffsetDateTime::now_utc())),
        until: None,
        name: args.name.clone(),
        limit: Some(args.limit.saturating_add(1)),
        newest_first: false,
    };
    let found = journal.entries(&filter).and_then(|entries| Ok((entries, journal.extent()?)));
    let found = found.map_err(|error| output.failure(&error.chain(), Exit::Failed))?;
    let (mut entries, (count, oldest)) = found;
    let more = entries.len() > args.limit;
    entries.drain(..entries.len().saturating_sub(args.limit));
    Ok((entries, Kept { count, oldest, more }))
}

fn text(
    entries: &[Entry],
    kept: &Kept,
    args: &HistoryArgs,
    directory: &Path,
    columns: Option<usize>,
) -> String {
    if entries.is_empty() {
        return nothing(kept, directory);
    }
    let first = if kept.more { ", and older ones that --limit leaves out" } else { "" };
    let of = args.name.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
    let count = match entries.len() {
        1 => format!("1 entry{of}"),
        count => format!("{count} entries{of}, the newest last"),
    };
    format!("{count}{first}.\n\n{}", table(entries).render_within(columns))
}

fn nothing(kept: &Kept, directory: &Path) -> String {
    let directory = directory.display();
    match kept.oldest {
        None => format!(
            "Nothing yet: the journal in {directory} has no entry. `cnamed sync` and the service write there whatever \
             they change.\n"
        ),
        Some(oldest) => format!(
            "Nothing that matches; entries in the journal in {directory}: {}, the oldest of {}.\n",
            kept.count,
            when(oldest)
        ),
    }
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::default();
    for entry in entries {
        let (what, place, became, why) = match &entry.what {
            What::Change(change) => (done(change), place(change), became(change), change.reason.clone()),
            What::Happening { endpoint, happening, noticed } => (
                (happening.kind.as_str().to_owned(), Tone::Warn),
                format!("endpoint {endpoint}"),
                happening.to_string(),
                format!("noticed by {}", noticed.in_words()),
            ),
        };
        // By which undo names it.
        let id = (entry.id.to_string(), Tone::Faint);
        let at = (when(entry.at), Tone::Faint);
        table.row([id, at, what, (place, Tone::Strong), (became, Tone::Plain)]);
        let mut lines = vec![(why, Tone::Faint)];
        if let What::Change(Change { error: Some(error), .. }) = &entry.what {
            lines.push((error.clone(), Tone::Bad));
        }
        lines.extend(evidence(entry).map(|line| (line, Tone::Faint)));
        for line in lines {
            let blank = || (String::new(), Tone::Plain);
            table.row([blank(), blank(), blank(), blank(), line]);
        }
    }
    table
}

fn place(change: &Change) -> String {
    let kind = SubjectKind::ALL.into_iter().find(|kind| kind.as_str() == change.kind);
    // A later version may have written of others.
    kind.map_or_else(
        || format!("{} {}", change.kind, change.name),
        |kind| kind.place(&change.name, change.account.as_ref()),
    )
}

/// What was done, and whether it came of it.
fn done(change: &Change) -> (String, Tone) {
    match change.outcome.as_str() {
        "applied" => (change.verb.to_string(), Tone::Good),
        "failed" => (format!("{} failed", change.verb), Tone::Bad),
        "unconfirmed" => (format!("{} not confirmed", change.verb), Tone::Bad),
        other => (format!("{} {other}", change.verb), Tone::Plain),
    }
}

fn became(change: &Change) -> String {
    match (&change.before, &change.after) {
        // That it was not there goes without saying.
        (None, Some(after)) => format!("→ {after}"),
        (before, after) => {
            let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
            format!("{} → {}", text(before), text(after))
        }
    }
}

/// Who agreed and when, and what the services call the requests.
fn evidence(entry: &Entry) -> Option<String> {
    let mut parts = Vec::new();
    if !entry.agreed.is_empty() {
        let one = |agreed: &Agreed| format!("{} after {}", agreed.who, span(agreed.after));
        let all: Vec<String> = entry.agreed.iter().map(one).collect();
        parts.push(format!("agreed: {}", all.join(", ")));
    }
    if let What::Change(change) = &entry.what
        && let [first, others @ ..] = change.requests.as_slice()
    {
        let plural = if others.is_empty() { "request" } else { "requests" };
        let ids: Vec<&str> = [first].into_iter().chain(others).map(String::as_str).collect();
        parts.push(format!("{plural} {}", ids.join(", ")));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// As exact as it matters.
fn span(after: Duration) -> String {
    match after {
        after if after < Duration::from_secs(1) => format!("{}ms", after.as_millis()),
        after if after < Duration::from_secs(10) => format!("{:.1}s", after.as_secs_f64()),
        after => humantime::format_duration(Duration::from_secs(after.as_secs())).to_string(),
    }
}

/// `2026-11-22 10:00:00Z`: to the second, in UTC.
pub(super) fn when(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let (hour, minute, second) = at.to_hms();
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}
