//! What is wanted, what was seen, and the one word between them: [`Seen`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::endpoint::{Availability, Endpoint, Handle, Intent, PublicIp, PublicIpSpec};
use super::name::{Fqdn, ZoneName, longest_match};
use super::record::{Data, Mode, Owner, Policy, RecordSet, Ttl, Version};

/// The result of looking. Unknown is not empty: it freezes all that depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen<T> {
    /// It is there.
    Present(T),
    /// A successful read found nothing.
    Absent,
    /// The read failed, for the reason given.
    Unknown(String),
}

impl<T> Seen<T> {
    /// The value, if it is there.
    #[must_use]
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// Why nothing is known, if nothing is.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(reason) => Some(reason),
            Self::Present(_) | Self::Absent => None,
        }
    }
}

/// One name in one account: the unit that a record is planned, written and verified in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordKey {
    /// The friendly name.
    pub name: Fqdn,
    /// The account that holds it.
    pub account: Handle,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.name, self.account)
    }
}

/// A record as the configuration wants it, in one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The endpoint that it follows.
    pub endpoint: Handle,
    /// How it follows.
    pub mode: Mode,
    /// How long an answer may be kept.
    pub ttl: Ttl,
    /// Whether Cloudflare answers in its place.
    pub proxied: bool,
    /// What may be done to it.
    pub policy: Policy,
    /// Whether to hold it or to withdraw it.
    pub withdraw: bool,
}

/// What the operator has agreed to, beyond what the configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consents {
    /// Foreign records to take over, by name, and the owner to take them from (`None`: from nobody).
    pub adopt: BTreeMap<Fqdn, Option<Owner>>,
    /// Renaming a label, with the short outage that it costs.
    pub relabel: bool,
    /// More withdrawals in one round than the limit.
    pub deletes: bool,
}

/// Everything that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The instance id in our marks.
    pub owner: Owner,
    /// The endpoints, by name.
    pub endpoints: BTreeMap<Handle, Endpoint>,
    /// The records, one entry for each account that shall hold the name.
    pub records: BTreeMap<RecordKey, Wanted>,
    /// Whether marked records that are not named here are withdrawn.
    pub prune: bool,
    /// How many of those one round may withdraw.
    pub deletes_per_round: usize,
    /// What the operator has agreed to.
    pub consents: Consents,
}

impl Desired {
    /// The same wishes, for `name` and its endpoint alone; nothing else is pruned.
    ///
    /// `name` is a record's name or an endpoint's. `None` when this names neither.
    #[must_use]
    pub fn only(mut self, name: &str) -> Option<Self> {
        let record = Fqdn::parse(name).ok();
        let endpoints: BTreeSet<Handle> = (self.records.iter())
            .filter(|(key, _)| Some(&key.name) == record.as_ref())
            .map(|(_, wanted)| wanted.endpoint.clone())
            .chain(self.endpoints.keys().filter(|endpoint| endpoint.as_str() == name).cloned())
            .collect();
        if endpoints.is_empty() {
            return None;
        }
        let whole_endpoint = self.endpoints.keys().any(|endpoint| endpoint.as_str() == name);
        self.records.retain(|key, wanted| {
            endpoints.contains(&wanted.endpoint) && (whole_endpoint || Some(&key.name) == record.as_ref())
        });
        self.endpoints.retain(|endpoint, _| endpoints.contains(endpoint));
        self.prune = false;
        Some(self)
    }

    /// The wish of `cnamed teardown`: every name withdrawn, then everything that we made taken down.
    #[must_use]
    pub fn torn_down(mut self) -> Self {
        for endpoint in self.endpoints.values_mut() {
            endpoint.intent = Intent::Remove;
        }
        for wanted in self.records.values_mut() {
            wanted.withdraw = true;
        }
        self
    }

    /// The wish of `cnamed remove`: `name` withdrawn wherever it is held.
    #[must_use]
    pub fn withdrawing(mut self, name: &Fqdn) -> Self {
        for (key, wanted) in &mut self.records {
            wanted.withdraw |= &key.name == name;
        }
        self
    }

    /// The records that follow `endpoint`.
    pub fn records_of<'d>(
        &'d self,
        endpoint: &'d Handle,
    ) -> impl Iterator<Item = (&'d RecordKey, &'d Wanted)> {
        self.records.iter().filter(move |(_, wanted)| &wanted.endpoint == endpoint)
    }
}

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
}

