//! What was seen last of every public IP, and written last of every name, by whichever of several looks at once; and what
//! is wanted next.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::common::Common;
use crate::model::endpoint::{Handle, PublicIp};
use crate::model::plan::Step;
use crate::model::record::Data;
use crate::model::state::{Observed, RecordKey, Seen};

/// What the newest look at each endpoint has found, and when each name was written last: a name that is written by an older
/// look is written for nothing.
#[derive(Debug, Default)]
pub struct Newest(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    endpoints: BTreeMap<Handle, (Instant, Option<PublicIp>)>,
    written: BTreeMap<RecordKey, Instant>,
    /// What is wanted by a configuration that comes, too.
    lasting: Option<Common>,
}

impl Newest {
    /// Takes in what a look that began at that moment has found. What could not be read says nothing.
    pub(super) fn take(&self, endpoint: &Handle, looked: Instant, seen: &Seen<PublicIp>) {
        let found = match seen {
            Seen::Present(ip) => Some(ip.clone()),
            Seen::Absent => None,
            Seen::Unknown(_) => return,
        };
        let newest = &mut self.known().endpoints;
        if newest.get(endpoint).is_none_or(|(earlier, _)| *earlier <= looked) {
            newest.insert(endpoint.clone(), (looked, found));
        }
    }

    /// Another configuration comes: from now on nothing begins but what both want.
    pub fn lasts(&self, common: Common) {
        self.known().lasting = Some(common);
    }

    /// Whether `step` is to be left to a configuration that comes.
    pub(super) fn leaves(&self, step: &Step) -> bool {
        self.known().lasting.as_ref().is_some_and(|common| !common.has(step))
    }

    /// These names have been written, or may have been.
    pub(super) fn wrote<'k>(&self, keys: impl Iterator<Item = &'k RecordKey>) {
        let written = &mut self.known().written;
        // Nobody writes by a look that is older.
        written.retain(|_, at| at.elapsed() <= KEPT);
        written.extend(keys.map(|key| (key.clone(), Instant::now())));
    }

    /// Whether `key` has been written since then.
    pub(super) fn has_written(&self, key: &RecordKey, then: Instant) -> bool {
        self.known().written.get(key).is_some_and(|at| *at > then)
    }

    /// Whether what follows `endpoint` with `data` leads elsewhere by now than `observed` has it.
    pub(super) fn differs(&self, endpoint: &Handle, data: &Data, observed: &Observed) -> bool {
        let leads = |ip: &PublicIp| match data {
            Data::Cname(_) => ip.fqdn.as_ref().map(ToString::to_string),
            Data::A(_) | Data::Aaaa(_) => ip.address.map(|address| address.to_string()),
            Data::Alias { .. } | Data::Opaque { .. } => Some(ip.id.clone()),
        };
        let known = &self.known().endpoints;
        let found = known.get(endpoint).map(|(_, found)| found.as_ref().map(leads));
        found.is_some_and(|found| found != observed.public_ip(endpoint).map(leads))
    }

    /// Whether `endpoint` has come to have the label that `data` leads to, which it had not when it was `observed`.
    pub(super) fn has_now(&self, endpoint: &Handle, data: &Data, observed: &Observed) -> bool {
        let Data::Cname(target) = data else { return false };
        let has = |ip: &PublicIp| ip.fqdn.as_ref() == Some(target);
        let now = |(_, found): &(Instant, Option<PublicIp>)| found.as_ref().is_some_and(has);
        !observed.public_ip(endpoint).is_some_and(has)
            && self.known().endpoints.get(endpoint).is_some_and(now)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than any round takes.
const KEPT: Duration = Duration::from_secs(3600);
