//! What a service says first: enough to know that the right one stands behind a port, and nothing more is asked.
//!
//! SSH speaks by itself. RDP answers a connection request that names no user and carries no cookie. Both are read
//! byte by byte, so that what is found never depends on how the network cut the bytes up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is expected behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Secure Shell (RFC 4253).
    Ssh,
    /// Remote Desktop (MS-RDPBCGR).
    Rdp,
    /// Anything else that takes a TCP connection; nobody knows how it greets.
    Tcp,
}

impl Service {
    /// What is expected behind a machine's own port: 22 is SSH, 3389 is RDP (IANA's service names), all else is TCP.
    #[must_use]
    pub const fn of(backend_port: u16) -> Self {
        match backend_port {
            22 => Self::Ssh,
            3389 => Self::Rdp,
            _ => Self::Tcp,
        }
    }

    /// What is sent to be greeted; empty where the service speaks first.
    ///
    /// For RDP that is the X.224 connection request of MS-RDPBCGR 2.2.1.1, offering TLS and CredSSP, without a
    /// cookie, a routing token or a user name.
    #[must_use]
    pub const fn opening(self) -> &'static [u8] {
        match self {
            Self::Rdp => &RDP_CONNECTION_REQUEST,
            Self::Ssh | Self::Tcp => &[],
        }
    }
}

/// As in `RDP answered`.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssh => "SSH",
            Self::Rdp => "RDP",
            Self::Tcp => "TCP",
        })
    }
}

/// A service that is what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Greeting {
    /// An SSH identification string (RFC 4253, 4.2) of protocol 2.0, or of 1.99, which speaks both (5.1).
    Ssh {
        /// Software version and comments, such as `OpenSSH_9.2p1 Debian-2`: printable ASCII alone.
        software: String,
    },
    /// An X.224 connection confirm (MS-RDPBCGR 2.2.1.2).
    Rdp(Negotiation),
    /// The connection was taken; nothing more was asked.
    Tcp,
}

/// As in `SSH (OpenSSH_9.2p1)`.
impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh { software } => write!(f, "SSH ({software})"),
            Self::Rdp(negotiation) => write!(f, "RDP ({negotiation})"),
            Self::Tcp => f.write_str("a TCP connection"),
        }
    }
}

/// What an RDP server made of the offer. Each of them comes from an RDP server and from nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negotiation {
    /// Nothing: a server from before the negotiation, which has RDP's own security only.
    Absent,
    /// It chose a protocol (`RDP_NEG_RSP`, MS-RDPBCGR 2.2.1.2.1).
    Selected(Security),
    /// It wants another offer (`RDP_NEG_FAILURE`, MS-RDPBCGR 2.2.1.2.2); the number is its failure code.
    Declined(u32),
}

impl fmt::Display for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no negotiation"),
            Self::Selected(security) => security.fmt(f),
            Self::Declined(code) => match code {
                1 => f.write_str("requires TLS"),
                2 => f.write_str("does not allow TLS"),
                3 => f.write_str("has no certificate for TLS"),
                4 => f.write_str("inconsistent flags"),
                5 => f.write_str("requires CredSSP"),
                6 => f.write_str("requires TLS with a client certificate"),
                _ => write!(f, "declined the offer, code {code}"),
            },
        }
    }
}

/// The security protocol that an RDP server selects (`selectedProtocol`, MS-RDPBCGR 2.2.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// RDP's own, which is long broken (`PROTOCOL_RDP`).
    Standard,
    /// TLS (`PROTOCOL_SSL`).
    Tls,
    /// CredSSP, also called network level authentication (`PROTOCOL_HYBRID`).
    CredSsp,
    /// RDSTLS (`PROTOCOL_RDSTLS`).
    Rdstls,
    /// CredSSP with an early word on authorisation (`PROTOCOL_HYBRID_EX`).
    CredSspEarly,
    /// Microsoft Entra authentication (`PROTOCOL_RDSAAD`).
    Entra,
    /// One that has been added since.
    Unknown(u32),
}

impl Security {
    const fn of(selected: u32) -> Self {
        match selected {
            0x00 => Self::Standard,
            0x01 => Self::Tls,
            0x02 => Self::CredSsp,
            0x04 => Self::Rdstls,
            0x08 => Self::CredSspEarly,
            0x10 => Self::Entra,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard => f.write_str("standard RDP security"),
            Self::Tls => f.write_str("TLS"),
            Self::CredSsp | Self::CredSspEarly => f.write_str("CredSSP"),
            Self::Rdstls => f.write_str("RDSTLS"),
            Self::Entra => f.write_str("Entra authentication"),
            Self::Unknown(number) => write!(f, "protocol {number:#x}"),
        }
    }
}

