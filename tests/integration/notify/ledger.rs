//! The ledger's laws.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cnamed::notify::ledger::Ledger;
use cnamed::notify::{Notice, Topic};
use proptest::prelude::*;
use time::OffsetDateTime;

use super::notice;

/// Nothing is left unsettled.
static WELL: BTreeSet<String> = BTreeSet::new();
const REPEAT: Duration = Duration::from_secs(6 * 3600);

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn at() -> OffsetDateTime {
    notice(Topic::Test, "", "").at
}

fn failure(title: &str) -> Notice {
    notice(Topic::Failure, "cf", title)
}

fn titles(told: &[Notice]) -> Vec<String> {
    told.iter().map(|notice| format!("{} {}: {}", notice.topic, notice.title, notice.repeats)).collect()
}

#[test]
fn a_trouble_is_told_at_once_again_after_a_while_and_once_when_it_is_over() {
    let mut ledger = Ledger::new(REPEAT);
    let down = [failure("cf cannot be read")];
    let mut told = Vec::new();
    for minute in 0..=361 {
        for notice in ledger.round(minutes(minute), at(), &down, &WELL) {
            told.push((minute, notice));
        }
    }
    let seen: Vec<(u64, u32)> = told.iter().map(|(minute, notice)| (*minute, notice.repeats)).collect();
    assert_eq!(seen, [(0, 0), (360, 359)]);
    let over = ledger.round(minutes(362), at(), &[], &WELL);
    assert_eq!(titles(&over), ["recovery recovered after 362 failures: cf cannot be read: 0"]);
    assert_eq!(over[0].details, ["it began at 2026-11-22 12:31 UTC and lasted 6h 2m"]);
    assert_eq!((over[0].subject.as_str(), &over[0].next_step), ("cf", &None));
    assert_eq!(ledger.round(minutes(363), at(), &[], &WELL), []);
    // Once `repeat` has passed nothing is remembered.
    ledger.round(minutes(362 + 360), at(), &[], &WELL);
    assert!(ledger.is_empty());
}

#[test]
fn what_flaps_is_told_a_few_times_and_never_left_untold() {
    let mut ledger = Ledger::new(REPEAT);
    let down = [failure("cf cannot be read")];
    let mut told = Vec::new();
    for minute in 0..360 {
        let found = if minute % 2 == 0 { &down[..] } else { &[] };
        told.extend(ledger.round(minutes(minute), at(), found, &WELL));
    }
    // Told, over, told again, and from then on it has not stayed away for long enough to be over.
    assert_eq!(
        titles(&told),
        [
            "failure cf cannot be read: 0",
            "recovery recovered after 1 failure: cf cannot be read: 0",
            "failure cf cannot be read: 0"
        ]
    );
    let mut minute = 359;
    while told.len() == 3 {
        minute += 1;
        told.extend(ledger.round(minutes(minute), at(), &[], &WELL));
    }
    assert_eq!(minute, 382, "a sixteenth of six hours after it went away in minute 359");
    assert_eq!(titles(&told[3..]), ["recovery recovered after 179 failures: cf cannot be read: 0"]);
}

#[test]
fn a_trouble_is_over_once_what_it_is_about_was_seen_to_be_well_and_no_earlier() {
    let about = |of: &[&str]| of.iter().map(|of| (*of).to_owned()).collect::<BTreeSet<_>>();
    let mut ledger = Ledger::new(REPEAT);
    let mut told = Vec::new();
    let mut round = |minute, found: Option<&[&str]>, unsettled: &[&str]| {
        let notice = |of| Notice { of: about(of), ..failure("x") };
        let found: Vec<Notice> = found.map(notice).into_iter().collect();
        told.extend(ledger.round(minutes(minute), at(), &found, &about(unsettled)));
        titles(&std::mem::take(&mut told))
    };
    let over = |times| [format!("recovery recovered after {times}: x: 0")];
    assert_eq!(round(0, Some(&["a", "b"]), &[]), ["failure x: 0"]);
    assert_eq!(round(1, Some(&["b", "c"]), &[]), [""; 0]);
    assert_eq!(round(2, None, &["c", "d"]), [""; 0]);
    assert_eq!(round(400, None, &["b"]), [""; 0], "it is not told again either: nobody saw it");
    assert_eq!(round(401, None, &["a", "d"]), over("2 failures"), "it was about something else in the end");
    assert_eq!(round(402, None, &["c"]), [""; 0]);
    // It comes back, and has to stay away for a while: only what was seen counts.
    assert_eq!(round(403, Some(&["b"]), &[]), ["failure x: 0"]);
    assert_eq!(round(404, None, &[]), [""; 0]);
    assert_eq!(round(440, None, &["b"]), [""; 0]);
    assert_eq!(round(441, None, &[]), [""; 0]);
    assert_eq!(round(464, None, &[]), over("1 failure"));
}

