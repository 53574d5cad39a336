//! What is wanted, what was seen, and the one word between them: [`Seen`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::endpoint::{Availability, Endpoint, Handle, Intent, Provisioning, PublicIp};
use super::gateway::GatewayState;
use super::name::{Apexes, Fqdn};
use super::record::{Data, Mode, Owner, Policy, RecordSet, Ttl};
pub use super::zone::{NoZone, Zone, ZoneRules};

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

impl Wanted {
    /// A record that the configuration does not name, to be withdrawn while `endpoint` is looked at.
    #[must_use]
    pub fn stray(endpoint: Handle) -> Self {
        let (mode, policy) = (Mode::default(), Policy::default());
        Self { endpoint, mode, ttl: Ttl::DEFAULT, proxied: false, policy, withdraw: true }
    }
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
    /// Opening a port to the whole internet.
    pub internet: bool,
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
    /// How many of those one round may withdraw from each account.
    pub deletes_per_round: usize,
    /// What the operator has agreed to.
    pub consents: Consents,
}

impl Desired {
    /// The same wishes, for an endpoint with its records, or else for a record with what it follows; nothing else is
    /// pruned.
    ///
    /// `None` when `name` is that of neither.
    #[must_use]
    pub fn only(self, name: &str) -> Option<Self> {
        if self.endpoints.keys().any(|endpoint| endpoint.as_str() == name) {
            return self.only_endpoint(name);
        }
        self.only_record(&Fqdn::parse(name).ok()?)
    }

    /// The same wishes, for the endpoint called `name` and its records alone; nothing else is pruned.
    ///
    /// `None` when no endpoint is called so.
    #[must_use]
    pub fn only_endpoint(mut self, name: &str) -> Option<Self> {
        self.endpoints.retain(|endpoint, _| endpoint.as_str() == name);
        self.records.retain(|_, wanted| wanted.endpoint.as_str() == name);
        self.prune = false;
        (!self.endpoints.is_empty()).then_some(self)
    }

    /// The same wishes, for the record `name` and the endpoint that it follows alone; nothing else is pruned.
    ///
    /// `None` when no record is called so.
    #[must_use]
    pub fn only_record(mut self, name: &Fqdn) -> Option<Self> {
        self.records.retain(|key, _| key.name == *name);
        let followed: BTreeSet<Handle> =
            self.records.values().map(|wanted| wanted.endpoint.clone()).collect();
        self.endpoints.retain(|endpoint, _| followed.contains(endpoint));
        self.prune = false;
        (!self.records.is_empty()).then_some(self)
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

    /// The wish of `cnamed remove`: `name` withdrawn wherever it is held, and nothing else touched.
    ///
    /// Endpoints are only watched and nothing is pruned, so that this works while an endpoint is refused.
    #[must_use]
    pub fn withdrawing(mut self, name: &Fqdn) -> Self {
        self.records.retain(|key, _| &key.name == name);
        for wanted in self.records.values_mut() {
            wanted.withdraw = true;
        }
        let followed: BTreeSet<Handle> =
            self.records.values().map(|wanted| wanted.endpoint.clone()).collect();
        self.endpoints.retain(|endpoint, _| followed.contains(endpoint));
        for endpoint in self.endpoints.values_mut() {
            endpoint.intent = Intent::Watch;
            // What stands behind the public IP has no say in it.
            endpoint.gateway = None;
        }
        self.prune = false;
        self
    }
}

/// What was seen of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointState {
    /// The public IP.
    pub public_ip: Seen<PublicIp>,
    /// Whether the wanted label is to be had; [`Seen::Absent`] means that nobody was asked, since the public IP
    /// holds it already.
    pub label: Seen<LabelHolder>,
    /// What stands behind the public IP, where something shall.
    pub gateway: Option<GatewayState>,
}

impl EndpointState {
    /// Of `endpoint` nothing is known, for this reason; what stands behind it is not taken for absent.
    #[must_use]
    pub fn unknown(endpoint: &Endpoint, reason: &str) -> Self {
        let reason = || reason.to_owned();
        let gateway = endpoint.gateway.as_ref().map(|_| GatewayState {
            load_balancer: Seen::Unknown(reason()),
            interfaces: BTreeMap::new(),
            subnets: BTreeMap::new(),
            groups: BTreeMap::new(),
            others: BTreeMap::new(),
        });
        Self { public_ip: Seen::Unknown(reason()), label: Seen::Unknown(reason()), gateway }
    }

    /// Whether an operation is under way on the public IP or on something behind it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.public_ip.present().is_some_and(|ip| ip.provisioning == Provisioning::Busy)
            || self.gateway.as_ref().is_some_and(|gateway| gateway.busy().is_some())
    }
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
    ///
    /// A zone that could not be searched for marked records has at least one unknown entry, its apex if need be:
    /// a label is given up only when no name can hide.
    pub records: BTreeMap<RecordKey, Seen<Vec<RecordSet>>>,
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
            None => return Err(NoZone::unread()),
        };
        NoZone::one_of(Apexes::new(zones, |zone| &zone.name).nearest(&key.name))
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
