//! What needs somebody: each with its reason and the next step.

use time::OffsetDateTime;

use super::html::{Html, put};
use super::words::{between, machine, moment, span};
use super::{class, symbol};
use crate::model::plan::counted;
use crate::reconcile::round::{ChangeOutcome, LinkState, Round};
use crate::telemetry::snapshot::Snapshot;

/// One thing that is to be known.
struct Item {
    state: LinkState,
    /// What is the matter, in a word or two.
    tag: String,
    /// What it concerns.
    place: String,
    why: String,
    next: Option<Html>,
}

/// Everything that needs somebody, the worst first; empty where nothing does.
pub(super) fn section(snapshot: &Snapshot, now: OffsetDateTime) -> Html {
    let mut items = Vec::new();
    service(&mut items, snapshot, now);
    if let Some(last) = snapshot.last.as_deref() {
        round(&mut items, &last.round, snapshot);
    }
    let mut out = Html::default();
    if !items.is_empty() {
        out.markup("<section class=\"attention\" aria-labelledby=\"attention\">\n");
        put!(out, "<h2 id=\"attention\">To look at</h2>\n<ul>\n");
        for item in &items {
            out.append(&item.html());
        }
        out.markup("</ul>\n</section>\n");
    }
    out
}

impl Item {
    fn html(&self) -> Html {
        let mut out = Html::default();
        put!(out,
            "<li class=\"" (class(self.state)) "\">" {symbol(self.state)}
            "<div><h3><span class=\"tag\">" (self.tag) "</span> " (self.place) "</h3>\n"
            "<p>" (self.why) "</p>"
        );
        if let Some(next) = &self.next {
            put!(out, "<p class=\"next\"><b>Next:</b> " {next} "</p>");
        }
        out.markup("</div></li>\n");
        out
    }
}

fn service(items: &mut Vec<Item>, snapshot: &Snapshot, now: OffsetDateTime) {
    for trouble in &snapshot.troubles {
        items.push(Item {
            state: LinkState::Broken,
            tag: "trouble".to_owned(),
            place: "the service itself".to_owned(),
            why: trouble.clone(),
            next: None,
        });
    }
    for resting in &snapshot.resting {
        let mut next = Html::default();
        let (until, left) = (resting.until, between(now, resting.until));
        put!(next,
            "it is asked again at <time datetime=\"" (machine(until)) "\">" (moment(until, now)) "</time>, in "
            (span(left)) "; the other accounts go on"
        );
        let times = counted(resting.failures as usize, "failure");
        items.push(Item {
            state: LinkState::Pending,
            tag: "resting".to_owned(),
            place: format!("account {}, after {times} in a row", resting.account),
            why: resting.reason.clone(),
            next: Some(next),
        });
    }
}

fn round(items: &mut Vec<Item>, round: &Round, snapshot: &Snapshot) {
    for refusal in &round.refused {
        items.push(Item {
            state: LinkState::Broken,
            tag: format!("refused: {}", refusal.rule),
            place: refusal.kind.place(&refusal.name, refusal.account.as_ref()),
            why: refusal.reason.clone(),
            next: Some(text(&refusal.allow)),
        });
    }
    for change in &round.changes {
        let tag = match change.outcome {
            ChangeOutcome::Failed => "failed",
            ChangeOutcome::Unconfirmed => "could not confirm",
            ChangeOutcome::Skipped => "not begun",
            ChangeOutcome::Planned => "to do",
            ChangeOutcome::Applied => continue,
        };
        let state = match change.outcome {
            ChangeOutcome::Failed | ChangeOutcome::Unconfirmed => LinkState::Broken,
            _ => LinkState::Pending,
        };
        items.push(Item {
            state,
            tag: tag.to_owned(),
            place: format!("{} {}", change.verb, change.kind.place(&change.name, change.account.as_ref())),
            why: change.error.clone().unwrap_or_else(|| change.reason.clone()),
            next: None,
        });
    }
    // Why an account rests is why it could not be read.
    let told = |reason: &str| snapshot.resting.iter().any(|resting| resting.reason == reason);
    for unknown in round.unknown.iter().filter(|unknown| !told(&unknown.reason)) {
        items.push(Item {
            state: LinkState::Unknown,
            tag: "could not read".to_owned(),
            place: unknown.what.clone(),
            why: unknown.reason.clone(),
            next: None,
        });
    }
    // One that the configuration names has its picture; one that was withdrawn has this.
    let withdrawn = round.records.iter().filter(|record| record.endpoint.is_none());
    for record in withdrawn.filter(|record| !record.verdict.is_verified()) {
        items.push(Item {
            state: record.verdict.into(),
            tag: "still served".to_owned(),
            place: format!("{} in {}", record.name, record.account),
            why: format!("it was withdrawn; {}", record.detail),
            next: None,
        });
    }
    for blocked in &round.blocked {
        items.push(Item {
            state: LinkState::Pending,
            tag: "waits".to_owned(),
            place: blocked.kind.place(&blocked.name, blocked.account.as_ref()),
            why: format!("It waits for {}", blocked.waits_for),
            next: None,
        });
    }
}

/// What differs and is left as it is: worth knowing, and nobody's to do.
pub(super) fn notes(snapshot: &Snapshot) -> Html {
    let mut out = Html::default();
    let notes = snapshot.last.iter().flat_map(|last| &last.round.notes);
    let mut notes = notes.peekable();
    if notes.peek().is_some() {
        out.markup("<section class=\"notes\" aria-labelledby=\"notes\">\n");
        put!(out, "<h2 id=\"notes\">Left as it is</h2>\n<ul>\n");
        for note in notes {
            let place = note.kind.place(&note.name, note.account.as_ref());
            put!(out, "<li><b>" (place) ":</b> " (note.text) "</li>\n");
        }
        out.markup("</ul>\n</section>\n");
    }
    out
}

/// Whether `reason` stands in this section, so that it need not be told again for each name.
pub(super) fn tells(snapshot: &Snapshot, reason: &str) -> bool {
    let round = snapshot.last.as_deref().map(|last| &last.round);
    let unknown = round.into_iter().flat_map(|round| &round.unknown).map(|unknown| &unknown.reason);
    let refused = round.into_iter().flat_map(|round| &round.refused).map(|refusal| &refusal.reason);
    let blocked = round.into_iter().flat_map(|round| &round.blocked).map(|blocked| &blocked.waits_for);
    let resting = snapshot.resting.iter().map(|resting| &resting.reason);
    unknown.chain(refused).chain(blocked).chain(resting).any(|told| told == reason)
}

fn text(text: &str) -> Html {
    let mut html = Html::default();
    html.text(text);
    html
}
