//! Names are mended beside a round that is busy with something else.
//!
//! A round that waits for an operation of Azure's, or for a provider that is silent, goes on with it. Whatever calls for
//! another meanwhile has the names looked at and mended at once, and nothing else: the round that follows does the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::time::Instant;

use super::watcher::{Done, Watcher};
use super::{CLOSE, Calm, Service, Source};
use crate::model::state::RecordKey;
use crate::reconcile::Mended;
use crate::reconcile::round::ChangeReport;
use crate::telemetry::snapshot::Trigger;

/// What goes on beside a round, and what came of what did.
#[derive(Default)]
pub(super) struct Beside {
    /// The last one reads; all others have something written that nobody has answered for yet.
    under_way: Vec<UnderWay>,
    /// What calls for one more, and when it may begin.
    due: Option<(Trigger, Instant)>,
    last: Option<Instant>,
    /// The names that were written since the round began that runs, and when that was over.
    written: BTreeMap<RecordKey, Instant>,
}

struct UnderWay {
    future: LocalBoxFuture<'static, Mended>,
    watched: Watched,
}

/// Who watches something that goes on, what called for it, and since when it goes on.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) watcher: Arc<Watcher>,
    pub(super) trigger: Trigger,
    pub(super) began: Instant,
}

impl Beside {
    /// Calls for it: as soon as whatever else calls for it at the same time has done so, and a while after the last.
    pub(super) fn call(&mut self, trigger: Trigger) {
        let soon = Instant::now() + TOGETHER;
        let due = self.last.map_or(soon, |last| soon.max(last + CLOSE));
        self.due.get_or_insert((trigger, due));
    }

    /// When it is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.map(|(_, due)| due)
    }

    /// What was mended, at the end of one; never, where none goes on.
    pub(super) async fn ended(&mut self) -> (Watched, Mended) {
        poll_fn(|context| {
            for at in 0..self.under_way.len() {
                if let Poll::Ready(mended) = self.under_way[at].future.poll_unpin(context) {
                    return Poll::Ready((self.under_way.remove(at).watched, mended));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Everything that goes on.
    pub(super) fn watched(&self) -> Vec<Watched> {
        self.under_way.iter().map(|under_way| under_way.watched.clone()).collect()
    }

    /// Whether something is being written.
    pub(super) fn writes(&self) -> bool {
        self.under_way.iter().any(|under_way| !under_way.watched.watcher.is_idle())
    }

    /// A round begins, which does what was called for and sees what was written before.
    pub(super) fn forget(&mut self) {
        self.due = None;
        self.written.clear();
    }

    /// The names of which whoever `looked` then knows nothing: they were written since, or still are.
    pub(super) fn written_since(&self, looked: Instant) -> BTreeSet<RecordKey> {
        let ended = self.written.iter().filter(|(_, ended)| **ended >= looked).map(|(key, _)| key.clone());
        let under_way = self.under_way.iter().flat_map(|under_way| under_way.watched.watcher.writing());
        ended.chain(under_way).collect()
    }
}

impl<S: Source> Service<S> {
    /// When names are to be looked at although nothing calls for it: where a round takes longer than the interval, or none
    /// may begin.
    pub(super) fn overdue(&self) -> Option<Instant> {
        let began = self.round.as_ref().map(|round| round.watched.began);
        let looked = self.beside.last.max(began).filter(|_| began.is_some() || self.is_held())?;
        let reads = self.beside.under_way.iter().any(|under_way| under_way.watched.watcher.is_idle());
        (self.beside.due.is_none() && !reads).then(|| looked + self.active.pace.interval)
    }

    /// Looks at the names and mends them, beside the round that runs.
    pub(super) fn mend(&mut self) {
        let Some((trigger, _)) = self.beside.due.take() else { return };
        self.take_all_in();
        // One that only reads has read too early. A write that nobody answers for holds no other.
        self.beside.under_way.retain(|under_way| !under_way.watched.watcher.is_idle());
        let watched = Watched { watcher: self.watcher(), trigger, began: Instant::now() };
        let (active, watch) = (Arc::clone(&self.active), Arc::clone(&watched.watcher));
        let future = async move { active.reconciler.mend(&active.desired, watch.as_ref()).await };
        self.beside.last = Some(watched.began);
        self.beside.under_way.push(UnderWay { future: future.boxed_local(), watched });
    }

    /// Takes in what was written beside a round so far, whether or not the rest of it was read: that round knows nothing
    /// of it, so another is to follow. Gives whether anything was.
    fn take_in(&mut self, watched: &Watched) -> bool {
        let done = self.changed(&watched.watcher, watched.began);
        if done.is_empty() {
            return false;
        }
        if self.round.is_some() {
            self.again.get_or_insert(watched.trigger);
        }
        // In the order in which it came to pass.
        self.tell_so_far();
        let reports: Vec<ChangeReport> = done.iter().map(|done| done.report.clone()).collect();
        self.tell_changes(&reports);
        let written = done.into_iter().filter(Done::may_stand);
        self.beside.written.extend(written.filter_map(|done| Some((done.key?.0, done.ended))));
        true
    }

    /// See [`Self::take_in`].
    pub(super) fn take_all_in(&mut self) {
        for watched in self.beside.watched() {
            self.take_in(&watched);
        }
    }

    /// Takes in what was found and mended beside a round, at the end of it.
    pub(super) fn mended(&mut self, (watched, mended): &(Watched, Mended)) {
        let written = self.take_in(watched);
        let Watched { watcher, trigger, began } = watched;
        if self.seen(&mended.observed.endpoints, *trigger, *began, watcher.looked()) {
            self.calm = Calm::NONE;
        }
        if self.round.is_none() {
            // Whoever waited for it, and whoever began before it ended, has something to look at.
            self.begin(self.again.unwrap_or(*trigger));
        } else if written && self.beside.last.is_some_and(|last| last > *began) {
            // Whoever looked while this was being written knew nothing of what stands there.
            self.beside.call(*trigger);
        }
    }

    /// Gives up what goes on beside the rounds; what it has written is told, and what was in flight given back.
    pub(super) fn mend_no_more(&mut self, why: &str) -> Vec<String> {
        self.beside.due = None;
        let under_way = std::mem::take(&mut self.beside.under_way);
        let watched: Vec<Watched> = under_way.into_iter().map(|under_way| under_way.watched).collect();
        watched.iter().flat_map(|watched| self.given_up(&watched.watcher, why)).collect()
    }
}

/// Labels that move together are seen to move within this.
const TOGETHER: Duration = Duration::from_millis(50);
