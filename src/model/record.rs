//! Record sets: as wanted, as held, and whose they are.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::Fqdn;

/// The type of a record set, as in the IANA registry; types that we do not write are carried by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Canonical name.
    Cname,
    /// Any other type, in upper case.
    Other(String),
}

impl RecordType {
    /// The type that holds such an address; A while there is none.
    #[must_use]
    pub fn of(address: Option<IpAddr>) -> Self {
        if address.is_some_and(|address| address.is_ipv6()) { Self::Aaaa } else { Self::A }
    }

    /// The mnemonic, such as `CNAME`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Other(text) => text,
        }
    }
}

impl From<String> for RecordType {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&str> for RecordType {
    fn from(text: &str) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "A" => Self::A,
            "AAAA" => Self::Aaaa,
            "CNAME" => Self::Cname,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl From<RecordType> for String {
    fn from(rtype: RecordType) -> Self {
        rtype.as_str().to_owned()
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a record follows its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A CNAME to the label's name as Azure reports it.
    #[default]
    Cname,
    /// A or AAAA with the endpoint's current address.
    Address,
    /// An Azure DNS alias record set on the public IP.
    Alias,
    /// `cname`; at an apex `alias` in Azure DNS and a flattened CNAME in Cloudflare.
    Auto,
}

/// What may be done to a record that this configuration names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Create, update and withdraw.
    #[default]
    Sync,
    /// Create and update.
    UpsertOnly,
    /// Create only; what exists stays as it is.
    CreateOnly,
}

/// A time to live in seconds (RFC 2181, 8): 1 to 2,147,483,647.
///
/// In Cloudflare 1 means "automatic".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Ttl(u32);

impl Ttl {
    /// Azure's and Cloudflare's customary value, five minutes.
    pub const DEFAULT: Self = Self(300);
    /// Cloudflare's "automatic".
    pub const AUTOMATIC: Self = Self(1);

    /// A TTL of `seconds`, if it is one; `None` for 0 and for anything above 2^31 - 1.
    #[must_use]
    pub fn new(seconds: u32) -> Option<Self> {
        (1..=i32::MAX.unsigned_abs()).contains(&seconds).then_some(Self(seconds))
    }

    /// Seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Ttl {
    type Error = String;

    fn try_from(seconds: u32) -> Result<Self, Self::Error> {
        Self::new(seconds).ok_or_else(|| format!("a TTL of {seconds} is outside 1 to 2147483647 seconds"))
    }
}

impl From<Ttl> for u32 {
    fn from(ttl: Ttl) -> Self {
        ttl.0
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

/// The instance id in a mark: `[a-z0-9][a-z0-9-]{0,38}`. Two instances with different owners never fight.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner(String);

impl Owner {
    /// Parses an instance id.
    ///
    /// # Errors
    /// The rule, in words.
    pub fn parse(text: &str) -> Result<Self, OwnerError> {
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fits = (1..=39).contains(&text.len())
            && text.bytes().next().is_some_and(inside)
            && text.bytes().all(|b| inside(b) || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(OwnerError(text.to_owned())) }
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not an owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not an owner: 1 to 39 lower-case letters, digits and hyphens, not beginning with a hyphen"
)]
pub struct OwnerError(String);

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Owner {
    type Error = OwnerError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes a resource ours, kept on the resource itself, in the one write that carries its data.
///
/// In key-value form (Azure metadata and tags): `managed-by` = `cnamed`, `owner` = the owner. In text form
/// (Cloudflare comments): `managed-by=cnamed owner=OWNER` after whatever a person wrote there.
pub mod mark {
    use super::Owner;

    /// The key that says who manages a resource.
    pub const MANAGED_BY: &str = "managed-by";
    /// Its value on everything of ours.
    pub const CNAMED: &str = "cnamed";
    /// The key of the instance id.
    pub const OWNER: &str = "owner";

    /// The mark's text form.
    #[must_use]
    pub fn text(owner: &Owner) -> String {
        before_owner() + owner.as_str()
    }

    /// Splits a comment into what a person wrote and the owner that its mark names, if it ends in one.
    #[must_use]
    pub fn split(comment: &str) -> (&str, Option<Owner>) {
        let prefix = before_owner();
        let Some(at) = comment.rfind(&prefix) else { return (comment, None) };
        let (human, tail) = comment.split_at(at);
        let boundary = human.is_empty() || human.ends_with(char::is_whitespace);
        match Owner::parse(tail[prefix.len()..].trim_end()) {
            Ok(owner) if boundary => (human.trim_end(), Some(owner)),
            _ => (comment, None),
        }
    }

    /// A person's words followed by the mark; `None` when `limit` characters cannot hold both.
    #[must_use]
    pub fn join(human: &str, owner: &Owner, limit: usize) -> Option<String> {
        let human = human.trim();
        let mark = text(owner);
        let comment = if human.is_empty() { mark } else { format!("{human} {mark}") };
        (comment.chars().count() <= limit).then_some(comment)
    }

    /// How many characters `limit` leaves for a person's words.
    #[must_use]
    pub fn room(owner: &Owner, limit: usize) -> usize {
        limit.saturating_sub(text(owner).chars().count() + 1)
    }

    /// The part of the text form that is the same for every owner.
    fn before_owner() -> String {
        format!("{MANAGED_BY}={CNAMED} {OWNER}=")
    }
}

/// What a record set answers with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// One canonical name (RFC 2181, 10.1: a name holds one CNAME).
    Cname(Fqdn),
    /// IPv4 addresses.
    A(BTreeSet<Ipv4Addr>),
    /// IPv6 addresses.
    Aaaa(BTreeSet<Ipv6Addr>),
    /// An Azure DNS alias record set: looks empty in a naive read, and is not.
    Alias {
        /// The record set's type.
        rtype: RecordType,
        /// The Azure resource that it follows, as a resource id.
        target: String,
    },
    /// A type that we never write, or data that we cannot read; present all the same.
    Opaque {
        /// The record set's type.
        rtype: RecordType,
        /// The data, for a person.
        text: String,
    },
}

impl Data {
    /// The address record set of `address`.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::A([v4].into()),
            IpAddr::V6(v6) => Self::Aaaa([v6].into()),
        }
    }

