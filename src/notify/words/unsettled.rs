//! What a round did not see to be well, whether or not it tells of it: no trouble with any of that is over.
//!
//! An account that cannot be read hides what its names suffer from, and one trouble may be told in place of another.
//! Neither is a recovery.

use std::collections::BTreeSet;

use super::{endpoints_or, whose};
use crate::model::endpoint::Handle;
use crate::model::state::RecordKey;
use crate::reconcile::round::{Chain, ChangeOutcome, LinkState, Round, SubjectKind};

/// What in `round` was not seen to be well, each called as in [`crate::notify::Notice::of`]; nor what is still `served`
/// though it was withdrawn, at which no later round looks.
#[must_use]
pub fn unsettled<'k>(round: &Round, served: impl Iterator<Item = &'k RecordKey>) -> BTreeSet<String> {
    let mut all: BTreeSet<String> =
        round.unknown.iter().map(|unknown| whose(&unknown.what).to_owned()).collect();
    if round.endpoints.iter().any(|endpoint| all.contains(endpoint.name.as_str())) {
        all.insert(endpoints_or(None).to_owned());
    }
    let blocked = round.blocked.iter().map(|it| it.kind.place(&it.name, it.account.as_ref()));
    let refused = round.refused.iter().map(|it| it.kind.place(&it.name, it.account.as_ref()));
    let undone = round.changes.iter().filter(|change| change.outcome != ChangeOutcome::Applied);
    let undone = undone.map(|it| it.kind.place(&it.name, it.account.as_ref()));
    all.extend(blocked.chain(refused).chain(undone));
    let records = round.records.iter().filter(|record| !record.verdict.is_verified());
    all.extend(records.map(|record| link_of("name", record.name.as_str(), &record.account)));
    all.extend(served.map(|key| link_of("name", key.name.as_str(), &key.account)));
    let ways = round.ways_in.iter().filter(|way| way.port.state != LinkState::Whole);
    all.extend(ways.map(|way| port_of(way.frontend_port, &way.endpoint)));
    for chain in &round.chains {
        let links = chain.links.iter().filter(|link| match link.state {
            LinkState::Whole => false,
            LinkState::Pending | LinkState::Broken => true,
            // Where no server is to be asked, none ever says so.
            LinkState::Unknown => round.authoritative,
        });
        // Nobody is asked about these before what they hang on holds.
        let missing = ["label in DNS", "address"].into_iter();
        let missing =
            missing.filter(|from| round.authoritative && !chain.links.iter().any(|link| link.from == *from));
        all.extend(links.map(|link| &*link.from).chain(missing).map(|from| link_in(from, chain)));
    }
    all
}

/// A link of the way from one record.
pub(super) fn link_in(from: &str, Chain { name, account, .. }: &Chain) -> String {
    link_of(from, name.as_str(), account)
}

/// As [`link_in`].
pub(super) fn link_of(from: &str, name: &str, account: &Handle) -> String {
    format!("{from} of {}", SubjectKind::Record.place(name, Some(account)))
}

/// A port of an endpoint.
pub(super) fn port_of(port: u16, endpoint: &Handle) -> String {
    format!("port {port} of {endpoint}")
}
