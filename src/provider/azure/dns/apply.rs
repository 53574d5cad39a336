//! One name's change in one zone.

use reqwest::Method;
use serde_json::Value;

use super::super::operation::{Condition, Write};
use super::super::settable;
use super::{API_VERSION, AzureDns, record_set};
use crate::model::name::Fqdn;
use crate::model::plan::RecordChange;
use crate::model::record::{Content, Owner, RecordSet, RecordType};
use crate::model::state::Zone;
use crate::provider::{Error, Kind};

/// What a change is about.
struct Site<'s> {
    zone: &'s Zone,
    owner: &'s Owner,
    name: &'s Fqdn,
    after: &'s Content,
}

impl Site<'_> {
    /// Whether `set` is what was asked for.
    fn is_made(&self, set: &RecordSet) -> bool {
        let Content { data, ttl, .. } = &set.content;
        data.same(&self.after.data) && *ttl == self.after.ttl && set.is_ours(self.owner)
    }
}

impl AzureDns {
    /// Makes `change`; the value is what it made stand there.
    pub(super) async fn change(
        &self,
        zone: &Zone,
        owner: &Owner,
        change: &RecordChange,
    ) -> Result<Vec<RecordSet>, Error> {
        let Some(after) = &change.after else {
            for set in &change.before {
                self.delete(zone, set).await?;
            }
            return Ok(Vec::new());
        };
        let rtype = after.data.rtype();
        let (same, others): (Vec<_>, Vec<_>) =
            change.before.iter().partition(|set| set.content.data.rtype() == rtype);
        let site = Site { zone, owner, name: &change.key.name, after };
        let made = match (same.first(), others.is_empty()) {
            (Some(set), true) => self.update(&site, set).await,
            (None, true) => self.create(&site, None).await,
            (same, false) => self.exchange(&site, same.copied(), &others).await,
        };
        made.map(|set| vec![set])
    }

    /// A change of type: Azure has no transaction, and refuses the new set while the old one stands. Everything is
    /// read before the first write, so that the gap is two requests long; if the new set does not come the old one
    /// is put back.
    async fn exchange(
        &self,
        site: &Site<'_>,
        same: Option<&RecordSet>,
        others: &[&RecordSet],
    ) -> Result<RecordSet, Error> {
        let mut documents = Vec::new();
        for set in others {
            documents.push(self.document(site.zone, set).await?);
        }
        let mut gone: Vec<(&RecordSet, &Value)> = Vec::new();
        for (set, document) in others.iter().copied().zip(&documents) {
            match self.delete(site.zone, set).await {
                Ok(()) => gone.push((set, document)),
                // It may be gone: then the new set must come, and the attempt settles it. What stands has kept its
                // place so far, and the new one would only be refused.
                Err(error)
                    if error.kind() == Kind::Unconfirmed
                        && !matches!(self.stands(site, &set.content.data.rtype()).await, Ok(true)) =>
                {
                    gone.push((set, document));
                }
                Err(error) => return Err(self.put_back(site, &gone, error).await),
            }
        }
        let rtype = site.after.data.rtype();
        let made = match same {
            Some(set) => self.update(site, set).await,
            None => self.create(site, documents.first()).await,
        };
        match made {
            Ok(set) => Ok(set),
            // It may stand there: what was deleted has no place beside it. Where it surely does not, what is put back
            // keeps out what may yet come of it.
            Err(error)
                if error.kind() == Kind::Unconfirmed
                    && !matches!(self.stands(site, &rtype).await, Ok(false)) =>
            {
                Err(error)
            }
            Err(error) => Err(self.put_back(site, &gone, error).await),
        }
    }

    /// Restores what was deleted for something that did not come, and tells how that went beside `error`.
    async fn put_back(&self, site: &Site<'_>, gone: &[(&RecordSet, &Value)], error: Error) -> Error {
        if gone.is_empty() {
            return error;
        }
        let (mut restored, mut lost) = (Vec::new(), Vec::new());
        for (set, document) in gone {
            let holds = |seen: &RecordSet| seen.content == set.content && seen.mark == set.mark;
            let rtype = set.content.data.rtype();
            let put =
                Put { zone: site.zone, name: site.name, rtype: &rtype, operation: "put back", holds: &holds };
            match self.put(&put, document, Condition::Absent).await {
                Ok(_) => restored.push(set.content.to_string()),
                Err(failed) => lost.push(format!("{} ({})", set.content, failed.chain())),
            }
        }
        let mut told = error.chain();
        if !restored.is_empty() {
            told.push_str(&format!("; what stood there was put back: {}", restored.join(", ")));
        }
        let composed = Error::new(error.kind(), "change the type of", site.name.as_str());
        if lost.is_empty() {
            return composed.because(told);
        }
        composed
            .because(format!("{told}; what stood there could not be put back: {}", lost.join(", ")))
            .remedy("the name lacks that record now; the next round makes what is wanted, or make it by hand")
    }

    async fn create(&self, site: &Site<'_>, old: Option<&Value>) -> Result<RecordSet, Error> {
        let mut document =
            record_set::new(site.owner, site.after).map_err(|error| unwritable(site, error))?;
        if let Some(old) = old {
            record_set::inherit(&mut document, old);
        }
        self.make(site, "create", &document, Condition::Absent).await
    }

    async fn update(&self, site: &Site<'_>, set: &RecordSet) -> Result<RecordSet, Error> {
        let mut document = match self.document(site.zone, set).await {
            Err(stale) if stale.kind() == Kind::Stale => {
                let rtype = site.after.data.rtype();
                let holds = |set: &RecordSet| site.is_made(set);
                let put = Put {
                    zone: site.zone,
                    name: site.name,
                    rtype: &rtype,
                    operation: "update",
                    holds: &holds,
                };
                return self.keep_what_stands(&put, self.standing(&put, stale).await?);
            }
            read => read?,
        };
        record_set::edit(&mut document, site.owner, site.after).map_err(|error| unwritable(site, error))?;
        self.make(site, "update", &document, Condition::Unchanged(&set.version.0)).await
    }

