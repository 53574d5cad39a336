//! One transport policy for every provider: deadlines, pooling, retries with jitter, `Retry-After`, request
//! budgets fed by the quota headers, correlation ids, redaction.
//!
//! Reads are sent again whenever no usable answer came. A write is sent again only when the service surely did
//! not act on it: no connection was made, or it answered 429. Whatever else happens to a write after its first
//! byte left is [`Failure::Lost`], for the adapter to settle by reading; and whether another answer means that the
//! service did nothing (Azure's "another operation is under way") is the adapter's to know.

mod budget;
mod clock;
mod message;
mod meter;
mod quota;
mod retry;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Url, redirect};
use tokio::time::{Instant, sleep, timeout};

use crate::provider::{Haste, Trail};
pub use budget::{Budget, Window};
pub use clock::Skew;
pub use message::{Effect, Request, Response};
pub use meter::{Ended, Metered};

use super::whole_seconds;

/// What every connection has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Certificates, in PEM, that are trusted besides the public roots.
    pub extra_ca: Option<Vec<u8>>,
    /// How long one attempt may take, from connecting to the last byte.
    pub attempt: Duration,
    /// After how long no further attempt begins, with the waits that the service asks for; one that began has its
    /// whole time, for a write cut short is a write that has to be settled. Waiting for one's turn within a
    /// configured [`Window`] is not counted: that queue is of our own making.
    pub deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { extra_ca: None, attempt: Duration::from_secs(20), deadline: Duration::from_secs(90) }
    }
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
        /// What happened, without the address; with the service's request id where one was seen.
        what: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The service asked to wait longer than the deadline allows, or refused again and again without a word of how
    /// long; it did not act on the request.
    #[error("{}", throttled(*.delay, *.named))]
    Throttled {
        /// How long, from now.
        delay: Duration,
        /// Whether the service said so. Where it did not, `delay` is no more than a guess.
        named: bool,
        /// The 429 itself, unless an earlier one blocked this request before it was sent.
        answer: Option<Box<Response>>,
    },
}

/// The certificates of [`Settings::extra_ca`] could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not PEM, or PEM without a certificate.
    #[error("the extra certificates hold no certificate in PEM form")]
    NoCertificate,
    /// The TLS stack refused them.
    #[error("the extra certificates cannot be used")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The client: one pool of connections for the whole process.
///
/// Proxies named by the environment (`HTTPS_PROXY`, `NO_PROXY` and the rest) are used, except towards loopback
/// and the instance metadata service. Redirects are answers, never followed: a credential goes to no address but
/// the one that it was meant for.
pub struct Http {
    /// Through the environment's proxy, if it names one.
    client: Client,
    /// To what must not be reached through a proxy.
    direct: Client,
    settings: Settings,
    budgets: Arc<budget::Registry>,
    clocks: clock::Clocks,
}

impl Http {
    /// The client for `settings`.
    ///
    /// # Errors
    /// When the extra certificates cannot be used.
    pub fn new(settings: &Settings) -> Result<Arc<Self>, SetupError> {
        Self::of(settings, Arc::default())
    }

    /// The client for `settings` in the place of this one: what a credential was asked to wait, what is left to it and
    /// what it was used for are known to both.
    ///
    /// # Errors
    /// As [`Http::new`].
    pub fn then(self: &Arc<Self>, settings: &Settings) -> Result<Arc<Self>, SetupError> {
        if self.settings == *settings {
            return Ok(Arc::clone(self));
        }
        Self::of(settings, Arc::clone(&self.budgets))
    }

    fn of(settings: &Settings, budgets: Arc<budget::Registry>) -> Result<Arc<Self>, SetupError> {
        let certificates = match &settings.extra_ca {
            Some(pem) => Certificate::from_pem_bundle(pem).map_err(|_| SetupError::NoCertificate)?,
            None => Vec::new(),
        };
        if settings.extra_ca.is_some() && certificates.is_empty() {
            return Err(SetupError::NoCertificate);
        }
        let build = |direct: bool| {
            let mut builder = Client::builder()
                .use_rustls_tls()
                .user_agent(USER_AGENT)
                .redirect(redirect::Policy::none())
                .referer(false)
                .connect_timeout(settings.attempt.min(CONNECT))
                .pool_idle_timeout(IDLE)
                .tcp_keepalive(IDLE);
            for certificate in &certificates {
                builder = builder.add_root_certificate(certificate.clone());
            }
            if direct {
                builder = builder.no_proxy();
            }
            builder.build().map_err(|error| SetupError::Refused(error.into()))
        };
        Ok(Arc::new(Self {
            client: build(false)?,
            direct: build(true)?,
            settings: settings.clone(),
            budgets,
            clocks: clock::Clocks::default(),
        }))
    }

