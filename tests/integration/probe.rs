//! The way in over real sockets: every finding, from servers that behave and from servers that do not.

mod greeting;
mod proxy;
mod script;

use std::net::SocketAddr;
use std::time::Duration;

use cnamed::model::greeting::{Greeting, Negotiation, Security, Service, Unexpected};
use cnamed::probe::tcp::{Settings, SettingsError, TcpProber};
use cnamed::probe::{Finding, Prober, Quiet};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use self::greeting::WINDOWS;
use self::script::{Script, Step, nobody};

/// Longer than anything on loopback takes; where it is reached, the test is about that.
const PATIENT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const OPENSSH: &[u8] = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n";

async fn probe(address: SocketAddr, service: Service, limit: Duration) -> Finding {
    let settings = Settings { limit, ..Settings::default() };
    let began = Instant::now();
    let finding = TcpProber::new(&settings).unwrap().greet(address, service).await;
    assert!(began.elapsed() < limit + Duration::from_secs(5), "{finding:?} after {:?}", began.elapsed());
    finding
}

fn openssh() -> Finding {
    Finding::Greeted(Greeting::Ssh { software: "OpenSSH_9.2p1 Debian-2".into() })
}

fn windows() -> Finding {
    Finding::Greeted(Greeting::Rdp(Negotiation::Selected(Security::CredSsp)))
}

fn sends(bytes: &[u8]) -> Step {
    Step::Send(bytes.to_vec())
}

/// A listener whose queue is full, so that the system answers no further connection: what a dropped packet is like.
struct Full {
    address: SocketAddr,
    _listener: tokio::net::TcpListener,
    _waiting: Vec<tokio::task::JoinHandle<()>>,
}

async fn full() -> Full {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    // The queue holds one or two more than it was asked for.
    loop {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(SHORT, connect).await {
            Ok(stream) => waiting.push(tokio::spawn(async move {
                let _stream = stream;
                std::future::pending().await
            })),
            Err(_) => return Full { address, _listener: listener, _waiting: waiting },
        }
        assert!(waiting.len() < 20, "the queue never fills");
    }
}

#[tokio::test]
async fn services_that_greet_are_greeted_and_left_at_once() {
    let ssh = Script::play([sends(b"welcome\r\n"), sends(OPENSSH)]).await;
    assert_eq!(probe(ssh.address, Service::Ssh, PATIENT).await, openssh());
    ssh.ends().await;
    assert!(ssh.seen().is_empty(), "nothing is said to an SSH server: {:?}", ssh.seen());

    let rdp = Script::play([Step::Read(19), sends(WINDOWS)]).await;
    assert_eq!(probe(rdp.address, Service::Rdp, PATIENT).await, windows());
    rdp.ends().await;
    assert_eq!(rdp.seen(), Service::Rdp.opening(), "nothing but the request");

    let tcp = Script::play([]).await;
    assert_eq!(probe(tcp.address, Service::Tcp, PATIENT).await, Finding::Greeted(Greeting::Tcp));
    tcp.ends().await;
    assert!(tcp.seen().is_empty());
}

#[tokio::test]
async fn ipv6_is_as_good() {
    let ssh = Script::play_on("[::1]:0", [sends(OPENSSH)]).await;
    assert_eq!(probe(ssh.address, Service::Ssh, PATIENT).await, openssh());
}

#[tokio::test]
async fn a_greeting_may_come_in_any_pieces() {
    for at in 1..WINDOWS.len() {
        let (first, second) = WINDOWS.split_at(at);
        // The second piece waits for nothing but its turn: the parser's own tests hold every split without a network.
        let rdp = Script::play([Step::Read(19), sends(first), sends(second)]).await;
        assert_eq!(probe(rdp.address, Service::Rdp, PATIENT).await, windows(), "cut at {at}");
    }
    let bytewise: Vec<Step> = OPENSSH.iter().map(|&byte| sends(&[byte])).collect();
    let ssh = Script::play(bytewise).await;
    assert_eq!(probe(ssh.address, Service::Ssh, PATIENT).await, openssh());
}

#[tokio::test]
async fn a_port_without_a_listener_is_refused() {
    for service in [Service::Ssh, Service::Rdp, Service::Tcp] {
        let (address, _kept) = nobody();
        assert_eq!(probe(address, service, PATIENT).await, Finding::Refused);
    }
}

#[tokio::test]
async fn an_address_that_never_answers_is_silent() {
    let full = full().await;
    for service in [Service::Ssh, Service::Tcp] {
        assert_eq!(probe(full.address, service, SHORT).await, Finding::Silent { proxy: None });
    }
}

#[tokio::test]
async fn an_address_that_this_host_cannot_reach_is_unknown() {
    // TCP has no broadcast, so the kernel refuses this one whatever this host's routes are.
    let finding = probe("255.255.255.255:22".parse().unwrap(), Service::Ssh, PATIENT).await;
    assert!(matches!(&finding, Finding::Failed(why) if why.contains("this host")), "{finding:?}");
    assert_eq!(finding.is_open(), None);
}

