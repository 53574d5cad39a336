//! A service whose every word is heard, in a world whose name servers do as they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cnamed::daemon::{Order, Service, Setup, Source};
use cnamed::journal::{Entry, Filter, Journal, What};
use cnamed::model::record::Mode;
use cnamed::model::state::Desired;
use cnamed::model::verify::{Answer, Said};
use cnamed::reconcile::round::Outcome;
use cnamed::resolver::{Question, Resolver, Via};
use cnamed::telemetry::clock::Clock;
use cnamed::telemetry::snapshot::{Counts, Snapshot};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::ear::Ear;
use super::sim::{Configuration, Sim};

/// A service at work, and whoever listens to it.
pub(super) struct Heard {
    pub(super) sim: Sim,
    pub(super) servers: Arc<Servers>,
    pub(super) ear: Arc<Ear>,
    pub(super) configuration: Configuration,
    pub(super) journal: Arc<Journal>,
    renewals: Arc<AtomicU32>,
    orders: mpsc::Sender<Order>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    task: JoinHandle<Vec<String>>,
}

impl Heard {
    pub(super) fn begin(mode: Mode) -> Self {
        Self::with(mode, Mood::default(), Journal::in_memory().unwrap())
    }

    pub(super) fn with(mode: Mode, mood: Mood, journal: Journal) -> Self {
        let (sim, journal) = (Sim::new(), Arc::new(journal));
        let configuration = Configuration::new(&sim, Sim::desired(mode));
        let ear = Arc::clone(&sim.ear);
        let servers = Arc::new(Servers {
            sim: sim.clone(),
            mood: Mutex::new(mood),
            said: Mutex::default(),
            asked: AtomicU32::new(0),
            resolvers_asked: AtomicU32::new(0),
        });
        let renewals = Arc::default();
        let source = Told {
            configuration: configuration.clone(),
            servers: Arc::clone(&servers),
            renewals: Arc::clone(&renewals),
        };
        // The time of day passes as the paused time does.
        let (began, instant) = (OffsetDateTime::now_utc(), Instant::now());
        let clock = Clock::new(move || began + instant.elapsed());
        let (service, snapshots) = Service::new(source, Arc::clone(&journal), clock).unwrap();
        let (orders, mut receiver) = mpsc::channel(8);
        let task = spawn_local(async move { service.run(&mut receiver).await });
        Self { sim, servers, ear, configuration, journal, renewals, orders, snapshots, task }
    }

    /// Waits until the service shows what `holds` asks for.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots.clone();
        let waited = timeout(Duration::from_secs(3600), snapshots.wait_for(|shown| holds(shown))).await;
        match waited {
            Ok(Ok(shown)) => Arc::clone(&shown),
            _ => panic!("never {what}: {:#?}", self.shown().last),
        }
    }

    pub(super) async fn outcome(&self, outcome: Outcome) -> Arc<Snapshot> {
        self.until(&format!("{outcome:?}"), |shown| {
            shown.last.as_ref().is_some_and(|last| last.round.outcome == outcome)
        })
        .await
    }

    /// Waits until everything is made, nothing has happened for long, and a round has just ended: none comes by itself
    /// for most of the interval.
    pub(super) async fn calm(&self) {
        self.outcome(Outcome::InSync).await;
        sleep(CALM).await;
        let before = self.finished();
        self.until("another round", |shown| shown.counts.rounds.values().sum::<u64>() > before).await;
        self.outcome(Outcome::InSync).await;
    }

    pub(super) fn shown(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    pub(super) async fn order(&self, order: Order) {
        self.orders.send(order).await.unwrap();
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.journal.entries(&Filter::default()).unwrap()
    }

    /// Who agreed to each change of that name.
    pub(super) fn agreed(&self, of: impl Fn(&What) -> bool) -> Vec<Vec<String>> {
        let who = |entry: Entry| entry.agreed.into_iter().map(|agreed| agreed.who).collect();
        self.entries().into_iter().filter(|entry| of(&entry.what)).map(who).collect()
    }

    /// How many rounds have come to their end.
    pub(super) fn finished(&self) -> u64 {
        self.shown().counts.rounds.values().sum()
    }

    /// How often the secrets were read anew.
    pub(super) fn renewals(&self) -> u32 {
        self.renewals.load(Ordering::Relaxed)
    }

    /// Ends it; gives what was in flight, and what it showed last.
    pub(super) async fn end(self) -> (Vec<String>, Arc<Snapshot>) {
        self.order(Order::Stop).await;
        let in_flight = self.task.await.unwrap();
        (in_flight, Arc::clone(&self.snapshots.borrow()))
    }
}