/// What was seen of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// The public IP.
    pub public_ip: Seen<PublicIp>,
    /// Whether the wanted label is to be had; asked only when the public IP does not already hold it.
    pub label: Seen<LabelHolder>,
}

/// Who holds a label that our public IP does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelHolder {
    /// Nobody.
    Nobody,
    /// Another public IP that we can read, by resource id.
    Own(String),
    /// Somebody else, or a resource that we cannot read.
    Stranger,
}

impl From<Availability> for LabelHolder {
    fn from(availability: Availability) -> Self {
        match availability {
            Availability::Free => Self::Nobody,
            Availability::Taken => Self::Stranger,
        }
    }
}

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The endpoints' resources.
    pub endpoints: BTreeMap<Handle, EndpointState>,
    /// The zones of each account.
    pub zones: BTreeMap<Handle, Seen<Vec<Zone>>>,
    /// What holds each wanted name, every type of it, and every other record with our mark.
    pub records: BTreeMap<RecordKey, Seen<Vec<RecordSet>>>,
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

impl Observed {
    /// The zone of `key`'s account that answers for `key`'s name, by longest suffix.
    ///
    /// # Errors
    /// When there is none, more than one, or the zones are unknown.
    pub fn zone(&self, key: &RecordKey) -> Result<&Zone, NoZone> {
        let zones = match self.zones.get(&key.account) {
            Some(Seen::Present(zones)) => zones,
            Some(Seen::Absent) => return Err(NoZone::None),
            Some(Seen::Unknown(reason)) => return Err(NoZone::Unknown(reason.clone())),
            None => return Err(NoZone::Unknown("its zones were not read".into())),
        };
        match longest_match(zones, &key.name, |zone| &zone.name).as_slice() {
            [] => Err(NoZone::None),
            [zone] => Ok(zone),
            several => Err(NoZone::Several(
                several[0].name.clone(),
                several.iter().map(|zone| zone.id.clone()).collect(),
            )),
        }
    }

    /// The public IP of `endpoint`, if it was seen.
    #[must_use]
    pub fn public_ip(&self, endpoint: &Handle) -> Option<&PublicIp> {
        self.endpoints.get(endpoint)?.public_ip.present()
    }

    /// What holds `key`, as far as it was seen.
    #[must_use]
    pub fn sets(&self, key: &RecordKey) -> &[RecordSet] {
        self.records.get(key).and_then(Seen::present).map_or(&[], Vec::as_slice)
    }

    /// Every CNAME of `owner` and the name that it points at.
    pub fn cnames_of<'o>(&'o self, owner: &'o Owner) -> impl Iterator<Item = (&'o RecordKey, &'o Fqdn)> {
        self.records.iter().flat_map(move |(key, seen)| {
            let sets = seen.present().map_or(&[][..], Vec::as_slice);
            sets.iter().filter(|set| set.is_ours(owner)).filter_map(move |set| match &set.content.data {
                Data::Cname(target) => Some((key, target)),
                _ => None,
            })
        })
    }

    /// Whether some public IP that was seen holds `fqdn`.
    #[must_use]
    pub fn holds_label(&self, fqdn: &Fqdn) -> bool {
        (self.endpoints.values())
            .filter_map(|state| state.public_ip.present())
            .any(|ip| ip.fqdn.as_ref() == Some(fqdn))
    }
}

/// The public IP that `spec` would have become, for previews and for the laws; Azure alone knows the true name.
pub(super) fn imagined(spec: &PublicIpSpec, owner: &Owner, suffix: &str) -> PublicIp {
    PublicIp {
        id: format!("/imagined/{}/{}", spec.resource_group, spec.name),
        location: spec.location.clone(),
        sku: "Standard".into(),
        allocation: spec.allocation,
        label: Some(spec.label.clone()),
        label_scope: spec.label_scope,
        fqdn: imagined_fqdn(spec, suffix),
        address: Some([192, 0, 2, 1].into()),
        provisioning: super::endpoint::Provisioning::Succeeded,
        attached_to: None,
        mark: Some(owner.clone()),
        version: Version("imagined".into()),
    }
}

/// The name that a label would have without a scope.
pub(super) fn imagined_fqdn(spec: &PublicIpSpec, suffix: &str) -> Option<Fqdn> {
    Fqdn::parse(&format!("{}.{}.{suffix}", spec.label, spec.location)).ok()
}
