//! A visitor of the status page, all day long.

use std::io;
use std::net::SocketAddr;

use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

use super::Story;

/// What the visitor was given.
#[derive(Debug, Default)]
pub(super) struct Visits {
    /// How many pages.
    pub(super) answers: usize,
    /// What was wrong with the first that was not as it should be.
    pub(super) wrong: Option<String>,
    /// When `/readyz` changed its mind, and to what.
    pub(super) ready: Vec<(OffsetDateTime, bool)>,
}

impl Visits {
    pub(super) fn is_ready(&self) -> bool {
        self.ready.last().is_some_and(|(_, ready)| *ready)
    }
}

impl Story<'_> {
    /// Asks for the page again and again, until it is over.
    pub(super) async fn visit(&self, mut over: watch::Receiver<bool>) {
        while !*over.borrow_and_update() {
            let (page, healthy, ready) =
                futures::join!(self.get("/"), self.get("/healthz"), self.get("/readyz"));
            self.note_visit(page, healthy, ready);
            let _ = timeout(PAUSE, over.changed()).await;
        }
    }

    fn note_visit(&self, page: io::Result<Reply>, healthy: io::Result<Reply>, ready: io::Result<Reply>) {
        let now = self.clock.calendar();
        let mut visits = self.visits.borrow_mut();
        visits.answers += 1;
        let mut wrong = |what: &str| {
            visits.wrong.get_or_insert_with(|| format!("{}: {what}", super::telling::hour(now)));
        };
        match &page {
            Err(error) => wrong(&format!("no page: {error}")),
            Ok(page) if page.status != 200 || !page.body.contains("<!doctype html>") => {
                wrong("it is no page")
            }
            Ok(page) => {
                if let Some(missing) = page.missing() {
                    wrong(&format!("without {missing}"));
                }
            }
        }
        if healthy.is_ok_and(|healthy| healthy.status != 200) {
            wrong("not healthy");
        }
        if let Ok(ready) = ready {
            let ready = ready.status == 200;
            if visits.ready.last().is_none_or(|(_, before)| *before != ready) {
                visits.ready.push((now, ready));
            }
        }
    }

    /// What the page's server answers at `path`.
    pub(super) async fn get(&self, path: &str) -> io::Result<Reply> {
        let answer = timeout(LIMIT, Reply::of(self.address, path));
        answer.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    /// The headers, a line each, in lower case.
    head: String,
    pub(super) body: String,
}

impl Reply {
    async fn of(address: SocketAddr, path: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }

    /// The first header that keeps others out and is not there.
    fn missing(&self) -> Option<&'static str> {
        STRICT.into_iter().find(|header| !self.head.contains(header))
    }
}

/// What a page that is nobody else's business has to say of itself.
const STRICT: [&str; 5] = [
    "content-security-policy: default-src 'none'",
    "x-content-type-options: nosniff",
    "x-frame-options: deny",
    "referrer-policy: no-referrer",
    "cross-origin-resource-policy: same-origin",
];
const PAUSE: Duration = Duration::from_millis(250);
const LIMIT: Duration = Duration::from_secs(10);
