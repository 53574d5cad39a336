//! Azure DNS zones and record sets.
//!
//! Each write depends on the etag that was read, and carries our mark in the record set's metadata beside whatever
//! others put there. An update is the JSON that was read with our change in it.

mod apply;
mod record_set;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use serde_json::Value;
use url::form_urlencoded;

use super::{Arm, at, implausible, text_at};
use crate::model::endpoint::Handle;
use crate::model::name::{Fqdn, ZoneName};
use crate::model::plan::RecordChange;
use crate::model::record::{Owner, RecordSet, RecordType};
use crate::model::state::{Seen, Zone, ZoneRules};
use crate::provider::http::{Budget, Window};
use crate::provider::{DnsProvider, Error, Found, Kind, Look, Remembered, Trail};

/// The zones of one resource group, in the endpoints' subscription or another that the same credential reaches.
pub struct AzureDns {
    account: Handle,
    arm: Arc<Arm>,
    subscription: String,
    resource_group: String,
    /// The zones, where the operator wrote them: they are not listed then.
    named: Option<Vec<ZoneName>>,
    name_servers: Option<Vec<String>>,
    zones: Remembered,
    documents: Documents,
    /// Whether the name filter was seen to leave out the very name that it was given.
    filter_is_strict: AtomicBool,
}

impl AzureDns {
    /// The account named `account`.
    ///
    /// `subscription` is another than `arm`'s, if that is meant. `zones` are used as they are written, and not
    /// listed; `name_servers` are asked in place of those that Azure names.
    #[must_use]
    pub fn new(
        account: Handle,
        arm: Arc<Arm>,
        resource_group: String,
        subscription: Option<String>,
        zones: Option<Vec<ZoneName>>,
        name_servers: Option<Vec<String>>,
    ) -> Self {
        Self {
            account,
            subscription: subscription.unwrap_or_else(|| arm.subscription.clone()),
            arm,
            resource_group,
            named: zones,
            name_servers,
            zones: Remembered::default(),
            documents: Documents::default(),
            filter_is_strict: AtomicBool::new(false),
        }
    }

    async fn list_zones(&self) -> Result<Vec<Zone>, Error> {
        let path = format!("{}?api-version={API_VERSION}&$top={PAGE}", self.parent());
        let listed = self.arm.list("list", "the zones", &path, self.arm.budget()).await?;
        // A private zone of the older kind is listed too, and no one outside its network is answered by it.
        let public = listed.iter().filter(|zone| {
            text_at(zone, &["properties", "zoneType"])
                .is_none_or(|kind| !kind.eq_ignore_ascii_case("Private"))
        });
        // One whose name holds no friendly name, such as a single label, is none of ours and hides no other.
        let public =
            public.filter(|zone| text_at(zone, &["name"]).is_none_or(|name| ZoneName::parse(name).is_ok()));
        public.map(|zone| self.zone(zone)).collect()
    }

    async fn named_zone(&self, name: &ZoneName) -> Result<Zone, Error> {
        let id = format!("{}/{name}", self.parent());
        if let Some(name_servers) = &self.name_servers {
            return Ok(Zone { name: name.clone(), id, name_servers: name_servers.clone(), rules: RULES });
        }
        let clients = self.arm.dns.zones_client();
        let text = name.to_string();
        let sent = clients.get(&self.resource_group, &text, &self.subscription).send().await;
        match self.arm.json("read the zone", &text, sent).await? {
            Some(zone) => self.zone(&zone),
            // It keeps its place: what lies in it is unknown, and is none of a zone above it.
            None => Ok(Zone { name: name.clone(), id, name_servers: Vec::new(), rules: RULES }),
        }
    }

    /// Whether it is one that the operator wrote and Azure does not have.
    fn is_absent(&self, zone: &Zone) -> bool {
        self.named.is_some() && zone.name_servers.is_empty()
    }

