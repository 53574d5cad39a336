//! The calls, and what their answers are.
//!
//! An endpoint is a value with the `cloudflare` crate's [`EndpointSpec`]: its method, path, query and body. Types,
//! transport and decoding are our own: the crate's error code is a `u16`, its record type knows seven types, and
//! its update is a PUT, which wipes comments.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloudflare::framework::Environment;
use cloudflare::framework::endpoint::RequestBody;
use cloudflare::framework::endpoint::spec::EndpointSpec;
use cloudflare::framework::response::ApiResult;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::record::{Draft, Record};
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

macro_rules! endpoint {
    ($endpoint:ty, $method:ident, $response:ty, $path:expr $(, query $query:expr)? $(, body $body:expr)?) => {
        impl EndpointSpec for $endpoint {
            type JsonResponse = $response;
            type ResponseType = Answer<$response>;

            fn method(&self) -> Method {
                Method::$method
            }

            fn path(&self) -> String {
                let path: fn(&Self) -> String = $path;
                path(self)
            }
            $(
                fn query(&self) -> Option<String> {
                    let query: fn(&Self) -> String = $query;
                    Some(query(self))
                }
            )?
            $(
                fn body(&self) -> Option<RequestBody<'_>> {
                    let body: fn(&Self) -> String = $body;
                    Some(RequestBody::Json(body(self)))
                }
            )?
        }
    };
}

/// `GET /zones`: the zones that the token can see.
pub(super) struct ListZones {
    pub(super) page: u64,
}

endpoint!(
    ListZones,
    GET,
    Zones,
    |_| "zones".into(),
    query | call | { query(&[("page", &call.page.to_string()), ("per_page", &ZONES_PER_PAGE.to_string())]) }
);

/// `GET /zones/{zone}`.
pub(super) struct GetZone<'c> {
    pub(super) zone: &'c str,
}

endpoint!(GetZone<'_>, GET, ZoneEntry, |call| format!("zones/{}", call.zone));

/// `GET /user/tokens/verify`, and `GET /accounts/{account}/tokens/verify` for a token that an account owns.
pub(super) struct VerifyToken<'c> {
    pub(super) account: Option<&'c str>,
}

endpoint!(VerifyToken<'_>, GET, Verified, |call| match call.account {
    Some(account) => format!("accounts/{account}/tokens/verify"),
    None => "user/tokens/verify".into(),
});

/// `GET /zones/{zone}/dns_records`, filtered.
pub(super) struct ListRecords<'c> {
    pub(super) zone: &'c str,
    /// `name.exact`.
    pub(super) name: Option<&'c str>,
    /// `comment.endswith`; with a name as well, either is enough.
    pub(super) comment: Option<&'c str>,
    pub(super) page: u64,
}

endpoint!(
    ListRecords<'_>,
    GET,
    Records,
    |call| format!("zones/{}/dns_records", call.zone),
    query | call | {
        let (page, per_page) = (call.page.to_string(), PER_PAGE.to_string());
        let mut pairs = Vec::new();
        pairs.extend(call.name.map(|name| ("name.exact", name)));
        pairs.extend(call.comment.map(|comment| ("comment.endswith", comment)));
        if pairs.len() > 1 {
            pairs.push(("match", "any"));
        }
        // A fixed order, so that pages do not overlap.
        pairs.extend([("order", "name"), ("direction", "asc"), ("page", &page), ("per_page", &per_page)]);
        query(&pairs)
    }
);

/// `POST /zones/{zone}/dns_records`.
pub(super) struct CreateRecord<'c> {
    pub(super) zone: &'c str,
    pub(super) record: &'c Draft,
}

endpoint!(
    CreateRecord<'_>,
    POST,
    Record,
    |call| format!("zones/{}/dns_records", call.zone),
    body | call | json(call.record)
);

/// `PATCH /zones/{zone}/dns_records/{id}`: what is left out stays as it is.
pub(super) struct PatchRecord<'c> {
    pub(super) zone: &'c str,
    pub(super) id: &'c str,
    pub(super) record: &'c Draft,
}

endpoint!(
    PatchRecord<'_>,
    PATCH,
    Record,
    |call| format!("zones/{}/dns_records/{}", call.zone, call.id),
    body | call | json(call.record)
);

/// `DELETE /zones/{zone}/dns_records/{id}`.
pub(super) struct DeleteRecord<'c> {
    pub(super) zone: &'c str,
    pub(super) id: &'c str,
}

endpoint!(DeleteRecord<'_>, DELETE, Deleted, |call| format!("zones/{}/dns_records/{}", call.zone, call.id));

/// `POST /zones/{zone}/dns_records/batch`: one transaction, in the order deletes, patches, posts.
pub(super) struct Batch<'c> {
    pub(super) zone: &'c str,
    pub(super) operations: &'c Operations,
}

endpoint!(
    Batch<'_>,
    POST,
    Outcome,
    |call| format!("zones/{}/dns_records/batch", call.zone),
    body | call | json(call.operations)
);

/// What a batch does.
#[derive(Debug, Default, Serialize)]
pub(super) struct Operations {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) deletes: Vec<Id>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) patches: Vec<Draft>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) posts: Vec<Draft>,
}

/// A record to delete.
#[derive(Debug, Serialize)]
pub(super) struct Id {
    pub(super) id: String,
}

/// The zones on one page.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Zones(pub(super) Vec<ZoneEntry>);

/// A zone as it is listed.
#[derive(Debug, Deserialize)]
pub(super) struct ZoneEntry {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) name_servers: Option<Vec<String>>,
    #[serde(default)]
    pub(super) plan: Option<Plan>,
    #[serde(default)]
    pub(super) permissions: Option<Vec<String>>,
    #[serde(default)]
    pub(super) account: Option<Holding>,
}

/// The account that holds a zone.
#[derive(Debug, Deserialize)]
pub(super) struct Holding {
    #[serde(default)]
    pub(super) id: Option<String>,
}

/// What is told of a token.
#[derive(Debug, Deserialize)]
pub(super) struct Verified {
    #[serde(default)]
    pub(super) id: Option<String>,
    /// `active`, `disabled` or `expired`.
    pub(super) status: String,
    #[serde(default)]
    pub(super) expires_on: Option<String>,
}

/// A zone's plan.
#[derive(Debug, Deserialize)]
pub(super) struct Plan {
    #[serde(default)]
    pub(super) legacy_id: Option<String>,
}

/// The records on one page.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Records(pub(super) Vec<Record>);

/// A deletion's answer, which has nothing of interest.
#[derive(Debug, Deserialize)]
pub(super) struct Deleted {}

/// A batch's answer: the records as they are now.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    #[serde(default)]
    pub(super) patches: Option<Vec<Record>>,
    #[serde(default)]
    pub(super) posts: Option<Vec<Record>>,
}

impl ApiResult for Zones {}
impl ApiResult for ZoneEntry {}
impl ApiResult for Verified {}
impl ApiResult for Records {}
impl ApiResult for Record {}
impl ApiResult for Deleted {}
impl ApiResult for Outcome {}

fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Texts and numbers always serialise.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Records on a page. The hard maximum is undocumented; this many are known to be given.
pub(super) const PER_PAGE: u64 = 1000;
/// The most zones that a page may have.
pub(super) const ZONES_PER_PAGE: u64 = 50;
/// For each user, tokens together; beyond it everything is refused for five minutes.
const QUOTA: Window = Window { requests: 1200, per: Duration::from_secs(300) };
/// How long that is. An answer need not say so ("Rate limits", which names the headers differently over time).
const BLOCKED: Duration = QUOTA.per;
