//! A configuration that is read while others are at work: what it says otherwise holds from then on.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::model::endpoint::{Provisioning, PublicIp};
use cnamed::model::record::{Content, Mode, RecordType};
use cnamed::model::state::Desired;
use cnamed::notify::Topic;
use cnamed::provider::Kind;
use cnamed::provider::memory::Held;
use cnamed::reconcile::round::Outcome;
use tokio::time::{Instant, sleep};

use super::beside::{AT_ONCE, SECOND, follows};
use super::heard::{Heard, Mood};
use super::sim::{INTERVAL, NAME, Sim, Weather};
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

/// The other name is left alone for as long as the round goes on.
async fn stays(life: &Heard) {
    for _ in 0..200 {
        sleep(SECOND).await;
        assert!(life.shown().busy);
        assert_eq!(life.sim.data("azure", OTHER), life.sim.data("azure", NAME));
    }
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
            stays(&life).await;
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

/// Somebody has cleared the old one of the names by hand.
#[tokio::test(start_paused = true)]
async fn in_an_account_that_it_has_elsewhere_nothing_is_made_any_more() {
    told(async {
        for moves in [false, true] {
            let life = repairing(SECOND * 600).await;
            if moves {
                life.sim.relocate("azure");
            }
            life.order(Order::Reload).await;
            sleep(SECOND).await;
            life.sim.azure.remove(&zone("azure"), &fqdn(NAME), &RecordType::Cname);
            life.order(Order::Round).await;
            sleep(SECOND * 200).await;
            assert_eq!(life.sim.data("azure", NAME).is_none(), moves);
            assert!(life.shown().busy);
        }
    })
    .await;
}

/// Somebody answers late, while the public IP is repaired.
#[tokio::test(start_paused = true)]
async fn a_round_that_is_busy_leaves_to_it_what_it_wants_otherwise() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.weather("azure", Weather::Slow(SECOND * 8));
        life.sim.weather("network", Weather::SlowWrites(SECOND * 600));
        life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
        life.order(Order::Round).await;
        sleep(SECOND * 3).await;
        life.configuration.exchange(Ok(with_other()));
        life.order(Order::Reload).await;
        make_other(&life);
        stays(&life).await;
    })
    .await;
}

/// It has taken another's place, and comes to its end.
#[tokio::test(start_paused = true)]
async fn a_round_that_is_spared_leaves_to_it_what_it_wants_otherwise_and_tells_no_failure() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.servers.are(Mood { delay: SECOND * 5, ..Mood::default() });
        life.order(Order::Round).await;
        sleep(SECOND * 2).await;
        life.sim.weather("azure", Weather::Slow(SECOND * 3));
        let finished = life.finished();
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.configuration.exchange(Ok(with_other()));
        life.order(Order::Reload).await;
        make_other(&life);
        while life.finished() == finished {
            sleep(SECOND / 2).await;
            assert_eq!(life.sim.data("azure", OTHER), life.sim.data("azure", NAME));
        }
        let rounds = life.shown().counts.rounds.clone();
        assert_eq!(rounds.get(&Outcome::Pending), Some(&1), "it ended, and left something to do: {rounds:?}");
        life.servers.are(Mood::default());
        life.outcome(Outcome::InSync).await;
        assert_eq!(life.sim.data("azure", OTHER), life.sim.data("azure", NAME));
        assert!(life.ear.of(Topic::Failure).is_empty(), "{:?}", life.ear.of(Topic::Failure));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_look_that_was_called_for_before_is_not_lost() {
    told(async {
        let life = repairing(SECOND * 600).await;
        life.sim.weather("azure", Weather::Slow(SECOND * 3));
        let (azure, at, name) = (&life.sim.azure, zone("azure"), fqdn(NAME));
        let right = azure.held(&at, &name, &RecordType::Cname).unwrap();
        let edited = Content { ttl: ttl(3600), ..right.content.clone() };
        azure.put(&at, &name, Held { content: edited, ..right.clone() });
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.order(Order::Reload).await;
        sleep(SECOND * 12).await;
        assert_eq!(azure.held(&at, &name, &RecordType::Cname).unwrap().content, right.content);
        assert!(life.shown().busy, "it is still being repaired");
    })
    .await;
}