/// What name servers do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mood {
    /// How long each answer takes,
    pub(super) delay: Duration,
    /// where it is about such a name; about any, where none is given.
    pub(super) slow: Option<&'static str>,
    /// Until when the accounts' own servers say what they said before.
    pub(super) old_until: Option<Instant>,
    /// Until when the resolvers do.
    pub(super) cached_until: Option<Instant>,
    /// Whether the labels' servers say nothing.
    pub(super) labels_are_silent: bool,
    /// Whether the resolvers do.
    pub(super) resolvers_are_silent: bool,
}

/// The name servers of a [`Sim`], in a mood.
#[derive(Debug)]
pub(super) struct Servers {
    sim: Sim,
    mood: Mutex<Mood>,
    said: Mutex<BTreeMap<String, Vec<Answer>>>,
    asked: AtomicU32,
    resolvers_asked: AtomicU32,
}

impl Servers {
    pub(super) fn are(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often accounts' own servers were asked anything.
    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// How often resolvers were.
    pub(super) fn resolvers_asked(&self) -> u32 {
        self.resolvers_asked.load(Ordering::Relaxed)
    }

    /// Whether anybody was ever asked for `name`.
    pub(super) fn were_asked_for(&self, name: &str) -> bool {
        self.said.lock().unwrap().keys().any(|asked| asked.contains(name))
    }

    fn say(&self, asked: String, until: Option<Instant>, said: Vec<Answer>) -> Vec<Answer> {
        let old = until.is_some_and(|until| Instant::now() < until);
        let mut all = self.said.lock().unwrap();
        match all.get(&asked) {
            Some(said) if old => said.clone(),
            _ => {
                all.insert(asked, said.clone());
                said
            }
        }
    }
}

#[async_trait]
impl Resolver for Servers {
    async fn lookup(&self, question: &Question, via: &Via) -> Vec<Answer> {
        let mood = *self.mood.lock().unwrap();
        let silent = match via {
            Via::Authority => mood.labels_are_silent,
            Via::Recursive => mood.resolvers_are_silent,
            Via::Servers(_) => false,
        };
        if silent {
            return vec![Answer { server: "ns.silent.test".into(), said: Said::Failed("no answer".into()) }];
        }
        let of_account = matches!(via, Via::Servers(_));
        self.asked.fetch_add(of_account.into(), Ordering::Relaxed);
        self.resolvers_asked.fetch_add((*via == Via::Recursive).into(), Ordering::Relaxed);
        let said = self.sim.lookup(question, via).await;
        let until = match via {
            Via::Servers(_) => mood.old_until,
            Via::Recursive => mood.cached_until,
            Via::Authority => None,
        };
        let said = self.say(format!("{question:?} {via:?}"), until, said);
        // What is slow to arrive was true when it was said.
        if !mood.delay.is_zero() && mood.slow.is_none_or(|slow| question.name.as_str().contains(slow)) {
            sleep(mood.delay).await;
        }
        said
    }
}

/// A configuration whose name servers are in a mood.
struct Told {
    configuration: Configuration,
    servers: Arc<Servers>,
    renewals: Arc<AtomicU32>,
}

impl Source for Told {
    fn load(&mut self) -> Result<Setup, String> {
        let mut setup = self.configuration.load()?;
        setup.reconciler.resolver = Arc::clone(&self.servers) as Arc<dyn Resolver>;
        Ok(setup)
    }

    fn renew(&mut self) -> Result<Setup, String> {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        self.load()
    }

    fn count(&self, counts: &mut Counts) {
        counts.quota.insert("ear".to_owned(), 1);
    }
}

/// The desired state with the record in one account alone.
pub(super) fn only(account: &str, mode: Mode) -> Desired {
    let mut desired = Sim::desired(mode);
    desired.records.retain(|key, _| key.account.as_str() == account);
    desired
}

const CALM: Duration = Duration::from_secs(600);
