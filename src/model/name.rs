//! Names, parsed once: absolute, lower case, Punycode.
//!
//! Terms are those of RFC 9499. Text becomes a [`Fqdn`], [`ZoneName`] or [`DnsLabel`] at the edge and is
//! never text again; equality and order are those of the canonical form, so `Jump.EXAMPLE.com.` and
//! `jump.example.com` are one value.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fully qualified domain name, canonical: lower case, Punycode (RFC 5891), no trailing dot in memory.
///
/// At least two labels; each 1 to 63 octets of letters, digits, hyphen or underscore, not beginning or ending
/// with a hyphen; at most 253 octets in all (RFC 1035, 2.3.4). The root and wildcards are refused: neither can
/// be a friendly name or the target of one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Fqdn(String);

impl Fqdn {
    /// Parses what a person, a file or a service wrote, with or without the trailing dot.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(found) = name.chars().find(|c| !is_plausible(*c)) {
            return Err(NameError::Character { name: text.into(), found });
        }
        let lower = name.to_ascii_lowercase();
        let ascii = if name.is_ascii() && !lower.contains("xn--") {
            lower
        } else {
            idna::domain_to_ascii(name).map_err(|_| NameError::Punycode { name: text.into() })?
        };
        let mut labels = 0;
        for label in ascii.split('.') {
            check_label(label, text)?;
            labels += 1;
        }
        if ascii.len() > 253 {
            return Err(NameError::TooLong { name: text.into(), octets: ascii.len() });
        }
        if labels < 2 {
            return Err(NameError::SingleLabel { name: text.into() });
        }
        Ok(Self(ascii))
    }

    /// The canonical text, without the trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute form of presentation format, with the trailing dot, which no search list can bend.
    #[must_use]
    pub fn absolute(&self) -> String {
        format!("{}.", self.0)
    }

    /// Labels from left to right.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether this name is `ancestor` or stands below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.0.strip_suffix(&ancestor.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The name one label up, while that still has two labels.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, rest) = self.0.split_once('.')?;
        rest.contains('.').then(|| Self(rest.to_owned()))
    }
}

fn is_plausible(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn check_label(label: &str, name: &str) -> Result<(), NameError> {
    let name = || name.to_owned();
    if label.is_empty() {
        return Err(NameError::EmptyLabel { name: name() });
    }
    if label.len() > 63 {
        return Err(NameError::LabelTooLong { name: name(), label: label.into(), octets: label.len() });
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::Hyphen { name: name(), label: label.into() });
    }
    if let Some(found) = label.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')) {
        return Err(NameError::Character { name: name(), found });
    }
    Ok(())
}

impl FromStr for Fqdn {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Fqdn {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Fqdn> for String {
    fn from(name: Fqdn) -> Self {
        name.0
    }
}

impl fmt::Display for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Fqdn {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of a zone's apex.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneName(Fqdn);

impl ZoneName {
    /// Parses an apex name.
    ///
    /// # Errors
    /// As [`Fqdn::parse`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Fqdn::parse(text).map(Self)
    }

    /// The apex as a name.
    #[must_use]
    pub fn apex(&self) -> &Fqdn {
        &self.0
    }

    /// Whether `name` is the apex or stands below it.
    #[must_use]
    pub fn holds(&self, name: &Fqdn) -> bool {
        name.is_within(&self.0)
    }

    /// `name` relative to the apex, `@` for the apex itself; `None` outside the zone.
    #[must_use]
    pub fn relative(&self, name: &Fqdn) -> Option<String> {
        let rest = name.as_str().strip_suffix(self.0.as_str())?;
        match rest.strip_suffix('.') {
            Some(labels) => Some(labels.to_owned()),
            None => rest.is_empty().then(|| "@".to_owned()),
        }
    }

    /// The absolute name of a record set that a service calls `relative` (`@` for the apex).
    ///
    /// # Errors
    /// As [`Fqdn::parse`].
    pub fn absolute(&self, relative: &str) -> Result<Fqdn, NameError> {
        if relative == "@" || relative.is_empty() {
            return Ok(self.0.clone());
        }
        Fqdn::parse(&format!("{relative}.{}", self.0))
    }
}

impl FromStr for ZoneName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Zones by apex, so that matching many names takes time in their labels alone.
#[derive(Clone, Debug)]
pub struct Apexes<'z, Z>(HashMap<&'z str, Vec<&'z Z>>);

impl<'z, Z> Apexes<'z, Z> {
    /// An index of `zones`, each with the name that `apex` gives it.
    pub fn new(zones: &'z [Z], apex: impl Fn(&Z) -> &ZoneName) -> Self {
        let mut known: HashMap<&str, Vec<&Z>> = HashMap::new();
        for zone in zones {
            known.entry(apex(zone).apex().as_str()).or_default().push(zone);
        }
        Self(known)
    }

