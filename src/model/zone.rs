//! The zones that accounts hold, and which of them answers for a name.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::endpoint::Handle;
use super::name::{Apexes, ZoneName};
use super::record::Ttl;
use super::state::{Observed, RecordKey, Seen};

/// A zone that an account holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its apex.
    pub name: ZoneName,
    /// What the provider calls it: a resource id, or Cloudflare's zone id.
    pub id: String,
    /// Its authoritative servers, as the provider lists them or the operator wrote them: names, or `ip:port`.
    pub name_servers: Vec<String>,
    /// What it allows.
    pub rules: ZoneRules,
}

/// What a provider allows in a zone, as data, so that the core can refuse before a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRules {
    /// The least TTL, in seconds, other than automatic.
    pub least_ttl: u32,
    /// The greatest TTL, in seconds.
    pub greatest_ttl: u32,
    /// Whether a TTL of 1 means "automatic" (Cloudflare).
    pub automatic_ttl: bool,
    /// Whether alias record sets exist (Azure DNS).
    pub alias: bool,
    /// Whether a CNAME at the apex is accepted, and flattened (Cloudflare).
    pub flattens_apex: bool,
    /// Whether records can be proxied (Cloudflare).
    pub proxying: bool,
    /// Whether a record takes another type in one transaction (Cloudflare). Where it does not, nothing stands at the
    /// name for a moment.
    pub exchanges: bool,
    /// How many characters a comment may have where the mark stands in one, beside a person's words (Cloudflare).
    #[serde(default)]
    pub comment: Option<usize>,
}

/// Why a name has no one zone in an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoZone {
    /// The account's zones could not be read.
    Unknown(String),
    /// No zone of the account holds the name.
    None,
    /// Several zones of one name do, with these ids.
    Several(ZoneName, Vec<String>),
}

impl ZoneRules {
    /// Whether the zone takes `ttl`.
    #[must_use]
    pub fn takes(&self, ttl: Ttl) -> bool {
        (self.automatic_ttl && ttl == Ttl::AUTOMATIC)
            || (self.least_ttl..=self.greatest_ttl).contains(&ttl.seconds())
    }

    /// What the zone's servers hand out for `ttl`: Cloudflare's automatic is 300 seconds.
    #[must_use]
    pub fn served(&self, ttl: Ttl) -> Ttl {
        if self.automatic_ttl && ttl == Ttl::AUTOMATIC { Ttl::DEFAULT } else { ttl }
    }
}

impl NoZone {
    /// The account was not looked at.
    pub(super) fn unread() -> Self {
        Self::Unknown("its zones were not read".into())
    }

    /// The one of `longest`, the zones that match a name best.
    pub(super) fn one_of<'z>(longest: &[&'z Zone]) -> Result<&'z Zone, Self> {
        match longest {
            [] => Err(Self::None),
            [zone] => Ok(zone),
            [first, ..] => {
                let mut ids: Vec<String> = longest.iter().map(|zone| zone.id.clone()).collect();
                ids.sort();
                Err(Self::Several(first.name.clone(), ids))
            }
        }
    }
}

/// Every account's zones by apex, so that matching many names takes time in their number alone.
pub(super) struct ZoneIndex<'o> {
    accounts: HashMap<&'o Handle, Result<Apexes<'o, Zone>, &'o str>>,
}

impl<'o> ZoneIndex<'o> {
    pub(super) fn new(observed: &'o Observed) -> Self {
        let apexes = |seen: &'o Seen<Vec<Zone>>| match seen {
            Seen::Unknown(reason) => Err(reason.as_str()),
            Seen::Absent => Ok(Apexes::new(&[], |zone: &Zone| &zone.name)),
            Seen::Present(zones) => Ok(Apexes::new(zones, |zone| &zone.name)),
        };
        let accounts = observed.zones.iter().map(|(account, seen)| (account, apexes(seen))).collect();
        Self { accounts }
    }

    /// As [`Observed::zone`].
    pub(super) fn of(&self, key: &RecordKey) -> Result<&'o Zone, NoZone> {
        match self.accounts.get(&key.account) {
            Some(Ok(apexes)) => NoZone::one_of(apexes.nearest(&key.name)),
            Some(Err(reason)) => Err(NoZone::Unknown((*reason).to_owned())),
            None => Err(NoZone::unread()),
        }
    }
}