#[tokio::test]
async fn a_service_without_a_word_is_mute() {
    for service in [Service::Ssh, Service::Rdp] {
        let hung = Script::play([]).await;
        assert_eq!(probe(hung.address, service, SHORT).await, Finding::Mute(Quiet::Waited));
        hung.ends().await;
        let closed = Script::play([Step::Close]).await;
        assert_eq!(probe(closed.address, service, PATIENT).await, Finding::Mute(Quiet::Closed));
    }
}

#[tokio::test]
async fn another_service_is_named() {
    let html = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
    let cases = [
        (Service::Rdp, vec![sends(OPENSSH)], Unexpected::Ssh),
        (Service::Rdp, vec![Step::Read(19), sends(html), Step::Close], Unexpected::Http),
        (Service::Rdp, vec![Step::Read(19), sends(&[21, 3, 3, 0, 2, 2, 70]), Step::Close], Unexpected::Tls),
        // Hangs up on a request that it has not read, which resets the connection behind its words.
        (Service::Rdp, vec![sends(b"500 go away"), Step::Close], Unexpected::Text("500 go away".into())),
        (Service::Ssh, vec![sends(b"RFB 003.008\n")], Unexpected::Vnc),
        (Service::Ssh, vec![sends(b"SSH-2.0-Open"), Step::Close], Unexpected::Incomplete(Service::Ssh)),
        (Service::Rdp, vec![sends(&WINDOWS[..9]), Step::Read(19), Step::Close], {
            Unexpected::Incomplete(Service::Rdp)
        }),
        (Service::Ssh, vec![sends(b"220 mail ESMTP\r\n"), Step::Close], {
            Unexpected::Text("220 mail ESMTP".into())
        }),
    ];
    for (service, steps, wanted) in cases {
        let server = Script::play(steps.clone()).await;
        let finding = probe(server.address, service, PATIENT).await;
        assert_eq!(finding, Finding::Other(wanted), "{service} from {steps:?}");
        assert_eq!(finding.is_open(), Some(false));
    }
}

#[tokio::test]
async fn a_drip_without_end_is_left_when_time_is_up() {
    // Never a whole line, and always something new: a limit on each read would never be reached.
    let drip = Script::play([Step::Repeat(b"x".to_vec(), Duration::from_millis(20))]).await;
    let finding = probe(drip.address, Service::Ssh, SHORT).await;
    assert!(
        matches!(&finding, Finding::Other(Unexpected::Text(text)) if text.starts_with('x')),
        "{finding:?}"
    );
    drip.ends().await;
}

#[tokio::test]
async fn a_flood_is_left_at_once() {
    // It would go on for ever; a gigabyte is only where others stop.
    let line = [vec![b'x'; 64 * 1024 - 1], vec![b'\n']].concat();
    for service in [Service::Ssh, Service::Rdp] {
        let flood = Script::play([Step::Repeat(line.clone(), Duration::ZERO)]).await;
        let began = Instant::now();
        let finding = probe(flood.address, service, PATIENT).await;
        assert!(matches!(finding, Finding::Other(Unexpected::Endless | Unexpected::Text(_))), "{finding:?}");
        assert!(began.elapsed() < PATIENT / 2);
        flood.ends().await;
    }
}

#[tokio::test]
async fn many_probes_at_once_do_not_mix() {
    let ssh = Script::play([sends(OPENSSH)]).await;
    let rdp = Script::play([Step::Read(19), sends(WINDOWS)]).await;
    let prober = TcpProber::new(&Settings { limit: PATIENT, ..Settings::default() }).unwrap();
    let probes = (0..50).map(|at| {
        let (address, service) =
            if at % 2 == 0 { (ssh.address, Service::Ssh) } else { (rdp.address, Service::Rdp) };
        prober.greet(address, service)
    });
    for (at, finding) in futures::future::join_all(probes).await.into_iter().enumerate() {
        assert_eq!(finding, if at % 2 == 0 { openssh() } else { windows() });
    }
}

#[test]
fn a_limit_that_finds_nothing_is_refused() {
    for limit in [Duration::ZERO, Duration::from_secs(61)] {
        let settings = Settings { limit, ..Settings::default() };
        assert_eq!(TcpProber::new(&settings).unwrap_err(), SettingsError::Limit(limit));
    }
    TcpProber::new(&Settings::default()).unwrap();
}

#[test]
fn a_finding_is_one_line_and_has_a_stable_form() {
    let stable = |finding: &Finding| serde_json::to_value(finding).unwrap().to_string();
    assert_eq!(openssh().to_string(), "greeted by SSH (OpenSSH_9.2p1 Debian-2)");
    assert_eq!(stable(&openssh()), r#"{"greeted":{"ssh":{"software":"OpenSSH_9.2p1 Debian-2"}}}"#);
    assert_eq!(stable(&windows()), r#"{"greeted":{"rdp":{"selected":"cred-ssp"}}}"#);
    assert_eq!(stable(&Finding::Refused), r#""refused""#);
    let other = Finding::Other(Unexpected::Http);
    assert_eq!(other.to_string(), "something else answered: HTTP");
    assert_eq!(stable(&other), r#"{"other":"http"}"#);
    assert_eq!(serde_json::from_str::<Finding>(&stable(&windows())).unwrap(), windows());
}
