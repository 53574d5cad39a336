//! The one HTTP server behind all services: it collects a request, plays faults, asks the service, and records.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;

use super::clock::Clock;
use super::exchange::{Payload, Request, Response, Service};
use super::fault::{Action, HoldPoint, Verdict};
use super::record;
use super::world::{Cloud, World};

/// A service: what it answers in the present state of the world.
pub(crate) type Handler = fn(&mut World, &Request) -> Response;

/// Serves until dropped; every connection ends with it.
pub(crate) async fn serve(
    service: Service,
    listener: TcpListener,
    tls: TlsAcceptor,
    cloud: Cloud,
    handler: Handler,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Small answers must not wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                let (tls, cloud) = (tls.clone(), cloud.clone());
                connections.spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, move |request| {
                            let cloud = cloud.clone();
                            async move {
                                let request = collect(service, request).await?;
                                exchange(&cloud, request, handler).await
                            }
                        })
                        .await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Speaks HTTP/1.1 on one connection until it ends.
pub(crate) async fn connection<S, F, A>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(hyper::Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Result<hyper::Response<Octets>, Broken>> + Send + 'static,
{
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
    // A connection that broke off is the client's business, or a fault that was asked for.
    drop(served);
}

/// Reads a request to its end.
pub(crate) async fn collect(service: Service, request: hyper::Request<Incoming>) -> Result<Request, Broken> {
    let (parts, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(|_| Broken)?.into_data() {
            body.extend_from_slice(&data);
        }
    }
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let query = parts.uri.query().unwrap_or_default();
    Ok(Request::new(service, parts.method.as_str(), parts.uri.path(), query, headers, body.into()))
}

async fn exchange(
    cloud: &Cloud,
    request: Request,
    handler: Handler,
) -> Result<hyper::Response<Octets>, Broken> {
    let (number, verdict, hold, clock) = cloud.with(|world| {
        let number = world.log.arrived(&request, world.clock.elapsed());
        let verdict = Verdict::from(world.faults.strike(&request));
        (number, verdict, world.faults.holds(&request, number), world.clock)
    });
    cloud.announce();
    if !verdict.latency.is_zero() {
        sleep(clock.outside(verdict.latency)).await;
    }
    if hold == Some(HoldPoint::Before) {
        released(cloud, number).await;
    }

    let finish = |status, faulted| {
        cloud.with(|world| world.log.answered(number, status, faulted));
        cloud.announce();
    };
    let mut after = None;
    for action in verdict.actions {
        match action {
            Action::Status { status, headers, body } => {
                finish(Some(status), true);
                let body = if body.is_null() { Payload::Empty } else { Payload::Json(body) };
                let headers = told(clock, headers);
                return Ok(wire(Response { status, headers, body }));
            }
            Action::Html { status, headers } => {
                finish(Some(status), true);
                let page = Payload::Text("text/html; charset=utf-8".into(), HTML.into());
                let headers = told(clock, headers);
                return Ok(wire(Response { status, headers, body: page }));
            }
            Action::Reset => {
                finish(None, true);
                return Err(Broken);
            }
            Action::Hang => {
                finish(None, true);
                return std::future::pending().await;
            }
            other => after = Some(other),
        }
    }

    let response = cloud.with(|world| {
        match &after {
            Some(Action::OperationFails { code, message, details }) => {
                world.azure.fail_next_operation(code, message, details);
            }
            Some(Action::OperationSuperseded { changes }) => world.azure.supersede_next_operation(changes),
            _ => {}
        }
        let response = handler(world, &request);
        world.azure.forget_end();
        if hold == Some(HoldPoint::After) {
            world.faults.processed(number);
        }
        if let (Some(directory), None) = (&world.options.record, &after) {
            // A recording that cannot be written shows as a missing file to whoever judges them.
            let _ = record::write(directory, number, &request, &response);
        }
        response
    });
    cloud.announce();
    if hold == Some(HoldPoint::After) {
        released(cloud, number).await;
    }
    match after {
        Some(Action::LostAnswer) => {
            finish(None, true);
            Err(Broken)
        }
        Some(Action::Truncated) => {
            finish(Some(response.status), true);
            let mut cut = wire(response);
            cut.body_mut().cut();
            Ok(cut)
        }
        Some(Action::Date { ahead }) => {
            finish(Some(response.status), true);
            Ok(wire(response.with("date", date(ahead))))
        }
        other => {
            finish(Some(response.status), other.is_some());
            Ok(wire(response))
        }
    }
}

/// The headers of a fault as a client gets them: a `Retry-After` counts the world's seconds where it was written.
fn told(clock: Clock, mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    for (name, value) in &mut headers {
        let seconds = value.parse().ok().filter(|_| name.eq_ignore_ascii_case("retry-after"));
        *value = seconds.map_or_else(|| value.clone(), |seconds| clock.outside_seconds(seconds).to_string());
    }
    headers
}

/// The time as an HTTP date (RFC 9110, 5.6.7), so many seconds from now.
fn date(ahead: i64) -> String {
    let off = Duration::from_secs(ahead.unsigned_abs());
    let now = SystemTime::now();
    let then = if ahead < 0 { now.checked_sub(off) } else { now.checked_add(off) };
    httpdate::fmt_http_date(then.unwrap_or(now))
}

/// Waits until request `number` is not held any more.
async fn released(cloud: &Cloud, number: usize) {
    cloud.until(|world| (world.faults.held() != Some(number)).then_some(())).await;
}

/// An answer as hyper wants it.
pub(crate) fn wire(response: Response) -> hyper::Response<Octets> {
    let (content_type, octets) = match response.body {
        Payload::Empty => (None, Bytes::new()),
        Payload::Json(value) => (Some(JSON.to_owned()), json_octets(&value)),
        Payload::Text(content_type, text) => (Some(content_type), text.into()),
    };
    let mut builder = hyper::Response::builder().status(response.status);
    if let Some(content_type) = content_type {
        builder = builder.header("content-type", content_type);
    }
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    builder.body(Octets::new(octets)).unwrap_or_else(|_| {
        // Only a fault that was asked for with an impossible header comes here.
        let mut broken = hyper::Response::new(Octets::new(Bytes::new()));
        *broken.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}

fn json_octets(value: &Value) -> Bytes {
    value.to_string().into()
}

/// The listener of one service, on a free loopback port.
pub(crate) async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).await
}

/// The connection ends here, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the connection was broken off")]
pub(crate) struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A body that is sent whole, or half.
#[derive(Debug)]
pub(crate) struct Octets {
    rest: Option<Bytes>,
    length: u64,
    /// Until when a body that is cut waits with its end: a stream that is reset at once takes along what waits to
    /// be written, the head of the answer too.
    cut: Option<Pin<Box<Sleep>>>,
}

impl Octets {
    fn new(octets: Bytes) -> Self {
        Self { length: octets.len() as u64, rest: (!octets.is_empty()).then_some(octets), cut: None }
    }

    fn cut(&mut self) {
        self.cut = Some(Box::pin(sleep(CUT)));
        if let Some(octets) = &mut self.rest {
            octets.truncate(octets.len() / 2);
        }
    }
}

impl Body for Octets {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match (self.rest.take(), &mut self.cut) {
            (Some(octets), _) => Poll::Ready(Some(Ok(Frame::data(octets)))),
            (None, Some(cut)) => cut.as_mut().poll(context).map(|()| Some(Err(Broken))),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

const JSON: &str = "application/json; charset=utf-8";
/// Longer than half an answer takes to be written on loopback.
const CUT: Duration = Duration::from_millis(100);
const HTML: &str =
    "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";