/// Whoever reads, and whoever waits for name servers.
#[tokio::test(start_paused = true)]
async fn however_often_it_is_read_rounds_come_to_their_end_and_troubles_are_told() {
    for waits in [false, true] {
        told(async {
            let life = Heard::begin(Mode::Cname);
            life.calm().await;
            let weather = if waits { Weather::Refusing(Kind::Denied) } else { Weather::Hanging };
            life.sim.weather("cf", weather);
            life.servers.are(Mood { delay: SECOND * if waits { 12 } else { 0 }, ..Mood::default() });
            let finished = life.finished();
            for _ in 0..60 {
                life.order(Order::Reload).await;
                sleep(SECOND * 5).await;
            }
            assert!(life.finished() > finished + 3, "{waits}: {}", life.finished() - finished);
            assert_eq!(life.ear.of(Topic::Failure).len(), 1, "{waits}: {:?}", life.ear.of(Topic::Failure));
        })
        .await;
    }
}

/// Gives a life in which a write beside the rounds hangs, which keeps a configuration from being taken.
async fn held(mood: Mood) -> (Heard, u64) {
    let life = Heard::begin(Mode::Address);
    life.calm().await;
    life.sim.weather("cf", Weather::Slow(SECOND * 3));
    life.order(Order::Round).await;
    sleep(SECOND / 2).await;
    life.sim.weather("azure", Weather::SlowWrites(SECOND * 250));
    life.sim.address(Some("203.0.113.1"));
    life.order(Order::Round).await;
    sleep(SECOND * 2).await;
    life.servers.are(mood);
    let finished = life.finished();
    life.order(Order::Reload).await;
    life.sim.weather("cf", Weather::Fine);
    (life, finished)
}

#[tokio::test(start_paused = true)]
async fn while_no_round_may_begin_names_are_looked_at_all_the_same() {
    told(async {
        let (life, finished) = held(Mood::default()).await;
        while life.finished() == finished {
            sleep(SECOND / 2).await;
        }
        let (cf, at, name) = (&life.sim.cf, zone("cf"), fqdn(NAME));
        follows(&life, "cf", "203.0.113.1").await;
        sleep(SECOND * 20).await;
        let mut edited = cf.held(&at, &name, &RecordType::A).unwrap();
        edited.content.ttl = ttl(3600);
        cf.put(&at, &name, edited);
        sleep(INTERVAL + SECOND * 2).await;
        assert_eq!(cf.held(&at, &name, &RecordType::A).unwrap().content.ttl, ttl(60));
        assert_eq!(life.finished(), finished + 1, "no round could begin");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_round_is_not_given_up_for_one_that_may_not_begin() {
    told(async {
        let (life, finished) = held(Mood { delay: SECOND * 20, slow: Some(NAME), ..Mood::default() }).await;
        sleep(SECOND * 200).await;
        assert!(life.finished() > finished);
        assert_ne!(life.sim.data("azure", NAME), life.sim.data("cf", NAME), "the write still hangs");
    })
    .await;
}

/// The look beside the round has written, and reads the other account still, when it is taken.
#[tokio::test(start_paused = true)]
async fn what_was_done_before_is_told_in_the_name_of_the_one_before() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let told_before = life.sim.heard(Topic::Change).len();
        life.sim.weather("cf", Weather::Slow(SECOND * 10));
        life.order(Order::Round).await;
        sleep(SECOND / 2).await;
        life.sim.weather("azure", Weather::SlowWrites(SECOND * 2));
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.configuration.exchange(Ok(Desired { owner: owner("others"), ..Sim::desired(Mode::Address) }));
        life.order(Order::Reload).await;
        follows(&life, "azure", "203.0.113.1").await;
        sleep(SECOND).await;
        let told = life.sim.heard(Topic::Change).split_off(told_before);
        let owners: Vec<&str> = told.iter().map(|notice| notice.owner.as_str()).collect();
        assert_eq!(owners, ["ops"], "{told:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_a_write_hangs_that_keeps_it_from_being_taken_names_are_followed() {
    told(async {
        let (life, finished) = held(Mood::default()).await;
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
