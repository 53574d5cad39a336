//! How long it takes until everybody says what has changed.
//!
//! What leads somewhere is agreed to once every name leads there. What is gone is agreed to once the accounts' servers
//! say what is right now and no resolver gives what was there before; where that comes back first, it is waited for no
//! more. So is a record that was withdrawn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::CLOSE;
use crate::journal::Agreed;
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::plan::RecordChange;
use crate::model::record::{Content, Data, Mode, RecordType, Ttl};
use crate::model::sight::{Happening, HappeningKind, Sight};
use crate::model::state::{Desired, RecordKey};
use crate::model::verify::{Answer, Said, either_address};
use crate::reconcile::round::{Chain, LinkState, RecordReport, Round};
use crate::reconcile::{Glance, Leaving};
use crate::resolver::Question;

/// What was noticed, and who has not said so yet.
#[derive(Debug)]
struct Pending {
    /// Its entry in the journal.
    entry: i64,
    since: Instant,
    /// For how long.
    patience: Duration,
    awaited: Awaited,
    names: BTreeSet<Fqdn>,
    /// Accounts whose authoritative servers have not said so yet, and their names.
    accounts: BTreeMap<Handle, BTreeSet<Fqdn>>,
    /// Whether the resolvers have not.
    resolvers: bool,
}

/// What shall come to be seen of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// They lead to the right address.
    Right,
    /// They lead no longer to what the endpoint was.
    Left {
        /// The endpoint.
        endpoint: Handle,
        /// What it was.
        was: Was,
    },
    /// They lead no longer where a record led that was withdrawn.
    Withdrawn {
        /// The record.
        key: RecordKey,
        /// What it gave.
        was: Vec<Was>,
    },
}

/// What an endpoint was, or a record gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Was {
    /// At this address.
    Address(IpAddr),
    /// Behind this label, or a name of another kind.
    Label(Fqdn),
    /// Whatever servers gave to a question of this type: they chose it themselves.
    Anything(RecordType),
}

/// What name servers say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Word<'w> {
    /// See [`Glance::records`].
    records: &'w [RecordReport],
    /// See [`Glance::left`].
    left: &'w [RecordReport],
    /// See [`Glance::chains`].
    chains: &'w [Chain],
    /// See [`Glance::given`].
    given: &'w [(Question, Vec<Answer>)],
}

/// Everything that is waited for.
#[derive(Debug, Default)]
pub(super) struct Agreement(Vec<Pending>);

impl Agreement {
    /// Waits for the names that follow `endpoint`.
    ///
    /// A record that holds an address stays as it is while there is no other: it is not waited for to leave it.
    pub(super) fn expect_endpoint(
        &mut self,
        entry: i64,
        endpoint: &Handle,
        awaited: Awaited,
        desired: &Desired,
        now: Instant,
    ) {
        let stays = |mode| mode == Mode::Address && awaited != Awaited::Right;
        let following = desired.records.iter();
        let following = following
            .filter(|(_, it)| &it.endpoint == endpoint && !it.withdraw && !stays(it.mode))
            .map(|(key, wanted)| (key, wanted.ttl));
        self.expect(entry, awaited.clone(), following, now);
    }

    /// Waits for one record; the TTL is the longest that caches may keep of it. That it was withdrawn before is waited for
    /// no more.
    pub(super) fn expect_record(
        &mut self,
        entry: i64,
        awaited: Awaited,
        record: (&RecordKey, Ttl),
        now: Instant,
    ) {
        self.0.retain(|pending| pending.awaited.withdrawn() != Some(record.0));
        self.expect(entry, awaited, [record].into_iter(), now);
    }

    fn expect<'k>(
        &mut self,
        entry: i64,
        awaited: Awaited,
        keys: impl Iterator<Item = (&'k RecordKey, Ttl)>,
        now: Instant,
    ) {
        let mut names = BTreeSet::new();
        let mut accounts: BTreeMap<Handle, BTreeSet<Fqdn>> = BTreeMap::new();
        let mut patience = LEAST;
        for (key, ttl) in keys {
            names.insert(key.name.clone());
            accounts.entry(key.account.clone()).or_default().insert(key.name.clone());
            patience = patience.max(Duration::from_secs(ttl.seconds().into()) * 2);
        }
        if !names.is_empty() {
            self.0.push(Pending { entry, since: now, patience, awaited, names, accounts, resolvers: true });
        }
    }

