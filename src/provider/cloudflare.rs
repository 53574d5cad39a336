//! Cloudflare DNS.
//!
//! Cloudflare has no conditional writes, so what is about to be changed is read again just before and compared
//! with what the plan was made against. A change in place is a PATCH, which leaves comments of people, tags and
//! settings alone; what must not come apart, or is many, is one transaction.

mod api;
mod apply;
mod calls;
mod change;
mod record;
mod refusal;
mod rights;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use reqwest::Url;
use secrecy::SecretString;

use self::api::{CallError, Client, failed};
use self::apply::Apply;
use self::calls::{ListRecords, ListZones};
use self::change::LONGEST_COMMENT;
use self::record::{Held, Holding, Record, hold};
use super::http::Http;
use super::{DnsProvider, Error, Found, Kind, Look, Remembered};
use crate::model::endpoint::Handle;
use crate::model::name::{Fqdn, ZoneName};
use crate::model::plan::RecordChange;
use crate::model::record::{Owner, RecordSet, RecordType, mark};
use crate::model::state::{Seen, Zone, ZoneRules};

/// One Cloudflare account of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account's name in the configuration.
    pub account: Handle,
    /// The API's base, such as `https://api.cloudflare.com/client/v4`.
    pub api: Url,
    /// An API token, of a user or of an account.
    pub token: SecretString,
    /// Zone ids that the operator wrote down. While there are any, these zones are the account's zones and no
    /// list is asked for, so that a token without Zone > Zone > Read works.
    pub zones: BTreeMap<ZoneName, String>,
    /// Authoritative servers to ask instead of those that Cloudflare lists.
    pub name_servers: Option<Vec<String>>,
}

/// A [`DnsProvider`] over one token.
pub struct Cloudflare {
    account: Handle,
    client: Client,
    configured: BTreeMap<ZoneName, String>,
    name_servers: Option<Vec<String>>,
    zones: Remembered,
}

/// What stands at one name, or why that is unknown.
type Reading = Result<Vec<Held>, Arc<CallError>>;

impl Cloudflare {
    /// The account of `settings`, reached through `http`. Nothing is sent yet.
    #[must_use]
    pub fn new(settings: Settings, http: Arc<Http>) -> Self {
        let Settings { account, api, token, zones, name_servers } = settings;
        let client = Client::new(http, &api, &token);
        Self { account, client, configured: zones, name_servers, zones: Remembered::default() }
    }

    async fn find_zones(&self) -> Result<Vec<Zone>, Error> {
        let resource = format!("the zones of {}", self.account);
        if !self.configured.is_empty() {
            let zone = |(name, id): (&ZoneName, &String)| {
                if !is_id(id) {
                    let error = Error::new(Kind::Rejected, "use", format!("the id of zone {name}"));
                    return Err(
                        error.remedy("write the zone's id, 32 hexadecimal digits from its overview page")
                    );
                }
                Ok(self.zone(name.clone(), id.clone(), None, None))
            };
            return self.configured.iter().map(zone).collect();
        }
        let (mut zones, mut ids) = (Vec::new(), BTreeSet::new());
        let mut page = 1;
        loop {
            let answer = self.client.call(&ListZones { page }).await;
            let answer = answer.map_err(|cause| {
                let cause = Arc::new(cause);
                failed(&cause, cause.kind(), "list", &resource)
            })?;
            let (known, given) = (ids.len(), answer.result.0.len());
            for entry in answer.result.0 {
                if ids.insert(entry.id.clone())
                    && let Ok(name) = ZoneName::parse(&entry.name)
                {
                    let plan = entry.plan.and_then(|plan| plan.legacy_id);
                    zones.push(self.zone(name, entry.id, entry.name_servers, plan.as_deref()));
                }
            }
            if is_last(page, answer.total_pages, given) || ids.len() == known {
                return Ok(zones);
            }
            page += 1;
        }
    }

