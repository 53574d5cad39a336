//! The service's loop, over providers in memory and on a clock that runs as fast as it is asked.

mod agreement;
mod bad_days;
mod beside;
mod deaths;
mod decisions;
mod ear;
mod given_up;
mod heard;
mod looks;
mod races;
mod reloads;
pub(crate) mod sim;
mod transit;
mod twofold;
mod unsure;
mod unwritten;
mod weathered;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use cnamed::daemon::{Order, Service};
use cnamed::journal::{Entry, Filter, Journal, Noticed, What};
use cnamed::model::record::{Data, Mode};
use cnamed::model::sight::HappeningKind;
use cnamed::model::state::Desired;
use cnamed::provider::Kind;
use cnamed::reconcile::round::Outcome;
use cnamed::telemetry::clock::Clock;
use cnamed::telemetry::snapshot::{Snapshot, Trigger};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use sim::{Configuration, INTERVAL, LABEL_INTERVAL, NAME, Sim, Weather};

/// A service at work.
struct Life {
    sim: Sim,
    configuration: Configuration,
    journal: Arc<Journal>,
    orders: mpsc::Sender<Order>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    task: JoinHandle<Vec<String>>,
}

impl Life {
    fn begin(sim: &Sim, desired: Desired) -> Self {
        Self::with(sim, desired, Arc::new(Journal::in_memory().unwrap()))
    }

    fn with(sim: &Sim, desired: Desired, journal: Arc<Journal>) -> Self {
        let configuration = Configuration::new(sim, desired);
        let world = sim.clone();
        let clock = Clock::new(move || world.now());
        let (service, snapshots) = Service::new(configuration.clone(), Arc::clone(&journal), clock).unwrap();
        let (orders, mut receiver) = mpsc::channel(8);
        let task = spawn_local(async move { service.run(&mut receiver).await });
        Self { sim: sim.clone(), configuration, journal, orders, snapshots, task }
    }

    /// Waits until the service shows what `holds` asks for.
    async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots.clone();
        let waited = timeout(Duration::from_secs(3600), snapshots.wait_for(|shown| holds(shown))).await;
        match waited {
            Ok(Ok(shown)) => Arc::clone(&shown),
            _ => panic!("never {what}: {:#?}", self.shown().last),
        }
    }

    async fn outcome(&self, outcome: Outcome) -> Arc<Snapshot> {
        self.until(&format!("{outcome:?}"), |shown| {
            shown.last.as_ref().is_some_and(|last| last.round.outcome == outcome)
        })
        .await
    }

    /// Waits until a round ends: from then on none comes by itself for most of the interval.
    async fn round(&self) {
        let rounds = |shown: &Snapshot| shown.counts.rounds.values().sum::<u64>();
        let before = rounds(&self.shown());
        self.until("another round", |shown| rounds(shown) > before).await;
    }

    async fn in_sync(&self) {
        self.outcome(Outcome::InSync).await;
    }

    fn shown(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    fn entries(&self) -> Vec<Entry> {
        self.journal.entries(&Filter::default()).unwrap()
    }

    fn happenings(&self) -> Vec<(HappeningKind, Noticed)> {
        let kind = |entry: Entry| match entry.what {
            What::Happening { happening, noticed, .. } => Some((happening.kind, noticed)),
            What::Change(_) => None,
        };
        self.entries().into_iter().filter_map(kind).collect()
    }

    async fn end(self) -> Vec<String> {
        self.orders.send(Order::Stop).await.unwrap();
        self.task.await.unwrap()
    }
}

/// Runs a story on the thread of the loop.
async fn told<F: Future<Output = ()>>(story: F) {
    LocalSet::new().run_until(story).await;
}

