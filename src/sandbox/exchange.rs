//! One HTTP exchange as the services see it: plain values, so that the rules of a service are plain functions.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::form_urlencoded;

/// A service of the sandbox that speaks HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Microsoft Entra's token endpoint.
    Authority,
    /// Azure Resource Manager.
    Arm,
    /// Azure Monitor Logs' query API.
    LogAnalytics,
    /// Cloudflare's API v4.
    Cloudflare,
}

/// A request, collected whole.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Which service was asked.
    pub(crate) service: Service,
    /// `GET`, `PUT`, …
    pub(crate) method: String,
    /// The path as sent.
    pub(crate) path: String,
    /// The path's segments, percent-decoded, empty ones left out.
    pub(crate) segments: Vec<String>,
    /// The query as sent, without the question mark.
    pub(crate) query: String,
    /// The query's pairs, decoded, in order.
    pub(crate) pairs: Vec<(String, String)>,
    /// Header names in lower case with their values.
    pub(crate) headers: Vec<(String, String)>,
    /// The body's octets.
    pub(crate) body: Bytes,
}

impl Request {
    /// Builds a request from what the wire carried.
    pub(crate) fn new(
        service: Service,
        method: &str,
        path: &str,
        query: &str,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Self {
        let segments = path.split('/').filter(|s| !s.is_empty()).map(percent_decoded).collect();
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self {
            service,
            method: method.to_owned(),
            path: path.to_owned(),
            segments,
            query: query.to_owned(),
            pairs,
            headers,
            body,
        }
    }

    /// The first value of a header, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter; names are compared without case, as both clouds do.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The segments as string slices, to be matched on.
    pub(crate) fn route(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Whether the request can change anything.
    pub(crate) fn is_mutation(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
            && !matches!(self.service, Service::Authority | Service::LogAnalytics)
    }
}

/// What a service answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    /// The HTTP status code.
    pub(crate) status: u16,
    /// Headers beyond content type and length.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Payload,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    /// None at all.
    Empty,
    /// A JSON document.
    Json(Value),
    /// Anything else, with its content type.
    Text(String, String),
}

impl Response {
    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Payload::Json(body) }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Payload::Empty }
    }

    /// The same answer with one more header.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

fn percent_decoded(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| segment.get(at + 1..at + 3)).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