/// What answered in place of the service, as far as it can be told. Every text is printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unexpected {
    /// SSH, where something else was expected.
    Ssh,
    /// An SSH identification that is not one of SSH 2, or that breaks RFC 4253, 4.2; as it came.
    SshIdentification(String),
    /// A web server.
    Http,
    /// TLS: an alert or a handshake.
    Tls,
    /// VNC (RFC 6143, 7.1.1).
    Vnc,
    /// A TPKT message (RFC 1006, 6) that is no RDP connection confirm.
    Tpkt,
    /// Some text protocol; its first line.
    Text(String),
    /// Some binary protocol; its first bytes in hexadecimal.
    Binary(String),
    /// Line upon line with no identification among them, as SSH tarpits do; more than 8 KiB of it.
    Endless,
    /// A greeting that began as it should and did not end.
    Incomplete(Service),
}

/// As in `something else answered: HTTP`.
impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh => f.write_str("SSH"),
            Self::SshIdentification(text) => write!(f, "\"{text}\", which is no identification of SSH 2"),
            Self::Http => f.write_str("HTTP"),
            Self::Tls => f.write_str("TLS"),
            Self::Vnc => f.write_str("VNC"),
            Self::Tpkt => f.write_str("TPKT without an RDP connection confirm"),
            Self::Text(line) => write!(f, "\"{line}\""),
            Self::Binary(bytes) => write!(f, "the bytes {bytes}"),
            Self::Endless => f.write_str("text without end, as a tarpit sends it"),
            Self::Incomplete(service) => write!(f, "an {service} greeting that did not end"),
        }
    }
}

/// What is known after some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing yet.
    NeedMore,
    /// It is what it should be.
    Greeted(Greeting),
    /// It is not.
    Other(Unexpected),
}

/// Reads a greeting as it arrives, and keeps less than a kilobyte of it.
///
/// Decides at the first byte that allows it, whatever comes after; at the latest after 8 KiB. For
/// [`Service::Tcp`] that is before the first byte.
#[derive(Clone, Debug)]
pub struct Parser {
    service: Service,
    heard: Heard,
    /// All bytes so far.
    total: usize,
    /// The first of them, to tell what a stranger is.
    start: Vec<u8>,
    /// SSH: the current line, as far as it can matter. RDP: the message.
    pending: Vec<u8>,
}

impl Parser {
    /// A parser that has heard nothing yet.
    #[must_use]
    pub const fn new(service: Service) -> Self {
        let heard = match service {
            Service::Ssh | Service::Rdp => Heard::NeedMore,
            Service::Tcp => Heard::Greeted(Greeting::Tcp),
        };
        Self { service, heard, total: 0, start: Vec::new(), pending: Vec::new() }
    }

    /// Takes more bytes, and says what is known now. Bytes after the decision change nothing.
    pub fn feed(&mut self, bytes: &[u8]) -> &Heard {
        for &byte in bytes {
            if self.heard != Heard::NeedMore {
                break;
            }
            self.total += 1;
            if self.start.len() < START {
                self.start.push(byte);
            }
            let decided = match self.service {
                Service::Ssh => self.ssh(byte),
                Service::Rdp => self.rdp(byte),
                Service::Tcp => None,
            };
            if let Some(decided) = decided {
                self.heard = decided;
            }
        }
        &self.heard
    }

    /// What the bytes so far look like, for when no more will come; `None` when there were none.
    #[must_use]
    pub fn unfinished(&self) -> Option<Unexpected> {
        if self.total == 0 {
            return None;
        }
        Some(match self.service {
            Service::Ssh if self.pending.starts_with(SSH) => Unexpected::Incomplete(Service::Ssh),
            Service::Rdp if self.start.starts_with(&[TPKT_VERSION]) => Unexpected::Incomplete(Service::Rdp),
            _ => look(&self.start),
        })
    }

    /// RFC 4253, 4.2: lines may come before the identification string, which alone begins with `SSH-`.
    fn ssh(&mut self, byte: u8) -> Option<Heard> {
        if byte == b'\n' {
            if self.pending.starts_with(SSH) {
                return Some(identification(&self.pending));
            }
            self.pending.clear();
        } else if self.pending.len() < SSH_LINE - 1 {
            self.pending.push(byte);
        } else if self.pending.starts_with(SSH) {
            return Some(Heard::Other(Unexpected::SshIdentification(printable(&self.pending))));
        }
        if let Some(stranger) = signature(&self.start, self.service) {
            return Some(Heard::Other(stranger));
        }
        // No text has a null character, and RFC 4253, 4.2 forbids it in the identification.
        if byte == 0 {
            return Some(Heard::Other(look(&self.start)));
        }
        (self.total >= MOST).then_some(Heard::Other(Unexpected::Endless))
    }

    /// MS-RDPBCGR 2.2.1.2: a TPKT header (RFC 1006, 6), then the X.224 connection confirm.
    fn rdp(&mut self, byte: u8) -> Option<Heard> {
        if self.start.first() != Some(&TPKT_VERSION) {
            let known = signature(&self.start, self.service);
            let ended = byte == b'\n' || self.start.len() == START || !is_text(byte);
            // A single byte that is not text may be the first of TLS.
            let ended = ended && self.total > 1;
            return known.or_else(|| ended.then(|| look(&self.start))).map(Heard::Other);
        }
        self.pending.push(byte);
        let &[_, _, high, low, ..] = self.pending.as_slice() else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(TPKT_HEADER + X224_CONFIRM..=TPKT_MOST).contains(&length) {
            return Some(Heard::Other(Unexpected::Tpkt));
        }
        if self.pending.len() < length {
            return None;
        }
        Some(
            confirm(&self.pending).map_or(Heard::Other(Unexpected::Tpkt), |negotiation| {
                Heard::Greeted(Greeting::Rdp(negotiation))
            }),
        )
    }
}

