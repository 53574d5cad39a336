//! The prober over TCP, directly or through a SOCKS5 proxy.

mod socks;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::socks::ProxyError;
use super::{Finding, Prober, Quiet};
use crate::model::greeting::{Greeting, Heard, Parser, Service};

/// How to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long one probe takes at most, from the first packet to the end of the greeting: 1ms to 1m.
    pub limit: Duration,
    /// A SOCKS5 proxy without authentication to go through, as `host:port`, `ip:port` or `[ip]:port`; for hosts
    /// that the rules do not let in themselves.
    pub proxy: Option<String>,
}

impl Default for Settings {
    /// Directly, for ten seconds: a lost first packet is sent again after one and after three (RFC 6298, 2).
    fn default() -> Self {
        Self { limit: Duration::from_secs(10), proxy: None }
    }
}

/// Why [`Settings`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Every service would look silent, or a silent one would hold up everything.
    #[error("a time limit of {} is outside 1ms to 1m", humantime::format_duration(*.0))]
    Limit(Duration),
}

/// Probes over TCP. Holds nothing between probes: each opens one connection and closes it.
#[derive(Clone, Debug)]
pub struct TcpProber {
    settings: Settings,
}

impl TcpProber {
    /// A prober; opens nothing yet.
    ///
    /// # Errors
    /// When the time limit is out of its range.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        if !(SHORTEST..=LONGEST).contains(&settings.limit) {
            return Err(SettingsError::Limit(settings.limit));
        }
        Ok(Self { settings: settings.clone() })
    }

    /// A way to the address, or what the attempt has found.
    async fn open(&self, address: SocketAddr, deadline: Instant) -> Result<Way, Finding> {
        match &self.settings.proxy {
            None => Ok(Way { stream: direct(address, deadline).await?, proxy: None }),
            Some(proxy) => through(proxy, address, deadline).await,
        }
    }
}

/// A connection that can be read and written.
struct Way {
    stream: TcpStream,
    /// The proxy that says that it has connected: only a byte from behind it proves that it has.
    proxy: Option<String>,
}

impl Way {
    /// What it means that not a single byte came.
    fn nothing(self, service: Service, quiet: Quiet) -> Finding {
        match (self.proxy, quiet) {
            (None, quiet) => Finding::Mute(quiet),
            (Some(proxy), Quiet::Closed) => Finding::Failed(format!(
                "the proxy {proxy} hung up without a word, be it the service's doing or its own"
            )),
            (Some(proxy), _) if service == Service::Tcp => Finding::Failed(format!(
                "the proxy {proxy} says that it has connected, and nothing came from behind it to prove that"
            )),
            (Some(_), _) => Finding::Mute(Quiet::Proxied),
        }
    }
}

#[async_trait]
impl Prober for TcpProber {
    async fn greet(&self, address: SocketAddr, service: Service) -> Finding {
        let deadline = Instant::now() + self.settings.limit;
        let mut way = match self.open(address, deadline).await {
            Ok(way) => way,
            Err(finding) => return finding,
        };
        // Whether it could be sent shows in what comes back: some say what they think of us before they hang up.
        let _ = timeout_at(deadline, way.stream.write_all(service.opening())).await;
        let mut parser = Parser::new(service);
        let mut buffer = [0; 512];
        let mut read = 0;
        loop {
            match parser.feed(&buffer[..read]) {
                Heard::NeedMore => {}
                Heard::Greeted(Greeting::Tcp) if way.proxy.is_some() && read == 0 => {}
                Heard::Greeted(greeting) => return Finding::Greeted(greeting.clone()),
                Heard::Other(stranger) => return Finding::Other(stranger.clone()),
            }
            let quiet = match timeout_at(deadline, way.stream.read(&mut buffer)).await {
                Ok(Ok(count)) if count > 0 => {
                    read = count;
                    continue;
                }
                Ok(Err(error)) if !is_closed(error.kind()) => {
                    return Finding::Failed(format!("the connection broke: {error}"));
                }
                Ok(_) => Quiet::Closed,
                Err(_) => Quiet::Waited,
            };
            return parser.unfinished().map_or_else(|| way.nothing(service, quiet), Finding::Other);
        }
    }
}

async fn direct(address: SocketAddr, deadline: Instant) -> Result<TcpStream, Finding> {
    let stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(match error.kind() {
                // A reset in place of an answer is a refusal too (RFC 9293, 3.10.7.3).
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Finding::Refused,
                ErrorKind::TimedOut => Finding::Silent { proxy: None },
                // No route, no permission, no socket left: it says more about this host than about the way in.
                _ => Finding::Failed(format!("this host cannot connect: {error}")),
            });
        }
        Err(_) => return Err(Finding::Silent { proxy: None }),
    };
    // On one host, a connection to a port that nobody listens on can meet itself, when its own port happens to be
    // that one (RFC 9293, 3.5: simultaneous open).
    match stream.local_addr() {
        Ok(own) if own == address => Err(Finding::Refused),
        _ => Ok(stream),
    }
}

async fn through(proxy: &str, address: SocketAddr, deadline: Instant) -> Result<Way, Finding> {
    let failed = |what: String| Finding::Failed(format!("the proxy {proxy} {what}"));
    let mut stream = match timeout_at(deadline, TcpStream::connect(proxy)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(format!("cannot be reached: {error}"))),
        Err(_) => return Err(failed("cannot be reached: no answer in time".into())),
    };
    match timeout_at(deadline, socks::agree(&mut stream)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failed(format!("does not serve: {}", chain(&error)))),
        Err(_) => return Err(failed("does not serve: it says nothing; is it SOCKS5?".into())),
    }
    match timeout_at(deadline, socks::connect(&mut stream, address)).await {
        Ok(Ok(())) => Ok(Way { stream, proxy: Some(proxy.into()) }),
        Ok(Err(ProxyError::Reply(socks::REFUSED))) => Err(Finding::Refused),
        Ok(Err(
            error @ ProxyError::Reply(
                socks::NETWORK_UNREACHABLE | socks::HOST_UNREACHABLE | socks::TTL_EXPIRED,
            ),
        )) => Err(Finding::Silent { proxy: Some(format!("the proxy {proxy} says: {error}")) }),
        Ok(Err(ProxyError::Io(_))) => {
            Err(failed("hung up in place of an answer, as some do that cannot connect".into()))
        }
        Ok(Err(error)) => Err(failed(format!("did not connect: {error}"))),
        Err(_) => {
            let words = format!("the proxy {proxy} was still trying to connect when time was up");
            Err(Finding::Silent { proxy: Some(words) })
        }
    }
}

/// Whether the other side has ended the connection; a reset is how it does so with our bytes unread.
const fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe)
}

/// An error and its cause, each said once.
fn chain(error: &ProxyError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Shorter limits are over before a connection can be.
const SHORTEST: Duration = Duration::from_millis(1);
/// Longer ones hold up whoever waits for the result.
const LONGEST: Duration = Duration::from_secs(60);
