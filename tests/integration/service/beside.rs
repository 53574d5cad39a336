//! Nobody's names wait for anybody else: not for a provider that is silent, nor for an operation of Azure's.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::What;
use cnamed::model::endpoint::{Intent, Provisioning, PublicIp};
use cnamed::model::record::{Data, Mode, RecordType};
use cnamed::notify::{Notice, Topic};
use cnamed::reconcile::round::Outcome;
use cnamed::telemetry::snapshot::Trigger;
use tokio::time::{Instant, sleep};

use super::heard::Heard;
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Sim, Weather};
use super::told;
use super::witness::zone;
use crate::laws::world::{fqdn, key};

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// A name that the service does not hold to begin with.
const OTHER: &str = "other.example.com";
/// What a look and what follows it take in a world where nothing takes time.
pub(super) const AT_ONCE: Duration = Duration::from_millis(200);

pub(super) fn address(text: &str) -> Option<Data> {
    Some(Data::A([text.parse().unwrap()].into()))
}

/// Waits until the record in `account` is that address; gives how long it took.
pub(super) async fn follows(life: &Heard, account: &str, text: &str) -> Duration {
    let began = Instant::now();
    while life.sim.data(account, NAME) != address(text) {
        assert!(began.elapsed() < INTERVAL * 10, "{account} never follows to {text}");
        sleep(SECOND / 20).await;
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_falls_silent_delays_no_name_of_another_not_even_once() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        life.sim.weather("cf", Weather::Hanging);
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        assert!(follows(&life, "azure", "203.0.113.1").await <= AT_ONCE, "the round that meets it first");
        // That round still waits for an answer.
        life.sim.address(Some("203.0.113.2"));
        life.order(Order::Round).await;
        assert!(follows(&life, "azure", "203.0.113.2").await <= AT_ONCE, "beside that round");
        life.sim.address(Some("203.0.113.3"));
        assert!(follows(&life, "azure", "203.0.113.3").await <= LABEL_INTERVAL + AT_ONCE, "from then on");
        life.sim.weather("cf", Weather::Fine);
        follows(&life, "cf", "203.0.113.3").await;
        life.outcome(Outcome::InSync).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_falls_silent_delays_no_name_that_another_is_to_hold_or_to_give_up() {
    told(async {
        for met_before in [false, true] {
            let life = Heard::begin(Mode::Cname);
            life.calm().await;
            let label = life.sim.data("azure", NAME);
            life.sim.weather("cf", Weather::Hanging);
            if met_before {
                life.order(Order::Round).await;
                sleep(SECOND / 5).await;
                assert!(life.shown().busy, "a round waits for it");
            }
            let mut desired = Sim::desired(Mode::Cname);
            let wanted = desired.records.remove(&key(NAME, "azure")).unwrap();
            desired.records.insert(key(OTHER, "azure"), wanted);
            life.configuration.exchange(Ok(desired));
            let began = Instant::now();
            life.order(Order::Reload).await;
            while (life.sim.data("azure", OTHER), life.sim.data("azure", NAME)) != (label.clone(), None) {
                assert!(began.elapsed() <= AT_ONCE, "{met_before}");
                sleep(SECOND / 50).await;
            }
            life.sim.weather("cf", Weather::Fine);
            life.outcome(Outcome::InSync).await;
            assert_eq!(life.sim.data("cf", NAME), label);
        }
    })
    .await;
}

/// The public IP is only watched, and the label that it loses is anybody's from then on.
#[tokio::test(start_paused = true)]
async fn a_provider_that_falls_silent_leaves_no_name_of_another_at_a_label_that_anybody_may_claim() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let mut desired = Sim::desired(Mode::Cname);
        desired.endpoints.values_mut().for_each(|endpoint| endpoint.intent = Intent::Watch);
        life.configuration.exchange(Ok(desired));
        life.order(Order::Reload).await;
        life.until("taken", |shown| shown.last.as_ref().is_some_and(|last| last.trigger == Trigger::Reload))
            .await;
        life.sim.weather("cf", Weather::Hanging);
        life.sim.edit(|ip| PublicIp { label: None, fqdn: None, ..ip });
        let began = Instant::now();
        while life.sim.data("azure", NAME).is_some() {
            assert!(began.elapsed() <= LABEL_INTERVAL + AT_ONCE);
            sleep(SECOND / 50).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operation_of_azure_that_takes_minutes_delays_no_name() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let before = life.entries().len();
        life.sim.weather("network", Weather::SlowWrites(SECOND * 600));
        life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
        life.order(Order::Round).await;
        sleep(SECOND * 5).await;
        assert!(life.shown().busy && !life.shown().overtaken, "it is being repaired");
        for last in 1..=5 {
            let text = format!("203.0.113.{last}");
            life.sim.address(Some(&text));
            assert!(follows(&life, "azure", &text).await <= LABEL_INTERVAL + AT_ONCE, "{text}");
            assert!(follows(&life, "cf", &text).await <= AT_ONCE, "{text}");
            sleep(SECOND).await;
            assert!(life.shown().overtaken, "the round before knows nothing of it");
        }
        assert!(life.shown().busy, "all of that beside one round");
        life.outcome(Outcome::InSync).await;
        sleep(INTERVAL * 10).await;
        assert!(!life.shown().overtaken);
        let mut happenings = Vec::new();
        for entry in life.entries().into_iter().skip(before) {
            match entry.what {
                What::Change(change) => assert_eq!(change.outcome, "applied", "{change:?}"),
                What::Happening { happening, .. } => happenings.push(happening.after.unwrap()),
            }
        }
        let told: Vec<String> = (1..=5).map(|last| format!("203.0.113.{last}")).collect();
        assert_eq!(
            happenings, told,
            "each is told once, and what the round had seen before is no news at its end"
        );
    })
    .await;
}

