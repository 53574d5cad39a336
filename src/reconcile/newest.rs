//! What was seen last of every public IP, by whichever of several looks at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::model::endpoint::{Handle, PublicIp};
use crate::model::record::Data;
use crate::model::state::{Observed, Seen};

/// What the newest look at each endpoint has found: a name that is written by an older one is written for nothing.
#[derive(Debug, Default)]
pub struct Newest(Mutex<BTreeMap<Handle, (Instant, Option<PublicIp>)>>);

impl Newest {
    /// Takes in what a look that began at that moment has found. What could not be read says nothing.
    pub(super) fn take(&self, endpoint: &Handle, looked: Instant, seen: &Seen<PublicIp>) {
        let found = match seen {
            Seen::Present(ip) => Some(ip.clone()),
            Seen::Absent => None,
            Seen::Unknown(_) => return,
        };
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.get(endpoint).is_none_or(|(earlier, _)| *earlier <= looked) {
            newest.insert(endpoint.clone(), (looked, found));
        }
    }

    /// Whether what follows `endpoint` with `data` leads elsewhere by now than `observed` has it.
    pub(super) fn differs(&self, endpoint: &Handle, data: &Data, observed: &Observed) -> bool {
        let leads = |ip: &PublicIp| match data {
            Data::Cname(_) => ip.fqdn.as_ref().map(ToString::to_string),
            Data::A(_) | Data::Aaaa(_) => ip.address.map(|address| address.to_string()),
            Data::Alias { .. } | Data::Opaque { .. } => Some(ip.id.clone()),
        };
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = newest.get(endpoint).map(|(_, found)| found.as_ref().map(leads));
        known.is_some_and(|known| known != observed.public_ip(endpoint).map(leads))
    }
}
