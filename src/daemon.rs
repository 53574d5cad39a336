//! The service: when to look, what happened in between, and whom to tell.
//!
//! One loop and one code path: a timer, a label that gives another answer, a signal and a new configuration all end in
//! the same round that `sync` runs, and none of them says what changed. Between the rounds the labels are asked for at
//! their own name servers, which costs no call of an API. A provider that is down is left alone for a while, and no
//! other's names wait for it, nor for an operation that takes minutes: they are mended beside the round. That can be given
//! up at any moment, since every prefix of a plan is safe.

mod agreement;
mod beside;
mod label;
mod orders;
mod pace;
mod patience;
mod patient;
mod rounds;
mod setup;
mod standing;
mod watcher;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::journal::{Entry, Journal};
use crate::model::endpoint::Handle;
use crate::model::sight::Sight;
use crate::notify::Topic;
use crate::notify::desk::Desk;
use crate::reconcile::round::{ChangeReport, Round};
use crate::reconcile::{Glance, Reconciler, until};
use crate::telemetry::beat::Beat;
use crate::telemetry::clock::Clock;
use crate::telemetry::snapshot::{Counts, Finished, Snapshot, Trigger};
use agreement::Agreement;
use beside::{Beside, Watched};
use label::{Outside, Picture};
pub use orders::{Order, Orders, Supervisor};
pub use pace::{Calm, Chance, Pace};
use patient::Patiences;
use setup::Active;
pub use setup::{Setup, Source};

/// Everything that outlives a configuration.
pub struct Service<S> {
    source: S,
    active: Arc<Active>,
    /// Read already, and taken once nothing is being written by the one before.
    coming: Option<Setup>,
    journal: Arc<Journal>,
    clock: Clock,
    supervisor: Supervisor,
    desk: Desk,
    beat: Beat,
    snapshots: watch::Sender<Arc<Snapshot>>,

    round: Option<Running>,
    beside: Beside,
    /// Rings when either has seen something.
    news: Arc<Notify>,
    /// Whose labels are being asked for, each for itself: one that nobody answers for holds no other.
    asked: BTreeSet<Handle>,
    labels: FuturesUnordered<LocalBoxFuture<'static, (Handle, Picture)>>,
    /// What name servers say of what the last round has left.
    names: Option<LocalBoxFuture<'static, Glance>>,
    next_round: Instant,
    next_look: Instant,
    next_names: Instant,
    /// Something called for a round while one ran.
    again: Option<Trigger>,
    /// How long a round has to run before it may be given up for another: longer with each that was given up since
    /// one came to its end, so that one always does.
    spared: Duration,
    calm: Calm,
    /// How often in a row secrets were read anew since somebody was denied or one could not be read, and when they are
    /// next.
    denied: u32,
    renewal: Option<Instant>,

    sights: BTreeMap<Handle, Sight>,
    /// When that began to be looked at which is known of an endpoint.
    known: BTreeMap<Handle, Instant>,
    outside: BTreeMap<Handle, Outside>,
    agreement: Agreement,
    last: Option<Arc<Finished>>,
    /// The last round, while nothing has happened since that it could not know.
    fresh: bool,
    /// When that was noticed which happened last to an endpoint.
    happened_at: Option<Instant>,

    started: Moment,
    converged: Option<Moment>,
    since: Option<Moment>,
    counts: Counts,
    history: Vec<Entry>,
    troubles: Troubles,
    /// The accounts of which was said that they are left alone.
    left: BTreeSet<String>,
    announced: bool,
    /// Whether there is something to show that is not shown yet.
    unseen: bool,
}

/// A round under way.
struct Running {
    future: LocalBoxFuture<'static, Round>,
    watched: Watched,
    /// Whether something has happened to an endpoint, or was changed, that was taken in already.
    happened: bool,
    /// The changes that were told already.
    told: Vec<ChangeReport>,
}

/// A moment by both clocks: the time of day, which people read, may be set back or forth at any time.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: OffsetDateTime,
    instant: Instant,
}

/// What does not work about the service itself.
#[derive(Default)]
struct Troubles {
    journal: Option<String>,
    configuration: Option<String>,
    secrets: Option<String>,
}

