//! The first line: what is well or not, since when, and what comes next.

use time::OffsetDateTime;

use super::html::{Html, put};
use super::row::Row;
use super::words::{between, brief, machine, moment, span};
use super::{class, symbol};
use crate::model::plan::counted;
use crate::model::verify::Verdict;
use crate::reconcile::round::{ChangeOutcome, LinkState, Outcome, Round};
use crate::telemetry::snapshot::{Snapshot, Trigger};

/// The outcome in a word and a sentence.
#[derive(Debug)]
pub(super) struct Headline {
    pub(super) state: LinkState,
    pub(super) word: &'static str,
    pub(super) sentence: String,
}

/// What `snapshot` amounts to.
pub(super) fn of(snapshot: &Snapshot, rows: &[Row<'_>], now: OffsetDateTime) -> Headline {
    if let Some(age) = snapshot.beat.stalled() {
        let sentence = format!(
            "The service has not moved for {}; what is shown is old. Next: restart it, with systemctl restart cnamed",
            span(age)
        );
        return Headline { state: LinkState::Broken, word: "Standing still", sentence };
    }
    let Some(last) = snapshot.last.as_deref() else {
        let sentence = if snapshot.busy {
            "The first round is under way; nothing is known before it ends"
        } else {
            "The first round has not begun; nothing is known before it ends"
        };
        return Headline { state: LinkState::Unknown, word: "Starting", sentence: sentence.to_owned() };
    };
    let age = between(last.at, now);
    if age > snapshot.patience {
        let sentence = format!("No round has ended for {}; what is shown is of then", span(age));
        return Headline { state: LinkState::Broken, word: "Out of date", sentence };
    }
    let (mut state, mut word, mut sentence) = outcome(&last.round, rows);
    if snapshot.overtaken {
        sentence.push_str(
            ". Something has happened since, as the history tells; the rest of this page is of before",
        );
        if state == LinkState::Whole {
            (state, word) = (LinkState::Pending, "Changing");
        }
    }
    Headline { state, word, sentence }
}

impl Headline {
    pub(super) fn html(&self, snapshot: &Snapshot, now: OffsetDateTime) -> Html {
        let mut out = Html::default();
        put!(out,
            "<section class=\"headline " (class(self.state)) "\" aria-labelledby=\"outcome\">\n"
            "<h1 id=\"outcome\">" {symbol(self.state)} (self.word) "</h1>\n"
            "<p class=\"sentence\">" (self.sentence) ".</p>\n<dl class=\"facts\">\n"
        );
        let mut fact = |name: &'static str, at: Option<OffsetDateTime>, rest: String| {
            out.markup("<div><dt>");
            out.text(name);
            out.markup("</dt><dd>");
            if let Some(at) = at {
                put!(out, "<time datetime=\"" (machine(at)) "\">" (moment(at, now)) "</time> ");
            }
            put!(out, "<span>" (rest) "</span></dd></div>\n");
        };
        if let Some(since) = snapshot.since {
            fact("Since", Some(since), format!("for {}", span(between(since, now))));
        }
        if let Some(last) = snapshot.last.as_deref() {
            let why = trigger(last.trigger);
            fact("Last round", Some(last.at), format!("took {}, {why}", brief(last.took)));
        }
        if snapshot.busy {
            fact("Next round", None, "under way".to_owned());
        } else if let Some(next) = snapshot.next {
            let rest = if next > now { format!("in {}", span(between(now, next))) } else { "due".to_owned() };
            fact("Next round", Some(next), rest);
        }
        match snapshot.converged {
            Some(at) if self.state != LinkState::Whole => {
                fact("Last in sync", Some(at), format!("{} ago", span(between(at, now))));
            }
            None if snapshot.last.is_some() => {
                fact("Last in sync", None, "never since the service began".to_owned());
            }
            _ => {}
        }
        out.markup("</dl>\n</section>\n");
        out
    }
}

