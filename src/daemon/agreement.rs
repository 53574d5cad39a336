//! How long it takes until everybody says what has changed.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::CLOSE;
use crate::journal::Agreed;
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::record::Ttl;
use crate::model::state::{Desired, RecordKey};
use crate::model::verify::Verdict;
use crate::reconcile::round::{Chain, LinkState, RecordReport};

/// What was noticed, and who has not said so yet.
#[derive(Debug)]
struct Pending {
    /// Its entry in the journal.
    entry: i64,
    since: Instant,
    /// For how long.
    patience: Duration,
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
        self.expect(entry, following.map(|(key, wanted)| (key, wanted.ttl)), now);
    }

    /// Waits for one record; `ttl` is the longest that caches may keep of it.
    pub(super) fn expect_record(&mut self, entry: i64, key: &RecordKey, ttl: Ttl, now: Instant) {
        self.expect(entry, [(key, ttl)].into_iter(), now);
    }

    fn expect<'k>(&mut self, entry: i64, keys: impl Iterator<Item = (&'k RecordKey, Ttl)>, now: Instant) {
        let (mut names, mut accounts) = (BTreeSet::new(), BTreeSet::new());
        let mut patience = LEAST;
        for (key, ttl) in keys {
            names.insert(key.name.clone());
            accounts.insert(key.account.clone());
            patience = patience.max(Duration::from_secs(ttl.seconds().into()) * 2);
        }
        if !names.is_empty() {
            self.0.push(Pending { entry, since: now, patience, names, accounts, resolvers: true });
        }
    }

    /// Whether anything is waited for.
    pub(super) fn is_awaited(&self) -> bool {
        !self.0.is_empty()
    }

    /// How soon to ask again: each second at first, then less and less often.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let waited = self.0.iter().map(|pending| now.saturating_duration_since(pending.since)).min();
        (waited.unwrap_or_default() / 30).clamp(CLOSE, SELDOM)
    }

    /// Takes in what name servers say now, and tells who has come to agree, with the entry that it belongs to.
    ///
    /// What not everybody has agreed to for an hour, and for twice as long as caches may keep it, is given up: it was
    /// overtaken by something else.
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
            let over = now.saturating_duration_since(pending.since) >= pending.patience;
            if waits && over {
                let Pending { entry, patience, accounts, resolvers, .. } = pending;
                tracing::warn!(entry, ?accounts, resolvers, after = ?patience, "not agreed, and waited for no more");
            }
            waits && !over
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
/// However short the time is that caches keep something.
const LEAST: Duration = Duration::from_secs(3600);
/// How seldom name servers are asked at last.
const SELDOM: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Mode, Owner, Policy};
    use crate::model::state::{Consents, Wanted};
    use crate::reconcile::round::Link;

    fn handle(text: &str) -> Handle {
        Handle::parse(text).unwrap()
    }

    fn fqdn(text: &str) -> Fqdn {
        Fqdn::parse(text).unwrap()
    }

    fn key(name: &str, account: &str) -> RecordKey {
        RecordKey { name: fqdn(name), account: handle(account) }
    }

    fn says(name: &str, account: &str, verdict: Verdict) -> RecordReport {
        let (name, account) = (fqdn(name), handle(account));
        RecordReport { name, account, endpoint: None, verdict, detail: String::new(), resolvers: None }
    }

    fn seen(name: &str, from: &'static str, state: LinkState) -> Chain {
        let link = Link { from: from.into(), state, detail: String::new() };
        let (name, account, endpoint) = (fqdn(name), handle("cf"), handle("jump"));
        Chain { name, account, endpoint, links: vec![link], connect: Vec::new() }
    }

    fn who(agreed: &[(i64, Agreed)]) -> Vec<(i64, &str)> {
        agreed.iter().map(|(entry, agreed)| (*entry, agreed.who.as_str())).collect()
    }

    const NAME: &str = "jump.example.com";
    const OTHER: &str = "www.example.com";

    #[test]
    fn whoever_agrees_is_told_once_with_how_long_it_took() {
        let (mut agreement, now) = (Agreement::default(), Instant::now());
        agreement.expect_record(7, &key(NAME, "cf"), Ttl::DEFAULT, now);
        assert!(agreement.is_awaited());
        let whole = [seen(NAME, "address", LinkState::Whole)];
        let later = now + Duration::from_secs(3);
        let agreed = agreement.take(&[says(NAME, "cf", Verdict::Agreed)], &[], later);
        assert_eq!(agreed, [(7, Agreed { who: "cf".into(), after: Duration::from_secs(3) })]);
        assert!(agreement.is_awaited(), "the resolvers have not said so");
        let agreed = agreement.take(&[says(NAME, "cf", Verdict::Agreed)], &whole, later);
        assert_eq!(who(&agreed), [(7, RESOLVERS)]);
        assert!(!agreement.is_awaited());
        assert_eq!(agreement.take(&[says(NAME, "cf", Verdict::Agreed)], &whole, later), []);
    }

    #[test]
    fn the_names_that_follow_an_endpoint_are_waited_for_and_those_that_leave_it_are_not() {
        let wanted = |endpoint: &str, withdraw| Wanted {
            endpoint: handle(endpoint),
            mode: Mode::Cname,
            ttl: Ttl::DEFAULT,
            proxied: false,
            policy: Policy::Sync,
            withdraw,
        };
        let desired = Desired {
            owner: Owner::parse("ops").unwrap(),
            endpoints: [].into(),
            records: [
                (key(NAME, "cf"), wanted("jump", false)),
                (key("gone.example.com", "azure"), wanted("jump", true)),
                (key(OTHER, "other"), wanted("other", false)),
            ]
            .into(),
            prune: true,
            deletes_per_round: 3,
            consents: Consents::default(),
        };
        let (mut agreement, now) = (Agreement::default(), Instant::now());
        agreement.expect_endpoint(1, &handle("nameless"), &desired, now);
        assert!(!agreement.is_awaited(), "nobody could ever agree");
        agreement.expect_endpoint(2, &handle("jump"), &desired, now);
        let agreed = [says(NAME, "cf", Verdict::Agreed)];
        let agreed = agreement.take(&agreed, &[seen(NAME, "address", LinkState::Whole)], now);
        assert_eq!(who(&agreed), [(2, "cf"), (2, RESOLVERS)]);
        assert!(!agreement.is_awaited());
    }

    #[test]
    fn only_who_says_so_of_every_name_has_agreed() {
        let (mut agreement, now) = (Agreement::default(), Instant::now());
        let keys = [key(NAME, "cf"), key(OTHER, "cf"), key(NAME, "azure")];
        agreement.expect(1, keys.iter().map(|key| (key, Ttl::DEFAULT)), now);
        let say = |first, second, third| {
            [says(NAME, "cf", first), says(OTHER, "cf", second), says(NAME, "azure", third)]
        };
        for verdict in [Verdict::Pending, Verdict::Contradicted, Verdict::Unanswered] {
            assert_eq!(agreement.take(&say(verdict, Verdict::Agreed, verdict), &[], now), [], "{verdict:?}");
        }
        assert_eq!(agreement.take(&[], &[], now), [], "who was not asked has said nothing");
        let elsewhere = [says("else.example.com", "azure", Verdict::Agreed)];
        assert_eq!(agreement.take(&elsewhere, &[], now), [], "of another name");
        // A name that is proxied shows nothing of what is behind it.
        let agreed = agreement.take(&say(Verdict::Agreed, Verdict::Masked, Verdict::Pending), &[], now);
        assert_eq!(who(&agreed), [(1, "cf")]);
    }

    #[test]
    fn resolvers_are_believed_after_the_accounts_and_of_every_name() {
        let (mut agreement, now) = (Agreement::default(), Instant::now());
        agreement.expect(1, [key(NAME, "cf"), key(OTHER, "cf")].iter().map(|key| (key, Ttl::DEFAULT)), now);
        let whole = |name| seen(name, "address", LinkState::Whole);
        // Theirs may be an answer from before: it says the same where the address came back.
        assert_eq!(agreement.take(&[], &[whole(NAME), whole(OTHER)], now), []);
        let agreed = [says(NAME, "cf", Verdict::Agreed), says(OTHER, "cf", Verdict::Agreed)];
        let not_yet: [&[Chain]; 5] = [
            &[],
            &[whole(NAME), seen(OTHER, "address", LinkState::Pending)],
            &[whole(NAME), seen(OTHER, "address", LinkState::Unknown)],
            &[whole(NAME), seen(OTHER, "label", LinkState::Whole)],
            &[seen("else.example.com", "address", LinkState::Whole)],
        ];
        assert_eq!(who(&agreement.take(&agreed, not_yet[0], now)), [(1, "cf")]);
        for chains in not_yet {
            assert_eq!(agreement.take(&agreed, chains, now), [], "{chains:?}");
        }
        assert_eq!(who(&agreement.take(&agreed, &[whole(NAME), whole(OTHER)], now)), [(1, RESOLVERS)]);
    }

    #[test]
    fn what_nobody_agrees_to_is_given_up_after_an_hour_or_twice_the_time_that_caches_keep_it() {
        for (seconds, hours) in [(60, 1), (1800, 1), (7200, 4), (86_400, 48)] {
            let (mut agreement, now) = (Agreement::default(), Instant::now());
            agreement.expect_record(1, &key(NAME, "cf"), Ttl::new(seconds).unwrap(), now);
            let given_up = now + LEAST * hours;
            agreement.take(&[], &[], given_up - Duration::from_secs(1));
            assert!(agreement.is_awaited(), "{seconds}");
            agreement.take(&[], &[], given_up);
            assert!(!agreement.is_awaited(), "{seconds}");
            assert_eq!(agreement.take(&[says(NAME, "cf", Verdict::Agreed)], &[], given_up), []);
        }
    }

    #[test]
    fn they_are_asked_less_and_less_often_and_each_second_again_for_something_new() {
        let (mut agreement, now) = (Agreement::default(), Instant::now());
        agreement.expect_record(1, &key(NAME, "cf"), Ttl::DEFAULT, now);
        let pauses = [0, 30, 300, 3599].map(|waited| agreement.pause(now + Duration::from_secs(waited)));
        assert_eq!(pauses.map(|pause| pause.as_secs()), [1, 1, 10, 60]);
        let later = now + Duration::from_secs(3000);
        agreement.expect_record(2, &key(OTHER, "cf"), Ttl::DEFAULT, later);
        assert_eq!(agreement.pause(later), CLOSE);
    }
}
