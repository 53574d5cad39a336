//! Requests and answers, octet by octet, over loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cnamed::telemetry::clock::Clock;
use cnamed::telemetry::server::Server;
use cnamed::telemetry::snapshot::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::scenes;
use crate::manual::Manual;

/// A server of its own.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) task: JoinHandle<()>,
}

impl Served {
    /// On `listen`.
    pub(super) async fn at(listen: SocketAddr, snapshot: Snapshot) -> Self {
        let clock = Clock::new(scenes::now);
        let (server, address) = Server::bind(listen).await.unwrap();
        let server = server.known_as(["status.example.com".to_owned()]);
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(receiver, clock, async {
            let _ = stopped.await;
        }));
        Self { address, snapshots, stop, task }
    }

    pub(super) async fn of(snapshot: Snapshot) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), snapshot).await
    }

    /// Sends `request` as it is and reads until the server ends the connection.
    pub(super) async fn raw(&self, request: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        Reply::read(&mut stream).await
    }

    pub(super) async fn ask(&self, method: &str, path: &str, headers: &str) -> Reply {
        let host = self.address;
        self.raw(&format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n"))
            .await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "").await
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) async fn read(stream: &mut TcpStream) -> Self {
        let mut octets = Vec::new();
        // A server that refuses while the client still writes may reset what it did not read.
        let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut octets)).await.expect("an end");
        let text = String::from_utf8(octets).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

#[tokio::test]
async fn every_path_answers_in_its_own_type_and_with_every_security_header() {
    let served = Served::of(scenes::healthy()).await;
    for (path, status, content_type) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/?any=query", 200, "text/html; charset=utf-8"),
        ("/status.json", 200, "application/json"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/healthz", 200, "text/plain; charset=utf-8"),
        ("/readyz", 200, "text/plain; charset=utf-8"),
        ("/page.css", 200, "text/css; charset=utf-8"),
        ("/page.js", 200, "text/javascript; charset=utf-8"),
        ("/icon.svg", 200, "image/svg+xml"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
        ("//", 404, "text/plain; charset=utf-8"),
        ("/../etc/passwd", 404, "text/plain; charset=utf-8"),
    ] {
        let reply = served.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (status, Some(content_type)), "{path}");
        assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()), "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
        assert!(reply.header("permissions-policy").is_some_and(|policy| policy.contains("camera=()")));
    }
}

#[tokio::test]
async fn head_gives_the_head_and_whatever_would_change_something_is_refused() {
    let served = Served::of(scenes::healthy()).await;
    for path in ["/", "/status.json", "/page.css"] {
        let (get, head) = (served.get(path).await, served.ask("HEAD", path, "").await);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        let reply = served.ask(method, "/", "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let reply = served.ask("GET", "/", "content-length: 5\r\n").await;
    assert_eq!(reply.status, 413);
    let chunked = served.ask("GET", "/", "transfer-encoding: chunked\r\n").await;
    assert_eq!((chunked.status, chunked.header("connection")), (413, Some("close")));
}

#[tokio::test]
async fn another_host_name_is_refused_since_it_may_be_rebound() {
    let served = Served::of(scenes::healthy()).await;
    let ask = |host: &str| format!("GET /status.json HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    for host in ["localhost:9953", "127.0.0.1", "[::1]:1", "192.0.2.7:9953", "status.example.com"] {
        assert_eq!(served.raw(&ask(host)).await.status, 200, "{host}");
    }
    for host in ["rebound.example", "127.0.0.1.example", "status.example.com.evil.example"] {
        let reply = served.raw(&ask(host)).await;
        assert_eq!(reply.status, 421, "{host}");
        assert!(!reply.body.contains("jumpstation"), "{host}");
    }
}

#[tokio::test]
async fn the_json_is_a_contract_and_holds_the_round_the_history_and_the_reasons() {
    let served = Served::of(scenes::resting()).await;
    let reply = served.get("/status.json").await;
    let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((&json["version"], &json["healthy"]), (&1.into(), &true.into()));
    assert_eq!(json["ready"], false);
    let reason = json["reason"].as_str().unwrap();
    assert!(reason.starts_with("last in sync 742 s ago: could not read "), "{reason}");
    assert_eq!((&json["last"]["version"], &json["last"]["outcome"]), (&1.into(), &"partial".into()));
    assert_eq!((&json["last"]["trigger"], &json["last"]["took_s"]), (&"timer".into(), &0.84.into()));
    assert_eq!(json["last"]["chains"][1]["endpoint"], "jump");
    assert_eq!(json["last"]["records"][0]["endpoint"], "jump");
    assert_eq!(json["next"], "2026-11-22T12:00:42.000Z");
    let at = [&json["at"], &json["started"], &json["last"]["at"], &json["history"][0]["at"]];
    assert!(at.iter().all(|at| at.as_str().unwrap().len() == "2026-11-22T12:00:42.000Z".len()), "{at:?}");
    assert_eq!((&json["resting"][0]["account"], &json["resting"][0]["failures"]), (&"cf".into(), &4.into()));
    assert_eq!(json["history"][0]["entry"], "change");
    assert_eq!(json["history"][0]["agreed"][0]["after_ms"], 3_400);
    assert_eq!(json["history"][2]["kind"], "label-moved");
    assert!(json["troubles"][0].as_str().unwrap().contains("journal"));
    Manual::read().has("THE SERVICE", &json);
}

#[tokio::test]
async fn readiness_is_convergence_and_says_why_not_as_text_and_as_json() {
    let served = Served::of(scenes::healthy()).await;
    assert_eq!(served.get("/readyz").await.body, "ok\n");
    served.snapshots.send_replace(Arc::new(scenes::first_minute()));
    let reply = served.get("/readyz").await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "not in sync since the service began\n"));
    served.snapshots.send_replace(Arc::new(scenes::broken_link()));
    let reply = served.ask("GET", "/readyz", "accept: application/json\r\n").await;
    let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((reply.status, &json["ok"]), (503, &false.into()));
    let reason = json["reason"].as_str().unwrap();
    assert!(reason.starts_with("last in sync 742 s ago: jump"), "{reason}");
    // Whatever it finds, a loop that turns is alive.
    assert_eq!(served.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_loop_that_stands_still_is_neither_alive_nor_ready_and_the_page_says_so() {
    let snapshot = scenes::healthy();
    let beat = snapshot.beat.clone();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(95)).await;
    tokio::time::resume();
    let served = Served::of(snapshot).await;
    for path in ["/healthz", "/readyz"] {
        let reply = served.get(path).await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (503, "the loop has not turned for 95 s\n"),
            "{path}"
        );
    }
    assert!(served.get("/").await.body.contains("The service has not moved for 1 min"));
    beat.beat();
    assert_eq!(served.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn what_is_published_is_shown_at_once() {
    let served = Served::of(scenes::first_minute()).await;
    assert!(served.get("/").await.body.contains("The first round is under way"));
    served.snapshots.send_replace(Arc::new(scenes::healthy()));
    assert!(served.get("/").await.body.contains("every authoritative server agrees"));
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_the_next_step() {
    let served = Served::of(scenes::healthy()).await;
    let error = Server::bind(served.address).await.unwrap_err().to_string();
    let expected = format!("cannot listen on {}: set another address with listen in [http]", served.address);
    assert_eq!(error, expected);
}