    /// The one budget of `credential` in this process, made with `windows` when first asked for.
    ///
    /// Two accounts with the same token share what the service allows that token. The credential itself is not kept.
    #[must_use]
    pub fn budget(&self, name: &str, credential: &str, windows: &[Window]) -> Arc<Budget> {
        self.budgets.of(name, credential, windows)
    }

    /// What every budget was used for so far, by name.
    #[must_use]
    pub fn metered(&self) -> Vec<Metered> {
        self.budgets.metered()
    }

    /// How far the clocks of the services that answered so far are from this host's.
    #[must_use]
    pub fn clocks(&self) -> Vec<Skew> {
        self.clocks.all()
    }

    /// Sends `request` when `budget` allows it, and again as far as the policy allows, until an answer has come
    /// or the deadline has passed, which comes sooner for whoever is in [`Haste`]. Any complete answer is a [`Response`], whatever its status, except 429.
    ///
    /// # Errors
    /// [`Failure`] tells whether the service may have acted.
    pub async fn send(&self, budget: &Budget, request: Request) -> Result<Response, Failure> {
        let reach = Reach::of(&request.url);
        if request.url.scheme() != "https" && reach == Reach::Anywhere {
            return Err(Failure::not_done(PLAIN));
        }
        let request = request.with_client_request_id();
        let mut deadline = Haste::deadline(self.settings.deadline);
        let mut tries = 0;
        loop {
            let asked = Instant::now();
            let turn = budget.acquire(&request.method, deadline).await;
            let turn = turn.map_err(|delay| Failure::Throttled { delay, named: true, answer: None })?;
            deadline += asked.elapsed().saturating_sub(turn.asked_to_wait());
            tries += 1;
            let metered = budget.meter.attempt();
            let outcome = self.attempt(reach, &request, self.settings.attempt).await;
            metered.end(Ended::with(outcome.as_ref().ok().map(|response| response.status.as_u16())));
            if let Ok(response) = &outcome {
                budget.learn(&request.method, &response.headers);
            }
            drop(turn);
            if let Ok(response) = &outcome
                && response.status == 429
            {
                let retry::Throttle { delay, named, hopeless } = retry::throttle(&response.headers, tries);
                budget.block(Instant::now() + delay);
                if hopeless || Instant::now() + delay > deadline {
                    let answer = Some(Box::new(response.clone()));
                    return Err(Failure::Throttled { delay, named, answer });
                }
                continue; // the budget keeps everyone waiting, this request too
            }
            let again = match &outcome {
                Ok(response) => retry::after_answer(request.effect, response, tries),
                Err(broken) => retry::after_break(request.effect, broken, tries),
            };
            match again.filter(|delay| Instant::now() + *delay < deadline) {
                Some(delay) => sleep(delay).await,
                None => return outcome.map_err(|broken| broken.into_failure(tries)),
            }
        }
    }

    /// Sends `request` once, for whoever has a patience of their own. `limit` is how long the answer may take;
    /// connecting has its own time besides, so that a service which cannot be reached is known for one.
    ///
    /// # Errors
    /// [`Failure`] tells whether the service may have acted.
    pub async fn once(&self, request: &Request, limit: Duration) -> Result<Response, Failure> {
        let reach = Reach::of(&request.url);
        if request.url.scheme() != "https" && reach != Reach::Loopback {
            return Err(Failure::not_done(PLAIN));
        }
        let limit = limit.saturating_add(self.settings.attempt.min(CONNECT));
        self.attempt(reach, request, limit).await.map_err(|broken| broken.into_failure(1))
    }

