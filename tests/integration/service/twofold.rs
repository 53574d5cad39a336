//! A round, and what is mended beside it: nothing is written twice, told twice, or claimed by who has not seen it.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::{Entry, Filter, What};
use cnamed::model::endpoint::{Provisioning, PublicIp};
use cnamed::model::record::{Content, Mode};
use cnamed::model::verify::Verdict;
use cnamed::notify::Topic;
use cnamed::provider::Kind;
use cnamed::provider::memory::Held;
use cnamed::reconcile::round::Outcome;
use cnamed::telemetry::snapshot::Snapshot;
use tokio::time::{Instant, sleep};

use super::beside::{AT_ONCE, SECOND, address, follows};
use super::heard::{Heard, Mood, only};
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Weather, ZONE};
use super::told;
use crate::laws::world::{self, AZURE, fqdn, owner, ttl};

/// A service in sync, and how much it had written down by then.
async fn calm() -> (Heard, usize) {
    let life = Heard::begin(Mode::Address);
    life.calm().await;
    let known = life.entries().len();
    (life, known)
}

/// The same, with a round under way that repairs the public IP for as long.
async fn repairing(takes: Duration) -> (Heard, usize) {
    let (life, known) = calm().await;
    life.sim.weather("network", Weather::SlowWrites(takes));
    life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
    life.order(Order::Round).await;
    sleep(SECOND).await;
    assert!(life.shown().busy, "it is being repaired");
    (life, known)
}

/// What came of every change of a record since then, in order: the account, and the outcome.
pub(super) fn changes(entries: &[Entry], known: usize) -> Vec<(String, String)> {
    let of_record = |entry: &Entry| match &entry.what {
        What::Change(change) => Some((change.account.as_ref()?.to_string(), change.outcome.clone())),
        What::Happening { .. } => None,
    };
    entries.iter().skip(known).filter_map(of_record).collect()
}

fn count(changes: &[(String, String)], account: &str) -> usize {
    changes.iter().filter(|(of, outcome)| of == account && outcome == "applied").count()
}

