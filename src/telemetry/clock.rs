//! The time of day.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

/// The time of day, in UTC. It may jump, so that nothing is measured with it; whoever simulates gives another, which may
/// run faster than the steady time that things are measured in.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    speed: u32,
}

impl Clock {
    /// The host's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(OffsetDateTime::now_utc)
    }

    /// One that tells what `now` does.
    #[must_use]
    pub fn new(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), speed: 1 }
    }

    /// The same, where it is known to run `speed` times as fast as steady time.
    #[must_use]
    pub fn running(self, speed: u32) -> Self {
        Self { speed, ..self }
    }

    /// How many times as fast as steady time it is known to run.
    #[must_use]
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        (self.now)()
    }

    /// How far it goes in so much steady time.
    #[must_use]
    pub fn span(&self, steady: Duration) -> Duration {
        steady.saturating_mul(self.speed)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({}, {} times as fast)", self.now(), self.speed)
    }
}
