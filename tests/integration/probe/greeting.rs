//! The greetings by themselves: what is recognised, what is told of a stranger, and that no bytes do harm.

use cnamed::model::greeting::{Greeting, Heard, Negotiation, Parser, Security, Service, Unexpected};
use proptest::prelude::*;

/// No decision takes more than this many bytes.
const MOST: usize = 8 * 1024;
/// What Windows answers: `RDP_NEG_RSP` with CredSSP (MS-RDPBCGR 4.1.2).
pub(crate) const WINDOWS: &[u8] =
    &[3, 0, 0, 0x13, 0x0E, 0xD0, 0, 0, 0x12, 0x34, 0, 2, 0x1F, 8, 0, 2, 0, 0, 0];

fn heard(service: Service, bytes: &[u8]) -> Heard {
    Parser::new(service).feed(bytes).clone()
}

fn ssh(software: &str) -> Heard {
    Heard::Greeted(Greeting::Ssh { software: software.into() })
}

fn rdp(negotiation: Negotiation) -> Heard {
    Heard::Greeted(Greeting::Rdp(negotiation))
}

/// What is told of an end after these bytes.
fn ended(service: Service, bytes: &[u8]) -> Option<Unexpected> {
    let mut parser = Parser::new(service);
    assert_eq!(*parser.feed(bytes), Heard::NeedMore, "{service} {bytes:02x?}");
    parser.unfinished()
}

#[test]
fn ports_have_their_services() {
    assert_eq!([22, 3389, 443, 2222, 63011].map(Service::of), {
        [Service::Ssh, Service::Rdp, Service::Tcp, Service::Tcp, Service::Tcp]
    });
}

#[test]
fn the_request_names_nobody_and_is_as_documented() {
    // MS-RDPBCGR 4.1.1 with the cookie taken out, which leaves 19 bytes, and with TLS and CredSSP asked for.
    let wanted = [3, 0, 0, 0x13, 0x0E, 0xE0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0];
    assert_eq!(Service::Rdp.opening(), wanted);
    assert!(Service::Ssh.opening().is_empty() && Service::Tcp.opening().is_empty());
}

