//! The service, for whoever looks: a status page, JSON, metrics and probes over HTTP/1.1. Nothing can be changed here.
//!
//! What a hostile client can cost is bounded: in connections, in octets of a request, and in time, idle or not.

mod answer;
mod host;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::clock::Clock;
use super::metrics::{self, Format};
use super::page;
use super::snapshot::Snapshot;
use crate::model::moment;
use answer::{Answer, Response};
use host::Known;

/// Listening, and not answering yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    known: Known,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: set another address with listen in [http]")]
pub struct BindError {
    listen: SocketAddr,
    source: io::Error,
}

impl Server {
    /// Listens on `listen`; port 0 takes a free one. The address is the one that was taken.
    ///
    /// # Errors
    /// When the address is not this host's, or somebody listens there already.
    pub async fn bind(listen: SocketAddr) -> Result<(Self, SocketAddr), BindError> {
        let failed = |source| BindError { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok((Self { listener, known: Known::default() }, address))
    }

    /// Answers to these host names too, besides addresses and `localhost`. Any other name in a request's `Host` is
    /// refused: a page of somebody else's could make its own name lead here, and read along.
    #[must_use]
    pub fn known_as(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.known = Known::by(names);
        self
    }

    /// Answers from the latest of `snapshots` until `shutdown` is ready. Answers that are under way then have
    /// [`FAREWELL`] to end.
    pub async fn serve(
        self,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        clock: Clock,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let desk = Arc::new(Desk { snapshots, clock, known: self.known });
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let (closing, closed) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            // Whoever comes when all places are taken waits in the kernel's queue.
            let arrived = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            tokio::select! {
                () = &mut shutdown => break,
                (place, accepted) = arrived => match accepted {
                    Ok((stream, _)) => {
                        let served = connection(stream, Arc::clone(&desk), closed.clone());
                        connections.spawn(async move {
                            let _place = place;
                            served.await;
                        });
                    }
                    // Out of files, as a rule: there are none sooner for being asked for at once.
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not taken");
                        sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.listener);
        let _ = closing.send(true);
        let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
    }
}

async fn connection(stream: TcpStream, desk: Arc<Desk>, mut closed: watch::Receiver<bool>) {
    // Small answers must not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request: Request<Incoming>| {
        let answer = desk.answer(&request);
        async move { Ok::<Response, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    let mut served = std::pin::pin!(served);
    // A connection that breaks off is the client's business.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = closed.wait_for(|closed| *closed) => {}
        () = sleep(LIFE) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(FAREWELL, served).await;
}

/// What a request is answered from.
struct Desk {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    clock: Clock,
    known: Known,
}

impl Desk {
    fn answer(&self, request: &Request<Incoming>) -> Response {
        let answer = self.checked(request).unwrap_or_else(|refusal| refusal);
        tracing::debug!(method = %request.method(), path = request.uri().path(), "asked for the status");
        answer.into_response()
    }

    fn checked(&self, request: &Request<Incoming>) -> Result<Answer, Answer> {
        if !self.known.names(request) {
            let text = "this host goes by another name; add yours to names in [http]\n";
            return Err(Answer::text(StatusCode::MISDIRECTED_REQUEST, text));
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let text = "there is nothing to change here; only GET and HEAD are answered\n";
            return Err(Answer::text(StatusCode::METHOD_NOT_ALLOWED, text).allowing("GET, HEAD"));
        }
        // Nothing here takes a body, and one that is not read would be taken for the next request.
        let headers = request.headers();
        let length = headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
        if length || headers.contains_key(TRANSFER_ENCODING) || !request.body().is_end_stream() {
            let text = "a request here has no body\n";
            return Err(Answer::text(StatusCode::PAYLOAD_TOO_LARGE, text).closing());
        }
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let now = self.clock.now();
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        match request.uri().path() {
            "/" => Ok(Answer::new("text/html; charset=utf-8", page::render(&snapshot, now))),
            "/page.css" => Ok(Answer::new("text/css; charset=utf-8", page::STYLE)),
            "/page.js" => Ok(Answer::new("text/javascript; charset=utf-8", page::SCRIPT)),
            "/icon.svg" => Ok(Answer::new("image/svg+xml", page::ICON)),
            "/status.json" => Ok(Answer::json(StatusCode::OK, &Document::of(&snapshot, now))),
            "/metrics" => {
                let format = Format::accepted(accept);
                Ok(Answer::new(format.content_type(), metrics::render(&snapshot, now, format)))
            }
            "/healthz" => Ok(Answer::probe(healthy(&snapshot), accept)),
            "/readyz" => Ok(Answer::probe(ready(&snapshot, now), accept)),
            _ => Err(Answer::text(StatusCode::NOT_FOUND, "there is nothing here; see /\n")),
        }
    }
}

/// Whether the loop turns.
fn healthy(snapshot: &Snapshot) -> Result<(), String> {
    match snapshot.beat.stalled() {
        None => Ok(()),
        Some(age) => Err(format!("the loop has not turned for {} s", age.as_secs())),
    }
}

/// Whether it converged lately: one that does not turn does not converge.
fn ready(snapshot: &Snapshot, now: OffsetDateTime) -> Result<(), String> {
    healthy(snapshot).and_then(|()| snapshot.readiness(now))
}

/// `/status.json`.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Document<'s> {
    /// The contract's version.
    version: u32,
    /// When this was written.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    at: OffsetDateTime,
    /// Whether the service moves.
    healthy: bool,
    /// Whether it was in sync lately.
    ready: bool,
    /// Why it is not ready.
    reason: Option<String>,
    #[serde(flatten)]
    snapshot: &'s Snapshot,
}

impl<'s> Document<'s> {
    fn of(snapshot: &'s Snapshot, now: OffsetDateTime) -> Self {
        let reason = ready(snapshot, now).err();
        let healthy = healthy(snapshot).is_ok();
        Self { version: 1, at: now, healthy, ready: reason.is_none(), reason, snapshot }
    }
}

/// As many connections as are served at once: a browser takes six, a scraper one.
const CONNECTIONS: usize = 24;
/// How long a client may take to send the head of a request, or stay silent between two.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last in all, however slowly its client reads.
const LIFE: Duration = Duration::from_secs(60);
/// How long what is under way may take to end.
pub const FAREWELL: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// In octets: a browser sends less than one KiB. The least that hyper takes.
const LARGEST_HEAD: usize = 8 << 10;
const MOST_HEADERS: usize = 64;
