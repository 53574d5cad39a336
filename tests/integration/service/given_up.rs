//! A round that is given up has done what it has done, and that is told; which rounds are given up, and for what.

use std::collections::BTreeSet;
use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::{Journal, What};
use cnamed::model::endpoint::{Provisioning, PublicIp};
use cnamed::model::record::{Data, Mode};
use cnamed::notify::Topic;
use cnamed::provider::Kind;
use cnamed::reconcile::round::Outcome;
use cnamed::telemetry::snapshot::{Snapshot, Trigger};
use tokio::time::{Instant, sleep};

use super::heard::{Heard, Mood, only};
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Weather};
use super::told;
use crate::laws::world::handle;

/// Name servers that keep a round waiting.
const SLOW: Mood = Mood {
    delay: Duration::from_secs(20),
    slow: None,
    old_until: None,
    cached_until: None,
    labels_are_silent: false,
    resolvers_are_silent: false,
};
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_a_round_changed_before_it_was_given_up_is_told_once() {
    for order in [Order::Round, Order::Reload, Order::Stop] {
        told(async {
            let life = Heard::with(Mode::Cname, SLOW, Journal::in_memory().unwrap());
            // Everything is made, and the name servers are being asked.
            while life.entries().len() < 3 {
                sleep(SECOND / 10).await;
            }
            sleep(SECOND).await;
            assert_eq!(life.ear.of(Topic::Change), Vec::<String>::new(), "it is told at the end of a round");
            let ear = life.ear.clone();
            if order == Order::Stop {
                assert_eq!(life.end().await.0, Vec::<String>::new());
            } else {
                life.order(order).await;
                life.outcome(Outcome::InSync).await;
                sleep(INTERVAL * 10).await;
            }
            let heard = ear.of(Topic::Change);
            let made = ["public IP of jump", "jump.example.com in azure", "jump.example.com in cf"];
            let made: BTreeSet<String> = made.iter().map(|what| format!("created {what}")).collect();
            assert_eq!(heard.len(), 3, "{order:?}: {heard:?}");
            assert_eq!(heard.into_iter().collect::<BTreeSet<String>>(), made, "{order:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_at_the_end_is_written_down_as_something_that_may_have_happened() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let (journal, before) = (life.journal.clone(), life.entries().len());
        life.sim.network.remove("rg", "pip-0");
        life.sim.weather("network", Weather::Slow(SECOND * 3));
        life.order(Order::Round).await;
        sleep(SECOND * 5).await;
        let (in_flight, shown) = life.end().await;
        assert_eq!(in_flight, ["create public IP of jump"]);
        let entries = journal.entries(&cnamed::journal::Filter::default()).unwrap();
        let changes: Vec<_> = entries[before..]
            .iter()
            .filter_map(|entry| match &entry.what {
                What::Change(change) => Some(change),
                What::Happening { .. } => None,
            })
            .collect();
        let [change] = changes.as_slice() else { panic!("{changes:#?}") };
        assert_eq!((change.kind.as_str(), change.outcome.as_str()), ("public-ip", "unconfirmed"));
        assert!(change.error.as_ref().unwrap().contains("the next round looks first"), "{change:?}");
        assert!(!change.reason.is_empty(), "why it was begun is known: {change:?}");
        assert_eq!(shown.history.first(), entries.last(), "and it is shown");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_round_that_waits_is_given_up_for_whoever_asks_and_not_for_a_provider_that_is_back() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.servers.are(SLOW);
        life.sim.weather("cf", Weather::Refusing(Kind::Unreachable));
        let (calls, finished) = (life.sim.calls("cf"), life.finished());
        life.order(Order::Round).await;
        while life.sim.calls("cf") == calls {
            sleep(SECOND / 10).await;
        }
        // It is asked again in the background, while the round waits for name servers.
        life.sim.weather("cf", Weather::Fine);
        life.until("a round for who is back", |shown| {
            shown.last.as_ref().is_some_and(|last| last.trigger == Trigger::Back)
        })
        .await;
        assert_eq!(life.finished(), finished + 2, "the one that waited has ended before");

        life.order(Order::Round).await;
        sleep(SECOND * 2).await;
        life.servers.are(Mood::default());
        life.order(Order::Round).await;
        sleep(SECOND).await;
        assert_eq!(life.finished(), finished + 3, "the one that waited was given up");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_asked_for_while_another_works_follows_it_at_once_and_alone() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.weather("network", Weather::Slow(SECOND * 3));
        let (finished, asked) = (life.finished(), Instant::now());
        for _ in 0..3 {
            life.order(Order::Round).await;
            sleep(SECOND / 2).await;
        }
        life.until("a second one", |shown| shown.counts.rounds.values().sum::<u64>() == finished + 2).await;
        assert_eq!(asked.elapsed(), SECOND * 6, "one after the other");
        assert_eq!(life.shown().last.as_ref().unwrap().trigger, Trigger::Signal);
        sleep(SECOND * 10).await;
        assert_eq!(life.finished(), finished + 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_asked_for_before_is_made_up_for_by_the_one_that_takes_its_place() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.weather("network", Weather::Slow(SECOND * 3));
        life.servers.are(SLOW);
        let finished = life.finished();
        life.order(Order::Round).await;
        sleep(SECOND).await;
        // While it reads, and again while it waits for name servers.
        life.order(Order::Round).await;
        sleep(SECOND * 4).await;
        life.servers.are(Mood::default());
        life.order(Order::Round).await;
        sleep(SECOND * 15).await;
        assert_eq!(life.finished(), finished + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_label_that_gives_another_address_at_every_look_lets_rounds_come_to_their_end() {
    // Name servers that keep a round for longer than it is to the next look, and for longer than one is spared at once.
    for (delay, ends) in [(20, 10), (100, 1)] {
        told(async {
            let life = Heard::begin(Mode::Cname);
            life.calm().await;
            life.servers.are(Mood { delay: SECOND * delay, ..SLOW });
            let finished = life.finished();
            for turn in 0..360 {
                life.sim.address(Some(&format!("203.0.113.{}", 100 + turn % 100)));
                sleep(LABEL_INTERVAL / 2).await;
            }
            let ended = life.finished() - finished;
            assert!(ended >= ends, "{ended} rounds in half an hour, with answers after {delay} s");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_in_one_account_holds_no_round_of_the_other_for_long() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let before = life.entries().len();
        life.sim.weather("cf", Weather::SlowWrites(INTERVAL * 600));
        // The third meets a round that has taken the place of another, and is to have its time.
        for last in 1..=3 {
            let (changed, address) = (Instant::now(), format!("203.0.113.{last}"));
            life.sim.address(Some(&address));
            let expected = Some(Data::A([address.parse().unwrap()].into()));
            while life.sim.data("azure", NAME) != expected {
                assert!(changed.elapsed() <= LABEL_INTERVAL, "{address}: the other account waits");
                sleep(SECOND / 10).await;
            }
            sleep(SECOND).await;
        }
        let unsure = life.entries().into_iter().skip(before).filter_map(|entry| match entry.what {
            What::Change(change) if change.outcome == "unconfirmed" => change.account,
            What::Change(_) | What::Happening { .. } => None,
        });
        assert_eq!(unsure.collect::<Vec<_>>(), [handle("cf")], "the one that was given up is written down");
        life.sim.weather("cf", Weather::Fine);
        life.order(Order::Round).await;
        sleep(SECOND * 240).await;
        assert_eq!(life.sim.data("cf", NAME), life.sim.data("azure", NAME));
        life.outcome(Outcome::InSync).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_takes_long_on_a_network_is_seen_to_its_end() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.network.remove("rg", "pip-0");
        life.sim.weather("network", Weather::SlowWrites(SECOND * 90));
        let finished = life.finished();
        for _ in 0..9 {
            life.order(Order::Round).await;
            assert_eq!(life.finished(), finished);
            sleep(SECOND * 10).await;
        }
        sleep(INTERVAL).await;
        assert!(life.finished() > finished);
        assert!(life.sim.public_ip().is_some());
        assert!(life.entries().iter().all(|entry| match &entry.what {
            What::Change(change) => change.outcome == "applied",
            What::Happening { .. } => true,
        }));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_is_taken_once_the_round_that_works_has_ended() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.weather("network", Weather::SlowWrites(SECOND * 3));
        life.sim.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
        let finished = life.finished();
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.configuration.exchange(Ok(only("azure", Mode::Cname)));
        life.sim.weather("azure", Weather::Slow(SECOND));
        life.order(Order::Reload).await;
        sleep(SECOND).await;
        assert!(life.sim.data("cf", NAME).is_some() && life.finished() == finished, "it is being repaired");
        life.until("that nothing found before is of the new one", |shown| shown.last.is_none()).await;
        let is_new =
            |shown: &Snapshot| shown.last.as_ref().is_some_and(|last| last.trigger == Trigger::Reload);
        life.until("a round of the new one", is_new).await;
        assert_eq!(life.sim.public_ip().unwrap().provisioning, Provisioning::Succeeded);
        assert_eq!(life.sim.data("cf", NAME), None);
    })
    .await;
}