#[test]
fn an_event_is_counted_while_it_repeats_and_its_last_is_told() {
    let mut ledger = Ledger::new(REPEAT);
    let event = |before: &str, after: &str| Notice {
        before: Some(before.into()),
        after: Some(after.into()),
        ..notice(Topic::Change, "jump", "updated jump in cf")
    };
    assert!(ledger.event(minutes(0), event("a", "b")).is_some());
    assert!(ledger.event(minutes(1), event("b", "a")).is_some(), "another change is another event");
    for minute in 2..10 {
        assert!(ledger.event(minutes(minute), event("a", "b")).is_none());
    }
    assert_eq!(ledger.due(minutes(359), at()), []);
    let due = ledger.due(minutes(360), at());
    assert_eq!((due.len(), due[0].repeats, due[0].after.as_deref()), (1, 7, Some("b")));
    assert_eq!(ledger.due(minutes(361), at()), []);
    assert_eq!(ledger.event(minutes(720), event("a", "b")).map(|notice| notice.repeats), Some(0));
    assert!(ledger.event(minutes(0), notice(Topic::Test, "", "t")).is_some());
    assert!(ledger.event(minutes(0), notice(Topic::Test, "", "t")).is_some(), "a test is never kept back");
}

fn address(number: u32) -> Notice {
    Notice {
        after: Some(number.to_string()),
        ..notice(Topic::Address, "jump", &format!("jump: the address changed to {number}"))
    }
}

#[test]
fn an_address_that_does_not_rest_is_told_a_few_times_and_its_last_soon() {
    let mut ledger = Ledger::new(REPEAT);
    let mut told = Vec::new();
    for minute in 0..360 {
        let found = [address(minute)];
        told.extend(
            ledger.round(minutes(minute.into()), at(), &found, &WELL).into_iter().map(|it| (minute, it)),
        );
    }
    let seen: Vec<(u32, u32)> = told.iter().map(|(minute, notice)| (*minute, notice.repeats)).collect();
    // Three as they come; then after a sixteenth of six hours, and twice as long each time.
    assert_eq!(seen, [(0, 0), (1, 0), (2, 0), (25, 22), (70, 44), (160, 89), (340, 179)]);
    assert!(told.iter().all(|(minute, notice)| notice.after == Some(minute.to_string())), "{told:#?}");
    // It rests: the last of it waits no longer than what came before it.
    let mut minute = 359;
    while told.len() == 7 {
        minute += 1;
        told.extend(ledger.due(minutes(minute.into()), at()).into_iter().map(|it| (minute, it)));
    }
    let (last, notice) = &told[7];
    assert_eq!((notice.after.as_deref(), notice.repeats), (Some("359"), 18), "in minute {last}");
    assert!(*last <= 340 + 360, "in minute {last}");
    ledger.due(minutes(u64::from(*last) + 361), at());
    assert!(ledger.is_empty());
}

#[test]
fn what_asks_for_something_else_is_not_held_back_by_an_address_that_does_not_rest() {
    let mut ledger = Ledger::new(REPEAT);
    for number in 0..100 {
        ledger.event(minutes(1), address(number));
    }
    let taken =
        Notice { next_step: Some("act".into()), ..notice(Topic::Address, "jump", "somebody else holds it") };
    assert!(ledger.event(minutes(1), taken).is_some());
    assert!(ledger.event(minutes(1), Notice { subject: "other".into(), ..address(1) }).is_some());
    assert!(ledger.event(minutes(1), address(101)).is_none());
}