#[test]
fn ssh_servers_are_recognised() {
    for (bytes, software) in [
        ("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "OpenSSH_9.2p1 Debian-2+deb12u3"),
        ("SSH-2.0-OpenSSH_for_Windows_8.1\r\n", "OpenSSH_for_Windows_8.1"),
        ("SSH-1.99-Cisco-1.25\n", "Cisco-1.25"),
        ("Warning: authorised use only\r\n\r\nSSH-2.0-x\r\n", "x"),
        ("an SSH-2.0-y in a line\nSSH-2.0-x\r\nrest", "x"),
        ("SSH-2.0-evil\u{1b}[2J\u{202e}x\r\n", "evil?[2J???x"),
    ] {
        assert_eq!(heard(Service::Ssh, bytes.as_bytes()), ssh(software), "{bytes:?}");
    }
}

#[test]
fn an_identification_has_255_bytes_at_most() {
    let line = |length: usize| format!("SSH-2.0-{}\r\n", "x".repeat(length - "SSH-2.0-\r\n".len()));
    assert!(matches!(heard(Service::Ssh, line(255).as_bytes()), Heard::Greeted(_)));
    assert!(matches!(
        heard(Service::Ssh, line(256).as_bytes()),
        Heard::Other(Unexpected::SshIdentification(_))
    ));
    // Lines before it have no such limit.
    let after_a_long_line = format!("{}\r\n{}", "x".repeat(4000), line(255));
    assert!(matches!(heard(Service::Ssh, after_a_long_line.as_bytes()), Heard::Greeted(_)));
    // The end of a long line is not the beginning of one.
    let hidden = format!("{}SSH-2.0-x\r\n", "x".repeat(254));
    assert_eq!(heard(Service::Ssh, hidden.as_bytes()), Heard::NeedMore);
}

#[test]
fn what_is_not_ssh_2_is_told() {
    let identification = |text: &str| Heard::Other(Unexpected::SshIdentification(text.into()));
    for (bytes, wanted) in [
        (&b"SSH-1.5-old\r\n"[..], identification("SSH-1.5-old")),
        (b"SSH-2.0-\r\n", identification("SSH-2.0-")),
        (b"SSH-2.0- x\r\n", identification("SSH-2.0- x")),
        (b"SSH-3.0-x\r\n", identification("SSH-3.0-x")),
        (b"HTTP/1.1 400 Bad Request\r\n", Heard::Other(Unexpected::Http)),
        (b"RFB 003.008\n", Heard::Other(Unexpected::Vnc)),
        (&[21, 3, 3, 0, 2, 2, 40], Heard::Other(Unexpected::Tls)),
        (WINDOWS, Heard::Other(Unexpected::Tpkt)),
        (b"J\0\0\0\x0a8.0.36", Heard::Other(Unexpected::Binary("4a 00".into()))),
        (b"220 mail.example.com ESMTP\r\n", Heard::NeedMore),
    ] {
        assert_eq!(heard(Service::Ssh, bytes), wanted, "{}", bytes.escape_ascii());
    }
    let tarpit = b"x8!\r\n".repeat(MOST / 5 + 1);
    assert_eq!(heard(Service::Ssh, &tarpit), Heard::Other(Unexpected::Endless));
    assert_eq!(heard(Service::Ssh, &vec![b'x'; MOST]), Heard::Other(Unexpected::Endless));
}

#[test]
fn rdp_servers_are_recognised() {
    let negotiated = |kind: u8, value: u8| {
        let mut bytes = WINDOWS.to_vec();
        (bytes[11], bytes[15]) = (kind, value);
        heard(Service::Rdp, &bytes)
    };
    assert_eq!(heard(Service::Rdp, WINDOWS), rdp(Negotiation::Selected(Security::CredSsp)));
    for (value, security) in [
        (0, Security::Standard),
        (1, Security::Tls),
        (4, Security::Rdstls),
        (8, Security::CredSspEarly),
        (16, Security::Entra),
        (99, Security::Unknown(99)),
    ] {
        assert_eq!(negotiated(2, value), rdp(Negotiation::Selected(security)));
    }
    assert_eq!(negotiated(3, 5), rdp(Negotiation::Declined(5)));
    let before_negotiation = [3, 0, 0, 11, 6, 0xD0, 0, 0, 0x12, 0x34, 0];
    assert_eq!(heard(Service::Rdp, &before_negotiation), rdp(Negotiation::Absent));
    assert_eq!(Greeting::Rdp(Negotiation::Selected(Security::CredSsp)).to_string(), "RDP (CredSSP)");
}

#[test]
fn what_is_not_rdp_is_told() {
    let changed = |at: usize, byte: u8| {
        let mut bytes = WINDOWS.to_vec();
        bytes[at] = byte;
        bytes
    };
    let tpkt = Heard::Other(Unexpected::Tpkt);
    for (bytes, wanted) in [
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Heard::Other(Unexpected::Ssh)),
        (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), Heard::Other(Unexpected::Http)),
        (vec![21, 3, 1, 0, 2, 2, 70], Heard::Other(Unexpected::Tls)),
        (b"RFB 003.008\n".to_vec(), Heard::Other(Unexpected::Vnc)),
        (b"220 mail\x1b[2J\r\n".to_vec(), Heard::Other(Unexpected::Binary("32 32 30 20 6d 61 69 6c".into()))),
        (b"220 mail\r\n".to_vec(), Heard::Other(Unexpected::Text("220 mail".into()))),
        (vec![0xFF, 0xFD, 0x18], Heard::Other(Unexpected::Binary("ff fd 18".into()))),
        // A disconnect request, a length beyond any X.224 header, one below, a header that outruns its message, and
        // a negotiation that is none.
        (changed(5, 0x80), tpkt.clone()),
        (changed(2, 0x40), tpkt.clone()),
        (changed(3, 10), tpkt.clone()),
        (changed(4, 15), tpkt.clone()),
        (changed(4, 5), tpkt.clone()),
        (changed(11, 7), tpkt.clone()),
        (changed(13, 9), tpkt.clone()),
        ([&[3, 0, 0, 14], &WINDOWS[4..14]].concat(), tpkt),
    ] {
        assert_eq!(heard(Service::Rdp, &bytes), wanted, "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_end_in_the_middle_is_told() {
    for service in [Service::Ssh, Service::Rdp] {
        assert_eq!(ended(service, b""), None);
        assert_eq!(ended(service, b"220 m"), Some(Unexpected::Text("220 m".into())));
        assert_eq!(ended(service, &[21]), Some(Unexpected::Binary("15".into())));
    }
    assert_eq!(ended(Service::Ssh, b"SSH-2.0-Open"), Some(Unexpected::Incomplete(Service::Ssh)));
    assert_eq!(ended(Service::Ssh, b"\r\n220 m\xc3"), Some(Unexpected::Text("220 m?".into())));
    assert_eq!(ended(Service::Rdp, &WINDOWS[..18]), Some(Unexpected::Incomplete(Service::Rdp)));
}

#[test]
fn any_tcp_service_has_greeted_when_it_took_the_connection() {
    assert_eq!(heard(Service::Tcp, b""), Heard::Greeted(Greeting::Tcp));
    assert_eq!(heard(Service::Tcp, b"anything"), Heard::Greeted(Greeting::Tcp));
}

/// Bytes near greetings, and plain noise.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..600),
        "([ -~]{0,40}\r?\n){0,3}SSH-(2\\.0|1\\.99|1\\.5)-[ -~\\x00-\\x1f]{0,300}\r?\n?"
            .prop_map(String::into_bytes),
        (any::<(usize, u8)>(), 0..40usize).prop_map(|((at, byte), length)| {
            let mut bytes = WINDOWS.to_vec();
            bytes[at % WINDOWS.len()] = byte;
            bytes.resize(length, byte);
            bytes
        }),
        (any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(low, code, rest)| [&[3, 0, 0, low, 14, code][..], &rest].concat()),
        "(HTTP/|RFB |SSH-|220 )[ -~]{0,80}\r?\n?".prop_map(String::into_bytes),
    ]
}