    /// Waits no longer for what is there, or there again, by the latest look at `endpoint`: who gives it now may mean
    /// the new as well as the old.
    pub(super) fn stays(&mut self, endpoint: &Handle, sight: &Sight) {
        self.0.retain(|pending| match &pending.awaited {
            Awaited::Left { endpoint: left, was } => left != endpoint || !was.is_in(sight),
            Awaited::Right | Awaited::Withdrawn { .. } => true,
        });
    }

    /// Whether anything is waited for.
    pub(super) fn is_awaited(&self) -> bool {
        !self.0.is_empty()
    }

    /// What to ask about the names that shall no longer lead where they did, and the records that were withdrawn.
    pub(super) fn leaving(&self) -> Leaving {
        let mut questions = Vec::new();
        for pending in &self.0 {
            for was in pending.awaited.was() {
                let asked =
                    pending.names.iter().map(|name| Question { name: name.clone(), rtype: was.shows_as() });
                questions.extend(asked);
            }
        }
        questions.sort_by(|a, b| (&a.name, &a.rtype).cmp(&(&b.name, &b.rtype)));
        questions.dedup();
        let withdrawn = self.0.iter().filter_map(|pending| pending.awaited.withdrawn());
        Leaving { questions, withdrawn: withdrawn.cloned().collect() }
    }

    /// The records that were withdrawn and that some authoritative server may still give.
    pub(super) fn served(&self) -> impl Iterator<Item = &RecordKey> {
        let waiting = self.0.iter().filter(|pending| !pending.accounts.is_empty());
        waiting.filter_map(|pending| pending.awaited.withdrawn())
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
    pub(super) fn take(&mut self, word: Word<'_>, looked: Instant, now: Instant) -> Vec<(i64, Agreed)> {
        let mut told = Vec::new();
        // Whoever looked before it happened speaks of what stood there before.
        for pending in self.0.iter_mut().filter(|pending| pending.since <= looked) {
            let after = now.saturating_duration_since(pending.since);
            let agreed = |who: &str| (pending.entry, Agreed { who: who.to_owned(), after });
            let awaited = &pending.awaited;
            let (agree, wait): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut pending.accounts)
                .into_iter()
                .partition(|(account, names)| awaited.is_said_by(account, names, word));
            told.extend(agree.keys().map(|account: &Handle| agreed(account.as_str())));
            pending.accounts = wait;
            if pending.resolvers
                && pending.accounts.is_empty()
                && awaited.is_seen_outside(&pending.names, word)
            {
                told.push(agreed(RESOLVERS));
                pending.resolvers = false;
            }
        }
        self.0.retain(|pending| {
            let waits = pending.resolvers || !pending.accounts.is_empty();
            let over = now.saturating_duration_since(pending.since) >= pending.patience;
            if waits && over {
                let Pending { entry, patience, resolvers, .. } = pending;
                let accounts = pending.accounts.keys();
                tracing::warn!(entry, ?accounts, resolvers, after = ?patience, "not agreed, and waited for no more");
            }
            waits && !over
        });
        told
    }
}

impl Awaited {
    /// What follows from `happening`; `None` where nobody could say that it has. `earlier` is the endpoint before it.
    pub(super) fn of(endpoint: &Handle, happening: &Happening, earlier: Option<&Sight>) -> Option<Self> {
        let was = match (&happening.before, &happening.after) {
            (_, Some(_)) => return Some(Self::Right),
            (Some(before), None) => match before.parse() {
                Ok(address) => Was::Address(address),
                Err(_) => Was::Label(Fqdn::parse(before).ok()?),
            },
            // Its address had gone before.
            (None, None) if happening.kind == HappeningKind::Deleted => Was::Label(earlier?.fqdn.clone()?),
            (None, None) => return None,
        };
        Some(Self::Left { endpoint: endpoint.clone(), was })
    }

    /// What the names lead to no longer.
    fn was(&self) -> &[Was] {
        match self {
            Self::Right => &[],
            Self::Left { was, .. } => std::slice::from_ref(was),
            Self::Withdrawn { was, .. } => was,
        }
    }

    fn withdrawn(&self) -> Option<&RecordKey> {
        match self {
            Self::Withdrawn { key, .. } => Some(key),
            Self::Right | Self::Left { .. } => None,
        }
    }