    /// The zone as Azure tells it, with the name servers that the operator wrote in place of its own, if any.
    fn zone(&self, zone: &Value) -> Result<Zone, Error> {
        let mut zone = parse_zone(zone)?;
        if let Some(written) = &self.name_servers {
            zone.name_servers.clone_from(written);
        }
        Ok(zone)
    }

    fn parent(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/dnsZones",
            self.subscription, self.resource_group
        )
    }

    /// What holds `name`, by the zone's filtered list; `None` when the answer cannot tell.
    ///
    /// The filter is documented as "ends with .suffix", which does not promise the name itself. Its presence is
    /// proof, its absence is none.
    async fn find(&self, zone: &Zone, name: &Fqdn) -> Result<Option<Vec<RecordSet>>, Error> {
        let Some(relative) = zone.name.relative(name) else { return Ok(Some(Vec::new())) };
        if relative == "@" || self.filter_is_strict.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let suffix: String = form_urlencoded::byte_serialize(relative.as_bytes()).collect();
        let path = format!("{}&$recordsetnamesuffix={suffix}", all(zone));
        let listed = self.arm.list("read", name.as_str(), &path, &self.lists(zone)).await?;
        let sets = self.keep(zone, listed, |set| set.name == *name)?;
        Ok((!sets.is_empty()).then_some(sets))
    }

    /// Every record set of the zone that `wanted` wants.
    async fn scan(&self, zone: &Zone, wanted: impl Fn(&RecordSet) -> bool) -> Result<Vec<RecordSet>, Error> {
        let listed = self.arm.list("list", zone.name.apex().as_str(), &all(zone), &self.lists(zone)).await?;
        let apex = listed.iter().filter(|set| text_at(set, &["name"]) == Some("@"));
        let types: Vec<_> = apex.filter_map(record_set::rtype).collect();
        // Both exist as long as the zone does. A listing without them is not one of this zone, and "empty" is
        // the most dangerous thing to believe.
        if !["SOA", "NS"].iter().all(|needed| types.contains(&RecordType::from(*needed))) {
            let what = "the answer lacks the zone's own SOA or NS record";
            return Err(implausible("list", zone.name.apex().as_str(), what));
        }
        self.keep(zone, listed, wanted)
    }

    /// The record sets among `listed` that are `wanted`, their JSON remembered for the write that may follow.
    fn keep(
        &self,
        zone: &Zone,
        listed: Vec<Value>,
        wanted: impl Fn(&RecordSet) -> bool,
    ) -> Result<Vec<RecordSet>, Error> {
        let mut kept = Vec::new();
        for document in listed {
            // What has no name that a record of ours could have, such as a wildcard, concerns nobody here.
            let Some(set) = record_set::told(zone, &document) else { continue };
            if wanted(&set) {
                if set.version.0.is_empty() {
                    let what = format!("its {} record set has no etag", set.content.data.rtype());
                    return Err(implausible("read", set.name.as_str(), &what));
                }
                self.documents.remember(zone, &set, document);
                kept.push(set);
            }
        }
        Ok(kept)
    }

    /// Azure's limit on lists, for each zone.
    fn lists(&self, zone: &Zone) -> Arc<Budget> {
        let minute = Window { requests: 60, per: Duration::from_secs(60) };
        self.arm.budget().within(&format!("lists of {}", zone.id), &[minute])
    }

    /// Azure's limit on creations, updates and deletions of record sets, for each zone.
    fn writes(&self, zone: &Zone) -> Arc<Budget> {
        let minute = Window { requests: 200, per: Duration::from_secs(60) };
        self.arm.budget().within(&format!("writes to {}", zone.id), &[minute])
    }
}

impl fmt::Debug for AzureDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzureDns({} in {})", self.account, self.resource_group)
    }
}