impl<S: Source> Service<S> {
    /// Makes a service of what `source` gives.
    ///
    /// # Errors
    /// When the configuration cannot be used; nothing was begun.
    pub fn new(
        mut source: S,
        journal: Arc<Journal>,
        clock: Clock,
    ) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), String> {
        let mut setup = source.load()?;
        let (owner, told) = (setup.desired.owner.as_str(), std::mem::take(&mut setup.subscribers));
        let desk = Desk::at_speed(clock.speed(), owner, told);
        let beat = Beat::default();
        let now = Instant::now();
        let started = Moment { at: clock.now(), instant: now };
        let (snapshots, receiver) = watch::channel(Arc::new(standing::nothing(started.at, beat.clone())));
        let mut service = Self {
            source,
            active: Arc::new(Active::of(setup, Patiences::default())),
            coming: None,
            journal,
            clock,
            supervisor: Supervisor,
            desk,
            beat,
            snapshots,
            round: None,
            beside: Beside::default(),
            news: Arc::default(),
            asked: BTreeSet::new(),
            labels: FuturesUnordered::new(),
            names: None,
            next_round: now,
            next_look: now,
            next_names: now,
            again: None,
            spared: Duration::ZERO,
            calm: Calm::FULL,
            denied: 0,
            renewal: None,
            sights: BTreeMap::new(),
            known: BTreeMap::new(),
            outside: BTreeMap::new(),
            agreement: Agreement::default(),
            last: None,
            fresh: false,
            happened_at: None,
            started,
            converged: None,
            since: None,
            counts: Counts::default(),
            history: Vec::new(),
            troubles: Troubles::default(),
            left: BTreeSet::new(),
            announced: false,
            unseen: true,
        };
        service.recall();
        Ok((service, receiver))
    }

    /// Works until it is told to stop, or nobody is left to tell it. The last snapshot closes their channel; after that
    /// notices are delivered for a while.
    ///
    /// Returns what was in flight then, in words.
    pub async fn run(mut self, orders: &mut mpsc::Receiver<Order>) -> Vec<String> {
        let announce_by = Instant::now() + ANNOUNCE_BY;
        let every = pace::beat(self.supervisor.watchdog());
        let mut next_beat = Instant::now();
        self.begin(Trigger::Start);
        loop {
            self.make_way();
            if std::mem::take(&mut self.unseen) {
                self.publish();
            }
            let (due, overdue) = (self.beside.due(), self.overdue());
            let (away, news) = (Arc::clone(&self.active.patiences.away), Arc::clone(&self.news));
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    None | Some(Order::Stop) => break,
                    Some(Order::Reload) => self.reload(),
                    Some(Order::Round) => self.want(Trigger::Signal),
                },
                () = sleep_until(next_beat) => {
                    self.beat.beat();
                    self.supervisor.alive();
                    next_beat = Instant::now() + every;
                    continue;
                }
                () = news.notified() => {
                    if !self.hear_news() {
                        continue;
                    }
                }
                round = ended(&mut self.round) => self.finish(round),
                mended = self.beside.ended() => self.mended(&mended),
                () = until(due) => self.mend(),
                () = until(overdue) => {
                    self.beside.call(Trigger::Timer);
                    continue;
                }
                Some((endpoint, picture)) = self.labels.next() => self.looked(&endpoint, picture),
                names = found(&mut self.names) => self.heard(&names),
                () = away.back() => self.want(Trigger::Back),
                () = sleep_until(self.next_round), if self.may_begin() => self.begin(Trigger::Timer),
                () = until(self.renewal), if self.may_begin() => {
                    if self.renew() {
                        self.begin(Trigger::Timer);
                    }
                }
                () = sleep_until(self.next_look) => self.look(),
                () = sleep_until(self.next_names), if self.is_asking() => self.glance(),
                () = sleep_until(announce_by), if !self.announced => self.announce(),
            }
            self.unseen = true;
        }
        self.close().await
    }

    /// Calls for a round: now, or as soon as the one that runs has ended. Names are mended beside that.
    fn want(&mut self, trigger: Trigger) {
        if !self.begin_instead(trigger) {
            self.call_again(trigger);
            self.beside.call(trigger);
        }
    }

    /// Begins a round, if none runs or the one that does can be given up for it: it only waits, or its writes are
    /// answered by nobody. Not so if that has taken the place of another just now.
    fn begin_instead(&mut self, trigger: Trigger) -> bool {
        match &self.round {
            None => {}
            Some(_) if self.is_held() => return false,
            // Whoever comes back can wait: a wait that is given up begins anew.
            Some(round) if trigger != Trigger::Back && round.may_end(trigger, self.spared) => {
                tracing::info!("the round under way is given up for another");
                self.abandon("no answer yet when the service began another round, which looks first");
                self.spared = (self.spared * 2).max(SPARED);
            }
            Some(_) => return false,
        }
        self.begin(trigger);
        self.round.is_some()
    }

    fn may_begin(&self) -> bool {
        self.round.is_none() && !self.is_held()
    }

    /// Whether no other round may begin: another configuration comes, and what is written by the old one beside the rounds
    /// is seen to its end.
    fn is_held(&self) -> bool {
        self.coming.is_some() && self.beside.writes()
    }

    /// Reads the configuration anew; what is wrong with it leaves the old one at work.
    fn reload(&mut self) {
        self.supervisor.reloading();
        match self.source.load() {
            Ok(setup) => {
                tracing::info!("the configuration was read anew");
                self.supervisor.ready(&self.status_line());
                if self.troubles.configuration.take().is_some() {
                    self.desk.over(self.clock.now(), Topic::Service, "", NOT_TAKEN);
                }
                self.active.leave_to(&setup);
                self.coming = Some(setup);
                self.call_again(Trigger::Reload);
            }
            Err(mistakes) => {
                tracing::error!(%mistakes, "the configuration was not taken; the old one stays at work");
                self.desk.trouble(&self.notice(NOT_TAKEN, vec![mistakes.clone()]));
                self.troubles.configuration =
                    Some(format!("the new configuration was not taken: {mistakes}"));
                self.supervisor.ready(&self.status_line());
            }
        }
    }

    /// Begins with a configuration that comes as soon as nothing is being written by the one before.
    fn make_way(&mut self) {
        if self.coming.is_none() || self.is_held() {
            return;
        }
        if let Some(Running { watched: Watched { watcher, began, .. }, .. }) = &self.round {
            // None is given up again and again: one that comes to its end tells how things are.
            if !watcher.is_idle() || began.elapsed() < self.spared {
                return;
            }
            self.spared = (self.spared * 2).max(SPARED);
            self.abandon("the configuration was read anew");
        }
        self.begin(Trigger::Reload);
    }

    /// Reads the secrets anew, since a credential was not accepted; gives whether they were read.
    fn renew(&mut self) -> bool {
        self.renewal = None;
        match self.source.renew() {
            // All else about it is as it was, and so is what is known and who was told of it.
            Ok(mut setup) => {
                self.unread(std::mem::take(&mut setup.unread));
                self.active = Arc::new(Active::of(setup, self.active.patiences.renewed()));
                true
            }
            // What was denied is told as such already.
            Err(error) => {
                tracing::debug!(error, "the secrets were not read anew");
                false
            }
        }
    }

    /// Puts a configuration that was read to work.
    fn take_over(&mut self, mut setup: Setup) {
        // It was done by the one before, and those are told who listened then.
        self.mend_no_more("the configuration was read anew");
        self.desk.replace(setup.desired.owner.as_str(), std::mem::take(&mut setup.subscribers));
        self.unread(std::mem::take(&mut setup.unread));
        self.active = Arc::new(Active::of(setup, Patiences::default()));
        let known = &self.active.desired.endpoints;
        self.sights.retain(|endpoint, _| known.contains_key(endpoint));
        self.outside.retain(|endpoint, _| known.contains_key(endpoint));
        self.known.retain(|endpoint, _| known.contains_key(endpoint));
        self.look_no_more();
        self.left.clear();
        self.last = None;
        self.next_look = Instant::now();
    }

    /// Tells the service manager that the service works, once.
    fn announce(&mut self) {
        self.announced = true;
        self.supervisor.ready(&self.status_line());
    }

    /// Looks at the labels, without a provider's API. What is still being asked for is not asked for again.
    fn look(&mut self) {
        self.counts.label_lookups += 1;
        // What only Azure can tell of a change is to be told as soon as what the label tells by itself.
        let interval = self.active.pace.label_interval;
        self.next_look = Instant::now() + interval - self.active.patiences.network_takes().min(interval / 2);
        for (endpoint, sight) in &self.sights {
            let Some(question) = label::question(sight).filter(|_| !self.asked.contains(endpoint)) else {
                continue;
            };
            let (active, endpoint) = (Arc::clone(&self.active), endpoint.clone());
            self.asked.insert(endpoint.clone());
            let look = async move {
                let Reconciler { resolver, verification, .. } = &active.reconciler;
                (endpoint, label::look(resolver.as_ref(), &verification.label_servers, &question).await)
            };
            self.labels.push(look.boxed_local());
        }
    }

    /// Whether to ask, from time to time, who has come to agree.
    fn is_asking(&self) -> bool {
        self.fresh && self.names.is_none() && self.last.is_some() && self.agreement.is_awaited()
    }

    /// Looks at who has come to agree, without a provider's API.
    fn glance(&mut self) {
        let Some(last) = self.last.clone() else { return };
        let now = Instant::now();
        self.next_names = now + self.agreement.pause(now);
        let (active, leaving) = (Arc::clone(&self.active), self.agreement.leaving());
        let names = async move { active.reconciler.glance(&active.desired, &last.round, leaving).await };
        self.names = Some(names.boxed_local());
    }

    /// Gives up every look that is under way.
    fn look_no_more(&mut self) {
        self.asked.clear();
        self.labels.clear();
        self.names = None;
    }

    /// Ends: what is under way is given up where it is, and told.
    async fn close(mut self) -> Vec<String> {
        self.supervisor.stopping("stopping");
        let why = "the service ended while this was under way; the next round looks first";
        let mut in_flight = self.abandon(why);
        in_flight.extend(self.mend_no_more(why));
        self.look_no_more();
        self.publish();
        // Whoever shows it has seen the last of it, and takes leave beside those who are told.
        drop(self.snapshots);
        let undelivered = self.desk.shutdown(Instant::now() + FAREWELL).await;
        if undelivered > 0 {
            tracing::warn!(undelivered, "notices that nobody was told of");
        }
        tracing::info!(in_flight = in_flight.len(), "stopped");
        in_flight
    }
}