    /// Whether every authoritative server of `account` says so of its `names`.
    fn is_said_by(&self, account: &Handle, names: &BTreeSet<Fqdn>, word: Word<'_>) -> bool {
        let (left, least) = match self {
            Self::Right => (&[][..], 1),
            // A name that nobody says anything of may lead there still.
            Self::Left { .. } | Self::Withdrawn { .. } => (word.left, names.len()),
        };
        let said = word.records.iter().chain(left);
        let mut said = said.filter(|report| &report.account == account && names.contains(&report.name));
        let mut count = 0;
        said.all(|report| {
            count += 1;
            report.verdict.is_verified()
        }) && count >= least
    }

    /// Whether every configured resolver says so of every one of `names`.
    fn is_seen_outside(&self, names: &BTreeSet<Fqdn>, word: Word<'_>) -> bool {
        match self {
            Self::Right => lead_right(|name| names.contains(name), word.chains),
            Self::Left { was, .. } => names.iter().all(|name| was.is_left_by(name, word)),
            // What one account gives no more another may give still, and rightly so.
            Self::Withdrawn { was, .. } => names.iter().all(|name| {
                lead_right(|other| other == name, word.chains)
                    || was.iter().all(|was| was.is_left_by(name, word))
            }),
        }
    }
}

impl From<&RecordChange> for Awaited {
    fn from(RecordChange { key, before, after }: &RecordChange) -> Self {
        match after {
            Some(_) => Self::Right,
            None => {
                let was = before.iter().flat_map(|set| Was::of(&set.content)).collect();
                Self::Withdrawn { key: key.clone(), was }
            }
        }
    }
}

impl Was {
    /// What a record of that content gave.
    fn of(content: &Content) -> Vec<Self> {
        match &content.data {
            _ if content.proxied => either_address().into_iter().map(Self::Anything).collect(),
            Data::Cname(target) => vec![Self::Label(target.clone())],
            Data::A(held) => held.iter().map(|address| Self::Address((*address).into())).collect(),
            Data::Aaaa(held) => held.iter().map(|address| Self::Address((*address).into())).collect(),
            Data::Alias { rtype, .. } | Data::Opaque { rtype, .. } => vec![Self::Anything(rtype.clone())],
        }
    }

    /// The type of question that shows whether a name leads there. An alias is given whatever the type (RFC 1034,
    /// 3.6.2).
    fn shows_as(&self) -> RecordType {
        match self {
            Self::Address(address) => RecordType::of(Some(*address)),
            Self::Label(_) => RecordType::A,
            Self::Anything(rtype) => rtype.clone(),
        }
    }

    /// Whether that is what the endpoint is by `sight`.
    fn is_in(&self, sight: &Sight) -> bool {
        match self {
            Self::Address(address) => sight.told() == Some(*address),
            Self::Label(label) => sight.exists && sight.fqdn.as_ref() == Some(label),
            Self::Anything(_) => false,
        }
    }

    /// Whether no configured resolver leads from `name` there any more. Silence says nothing.
    fn is_left_by(&self, name: &Fqdn, word: Word<'_>) -> bool {
        let question = Question { name: name.clone(), rtype: self.shows_as() };
        let given = word.given.iter().find(|(asked, _)| *asked == question);
        let answers = given.map_or(&[][..], |(_, answers)| answers);
        let left = |answer: &Answer| match (self, &answer.said) {
            (_, Said::Failed(_)) => false,
            (_, Said::Nothing { .. }) => true,
            (Self::Anything(_), Said::Records(_)) => false,
            (Self::Address(address), Said::Records(reply)) => !reply.addresses.contains(address),
            // An address alone does not tell which label it came of, but the right one came of none that is left.
            (Self::Label(_), Said::Records(reply)) if reply.chain.is_empty() => {
                lead_right(|other| other == name, word.chains)
            }
            (Self::Label(label), Said::Records(reply)) => reply.chain.iter().all(|(to, _)| to != label),
        };
        !answers.is_empty() && answers.iter().all(left)
    }
}

impl<'w> Word<'w> {
    /// What a round has heard.
    pub(super) fn of(round: &'w Round) -> Self {
        Self { records: &round.records, chains: &round.chains, ..Self::default() }
    }
}

impl<'w> From<&'w Glance> for Word<'w> {
    fn from(Glance { records, left, chains, given }: &'w Glance) -> Self {
        Self { records, left, chains, given }
    }
}

/// Whether every such name leads the configured resolvers to the right address.
fn lead_right(is_one: impl Fn(&Fqdn) -> bool, chains: &[Chain]) -> bool {
    let mut links = chains
        .iter()
        .filter(|chain| is_one(&chain.name))
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
mod tests;