fn any_service() -> impl Strategy<Value = Service> {
    prop_oneof![Just(Service::Ssh), Just(Service::Rdp), Just(Service::Tcp)]
}

proptest! {
    /// What is found depends on the bytes alone, never on how they were cut up.
    #[test]
    fn every_split_is_heard_alike(
        service in any_service(),
        bytes in any_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = heard(service, &bytes);
        let mut single = Parser::new(service);
        bytes.iter().for_each(|byte| drop(single.feed(std::slice::from_ref(byte)).clone()));
        prop_assert_eq!(single.feed(&[]), &whole);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut split = Parser::new(service);
        cuts.windows(2).for_each(|cut| drop(split.feed(&bytes[cut[0]..cut[1]]).clone()));
        prop_assert_eq!(split.feed(&[]), &whole);
        prop_assert_eq!(split.unfinished(), single.unfinished());
    }

    /// A decision stands, and comes in time.
    #[test]
    fn more_bytes_never_change_a_decision(service in any_service(), bytes in any_bytes(), more in any_bytes()) {
        let mut parser = Parser::new(service);
        let decided = parser.feed(&bytes).clone();
        let after = parser.feed(&more).clone();
        prop_assert!(decided == Heard::NeedMore || decided == after);
        let filled = parser.feed(&[b'x'; MOST]).clone();
        prop_assert_ne!(&filled, &Heard::NeedMore);
        // What it keeps is bounded: its whole state, printed byte for byte, is.
        let kept = format!("{parser:?}").len();
        prop_assert!(kept < 4000, "{}", kept);
    }

    /// A terminal may be shown whatever is told.
    #[test]
    fn nothing_told_moves_a_cursor(service in any_service(), bytes in any_bytes()) {
        let mut parser = Parser::new(service);
        let told = match parser.feed(&bytes) {
            Heard::NeedMore => parser.unfinished().map(|it| it.to_string()).unwrap_or_default(),
            Heard::Greeted(greeting) => greeting.to_string(),
            Heard::Other(stranger) => stranger.to_string(),
        };
        prop_assert!(told.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{told:?}");
        prop_assert!(told.len() <= 320, "{}", told.len());
    }

    #[test]
    fn every_identification_is_recognised(
        before in "([ -RT-~][ -~]{0,60}\r?\n){0,5}",
        version in "2\\.0|1\\.99",
        software in "[!-~]{1,40}( [!-~]{1,100})?",
        end in "\r?\n",
        after in any_bytes(),
    ) {
        prop_assume!(!before.starts_with("HTTP/") && !before.starts_with("RFB "));
        let mut bytes = format!("{before}SSH-{version}-{software}{end}").into_bytes();
        bytes.extend(after);
        prop_assert_eq!(heard(Service::Ssh, &bytes), ssh(&software));
    }
}
