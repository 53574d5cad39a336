//! The one transport, as each of the three pipelines needs it: ours, the generated clients', and the identity
//! library's. Retries, deadlines and pacing are those of [`Http`] alone; the other two are told not to retry.
//!
//! The generated pipeline logs whole requests, `Authorization` in clear (azure_core 0.21's `Headers` shows that
//! header and hides the others). It is therefore never given a token: it carries a stand-in, and the token is put
//! in its place here, below everything that logs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core_legacy::auth::{AccessToken, TokenCredential};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::auth::{Credential, TokenError};
use super::error::Refusal;
use crate::provider::http::{Budget, Effect, Failure, Http, Request, Response};
use crate::provider::{Error, Holder, Kind};

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No answer.
    #[error(transparent)]
    Transport(#[from] Failure),
    /// An answer that refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An address that the token must not be sent to.
    #[error("Azure named the address {0}, which is not its own, so nothing was sent there")]
    Foreign(String),
    /// The pipeline's own doing.
    #[error("{0}")]
    Pipeline(String),
}

impl Trouble {
    /// As the ports know it, for a request that changed nothing.
    pub(super) fn into_error(self, operation: &'static str, resource: &str) -> Error {
        let kind = match self {
            Self::Refused(refusal) => return refusal.into_error(operation, resource),
            Self::Token(error) => {
                let remedy = error.remedy().map(str::to_owned);
                let told = Error::new(error.kind(), operation, resource).because(error);
                return match remedy {
                    Some(remedy) => told.remedy(remedy),
                    None => told,
                };
            }
            Self::Transport(Failure::Throttled { delay, ref answer, .. }) => {
                if let Some(answer) = answer {
                    let refusal = Refusal::of(answer);
                    return Error::new(Kind::Throttled(delay), operation, resource).because(refusal);
                }
                Kind::Throttled(delay)
            }
            Self::Transport(_) | Self::Foreign(_) | Self::Pipeline(_) => Kind::Unreachable,
        };
        Error::new(kind, operation, resource).because(self)
    }
}

/// Resource Manager, with a token in every request.
pub(super) struct Transport {
    http: Arc<Http>,
    budget: Arc<Budget>,
    credential: Credential,
    origin: Url,
}

impl Transport {
    pub(super) fn new(
        http: Arc<Http>,
        budget: Arc<Budget>,
        credential: Credential,
        origin: Url,
    ) -> Arc<Self> {
        Arc::new(Self { http, budget, credential, origin })
    }

    /// What this credential may send.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Whose the token is.
    pub(super) async fn holder(&self) -> Result<Holder, Trouble> {
        Ok(self.credential.holder().await?)
    }

    /// The address of `path`, which may carry a query.
    pub(super) fn url(&self, path: &str) -> Result<Url, Trouble> {
        let joined = self.origin.join(path).map_err(|error| Trouble::Pipeline(error.to_string()))?;
        self.own(joined)
    }

    /// `url`, if it is Resource Manager's own: pages and operations are followed by addresses that an answer
    /// names, and a token sent to a wrong one is a token lost.
    pub(super) fn own(&self, url: Url) -> Result<Url, Trouble> {
        let (Some(host), Some(own)) = (url.host_str(), self.origin.host_str()) else {
            return Err(Trouble::Foreign(url.to_string()));
        };
        let regional = host.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let same = url.scheme() == self.origin.scheme()
            && url.port_or_known_default() == self.origin.port_or_known_default();
        if regional && same { Ok(url) } else { Err(Trouble::Foreign(host.to_owned())) }
    }

    /// Sends `request` with a token. Any answer is one, whatever its status.
    pub(super) async fn send(&self, budget: &Budget, mut request: Request) -> Result<Response, Trouble> {
        request.url = self.own(request.url)?;
        request.headers.insert(AUTHORIZATION, self.credential.bearer().await?);
        Ok(self.http.send(budget, request).await?)
    }

    /// Sends a GET and takes success for an answer.
    pub(super) async fn read(&self, budget: &Budget, url: Url) -> Result<Response, Trouble> {
        self.read_by(budget, Request::get(url)).await
    }

    /// Sends a request that changes nothing, and takes success for an answer.
    pub(super) async fn read_by(&self, budget: &Budget, request: Request) -> Result<Response, Trouble> {
        let response = self.send(budget, request).await?;
        if response.status.is_success() { Ok(response) } else { Err(Refusal::of(&response).into()) }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({})", self.origin.host_str().unwrap_or_default())
    }
}