    async fn attempt(&self, reach: Reach, request: &Request, limit: Duration) -> Result<Response, Broken> {
        let started = Instant::now();
        let mut seen = None;
        let outcome = match timeout(limit, self.exchange(reach, request, &mut seen)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Broken::after(format!("no whole answer within {}", retry::shown(limit)), None)),
        };
        let id = seen.as_ref().and_then(Seen::request_id);
        let outcome = outcome.map_err(|broken| broken.identified(id));
        if let (Effect::Write, Some(id)) = (request.effect, id) {
            Trail::note(id);
        }
        tracing::debug!(
            method = %request.method,
            host = request.url.host_str().unwrap_or_default(),
            path = request.path(),
            status = seen.as_ref().map(|seen| seen.status.as_u16()),
            ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            client_request_id = request.client_request_id(),
            request_id = id,
            error = outcome.as_ref().err().map(|broken| broken.what.as_str()),
            "request"
        );
        outcome
    }

    async fn exchange(
        &self,
        reach: Reach,
        request: &Request,
        seen: &mut Option<Seen>,
    ) -> Result<Response, Broken> {
        let client = if reach == Reach::Anywhere { &self.client } else { &self.direct };
        let began = SystemTime::now();
        let sent = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send()
            .await;
        let mut answer = sent.map_err(|error| {
            if error.is_connect() {
                Broken::before("could not connect".into(), error)
            } else if error.is_builder() {
                Broken::before("the request is malformed".into(), error)
            } else {
                Broken::after("the connection broke before an answer came".into(), Some(error))
            }
        })?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        self.clocks.note(&request.url, &headers, began, SystemTime::now());
        *seen = Some(Seen { status, headers: headers.clone() });
        let mut body = BytesMut::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > LARGEST_BODY => {
                    return Err(Broken::after("the answer is larger than 32 MiB".into(), None));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(Response { status, headers, body: Bytes::from(body) }),
                Err(error) => {
                    let what = format!("the answer {} broke off after {} bytes", status.as_u16(), body.len());
                    return Err(Broken::after(what, Some(error)));
                }
            }
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Failure {
    /// Nothing was sent, for a reason of our own.
    pub(crate) fn not_done(what: impl Into<String>) -> Self {
        Self::NotDone { what: what.into(), source: None }
    }
}

fn throttled(delay: Duration, named: bool) -> String {
    if named {
        format!("the service asks to wait {}s", whole_seconds(delay))
    } else {
        "the service refuses any more for now, and does not say for how long".to_owned()
    }
}

/// Whether plain http may be used towards `url`: loopback, and the instance metadata service, which has no TLS.
#[must_use]
pub fn allows_plain_http(url: &Url) -> bool {
    Reach::of(url) != Reach::Anywhere
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Loopback,
    Metadata,
    Anywhere,
}

impl Reach {
    fn of(url: &Url) -> Self {
        match url.host() {
            Some(url::Host::Ipv4(ip)) if ip.is_loopback() => Self::Loopback,
            Some(url::Host::Ipv4(ip)) if ip.octets() == METADATA_SERVICE => Self::Metadata,
            Some(url::Host::Ipv6(ip)) if ip.is_loopback() => Self::Loopback,
            // RFC 6761, 6.3: never anything but loopback.
            Some(url::Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => {
                Self::Loopback
            }
            _ => Self::Anywhere,
        }
    }
}

/// The head of an answer whose body may never arrive whole.
struct Seen {
    status: reqwest::StatusCode,
    headers: reqwest::header::HeaderMap,
}

impl Seen {
    fn request_id(&self) -> Option<&str> {
        message::request_id(&self.headers)
    }
}

/// An attempt without a whole answer.
#[derive(Debug)]
struct Broken {
    /// Whether the service cannot have seen the request.
    unsent: bool,
    /// Whether trying again cannot help: a certificate does not become valid in a second.
    hopeless: bool,
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Broken {
    fn before(what: String, error: reqwest::Error) -> Self {
        let hopeless = error.is_builder() || retry::is_refused_certificate(&error);
        Self { unsent: true, hopeless, what, source: Some(error.without_url().into()) }
    }

    fn after(what: String, error: Option<reqwest::Error>) -> Self {
        let source = error.map(|error| error.without_url().into());
        Self { unsent: false, hopeless: false, what, source }
    }

    fn identified(mut self, id: Option<&str>) -> Self {
        if let Some(id) = id {
            self.what = format!("{} (request id {id})", self.what);
        }
        self
    }

    fn into_failure(self, tries: u32) -> Failure {
        let Self { unsent, what, source, .. } = self;
        let what = if tries > 1 { format!("{what}, {tries} times") } else { what };
        if unsent { Failure::NotDone { what, source } } else { Failure::Lost { what, source } }
    }
}

const PLAIN: &str = "plain http is for loopback addresses only";
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("cnamed/", env!("CARGO_PKG_VERSION")));
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// The instance metadata service of Azure: link-local, plain http, and never behind a proxy.
const METADATA_SERVICE: [u8; 4] = [169, 254, 169, 254];
/// Longer than any handshake that will succeed.
const CONNECT: Duration = Duration::from_secs(10);
/// Below the idle limit of Azure's and Cloudflare's front ends, so that a pooled connection is seldom a dead one.
const IDLE: Duration = Duration::from_secs(60);
/// A page of 1,000 records is about half a MiB.
const LARGEST_BODY: usize = 32 << 20;
