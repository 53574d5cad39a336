//! Mend names while the rest is still being read.
//!
//! A name is put right as soon as its endpoint and its account were read, unless something has to be built or taken down
//! first; one of ours that leads elsewhere does not even wait for what stands behind the public IP. Whoever is slow, or
//! silent, holds nobody's names but its own. What is done with less knowledge is a part of what would be done with more:
//! see [`Cleared::at_once`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::apply::Applied;
use super::observe::{Reading, may_release};
use super::round::{ChangeOutcome, ChangeReport};
use super::{Event, Reconciler, Watch, decide};
use crate::model::endpoint::Endpoint;
use crate::model::guard::Cleared;
use crate::model::plan::{Action, Step, Subject};
use crate::model::state::{Desired, Observed, RecordKey};

/// What was read and mended beside a round: see [`Reconciler::mend`].
#[derive(Debug)]
pub struct Mended {
    /// What was seen.
    pub(crate) observed: Observed,
    /// What was changed.
    pub changes: Vec<ChangeReport>,
}

/// A look at everything, and the names that are mended meanwhile.
pub(super) struct Mending<'a> {
    reconciler: &'a Reconciler,
    desired: &'a Desired,
    watch: &'a dyn Watch,
    reading: Reading<'a>,
    /// Whether anything may be written before everything was read.
    may: bool,
    under_way: FuturesUnordered<BoxFuture<'a, Applied>>,
    begun: BTreeSet<RecordKey>,
    done: Applied,
    /// When to decide again at the earliest, and whether something was heard since.
    next: Option<Instant>,
    owed: bool,
}

impl Reconciler {
    /// Looks, and mends every name that waits for nobody. Nothing else is done, and nothing is waited for: this may run
    /// beside a round that is busy with something else.
    pub async fn mend(&self, desired: &Desired, watch: &dyn Watch) -> Mended {
        let mending = self.mending(desired, true, watch);
        let (observed, done) = mending.finish().await;
        Mended { observed, changes: done.changes.into_iter().map(|(_, report)| report).collect() }
    }

    /// Begins to look; names are mended meanwhile if they `may`.
    pub(super) fn mending<'a>(
        &'a self,
        desired: &'a Desired,
        may: bool,
        watch: &'a dyn Watch,
    ) -> Mending<'a> {
        watch.event(Event::Observing);
        Mending {
            reconciler: self,
            desired,
            watch,
            reading: self.reading(desired),
            // Where a label may be given up, which names lead to it has to be known first.
            may: may && !may_release(desired),
            under_way: FuturesUnordered::new(),
            begun: BTreeSet::new(),
            done: Applied::default(),
            next: None,
            owed: false,
        }
    }
}

impl<'a> Mending<'a> {
    /// Until everybody has answered, or there is something to do while whoever has not was silent for so long. Gives what
    /// is known then, and what is to be done about it.
    ///
    /// What is under way on our endpoints is waited for before, as long as there is patience.
    pub(super) async fn until_decided(&mut self, silence: Duration) -> (Observed, Cleared) {
        self.until_silent(silence).await;
        let busy = self.busy();
        let again = !busy.is_empty();
        if again {
            let reconciler = self.reconciler;
            self.beside(reconciler.at_rest(busy)).await;
            self.watch.event(Event::Observing);
            self.reading = reconciler.reading(self.desired);
            // Its end may have left an endpoint elsewhere than names were led meanwhile.
            let ended: HashSet<&Subject> = self.done.changes.iter().map(|(subject, _)| subject).collect();
            self.begun.retain(|key| !ended.contains(&Subject::Record(key.clone())));
            self.until_silent(silence).await;
        }
        loop {
            let observed = self.reading.look();
            let cleared = decide(self.desired, &observed);
            let begun = |step: &Step| name(step).is_some_and(|key| self.begun.contains(key));
            if self.is_over() || !cleared.plan().steps.iter().all(begun) {
                // What is still being written need not be what the second look asks for.
                self.done.stale |= again && cleared.plan().steps.iter().any(begun);
                self.owed &= !self.is_over();
                return (observed, cleared);
            }
            self.until_heard(None, true).await;
            self.until_silent(silence).await;
        }
    }

    /// Until everybody has answered, or whoever has not was silent for so long while others were not.
    async fn until_silent(&mut self, silence: Duration) {
        while !self.is_over() {
            let patience = Instant::now().checked_add(silence).filter(|_| !self.reading.is_silent());
            if !self.until_heard(patience, true).await {
                break;
            }
        }
    }

    /// Until somebody answers; gives whether anybody did by that moment. Whoever decides about the whole next has nothing
    /// mended for the last answer.
    async fn until_heard(&mut self, by: Option<Instant>, decides: bool) -> bool {
        loop {
            let owed = self.owed();
            tokio::select! {
                biased;
                heard = self.reading.next() => {
                    if heard {
                        self.tell();
                        if !(decides && self.is_over() && self.busy().is_empty()) {
                            self.mend();
                        }
                    }
                    return heard;
                }
                Some(done) = self.under_way.next() => self.done.take(done),
                () = until(owed) => self.mend(),
                () = until(by) => return false,
            }
        }
    }

