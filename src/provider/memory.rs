//! Providers that keep everything in memory: for tests, for rehearsals, and as the contract's plainest reading.
//!
//! Preconditions, marks and what others wrote are kept as the real ones keep them. Faults are scripted: each
//! [`Fault`] strikes once, at the next operation that it names.

mod gateway;
mod network;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

pub use self::network::{MemoryNetwork, SUBSCRIPTION};
use super::{DnsProvider, Error, Found, Kind, Look};
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::plan::RecordChange;
use crate::model::record::{Content, Owner, RecordSet, RecordType, Version};
use crate::model::state::{Seen, Zone};

/// What can be made to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Listing zones.
    Zones,
    /// Reading a zone, or an endpoint.
    Observe,
    /// Writing a name.
    Write(Fqdn),
    /// Writing an endpoint's public IP.
    Provision(Handle),
    /// Writing something behind an endpoint's public IP.
    Build(Handle),
}

/// How an operation fails, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the error is of this kind.
    Refused(Kind),
    /// Nothing is done, and the answer is lost: reading shows that nothing was done so far.
    RequestLost,
    /// It is done, and the answer is lost: reading settles that it was done.
    AnswerLost,
    /// It is done, the answer is lost, and so is that of the reading.
    Silent,
}

/// A record set as it is kept: with what others wrote beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it says.
    pub content: Content,
    /// Whose it is.
    pub mark: Option<Owner>,
    /// A person's words, or other metadata, which no write of ours may lose.
    pub note: String,
}

/// An account at a DNS provider, in memory.
#[derive(Debug)]
pub struct MemoryDns {
    account: Handle,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    zones: Vec<Zone>,
    sets: BTreeMap<Place, (Held, Version)>,
    writes: u64,
    faults: Faults,
}

/// Zone id, name, type.
type Place = (String, Fqdn, RecordType);

#[derive(Debug, Default)]
struct Faults(Vec<(Operation, Fault)>);

impl Faults {
    fn strike(&mut self, operation: &Operation) -> Option<Fault> {
        let at = self.0.iter().position(|(named, _)| named == operation)?;
        Some(self.0.remove(at).1)
    }
}

impl MemoryDns {
    /// The account `account`, which holds `zones`.
    #[must_use]
    pub fn new(account: Handle, zones: Vec<Zone>) -> Self {
        Self { account, state: Mutex::new(State { zones, ..State::default() }) }
    }

    /// Writes as somebody else would, through no precondition. Replaces the set of the same type.
    pub fn put(&self, zone: &Zone, name: &Fqdn, held: Held) {
        let place = (zone.id.clone(), name.clone(), held.content.data.rtype());
        self.state().keep(place, held);
    }

    /// Removes as somebody else would.
    pub fn remove(&self, zone: &Zone, name: &Fqdn, rtype: &RecordType) {
        self.state().sets.remove(&(zone.id.clone(), name.clone(), rtype.clone()));
    }

    /// What really stands there.
    #[must_use]
    pub fn held(&self, zone: &Zone, name: &Fqdn, rtype: &RecordType) -> Option<Held> {
        let place = (zone.id.clone(), name.clone(), rtype.clone());
        self.state().sets.get(&place).map(|(held, _)| held.clone())
    }

    /// Makes the next such operation fail.
    pub fn script(&self, operation: Operation, fault: Fault) {
        self.state().faults.0.push((operation, fault));
    }

    /// How many record sets were written or removed so far, by whomever.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, place: Place, held: Held) {
        self.writes += 1;
        let version = Version(format!("v{}", self.writes));
        self.sets.insert(place, (held, version));
    }

    fn at(&self, zone: &Zone, name: &Fqdn) -> Vec<RecordSet> {
        let here = self.sets.iter().filter(|((id, at, _), _)| *id == zone.id && at == name);
        here.map(|((_, name, _), (held, version))| set(name, held, version)).collect()
    }

    /// Makes `change`, whole or not at all.
    fn write(&mut self, zone: &Zone, owner: &Owner, change: &RecordChange) -> Result<Vec<RecordSet>, Error> {
        let name = &change.key.name;
        let fail = |kind| Err(Error::new(kind, "write", change.key.to_string()));
        if !self.zones.iter().any(|held| held.id == zone.id) {
            return fail(Kind::Missing);
        }
        if !zone.name.holds(name) {
            return fail(Kind::Rejected);
        }
        let present = self.at(zone, name);
        if stands(&present, owner, change) {
            return Ok(present);
        }
        let same = |set: &RecordSet, before: &RecordSet| {
            set.content.data.rtype() == before.content.data.rtype() && set.version == before.version
        };
        if !change.before.iter().all(|before| present.iter().any(|set| same(set, before))) {
            return fail(Kind::Stale);
        }
        let left: Vec<&RecordSet> =
            present.iter().filter(|set| !change.before.iter().any(|before| same(set, before))).collect();
        let apex = zone.name.apex() == name;
        if let Some(content) = &change.after {
            let rtype = content.data.rtype();
            if left.iter().any(|set| set.content.data.rtype() == rtype) {
                return fail(Kind::Stale);
            }
            // A CNAME stands alone (RFC 1034, 3.6.2), but for an apex where it is flattened.
            let alone = |rtype: &RecordType| *rtype == RecordType::Cname;
            let clash = alone(&rtype) || left.iter().any(|set| alone(&set.content.data.rtype()));
            if clash && !left.is_empty() && !(apex && zone.rules.flattens_apex) {
                return fail(Kind::Rejected);
            }
            if !zone.rules.takes(content.ttl) {
                return fail(Kind::Rejected);
            }
        }
        let mut note = String::new();
        for before in &change.before {
            let place = (zone.id.clone(), name.clone(), before.content.data.rtype());
            if let Some((held, _)) = self.sets.remove(&place) {
                note = if note.is_empty() { held.note } else { note };
                self.writes += u64::from(change.after.is_none());
            }
        }
        if let Some(content) = &change.after {
            let place = (zone.id.clone(), name.clone(), content.data.rtype());
            self.keep(place, Held { content: content.clone(), mark: Some(owner.clone()), note });
        }
        Ok(self.at(zone, name))
    }
}