    /// The longest of the zones that hold `name`: the zone whose servers answer for it (RFC 1034, 4.3.2).
    ///
    /// Several of one name are all returned, since one account may list two zones of one name and only the operator
    /// can say which is meant.
    #[must_use]
    pub fn nearest(&self, name: &Fqdn) -> &[&'z Z] {
        let mut suffix = Some(name.as_str());
        while let Some(text) = suffix {
            if let Some(zones) = self.0.get(text) {
                return zones;
            }
            suffix = text.split_once('.').map(|(_, rest)| rest);
        }
        &[]
    }
}

/// The domain name label of an Azure public IP: `^[a-z][a-z0-9-]{1,61}[a-z0-9]$`, the service's own rule.
///
/// Upper case is refused rather than folded: Azure refuses it too.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsLabel(String);

impl DnsLabel {
    /// Parses a label as Azure would.
    ///
    /// # Errors
    /// [`NameError::AzureLabel`] with the service's rule in words.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bytes = text.as_bytes();
        let inside = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let fits = (3..=63).contains(&bytes.len())
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last().is_some_and(|b| *b != b'-')
            && bytes.iter().all(inside);
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError::AzureLabel { label: text.into() }) }
    }

    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsLabel {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for DnsLabel {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<DnsLabel> for String {
    fn from(label: DnsLabel) -> Self {
        label.0
    }
}

impl fmt::Display for DnsLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DnsLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was written.
    #[error("a name is missing")]
    Empty,
    /// Two dots in a row, or a leading one.
    #[error("\"{name}\" has an empty label")]
    EmptyLabel {
        /// The text as written.
        name: String,
    },
    /// A host name without a domain.
    #[error("\"{name}\" has a single label; write it in full, such as {name}.example.com")]
    SingleLabel {
        /// The text as written.
        name: String,
    },
    /// RFC 1035, 2.3.4.
    #[error("the label \"{label}\" of \"{name}\" has {octets} octets; 63 is the limit")]
    LabelTooLong {
        /// The text as written.
        name: String,
        /// The label, in Punycode.
        label: String,
        /// Its length.
        octets: usize,
    },
    /// RFC 1035, 2.3.4, less the octets that the wire form adds.
    #[error("\"{name}\" has {octets} octets; 253 is the limit")]
    TooLong {
        /// The text as written.
        name: String,
        /// Its length in Punycode.
        octets: usize,
    },
    /// RFC 1123, 2.1.
    #[error("the label \"{label}\" of \"{name}\" begins or ends with a hyphen")]
    Hyphen {
        /// The text as written.
        name: String,
        /// The label.
        label: String,
    },
    /// Anything but letters, digits, hyphen and underscore; a `*` too.
    #[error("\"{name}\" contains {found:?}; {}", if *.found == '*' { "a wildcard cannot follow one endpoint" } else { "a name has letters, digits, hyphens, underscores and dots" })]
    Character {
        /// The text as written.
        name: String,
        /// The first such character.
        found: char,
    },
    /// RFC 5891: an A-label that decodes to nothing, or a U-label outside the allowed repertoire.
    #[error("\"{name}\" is not a valid internationalised name")]
    Punycode {
        /// The text as written.
        name: String,
    },
    /// Azure's rule for a public IP's label.
    #[error(
        "\"{label}\" is not a label that Azure takes: 3 to 63 lower-case letters, digits and hyphens, beginning with a letter and ending with a letter or digit"
    )]
    AzureLabel {
        /// The text as written.
        label: String,
    },
}

/// What the labels of every cloud end in: of public IPs and of the retired cloud services, in the public cloud, the US
/// Government's and China's (kubernetes-sigs/cloud-provider-azure, pkg/azclient/cloud.go).
pub const LABEL_SUFFIXES: [&str; 6] = [
    "cloudapp.azure.com",
    "cloudapp.usgovcloudapi.net",
    "cloudapp.chinacloudapi.cn",
    "cloudapp.net",
    "usgovcloudapp.net",
    "chinacloudapp.cn",
];
