//! The pages of fixed days, to the letter, and that nothing from outside becomes markup.

use std::sync::Arc;

use cnamed::model::plan::Verb;
use cnamed::reconcile::round::{ChangeOutcome, ChangeReport, Outcome, SubjectKind};
use cnamed::telemetry::page;
use cnamed::telemetry::snapshot::Snapshot;

use super::scenes;
use crate::support::golden;

#[test]
fn the_pages_are_as_they_were() {
    for (name, snapshot) in scenes::all() {
        if name != "two-hundred" {
            golden::same(&format!("page/{name}"), &page::render(&snapshot, scenes::now()));
        }
    }
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let page = page::render(&scenes::hostile(), scenes::now());
    let escaped = page.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count();
    assert!(escaped > 20, "said in {escaped} places");
    assert_eq!(page.matches("<script").count(), 1, "but for the page's own");
    assert!(page.contains("<script src=\"page.js\" defer></script>"));
    for markup in ["<img", " onerror='", "\" onload=", "\u{202e}", "style="] {
        assert!(!page.contains(markup), "{markup}");
    }
}

#[test]
fn every_element_that_is_opened_is_closed_in_its_order() {
    const VOID: [&str; 4] = ["meta", "link", "wbr", "br"];
    for (name, snapshot) in scenes::all() {
        let page = page::render(&snapshot, scenes::now());
        let mut open: Vec<&str> = Vec::new();
        let mut ids: Vec<&str> = Vec::new();
        for piece in page.split('<').skip(1).filter(|piece| !piece.starts_with('!')) {
            let (tag, _) = piece.split_once('>').unwrap();
            ids.extend(tag.split_once(" id=\"").and_then(|(_, rest)| rest.split('"').next()));
            let element = tag.split([' ', '/', '\n']).find(|word| !word.is_empty()).unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(element), "{name}: </{element}>");
            } else if !tag.ends_with('/') && !VOID.contains(&element) {
                open.push(element);
            }
        }
        assert!(open.is_empty(), "{name}: {open:?} stay open");
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{name}: an id stands for one element");
    }
}

/// Names follow a label that may not be changed back, so that what is refused need not be all.
#[test]
fn a_refusal_does_not_hide_what_was_changed() {
    let mut snapshot = scenes::hostile();
    let last = Arc::make_mut(snapshot.last.as_mut().unwrap());
    last.round.outcome = Outcome::Refused;
    let said = |snapshot: &Snapshot, text: &str| page::render(snapshot, scenes::now()).contains(text);
    assert!(said(&snapshot, "1 change refused; nothing of the endpoints concerned was touched"));
    let last = Arc::make_mut(snapshot.last.as_mut().unwrap());
    last.round.changes.push(ChangeReport {
        kind: SubjectKind::Record,
        name: "jump.example.com".to_owned(),
        account: None,
        verb: Verb::Update,
        outcome: ChangeOutcome::Applied,
        before: None,
        after: None,
        reason: String::new(),
        error: None,
        requests: Vec::new(),
    });
    assert!(said(&snapshot, "1 change refused, and 1 change made"));
}

/// The next round shows what has happened; until then nobody is told that all is well.
#[test]
fn what_the_last_round_does_not_know_is_not_well() {
    let shown = |snapshot: Snapshot| page::render(&snapshot, scenes::now());
    let well = shown(scenes::empty_journal());
    let since = shown(Snapshot { overtaken: true, busy: true, ..scenes::empty_journal() });
    let broken = shown(Snapshot { overtaken: true, busy: true, ..scenes::two_hundred() });
    let told = "Something has happened since, as the history tells";
    assert!(well.contains("<section class=\"headline whole\"") && !well.contains(told));
    assert!(since.contains("<section class=\"headline pending\"") && since.contains("Changing"));
    assert!(broken.contains("<section class=\"headline broken\"") && !broken.contains("Changing"));
    assert!(since.contains(told) && broken.contains(told));
}

#[test]
fn many_names_are_folded_the_broken_one_first() {
    let page = page::render(&scenes::two_hundred(), scenes::now());
    assert_eq!(page.matches("<article").count(), 100);
    let (shown, folded) = page.split_once("<details class=\"more\"").unwrap();
    assert_eq!(shown.matches("<article").count(), 12);
    assert!(folded.contains("<summary>88 more</summary>"));
    let first = shown.split_once("<article class=\"broken\">").unwrap().1;
    assert!(first.contains("<h3>host-057.<wbr>example.<wbr>com</h3>"));
    assert!(page.len() < 400_000, "{} octets", page.len());
}

/// WCAG 2.2, 1.4.3 asks for 4.5 to 1.
#[test]
fn every_colour_of_text_stands_out_from_what_is_behind_it() {
    let (light, dark) = page::STYLE.split_once("prefers-color-scheme: dark").unwrap();
    for theme in [light, dark] {
        let colour = |name: &str| {
            let value = theme.split_once(&format!("--{name}: #")).unwrap().1.get(..6).unwrap();
            luminance(value)
        };
        let states = ["whole", "pending", "broken", "unknown"];
        let backgrounds = ["paper", "card"].map(ToOwned::to_owned);
        for text in states.iter().chain(&["ink", "soft"]) {
            let tint = states.contains(text).then(|| format!("{text}-tint"));
            for behind in backgrounds.iter().chain(&tint) {
                let ratio = contrast(colour(text), colour(behind));
                assert!(ratio >= 4.5, "--{text} on --{behind}: {ratio:.2}");
            }
        }
        for state in states {
            let ratio = contrast(colour("ink"), colour(&format!("{state}-tint")));
            assert!(ratio >= 4.5, "--ink on --{state}-tint: {ratio:.2}");
        }
    }
}

fn contrast(a: f64, b: f64) -> f64 {
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}
