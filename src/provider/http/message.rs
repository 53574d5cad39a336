//! Requests and whole answers.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use uuid::Uuid;

use super::{CLIENT_REQUEST_ID, retry};

/// Whether a request may change anything: what may be sent again when its answer was lost, and what may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sent again at will.
    Read,
    /// Sent again only when the service surely did not act on it.
    Write,
}

/// A request. Its `Debug` shows no header values, no query and no body.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// The headers, `Authorization` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether it may change anything.
    pub effect: Effect,
    /// Whether the address is a secret as a whole, as a webhook's is: its path then stays out of every log.
    pub private: bool,
}

impl Request {
    /// A GET.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            effect: Effect::Read,
            private: false,
        }
    }

    /// A request that may change something.
    #[must_use]
    pub fn write(method: Method, url: Url, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: body.into(),
            effect: Effect::Write,
            private: false,
        }
    }

    /// What may be said of the path.
    pub(super) fn path(&self) -> &str {
        if self.private { "/…" } else { self.url.path() }
    }

    /// With an id of its own for the service's log, the same in every attempt, unless the adapter chose one.
    pub(super) fn with_client_request_id(mut self) -> Self {
        if !self.headers.contains_key(CLIENT_REQUEST_ID)
            && let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string())
        {
            self.headers.insert(CLIENT_REQUEST_ID, id);
        }
        self
    }

    pub(super) fn client_request_id(&self) -> Option<&str> {
        self.headers.get(CLIENT_REQUEST_ID)?.to_str().ok()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url, effect, .. } = self;
        write!(f, "{method} {}{} ({effect:?})", url.host_str().unwrap_or_default(), self.path())
    }
}

/// A whole answer, whatever its status: a 4xx is an answer, a broken connection is a [`super::Failure`].
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// What the service calls this exchange in its own log.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        request_id(&self.headers)
    }

    /// How long the service asks to wait, in whichever of its four ways it says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry::asked(&self.headers)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes", self.status.as_u16(), self.body.len())
    }
}

pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    REQUEST_IDS.iter().find_map(|name| headers.get(*name)?.to_str().ok())
}

/// Azure Resource Manager's and Cloudflare's names for it, in order of use to their support.
const REQUEST_IDS: [&str; 4] = ["x-ms-request-id", "x-ms-correlation-request-id", "cf-ray", "request-id"];