    fn zone(&self, name: ZoneName, id: String, servers: Option<Vec<String>>, plan: Option<&str>) -> Zone {
        let least_ttl = match plan {
            // A zone whose plan is unknown may be an Enterprise one: Cloudflare itself refuses what is too short.
            Some("enterprise") | None => 30,
            Some(_) => 60,
        };
        let rules = ZoneRules {
            least_ttl,
            greatest_ttl: 86_400,
            automatic_ttl: true,
            alias: false,
            flattens_apex: true,
            proxying: true,
            exchanges: true,
            comment: Some(LONGEST_COMMENT),
        };
        let name_servers = self.name_servers.clone().or(servers).unwrap_or_default();
        Zone { name, id, name_servers, rules }
    }

    /// What stands at each of `names`: a filtered list for each while they are few, the zone when they are many.
    async fn read(&self, zone: &str, names: &BTreeSet<Fqdn>) -> BTreeMap<Fqdn, Reading> {
        if names.len() <= FEW_NAMES {
            let one = async |name: &Fqdn| {
                let records = self.list(zone, Some(name), None).await;
                let held = records.map(|records| hold(records).remove(name).unwrap_or_default());
                (name.clone(), held.map_err(Arc::new))
            };
            return join_all(names.iter().map(one)).await.into_iter().collect();
        }
        match self.list(zone, None, None).await {
            Ok(records) => {
                let mut holding = hold(records);
                let held = |name: &Fqdn| (name.clone(), Ok(holding.remove(name).unwrap_or_default()));
                names.iter().map(held).collect()
            }
            Err(cause) => {
                let cause = Arc::new(cause);
                names.iter().map(|name| (name.clone(), Err(Arc::clone(&cause)))).collect()
            }
        }
    }

    /// The names in `holding` with a set of `owner`, and those sets.
    ///
    /// Unless `holding` is the whole zone, it shows marked records only, and a set of addresses may have others
    /// beside them: then it is not ours, and only reading the name tells.
    async fn strays(&self, zone: &Zone, mut holding: Holding, owner: Option<&Owner>, whole: bool) -> Found {
        let Some(owner) = owner else { return Found::new() };
        let ours = |held: &Held| held.set.is_ours(owner);
        holding.retain(|_, held| held.iter().any(ours));
        let several = |held: &&Held| ours(held) && held.set.content.data.rtype() != RecordType::Cname;
        let doubtful = holding.iter().filter(|(_, held)| !whole && held.iter().any(|held| several(&held)));
        let readings = self.read(&zone.id, &doubtful.map(|(name, _)| name.clone()).collect()).await;
        let mut found = Found::new();
        for (name, reading) in readings {
            holding.remove(&name);
            match reading {
                Ok(held) => {
                    holding.insert(name, held);
                }
                Err(cause) => {
                    let seen = self.unknown(&name, &cause);
                    found.insert(name, seen);
                }
            }
        }
        for (name, held) in holding {
            let sets: Vec<RecordSet> = held.into_iter().filter(ours).map(|held| held.set).collect();
            if !sets.is_empty() {
                found.insert(name, Seen::Present(sets));
            }
        }
        found
    }

    fn unknown(&self, name: &Fqdn, cause: &Arc<CallError>) -> Seen<Vec<RecordSet>> {
        let resource = format!("{name} in {}", self.account);
        Seen::Unknown(failed(cause, cause.kind(), "read", resource).chain())
    }

    /// Every page of a list. A zone that changes under the reading is read again, since a record may slip from a
    /// page that is not read yet to one that was.
    ///
    /// The API's document has `total_count` as what there is "without any search parameters", and the service is known
    /// to count what it found: of a filtered list only that it stands still, and is not exceeded, holds either way.
    async fn list(
        &self,
        zone: &str,
        name: Option<&Fqdn>,
        comment: Option<&str>,
    ) -> Result<Vec<Record>, CallError> {
        let name = name.map(Fqdn::as_str);
        let filtered = name.is_some() || comment.is_some();
        let differ = |one: Option<u64>, other: Option<u64>| one.zip(other).is_some_and(|(a, b)| a != b);
        let mut tries = 0;
        loop {
            let mut records = BTreeMap::new();
            let (mut total, mut pages) = (None, None);
            let mut page = 1;
            let moved = loop {
                let answer = self.client.call(&ListRecords { zone, name, comment, page }).await?;
                if differ(total, answer.total_count) || differ(pages, answer.total_pages) {
                    break true;
                }
                (total, pages) = (total.or(answer.total_count), pages.or(answer.total_pages));
                let (known, given) = (records.len(), answer.result.0.len());
                records.extend(answer.result.0.into_iter().map(|record| (record.id.clone(), record)));
                if is_last(page, answer.total_pages, given) || records.len() == known {
                    break false;
                }
                page += 1;
            };
            tries += 1;
            let read = u64::try_from(records.len()).unwrap_or(u64::MAX);
            let whole = total.is_none_or(|total| if filtered { read <= total } else { read == total });
            if whole && !moved {
                return Ok(records.into_values().collect());
            }
            if tries == READINGS {
                return Err(CallError::Moving);
            }
        }
    }
}

