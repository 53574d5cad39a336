//! Every name as a picture: name → label → address → port, one row of linked boxes for each.

use super::attention;
use super::html::{Html, put};
use super::row::Row;
use super::{class, symbol};
use crate::reconcile::round::{EndpointReport, EndpointStatus, LinkState};
use crate::telemetry::snapshot::Snapshot;

/// The names, what is broken first; and the endpoints that no name follows.
pub(super) fn section(snapshot: &Snapshot, rows: &[Row<'_>]) -> Html {
    let mut out = Html::default();
    let Some(last) = snapshot.last.as_deref() else { return out };
    if !rows.is_empty() {
        out.markup("<section class=\"names\" aria-labelledby=\"names\">\n<h2 id=\"names\">Names</h2>\n");
        let troubled = rows.iter().take_while(|row| row.state() != LinkState::Whole).count();
        let (open, rest) = rows.split_at(rows.len().min(MOST).min(troubled.max(FOLD)));
        for row in open {
            out.append(&picture(row, snapshot));
        }
        let (whole, left) = rest.split_at(rest.len().min(MOST - open.len()));
        if !whole.is_empty() {
            put!(out,
                "<details class=\"more\" id=\"more\"><summary>" (whole.len()) " more</summary>\n"
            );
            for row in whole {
                out.append(&picture(row, snapshot));
            }
            out.markup("</details>\n");
        }
        if !left.is_empty() {
            put!(out, "<p class=\"rest\">" (left.len()) " more are in <a href=\"status.json\">status.json</a>.</p>\n");
        }
        out.markup("</section>\n");
    }
    let followed = |endpoint: &&EndpointReport| {
        rows.iter().any(|row| row.endpoint.is_some_and(|followed| followed.name == endpoint.name))
    };
    let alone: Vec<&EndpointReport> =
        last.round.endpoints.iter().filter(|endpoint| !followed(endpoint)).collect();
    if !alone.is_empty() {
        out.append(&endpoints(&alone));
    }
    out
}

fn picture(row: &Row<'_>, snapshot: &Snapshot) -> Html {
    let mut out = Html::default();
    put!(out,
        "<article class=\"" (class(row.state())) "\">\n<ol class=\"chain\">\n"
        "<li><div class=\"box\"><span class=\"what\">name</span><h3>"
    );
    out.name(row.name);
    out.markup("</h3><ul class=\"holders\" aria-label=\"Accounts\">");
    for holder in &row.holders {
        put!(out,
            "<li class=\"" (class(holder.state)) "\">" {symbol(holder.state)}
            "<span>" (holder.account) " <b>" (holder.word) "</b></span></li>"
        );
    }
    out.markup("</ul></div></li>\n");
    put!(out, "<li>" {hop(row.to_label, "label", &label(row), &under(row))} "</li>\n");
    put!(out, "<li>" {hop(row.to_address, "address", &address(row), "")} "</li>\n");
    if !row.ports.is_empty() {
        out.markup("<li class=\"ports\">");
        for way in &row.ports {
            let port = way.frontend_port.to_string();
            let to = format!("{} → {}", way.rule, way.backend_port);
            out.append(&hop(way.port.state, "port", &port, &to));
        }
        out.markup("</li>\n");
    }
    out.markup("</ol>\n");
    for trouble in row.troubles() {
        let why =
            if attention::tells(snapshot, trouble.detail) { "why is told above" } else { trouble.detail };
        put!(out,
            "<p class=\"trouble " (class(trouble.state)) "\"><b>" (capital(join(trouble.state))) " at the "
            (trouble.what) ":</b> " (why) "</p>\n"
        );
    }
    let connect = row.connect();
    if !connect.is_empty() {
        out.markup("<p class=\"connect\"><b>Connect:</b>");
        for line in &connect {
            put!(out, " <code>" (line) "</code>");
        }
        out.markup("</p>\n");
    }
    if !row.evidence.is_empty() {
        put!(out,
            "<details id=\"seen-" (row.name) "\"><summary>What was seen<span class=\"unseen\"> of " (row.name)
            "</span></summary>\n<table><caption class=\"unseen\">The links of " (row.name) "</caption>\n"
            "<thead class=\"unseen\"><tr><th scope=\"col\">Link</th><th scope=\"col\">State</th>"
            "<th scope=\"col\">What was seen</th></tr></thead>\n<tbody>\n"
        );
        for seen in &row.evidence {
            put!(out,
                "<tr class=\"" (class(seen.state)) "\"><th scope=\"row\">" (seen.what) "</th><td>"
                {symbol(seen.state)} (class(seen.state)) "</td><td>" (seen.detail) "</td></tr>\n"
            );
        }
        out.markup("</tbody></table></details>\n");
    }
    out.markup("</article>\n");
    out
}

/// A box and the link that leads to it.
fn hop(state: LinkState, what: &'static str, text: &str, below: &str) -> Html {
    let mut out = Html::default();
    put!(out,
        "<div class=\"hop\"><span class=\"join " (class(state)) "\"><i aria-hidden=\"true\"></i>" {symbol(state)}
        "<b>" (join(state)) "</b></span><div class=\"box\"><span class=\"what\">" (what) "</span><span class=\"is\">"
    );
    out.name(text);
    out.markup("</span>");
    if !below.is_empty() {
        put!(out, "<span class=\"below\">" (below) "</span>");
    }
    out.markup("</div></div>");
    out
}

fn endpoints(endpoints: &[&EndpointReport]) -> Html {
    let mut out = Html::default();
    out.markup(
        "<section class=\"endpoints\" aria-labelledby=\"endpoints\">\n<h2 id=\"endpoints\">Endpoints without a name</h2>\n",
    );
    out.markup("<ul>\n");
    for endpoint in endpoints {
        let (state, word) = standing(endpoint.state);
        put!(out,
            "<li class=\"" (class(state)) "\">" {symbol(state)} "<div><b>" (endpoint.name) "</b> " (word) "<br>"
        );
        if let Some(fqdn) = &endpoint.fqdn {
            out.name(fqdn);
        }
        if let Some(address) = endpoint.address {
            out.markup(" → ");
            out.name(&address);
        }
        out.markup("</div></li>\n");
    }
    out.markup("</ul>\n</section>\n");
    out
}

fn label(row: &Row<'_>) -> String {
    match row.endpoint {
        Some(EndpointReport { fqdn: Some(fqdn), .. }) => fqdn.to_string(),
        Some(EndpointReport { state: EndpointStatus::Absent, .. }) => "does not exist".to_owned(),
        Some(EndpointReport { state: EndpointStatus::Unknown, .. }) | None => "not known".to_owned(),
        Some(_) => "no label".to_owned(),
    }
}

fn under(row: &Row<'_>) -> String {
    row.endpoint.map(|endpoint| format!("endpoint {}", endpoint.name)).unwrap_or_default()
}

fn address(row: &Row<'_>) -> String {
    match row.endpoint {
        Some(EndpointReport { address: Some(address), .. }) => address.to_string(),
        Some(EndpointReport { state: EndpointStatus::Absent, .. }) => "none".to_owned(),
        Some(EndpointReport { state: EndpointStatus::Released, .. }) => "released".to_owned(),
        Some(_) | None => "not known".to_owned(),
    }
}

fn standing(state: EndpointStatus) -> (LinkState, &'static str) {
    match state {
        EndpointStatus::Ready => (LinkState::Whole, "ready"),
        EndpointStatus::Released => (LinkState::Pending, "released: it has no address now"),
        EndpointStatus::Absent => (LinkState::Broken, "does not exist"),
        EndpointStatus::Unknown => (LinkState::Unknown, "could not be read"),
    }
}

/// What is written on a link.
fn join(state: LinkState) -> &'static str {
    match state {
        LinkState::Whole => "leads to",
        LinkState::Pending => "waits",
        LinkState::Broken => "broken",
        LinkState::Unknown => "unknown",
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// So many whole names are shown without being asked for.
const FOLD: usize = 12;
/// No page holds more names than a browser draws at once.
const MOST: usize = 500;