#[tokio::test(start_paused = true)]
async fn it_provisions_settles_and_writes_no_more() {
    told(async {
        let sim = Sim::new();
        let life = Life::begin(&sim, Sim::desired(Mode::Cname));
        life.outcome(Outcome::Changed).await;
        life.in_sync().await;
        let writes = (sim.azure.writes(), sim.cf.writes(), sim.network.writes());
        assert!(matches!(sim.data("cf", NAME), Some(Data::Cname(_))));
        sleep(INTERVAL * 20).await;
        assert_eq!((sim.azure.writes(), sim.cf.writes(), sim.network.writes()), writes);
        let shown = life.shown();
        assert!(shown.readiness(sim.now()).is_ok());
        assert_eq!(shown.counts.rounds[&Outcome::Changed], 1);
        assert!(life.end().await.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rounds_come_fast_after_a_change_and_then_at_the_interval() {
    told(async {
        let sim = Sim::new();
        let life = Life::begin(&sim, Sim::desired(Mode::Cname));
        life.outcome(Outcome::Changed).await;
        sleep(INTERVAL / 3).await;
        let rounds = |life: &Life| life.shown().counts.rounds.values().sum::<u64>();
        assert!(rounds(&life) >= 3, "{:?}", life.shown().counts.rounds);
        sleep(INTERVAL * 10).await;
        let before = rounds(&life);
        sleep(INTERVAL * 10).await;
        let calm = rounds(&life) - before;
        assert!((9..=12).contains(&calm), "{calm} rounds in ten intervals");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_changes_is_an_event_within_one_look_and_the_records_follow() {
    told(async {
        let sim = Sim::new();
        let life = Life::begin(&sim, Sim::desired(Mode::Address));
        life.outcome(Outcome::Changed).await;
        life.in_sync().await;
        sleep(INTERVAL * 5).await;
        life.round().await;
        sim.address(Some("203.0.113.99"));
        let changed = Instant::now();
        life.until("an event", |shown| shown.counts.happenings.contains_key("changed")).await;
        assert!(changed.elapsed() <= LABEL_INTERVAL, "{:?}", changed.elapsed());
        life.outcome(Outcome::Changed).await;
        assert!(changed.elapsed() <= LABEL_INTERVAL * 2, "{:?}", changed.elapsed());
        for account in ["azure", "cf"] {
            let expected = Data::A(["203.0.113.99".parse().unwrap()].into());
            assert_eq!(sim.data(account, NAME), Some(expected));
        }
        assert_eq!(life.happenings(), [(HappeningKind::Changed, Noticed::Label)]);
        life.until("agreement", |shown| {
            shown
                .history
                .iter()
                .any(|entry| matches!(entry.what, What::Happening { .. }) && entry.agreed.len() == 3)
        })
        .await;
        assert!(changed.elapsed() <= INTERVAL, "{:?}", changed.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn in_cname_mode_an_address_that_changes_is_told_and_nothing_is_written() {
    told(async {
        let sim = Sim::new();
        let life = Life::begin(&sim, Sim::desired(Mode::Cname));
        life.outcome(Outcome::Changed).await;
        life.in_sync().await;
        sleep(INTERVAL * 5).await;
        let writes = (sim.azure.writes(), sim.cf.writes());
        for address in [None, Some("203.0.113.5"), Some("203.0.113.6")] {
            sim.address(address);
            sleep(INTERVAL * 2).await;
        }
        assert_eq!((sim.azure.writes(), sim.cf.writes()), writes);
        let kinds: Vec<HappeningKind> = life.happenings().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [HappeningKind::Released, HappeningKind::Assigned, HappeningKind::Changed]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_nobody_watched_is_told_at_the_start() {
    told(async {
        let sim = Sim::new();
        let journal = Arc::new(Journal::in_memory().unwrap());
        let life = Life::with(&sim, Sim::desired(Mode::Cname), Arc::clone(&journal));
        life.outcome(Outcome::Changed).await;
        life.end().await;
        sim.address(Some("203.0.113.50"));
        let life = Life::with(&sim, Sim::desired(Mode::Cname), journal);
        life.in_sync().await;
        assert_eq!(life.happenings(), [(HappeningKind::Changed, Noticed::Start)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_holds_no_other_and_is_asked_less_and_less() {
    for weather in [Weather::Refusing(Kind::Unreachable), Weather::Hanging] {
        told(async {
            let sim = Sim::new();
            let life = Life::begin(&sim, Sim::desired(Mode::Address));
            life.outcome(Outcome::Changed).await;
            life.in_sync().await;
            sim.weather("cf", weather);
            life.outcome(Outcome::Partial).await;
            let calls = sim.calls("cf");
            sleep(Duration::from_secs(3600)).await;
            let asked = sim.calls("cf") - calls;
            assert!((10..=40).contains(&asked), "{weather:?}: asked {asked} times in an hour");
            assert!(life.shown().resting.iter().any(|resting| resting.account == "cf"));

            sim.address(Some("203.0.113.77"));
            let changed = Instant::now();
            let expected = Some(Data::A(["203.0.113.77".parse().unwrap()].into()));
            while sim.data("azure", NAME) != expected {
                assert!(changed.elapsed() < LABEL_INTERVAL * 2, "{weather:?}: the other account waits");
                sleep(Duration::from_millis(100)).await;
            }
            sim.weather("cf", Weather::Fine);
            let fine = Instant::now();
            life.in_sync().await;
            assert_eq!(sim.data("cf", NAME), expected);
            assert!(fine.elapsed() <= Duration::from_secs(400), "{:?}", fine.elapsed());
            // The list of its zones is tried again by itself.
            life.until("that nothing rests", |shown| shown.resting.is_empty()).await;
            assert!(fine.elapsed() <= Duration::from_secs(400), "{:?}", fine.elapsed());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_service_asks_to_wait_is_waited() {
    told(async {
        let sim = Sim::new();
        let life = Life::begin(&sim, Sim::desired(Mode::Cname));
        life.outcome(Outcome::Changed).await;
        life.in_sync().await;
        sim.weather("cf", Weather::Refusing(Kind::Throttled(Duration::from_secs(1000))));
        life.outcome(Outcome::Partial).await;
        let calls = sim.calls("cf");
        sim.weather("cf", Weather::Fine);
        sleep(Duration::from_secs(990)).await;
        assert_eq!(sim.calls("cf"), calls, "asked before its time");
        sleep(Duration::from_secs(30)).await;
        assert!(sim.calls("cf") > calls);
        assert_eq!(life.shown().last.as_ref().unwrap().round.outcome, Outcome::InSync);
        assert_eq!(life.shown().last.as_ref().unwrap().trigger, Trigger::Back);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_everything_down_it_begins_is_not_ready_and_says_why() {
    told(async {
        let sim = Sim::new();
        for account in ["azure", "cf", "network"] {
            sim.weather(account, Weather::Refusing(Kind::Denied));
        }
        let life = Life::begin(&sim, Sim::desired(Mode::Cname));
        let shown = life.outcome(Outcome::Failed).await;
        let why = shown.readiness(sim.now()).unwrap_err();
        assert!(why.starts_with("not in sync since the service began: could not read"), "{why}");
        assert_eq!(shown.resting.len(), 3, "{:?}", shown.resting);
        for account in ["azure", "cf", "network"] {
            sim.weather(account, Weather::Fine);
        }
        life.in_sync().await;
        assert!(life.shown().readiness(sim.now()).is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_configuration_is_not_taken_and_a_good_one_is() {
    told(async {
        let sim = Sim::new();
        let life = Life::begin(&sim, Sim::desired(Mode::Cname));
        life.outcome(Outcome::Changed).await;
        life.in_sync().await;
        life.configuration.exchange(Err("3 mistakes".to_owned()));
        life.orders.send(Order::Reload).await.unwrap();
        life.until("a trouble", |shown| shown.troubles.iter().any(|line| line.contains("3 mistakes"))).await;
        sleep(INTERVAL * 2).await;
        assert_eq!(life.shown().last.as_ref().unwrap().round.outcome, Outcome::InSync);

        let mut desired = Sim::desired(Mode::Cname);
        desired.records.retain(|key, _| key.account.as_str() == "azure");
        life.configuration.exchange(Ok(desired));
        life.orders.send(Order::Reload).await.unwrap();
        life.until("a round of the new one", |shown| {
            shown.last.as_ref().is_some_and(|last| last.trigger == Trigger::Reload)
        })
        .await;
        assert_eq!(life.sim.data("cf", NAME), None, "withdrawn, since the file no longer names it");
        assert!(life.sim.data("azure", NAME).is_some());
        assert!(life.shown().troubles.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_stops_at_once_in_the_middle_of_a_write_and_says_what_was_in_flight() {
    told(async {
        let sim = Sim::new();
        let life = Life::begin(&sim, Sim::desired(Mode::Cname));
        life.outcome(Outcome::Changed).await;
        life.in_sync().await;
        sim.network.remove("rg", "pip-0");
        // Its answer takes three seconds, and so does what is made then.
        sim.weather("network", Weather::Slow(Duration::from_secs(3)));
        life.orders.send(Order::Round).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        let asked = Instant::now();
        let in_flight = life.end().await;
        assert!(asked.elapsed() < Duration::from_secs(2));
        assert_eq!(in_flight, ["create public IP of jump"]);
    })
    .await;
}
