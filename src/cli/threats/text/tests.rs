use time::OffsetDateTime;

use super::*;
use crate::model::threats::TOP;

// One way of keeping texts, here and in the integration tests.
#[path = "../../../../tests/integration/support/golden.rs"]
mod golden;

fn at(hours: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000 + hours * 3600).unwrap()
}

const DAY: Duration = Duration::from_secs(86_400);

fn report(windows: Reading, linux: Reading) -> Report {
    let spans = Spans::around(at(0), DAY, at(5)).unwrap();
    Report { spans, readings: vec![(Platform::Windows, windows), (Platform::Linux, linux)] }
}

fn shares(of: &[(&str, u64, u64)]) -> Vec<Share> {
    of.iter()
        .map(|(name, before, after)| Share { name: (*name).into(), before: *before, after: *after })
        .collect()
}

fn figures() -> Figures {
    Figures {
        before: Count { records: 9_000, failed: 1_204 },
        after: Count { records: 70, failed: 3 },
        accounts: shares(&[("\\administrator", 1_000, 2), ("\\admin", 203, 1), ("", 1, 0)]),
        addresses: shares(&[("203.0.113.7", 1_204, 0), ("-", 0, 3)]),
        partial: None,
    }
}

fn plain(up: &Up, report: &Report, bars: bool) -> String {
    anstream::adapter::strip_str(&render(up, report, bars)).to_string()
}

fn made() -> Up {
    Up::Made("lb-jump".into(), at(0))
}

#[test]
fn what_a_gateway_changed() {
    let report = report(Reading::Collected(figures()), Reading::NotCollected);
    golden::same("threats/changed", &plain(&made(), &report, false));
    golden::same("threats/bars", &plain(&made(), &report, true));
}

#[test]
fn before_there_is_a_gateway() {
    let spans = Spans::until(at(0), DAY).unwrap();
    let report = Report { spans, readings: vec![(Platform::Windows, Reading::Collected(figures()))] };
    let up = Up::NotYet("there is no load balancer lb-jump in rg-mgmt yet".into());
    golden::same("threats/before", &plain(&up, &report, true));
}

#[test]
fn what_was_not_seen_is_not_none() {
    let silent = Figures {
        after: Count::default(),
        accounts: shares(&[("\\administrator", 1_000, 0), ("\\admin", 203, 0), ("", 1, 0)]),
        addresses: shares(&[("203.0.113.7", 1_204, 0)]),
        ..figures()
    };
    golden::same(
        "threats/silent",
        &plain(
            &Up::Told(at(0)),
            &report(Reading::Collected(silent), Reading::Collected(Figures::default())),
            false,
        ),
    );
    golden::same(
        "threats/absent",
        &plain(&made(), &report(Reading::NotCollected, Reading::NotCollected), false),
    );
}

#[test]
fn what_could_not_be_read() {
    let why = || Reading::Unread("could not read Syslog: \u{1b}[31mno\nanswer; run again".into());
    let cut = Figures {
        after: Count::default(),
        partial: Some("PartialError: the limit was exceeded".into()),
        ..figures()
    };
    let readings = vec![(Platform::Windows, Reading::Collected(cut)), (Platform::Linux, why())];
    let unsplit = Report { spans: Spans::until(at(0), DAY).unwrap(), readings };
    golden::same("threats/partly", &plain(&Up::Unknown("could not read lb-jump".into()), &unsplit, false));
    golden::same("threats/failed", &plain(&made(), &report(why(), why()), false));
    golden::same("threats/unread-and-absent", &plain(&made(), &report(Reading::NotCollected, why()), false));
}

#[test]
fn a_name_is_shown_and_not_obeyed() {
    for (name, shown) in [
        ("DOMAIN\\user", "DOMAIN\\user"),
        ("日本語 ñ", "日本語 ñ"),
        ("\u{1b}[2J", "\\u{1b}[2J"),
        ("a\r\nb\tc\u{7}", "a\\u{d}\\u{a}b\\u{9}c\\u{7}"),
        ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
        ("\u{202e}nimda\u{200b}", "\\u{202e}nimda\\u{200b}"),
        ("\u{e0041}\u{2028}", "\\u{e0041}\\u{2028}"),
    ] {
        assert_eq!(printable(name, NAME), shown);
    }
    let long = printable(&"x".repeat(41), NAME);
    assert_eq!((long.chars().count(), long.ends_with("x…")), (NAME + 1, true));
    assert_eq!(printable(&"x".repeat(40), NAME).chars().count(), NAME);
    // An escape is shown whole or not at all.
    assert_eq!(printable(&format!("{}\u{1b}", "x".repeat(36)), NAME), format!("{}…", "x".repeat(36)));
}

#[test]
fn a_bar_is_never_longer_than_its_room_and_whoever_is_there_is_seen() {
    let share = |before, after| Share { name: String::new(), before, after };
    let most = u64::MAX;
    let room = usize::try_from(BAR).unwrap();
    assert_eq!(bar(&share(most, 0), most).chars().count(), room);
    assert_eq!(bar(&share(1, 0), most), "█");
    assert_eq!(bar(&share(0, 1), most), "▒");
    assert!(bar(&share(most / 2, most / 2 + 1), most).chars().count() <= room + 1);
    assert_eq!(bar(&share(0, 0), 0), "");
    assert_eq!(TOP, 10);
}

#[test]
fn numbers_and_lengths_read_well() {
    for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
        assert_eq!(thousands(number), shown);
    }
    for (failed, hours, shown) in [(1_204, 24, "50"), (3, 5, "0.6"), (0, 5, "0.0"), (90_000, 1, "90,000")] {
        assert_eq!(rate(failed, Duration::from_secs(hours * 3600)), shown);
    }
    for (seconds, shown) in [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (86_400, "24 h"),
        (90_061, "25 h 1 min"),
        (7 * 86_400, "7 days"),
        (172_800 + 3_600, "2 days 1 h"),
    ] {
        assert_eq!(stretch(Duration::from_secs(seconds)), shown);
    }
}
