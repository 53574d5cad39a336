//! Makes calls, and understands what comes back.
//!
//! A call is a value with the `cloudflare` crate's [`EndpointSpec`]: its method, path, query and body. Types,
//! transport and decoding are our own: the crate's error code is a `u16`, its record type knows seven types, and
//! its update is a PUT, which wipes comments.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloudflare::framework::Environment;
use cloudflare::framework::endpoint::RequestBody;
use cloudflare::framework::endpoint::spec::EndpointSpec;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::Instant;

use super::refusal::{ApiError, Refusal, TOKEN};
use crate::provider::http::{Budget, Effect, Failure, Http, Request, Response, Window};
use crate::provider::{Error, Kind};

/// One account's way to the API.
pub(super) struct Client {
    http: Arc<Http>,
    budget: Arc<Budget>,
    environment: Environment,
    /// `None` when the token cannot stand in a header.
    authorization: Option<HeaderValue>,
}

impl Client {
    pub(super) fn new(http: Arc<Http>, api: &Url, token: &SecretString) -> Self {
        let name = format!("cloudflare at {}", api.host_str().unwrap_or_default());
        let budget = http.budget(&name, token.expose_secret(), &[QUOTA]);
        // Paths are joined to it, which replaces whatever follows the last slash.
        let base = format!("{}/", api.as_str().trim_end_matches('/'));
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim()));
        let authorization = bearer.ok().map(|mut bearer| {
            bearer.set_sensitive(true);
            bearer
        });
        Self { http, budget, environment: Environment::Custom(base), authorization }
    }

    /// Makes one call.
    ///
    /// # Errors
    /// [`CallError`] tells whether the call may have had an effect.
    pub(super) async fn call<E>(&self, endpoint: &E) -> Result<Answer<E::JsonResponse>, CallError>
    where
        E: EndpointSpec<ResponseType = Answer<<E as EndpointSpec>::JsonResponse>>,
    {
        let request = self.request(endpoint)?;
        let effect = request.effect;
        let response = self.http.send(&self.budget, request).await.map_err(|failure| match failure {
            Failure::Throttled { named: false, answer, .. } => {
                self.budget.block(Instant::now() + BLOCKED);
                CallError::Failed(Failure::Throttled { delay: BLOCKED, named: false, answer })
            }
            failure => CallError::Failed(failure),
        })?;
        decode(&response, effect)
    }

    fn request(&self, endpoint: &impl EndpointSpec) -> Result<Request, CallError> {
        let authorization = self.authorization.clone().ok_or(CallError::UnusableToken)?;
        let body = match endpoint.body() {
            Some(RequestBody::Json(text)) => text.into_bytes(),
            Some(RequestBody::Raw(bytes)) => bytes,
            Some(RequestBody::MultiPart(_)) | None => Vec::new(),
        };
        let url = endpoint.url(&self.environment);
        let mut request = match endpoint.method() {
            Method::GET => Request::get(url),
            method => Request::write(method, url, body),
        };
        request.headers.insert(AUTHORIZATION, authorization);
        request.headers.insert(ACCEPT, JSON);
        if !request.body.is_empty() {
            request.headers.insert(CONTENT_TYPE, JSON);
        }
        Ok(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// A usable answer.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) result: T,
    /// How many pages a list has; `None` where the answer does not say.
    pub(super) total_pages: Option<u64>,
    /// How many members a list has in all.
    pub(super) total_count: Option<u64>,
}

/// Why a call has no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The token has characters that no header takes; nothing was sent.
    #[error("the token holds characters that cannot stand in a request header")]
    UnusableToken,
    /// The pages of a list never fitted together.
    #[error("the zone kept changing while its pages were read")]
    Moving,
    /// No answer.
    #[error(transparent)]
    Failed(Failure),
    /// An answer that says no.
    #[error(transparent)]
    Refused(Refusal),
    /// An answer that is not what the API promises.
    #[error("{what}{}", .request_id.as_ref().map(|id| format!(", cf-ray {id}")).unwrap_or_default())]
    Unreadable {
        /// What came instead.
        what: String,
        status: StatusCode,
        effect: Effect,
        request_id: Option<String>,
    },
}

impl CallError {
    /// Whether a write may have taken effect all the same.
    pub(super) fn is_ambiguous(&self) -> bool {
        match self {
            Self::UnusableToken
            | Self::Moving
            | Self::Failed(Failure::NotDone { .. } | Failure::Throttled { .. }) => false,
            Self::Failed(Failure::Lost { .. }) => true,
            Self::Refused(refusal) => refusal.status.is_server_error(),
            Self::Unreadable { status, .. } => status.is_success() || status.is_server_error(),
        }
    }

