//! The sign that the loop turns.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// When the loop last turned, shared by all that is cloned from one. Steady time: a clock that is set is no standstill.
#[derive(Clone)]
pub struct Beat {
    began: Instant,
    /// Milliseconds after `began`.
    last: Arc<AtomicU64>,
}

impl Beat {
    /// Tells that the loop turns. It shall do so at least every [`Beat::EVERY`], also while a round is under way.
    pub fn beat(&self) {
        let after = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(after, Ordering::Relaxed);
    }

    /// For how long it has not.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    /// For how long it has not, once that is too long to be called alive.
    #[must_use]
    pub fn stalled(&self) -> Option<Duration> {
        Some(self.age()).filter(|age| *age > Self::LIMIT)
    }

    /// How often the loop shall give a sign at least.
    pub const EVERY: Duration = Duration::from_secs(5);
    /// After how long without one the loop stands still: nothing that it does on its own thread takes longer.
    pub const LIMIT: Duration = Duration::from_secs(30);
}

/// Begins with a beat.
impl Default for Beat {
    fn default() -> Self {
        Self { began: Instant::now(), last: Arc::default() }
    }
}

impl fmt::Debug for Beat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beat({:?} ago)", self.age())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_turns_is_alive_and_one_that_stands_still_is_not() {
        let beat = Beat::default();
        let shared = beat.clone();
        tokio::time::advance(Beat::LIMIT).await;
        assert_eq!(shared.stalled(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(shared.stalled(), Some(Beat::LIMIT + Duration::from_secs(1)));
        beat.beat();
        assert_eq!((shared.stalled(), shared.age()), (None, Duration::ZERO));
    }
}
