//! Nobody's names wait for anybody else: not for a provider that is silent, nor for an operation of Azure's.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::What;
use cnamed::model::endpoint::{Provisioning, PublicIp};
use cnamed::model::record::{Data, Mode, RecordType};
use cnamed::reconcile::round::Outcome;
use tokio::time::{Instant, sleep};

use super::heard::Heard;
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Weather};
use super::told;
use super::witness::zone;
use crate::laws::world::fqdn;

const SECOND: Duration = Duration::from_secs(1);
/// What a look and what follows it take in a world where nothing takes time.
const AT_ONCE: Duration = Duration::from_millis(200);

fn address(text: &str) -> Option<Data> {
    Some(Data::A([text.parse().unwrap()].into()))
}

/// Waits until the record in `account` is that address; gives how long it took.
async fn follows(life: &Heard, account: &str, text: &str) -> Duration {
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
async fn an_operation_of_azure_that_takes_minutes_delays_no_name() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let before = life.entries().len();
        life.sim.weather("network", Weather::SlowWrites(SECOND * 600));
        life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
        life.order(Order::Round).await;
        sleep(SECOND * 5).await;
        assert!(life.shown().busy, "it is being repaired");
        for last in 1..=5 {
            let text = format!("203.0.113.{last}");
            life.sim.address(Some(&text));
            assert!(follows(&life, "azure", &text).await <= LABEL_INTERVAL + AT_ONCE, "{text}");
            assert!(follows(&life, "cf", &text).await <= AT_ONCE, "{text}");
            sleep(SECOND).await;
        }
        assert!(life.shown().busy, "all of that beside one round");
        life.outcome(Outcome::InSync).await;
        sleep(INTERVAL * 10).await;
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

#[tokio::test(start_paused = true)]
async fn a_record_that_somebody_edits_during_an_operation_of_minutes_is_mended_within_an_interval() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let right = life.sim.data("cf", NAME).unwrap();
        life.sim.weather("network", Weather::SlowWrites(SECOND * 600));
        life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
        life.order(Order::Round).await;
        sleep(SECOND * 5).await;
        for _ in 0..3 {
            let (cf, at) = (&life.sim.cf, zone("cf"));
            let mut held = cf.held(&at, &fqdn(NAME), &RecordType::A).unwrap();
            held.content.data = address("203.0.113.66").unwrap();
            cf.put(&at, &fqdn(NAME), held);
            let edited = Instant::now();
            while life.sim.data("cf", NAME).as_ref() != Some(&right) {
                assert!(edited.elapsed() <= INTERVAL + AT_ONCE, "{:?}", life.sim.data("cf", NAME));
                sleep(SECOND / 20).await;
            }
            sleep(SECOND * 7).await;
        }
        assert!(life.shown().busy, "all of that beside one round");
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
        for moment in 0..12 {
            sleep(SECOND * 20 + Duration::from_millis(700) * moment).await;
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
