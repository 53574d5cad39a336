//! The world's own time, which may run faster than that of its clients.
//!
//! What is inside counts the world's seconds: quota periods, operations, reservations, what the recursive resolver
//! remembers, and every stamp. What a client is told to wait for is in the client's own seconds. Three things do not
//! follow the world, since a client holds them against what it has itself:
//!
//! - A token lives as long as it says by the client's clock, at any speed: clients renew one minutes before its end,
//!   and those minutes do not shrink. Its claims and the `Date` of every answer are of the client's calendar too.
//! - The TTL of a record is data. The APIs and the authoritative servers give it as it was written, and whoever
//!   verifies a record compares it. Only the recursive resolver, which tells how much of it is left, tells that in
//!   the client's seconds; rounded up, so that what it says to keep can be kept. Zero is what was written as zero.
//! - What a socket waits for, such as a peer that is silent, is the time of the network between the two.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

/// The world's time; every copy tells the same.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    dawn: OffsetDateTime,
    speed: u32,
}

impl Clock {
    /// A clock that shows `dawn` now and runs `speed` times as fast as Tokio's; none stands still.
    pub(crate) fn new(dawn: OffsetDateTime, speed: u32) -> Self {
        Self { began: Instant::now(), dawn, speed: speed.max(1) }
    }

    /// How many of the world's seconds pass in one of its clients'.
    #[must_use]
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// The world's calendar, in UTC.
    #[must_use]
    pub fn calendar(&self) -> OffsetDateTime {
        self.dawn.saturating_add(self.elapsed().try_into().unwrap_or(time::Duration::MAX))
    }

    /// What so much of the world's time is to a client.
    #[must_use]
    pub fn outside(&self, span: Duration) -> Duration {
        span / self.speed
    }

    /// What so much of a client's time is in the world.
    #[must_use]
    pub fn inside(&self, span: Duration) -> Duration {
        span.saturating_mul(self.speed)
    }

    /// Waits until the world's calendar shows `at`.
    pub async fn wait_until(&self, at: OffsetDateTime) {
        while let Some(left) = Duration::try_from(at - self.calendar()).ok().filter(|left| !left.is_zero()) {
            sleep(self.outside(left).max(Duration::from_millis(1))).await;
        }
    }

    /// How long the world has been.
    pub(crate) fn elapsed(&self) -> Duration {
        self.inside(self.began.elapsed())
    }

    /// The present, to reckon with inside: it is ahead of Tokio's.
    pub(crate) fn now(&self) -> Instant {
        self.began + self.elapsed()
    }

    /// Seconds of the world as a client counts them, rounded up: what has not passed here has not passed there.
    pub(crate) fn outside_seconds(&self, seconds: u32) -> u32 {
        seconds.div_ceil(self.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_day_passes_in_a_minute_and_a_half_and_its_stamps_with_it() {
        let dawn = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let clock = Clock::new(dawn, 960);
        let (copy, start) = (clock, clock.now());
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now() - start, Duration::from_secs(86_400));
        assert_eq!(copy.calendar(), dawn + time::Duration::days(1));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_an_hour_takes_its_share_and_an_hour_that_is_over_takes_nothing() {
        let clock = Clock::new(OffsetDateTime::UNIX_EPOCH, 600);
        let before = Instant::now();
        clock.wait_until(OffsetDateTime::UNIX_EPOCH + time::Duration::hours(1)).await;
        let took = before.elapsed();
        assert!((Duration::from_secs(6)..Duration::from_millis(6_010)).contains(&took), "{took:?}");
        clock.wait_until(OffsetDateTime::UNIX_EPOCH).await;
        assert_eq!(before.elapsed(), took);
    }

    #[test]
    fn what_a_client_waits_for_is_rounded_up_and_nothing_stays_nothing() {
        let clock = Clock::new(OffsetDateTime::UNIX_EPOCH, 60);
        assert_eq!([0, 1, 60, 61].map(|seconds| clock.outside_seconds(seconds)), [0, 1, 1, 2]);
        assert_eq!(Clock::new(OffsetDateTime::UNIX_EPOCH, 1).outside_seconds(30), 30);
    }
}
