//! The way between the service and its world: how long requests and answers take, and what becomes of a request whose
//! sender dies.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// Takes no time, until it is told to.
#[derive(Debug, Default)]
pub(crate) struct Transit {
    chance: Mutex<Option<SmallRng>>,
    under_way: Mutex<BTreeMap<u64, Asker>>,
    /// The write that began last: its number, and how long it is under way if nothing holds it up.
    begun: watch::Sender<(u64, Duration)>,
}

/// Whoever waits for the answer to a write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker(Arc<[AtomicBool; 2]>);

impl Asker {
    /// Whether nobody waits any more.
    pub(super) fn is_gone(&self) -> bool {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Whether what it asked for has been done, or refused.
    fn is_done(&self) -> bool {
        self.0[1].load(Ordering::Relaxed)
    }

    fn leaves(&self) {
        self.0[0].store(true, Ordering::Relaxed);
    }

    fn done(&self) {
        self.0[1].store(true, Ordering::Relaxed);
    }
}

/// The writes that have begun and were not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnderWay {
    /// The request is on its way.
    pub(super) asked: usize,
    /// It is done or refused, and the answer is on its way.
    pub(super) done: usize,
}

impl Transit {
    /// From here on everything takes its time, as `seed` has it.
    pub(super) fn takes_time(&self, seed: u64) {
        *self.chance.lock().unwrap() = Some(SmallRng::seed_from_u64(seed));
    }

    /// A request that writes nothing, or its answer.
    pub(super) async fn leg(&self) {
        let leg = self.chance.lock().unwrap().as_mut().map(|chance| drawn(chance, READ));
        if let Some(leg) = leg {
            sleep(leg).await;
        }
    }

    /// Takes a write there and its answer back. Where nobody waits any more, the request either arrives all the same or
    /// is lost, unless it had arrived already.
    pub(super) async fn carry<T, F>(&self, write: impl FnOnce(Asker) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let asker = Asker::default();
        let drawn = self
            .chance
            .lock()
            .unwrap()
            .as_mut()
            .map(|chance| (drawn(chance, WRITE), drawn(chance, WRITE), chance.random_bool(0.5)));
        let write = write(asker.clone());
        let Some((there, back, dies_with_it)) = drawn else { return write.await };
        let (tell, told) = oneshot::channel();
        let at = asker.clone();
        let task = tokio::spawn(async move {
            sleep(there).await;
            let answer = write.await;
            at.done();
            sleep(back).await;
            let _ = tell.send(answer);
        });
        let mut number = 0;
        self.begun.send_modify(|begun| {
            *begun = (begun.0 + 1, there + back);
            number = begun.0;
        });
        self.under_way.lock().unwrap().insert(number, asker.clone());
        let request = dies_with_it.then(|| task.abort_handle());
        let _waits = Waits { transit: self, number, asker, request };
        told.await.expect("every write is answered")
    }

    /// Waits until a write begins; gives how long it is under way if nothing holds it up.
    pub(super) async fn write(&self) -> Duration {
        let mut begun = self.begun.subscribe();
        begun.changed().await.expect("the way is there");
        begun.borrow().1
    }

    /// How many writes are under way.
    pub(super) fn under_way(&self) -> UnderWay {
        let under_way = self.under_way.lock().unwrap();
        let done = under_way.values().filter(|asker| asker.is_done()).count();
        UnderWay { asked: under_way.len() - done, done }
    }
}

/// Somebody who waits for the answer to a write.
struct Waits<'t> {
    transit: &'t Transit,
    number: u64,
    asker: Asker,
    /// Where the request is lost with its sender.
    request: Option<AbortHandle>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.transit.under_way.lock().unwrap().remove(&self.number);
        self.asker.leaves();
        if let Some(request) = self.request.take() {
            request.abort();
        }
    }
}

fn drawn(chance: &mut SmallRng, range: RangeInclusive<u64>) -> Duration {
    Duration::from_millis(chance.random_range(range))
}

/// How long a request or an answer takes, in milliseconds.
const READ: RangeInclusive<u64> = 1..=300;
const WRITE: RangeInclusive<u64> = 1..=2000;
