//! What a round has read, and what it could not read.

use std::collections::BTreeMap;

use super::{EndpointReport, EndpointStatus, Round, SubjectKind, UnknownReport};
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::state::{Desired, Observed, RecordKey, Seen};
use crate::provider::BEING_WRITTEN;

/// What was read, as far as the outcome depends on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Whether anything that is wanted was read and stands, as it should or not.
    pub(super) anything: bool,
    /// The wanted records that were read and are ours.
    ours: Vec<RecordKey>,
}

impl Standing {
    pub(super) fn of(desired: &Desired, observed: &Observed) -> Self {
        let ours = |key: &RecordKey| observed.sets(key).iter().any(|set| set.is_ours(&desired.owner));
        let wanted = desired.records.iter().filter(|(key, wanted)| !wanted.withdraw && ours(key));
        let ours: Vec<RecordKey> = wanted.map(|(key, _)| key.clone()).collect();
        let endpoint = desired.endpoints.keys().any(|endpoint| observed.public_ip(endpoint).is_some());
        Self { anything: endpoint || !ours.is_empty(), ours }
    }
}

impl Round {
    /// Whether a wanted record stands that nothing is to be done about.
    pub(super) fn stands(&self) -> bool {
        let concerned = self.changes.iter().map(|it| (it.kind, &it.name, &it.account));
        let concerned = concerned.chain(self.blocked.iter().map(|it| (it.kind, &it.name, &it.account)));
        let concerned = concerned.chain(self.refused.iter().map(|it| (it.kind, &it.name, &it.account)));
        let concerned: Vec<_> = concerned.collect();
        self.standing.ours.iter().any(|key| {
            let is_it = |(kind, name, account): &(SubjectKind, &String, &Option<Handle>)| {
                *kind == SubjectKind::Record
                    && name.as_str() == key.name.as_str()
                    && account.as_ref() == Some(&key.account)
            };
            !concerned.iter().any(is_it)
        })
    }
}

/// The endpoints as they were read.
pub(super) fn endpoints(desired: &Desired, observed: &Observed) -> Vec<EndpointReport> {
    let report = |name: &Handle| {
        let ip = observed.public_ip(name);
        let state = match (
            observed.endpoints.get(name).map(|state| &state.public_ip),
            ip.and_then(|ip| ip.address),
        ) {
            (Some(Seen::Present(_)), Some(_)) => EndpointStatus::Ready,
            (Some(Seen::Present(_)), None) => EndpointStatus::Released,
            (Some(Seen::Absent), _) => EndpointStatus::Absent,
            (Some(Seen::Unknown(_)) | None, _) => EndpointStatus::Unknown,
        };
        EndpointReport {
            name: name.clone(),
            fqdn: ip.and_then(|ip| ip.fqdn.clone()),
            address: ip.and_then(|ip| ip.address),
            state,
        }
    };
    desired.endpoints.keys().map(report).collect()
}

/// What could not be read, each reason once.
pub(super) fn unknown(observed: &Observed) -> Vec<UnknownReport> {
    let endpoints = observed.endpoints.iter().filter_map(|(name, state)| {
        Some((format!("public IP of {name}"), state.public_ip.unknown().or_else(|| state.label.unknown())?))
    });
    let gateways = observed.endpoints.iter().filter_map(|(name, state)| {
        let (what, reason) = state.gateway.as_ref()?.unread()?;
        Some((format!("{what} of {name}"), reason))
    });
    let zones =
        observed.zones.iter().filter_map(|(name, seen)| Some((format!("zones of {name}"), seen.unknown()?)));
    // Names that one failed request would have shown are told together.
    let mut unread: BTreeMap<(&Handle, &str), Vec<&Fqdn>> = BTreeMap::new();
    for (RecordKey { name, account }, seen) in &observed.records {
        // An account whose zones are unknown is told once, not once for each of its names.
        let told = observed.zones.get(account).is_some_and(|zones| zones.unknown().is_some());
        // What is being written is waited for, by the plan.
        if let Some(reason) = seen.unknown().filter(|reason| !told && *reason != BEING_WRITTEN) {
            unread.entry((account, reason)).or_default().push(name);
        }
    }
    let records = unread.into_iter().map(|((account, reason), names)| (together(&names, account), reason));
    let report = |(what, reason): (String, &str)| UnknownReport { what, reason: reason.to_owned() };
    endpoints.chain(gateways).chain(zones).chain(records).map(report).collect()
}

/// The names, as far as they are few.
fn together(names: &[&Fqdn], account: &Handle) -> String {
    let shown: Vec<&str> = names.iter().take(3).map(|name| name.as_str()).collect();
    match names.len().checked_sub(shown.len()) {
        Some(more) if more > 0 => format!("{} and {more} more in {account}", shown.join(", ")),
        _ => format!("{} in {account}", shown.join(", ")),
    }
}
