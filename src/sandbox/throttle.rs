//! The two ways in which clouds ration requests: fixed windows and token buckets.
//!
//! Both take the time as an argument and a `scale`, so that a window of five minutes can be five milliseconds
//! in a test and stay five minutes in a rehearsal.

use std::time::Duration;

use tokio::time::Instant;

use super::clock::Clock;

/// So many requests a period, then none until the period is over.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    limit: u32,
    period: Duration,
    opened: Option<Instant>,
    used: u32,
}

impl Window {
    /// `limit` requests in each `period`.
    pub(crate) const fn new(limit: u32, period: Duration) -> Self {
        Self { limit, period, opened: None, used: 0 }
    }

    /// Takes one request, or says how long to wait. `scale` stretches or shrinks the period.
    pub(crate) fn take(&mut self, now: Instant, scale: f64) -> Result<u32, Duration> {
        let period = self.period.mul_f64(scale.max(0.0));
        let opened = match self.opened {
            Some(opened) if now.duration_since(opened) < period => opened,
            _ => {
                self.used = 0;
                *self.opened.insert(now)
            }
        };
        if self.used >= self.limit {
            return Err(period.saturating_sub(now.duration_since(opened)));
        }
        self.used += 1;
        Ok(self.limit - self.used)
    }
}

/// A bucket of tokens that refills evenly.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    size: f64,
    refill_per_second: f64,
    level: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// A full bucket of `size` tokens that gains `refill_per_second`.
    pub(crate) const fn new(size: f64, refill_per_second: f64) -> Self {
        Self { size, refill_per_second, level: size, filled: None }
    }

    /// Takes one token and tells how many are left, or says how long to wait for one.
    pub(crate) fn take(&mut self, now: Instant, scale: f64) -> Result<u32, Duration> {
        let rate = self.refill_per_second / scale.max(1e-6);
        let since = self.filled.map_or(Duration::ZERO, |filled| now.duration_since(filled));
        self.level = since.as_secs_f64().mul_add(rate, self.level).min(self.size);
        self.filled = Some(now);
        if self.level < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.level) / rate));
        }
        self.level -= 1.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 ≤ level ≤ size")]
        Ok(self.level as u32)
    }
}

/// A wait as `Retry-After` tells it a client: whole seconds of its own, rounded up (RFC 9110, 10.2.3), and at least one.
pub(crate) fn retry_after(clock: Clock, wait: Duration) -> String {
    let wait = clock.outside(wait);
    let up = u64::from(wait.subsec_nanos() > 0);
    (wait.as_secs() + up).max(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_opens_with_its_first_request_and_says_when_the_next_one_does() {
        let (mut window, start) = (Window::new(2, Duration::from_secs(60)), Instant::now());
        assert_eq!(window.take(start, 1.0), Ok(1));
        assert_eq!(window.take(start + Duration::from_secs(20), 1.0), Ok(0));
        assert_eq!(window.take(start + Duration::from_secs(25), 1.0), Err(Duration::from_secs(35)));
        assert_eq!(window.take(start + Duration::from_secs(60), 1.0), Ok(1));
        // A hundredth of the period is over after 600 ms.
        assert_eq!(window.take(start + Duration::from_millis(60_601), 0.01), Ok(1));
    }

    #[test]
    fn a_bucket_refills_evenly_and_never_beyond_its_size() {
        let (mut bucket, start) = (Bucket::new(2.0, 10.0), Instant::now());
        assert_eq!([bucket.take(start, 1.0), bucket.take(start, 1.0)], [Ok(1), Ok(0)]);
        assert_eq!(bucket.take(start, 1.0), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(start + Duration::from_millis(100), 1.0), Ok(0));
        assert_eq!(bucket.take(start + Duration::from_secs(100), 1.0), Ok(1));
    }

    #[test]
    fn retry_after_is_rounded_up_and_counts_the_client_s_seconds() {
        let at = |speed| Clock::new(time::OffsetDateTime::UNIX_EPOCH, speed);
        for (speed, wait, told) in [
            (1, 1, "1"),
            (1, 35_001, "36"),
            (1, 35_000, "35"),
            (60, 300_000, "5"),
            (60, 300_001, "6"),
            (60, 0, "1"),
        ] {
            assert_eq!(retry_after(at(speed), Duration::from_millis(wait)), told, "{speed} {wait}");
        }
    }
}
