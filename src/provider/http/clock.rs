//! How far the services' clocks are from this host's, by the `Date` of their answers (RFC 9110, 6.6.1).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::Url;
use reqwest::header::{DATE, HeaderMap};

/// The difference to one service, at its last answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skew {
    /// The service: its host, with a port where it is not the usual one.
    pub service: String,
    /// Whole seconds by which its clock is ahead of this host's, at the least; negative where it is behind. Zero
    /// where the answer took longer than they differ, since a `Date` has no fractions.
    pub ahead: i64,
}

/// The differences to every service that answered.
#[derive(Debug, Default)]
pub(super) struct Clocks(Mutex<BTreeMap<String, i64>>);

impl Clocks {
    /// Notes an answer of `url` to a request that was `sent` then and `answered` then, both by this host's clock.
    pub(super) fn note(&self, url: &Url, headers: &HeaderMap, sent: SystemTime, answered: SystemTime) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else { return };
        let Some(host) = url.host_str() else { return };
        let service = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if clocks.len() < MOST || clocks.contains_key(&service) {
            clocks.insert(service, ahead(date, sent, answered));
        }
    }

    pub(super) fn all(&self) -> Vec<Skew> {
        let clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.iter().map(|(service, ahead)| Skew { service: service.clone(), ahead: *ahead }).collect()
    }
}

/// The least difference that explains `date`, which may be up to a second older than what was meant.
fn ahead(date: SystemTime, sent: SystemTime, answered: SystemTime) -> i64 {
    let whole = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match (date.duration_since(answered), sent.duration_since(date + SECOND)) {
        (Ok(ahead), _) => whole(ahead),
        (_, Ok(behind)) => -whole(behind),
        _ => 0,
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// Services of one configuration are few.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_answer_s_time_cannot_explain_is_a_difference() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        for (date, sent, answered, expected) in [
            (10, 10, 10, 0),
            (9, 10, 10, 0),
            (12, 10, 14, 0),
            (6, 10, 10, -3),
            (50, 10, 14, 36),
            (10, 0, 60, 0),
        ] {
            assert_eq!(ahead(at(date), at(sent), at(answered)), expected, "{date} {sent} {answered}");
        }
    }

    #[test]
    fn what_is_no_date_says_nothing() {
        let clocks = Clocks::default();
        let url = Url::parse("https://example.com:8443/x").unwrap();
        let mut headers = HeaderMap::new();
        clocks.note(&url, &headers, SystemTime::now(), SystemTime::now());
        headers.insert(DATE, "yesterday".parse().unwrap());
        clocks.note(&url, &headers, SystemTime::now(), SystemTime::now());
        assert_eq!(clocks.all(), []);
        headers.insert(DATE, httpdate::fmt_http_date(SystemTime::now()).parse().unwrap());
        clocks.note(&url, &headers, SystemTime::now(), SystemTime::now());
        assert_eq!(clocks.all(), [Skew { service: "example.com:8443".into(), ahead: 0 }]);
    }
}
