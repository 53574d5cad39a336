//! One transport policy for every provider: deadlines, pooling, retries with jitter, `Retry-After`, request
//! budgets fed by the quota headers, correlation ids, redaction.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};

/// What every connection has in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Certificates, in PEM, that are trusted besides the public roots.
    pub extra_ca: Option<Vec<u8>>,
    /// How long one attempt may take, from connecting to the last byte.
    pub attempt: Duration,
    /// How long a request may take with all its retries and waits.
    pub deadline: Duration,
}

/// Whether a request may change anything: what may be sent again when its answer was lost, and what may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sent again at will.
    Read,
    /// Sent again only when the service surely did not act on it.
    Write,
}

/// A request. Its `Debug` shows no header values and no body.
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
}

/// A whole answer, whatever its status: a 4xx is an answer, a broken connection is a [`Failure`].
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The service surely did not act on the request: it was never sent, or refused before it was read.
    #[error("{what}")]
    NotDone {
        /// What happened, without the address.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The request may have been acted on, and its answer was lost.
    #[error("{what}")]
    Lost {
        /// What happened, without the address.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The service asked to wait longer than the deadline allows.
    #[error("the service asks to wait {}s", .delay.as_secs())]
    Throttled {
        /// How long.
        delay: Duration,
    },
}

/// The requests that one credential may send, paced by what the service says is left.
pub struct Budget {
    name: String,
}

/// The client: one pool of connections for the whole process.
pub struct Http {
    client: reqwest::Client,
    settings: Settings,
}
