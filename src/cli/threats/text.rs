//! The report in words: what changed first, then each table, then the next step.

use std::time::Duration;

use super::{Up, rfc3339};
use crate::cli::hidden::is_hidden;
use crate::cli::output::Tone;
use crate::cli::table::Table;
use crate::model::threats::{Count, Figures, Outcome, Platform, Reading, Report, Share, Spans};

/// `report` as a person reads it; with `bars` where it is drawn on a terminal.
pub(super) fn render(up: &Up, report: &Report, bars: bool) -> String {
    let mut out = format!("{}\n\n", headline(report));
    out.push_str(&gateway(up, &report.spans));
    for (platform, reading) in &report.readings {
        out.push('\n');
        match reading {
            Reading::Collected(figures) => out.push_str(&collected(*platform, figures, &report.spans, bars)),
            Reading::NotCollected => {
                let state = Tone::Warn.paint("not collected");
                out.push_str(&format!("{}: {state}\n{}", title(*platform), next(collect(*platform))));
            }
            Reading::Unread(reason) => {
                let state = Tone::Bad.paint("could not be read");
                out.push_str(&format!("{}: {state}: {}\n", title(*platform), printable(reason, usize::MAX)));
            }
        }
    }
    out
}

fn headline(report: &Report) -> String {
    let Spans { before, after } = report.spans;
    let span = stretch(before.length());
    let nothing = "nothing can be said of failed logons";
    let count = |failed: u64| {
        let logons = if failed == 1 { "failed logon" } else { "failed logons" };
        format!("{} {logons}", Tone::Strong.paint(&thousands(failed)))
    };
    let said = if report.outcome() == Outcome::Failed {
        return format!("{}: nothing could be read, so {nothing}.", Tone::Bad.paint("Failed"));
    } else if report.readings.iter().all(|(_, reading)| *reading == Reading::NotCollected) {
        return format!(
            "{}: the workspace has no table of them, so {nothing}.",
            Tone::Warn.paint("Not collected")
        );
    } else if report.readings.iter().all(|(_, reading)| reading.figures().is_none()) {
        format!("no table gave figures, so {nothing}.")
    } else if let Some(after) = after {
        // Spans of different lengths are compared by the hour, or a young gateway would shine.
        let rates = match (report.before(), report.after()) {
            (Some(then), Some(since)) if after.length() < before.length() && after.length() >= MINUTE => {
                format!(": {} and {} an hour", rate(then, before.length()), rate(since, after.length()))
            }
            _ => String::new(),
        };
        let before = match report.before() {
            Some(failed) => format!("{} in the {span} before the gateway", count(failed)),
            None => format!("nothing was recorded in the {span} before the gateway"),
        };
        let later = stretch(after.length());
        match report.after() {
            Some(failed) => {
                format!("{before}, {} in the {later} after{rates}.", Tone::Strong.paint(&thousands(failed)))
            }
            None => format!("{before}; nothing was recorded in the {later} after, which is not none."),
        }
    } else {
        match report.before() {
            Some(failed) => format!("{} in the last {span}.", count(failed)),
            None => format!("nothing was recorded in the last {span}, so {nothing}."),
        }
    };
    match report.outcome() {
        Outcome::Partial => format!("{}: {said}", Tone::Warn.paint("Partly read")),
        _ => match said.strip_prefix("nothing") {
            Some(rest) => format!("{}{rest}", Tone::Warn.paint("Nothing")),
            None => said,
        },
    }
}

fn gateway(up: &Up, spans: &Spans) -> String {
    let at = rfc3339(spans.before.until);
    match up {
        Up::Told(_) => format!("  gateway  up since {at}, as --at says\n"),
        Up::Made(name, _) => format!("  gateway  {} is up since {at}\n", printable(name, NAME)),
        Up::MadeForOthers(name, _) => format!(
            "  gateway  {} was made at {at}, and not by us\n{}",
            printable(name, NAME),
            next("if the gateway came to it later, give the time: cnamed threats --at TIME")
        ),
        Up::NotYet(why) => {
            format!("  gateway  {}, so this is what there was before now\n", printable(why, usize::MAX))
        }
        Up::Unknown(why) => {
            let text =
                format!("  gateway  when it went up could not be read: {}\n", printable(why, usize::MAX));
            text + &next("give the time: cnamed threats --at TIME")
        }
    }
}

fn collected(platform: Platform, figures: &Figures, spans: &Spans, bars: bool) -> String {
    let title = title(platform);
    if figures.before.records == 0 && figures.after.records == 0 {
        let state = Tone::Warn.paint("nothing was recorded, which is not none");
        let step = format!(
            "see that the machines' agent runs and its data collection rule leads here, and that this identity may \
             read the table {}",
            platform.table()
        );
        return format!("{title}: {state}\n{}{}", next(&step), partial(figures));
    }
    let said = |count: Count| match count.records {
        0 => Tone::Warn.paint("nothing recorded"),
        _ => thousands(count.failed),
    };
    let mut out = match spans.after {
        Some(_) => format!("{title}: {} before, {} after\n", said(figures.before), said(figures.after)),
        None => format!("{title}: {}\n", said(figures.before)),
    };
    out.push_str(&partial(figures));
    for (what, shares) in [("account", &figures.accounts), ("address", &figures.addresses)] {
        if !shares.is_empty() {
            out.push('\n');
            // A span without records has no figures, and 0 would be one.
            let is_told = |count: Count| count.records > 0;
            let after = spans.after.is_some() && is_told(figures.after);
            out.push_str(&ranking(what, shares, (is_told(figures.before), after), bars));
        }
    }
    out
}

