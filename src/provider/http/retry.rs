//! What is sent again, and when: full-jitter exponential back-off, and whatever the service asks for.

use std::time::{Duration, SystemTime};

use rand::Rng;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::{Broken, Effect, Response};

/// What a 429 asks for.
pub(super) struct Throttle {
    pub(super) delay: Duration,
    /// Whether the service said how long.
    pub(super) named: bool,
    /// Whether it has been asked often enough without saying so.
    pub(super) hopeless: bool,
}

/// What the 429 with these headers asks for, which is the answer to the try number `tries`.
pub(super) fn throttle(headers: &HeaderMap, tries: u32) -> Throttle {
    match asked(headers).filter(|delay| !delay.is_zero()) {
        Some(delay) => Throttle { delay, named: true, hopeless: false },
        // Unnamed, the wait grows, so that many clients do not come back as one.
        None => Throttle { delay: jitter(tries) + LEAST, named: false, hopeless: tries >= TRIES },
    }
}

/// How long to wait before `tries` tries become one more; `None` takes the answer as it is. Not for a 429.
pub(super) fn after_answer(effect: Effect, response: &Response, tries: u32) -> Option<Duration> {
    let status = response.status.as_u16();
    let asked = asked(&response.headers);
    let passing = matches!(status, 408 | 500 | 502 | 503 | 504);
    (passing && effect == Effect::Read && tries < TRIES).then(|| asked.unwrap_or_else(|| jitter(tries)))
}

/// As [`after_answer`], when no whole answer came.
pub(super) fn after_break(effect: Effect, broken: &Broken, tries: u32) -> Option<Duration> {
    let harmless = effect == Effect::Read || broken.unsent;
    (harmless && !broken.hopeless && tries < TRIES).then(|| jitter(tries))
}

/// How long the service asks to wait: `x-ms-retry-after-ms`, `retry-after-ms`, or `Retry-After` in seconds or as
/// a date (RFC 9110, 10.2.3), the date held against the answer's own `Date` so that a wrong clock here is harmless.
///
/// Never longer than [`LONGEST_ASKED`]: what a header says is no reason to overflow a clock.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    unbounded(headers).map(|delay| delay.min(LONGEST_ASKED))
}

fn unbounded(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let milliseconds = |name| text(name)?.parse().ok().map(Duration::from_millis);
    if let Some(delay) = milliseconds("x-ms-retry-after-ms").or_else(|| milliseconds("retry-after-ms")) {
        return Some(delay);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = text(DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok());
    let now = now.unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

/// Whether a handshake failed for a reason that the next one will meet again.
pub(super) fn is_refused_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
        return true;
    }
    // An `io::Error` gives its cause's cause as its source; the TLS error is the cause itself, two deep.
    let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let cause = inside.map(|inside| inside as &(dyn std::error::Error + 'static)).or_else(|| error.source());
    cause.is_some_and(is_refused_certificate)
}

/// A limit for a person.
pub(super) fn shown(limit: Duration) -> String {
    if limit.subsec_millis() == 0 {
        format!("{}s", limit.as_secs())
    } else {
        format!("{}ms", limit.as_millis())
    }
}

fn jitter(tries: u32) -> Duration {
    let ceiling = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST);
    ceiling.mul_f64(rand::rng().random_range(0.0..=1.0))
}

/// Attempts at a read, or at connecting for a write, before giving up.
const TRIES: u32 = 4;
/// The longest wait that is taken from a service, which is longer than any request waits.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);
/// The ceiling of the first wait.
const FIRST: Duration = Duration::from_millis(250);
/// The ceiling of any wait that the service did not ask for.
const LONGEST: Duration = Duration::from_secs(8);
/// The floor of a wait after a 429 that names none, or names none at all with a zero.
const LEAST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn every_way_of_asking_to_wait_is_understood() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (given, expected) in [
            (headers(&[("retry-after", "307")]), Some(Duration::from_secs(307))),
            (headers(&[("retry-after", " 0 ")]), Some(Duration::ZERO)),
            (
                headers(&[date, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]),
                Some(Duration::from_secs(30)),
            ),
            (headers(&[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(Duration::ZERO)),
            (headers(&[("retry-after-ms", "1500")]), Some(Duration::from_millis(1500))),
            (
                headers(&[("x-ms-retry-after-ms", "250"), ("retry-after", "1")]),
                Some(Duration::from_millis(250)),
            ),
            (headers(&[("retry-after", "18446744073709551615")]), Some(LONGEST_ASKED)),
            (headers(&[("x-ms-retry-after-ms", "18446744073709551615")]), Some(LONGEST_ASKED)),
            (headers(&[("retry-after", "soon")]), None),
            (headers(&[("retry-after", "-1")]), None),
            (headers(&[]), None),
        ] {
            assert_eq!(asked(&given), expected, "{given:?}");
        }
    }

    #[test]
    fn back_off_never_exceeds_its_ceiling() {
        for tries in 1..40 {
            assert!(jitter(tries) <= LONGEST);
            assert!(jitter(1) <= FIRST);
        }
    }
}