fn outcome(round: &Round, rows: &[Row<'_>]) -> (LinkState, &'static str, String) {
    let verified = |verdict| matches!(verdict, Verdict::Agreed | Verdict::Masked);
    let agreed = round.records.iter().filter(|record| verified(record.verdict)).count();
    let applied = round.changes.iter().filter(|change| change.outcome == ChangeOutcome::Applied).count();
    let accounts: std::collections::BTreeSet<&str> =
        rows.iter().flat_map(|row| row.holders.iter().map(|holder| holder.account)).collect();
    let names = format!("{} in {}", counted(rows.len(), "name"), counted(accounts.len(), "account"));
    let ports = match round.ways_in.len() {
        0 => String::new(),
        1 => ", and the port leads to its service".to_owned(),
        ports => format!(", and {ports} ports lead to their services"),
    };
    match round.outcome {
        Outcome::InSync if !round.authoritative => (
            LinkState::Unknown,
            "Unchanged",
            "There was nothing to do. Name servers were not asked, so what they say is not known".to_owned(),
        ),
        Outcome::InSync if rows.is_empty() => {
            (LinkState::Whole, "In sync", "There is nothing to do, and no name to hold".to_owned())
        }
        Outcome::InSync => {
            (LinkState::Whole, "In sync", format!("{names}: every authoritative server agrees{ports}"))
        }
        Outcome::Changed => {
            let made = format!("{} made in the last round", counted(applied, "change"));
            (
                LinkState::Whole,
                "In sync",
                format!("{made}. {names}: every authoritative server agrees{ports}"),
            )
        }
        Outcome::Pending => {
            let waits = round.blocked.len();
            let sentence = match waits {
                0 => "What is left to do is done in the next round".to_owned(),
                1 => "1 thing waits, and what can be done is done".to_owned(),
                waits => format!("{waits} things wait, and what can be done is done"),
            };
            (LinkState::Pending, "Waiting", sentence)
        }
        Outcome::Unverified if agreed == round.records.len() => {
            let closed = round.ways_in.iter().filter(|way| way.port.state != LinkState::Whole).count();
            let ports = counted(closed, "port");
            (LinkState::Pending, "Not verified", format!("No service was proved to be behind {ports}"))
        }
        Outcome::Unverified => {
            let total = counted(round.records.len(), "record");
            let sentence = format!("{agreed} of {total} as wanted on every authoritative server");
            (LinkState::Broken, "Not verified", sentence)
        }
        Outcome::Refused => {
            let refused = counted(round.refused.len(), "change");
            let applied = round.changes.iter().filter(|it| it.outcome == ChangeOutcome::Applied).count();
            let sentence = match applied {
                0 => format!("{refused} refused; nothing of the endpoints concerned was touched"),
                _ => format!("{refused} refused, and {} made", counted(applied, "change")),
            };
            (LinkState::Broken, "Refused", sentence)
        }
        Outcome::Partial if round.only_unsure() => {
            let unsure = round.changes.iter().filter(|it| it.outcome == ChangeOutcome::Unconfirmed).count();
            let unsure = counted(unsure, "change");
            let sentence = format!("{unsure} may have been made, or not; the next round looks first");
            (LinkState::Broken, "Not confirmed", sentence)
        }
        Outcome::Partial => {
            let sentence = "Some of it could not be read or done; the rest stands as told below".to_owned();
            (LinkState::Broken, "Partly failed", sentence)
        }
        Outcome::Failed => {
            let sentence = "Nothing that is wanted could be seen to stand; why is told below".to_owned();
            (LinkState::Broken, "Failed", sentence)
        }
    }
}

fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Start => "at the start",
        Trigger::Timer => "by the timer",
        Trigger::Label => "since a label gave another answer",
        Trigger::Signal => "asked for by a signal",
        Trigger::Reload => "since the configuration was read anew",
        Trigger::Back => "since a provider that was down answers again",
    }
}