#[tokio::test(start_paused = true)]
async fn what_a_round_still_writes_is_not_written_again_beside_it() {
    told(async {
        let (life, known) = calm().await;
        // Not for as long as a write may take that nobody is to wait for.
        life.sim.weather("cf", Weather::SlowWrites(SECOND * 8));
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        follows(&life, "azure", "203.0.113.1").await;
        for last in 2..=4 {
            let text = format!("203.0.113.{last}");
            life.sim.address(Some(&text));
            life.order(Order::Round).await;
            assert!(follows(&life, "azure", &text).await <= SECOND + AT_ONCE, "{text}: beside that round");
        }
        assert_ne!(life.sim.data("cf", NAME), address("203.0.113.1"), "all of that before the first answer");
        follows(&life, "cf", "203.0.113.4").await;
        life.sim.weather("cf", Weather::Fine);
        life.outcome(Outcome::InSync).await;
        sleep(INTERVAL * 10).await;
        let all = changes(&life.entries(), known);
        assert_eq!((count(&all, "azure"), count(&all, "cf"), all.len()), (4, 2, 6), "{all:?}");
        let told = life.ear.of(Topic::Change);
        let of = |account: &str| {
            told.iter().filter(|title| title.starts_with("updated") && title.ends_with(account)).count()
        };
        assert_eq!((of("azure"), of("cf")), (4, 2), "each is told once: {told:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_mended_beside_a_round_is_told_before_that_has_ended() {
    told(async {
        let (life, known) = repairing(SECOND * 600).await;
        let before = life.ear.of(Topic::Change).len();
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        follows(&life, "cf", "203.0.113.1").await;
        sleep(SECOND).await;
        let told = life.ear.of(Topic::Change).split_off(before);
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(life.shown().busy);
        life.outcome(Outcome::InSync).await;
        sleep(INTERVAL * 10).await;
        assert_eq!(changes(&life.entries(), known).len(), 2);
        let told = life.ear.of(Topic::Change).split_off(before);
        assert_eq!(told.len(), 3, "and then what the round has done: {told:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_calls_for_a_round_while_something_is_written_beside_one_is_heard_once_that_is_written() {
    told(async {
        let (life, known) = repairing(SECOND * 600).await;
        life.sim.weather("cf", Weather::SlowWrites(SECOND * 5));
        for last in 1..=3 {
            life.sim.address(Some(&format!("203.0.113.{last}")));
            life.order(Order::Round).await;
            sleep(SECOND).await;
        }
        // The first write is seen to its end, and the next is of what there is by then.
        assert!(follows(&life, "cf", "203.0.113.3").await <= SECOND * 8);
        assert!(life.shown().busy, "all of that beside one round");
        let all = changes(&life.entries(), known);
        assert!(all.iter().all(|(_, outcome)| outcome == "applied"), "{all:?}");
        assert_eq!(count(&all, "cf"), 2, "{all:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_waits_for_what_is_written_beside_the_rounds_of_the_one_before() {
    told(async {
        let (life, known) = repairing(SECOND * 20).await;
        life.sim.weather("cf", Weather::SlowWrites(SECOND * 200));
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        follows(&life, "azure", "203.0.113.1").await;
        life.configuration.exchange(Ok(only("azure", Mode::Address)));
        life.order(Order::Reload).await;
        let finished = life.finished();
        sleep(SECOND * 25).await;
        assert_eq!(life.finished(), finished + 1, "the round has ended");
        let (asked, shown) = (life.sim.calls("network"), life.shown());
        assert!(!shown.busy && shown.last.is_some(), "and none has begun");
        sleep(SECOND * 120).await;
        let looks = life.sim.calls("network") - asked;
        assert_eq!((life.finished(), looks), (finished + 1, 2), "names are looked at each interval, no more");
        life.sim.weather("cf", Weather::Fine);
        life.until("a round of the new one", |_| life.sim.data("cf", NAME).is_none()).await;
        life.outcome(Outcome::InSync).await;
        let cf: Vec<_> = changes(&life.entries(), known).into_iter().filter(|(of, _)| of == "cf").collect();
        let applied = ("cf".to_owned(), "applied".to_owned());
        assert_eq!(cf, [applied.clone(), applied], "written, and withdrawn");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_all_that_is_under_way_is_told() {
    told(async {
        let (life, known) = repairing(SECOND * 600).await;
        life.sim.weather("cf", Weather::SlowWrites(SECOND * 200));
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        follows(&life, "azure", "203.0.113.1").await;
        let (journal, ear) = (life.journal.clone(), life.ear.clone());
        let (in_flight, _) = life.end().await;
        assert_eq!(in_flight, ["update public IP of jump", "update jump.example.com in cf"]);
        let all = changes(&journal.entries(&Filter::default()).unwrap(), known);
        let outcomes: Vec<(&str, &str)> =
            all.iter().map(|(account, outcome)| (account.as_str(), outcome.as_str())).collect();
        assert_eq!(outcomes, [("azure", "applied"), ("cf", "unconfirmed")]);
        let told = ear.of(Topic::Change);
        assert!(told.iter().any(|title| title == "updated jump.example.com in azure"), "{told:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_during_an_operation_of_azure_has_its_names_mended() {
    told(async {
        let (life, _) = calm().await;
        life.sim.weather("cf", Weather::Refusing(Kind::Unreachable));
        life.sim.weather("network", Weather::SlowWrites(SECOND * 3600));
        life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.sim.address(Some("203.0.113.1"));
        assert!(follows(&life, "azure", "203.0.113.1").await <= LABEL_INTERVAL + AT_ONCE);
        sleep(SECOND * 30).await;
        life.sim.weather("cf", Weather::Fine);
        life.until("that it is back", |shown| shown.resting.is_empty()).await;
        assert!(follows(&life, "cf", "203.0.113.1").await <= SECOND + AT_ONCE);
        assert!(life.shown().busy);
    })
    .await;
}

/// A provider is silent, and the round that waits for it has seen another address than names lead to by its end.
async fn overtaken(life: &Heard) -> Instant {
    life.sim.weather("cf", Weather::Hanging);
    // Name servers take their time to follow.
    life.servers.are(Mood { old_until: Some(Instant::now() + SECOND * 120), ..Mood::default() });
    life.order(Order::Round).await;
    sleep(SECOND).await;
    life.sim.address(Some("203.0.113.1"));
    let changed = Instant::now();
    life.order(Order::Round).await;
    follows(life, "azure", "203.0.113.1").await;
    assert!(life.shown().busy);
    changed
}

#[tokio::test(start_paused = true)]
async fn who_has_not_seen_what_was_changed_beside_it_claims_no_agreement() {
    told(async {
        let (life, known) = calm().await;
        let finished = life.finished();
        let changed = overtaken(&life).await;
        let shown = life.until("its end", |shown| shown.counts.rounds.values().sum::<u64>() > finished).await;
        let round = &shown.last.as_ref().unwrap().round;
        let told: Vec<_> =
            round.records.iter().map(|record| (record.account.as_str(), record.verdict)).collect();
        assert_eq!(told, [("azure", Verdict::Pending)], "{:#?}", round.records);
        assert!(round.records[0].detail.contains("changed while this round"), "{:?}", round.records);
        assert!(round.chains.iter().all(|chain| chain.account.as_str() != "azure"), "{:#?}", round.chains);
        while changed.elapsed() < SECOND * 110 {
            let agreed: Vec<_> =
                life.entries().into_iter().skip(known).flat_map(|entry| entry.agreed).collect();
            assert_eq!(agreed, [], "after {:?}: every server says what it said before", changed.elapsed());
            sleep(SECOND).await;
        }
        life.sim.weather("cf", Weather::Fine);
        life.until("agreement", |shown| shown.history.iter().any(|entry| entry.agreed.len() == 3)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_round_that_began_after_all_of_that_says_so_of_nothing() {
    told(async {
        let (life, _) = calm().await;
        overtaken(&life).await;
        life.servers.are(Mood::default());
        let (before, began) = (life.finished(), Instant::now());
        while began.elapsed() < SECOND * 20 {
            sleep(SECOND / 20).await;
            if life.finished() >= before + 2 {
                let shown = life.shown();
                let records = &shown.last.as_ref().unwrap().round.records;
                let agreed = records.iter().all(|record| record.verdict == Verdict::Agreed);
                assert!(agreed && !records.is_empty(), "{records:#?}");
            }
        }
        assert!(life.finished() >= before + 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_a_round_goes_on_nobody_agrees_by_what_the_one_before_it_has_seen() {
    told(async {
        let (life, known) = repairing(SECOND * 100).await;
        life.servers.are(Mood { old_until: Some(Instant::now() + SECOND * 90), ..Mood::default() });
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        follows(&life, "cf", "203.0.113.1").await;
        let changed = Instant::now();
        while changed.elapsed() < SECOND * 85 {
            let agreed: Vec<_> =
                life.entries().into_iter().skip(known).flat_map(|entry| entry.agreed).collect();
            assert_eq!(agreed, [], "after {:?}", changed.elapsed());
            sleep(SECOND).await;
        }
        assert!(life.shown().busy);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_mended_by_one_that_has_to_look_again_is_told() {
    told(async {
        let (life, known) = calm().await;
        life.sim.weather("cf", Weather::Hanging);
        life.order(Order::Round).await;
        for last in 1..=3 {
            let text = format!("203.0.113.{last}");
            life.sim.address(Some(&text));
            life.order(Order::Round).await;
            assert!(follows(&life, "azure", &text).await <= SECOND + AT_ONCE, "{text}");
        }
        assert!(life.shown().busy, "all of that beside one round");
        sleep(INTERVAL).await;
        assert_eq!(count(&changes(&life.entries(), known), "azure"), 3);
        let told = life.ear.of(Topic::Change);
        let updated = told.iter().filter(|title| *title == "updated jump.example.com in azure").count();
        assert_eq!(updated, 3, "{told:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_round_that_has_seen_the_address_of_before_does_not_say_that_resolvers_give_that_of_now() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let known = life.entries().len();
        life.sim.weather("cf", Weather::Slow(SECOND * 4));
        life.servers.are(Mood { cached_until: Some(Instant::now() + SECOND * 120), ..Mood::default() });
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.sim.address(Some("203.0.113.1"));
        let (changed, finished) = (Instant::now(), life.finished());
        life.order(Order::Round).await;
        life.until("an event", |shown| shown.counts.happenings.contains_key("changed")).await;
        assert_eq!(life.finished(), finished);
        while changed.elapsed() < SECOND * 110 {
            let mut agreed = life.entries().into_iter().skip(known).flat_map(|entry| entry.agreed);
            assert!(agreed.all(|agreed| agreed.who != "resolvers"), "after {:?}", changed.elapsed());
            sleep(SECOND).await;
        }
        life.until("agreement", |shown| shown.history.iter().any(|entry| entry.agreed.len() == 3)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_mended_beside_a_round_and_is_over_is_not_for_that_round_to_judge() {
    told(async {
        let (life, _) = calm().await;
        let (finished, right) = (life.finished(), life.sim.data("azure", NAME));
        life.sim.weather("cf", Weather::Hanging);
        life.order(Order::Round).await;
        sleep(SECOND).await;
        // What is asked from now on is answered at once.
        life.sim.weather("cf", Weather::Fine);
        let zone = world::zone(ZONE, "z-azure", AZURE);
        let content = Content { data: address("198.51.100.9").unwrap(), ttl: ttl(60), proxied: false };
        let held = Held { content, mark: Some(owner("ops")), note: String::new() };
        life.sim.azure.put(&zone, &fqdn(NAME), held);
        life.order(Order::Round).await;
        sleep(SECOND * 2).await;
        assert_eq!(life.sim.data("azure", NAME), right);
        // The round that follows takes its time.
        life.sim.weather("network", Weather::Slow(SECOND));
        let ended = |shown: &Snapshot| shown.counts.rounds.values().sum::<u64>() > finished;
        let shown = life.until("its end", ended).await;
        let records = &shown.last.as_ref().unwrap().round.records;
        let told: Vec<_> = records.iter().map(|record| (record.account.as_str(), record.verdict)).collect();
        assert_eq!(told, [("azure", Verdict::Pending)], "{records:#?}");
        life.outcome(Outcome::InSync).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_beside_a_round_ends_with_its_configuration() {
    told(async {
        let (life, known) = calm().await;
        life.sim.weather("cf", Weather::Slow(SECOND * 4));
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        follows(&life, "azure", "203.0.113.1").await;
        life.configuration.exchange(Ok(only("azure", Mode::Address)));
        life.order(Order::Reload).await;
        life.until("the withdrawal", |_| life.sim.data("cf", NAME).is_none()).await;
        let cf: Vec<_> = changes(&life.entries(), known).into_iter().filter(|(of, _)| of == "cf").collect();
        assert_eq!(cf, [("cf".to_owned(), "applied".to_owned())], "nothing but that");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_something_happened_tells_nothing_of_it() {
    told(async {
        let (life, _) = calm().await;
        // Somebody is always being asked, and resolvers never agree.
        let late = SECOND * 5;
        let cached_until = Some(Instant::now() + INTERVAL * 60);
        life.servers.are(Mood { delay: late, cached_until, ..Mood::default() });
        for last in 1..=8 {
            sleep(SECOND * 20 + Duration::from_millis(900) * last).await;
            life.sim.address(Some(&format!("203.0.113.{last}")));
            life.order(Order::Round).await;
            let known = life.entries().len();
            sleep(SECOND * 120).await;
            let happened = |entry: &Entry| matches!(entry.what, What::Happening { .. });
            let entry = life.entries().into_iter().skip(known).find(happened).unwrap();
            assert!(entry.agreed.iter().any(|agreed| agreed.who == "azure"), "{last}: {:?}", entry.agreed);
            assert!(entry.agreed.iter().all(|agreed| agreed.after >= late), "{last}: {:?}", entry.agreed);
        }
    })
    .await;
}
