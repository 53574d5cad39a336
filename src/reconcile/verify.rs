//! Ask name servers whether what was promised is what they serve.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use tokio::time::{Instant, sleep};

use super::apply::ASK_AGAIN;
use super::round::RecordReport;
use super::{Event, Reconciler, Watch};
use crate::model::plan;
use crate::model::record::{Content, Data, Policy, RecordType, Ttl};
use crate::model::state::{Desired, Observed, RecordKey, Wanted, Zone};
use crate::model::verify::{Expected, Finding, Verdict, judge, seen_by_resolvers};
use crate::resolver::{Question, Via};

/// How many names are asked about at once.
pub(super) const NAMES_AT_ONCE: usize = 32;

struct Promise<'p> {
    key: &'p RecordKey,
    zone: &'p Zone,
    question: Question,
    expected: Expected,
    ttl: Option<Ttl>,
    changed: bool,
}

impl Reconciler {
    /// What every authoritative server says of every record that stands as wanted or was just withdrawn.
    ///
    /// Only what `changed` in this round is waited for; the rest is looked at once.
    pub(super) async fn verify(
        &self,
        desired: &Desired,
        observed: &Observed,
        changed: &BTreeSet<RecordKey>,
        watch: &dyn Watch,
    ) -> Vec<RecordReport> {
        if !self.verification.authoritative {
            return Vec::new();
        }
        let promises = desired
            .records
            .iter()
            .filter_map(|(key, wanted)| promise(desired, observed, changed, key, wanted))
            .chain(changed.iter().filter_map(|key| pruned(desired, observed, key)));
        let mut reports: Vec<RecordReport> = stream::iter(promises)
            .map(|promise| async move {
                watch.event(Event::Verifying(promise.key));
                self.hold(&promise).await
            })
            .buffer_unordered(NAMES_AT_ONCE)
            .collect()
            .await;
        reports.sort_by(|a, b| (&a.name, &a.account).cmp(&(&b.name, &b.account)));
        reports
    }

    async fn hold(&self, promise: &Promise<'_>) -> RecordReport {
        let deadline = Instant::now() + self.verification.patience;
        let servers = Via::Servers(promise.zone.name_servers.clone());
        let finding = loop {
            let answers = self.resolver.lookup(&promise.question, &servers).await;
            let finding = judge(&promise.expected, promise.ttl, &answers);
            let settled = matches!(finding.verdict, Verdict::Agreed | Verdict::Masked);
            if settled || !promise.changed || Instant::now() + ASK_AGAIN > deadline {
                break finding;
            }
            sleep(ASK_AGAIN).await;
        };
        // Only once the authority has it: a resolver that is asked too early remembers that there is nothing
        // (RFC 2308, 5).
        let resolvers = match finding.verdict {
            Verdict::Agreed | Verdict::Masked if self.verification.recursive => {
                Some(self.recursive(promise).await)
            }
            _ => None,
        };
        RecordReport {
            name: promise.key.name.clone(),
            account: promise.key.account.clone(),
            verdict: finding.verdict,
            detail: finding.detail,
            resolvers,
        }
    }

    async fn recursive(&self, promise: &Promise<'_>) -> Finding {
        let answers = self.resolver.lookup(&promise.question, &Via::Recursive).await;
        seen_by_resolvers(&promise.expected, None, &answers)
    }
}

/// What shall be served at `key`; `None` where nothing is promised yet.
fn promise<'p>(
    desired: &Desired,
    observed: &'p Observed,
    changed: &BTreeSet<RecordKey>,
    key: &'p RecordKey,
    wanted: &Wanted,
) -> Option<Promise<'p>> {
    let zone = observed.zone(key).ok()?;
    let changed = changed.contains(key);
    let sets = observed.sets(key);
    let ours = sets.iter().any(|set| set.is_ours(&desired.owner));
    if wanted.withdraw {
        return if changed { gone(desired, observed, key, zone) } else { None };
    }
    if !ours && !changed {
        return None;
    }
    let Some(ip) = observed.public_ip(&wanted.endpoint) else {
        // Withdrawn, since what it pointed at is gone.
        return if changed { gone(desired, observed, key, zone) } else { None };
    };
    let held = sets.iter().find(|set| set.is_ours(&desired.owner) && !changed);
    let Content { data, ttl, proxied } = match held {
        // Its policy lets it stay as it is, so as it is it shall be served.
        Some(held) if wanted.policy == Policy::CreateOnly => held.content.clone(),
        _ => plan::content(key, wanted, zone, ip)?,
    };
    let question = |rtype| Question { name: key.name.clone(), rtype };
    let address_type = match ip.address {
        Some(address) if address.is_ipv6() => RecordType::Aaaa,
        _ => RecordType::A,
    };
    let (question, expected) = match data {
        _ if proxied => (question(address_type), Expected::Proxied { address: ip.address }),
        Data::Cname(target) => {
            let flattened = zone.name.apex() == &key.name && zone.rules.flattens_apex;
            let rtype = if flattened { address_type } else { RecordType::Cname };
            (question(rtype), Expected::Cname { target, flattened, address: ip.address })
        }
        Data::A(_) | Data::Aaaa(_) | Data::Alias { .. } | Data::Opaque { .. } => {
            (question(address_type), Expected::Addresses(ip.address.into_iter().collect()))
        }
    };
    let authoritative_ttl = matches!(expected, Expected::Cname { flattened: false, .. }).then_some(ttl);
    let ttl = authoritative_ttl.filter(|ttl| *ttl != Ttl::AUTOMATIC || !zone.rules.automatic_ttl);
    Some(Promise { key, zone, question, expected, ttl, changed })
}

/// What shall be served where a record was withdrawn that the configuration does not name: nothing.
fn pruned<'p>(desired: &Desired, observed: &'p Observed, key: &'p RecordKey) -> Option<Promise<'p>> {
    let named = desired.records.contains_key(key);
    if named { None } else { gone(desired, observed, key, observed.zone(key).ok()?) }
}

/// Nothing, unless others have something at the name as well.
fn gone<'p>(
    desired: &Desired,
    observed: &Observed,
    key: &'p RecordKey,
    zone: &'p Zone,
) -> Option<Promise<'p>> {
    let alone = observed.sets(key).iter().all(|set| set.is_ours(&desired.owner));
    let question = Question { name: key.name.clone(), rtype: RecordType::Cname };
    alone.then_some(Promise { key, zone, question, expected: Expected::Gone, ttl: None, changed: true })
}
