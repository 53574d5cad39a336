//! What a plan allows, and how many requests a user may make.
//!
//! Sources: Cloudflare docs, "DNS records quota", "Record attributes", "Time to Live", "Batch record changes", and
//! "API rate limits".

use std::time::Duration;

use tokio::time::Instant;

use super::error::ApiError;
use crate::sandbox::CloudflarePlan;
use crate::sandbox::clock::Clock;
use crate::sandbox::throttle::{Window, retry_after};

impl CloudflarePlan {
    pub(crate) const fn ttl_floor(self) -> u64 {
        match self {
            Self::Free => 60,
            Self::Enterprise => 30,
        }
    }

    pub(crate) const fn records(self) -> usize {
        match self {
            Self::Free => 200,
            Self::Enterprise => 3_500,
        }
    }

    pub(crate) const fn batch(self) -> usize {
        match self {
            Self::Free => 200,
            Self::Enterprise => 3_500,
        }
    }

    pub(crate) const fn comment(self) -> usize {
        match self {
            Self::Free => 100,
            Self::Enterprise => 500,
        }
    }

    pub(crate) const fn tags(self) -> usize {
        match self {
            Self::Free => 0,
            Self::Enterprise => 20,
        }
    }

    pub(crate) const fn is_paid(self) -> bool {
        !matches!(self, Self::Free)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Free => "Free Website",
            Self::Enterprise => "Enterprise Website",
        }
    }

    pub(crate) const fn legacy_id(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Enterprise => "enterprise",
        }
    }
}

/// The request budget of the one user to whom all tokens belong.
///
/// 1,200 requests in five minutes, dashboard, key and tokens together; the next one blocks every call for five
/// minutes. Beside it 200 requests a second from one address.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    window: Window,
    burst: Window,
    blocked_until: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            window: Window::new(REQUESTS, PERIOD),
            burst: Window::new(BURST, Duration::from_secs(1)),
            blocked_until: None,
        }
    }
}

impl Budget {
    /// Takes one request; how many are left, or the refusal.
    pub(crate) fn take(&mut self, clock: Clock, scale: f64) -> Result<u32, ApiError> {
        self.left(clock.now(), scale).map_err(|wait| throttled(clock, wait))
    }

    fn left(&mut self, now: Instant, scale: f64) -> Result<u32, Duration> {
        if let Some(until) = self.blocked_until {
            if now < until {
                return Err(until - now);
            }
            self.blocked_until = None;
            self.window = Window::new(REQUESTS, PERIOD);
        }
        self.burst.take(now, scale)?;
        self.window.take(now, scale).map_err(|_| {
            let block = PERIOD.mul_f64(scale.max(0.0));
            self.blocked_until = Some(now + block);
            block
        })
    }

    /// The header pair of an answer (IETF draft "RateLimit header fields for HTTP").
    pub(crate) fn headers(clock: Clock, remaining: u32) -> [(String, String); 2] {
        let period = retry_after(clock, PERIOD);
        [
            ("ratelimit".to_owned(), format!("\"default\";r={remaining};t={period}")),
            ("ratelimit-policy".to_owned(), format!("\"default\";q={REQUESTS};w={period}")),
        ]
    }
}

fn throttled(clock: Clock, wait: Duration) -> ApiError {
    ApiError::new(429, 971, "Please wait and consider throttling your request speed")
        .with_header("retry-after", retry_after(clock, wait))
}

const REQUESTS: u32 = 1_200;
const BURST: u32 = 200;
const PERIOD: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_beyond_the_budget_blocks_everything_for_the_whole_period() {
        let mut budget = Budget::default();
        let start = Instant::now();
        // Four a second, so that the burst limit is not what is met.
        for n in 0..REQUESTS {
            assert_eq!(budget.left(start + Duration::from_millis(200) * n, 1.0), Ok(REQUESTS - 1 - n));
        }
        let over = start + Duration::from_secs(241);
        assert_eq!(budget.left(over, 1.0), Err(PERIOD));
        // The window of the first request is over by now; the block is not.
        assert_eq!(budget.left(over + Duration::from_secs(200), 1.0), Err(Duration::from_secs(100)));
        assert!(budget.left(over + Duration::from_secs(301), 1.0).is_ok());
    }

    #[test]
    fn a_client_of_a_faster_world_is_told_its_own_seconds() {
        let (clock, mut budget) = (Clock::new(time::OffsetDateTime::UNIX_EPOCH, 60), Budget::default());
        budget.blocked_until = Some(clock.now() + PERIOD);
        let refused = budget.take(clock, 1.0).expect_err("blocked for five minutes of the world");
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("5")));
        let [(_, left), (_, policy)] = Budget::headers(clock, 7);
        assert_eq!((left.as_str(), policy.as_str()), ("\"default\";r=7;t=5", "\"default\";q=1200;w=5"));
    }

    #[test]
    fn an_address_may_not_make_more_than_200_requests_a_second() {
        let mut budget = Budget::default();
        let start = Instant::now();
        for _ in 0..BURST {
            budget.left(start, 1.0).expect("within the burst");
        }
        assert_eq!(budget.left(start, 1.0), Err(Duration::from_secs(1)));
        assert!(budget.left(start + Duration::from_secs(1), 1.0).is_ok());
    }
}
