//! Names are mended beside a round that is busy with something else.
//!
//! A round that waits for an operation of Azure's, or for a provider that is silent, goes on with it. Whatever calls for
//! another meanwhile has the names looked at and mended at once, and nothing else: the round that follows does the rest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::time::Instant;

use super::watcher::Watcher;
use super::{CLOSE, Calm, Running, Service, Source};
use crate::model::state::RecordKey;
use crate::notify::words::notices_of_changes;
use crate::reconcile::Mended;
use crate::telemetry::snapshot::Trigger;

/// What goes on beside a round, and what came of what did.
#[derive(Default)]
pub(super) struct Beside {
    under_way: Option<UnderWay>,
    /// What calls for it, and when it may begin.
    due: Option<(Trigger, Instant)>,
    last: Option<Instant>,
    /// The names that were written since the round began that runs.
    written: BTreeSet<RecordKey>,
}

struct UnderWay {
    future: LocalBoxFuture<'static, Mended>,
    watcher: Arc<Watcher>,
    trigger: Trigger,
    began: Instant,
}

impl Beside {
    /// Calls for it: as soon as whatever else calls for it at the same time has done so, and a while after the last.
    pub(super) fn call(&mut self, trigger: Trigger) {
        let soon = Instant::now() + TOGETHER;
        let due = self.last.map_or(soon, |last| soon.max(last + CLOSE));
        self.due.get_or_insert((trigger, due));
    }

    /// When it is due; not while it writes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.map(|(_, due)| due).filter(|_| !self.writes())
    }

    /// What was mended, at the end of it; never, where nothing is.
    pub(super) async fn ended(&mut self) -> Mended {
        match &mut self.under_way {
            Some(under_way) => (&mut under_way.future).await,
            None => std::future::pending().await,
        }
    }

    /// Who watches it, what called for it, and since when it goes on.
    pub(super) fn watched(&self) -> Option<(Arc<Watcher>, Trigger, Instant)> {
        let UnderWay { watcher, trigger, began, .. } = self.under_way.as_ref()?;
        Some((Arc::clone(watcher), *trigger, *began))
    }

    /// Whether something is being written.
    pub(super) fn writes(&self) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| !under_way.watcher.is_idle())
    }

    /// A round begins, which does what was called for and sees what was written before.
    pub(super) fn forget(&mut self) {
        self.due = None;
        self.written.clear();
    }

    /// The names that a round does not know of which ends now.
    pub(super) fn written(&self) -> &BTreeSet<RecordKey> {
        &self.written
    }
}

impl<S: Source> Service<S> {
    /// When names are to be looked at although nothing calls for it: where a round takes longer than the interval.
    pub(super) fn overdue(&self) -> Option<Instant> {
        let Running { began, .. } = self.round.as_ref()?;
        let looked = self.beside.last.map_or(*began, |last| last.max(*began));
        self.beside.due.is_none().then(|| looked + self.active.pace.interval)
    }

    /// Looks at the names and mends them, beside the round that runs.
    pub(super) fn mend(&mut self) {
        let Some((trigger, _)) = self.beside.due.take() else { return };
        let watcher = self.watcher();
        let (active, watch) = (Arc::clone(&self.active), Arc::clone(&watcher));
        let future = async move { active.reconciler.mend(&active.desired, watch.as_ref()).await };
        let (future, began) = (future.boxed_local(), Instant::now());
        self.beside.last = Some(began);
        // One that has only read so far has read too early.
        self.beside.under_way = Some(UnderWay { future, watcher, trigger, began });
    }

    /// Takes in what was found and mended beside a round.
    pub(super) fn mended(&mut self, mended: &Mended) {
        let Some(UnderWay { watcher, trigger, began, .. }) = self.beside.under_way.take() else { return };
        let done = self.changed(&watcher, began);
        let written = !done.is_empty();
        self.beside.written.extend(done.into_iter().filter_map(|done| Some(done.key?.0)));
        for notice in notices_of_changes(&mended.changes, &self.active.desired.owner, self.clock.now()) {
            self.desk.tell(&notice);
        }
        if self.seen(&mended.observed.endpoints, trigger, began, watcher.looked()) {
            self.calm = Calm::NONE;
        }
        if self.round.is_none() {
            // Whoever waited for it, and whoever began before it ended, has something to look at.
            self.begin(self.again.unwrap_or(trigger));
        } else if written {
            self.again.get_or_insert(trigger);
        }
    }

    /// Gives up what goes on beside the rounds; what it has written is told, and what was in flight given back.
    pub(super) fn mend_no_more(&mut self, why: &str) -> Vec<String> {
        self.beside.due = None;
        let Some(UnderWay { future, watcher, .. }) = self.beside.under_way.take() else { return Vec::new() };
        drop(future);
        self.given_up(&watcher, why)
    }
}

/// Labels that move together are seen to move within this.
const TOGETHER: Duration = Duration::from_millis(50);