/// Reads `SSH-protoversion-softwareversion SP comments`, without its line feed.
fn identification(line: &[u8]) -> Heard {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let rest = line.strip_prefix(b"SSH-2.0-").or_else(|| line.strip_prefix(b"SSH-1.99-"));
    match rest {
        // The software version is not optional, and no client talks to a server without one.
        Some(software) if software.first().is_some_and(u8::is_ascii_graphic) => {
            Heard::Greeted(Greeting::Ssh { software: printable(software) })
        }
        _ => Heard::Other(Unexpected::SshIdentification(printable(line))),
    }
}

/// Reads a whole TPKT message as X.224 connection confirm.
fn confirm(message: &[u8]) -> Option<Negotiation> {
    let (&length, rest) = message.get(TPKT_HEADER..)?.split_first()?;
    // The low half of the code is a credit, which class 0 does not use. The header may not outrun its message.
    let is_confirm = rest.first().is_some_and(|code| code & 0xF0 == X224_CC)
        && usize::from(length) + 1 >= X224_CONFIRM
        && usize::from(length) <= rest.len();
    if !is_confirm {
        return None;
    }
    let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    match rest.get(X224_CONFIRM - 1..)? {
        [] => Some(Negotiation::Absent),
        [NEG_RSP, _flags, 8, 0, value @ ..] => {
            Some(Negotiation::Selected(Security::of(number(value.first_chunk()?))))
        }
        [NEG_FAILURE, _flags, 8, 0, value @ ..] => Some(Negotiation::Declined(number(value.first_chunk()?))),
        _ => None,
    }
}

/// A protocol other than the expected one, as soon as its first bytes can be no other. Each is told at one exact
/// number of bytes.
fn signature(start: &[u8], expected: Service) -> Option<Unexpected> {
    match start {
        b"HTTP/" => Some(Unexpected::Http),
        b"RFB " => Some(Unexpected::Vnc),
        [TLS_ALERT | TLS_HANDSHAKE, 3] => Some(Unexpected::Tls),
        [TPKT_VERSION, 0] if expected == Service::Ssh => Some(Unexpected::Tpkt),
        SSH if expected == Service::Rdp => Some(Unexpected::Ssh),
        _ => None,
    }
}

/// What bytes that fit nothing look like.
fn look(start: &[u8]) -> Unexpected {
    // A character that the end cuts in two is no fault.
    let is_utf8 = std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true);
    let line = start.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    match line {
        Some(line) if is_utf8 && start.iter().all(|&byte| is_text(byte)) => Unexpected::Text(printable(line)),
        _ => {
            let bytes: Vec<_> = start.iter().take(BINARY).map(|byte| format!("{byte:02x}")).collect();
            Unexpected::Binary(bytes.join(" "))
        }
    }
}

/// Whether a byte may stand in UTF-8 text: of control characters only those that move to another column or line.
const fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7F || matches!(byte, b'\t' | b'\r' | b'\n')
}

/// What a terminal may be shown of a stranger's bytes: no escape sequence, nothing that reorders a line.
fn printable(bytes: &[u8]) -> String {
    let shown = |&byte: &u8| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '?' };
    bytes.trim_ascii().iter().map(shown).collect()
}

/// TPKT of 19 bytes, X.224 connection request of class 0, `RDP_NEG_REQ` with `PROTOCOL_SSL` and `PROTOCOL_HYBRID`.
const RDP_CONNECTION_REQUEST: [u8; 19] = [
    3, 0, 0, 19, // TPKT: version, reserved, length
    14, 0xE0, 0, 0, 0, 0, 0, // X.224: length of what follows, CR, destination, source, class
    1, 0, 8, 0, 3, 0, 0, 0, // RDP_NEG_REQ: type, flags, length, requested protocols
];
const SSH: &[u8] = b"SSH-";
/// The longest identification string, with CR and LF (RFC 4253, 4.2).
const SSH_LINE: usize = 255;
/// All that may come before and with an identification. What servers really send there is a line or two.
const MOST: usize = 8 * 1024;
/// How much of a stranger's words is kept.
const START: usize = 64;
/// How many bytes of a binary protocol are shown.
const BINARY: usize = 8;
const TPKT_VERSION: u8 = 3;
const TPKT_HEADER: usize = 4;
/// A TPKT header and the longest X.224 header, whose length has one byte, of which 255 is reserved.
const TPKT_MOST: usize = TPKT_HEADER + 255;
/// An X.224 connection confirm without its variable part: length, code, two references, class.
const X224_CONFIRM: usize = 7;
const X224_CC: u8 = 0xD0;
const NEG_RSP: u8 = 2;
const NEG_FAILURE: u8 = 3;
/// Content types of TLS records (RFC 8446, 5.1).
const TLS_ALERT: u8 = 21;
const TLS_HANDSHAKE: u8 = 22;