    /// The type of the set that holds it.
    #[must_use]
    pub fn rtype(&self) -> RecordType {
        match self {
            Self::Cname(_) => RecordType::Cname,
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Alias { rtype, .. } | Self::Opaque { rtype, .. } => rtype.clone(),
        }
    }

    /// Whether both answer alike. Azure compares resource ids without case, so alias targets do too.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Alias { rtype: a, target: x }, Self::Alias { rtype: b, target: y }) => {
                a == b && x.eq_ignore_ascii_case(y)
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, rtype: &str, items: Vec<String>| {
            write!(f, "{rtype} {}", if items.is_empty() { "(empty)".to_owned() } else { items.join(" ") })
        };
        match self {
            Self::Cname(target) => write!(f, "CNAME {target}"),
            Self::A(set) => list(f, "A", set.iter().map(ToString::to_string).collect()),
            Self::Aaaa(set) => list(f, "AAAA", set.iter().map(ToString::to_string).collect()),
            Self::Alias { rtype, target } => {
                write!(f, "{rtype} alias of {}", target.rsplit('/').next().unwrap_or(target))
            }
            Self::Opaque { rtype, text } if text.is_empty() => write!(f, "{rtype}"),
            Self::Opaque { rtype, text } => write!(f, "{rtype} {text}"),
        }
    }
}

/// The state a plan was made against: an etag, or what an adapter needs to recognise it again. Opaque to the core.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.0)
    }
}

/// What a record set says: everything that we write, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// What it answers with.
    pub data: Data,
    /// How long an answer may be kept. [`Ttl::AUTOMATIC`] where Cloudflare decides.
    pub ttl: Ttl,
    /// Whether Cloudflare answers in its place; always `false` elsewhere.
    pub proxied: bool,
}

impl Content {
    /// Whether both say the same, for as long and through the same: as [`Data::same`].
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.data.same(&other.data) && self.ttl == other.ttl && self.proxied == other.proxied
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.proxied {
            // Cloudflare decides the TTL of whatever it answers for.
            true => write!(f, "{}  proxied", self.data),
            false => write!(f, "{}  ttl {}", self.data, self.ttl),
        }
    }
}

/// A record set as a provider holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// Its owner name.
    pub name: Fqdn,
    /// What it says.
    pub content: Content,
    /// Whose it is: the owner that its mark names; `None` without a mark.
    pub mark: Option<Owner>,
    /// What was read, for the write that follows.
    pub version: Version,
    /// How many characters a person's words take where our mark has to stand beside them: the longest of those at its
    /// records.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub words: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl fmt::Display for RecordSet {
    /// What it says, and whose mark it carries when it carries one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)?;
        match &self.mark {
            Some(owner) => write!(f, "  owner {owner}"),
            None => f.write_str("  unmarked"),
        }
    }
}

impl RecordSet {
    /// Whether `owner` may change it.
    #[must_use]
    pub fn is_ours(&self, owner: &Owner) -> bool {
        self.mark.as_ref() == Some(owner)
    }
}