#[async_trait]
impl DnsProvider for MemoryDns {
    fn account(&self) -> &Handle {
        &self.account
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        let mut state = self.state();
        match state.faults.strike(&Operation::Zones) {
            Some(fault) => Err(unread(fault, "list", format!("the zones of {}", self.account))),
            None => Ok(state.zones.clone()),
        }
    }

    fn forget_zones(&self) {}

    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error> {
        Ok(zone.name_servers.clone())
    }

    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error> {
        let mut state = self.state();
        if let Some(fault) = state.faults.strike(&Operation::Observe) {
            return Err(unread(fault, "read", zone.name.to_string()));
        }
        if !state.zones.iter().any(|held| held.id == zone.id) {
            return Err(Error::new(Kind::Missing, "read", zone.name.to_string()));
        }
        let marked = |held: &Held| look.marked.is_some() && held.mark == look.marked;
        let mut shown: std::collections::BTreeSet<&Fqdn> = look.names.iter().collect();
        let here = state.sets.iter().filter(|((id, ..), _)| *id == zone.id);
        shown.extend(here.filter(|(_, (held, _))| marked(held)).map(|((_, name, _), _)| name));
        let mut found: Found = shown.into_iter().map(|name| (name.clone(), Seen::Absent)).collect();
        for ((id, name, _), (held, version)) in &state.sets {
            if let (true, Some(seen)) = (*id == zone.id, found.get_mut(name)) {
                let set = set(name, held, version);
                match seen {
                    Seen::Present(sets) => sets.push(set),
                    Seen::Absent | Seen::Unknown(_) => *seen = Seen::Present(vec![set]),
                }
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
        let mut state = self.state();
        let mut answers = Vec::with_capacity(changes.len());
        for change in changes {
            let fault = state.faults.strike(&Operation::Write(change.key.name.clone()));
            answers
                .push(struck(fault, "write", &change.key.to_string(), || state.write(zone, owner, change)));
        }
        answers
    }
}

/// Whether what `change` wants stands there already.
fn stands(present: &[RecordSet], owner: &Owner, change: &RecordChange) -> bool {
    let goes = |set: &&RecordSet| {
        change.before.iter().any(|before| before.content.data.rtype() == set.content.data.rtype())
    };
    match &change.after {
        None => !present.iter().any(|set| goes(&set)),
        Some(content) => {
            let is = |set: &&RecordSet| set.is_ours(owner) && set.content == *content;
            present.iter().any(|set| is(&set)) && present.iter().filter(goes).all(|set| is(&set))
        }
    }
}

fn set(name: &Fqdn, held: &Held, version: &Version) -> RecordSet {
    let Held { content, mark, note } = held.clone();
    let words = note.chars().count();
    RecordSet { name: name.clone(), content, mark, version: version.clone(), words }
}

/// A read that `fault` struck: whatever was lost, nothing is known.
fn unread(fault: Fault, operation: &'static str, resource: String) -> Error {
    let kind = match fault {
        Fault::Refused(kind) => kind,
        Fault::RequestLost | Fault::AnswerLost | Fault::Silent => Kind::Unreachable,
    };
    Error::new(kind, operation, resource)
}

/// A write that `fault` strikes, if there is one.
fn struck<T>(
    fault: Option<Fault>,
    operation: &'static str,
    resource: &str,
    write: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    match fault {
        None | Some(Fault::AnswerLost) => write(),
        Some(Fault::Refused(kind)) => Err(Error::new(kind, operation, resource)),
        Some(Fault::RequestLost) => Err(Error::new(Kind::Unconfirmed, operation, resource)),
        Some(Fault::Silent) => write().and(Err(Error::new(Kind::Unconfirmed, operation, resource))),
    }
}
