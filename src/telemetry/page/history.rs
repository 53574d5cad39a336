//! What happened, newest first: what stood there, what stands there now, and how long until everybody said so.

use time::OffsetDateTime;

use super::html::{Html, put};
use super::words::{brief, day, machine, time};
use super::{class, symbol};
use crate::journal::{Change, Entry, Noticed, What};
use crate::model::plan::Verb;
use crate::model::sight::{Happening, HappeningKind};
use crate::reconcile::round::LinkState;
use crate::telemetry::snapshot::Snapshot;

/// The timeline, a heading for each day.
pub(super) fn section(snapshot: &Snapshot, now: OffsetDateTime) -> Html {
    let mut out = Html::default();
    out.markup("<section class=\"history\" aria-labelledby=\"history\">\n<h2 id=\"history\">History</h2>\n");
    let mut shown: Option<String> = None;
    for entry in snapshot.history.iter().take(MOST) {
        let of = day(entry.at);
        if shown.as_ref() != Some(&of) {
            if shown.is_some() {
                out.markup("</ol>\n");
            }
            let title = if of == day(now) { "Today".to_owned() } else { of.clone() };
            put!(out, "<h3>" (title) "</h3>\n<ol class=\"timeline\">\n");
            shown = Some(of);
        }
        out.append(&line(entry));
    }
    if shown.is_some() {
        out.markup("</ol>\n<p class=\"rest\">All of it: <code>cnamed history</code></p>\n");
    } else {
        out.markup("<p class=\"rest\">Nothing was changed, and nothing happened, as far as the journal goes back.</p>\n");
    }
    out.markup("</section>\n");
    out
}

fn line(entry: &Entry) -> Html {
    let mut out = Html::default();
    let state = match &entry.what {
        What::Change(change) => result(&change.outcome),
        What::Happening { happening, .. } => severity(happening.kind),
    };
    put!(out,
        "<li class=\"" (class(state)) "\"><time datetime=\"" (machine(entry.at)) "\">" (time(entry.at)) "</time>"
        {symbol(state)} "<div>"
    );
    match &entry.what {
        What::Change(it) => out.append(&change(it)),
        What::Happening { endpoint, happening, noticed } => {
            put!(out, "<p><b>" (endpoint) "</b>: " (event(happening.kind)) "</p>");
            out.append(&step(happening));
            put!(out, "<p class=\"why\">noticed " (by(*noticed)) "</p>");
        }
    }
    if !entry.agreed.is_empty() {
        out.markup("<p class=\"agreed\"><span>agreed after</span>");
        for agreed in &entry.agreed {
            put!(out, " <span>" (agreed.who) " <b>" (brief(agreed.after)) "</b></span>");
        }
        out.markup("</p>");
    }
    out.markup("</div></li>\n");
    out
}

fn change(change: &Change) -> Html {
    let mut out = Html::default();
    let done = match change.verb {
        Verb::Create => "created",
        Verb::Update => "updated",
        Verb::Delete => "deleted",
    };
    let what =
        if change.account.is_some() { String::new() } else { format!("{} ", change.kind.replace('-', " ")) };
    put!(out, "<p>" (what) "<b>" (change.name) "</b> ");
    match change.outcome.as_str() {
        "applied" => put!(out, (done)),
        "unconfirmed" => put!(out, "may have been "(done)),
        _ => put!(out, "not "(done)),
    }
    if let Some(account) = &change.account {
        put!(out, " in "(account));
    }
    if change.outcome != "applied" {
        let words = if change.outcome == "unconfirmed" { "could not confirm" } else { &change.outcome };
        put!(out, ": "(words));
    }
    out.markup("</p>");
    out.append(&arrow(change.before.as_deref(), change.after.as_deref()));
    put!(out, "<p class=\"why\">" (change.reason) "</p>");
    if let Some(error) = &change.error {
        put!(out, "<p class=\"error\">" (error) "</p>");
    }
    out
}

fn step(happening: &Happening) -> Html {
    arrow(happening.before.as_deref(), happening.after.as_deref())
}

/// Before → after, as far as there is either.
fn arrow(before: Option<&str>, after: Option<&str>) -> Html {
    let mut out = Html::default();
    if before.is_none() && after.is_none() {
        return out;
    }
    out.markup("<p class=\"step\">");
    match before {
        Some(before) => put!(out, "<del>" (before) "</del>"),
        None => put!(out, "<span class=\"none\">nothing</span>"),
    }
    out.markup(
        " <span class=\"to\"><span aria-hidden=\"true\">→</span><span class=\"unseen\">became</span> ",
    );
    match after {
        Some(after) => put!(out, "<ins>" (after) "</ins>"),
        None => put!(out, "<span class=\"none\">nothing</span>"),
    }
    out.markup("</span></p>");
    out
}

fn result(outcome: &str) -> LinkState {
    match outcome {
        "applied" => LinkState::Whole,
        "unconfirmed" => LinkState::Unknown,
        _ => LinkState::Broken,
    }
}

fn severity(kind: HappeningKind) -> LinkState {
    match kind {
        HappeningKind::Assigned | HappeningKind::Changed | HappeningKind::Recreated => LinkState::Whole,
        HappeningKind::Released | HappeningKind::LabelMoved => LinkState::Pending,
        HappeningKind::Deleted | HappeningKind::LabelTaken => LinkState::Broken,
    }
}

fn event(kind: HappeningKind) -> &'static str {
    match kind {
        HappeningKind::Deleted => "its public IP is gone",
        HappeningKind::Recreated => "its public IP was created anew",
        HappeningKind::LabelMoved => "its label moved",
        HappeningKind::LabelTaken => "its label is held by somebody else, or kept back",
        HappeningKind::Released => "its address was released",
        HappeningKind::Assigned => "an address was assigned",
        HappeningKind::Changed => "its address changed",
    }
}

fn by(noticed: Noticed) -> &'static str {
    match noticed {
        Noticed::Start => "when the service began; it happened while nobody watched",
        Noticed::Label => "by its label's own servers",
        Noticed::Round => "in a round",
    }
}

/// The rest is the journal's to tell.
const MOST: usize = 50;