/// For the generated clients, which read through it and write nothing.
#[async_trait]
impl azure_core_legacy::HttpClient for Transport {
    async fn execute_request(
        &self,
        request: &azure_core_legacy::Request,
    ) -> azure_core_legacy::Result<azure_core_legacy::Response> {
        let give_up = |trouble: Trouble| {
            azure_core_legacy::Error::new(azure_core_legacy::error::ErrorKind::Other, trouble)
        };
        if *request.method() != azure_core_legacy::Method::Get {
            // Their writes know no precondition and lose the error of a failed operation.
            return Err(give_up(Trouble::Pipeline("a generated client tried to write".into())));
        }
        let response = self.read(&self.budget, request.url().clone()).await.map_err(give_up)?;
        let status = azure_core_legacy::StatusCode::try_from(response.status.as_u16())
            .unwrap_or(azure_core_legacy::StatusCode::Ok);
        let headers: HashMap<_, _> = (response.headers.iter())
            .filter_map(|(name, value)| {
                let name = azure_core_legacy::headers::HeaderName::from(name.as_str().to_owned());
                Some((name, azure_core_legacy::headers::HeaderValue::from(value.to_str().ok()?.to_owned())))
            })
            .collect();
        let body = futures::stream::iter([Ok(response.body)]);
        Ok(azure_core_legacy::Response::new(status, headers.into(), Box::pin(body)))
    }
}

/// What the generated clients carry in place of a token.
#[derive(Debug)]
pub(super) struct StandIn;

#[async_trait]
impl TokenCredential for StandIn {
    async fn get_token(&self, _: &[&str]) -> azure_core_legacy::Result<AccessToken> {
        let expires_on = time::OffsetDateTime::now_utc() + Duration::from_secs(3600);
        Ok(AccessToken::new("put-in-place-by-the-transport", expires_on))
    }

    async fn clear_cache(&self) -> azure_core_legacy::Result<()> {
        Ok(())
    }
}

/// For the identity library.
pub(super) struct IdentityTransport {
    http: Arc<Http>,
    budget: Arc<Budget>,
    /// How long the instance metadata service may take. It answers at once or is not there.
    patience: Duration,
    /// Whether to take any refusal of that service for its absence: a chain has other links.
    probing: bool,
}

impl IdentityTransport {
    pub(super) fn new(http: Arc<Http>, budget: Arc<Budget>, patience: Duration, probing: bool) -> Arc<Self> {
        Arc::new(Self { http, budget, patience, probing })
    }
}

impl fmt::Debug for IdentityTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityTransport")
    }
}

#[async_trait]
impl azure_core::http::HttpClient for IdentityTransport {
    async fn execute_request(
        &self,
        request: &azure_core::http::Request,
    ) -> azure_core::Result<azure_core::http::AsyncRawResponse> {
        // Any kind but `Io` and `Connection`, which the library would retry on its own.
        let give_up = |error: Box<dyn std::error::Error + Send + Sync>| {
            azure_core::Error::new(azure_core::error::ErrorKind::Other, error)
        };
        let azure_core::http::Body::Bytes(body) = request.body() else {
            return Err(give_up("a token request with a streamed body".into()));
        };
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers().iter() {
            let name = HeaderName::from_bytes(name.as_str().as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.as_str())) {
                headers.insert(name, value);
            }
        }
        let method = Method::from_bytes(request.method().as_str().as_bytes());
        let request = Request {
            method: method.map_err(|error| give_up(error.into()))?,
            url: request.url().clone(),
            headers,
            body: body.clone(),
            // Asking for a token twice does no harm.
            effect: Effect::Read,
            private: false,
        };
        let metadata = request.url.host_str() == Some(METADATA_SERVICE);
        let sent = self.http.send(&self.budget, request);
        let response = if metadata {
            let late = || Failure::not_done(format!("no answer from {METADATA_SERVICE}"));
            tokio::time::timeout(self.patience, sent).await.unwrap_or_else(|_| Err(late()))
        } else {
            sent.await
        };
        let response = response.map_err(|failure| give_up(failure.into()))?;
        let failed = response.status.is_server_error() || (self.probing && response.status != 200);
        if metadata && failed {
            let what = format!("the instance metadata service answered {}", response.status.as_u16());
            return Err(give_up(what.into()));
        }
        let mut headers = azure_core::http::headers::Headers::new();
        for (name, value) in &response.headers {
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        let status = azure_core::http::StatusCode::from(response.status.as_u16());
        Ok(azure_core::http::AsyncRawResponse::from_bytes(status, headers, response.body))
    }
}

/// The instance metadata service's address on every Azure machine.
pub(super) const METADATA_SERVICE: &str = "169.254.169.254";