impl Running {
    /// Whether it may be given up for what `trigger` calls for, once it has had the time that it is `spared`.
    ///
    /// Where another configuration comes, what is written by the old one is seen to its end.
    fn may_end(&self, trigger: Trigger, spared: Duration) -> bool {
        let hangs = || matches!(trigger, Trigger::Label | Trigger::Signal) && self.watched.watcher.hangs();
        self.watched.began.elapsed() >= spared && (self.watched.watcher.only_waits() || hangs())
    }
}

/// The round that runs, at its end; never, where none runs.
async fn ended(round: &mut Option<Running>) -> Round {
    match round {
        Some(round) => (&mut round.future).await,
        None => std::future::pending().await,
    }
}

async fn found(names: &mut Option<LocalBoxFuture<'static, Glance>>) -> Glance {
    match names {
        Some(names) => names.await,
        None => std::future::pending().await,
    }
}

impl<S> fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("desired", &self.active.desired).finish_non_exhaustive()
    }
}

/// How often name servers are asked while something has just changed.
const CLOSE: Duration = Duration::from_secs(1);
/// What a round has that took another's place: more than name servers and ports that are silent cost it. One that waits
/// for caches may take longer, and nobody is to wait for it that long at once.
const SPARED: Duration = Duration::from_secs(60);
/// A service manager waits for 90 s (systemd-system.conf(5)), and is not to wait for a provider that hangs.
const ANNOUNCE_BY: Duration = Duration::from_secs(20);
/// The trouble with a configuration, as it is told and known again.
const NOT_TAKEN: &str = "the new configuration was not taken; the old one stays at work";
/// What notifiers get to be told of the end.
const FAREWELL: Duration = Duration::from_secs(1);
