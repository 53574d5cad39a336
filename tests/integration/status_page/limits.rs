//! What a hostile client can cost.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::scenes;
use super::wire::Served;

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let served = Served::of(scenes::healthy()).await;
    for headers in [
        format!("x-large: {}\r\n", "x".repeat(10_000)),
        "x-many: 1\r\n".repeat(100),
        format!("cookie: {}\r\n", "c=1; ".repeat(3_000)),
    ] {
        let reply = served.ask("GET", "/", &headers).await;
        assert_eq!(reply.status, 431, "{} octets of headers", headers.len());
    }
    let reply = served.get(&format!("/{}", "x".repeat(20_000))).await;
    assert!(matches!(reply.status, 414 | 431), "{}", reply.status);
    assert_eq!(served.raw("nonsense\r\n\r\n").await.status, 400);
    assert_eq!(served.get("/healthz").await.status, 200, "and it goes on");
}

#[tokio::test]
async fn whoever_sends_slowly_or_nothing_is_let_go() {
    let served = Served::of(scenes::healthy()).await;
    let begun = Instant::now();
    let dribble = async |first: &str| {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut octets = Vec::new();
        timeout(Duration::from_secs(20), stream.read_to_end(&mut octets)).await.map(drop)
    };
    // Half a head; nothing at all; one request and then silence.
    let keep = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", served.address);
    let ends = tokio::join!(dribble("GET / HTTP/1.1\r\nhost: "), dribble(""), dribble(&keep));
    assert_eq!((ends.0.is_ok(), ends.1.is_ok(), ends.2.is_ok()), (true, true, true));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn places_are_few_and_those_who_wait_get_theirs() {
    let served = Served::of(scenes::healthy()).await;
    let mut idle = Vec::new();
    for _ in 0..24 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", served.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut octets = [0; 16];
        stream.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets[..12], b"HTTP/1.1 200");
        idle.push(stream);
    }
    let waiting = served.get("/healthz");
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "every place is taken");
    idle.pop();
    assert_eq!(waiting.await.status, 200, "one who left made room");
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_also_with_clients_that_stay() {
    let served = Served::of(scenes::healthy()).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    let mut half = TcpStream::connect(served.address).await.unwrap();
    half.write_all(b"GET / HT").await.unwrap();
    assert_eq!(served.get("/healthz").await.status, 200);
    let begun = Instant::now();
    served.stop.send(()).unwrap();
    timeout(Duration::from_secs(5), served.task).await.expect("an end").unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1_800), "{:?}", begun.elapsed());
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody listens any more");
    let mut octets = Vec::new();
    let _ = timeout(Duration::from_secs(5), idle.read_to_end(&mut octets)).await.expect("let go");
    assert_eq!(octets, b"");
}