    /// Whether there is a set of that type at this moment.
    async fn stands(&self, site: &Site<'_>, rtype: &RecordType) -> Result<bool, Error> {
        Ok(self.read(site.zone, rtype, site.name).await?.is_some())
    }

    async fn make(
        &self,
        site: &Site<'_>,
        operation: &'static str,
        document: &Value,
        condition: Condition<'_>,
    ) -> Result<RecordSet, Error> {
        let rtype = site.after.data.rtype();
        let holds = |set: &RecordSet| site.is_made(set);
        let put = Put { zone: site.zone, name: site.name, rtype: &rtype, operation, holds: &holds };
        let set = self.put(&put, document, condition).await?;
        if holds(&set) {
            return Ok(set);
        }
        // Metadata that the service does not like is dropped in silence, and without its mark nothing is ours.
        Err(Error::new(Kind::Unconfirmed, operation, site.name.as_str())
            .because("Azure kept something else than was written"))
    }

    async fn put(
        &self,
        put: &Put<'_>,
        document: &Value,
        condition: Condition<'_>,
    ) -> Result<RecordSet, Error> {
        let holds =
            |document: &Value| record_set::parse(put.zone, document).is_some_and(|set| (put.holds)(&set));
        let write = Write {
            operation: put.operation,
            method: Method::PUT,
            name: put.name.as_str(),
            id: &id(put.zone, put.rtype, put.name),
            api_version: API_VERSION,
            body: Some(&settable(document, record_set::READ_ONLY)),
            condition,
            budget: &self.writes(put.zone),
            holds: &holds,
        };
        let document = match self.arm.write(&write).await {
            Ok(written) => written.ok_or_else(|| put.missing())?,
            Err(stale) if stale.kind() == Kind::Stale => self.standing(put, stale).await?,
            Err(error) => return Err(error),
        };
        self.keep_what_stands(put, document)
    }

    /// What stands there, if it is what is wanted: then nothing needs to be done.
    async fn standing(&self, put: &Put<'_>, stale: Error) -> Result<Value, Error> {
        let holds =
            |document: &Value| record_set::parse(put.zone, document).is_some_and(|set| (put.holds)(&set));
        match self.read(put.zone, put.rtype, put.name).await {
            Ok(Some(standing)) if holds(&standing) => Ok(standing),
            _ => Err(stale),
        }
    }

    fn keep_what_stands(&self, put: &Put<'_>, document: Value) -> Result<RecordSet, Error> {
        let set = record_set::parse(put.zone, &document).ok_or_else(|| put.missing())?;
        self.documents.remember(put.zone, &set, document);
        Ok(set)
    }

    async fn delete(&self, zone: &Zone, set: &RecordSet) -> Result<(), Error> {
        let rtype = set.content.data.rtype();
        let write = Write {
            operation: "delete",
            method: Method::DELETE,
            name: set.name.as_str(),
            id: &id(zone, &rtype, &set.name),
            api_version: API_VERSION,
            body: None,
            condition: Condition::Unchanged(&set.version.0),
            budget: &self.writes(zone),
            holds: &|_| false,
        };
        match self.arm.write(&write).await {
            Ok(_) => Ok(()),
            // Nothing is as it was, when there is nothing.
            Err(stale) if stale.kind() == Kind::Stale => match self.read(zone, &rtype, &set.name).await {
                Ok(None) => Ok(()),
                _ => Err(stale),
            },
            Err(error) => Err(error),
        }
    }

    /// The JSON of `set` as it was read, from memory or from Azure.
    async fn document(&self, zone: &Zone, set: &RecordSet) -> Result<Value, Error> {
        if let Some(document) = self.documents.take(zone, set) {
            return Ok(document);
        }
        let rtype = set.content.data.rtype();
        match self.read(zone, &rtype, &set.name).await? {
            Some(document) if super::text_at(&document, &["etag"]) == Some(set.version.0.as_str()) => {
                Ok(document)
            }
            _ => Err(Error::new(Kind::Stale, "read", set.name.as_str())),
        }
    }

    async fn read(&self, zone: &Zone, rtype: &RecordType, name: &Fqdn) -> Result<Option<Value>, Error> {
        let clients = self.arm.dns.record_sets_client();
        let (apex, relative) = (zone.name.to_string(), relative(zone, name));
        let get = clients.get(&self.resource_group, apex, relative, rtype.as_str(), &self.subscription);
        self.arm.json("read", name.as_str(), get.send().await).await
    }
}

/// One PUT of a record set.
struct Put<'p> {
    zone: &'p Zone,
    name: &'p Fqdn,
    rtype: &'p RecordType,
    operation: &'static str,
    /// Whether a set that was read is what this was to make.
    holds: &'p (dyn Fn(&RecordSet) -> bool + Send + Sync),
}

impl Put<'_> {
    fn missing(&self) -> Error {
        Error::new(Kind::Missing, self.operation, self.name.as_str())
    }
}

fn id(zone: &Zone, rtype: &RecordType, name: &Fqdn) -> String {
    format!("{}/{rtype}/{}", zone.id, relative(zone, name))
}

/// `name` in Azure's terms. One outside the zone stays whole, which the service refuses.
fn relative(zone: &Zone, name: &Fqdn) -> String {
    zone.name.relative(name).unwrap_or_else(|| name.to_string())
}

fn unwritable(site: &Site<'_>, error: serde_json::Error) -> Error {
    Error::new(Kind::Rejected, "write", site.name.as_str()).because(error)
}
