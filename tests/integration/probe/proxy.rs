//! The way in through a SOCKS5 proxy (RFC 1928), scripted byte for byte.

use std::net::SocketAddr;
use std::time::Duration;

use cnamed::model::greeting::{Greeting, Service};
use cnamed::probe::tcp::{Settings, TcpProber};
use cnamed::probe::{Finding, Prober, Quiet};

use super::script::{Script, Step, nobody};
use super::{OPENSSH, PATIENT, SHORT, WINDOWS, full, openssh, sends, windows};

/// The greeting of a client without authentication, and the proxy's consent.
const AGREED: [Step; 1] = [Step::Read(3)];

async fn through(proxy: SocketAddr, address: SocketAddr, service: Service, limit: Duration) -> Finding {
    let settings = Settings { limit, proxy: Some(proxy.to_string()) };
    TcpProber::new(&settings).unwrap().greet(address, service).await
}

/// A proxy that agrees, reads a request for an IPv4 address, and then takes these steps.
async fn proxy(steps: impl IntoIterator<Item = Step>) -> Script {
    let agreed = AGREED.into_iter().chain([sends(&[5, 0]), Step::Read(10)]);
    Script::play(agreed.chain(steps).collect::<Vec<_>>()).await
}

fn failed(finding: &Finding, proxy: SocketAddr, word: &str) {
    let Finding::Failed(why) = finding else { panic!("{finding:?} is not a failure ({word})") };
    assert!(why.contains(&proxy.to_string()) && why.contains(word), "{why} has no {word}");
    assert_eq!(finding.is_open(), None);
}

fn target() -> SocketAddr {
    "203.0.113.7:63011".parse().unwrap()
}

#[tokio::test]
async fn the_request_is_as_the_rfc_has_it() {
    // The reply's address in each of its three forms, and the greeting in the same packet.
    let name = [&[5, 0, 0, 3, 4][..], b"gate", &[0, 80]].concat();
    for reply in [vec![5, 0, 0, 1, 10, 0, 0, 1, 0, 80], [&[5, 0, 0, 4][..], &[0; 18]].concat(), name] {
        let server = proxy([sends(&[&reply, OPENSSH].concat())]).await;
        assert_eq!(through(server.address, target(), Service::Ssh, PATIENT).await, openssh());
        server.ends().await;
        let request = [&[5, 1, 0, 5, 1, 0, 1, 203, 0, 113, 7][..], &63011_u16.to_be_bytes()].concat();
        assert_eq!(server.seen(), request);
    }
    let ipv6: SocketAddr = "[2001:db8::7]:22".parse().unwrap();
    let steps = [Step::Read(3), sends(&[5, 0]), Step::Read(22), sends(&[5, 5, 0, 1])];
    let server = Script::play_on("[::1]:0", steps).await;
    assert_eq!(through(server.address, ipv6, Service::Ssh, PATIENT).await, Finding::Refused);
    let SocketAddr::V6(address) = ipv6 else { panic!("IPv6") };
    let request = [&[5, 1, 0, 5, 1, 0, 4][..], &address.ip().octets(), &[0, 22]].concat();
    assert_eq!(server.seen(), request);
}

#[tokio::test]
async fn a_real_way_through_leads_to_the_service() {
    let rdp = Script::play([Step::Read(19), sends(WINDOWS)]).await;
    let server = proxy([sends(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]), Step::Forward(rdp.address)]).await;
    assert_eq!(through(server.address, rdp.address, Service::Rdp, PATIENT).await, windows());
    assert_eq!(rdp.seen(), Service::Rdp.opening());
}