#[async_trait]
impl DnsProvider for AzureDns {
    fn account(&self) -> &Handle {
        &self.account
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        let read = || async {
            let Some(named) = &self.named else { return self.list_zones().await };
            let mut zones = Vec::new();
            for name in named {
                zones.push(self.named_zone(name).await?);
            }
            match zones.first() {
                Some(first) if zones.iter().all(|zone| self.is_absent(zone)) => Err(missing(first)),
                _ => Ok(zones),
            }
        };
        let zones = self.zones.or_read(read).await?;
        if zones.iter().any(|zone| self.is_absent(zone)) {
            // It may be made at any time.
            self.zones.forget();
        }
        Ok(zones)
    }

    fn forget_zones(&self) {
        self.zones.forget();
    }

    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error> {
        match self.arm.get("read the zone", &zone.id, API_VERSION).await? {
            Some(document) => Ok(parse_zone(&document)?.name_servers),
            None => Err(missing(zone)),
        }
    }

    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error> {
        if self.is_absent(zone) {
            return Err(missing(zone));
        }
        let mut found: Found = BTreeMap::new();
        let mut rest: Vec<&Fqdn> = look.names.iter().collect();
        if look.marked.is_none() {
            if rest.is_empty() {
                return Ok(found);
            }
            if rest.len() <= FEW {
                let looks = rest.iter().map(|name| async move { (*name, self.find(zone, name).await) });
                let looks = futures::future::join_all(looks).await;
                let all_failed = looks.iter().all(|(_, sets)| sets.is_err());
                for (name, sets) in looks {
                    match sets {
                        Ok(Some(sets)) => found.insert(name.clone(), Seen::Present(sets)),
                        Ok(None) => continue,
                        Err(error) if all_failed => return Err(error),
                        Err(error) => found.insert(name.clone(), Seen::Unknown(error.chain())),
                    };
                }
                rest.retain(|name| !found.contains_key(*name));
                if rest.is_empty() {
                    return Ok(found);
                }
            }
        }
        let filtered = look.marked.is_none() && look.names.len() <= FEW;
        let open = |name: &Fqdn| look.names.contains(name) && !found.contains_key(name);
        let ours = |set: &RecordSet| look.marked.is_some() && look.marked == set.mark;
        let scanned = self.scan(zone, |set| open(&set.name) || ours(set)).await?;
        for name in rest {
            found.insert(name.clone(), Seen::Absent);
        }
        for set in scanned {
            if filtered && zone.name.apex() != &set.name {
                self.filter_is_strict.store(true, Ordering::Relaxed);
            }
            match found.entry(set.name.clone()).or_insert(Seen::Absent) {
                Seen::Present(sets) => sets.push(set),
                absent => *absent = Seen::Present(vec![set]),
            }
        }
        Ok(found)
    }