    /// Goes on with it beside `work`, until that is done.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let owed = self.owed();
            tokio::select! {
                biased;
                done = &mut work => return done,
                true = self.reading.next() => {
                    self.tell();
                    self.mend();
                }
                Some(done) = self.under_way.next() => self.done.take(done),
                () = until(owed) => self.mend(),
            }
        }
    }

    /// Goes on with it until all is read and done. Gives what was read, as it stood before, and what was done.
    pub(super) async fn finish(mut self) -> (Observed, Applied) {
        while self.until_heard(None, false).await {}
        if std::mem::take(&mut self.owed) {
            self.next = None;
            self.mend();
        }
        while let Some(done) = self.under_way.next().await {
            self.done.take(done);
        }
        (self.reading.look(), self.done)
    }

    /// The endpoints on which something is under way, as far as that is known.
    fn busy(&self) -> Vec<&'a Endpoint> {
        Reconciler::busy(self.desired, self.reading.so_far())
    }

    /// When that began to be read which is known.
    pub(super) fn looked(&self) -> Instant {
        self.reading.began()
    }

    /// Whether everybody has answered.
    pub(super) fn is_over(&self) -> bool {
        self.reading.is_over()
    }

    /// Whether nothing had to be mended so far.
    pub(super) fn is_idle(&self) -> bool {
        self.begun.is_empty() && self.done.changes.is_empty()
    }

    /// The names that whoever decides about the whole shall leave alone: they are being mended.
    pub(super) fn begun(&self) -> &BTreeSet<RecordKey> {
        &self.begun
    }

    /// Tells what was heard of endpoints just now.
    fn tell(&mut self) {
        let news = self.reading.news();
        let endpoints = self.reading.so_far().endpoints.iter();
        for (endpoint, state) in endpoints.filter(|(endpoint, _)| news.contains(*endpoint)) {
            self.watch.event(Event::Seen(endpoint, state));
        }
    }

    /// When that is to be decided which could not be at once.
    fn owed(&self) -> Option<Instant> {
        self.next.filter(|_| self.owed)
    }

    /// Begins whatever can be mended by what is known now.
    fn mend(&mut self) {
        if !self.may || !self.reading.has_records() {
            return;
        }
        let began = Instant::now();
        self.owed = self.next.is_some_and(|next| began < next);
        if self.owed {
            return;
        }
        let observed = self.reading.so_far();
        let cleared = decide(self.desired, observed).at_once(self.desired, &self.begun);
        // Of many that answer one by one each would have everything decided anew.
        self.next = Some(began + began.elapsed() * SELDOM);
        let steps = &cleared.plan().steps;
        if steps.is_empty() {
            return;
        }
        self.begun.extend(steps.iter().filter_map(name).cloned());
        let (zones, endpoints) = (observed.zones.clone(), observed.endpoints.clone());
        let known = Observed { zones, endpoints, ..Observed::default() };
        let (reconciler, watch, looked) = (self.reconciler, self.watch, self.looked());
        watch.event(Event::Planned(steps.len()));
        let work = async move { reconciler.apply((&known, looked), &cleared, watch).await };
        self.under_way.push(work.boxed());
    }
}

impl Applied {
    /// This, and what was mended before, in the order of the `plans` of both.
    pub(super) fn after<'p>(mut self, mended: Self, plans: impl Iterator<Item = &'p Cleared>) -> Self {
        if mended.changes.is_empty() {
            return self;
        }
        let later = std::mem::replace(&mut self, mended);
        self.take(later);
        let mut places: HashMap<Subject, usize> = HashMap::new();
        for (at, step) in plans.flat_map(|cleared| &cleared.plan().steps).enumerate() {
            places.entry(step.subject()).or_insert(at);
        }
        self.changes.sort_by_key(|(subject, _)| places.get(subject).copied().unwrap_or(usize::MAX));
        self
    }

    fn take(&mut self, other: Self) {
        // What failed and was tried again is told as it ended.
        self.changes.retain(|(subject, report)| {
            let again = || other.changes.iter().any(|(later, _)| later == subject);
            report.outcome == ChangeOutcome::Applied || !again()
        });
        self.changes.extend(other.changes);
        self.lost.extend(other.lost);
        self.touched.extend(other.touched);
        self.public_ips.extend(other.public_ips);
        self.uncertain.extend(other.uncertain);
        self.stale |= other.stale;
    }
}

/// The name that `step` writes, if it writes one.
fn name(step: &Step) -> Option<&RecordKey> {
    match &step.action {
        Action::Record(change) => Some(&change.key),
        Action::Network(_) | Action::Gateway(_) | Action::Settle(_) => None,
    }
}

/// At that moment; never, where there is none.
pub(crate) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// How many times as long as a decision takes comes between two of them.
const SELDOM: u32 = 4;
