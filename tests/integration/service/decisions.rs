//! What the loop decides between two rounds: whom to tell, how soon to look again, whom to leave alone.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::{Journal, Noticed, What};
use cnamed::model::endpoint::PublicIp;
use cnamed::model::record::{Mode, RecordType};
use cnamed::model::sight::{Happening, HappeningKind, Sight};
use cnamed::model::state::Zone;
use cnamed::notify::{Pulse, Topic};
use cnamed::provider::Kind;
use cnamed::provider::memory::{Fault, Operation};
use cnamed::reconcile::round::Outcome;
use cnamed::telemetry::snapshot::Trigger;
use tokio::time::{Instant, sleep};

use super::heard::{Heard, Mood};
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Sim, Weather, ZONE};
use super::told;
use crate::laws::world::{self, fqdn, handle, owner};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
const SILENT_LABELS: Mood = Mood {
    delay: Duration::ZERO,
    slow: None,
    old_until: None,
    cached_until: None,
    labels_are_silent: true,
    resolvers_are_silent: false,
};

pub(super) fn happenings(life: &Heard) -> Vec<(HappeningKind, Noticed)> {
    let kind = |what| match what {
        What::Happening { happening, noticed, .. } => Some((happening.kind, noticed)),
        What::Change(_) => None,
    };
    life.entries().into_iter().filter_map(|entry| kind(entry.what)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_trouble_is_told_when_it_begins_and_when_it_is_over_and_every_round_gives_a_sign_of_life() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        let began = Instant::now();
        life.calm().await;
        let pulses = life.ear.pulses_since(began);
        assert!(pulses.iter().all(|(_, pulse)| !matches!(pulse, Pulse::Ill(_))), "{pulses:?}");
        let failed = Instant::now();
        life.sim.weather("cf", Weather::Refusing(Kind::Unreachable));
        sleep(HOUR).await;
        assert_eq!(life.ear.of(Topic::Failure), ["cf cannot be read"]);
        let pulses = life.ear.pulses_since(failed + INTERVAL * 2);
        let line = "Partly failed: ";
        let told = |pulse: &Pulse| match pulse {
            Pulse::Begun => true,
            Pulse::Well => false,
            Pulse::Ill(text) => text.starts_with(line),
        };
        assert!(pulses.len() > 50 && pulses.iter().all(|(_, pulse)| told(pulse)), "{pulses:?}");
        let begun = pulses.iter().filter(|(_, pulse)| *pulse == Pulse::Begun).count();
        assert!(begun >= pulses.len() / 2, "{pulses:?}");
        assert!(life.shown().counts.notices[&("ear".to_owned(), true)] > 50);
        life.sim.weather("cf", Weather::Fine);
        life.outcome(Outcome::InSync).await;
        sleep(SECOND).await;
        let over = life.ear.of(Topic::Recovery);
        assert!(matches!(over.as_slice(), [one] if one.ends_with(": cf cannot be read")), "{over:?}");
        assert!(matches!(life.ear.pulses_since(failed).last(), Some((_, Pulse::Well))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_not_taken_is_told_and_so_is_the_next_one_that_is() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let good = Sim::desired(Mode::Cname);
        for (desired, count) in [(Err("3 mistakes".to_owned()), 1), (Ok(good.clone()), 2), (Ok(good), 2)] {
            life.configuration.exchange(desired);
            life.order(Order::Reload).await;
            sleep(INTERVAL).await;
            assert_eq!(life.ear.of(Topic::Service).len(), count);
        }
        let title = "the new configuration was not taken; the old one stays at work";
        assert_eq!(life.ear.of(Topic::Service), [title, &format!("recovered after 1 failure: {title}")]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn secrets_are_read_anew_while_somebody_is_denied_less_and_less_often_and_for_no_other_reason() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let minute = Duration::from_secs(60);
        for account in ["network", "cf"] {
            for kind in [Kind::Unreachable, Kind::Throttled(minute)] {
                life.sim.weather(account, Weather::Refusing(kind));
                sleep(HOUR).await;
                assert_eq!(life.renewals(), 0, "a new secret helps nobody who is not there");
            }
            life.sim.weather(account, Weather::Fine);
            life.outcome(Outcome::InSync).await;
        }
        life.sim.weather("cf", Weather::Refusing(Kind::Denied));
        sleep(HOUR).await;
        let denied = life.renewals();
        assert!((10..=30).contains(&denied), "{denied} times in an hour");
        let mut renewed = Sim::desired(Mode::Cname);
        renewed.owner = owner("renewed");
        life.configuration.exchange(Ok(renewed));
        sleep(INTERVAL * 10).await;
        assert_eq!(life.shown().owner, "renewed", "what was read anew is put to work");
        life.configuration.exchange(Ok(Sim::desired(Mode::Cname)));
        sleep(INTERVAL * 10).await;
        life.sim.weather("cf", Weather::Fine);
        life.outcome(Outcome::InSync).await;
        let fine = life.renewals();
        sleep(HOUR).await;
        assert_eq!(life.renewals(), fine, "nobody is denied any more");
        // It begins anew, soon, whoever it is that denies.
        for account in ["cf", "network"] {
            let before = life.renewals();
            life.sim.weather(account, Weather::Refusing(Kind::Denied));
            sleep(INTERVAL * 2).await;
            assert!(life.renewals() >= before + 2, "{account}: {} after {before}", life.renewals());
            life.sim.weather(account, Weather::Fine);
            life.outcome(Outcome::InSync).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reading_secrets_anew_forgets_neither_who_asked_to_wait_nor_what_is_known() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.weather("network", Weather::Refusing(Kind::Throttled(HOUR)));
        life.sim.weather("azure", Weather::Hanging);
        life.sim.weather("cf", Weather::Refusing(Kind::Denied));
        life.order(Order::Round).await;
        let first = life.until("all at rest", |shown| shown.resting.len() == 3 && !shown.busy).await;
        let asked = life.sim.calls("network");
        while life.renewals() < 4 {
            sleep(SECOND).await;
            let shown = life.shown();
            let last = shown.last.as_ref().expect("what is known stays known");
            assert_eq!(shown.since, first.since, "it is the same trouble");
            let anew = last.at != first.last.as_ref().unwrap().at;
            assert!(!anew || last.took < SECOND, "whoever hangs held it up again: {:?}", last.took);
        }
        assert_eq!(life.sim.calls("network"), asked, "before its time");
        for account in ["network", "azure", "cf"] {
            life.sim.weather(account, Weather::Fine);
        }
        life.outcome(Outcome::InSync).await;
        assert!(life.shown().resting.is_empty(), "{:?}", life.shown().resting);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rounds_come_fast_after_one_that_found_something_happened_also_where_nothing_is_written() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.servers.are(SILENT_LABELS);
        life.sim.address(Some("203.0.113.99"));
        life.order(Order::Round).await;
        life.until("an event", |shown| shown.counts.happenings.contains_key("changed")).await;
        let before = life.finished();
        sleep(INTERVAL / 3).await;
        let rounds = life.finished() - before;
        assert!((2..=3).contains(&rounds), "{rounds} rounds");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn labels_that_are_not_answered_for_are_no_event_and_a_round_notices_by_itself() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.servers.are(SILENT_LABELS);
        let before = life.finished();
        sleep(INTERVAL * 10).await;
        assert_eq!(happenings(&life), []);
        let lookups = life.shown().counts.label_lookups;
        sleep(INTERVAL * 10).await;
        let lookups = life.shown().counts.label_lookups - lookups;
        assert!((59..=61).contains(&lookups), "{lookups} in ten minutes");
        let rounds = life.finished() - before;
        assert!((18..=24).contains(&rounds), "{rounds} rounds");
        life.sim.address(Some("203.0.113.99"));
        sleep(LABEL_INTERVAL / 2).await;
        life.order(Order::Round).await;
        sleep(INTERVAL).await;
        assert_eq!(happenings(&life), [(HappeningKind::Changed, Noticed::Round)]);
        let told = life.ear.of(Topic::Address);
        assert_eq!(told, ["jump: the address changed: 198.18.0.1 → 203.0.113.99"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_refuses_what_was_asked_is_there_and_is_asked_in_every_round() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        for kind in [Kind::Rejected, Kind::Missing] {
            life.sim.weather("cf", Weather::Refusing(kind));
            life.outcome(Outcome::Partial).await;
            let calls = life.sim.calls("cf");
            sleep(INTERVAL * 10).await;
            assert!(life.shown().resting.is_empty(), "{kind:?}: {:?}", life.shown().resting);
            let asked = life.sim.calls("cf") - calls;
            assert!((9..=24).contains(&asked), "{kind:?}: asked {asked} times in ten intervals");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_an_endpoint_that_is_configured_no_more_is_forgotten() {
    told(async {
        let journal = Journal::in_memory().unwrap();
        let fqdn = Some(fqdn("gone.westeurope.cloudapp.azure.com"));
        journal.remember(&handle("jump"), &Sight::default()).unwrap();
        journal.remember(&handle("gone"), &Sight { exists: true, fqdn, ..Sight::default() }).unwrap();
        let happening = Happening { kind: HappeningKind::Deleted, before: None, after: None };
        let what = What::Happening { endpoint: handle("gone"), happening, noticed: Noticed::Round };
        journal.record(time::OffsetDateTime::now_utc(), &what).unwrap();
        let slow = Mood { delay: SECOND * 5, ..Mood::default() };
        let life = Heard::with(Mode::Cname, slow, journal);
        sleep(SECOND).await;
        let shown = life.shown();
        assert!(shown.last.is_none() && shown.history.len() == 1, "the past is shown from the beginning");
        life.servers.are(Mood::default());
        life.calm().await;
        let known: Vec<String> =
            life.journal.sights().unwrap().into_keys().map(|endpoint| endpoint.to_string()).collect();
        assert_eq!(known, ["jump"]);
        assert!(!life.servers.were_asked_for("gone."), "and its label is nobody's concern");
        assert!(life.servers.were_asked_for("jump."));
        // The same where it goes while the service works.
        let mut none = Sim::desired(Mode::Cname);
        none.endpoints.clear();
        none.records.clear();
        none.prune = false;
        life.configuration.exchange(Ok(none));
        life.order(Order::Reload).await;
        sleep(INTERVAL).await;
        let before = happenings(&life);
        life.sim.address(Some("203.0.113.99"));
        sleep(INTERVAL).await;
        assert_eq!(happenings(&life), before);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_shows_when_the_next_round_is_and_when_one_runs() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let shown = life.shown();
        assert!(!shown.busy && shown.next.is_some());
        assert_eq!(shown.patience, INTERVAL * 3 + Duration::from_secs(90));
        life.sim.weather("network", Weather::Slow(SECOND * 3));
        life.order(Order::Round).await;
        sleep(SECOND).await;
        let shown = life.shown();
        assert!(shown.busy && shown.next.is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn how_long_it_has_been_so_is_counted_from_when_that_changed() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let well = life.shown().since.unwrap();
        sleep(INTERVAL * 10).await;
        assert_eq!(life.shown().since, Some(well));
        let failed = Instant::now();
        life.sim.weather("cf", Weather::Refusing(Kind::Unreachable));
        let shown = life.outcome(Outcome::Partial).await;
        let (ill, last_well) = (shown.since.unwrap(), shown.converged.unwrap());
        assert!(ill > well && last_well > well && last_well < ill, "{well} {last_well} {ill}");
        sleep(INTERVAL * 10).await;
        let shown = life.shown();
        assert_eq!(
            (shown.since, shown.converged),
            (Some(ill), Some(last_well)),
            "after {:?}",
            failed.elapsed()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_and_again_is_no_reason_to_hurry() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        for _ in 0..1000 {
            life.sim.cf.script(Operation::Write(fqdn(NAME)), Fault::Refused(Kind::Rejected));
        }
        let zone = Zone { id: "z-cf".into(), ..world::zone(ZONE, "", world::CLOUDFLARE) };
        life.sim.cf.remove(&zone, &fqdn(NAME), &RecordType::Cname);
        life.outcome(Outcome::Partial).await;
        let before = life.finished();
        sleep(INTERVAL * 10).await;
        let rounds = life.finished() - before;
        assert!((9..=16).contains(&rounds), "{rounds} rounds");
        assert_eq!(life.sim.data("cf", NAME), None);
    })
    .await;
}

/// What a look finds that began before a round changed something says nothing of that change.
#[tokio::test(start_paused = true)]
async fn another_resource_of_the_same_name_is_known_also_where_azure_did_not_say_which_in_between() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        for guid in [Some("first"), None, Some("second")] {
            life.sim.edit(|ip| PublicIp { guid: guid.map(str::to_owned), ..ip });
            life.order(Order::Round).await;
            sleep(INTERVAL).await;
        }
        let recreated = happenings(&life).into_iter().filter(|(kind, _)| *kind == HappeningKind::Recreated);
        assert_eq!(recreated.count(), 2, "{:?}", happenings(&life));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_takes_long_is_waited_for_once_it_is_known_to() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        // A hang costs a round what is more than enough for one that was quick.
        life.sim.weather("cf", Weather::Hanging);
        let shown = life.outcome(Outcome::Partial).await;
        let took = shown.last.as_ref().unwrap().took;
        assert!(took <= SECOND * 6, "{took:?}");
        life.sim.weather("cf", Weather::Slow(SECOND * 30));
        let shown = life.outcome(Outcome::InSync).await;
        let took = shown.last.as_ref().unwrap().took;
        assert!((SECOND * 30..SECOND * 100).contains(&took), "{took:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whom_nobody_can_tell_anything_is_shown() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.ear.deafen();
        life.sim.address(Some("203.0.113.99"));
        sleep(INTERVAL).await;
        let troubles = life.shown().troubles.clone();
        assert!(matches!(troubles.as_slice(), [one] if one.contains("nobody is there")), "{troubles:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_is_told_is_whom_the_last_configuration_names() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let mut heard = 0;
        for (named, last) in [(false, 2), (true, 3), (false, 4)] {
            life.ear.name_it(named);
            life.order(Order::Reload).await;
            sleep(INTERVAL).await;
            life.sim.address(Some(&format!("203.0.113.{last}")));
            sleep(INTERVAL).await;
            heard += usize::from(named);
            assert_eq!(life.ear.of(Topic::Address).len(), heard, "{named}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_round_finds_that_a_label_called_for_was_noticed_by_that_label() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let moved = Some(fqdn("moved.westeurope.cloudapp.azure.com"));
        life.sim.edit(|ip| PublicIp { fqdn: moved, label: Some("moved".parse().unwrap()), ..ip });
        sleep(LABEL_INTERVAL * 2).await;
        let found = happenings(&life);
        assert!(found.contains(&(HappeningKind::LabelMoved, Noticed::Label)), "{found:?}");
    })
    .await;
}

/// Also where nothing has to be written, so that the round itself finds nothing new.
#[tokio::test(start_paused = true)]
async fn rounds_come_fast_after_what_a_look_has_seen() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let before = life.finished();
        life.sim.address(Some("203.0.113.99"));
        // The look, its round, and the two that follow; at rest none would come for most of the interval.
        sleep(LABEL_INTERVAL + INTERVAL * 3 / 5).await;
        let after = life.finished() - before;
        assert!(
            happenings(&life).iter().any(|(_, noticed)| *noticed == Noticed::Label),
            "{:?}",
            life.entries()
        );
        assert!(after >= 3, "{after} rounds");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_a_round_has_everybody_asked_but_those_who_asked_to_wait() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.weather("network", Weather::Refusing(Kind::Throttled(HOUR)));
        life.sim.weather("azure", Weather::Refusing(Kind::Unreachable));
        life.sim.weather("cf", Weather::Refusing(Kind::Denied));
        life.until("all at rest", |shown| shown.resting.len() == 3).await;
        // By then they are asked every few minutes.
        sleep(HOUR / 2).await;
        for account in ["network", "azure", "cf"] {
            life.sim.weather(account, Weather::Fine);
        }
        let (asked, renewals) = (life.sim.calls("network"), life.renewals());
        life.order(Order::Round).await;
        let shown = life
            .until("the round that was asked for", |shown| {
                shown.last.as_ref().is_some_and(|last| last.trigger == Trigger::Signal)
            })
            .await;
        let resting: Vec<&str> = shown.resting.iter().map(|resting| resting.account.as_str()).collect();
        assert_eq!((resting, life.sim.calls("network")), (vec!["endpoints"], asked));
        assert_eq!(life.renewals(), renewals + 1, "what was denied may have another secret by now");
    })
    .await;
}
