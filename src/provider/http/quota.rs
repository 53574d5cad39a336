//! What the quota headers say. Their names and forms vary between versions of the services' own documentation, so
//! all are read and none is required.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use reqwest::header::{DATE, HeaderMap};
use tokio::time::Instant;

use super::budget::Window;
use super::retry::LONGEST_ASKED;

/// The kinds of request that Azure Resource Manager counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Reads,
    Writes,
    Deletes,
}

impl Class {
    pub(super) fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Reads,
            Method::DELETE => Self::Deletes,
            _ => Self::Writes,
        }
    }
}

/// What is left until some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) left: usize,
    pub(super) until: Instant,
}

/// What an answer says is left: for a class of requests, or for all (`None`).
pub(super) fn stated(headers: &HeaderMap, now: Instant) -> Vec<(Option<Class>, Quota)> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let mut stated = Vec::new();
    let mut state = |left: Option<u64>, reset: Option<u64>| {
        if let (Some(left), Some(reset)) = (left, reset) {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            stated.push((None, Quota { left, until: now + Duration::from_secs(relative(reset, headers)) }));
        }
    };
    // The tightest of several policies decides.
    let items = text("ratelimit").map(items).unwrap_or_default();
    if let Some(item) = items.iter().min_by_key(|item| item.number(&["r", "remaining"])) {
        state(item.number(&["r", "remaining"]), item.number(&["t", "reset"]));
    }
    for prefix in ["ratelimit", "x-ratelimit"] {
        let number = |what: &str| text(&format!("{prefix}-{what}"))?.trim().parse().ok();
        state(number("remaining"), number("reset"));
    }
    let tightest = |class: Option<Class>, stated: &mut Vec<(Option<Class>, Quota)>, left: usize| {
        let until = now + REFILL;
        match stated.iter_mut().find(|(kind, quota)| *kind == class && quota.until == until) {
            Some((_, quota)) => quota.left = quota.left.min(left),
            None => stated.push((class, Quota { left, until })),
        }
    };
    for (name, value) in headers {
        let Some(scope) = name.as_str().strip_prefix("x-ms-ratelimit-remaining-") else { continue };
        let Some(left) = value.to_str().ok().and_then(|value| value.trim().parse().ok()) else { continue };
        let class = match scope.rsplit('-').next() {
            Some("reads" | "read") => Some(Class::Reads),
            Some("writes") => Some(Class::Writes),
            Some("deletes") => Some(Class::Deletes),
            _ => None,
        };
        tightest(class, &mut stated, left);
    }
    stated
}

/// The windows that `ratelimit-policy` states; `None` without one.
pub(super) fn policies(headers: &HeaderMap) -> Option<Vec<Window>> {
    let text = headers.get("ratelimit-policy")?.to_str().ok()?;
    let windows: Vec<Window> = items(text)
        .iter()
        .filter_map(|item| {
            let requests = item.number(&["q", "limit"]).or(item.bare)?;
            let per = Duration::from_secs(item.number(&["w"])?);
            let requests = usize::try_from(requests).ok()?;
            (requests > 0 && !per.is_zero() && per <= LONGEST_ASKED).then_some(Window { requests, per })
        })
        .collect();
    (!windows.is_empty()).then_some(windows)
}

/// One member of a structured list (RFC 9651, 3.1), as far as these headers use them.
struct Item<'h> {
    /// The member itself, when it is a number, as in the older drafts' `100;w=60`.
    bare: Option<u64>,
    parameters: Vec<(&'h str, u64)>,
}

impl Item<'_> {
    fn number(&self, names: &[&str]) -> Option<u64> {
        self.parameters.iter().find(|(name, _)| names.contains(name)).map(|(_, value)| *value)
    }
}

/// `limit=100, remaining=50, reset=30` is one item spread over a list; `"a";r=1;t=2, "b";r=3;t=4` is several.
fn items(text: &str) -> Vec<Item<'_>> {
    if !text.contains(';') {
        return vec![item(text.split(','))];
    }
    text.split(',').map(|member| item(member.split(';'))).collect()
}

fn item<'h>(parts: impl Iterator<Item = &'h str>) -> Item<'h> {
    let mut item = Item { bare: None, parameters: Vec::new() };
    for part in parts.map(str::trim) {
        match part.split_once('=') {
            Some((name, value)) => item.parameters.extend(value.parse().ok().map(|value| (name, value))),
            None => item.bare = item.bare.or(part.parse().ok()),
        }
    }
    item
}

/// Seconds from now. Some services give the moment instead, in seconds since 1970.
fn relative(reset: u64, headers: &HeaderMap) -> u64 {
    if reset < EPOCH_LIKE {
        return reset.min(LONGEST_ASKED.as_secs());
    }
    let date = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let now = date.unwrap_or_else(SystemTime::now).duration_since(SystemTime::UNIX_EPOCH);
    reset.saturating_sub(now.unwrap_or_default().as_secs()).min(LONGEST_ASKED.as_secs())
}

/// Azure Resource Manager's buckets name no reset: they refill by ten and more a second.
const REFILL: Duration = Duration::from_secs(1);
/// More seconds than any window has.
const EPOCH_LIKE: u64 = 1_000_000_000;

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
    fn every_form_of_a_remaining_quota_is_read() {
        let now = Instant::now();
        for (given, class, left, seconds) in [
            (headers(&[("ratelimit", "\"default\";r=50;t=30")]), None, 50, 30),
            (headers(&[("ratelimit", "\"a\";r=50;t=30, \"b\";r=2;t=7")]), None, 2, 7),
            (headers(&[("ratelimit", "limit=100, remaining=5, reset=9")]), None, 5, 9),
            (headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "12")]), None, 0, 12),
            (headers(&[("ratelimit-remaining", "3"), ("ratelimit-reset", "1")]), None, 3, 1),
            (
                headers(&[
                    ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1767225605"),
                ]),
                None,
                0,
                5,
            ),
            (
                headers(&[("x-ms-ratelimit-remaining-subscription-writes", "199")]),
                Some(Class::Writes),
                199,
                1,
            ),
            (
                headers(&[
                    ("x-ms-ratelimit-remaining-subscription-reads", "11"),
                    ("x-ms-ratelimit-remaining-tenant-reads", "7"),
                ]),
                Some(Class::Reads),
                7,
                1,
            ),
        ] {
            let expected = Quota { left, until: now + Duration::from_secs(seconds) };
            assert_eq!(stated(&given, now), [(class, expected)], "{given:?}");
        }
    }

    #[test]
    fn nonsense_is_no_quota() {
        let now = Instant::now();
        for value in ["", ";;;", "r=,t=", "\"default\";r=x;t=30", "\"default\";r=5"] {
            let mut given = HeaderMap::new();
            given.insert("ratelimit", HeaderValue::from_static(value));
            assert_eq!(stated(&given, now), [], "{value}");
        }
        assert_eq!(stated(&headers(&[("x-ms-ratelimit-remaining-resource", "Net/Put3Min;237")]), now), []);
    }

    #[test]
    fn a_stated_policy_is_a_window() {
        let five_minutes = Duration::from_secs(300);
        let windows = policies(&headers(&[("ratelimit-policy", "\"default\";q=1200;w=300")]));
        assert_eq!(windows, Some(vec![Window { requests: 1200, per: five_minutes }]));
        let windows = policies(&headers(&[("ratelimit-policy", "1200;w=300")]));
        assert_eq!(windows, Some(vec![Window { requests: 1200, per: five_minutes }]));
        assert_eq!(policies(&headers(&[("ratelimit-policy", "\"default\";q=0;w=300")])), None);
    }
}
