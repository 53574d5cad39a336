//! What was asked of the services, in order.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::exchange::{Request, Service};

/// One request as it arrived, with the status that it got.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// Its place in the log, from 1.
    pub number: usize,
    /// Which service was asked.
    pub service: Service,
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query as sent, without the question mark.
    pub query: String,
    /// The status answered; `None` while the request runs, and when no answer was given.
    pub status: Option<u16>,
    /// The headers that tests look at, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// The body as JSON, or as text where it is not JSON; `Null` without one. A token request's body is left out.
    pub body: Value,
    /// When it arrived, counted from the start of the sandbox, in the sandbox's seconds.
    pub at: f64,
    /// Whether a fault was played on it.
    pub faulted: bool,
}

impl LoggedRequest {
    /// A logged header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<LoggedRequest>,
    forgotten: usize,
}

impl Log {
    /// Notes a request that arrives so long after the start, and gives its number.
    pub(crate) fn arrived(&mut self, request: &Request, at: Duration) -> usize {
        let number = self.forgotten + self.entries.len() + 1;
        let body = match request.service {
            Service::Authority => Value::Null,
            _ if request.body.is_empty() => Value::Null,
            _ => request
                .json()
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&request.body).into_owned())),
        };
        let headers = request.headers.iter().filter(|(name, _)| LOGGED.contains(&name.as_str()));
        self.entries.push(LoggedRequest {
            number,
            service: request.service,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            status: None,
            headers: headers.cloned().collect(),
            body,
            at: at.as_secs_f64(),
            faulted: false,
        });
        number
    }

    /// Notes how request `number` ended.
    pub(crate) fn answered(&mut self, number: usize, status: Option<u16>, faulted: bool) {
        let entry = number.checked_sub(self.forgotten + 1).and_then(|index| self.entries.get_mut(index));
        if let Some(entry) = entry {
            entry.status = status;
            entry.faulted = faulted;
        }
    }

    /// Everything since the start or the last [`Log::forget`].
    pub(crate) fn entries(&self) -> &[LoggedRequest] {
        &self.entries
    }

    /// Empties the log; numbers go on.
    pub(crate) fn forget(&mut self) {
        self.forgotten += self.entries.len();
        self.entries.clear();
    }
}

const LOGGED: [&str; 8] = [
    "if-match",
    "if-none-match",
    "user-agent",
    "x-ms-client-request-id",
    "content-type",
    "accept",
    "host",
    "x-ms-correlation-request-id",
];