    async fn apply(
        &self,
        zone: &Zone,
        owner: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>> {
        // Changes that share a name keep their order; others run side by side.
        let mut names: BTreeMap<&Fqdn, Vec<usize>> = BTreeMap::new();
        for (index, change) in changes.iter().enumerate() {
            names.entry(&change.key.name).or_default().push(index);
        }
        // Changes of type go first, while the zone's quota is whole: waiting in the middle of one is an outage.
        let mut names: Vec<_> = names.into_values().collect();
        names.sort_by_key(|indices| !indices.iter().any(|index| changes_type(&changes[*index])));
        let work = names.into_iter().map(|indices| async move {
            let mut done = Vec::new();
            for index in indices {
                let change = self.change(zone, owner, &changes[index]);
                done.push((index, Trail::within(index, change).await));
            }
            done
        });
        let mut done: Vec<_> = stream::iter(work).buffer_unordered(CONCURRENT).concat().await;
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

/// Whether a set of another type has to go before the new one can come.
fn changes_type(change: &RecordChange) -> bool {
    let after = change.after.as_ref().map(|content| content.data.rtype());
    after.is_some_and(|after| change.before.iter().any(|set| set.content.data.rtype() != after))
}

/// The JSON of record sets that were read, by what and which version of it they are.
#[derive(Default)]
struct Documents(Mutex<HashMap<String, Value>>);

impl Documents {
    fn remember(&self, zone: &Zone, set: &RecordSet, document: Value) {
        let mut documents = self.lock();
        let key = Self::key(zone, set);
        // A daemon reads the same few for months; only versions that are gone pile up.
        if documents.len() >= MOST_DOCUMENTS && !documents.contains_key(&key) {
            documents.clear();
        }
        documents.insert(key, document);
    }

    fn take(&self, zone: &Zone, set: &RecordSet) -> Option<Value> {
        self.lock().remove(&Self::key(zone, set))
    }

    fn key(zone: &Zone, set: &RecordSet) -> String {
        format!("{} {} {} {}", zone.id, set.content.data.rtype(), set.name, set.version.0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The list of every record set of `zone`, in pages as large as Azure makes them.
fn all(zone: &Zone) -> String {
    format!("{}/all?api-version={API_VERSION}&$top={PAGE}", zone.id)
}

fn missing(zone: &Zone) -> Error {
    Error::new(Kind::Missing, "read the zone", zone.name.to_string())
        .remedy("check the account's zones, resource_group and subscription")
}

/// A zone of a list.
fn parse_zone(zone: &Value) -> Result<Zone, Error> {
    let text = |name: &str| {
        text_at(zone, &[name])
            .ok_or_else(|| implausible("list", "the zones", &format!("a zone of them has no {name}")))
    };
    let name = ZoneName::parse(text("name")?)
        .map_err(|error| Error::new(Kind::Unreachable, "list", "the zones").because(error))?;
    let servers = at(zone, &["properties", "nameServers"]).and_then(Value::as_array);
    let servers = servers.into_iter().flatten().filter_map(Value::as_str);
    Ok(Zone {
        name,
        id: text("id")?.to_owned(),
        name_servers: servers.map(|server| server.trim_end_matches('.').to_ascii_lowercase()).collect(),
        rules: RULES,
    })
}

/// What Azure DNS allows (<https://learn.microsoft.com/azure/dns/dns-zones-records>).
const RULES: ZoneRules = ZoneRules {
    least_ttl: 1,
    greatest_ttl: 2_147_483_647,
    automatic_ttl: false,
    alias: true,
    flattens_apex: false,
    proxying: false,
    exchanges: false,
    comment: None,
};
/// The version that the generated client speaks: the first with alias record sets, and still the latest stable.
const API_VERSION: &str = "2018-05-01";
/// The largest page that Azure makes.
const PAGE: usize = 1000;
/// Up to so many names are looked up one by one: beyond, a page of the zone costs less.
const FEW: usize = 4;
/// Writes under way at once: enough to reach the zone's quota at any latency met in practice.
const CONCURRENT: usize = 12;
/// No zone has more record sets than this.
const MOST_DOCUMENTS: usize = 25_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Microsoft's own examples, where their specification is at hand: `CNAMED_AZURE_SPECS` names its folder.
    #[test]
    fn every_official_zone_is_understood() {
        // Other services' examples speak of availability zones.
        let of_dns = |(_, example): &(String, Value)| {
            example["type"]
                .as_str()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("Microsoft.Network/dnsZones"))
        };
        let examples = super::super::examples::of("Zone", &["id", "name", "properties"]);
        let zones: Vec<_> = examples.into_iter().filter(of_dns).collect();
        assert!(std::env::var_os("CNAMED_AZURE_SPECS").is_none() || !zones.is_empty());
        for (file, mut example) in zones {
            // The examples are of single labels, which a listing passes over.
            let apex = example["name"].as_str().map(|name| format!("{name}.example.com"));
            example["name"] = apex.into();
            let zone = parse_zone(&example).unwrap_or_else(|odd| panic!("{file}: {}", odd.chain()));
            assert_eq!(Some(zone.id.as_str()), example["id"].as_str(), "{file}");
            assert_eq!(
                Some(zone.name.to_string()),
                example["name"].as_str().map(str::to_lowercase),
                "{file}"
            );
            let told = example["properties"]["nameServers"].as_array().map_or(0, Vec::len);
            assert_eq!(zone.name_servers.len(), told, "{file}");
        }
    }
}