/// With everything else in order, and with a write beside that round that nobody answers for.
#[tokio::test(start_paused = true)]
async fn a_record_that_somebody_edits_during_an_operation_of_minutes_is_mended_within_an_interval() {
    told(async {
        for hangs in [false, true] {
            let life = Heard::begin(Mode::Address);
            life.calm().await;
            life.sim.weather("network", Weather::SlowWrites(SECOND * 600));
            life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
            life.order(Order::Round).await;
            sleep(SECOND).await;
            if hangs {
                life.sim.weather("cf", Weather::SlowWrites(SECOND * 300));
                life.sim.address(Some("203.0.113.1"));
                follows(&life, "azure", "203.0.113.1").await;
            }
            sleep(SECOND * 5).await;
            let right = life.sim.data("azure", NAME).unwrap();
            for _ in 0..3 {
                let (azure, at) = (&life.sim.azure, zone("azure"));
                let mut held = azure.held(&at, &fqdn(NAME), &RecordType::A).unwrap();
                held.content.data = address("203.0.113.66").unwrap();
                azure.put(&at, &fqdn(NAME), held);
                let edited = Instant::now();
                while life.sim.data("azure", NAME).as_ref() != Some(&right) {
                    assert!(edited.elapsed() <= INTERVAL + AT_ONCE, "{hangs}");
                    sleep(SECOND / 20).await;
                }
                sleep(SECOND * 7).await;
            }
            assert!(life.shown().busy, "all of that beside one round");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_only_azure_can_tell_is_told_before_the_round_that_asked_has_ended() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.weather("cf", Weather::Hanging);
        let (released, rounds) = (Instant::now(), life.finished());
        life.sim.address(None);
        life.until("an event", |shown| shown.counts.happenings.contains_key("released")).await;
        assert!(released.elapsed() <= LABEL_INTERVAL, "{:?}", released.elapsed());
        assert_eq!(life.finished(), rounds);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_only_azure_can_tell_is_told_within_an_interval_of_the_looks_however_long_azure_takes() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.sim.weather("network", Weather::Slow(SECOND * 2));
        life.calm().await;
        // At every moment between two looks.
        for moment in 0..16 {
            sleep(SECOND * 33 + Duration::from_millis(700) * moment).await;
            let (changed, known) = (Instant::now(), life.entries().len());
            life.sim.address((moment % 2 == 1).then_some("203.0.113.7"));
            while life.entries().len() == known {
                sleep(SECOND / 20).await;
            }
            assert!(changed.elapsed() <= LABEL_INTERVAL + SECOND / 10, "{moment}: {:?}", changed.elapsed());
        }
    })
    .await;
}

/// What was told of it.
fn heard(life: &Heard, topic: Topic) -> Vec<String> {
    let told = |notice: Notice| format!("{}: {}", notice.title, notice.details.join(", "));
    life.sim.heard(topic).into_iter().map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_being_written_is_waited_for_and_nothing_has_failed() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        life.sim.weather("network", Weather::SlowWrites(SECOND * 20));
        life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
        life.order(Order::Round).await;
        sleep(SECOND * 18).await;
        // The round ends, and the next one looks, while this is being written.
        life.sim.weather("cf", Weather::SlowWrites(SECOND * 4));
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        sleep(INTERVAL * 10).await;
        for topic in [Topic::Failure, Topic::Unverified, Topic::Recovery] {
            assert_eq!(heard(&life, topic), [""; 0], "{topic:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_round_says_nothing_wrong_of_what_was_mended_beside_it_while_that_still_reads() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        life.sim.weather("cf", Weather::SlowWrites(SECOND * 8));
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        follows(&life, "azure", "203.0.113.1").await;
        sleep(SECOND * 6).await;
        life.sim.weather("cf", Weather::Hanging);
        life.sim.address(Some("203.0.113.2"));
        life.order(Order::Round).await;
        follows(&life, "azure", "203.0.113.2").await;
        sleep(SECOND).await;
        life.sim.weather("cf", Weather::Fine);
        sleep(INTERVAL * 10).await;
        assert_eq!(heard(&life, Topic::Unverified), [""; 0]);
        let azure = |notice: &Notice| notice.title.contains("in azure");
        let after: Vec<_> =
            life.sim.heard(Topic::Change).into_iter().filter(azure).filter_map(|told| told.after).collect();
        let [.., one, two] = after.as_slice() else { panic!("{after:?}") };
        assert!(one.contains("203.0.113.1") && two.contains("203.0.113.2"), "as it came to pass: {after:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_answers_while_the_rest_is_being_done_has_its_own_done_in_the_same_round() {
    let sim = Sim::new();
    let mut desired = Sim::desired(Mode::Cname);
    let setup = sim.setup(desired.clone());
    setup.reconciler.run(&desired, None, &()).await.unwrap();
    let wanted = desired.records.values().next().unwrap().clone();
    for account in ["azure", "cf"] {
        desired.records.insert(key("new.example.com", account), wanted.clone());
    }
    let mut setup = sim.setup(desired.clone());
    setup.reconciler.verification.agreement = SECOND;
    sim.weather("azure", Weather::SlowWrites(SECOND * 5));
    sim.weather("cf", Weather::Slow(SECOND * 2));
    let round = setup.reconciler.run(&desired, None, &()).await.unwrap();
    assert!(sim.data("cf", "new.example.com").is_some());
    assert!(round.unknown.is_empty() && round.blocked.is_empty(), "{round:#?}");
}
