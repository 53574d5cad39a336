//! Mend names while the rest is still being read.
//!
//! A name of ours that leads where it should not is corrected as soon as its endpoint's public IP, its zone and what
//! stands there are known. Whoever is slow, or silent, holds nobody's names but its own. What is done with less
//! knowledge is a part of what would be done with more: see [`Cleared::mending`](crate::model::guard::Cleared::mending).

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::apply::Applied;
use super::observe::{Reading, may_release};
use super::round::ChangeReport;
use super::{Event, Reconciler, Watch, decide};
use crate::model::guard::Cleared;
use crate::model::plan::{Action, Plan, Step, Subject};
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
}

impl Reconciler {
    /// Looks, and mends every name of ours that leads elsewhere than its endpoint is now. Nothing else is done, and
    /// nothing is waited for: this may run beside a round that is busy with something else.
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
        }
    }
}

impl Mending<'_> {
    /// Until everybody has answered, or there is something to do while whoever has not was silent for so long. Gives what
    /// is known then, and what is to be done about it.
    ///
    /// What is under way on our endpoints is waited for before, as long as there is patience.
    pub(super) async fn until_decided(&mut self, silence: Duration) -> (Observed, Cleared) {
        self.until_silent(silence).await;
        let busy = Reconciler::busy(self.desired, self.reading.so_far());
        if !busy.is_empty() {
            let reconciler = self.reconciler;
            self.beside(reconciler.at_rest(busy)).await;
            self.reading = reconciler.reading(self.desired);
            self.until_silent(silence).await;
        }
        loop {
            let observed = self.reading.look();
            let cleared = decide(self.desired, &observed);
            let left = self.not_now(cleared.plan());
            let open = |step: &Step| name(step).is_none_or(|key| !left.contains(key));
            if self.is_over() || cleared.plan().steps.iter().any(open) {
                return (observed, cleared);
            }
            self.until_heard(None).await;
            self.until_silent(silence).await;
        }
    }

    /// Until everybody has answered, or whoever has not was silent for so long while others were not.
    async fn until_silent(&mut self, silence: Duration) {
        while !self.is_over() {
            let patience = Instant::now().checked_add(silence).filter(|_| !self.reading.is_silent());
            if !self.until_heard(patience).await {
                break;
            }
        }
    }

    /// Until somebody answers; gives whether anybody did by that moment.
    async fn until_heard(&mut self, by: Option<Instant>) -> bool {
        loop {
            tokio::select! {
                biased;
                heard = self.reading.next() => {
                    if heard {
                        self.mend();
                    }
                    return heard;
                }
                Some(done) = self.under_way.next() => self.done.take(done),
                () = until(by) => return false,
            }
        }
    }

    /// Goes on with it beside `work`, until that is done.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                true = self.reading.next() => self.mend(),
                Some(done) = self.under_way.next() => self.done.take(done),
            }
        }
    }

    /// Goes on with it until all is read and done. Gives what was read, as it stood before, and what was done.
    pub(super) async fn finish(mut self) -> (Observed, Applied) {
        while self.until_heard(None).await {}
        while let Some(done) = self.under_way.next().await {
            self.done.take(done);
        }
        (self.reading.look(), self.done)
    }

    /// Whether everybody has answered.
    pub(super) fn is_over(&self) -> bool {
        self.reading.is_over()
    }

    /// Whether nothing had to be mended so far.
    pub(super) fn is_idle(&self) -> bool {
        self.begun.is_empty()
    }

    /// The names that `whole` shall leave alone: they are being mended, or it is not known yet how many would be
    /// withdrawn with them.
    pub(super) fn not_now(&self, whole: &Plan) -> BTreeSet<RecordKey> {
        let strays = whole.steps.iter().filter(|step| step.endpoint.is_none() && !self.is_over());
        strays.filter_map(name).chain(&self.begun).cloned().collect()
    }

    /// Tells what is known now, and begins whatever can be mended by it.
    fn mend(&mut self) {
        let news = self.reading.news();
        let observed = self.reading.so_far();
        for (endpoint, state) in observed.endpoints.iter().filter(|(endpoint, _)| news.contains(*endpoint)) {
            self.watch.event(Event::Seen(endpoint, state));
        }
        if !self.may {
            return;
        }
        let cleared = decide(self.desired, observed).mending(&self.begun);
        let steps = &cleared.plan().steps;
        if steps.is_empty() {
            return;
        }
        self.begun.extend(steps.iter().filter_map(name).cloned());
        let (zones, endpoints) = (observed.zones.clone(), observed.endpoints.clone());
        let known = Observed { zones, endpoints, ..Observed::default() };
        let (reconciler, watch) = (self.reconciler, self.watch);
        watch.event(Event::Planned(steps.len()));
        let work = async move { reconciler.apply(&known, &cleared, watch).await };
        self.under_way.push(work.boxed());
    }
}

impl Applied {
    /// This, and what was mended before, in the order of the `whole` plan of both.
    pub(super) fn after(mut self, mended: Self, whole: &Plan) -> Self {
        if mended.changes.is_empty() {
            return self;
        }
        self.take(mended);
        let places: HashMap<Subject, usize> =
            whole.steps.iter().enumerate().map(|(at, step)| (step.subject(), at)).collect();
        self.changes.sort_by_key(|(subject, _)| places.get(subject).copied().unwrap_or(usize::MAX));
        self
    }

    fn take(&mut self, other: Self) {
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
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