    /// Whether such a write may yet take effect though nothing has come of it: nobody said that it is over, as only the
    /// API itself can, with an error of its own.
    pub(super) fn may_yet_come(&self) -> bool {
        let over = match self {
            // The other statuses are those of whoever waited for the API in vain, such as Cloudflare's own edge.
            Self::Refused(refusal) => {
                matches!(refusal.status.as_u16(), 500 | 503) && !refusal.errors.is_empty()
            }
            _ => false,
        };
        self.is_ambiguous() && !over
    }

    /// What the loop does about it, for a read and for a write that surely did not happen.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::UnusableToken => Kind::Denied,
            Self::Failed(Failure::Throttled { delay, .. }) => Kind::Throttled(*delay),
            Self::Moving | Self::Failed(Failure::NotDone { .. } | Failure::Lost { .. }) => Kind::Unreachable,
            Self::Refused(refusal) => refusal.kind(),
            Self::Unreadable { status, .. } => match status.as_u16() {
                401 | 403 => Kind::Denied,
                404 => Kind::Missing,
                _ => Kind::Unreachable,
            },
        }
    }

    /// What the operator does about it.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::UnusableToken => Some("look for a newline in the middle of the token"),
            Self::Refused(refusal) => refusal.remedy(),
            Self::Unreadable { status, .. } if matches!(status.as_u16(), 401 | 403) => Some(TOKEN),
            // Who fails says little of itself: it is mostly over soon, and no address is wrong.
            Self::Unreadable { status, .. } if status.is_server_error() => None,
            Self::Unreadable { .. } => {
                Some("check the account's api address and any proxy between here and Cloudflare")
            }
            Self::Failed(_) | Self::Moving => None,
        }
    }
}

/// The port's error for a call that failed as `cause` says, as `kind`.
pub(super) fn failed(
    cause: &Arc<CallError>,
    kind: Kind,
    operation: &'static str,
    resource: impl Into<String>,
) -> Error {
    let error = Error::new(kind, operation, resource).because(Arc::clone(cause));
    match cause.remedy() {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    success: Option<bool>,
    #[serde(default = "none")]
    result: Option<T>,
    #[serde(default)]
    errors: Option<Vec<ApiError>>,
    #[serde(default)]
    result_info: Option<Info>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Default, Deserialize)]
struct Info {
    #[serde(default)]
    total_pages: Option<u64>,
    #[serde(default)]
    total_count: Option<u64>,
}

fn decode<T: DeserializeOwned>(response: &Response, effect: Effect) -> Result<Answer<T>, CallError> {
    let request_id = || response.request_id().map(str::to_owned);
    let refused = |errors: Option<Vec<ApiError>>| {
        CallError::Refused(Refusal {
            status: response.status,
            errors: errors.unwrap_or_default(),
            request_id: request_id(),
        })
    };
    let unreadable = |what: String| CallError::Unreadable {
        what: format!("Cloudflare's address answered {} with {what}", response.status.as_u16()),
        status: response.status,
        effect,
        request_id: request_id(),
    };
    let says_no = |success: Option<bool>| success == Some(false) || !response.status.is_success();
    match serde_json::from_slice::<Envelope<T>>(&response.body) {
        Ok(envelope) if says_no(envelope.success) => Err(refused(envelope.errors)),
        Ok(Envelope { result: Some(result), result_info, .. }) => {
            let Info { total_pages, total_count } = result_info.unwrap_or_default();
            Ok(Answer { result, total_pages, total_count })
        }
        Ok(_) => Err(unreadable("JSON without a result".into())),
        // A refusal's `result` is whatever it likes to be.
        Err(error) => match serde_json::from_slice::<Envelope<IgnoredAny>>(&response.body) {
            Ok(envelope) if says_no(envelope.success) => Err(refused(envelope.errors)),
            _ => Err(unreadable(instead(response, &error))),
        },
    }
}

/// What came instead of the promised JSON.
fn instead(response: &Response, error: &serde_json::Error) -> String {
    let body = response.body.trim_ascii_start();
    let kind = response.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if body.is_empty() {
        "an empty body".into()
    } else if body.starts_with(b"<") || kind.starts_with("text/html") {
        "an HTML page instead of JSON".into()
    } else if error.is_eof() {
        format!("JSON that ends early, after {} bytes", response.body.len())
    } else if error.is_data() {
        format!("JSON of another shape than promised ({error})")
    } else {
        "something other than JSON".into()
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// For each user, tokens together; beyond it everything is refused for five minutes.
const QUOTA: Window = Window { requests: 1200, per: Duration::from_secs(300) };
/// How long that is. An answer need not say so ("Rate limits", which names the headers differently over time).
const BLOCKED: Duration = QUOTA.per;
