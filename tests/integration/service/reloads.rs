//! A configuration that is read while others are at work: what it says otherwise holds from then on.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::model::endpoint::{Provisioning, PublicIp};
use cnamed::model::record::{Content, Mode};
use cnamed::model::state::Desired;
use cnamed::notify::Topic;
use cnamed::provider::memory::Held;
use tokio::time::{Instant, sleep};

use super::beside::{AT_ONCE, SECOND, follows};
use super::heard::{Heard, Mood};
use super::sim::{NAME, Sim, Weather};
use super::told;
use super::witness::zone;
use crate::laws::world::{fqdn, key, owner, ttl};

const OTHER: &str = "other.example.com";

/// A round repairs the public IP for as long.
async fn repairing(takes: Duration) -> Heard {
    let life = Heard::begin(Mode::Cname);
    life.calm().await;
    life.sim.weather("network", Weather::SlowWrites(takes));
    life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
    life.order(Order::Round).await;
    sleep(SECOND).await;
    assert!(life.shown().busy, "it is being repaired");
    life
}

/// What is wanted, and one name more.
fn with_other() -> Desired {
    let mut desired = Sim::desired(Mode::Cname);
    let wanted = desired.records[&key(NAME, "azure")].clone();
    desired.records.insert(key(OTHER, "azure"), wanted);
    desired
}

/// Has `cnamed sync` make the other name, by the same file.
fn make_other(life: &Heard) {
    let content = Content { data: life.sim.data("azure", NAME).unwrap(), ttl: ttl(60), proxied: false };
    let held = Held { content, mark: Some(owner("ops")), note: String::new() };
    life.sim.azure.put(&zone("azure"), &fqdn(OTHER), held);
}

/// Whoever has no other wish than the one before would withdraw the other name, beside the round that runs.
#[tokio::test(start_paused = true)]
async fn what_it_names_or_shall_not_prune_is_not_withdrawn_by_the_one_before() {
    let keeping = Desired { prune: false, ..Sim::desired(Mode::Cname) };
    for desired in [with_other(), keeping] {
        told(async {
            let life = repairing(SECOND * 600).await;
            life.configuration.exchange(Ok(desired));
            life.order(Order::Reload).await;
            sleep(SECOND).await;
            make_other(&life);
            for _ in 0..200 {
                sleep(SECOND).await;
                assert!(life.shown().busy);
                assert_eq!(life.sim.data("azure", OTHER), life.sim.data("azure", NAME));
            }
        })
        .await;
    }
}

/// The look has begun before, and reads what was made since.
#[tokio::test(start_paused = true)]
async fn whoever_looks_for_the_one_before_writes_nothing_for_it_any_more() {
    told(async {
        let life = repairing(SECOND * 600).await;
        life.sim.weather("azure", Weather::Slow(SECOND * 3));
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.configuration.exchange(Ok(with_other()));
        life.order(Order::Reload).await;
        sleep(SECOND).await;
        make_other(&life);
        sleep(SECOND * 20).await;
        assert_eq!(life.sim.data("azure", OTHER), life.sim.data("azure", NAME));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn however_often_it_is_read_rounds_come_to_their_end_and_troubles_are_told() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.weather("cf", Weather::Hanging);
        let finished = life.finished();
        for _ in 0..30 {
            life.order(Order::Reload).await;
            sleep(SECOND * 10).await;
        }
        assert!(life.finished() > finished + 5, "{}", life.finished() - finished);
        assert_eq!(life.ear.of(Topic::Failure).len(), 1, "{:?}", life.ear.of(Topic::Failure));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_a_write_hangs_that_keeps_it_from_being_taken_names_are_followed() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        life.sim.weather("cf", Weather::Slow(SECOND * 3));
        life.order(Order::Round).await;
        sleep(SECOND / 2).await;
        life.sim.weather("azure", Weather::SlowWrites(SECOND * 250));
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        sleep(SECOND * 2).await;
        let finished = life.finished();
        life.order(Order::Reload).await;
        life.sim.weather("cf", Weather::Fine);
        sleep(SECOND).await;
        life.sim.address(Some("203.0.113.2"));
        assert!(follows(&life, "cf", "203.0.113.2").await < SECOND * 60);
        assert!(life.finished() > finished, "the round that ran is of use as long as no other can begin");
    })
    .await;
}

/// The round has come to asking name servers by then, which are slow.
#[tokio::test(start_paused = true)]
async fn it_is_taken_as_soon_as_nothing_is_being_written() {
    told(async {
        let life = repairing(SECOND * 5).await;
        life.servers.are(Mood { delay: SECOND * 60, ..Mood::default() });
        life.configuration.exchange(Ok(with_other()));
        let began = Instant::now();
        life.order(Order::Reload).await;
        while life.sim.data("azure", OTHER).is_none() {
            assert!(began.elapsed() <= SECOND * 4 + AT_ONCE);
            sleep(SECOND / 20).await;
        }
        assert_eq!(life.sim.public_ip().unwrap().provisioning, Provisioning::Succeeded);
    })
    .await;
}