#[tokio::test]
async fn the_replies_become_findings() {
    for (reply, words) in [(3, "network unreachable"), (4, "host unreachable"), (6, "TTL expired")] {
        // Some hang up after the first bytes of a refusal.
        let server = proxy([sends(&[5, reply, 0, 1]), Step::Close]).await;
        let finding = through(server.address, target(), Service::Ssh, PATIENT).await;
        let wanted = format!("the proxy {} says: {words}", server.address);
        assert_eq!(finding, Finding::Silent { proxy: Some(wanted) });
    }
    let server = proxy([sends(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0])]).await;
    assert_eq!(through(server.address, target(), Service::Ssh, PATIENT).await, Finding::Refused);
    for (reply, words) in [(1, "general"), (2, "ruleset"), (7, "command"), (8, "address type"), (9, "0x09")] {
        let server = proxy([sends(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0])]).await;
        failed(&through(server.address, target(), Service::Ssh, PATIENT).await, server.address, words);
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_serve_says_nothing_of_the_way_in() {
    let (gone, _kept) = nobody();
    failed(&through(gone, target(), Service::Ssh, PATIENT).await, gone, "refused");
    let full = full().await;
    failed(&through(full.address, target(), Service::Ssh, SHORT).await, full.address, "no answer in time");

    let cases = [
        (vec![], "says nothing"),
        (vec![Step::Read(3), Step::Close], "broke off"),
        (vec![Step::Read(3), sends(&[5, 0xFF])], "user name"),
        (vec![Step::Read(3), sends(&[5, 2])], "user name"),
        (vec![Step::Read(3), sends(b"HTTP/1.1 400")], "SOCKS5"),
        (vec![Step::Read(3), sends(&[5, 0]), Step::Read(10), Step::Close], "hung up"),
        (vec![Step::Read(3), sends(&[5, 0]), Step::Read(10), sends(b"HTTP")], "SOCKS5"),
        (vec![Step::Read(3), sends(&[5, 0]), Step::Read(10), sends(&[5, 0, 0, 9])], "SOCKS5"),
        (
            vec![Step::Read(3), sends(&[5, 0]), Step::Read(10), sends(&[5, 0, 0, 1, 1]), Step::Close],
            "hung up",
        ),
    ];
    for (steps, word) in cases {
        let limit = if steps.is_empty() { SHORT } else { PATIENT };
        let server = Script::play(steps).await;
        failed(&through(server.address, target(), Service::Ssh, limit).await, server.address, word);
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_found_is_named() {
    let settings = Settings { limit: PATIENT, proxy: Some("no port here".into()) };
    let finding = TcpProber::new(&settings).unwrap().greet(target(), Service::Ssh).await;
    assert!(matches!(&finding, Finding::Failed(why) if why.contains("no port here")), "{finding:?}");
}

#[tokio::test]
async fn a_silence_belongs_to_whom_it_comes_from() {
    // Behind the proxy nobody answers: it is still trying.
    let server = proxy([]).await;
    let finding = through(server.address, target(), Service::Ssh, SHORT).await;
    let Finding::Silent { proxy: Some(words) } = &finding else { panic!("{finding:?}") };
    assert!(words.contains(&server.address.to_string()) && words.contains("still trying"), "{words}");
}

/// As pproxy does, which echoes the address that it was given, and connects then. OpenSSH's `ssh -D` connects first,
/// and answers the same as the second; so neither proves anything.
#[tokio::test]
async fn a_proxy_that_says_that_it_has_connected_proves_nothing() {
    let port = 63011_u16.to_be_bytes();
    for early in [[5, 0, 0, 1, 203, 0, 113, 7, port[0], port[1]], [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]] {
        proves_nothing(sends(&early)).await;
    }
}

async fn proves_nothing(early: Step) {
    let server = proxy([early.clone()]).await;
    let finding = through(server.address, target(), Service::Ssh, SHORT).await;
    assert_eq!(finding, Finding::Mute(Quiet::Proxied));
    let server = proxy([early.clone()]).await;
    failed(&through(server.address, target(), Service::Tcp, SHORT).await, server.address, "prove");
    for service in [Service::Ssh, Service::Tcp] {
        let server = proxy([early.clone(), Step::Close]).await;
        failed(&through(server.address, target(), service, PATIENT).await, server.address, "hung up");
    }
    // A byte from behind it is proof.
    let server = proxy([early, sends(b"x")]).await;
    let finding = through(server.address, target(), Service::Tcp, PATIENT).await;
    assert_eq!(finding, Finding::Greeted(Greeting::Tcp));
}