#[async_trait]
impl DnsProvider for Cloudflare {
    fn account(&self) -> &Handle {
        &self.account
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        self.zones.or_read(|| self.find_zones()).await
    }

    fn forget_zones(&self) {
        self.zones.forget();
    }

    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error> {
        let listed = self.zone_details(&zone.id).await?.name_servers.unwrap_or_default();
        Ok(listed.iter().map(|server| server.trim_end_matches('.').to_ascii_lowercase()).collect())
    }

    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error> {
        let whole = look.names.len() > FEW_NAMES;
        let comment = look.marked.as_ref().map(mark::text).filter(|_| !whole);
        // The first name and the marked records are one request, since a filter takes either.
        let first = look.names.first().filter(|_| comment.is_some());
        let broad = async {
            match whole || comment.is_some() {
                true => Some(self.list(&zone.id, first, comment.as_deref()).await),
                false => None,
            }
        };
        let rest = look.names.iter().filter(|name| !whole && Some(*name) != first).cloned().collect();
        let (broad, mut readings) = futures::join!(broad, self.read(&zone.id, &rest));
        let mut found = Found::new();
        match broad.transpose() {
            Ok(records) => {
                let mut holding = hold(records.unwrap_or_default());
                for name in look.names.difference(&rest) {
                    readings.insert(name.clone(), Ok(holding.remove(name).unwrap_or_default()));
                }
                holding.retain(|name, _| !rest.contains(name));
                found.extend(self.strays(zone, holding, look.marked.as_ref(), whole).await);
            }
            Err(cause) => {
                let cause = Arc::new(cause);
                let unread: Vec<&Fqdn> = look.names.difference(&rest).collect();
                if unread.len() == look.names.len() {
                    return Err(failed(
                        &cause,
                        cause.kind(),
                        "read",
                        format!("{} in {}", zone.name, self.account),
                    ));
                }
                readings.extend(unread.into_iter().map(|name| (name.clone(), Err(Arc::clone(&cause)))));
            }
        }
        if let Some(cause) = readings.values().find_map(|reading| reading.as_ref().err())
            && readings.values().all(Result::is_err)
        {
            return Err(failed(cause, cause.kind(), "read", format!("{} in {}", zone.name, self.account)));
        }
        found.extend(readings.into_iter().map(|(name, reading)| {
            let seen = match reading {
                Ok(held) if held.is_empty() => Seen::Absent,
                Ok(held) => Seen::Present(held.into_iter().map(|held| held.set).collect()),
                Err(cause) => self.unknown(&name, &cause),
            };
            (name, seen)
        }));
        Ok(found)
    }

    async fn apply(
        &self,
        zone: &Zone,
        owner: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>> {
        Apply::run(self, zone, owner, changes).await
    }
}

impl fmt::Debug for Cloudflare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cloudflare({})", self.account)
    }
}

/// Whether `page`, with so many members, is the last. A service that does not count its pages ends with an empty one.
fn is_last(page: u64, total_pages: Option<u64>, given: usize) -> bool {
    given == 0 || total_pages.is_some_and(|total| page >= total)
}

/// Ids are hexadecimal; anything but letters and digits could bend the path that they stand in.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// So many names are read one by one, more by pages of the zone.
const FEW_NAMES: usize = 4;
/// How often a zone that changes under the reading is read.
const READINGS: u32 = 3;
