//! The status page: one look tells whether every name leads where it should, and if not, at which link it breaks.
//!
//! Written by the server, whole, so that it works without a script; with one it refreshes itself. Whatever came from
//! outside is text: there is no way to make markup of it.

mod attention;
mod headline;
mod history;
mod html;
mod picture;
mod row;
mod words;

use time::OffsetDateTime;

use self::html::{Html, put};
use self::row::Row;
use super::snapshot::Snapshot;
use crate::reconcile::round::LinkState;

/// The page's style sheet.
pub const STYLE: &str = include_str!("page/page.css");
/// The page's script.
pub const SCRIPT: &str = include_str!("page/page.js");
/// The page's icon: a name on its way.
pub const ICON: &str = include_str!("page/icon.svg");

/// The page for `snapshot`.
#[must_use]
pub fn render(snapshot: &Snapshot, now: OffsetDateTime) -> String {
    let rows = snapshot.last.as_deref().map(|last| Row::of(&last.round)).unwrap_or_default();
    let headline = headline::of(snapshot, &rows, now);
    let mut out = Html::default();
    put!(out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n"
        "<title>" (headline.word) " · " (snapshot.owner) " · cnamed</title>\n"
        "<link rel=\"icon\" href=\"icon.svg\" type=\"image/svg+xml\">\n"
        "<link rel=\"stylesheet\" href=\"page.css\">\n"
        "<script src=\"page.js\" defer></script>\n"
        "<noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript>\n</head>\n<body>\n"
    );
    out.markup(SYMBOLS);
    put!(out,
        "<header class=\"masthead\"><p><strong>cnamed</strong> <span>" (snapshot.owner) "</span></p></header>\n"
        "<p id=\"gone\" role=\"alert\" hidden></p>\n<p id=\"told\" class=\"unseen\" role=\"status\"></p>\n"
        "<main data-told=\"" (headline.word) ". " (headline.sentence) "\">\n"
        {headline.html(snapshot, now)} {attention::section(snapshot, now)}
        {picture::section(snapshot, &rows)} {attention::notes(snapshot)} {history::section(snapshot, now)}
        "</main>\n"
        "<footer><p>cnamed " (snapshot.program) ", running since "
        "<time datetime=\"" (words::machine(snapshot.started)) "\">" (words::moment(snapshot.started, now))
        "</time>. All times are UTC.</p>\n"
        "<nav aria-label=\"For machines\"><a href=\"status.json\">status.json</a> <a href=\"metrics\">metrics</a> "
        "<a href=\"healthz\">healthz</a> <a href=\"readyz\">readyz</a></nav></footer>\n</body>\n</html>\n"
    );
    out.into_string()
}

/// The symbol of `state`, for the eye; whoever listens is told in words beside it.
fn symbol(state: LinkState) -> Html {
    let mut out = Html::default();
    match state {
        LinkState::Whole => {
            out.markup("<svg class=\"sym\" aria-hidden=\"true\"><use href=\"#whole\"/></svg>")
        }
        LinkState::Pending => {
            out.markup("<svg class=\"sym\" aria-hidden=\"true\"><use href=\"#pending\"/></svg>");
        }
        LinkState::Broken => {
            out.markup("<svg class=\"sym\" aria-hidden=\"true\"><use href=\"#broken\"/></svg>")
        }
        LinkState::Unknown => {
            out.markup("<svg class=\"sym\" aria-hidden=\"true\"><use href=\"#unknown\"/></svg>");
        }
    }
    out
}

/// The class of `state`, which is its colour.
fn class(state: LinkState) -> &'static str {
    match state {
        LinkState::Whole => "whole",
        LinkState::Pending => "pending",
        LinkState::Broken => "broken",
        LinkState::Unknown => "unknown",
    }
}

/// Each state has a shape of its own.
const SYMBOLS: &str = include_str!("page/symbols.svg");