#[test]
fn what_the_service_suffers_from_is_not_over_because_a_round_does_not_find_it() {
    let mut ledger = Ledger::new(REPEAT);
    let title = "the configuration was not taken";
    assert!(ledger.trouble(minutes(0), notice(Topic::Service, "", title)).is_some());
    assert_eq!(ledger.round(minutes(1), at(), &[], &WELL), []);
    let over = ledger.over(minutes(2), at(), Topic::Service, "", title).unwrap();
    assert_eq!(
        (over.topic, over.title.as_str()),
        (Topic::Service, "recovered after 1 failure: the configuration was not taken")
    );
    assert!(ledger.over(minutes(3), at(), Topic::Service, "", title).is_none());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut ledger = Ledger::new(REPEAT);
    for number in 0..5000 {
        let event = notice(Topic::Change, "x", &format!("updated {number}"));
        assert!(ledger.event(Duration::from_secs(number), event).is_some());
    }
    assert!(format!("{ledger:?}").len() < 200_000);
}

/// Which of three troubles each round finds.
fn history() -> impl Strategy<Value = Vec<(u64, [bool; 3])>> {
    prop::collection::vec((1u64..20, any::<[bool; 3]>()), 1..160)
}

proptest! {
    /// Nothing twice within `repeat` unless its end was told in between; every trouble that was told is told to be over
    /// exactly once; and however it flaps, a window of `repeat` holds a few tellings only.
    #[test]
    fn nothing_is_told_twice_and_every_end_once(history in history()) {
        const TITLES: [&str; 3] = ["a", "b", "c"];
        let mut ledger = Ledger::new(REPEAT);
        let mut now = Duration::ZERO;
        let mut told: BTreeMap<String, Vec<(Duration, bool)>> = BTreeMap::new();
        let mut note = |now: Duration, notices: Vec<Notice>| {
            for notice in notices {
                let over = notice.topic == Topic::Recovery;
                let title = notice.title.rsplit(' ').next().unwrap().to_owned();
                told.entry(title).or_default().push((now, over));
            }
        };
        let mut found: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
        for (pause, present) in history {
            now += minutes(pause);
            let notices: Vec<Notice> =
                TITLES.iter().zip(present).filter(|(_, is)| *is).map(|(title, _)| failure(title)).collect();
            for notice in &notices {
                let title = TITLES.iter().find(|title| **title == notice.title).unwrap();
                found.entry(title).or_default().push(now);
            }
            note(now, ledger.round(now, at(), &notices, &WELL));
        }
        // It ends well: everything stays away for as long as it takes.
        for _ in 0..48 {
            now += minutes(15);
            note(now, ledger.round(now, at(), &[], &WELL));
        }
        for (title, found) in &found {
            let told = &told[*title];
            prop_assert_eq!(told[0], (found[0], false), "told when it began");
            prop_assert_eq!(told.last().unwrap().1, true, "and in the end told to be over");
            for pair in told.windows(2) {
                let [(earlier, was_over), (later, is_over)] = pair else { unreachable!() };
                prop_assert!(!(*was_over && *is_over), "over twice: {:?}", told);
                prop_assert!(*was_over || *is_over || *later - *earlier >= REPEAT, "told twice: {:?}", told);
            }
            for (begin, _) in told {
                let within = told.iter().filter(|(at, _)| (*begin..*begin + REPEAT).contains(at)).count();
                prop_assert!(within <= 12, "{} tellings in one window: {:?}", within, told);
            }
        }
        prop_assert!(told.keys().all(|title| found.contains_key(title.as_str())), "nothing that was not found");
    }

    /// Whatever happens is told at the latest when `repeat` is over.
    #[test]
    fn every_event_is_told_in_the_end(pauses in prop::collection::vec(1u64..200, 1..80)) {
        let mut ledger = Ledger::new(REPEAT);
        let (mut now, mut told, mut last) = (Duration::ZERO, Vec::new(), Duration::ZERO);
        let count = u32::try_from(pauses.len()).unwrap();
        for pause in pauses {
            now += minutes(pause);
            let event = notice(Topic::Change, "jump", "changed");
            for notice in ledger.round(now, at(), &[event], &WELL) {
                prop_assert!(told.is_empty() || now - last >= REPEAT);
                (told.push(notice), last = now).1
            }
        }
        for _ in 0..10 {
            now += minutes(120);
            told.extend(ledger.round(now, at(), &[], &WELL));
        }
        let tellings = u32::try_from(told.len()).unwrap();
        prop_assert_eq!(told.iter().map(|notice| notice.repeats).sum::<u32>() + tellings, count);
        prop_assert!(ledger.is_empty());
    }
}