fn partial(figures: &Figures) -> String {
    figures.partial.as_ref().map_or_else(String::new, |what| {
        let what = printable(what, usize::MAX);
        format!("  {} the service left something out: {what}\n", Tone::Warn.paint("note:"))
    })
}

/// Shares with the numbers aligned to the right, and a bar for each in its two colours.
fn ranking(what: &str, shares: &[Share], (before, after): (bool, bool), bars: bool) -> String {
    let width = |heading: &str, number: fn(&Share) -> u64| {
        let widest = shares.iter().map(|share| thousands(number(share)).len()).max();
        widest.unwrap_or(0).max(heading.len())
    };
    let (before_width, after_width) =
        (width("before", |share| share.before), width("after", |share| share.after));
    let most = shares.iter().map(Share::total).max().unwrap_or(0);
    let mut table = Table::default();
    let head = |text: String| (text, Tone::Faint);
    let mut heading = vec![head(what.to_owned())];
    if before {
        heading.push(head(format!("{:>before_width$}", "before")));
    }
    if after {
        heading.push(head(format!("{:>after_width$}", "after")));
    }
    if bars {
        heading.push(head(if before && after { "█ before ▒ after" } else { "" }.to_owned()));
    }
    table.row(heading);
    for share in shares {
        // Windows writes the domain before a backslash, also when there is none.
        let name = match share.name.strip_prefix('\\').unwrap_or(&share.name) {
            "" | "-" => "(not given)".to_owned(),
            name => printable(name, NAME),
        };
        let mut row = vec![(name, Tone::Plain)];
        if before {
            row.push((format!("{:>before_width$}", thousands(share.before)), Tone::Plain));
        }
        if after {
            let tone = if share.after > 0 { Tone::Warn } else { Tone::Plain };
            row.push((format!("{:>after_width$}", thousands(share.after)), tone));
        }
        if bars {
            row.push((bar(share, most), Tone::Bad));
        }
        table.row(row);
    }
    table.render()
}

/// Full blocks for what was before, shaded ones for what came after; whoever is there at all is seen.
fn bar(share: &Share, most: u64) -> String {
    let blocks = |part: u64| match (part, most) {
        (0, _) | (_, 0) => 0,
        // At most BAR, by the arithmetic of parts of a whole.
        _ => usize::try_from((u128::from(part) * BAR).div_ceil(u128::from(most))).unwrap_or(0),
    };
    "█".repeat(blocks(share.before)) + &"▒".repeat(blocks(share.after))
}

fn title(platform: Platform) -> &'static str {
    match platform {
        Platform::Windows => "Windows (SecurityEvent, event 4625)",
        Platform::Linux => "Linux (Syslog, sshd)",
    }
}

fn collect(platform: Platform) -> &'static str {
    match platform {
        Platform::Windows => {
            "install the Azure Monitor Agent, with a data collection rule that sends security events here \
             (SecurityEvent, which Microsoft Sentinel or Defender for Cloud brings)"
        }
        Platform::Linux => {
            "install the Azure Monitor Agent, with a data collection rule that sends Syslog here (facilities auth and \
             authpriv, from level info)"
        }
    }
}

fn next(step: &str) -> String {
    format!("  {} {step}\n", Tone::Faint.paint("next:"))
}

/// `text` on one line, at most `longest` characters, without anything that a terminal obeys or hides: an attacker
/// chooses account names.
pub(super) fn printable(text: &str, longest: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars() {
        let shown: String = if is_hidden(c) { c.escape_unicode().collect() } else { c.into() };
        length += shown.chars().count();
        if length > longest {
            out.push('…');
            break;
        }
        out.push_str(&shown);
    }
    out
}

/// `1204` as `1,204`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many in so long, by the hour: to the tenth where it is less than ten.
fn rate(failed: u64, length: Duration) -> String {
    let tenths = u128::from(failed) * 36_000_000 / length.as_millis().max(1);
    match u64::try_from(tenths).unwrap_or(u64::MAX) {
        tenths @ 0..100 => format!("{}.{}", tenths / 10, tenths % 10),
        tenths => thousands(tenths / 10),
    }
}

/// A length of time in its two largest units.
fn stretch(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {part}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..172_800 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "days", seconds % 86_400 / 3600, "h"),
    }
}

/// The longest name that a column shows.
const NAME: usize = 40;
/// A rate of anything shorter says nothing.
const MINUTE: Duration = Duration::from_secs(60);
/// The length of the longest bar of one span.
const BAR: u128 = 24;

#[cfg(test)]
mod tests;
