//! How long it takes until everybody says what has changed.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::journal::Agreed;
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::state::{Desired, RecordKey};
use crate::model::verify::Verdict;
use crate::reconcile::round::{Chain, LinkState, RecordReport};

/// What was noticed, and who has not said so yet.
#[derive(Debug)]
struct Pending {
    /// Its entry in the journal.
    entry: i64,
    since: Instant,
    names: BTreeSet<Fqdn>,
    /// Accounts whose authoritative servers have not said so yet.
    accounts: BTreeSet<Handle>,
    /// Whether the resolvers have not.
    resolvers: bool,
}

/// Everything that is waited for.
#[derive(Debug, Default)]
pub(super) struct Agreement(Vec<Pending>);

impl Agreement {
    /// Waits for the names that follow `endpoint`.
    pub(super) fn expect_endpoint(&mut self, entry: i64, endpoint: &Handle, desired: &Desired, now: Instant) {
        let following = desired.records.iter();
        let following = following.filter(|(_, it)| &it.endpoint == endpoint && !it.withdraw);
        self.expect(entry, following.map(|(key, _)| key), now);
    }

    /// Waits for one record.
    pub(super) fn expect_record(&mut self, entry: i64, key: &RecordKey, now: Instant) {
        self.expect(entry, [key].into_iter(), now);
    }

    fn expect<'k>(&mut self, entry: i64, keys: impl Iterator<Item = &'k RecordKey>, now: Instant) {
        let (mut names, mut accounts) = (BTreeSet::new(), BTreeSet::new());
        for key in keys {
            names.insert(key.name.clone());
            accounts.insert(key.account.clone());
        }
        if !names.is_empty() {
            self.0.push(Pending { entry, since: now, names, accounts, resolvers: true });
        }
    }

    /// Whether anything is waited for.
    pub(super) fn is_awaited(&self) -> bool {
        !self.0.is_empty()
    }

    /// Takes in what name servers say now, and tells who has come to agree, with the entry that it belongs to.
    ///
    /// What nobody has agreed to for an hour is given up: it was overtaken by something else.
    pub(super) fn take(
        &mut self,
        records: &[RecordReport],
        chains: &[Chain],
        now: Instant,
    ) -> Vec<(i64, Agreed)> {
        let mut told = Vec::new();
        for pending in &mut self.0 {
            let after = now.saturating_duration_since(pending.since);
            let agreed = |who: &str| (pending.entry, Agreed { who: who.to_owned(), after });
            let says = |account: &Handle| {
                let mut said = records
                    .iter()
                    .filter(|report| &report.account == account && pending.names.contains(&report.name))
                    .peekable();
                said.peek().is_some()
                    && said.all(|report| matches!(report.verdict, Verdict::Agreed | Verdict::Masked))
            };
            let (agree, wait): (BTreeSet<Handle>, BTreeSet<Handle>) =
                std::mem::take(&mut pending.accounts).into_iter().partition(says);
            told.extend(agree.iter().map(|account| agreed(account.as_str())));
            pending.accounts = wait;
            if pending.resolvers && pending.accounts.is_empty() && seen_outside(&pending.names, chains) {
                told.push(agreed(RESOLVERS));
                pending.resolvers = false;
            }
        }
        self.0.retain(|pending| {
            let waits = pending.resolvers || !pending.accounts.is_empty();
            waits && now.saturating_duration_since(pending.since) < GIVEN_UP
        });
        told
    }
}

/// Whether every name leads the configured resolvers to the right address.
fn seen_outside(names: &BTreeSet<Fqdn>, chains: &[Chain]) -> bool {
    let mut links = chains
        .iter()
        .filter(|chain| names.contains(&chain.name))
        .map(|chain| chain.links.iter().find(|link| link.from == "address"))
        .peekable();
    links.peek().is_some() && links.all(|link| link.is_some_and(|link| link.state == LinkState::Whole))
}

/// Whoever asks the configured resolvers.
const RESOLVERS: &str = "resolvers";
const GIVEN_UP: Duration = Duration::from_secs(3600);
