//! What is told of a day, by the service's own history and by what it told whoever listens.

use time::OffsetDateTime;

use super::Story;
use crate::cli::output::Tone;
use crate::journal::{Entry, What};

impl Story<'_> {
    /// Something happens.
    pub(super) fn announce(&self, at: OffsetDateTime, what: &str) {
        self.output.text(&format!("\n{}  {}\n", hour(at), Tone::Strong.paint(what)));
    }

    /// One line of what came of it.
    pub(super) fn note(&self, at: OffsetDateTime, word: &str, text: &str) {
        self.output.text(&format!(
            "       {}  {}  {text}\n",
            hour(at),
            Tone::Faint.paint(&format!("{word:<7}"))
        ));
    }

    /// What the service noticed, changed and told, and was not told yet.
    pub(super) fn recount(&self) {
        let (last, heard) = self.told.get();
        let entries = self.entries_since(self.midnight);
        let newest = entries.iter().map(|entry| entry.id).max().unwrap_or(last);
        let notices = self.ear.since(self.midnight);
        self.told.set((newest, notices.len()));
        let mut lines: Vec<(OffsetDateTime, &str, String)> = (entries.iter())
            .filter(|entry| entry.id > last)
            .map(|entry| (entry.at, word(&entry.what), line(entry)))
            .collect();
        lines.extend(notices.into_iter().skip(heard).map(|notice| (notice.at, "told", notice.title)));
        lines.sort_by_key(|(at, ..)| *at);
        for (at, word, text) in lines {
            self.note(at, word, &text);
        }
    }

    /// When every name was right again, after what happened `at` that moment.
    pub(super) fn righted(&self, at: OffsetDateTime, right: Option<OffsetDateTime>) {
        if let Some(right) = right {
            let text = format!("every name leads where it should, {} later", span(right - at));
            self.note(right, "right", &Tone::Good.paint(&text));
        }
    }
}

/// The endpoint, the record or the resource that an entry is about.
pub(super) fn subject(what: &What) -> &str {
    match what {
        What::Change(change) => &change.name,
        What::Happening { endpoint, .. } => endpoint.as_str(),
    }
}

/// The time of day.
pub(super) fn hour(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}", at.hour(), at.minute())
}

/// A span of the day.
pub(super) fn span(span: time::Duration) -> String {
    let minutes = (span.whole_seconds().max(0) as u64).div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn word(what: &What) -> &'static str {
    match what {
        What::Change(change) if change.outcome == "applied" => "changed",
        What::Change(_) => "tried",
        What::Happening { .. } => "noticed",
    }
}

fn line(entry: &Entry) -> String {
    match &entry.what {
        What::Happening { endpoint, happening, noticed } => {
            format!("{endpoint}: {happening}, by {}", noticed.in_words())
        }
        What::Change(change) => {
            let account = change.account.as_ref().map(|account| format!(" in {account}")).unwrap_or_default();
            let failed =
                if change.outcome == "applied" { String::new() } else { format!(", {}", change.outcome) };
            format!("{} {}{account}: {}{failed}", change.verb, change.name, change.reason)
        }
    }
}
