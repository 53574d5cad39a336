//! Ask name servers whether what was promised is what they serve.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use tokio::time::{Instant, sleep};

use super::apply::{ASK_AGAIN, Touch, instead};
use super::round::RecordReport;
use super::{Agreement, Event, Reconciler, Watch};
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::plan;
use crate::model::record::{Content, Data, Policy, RecordSet, RecordType, Ttl};
use crate::model::state::{Desired, Observed, RecordKey, Wanted, Zone};
use crate::model::verify::{Answer, Expected, Finding, Said, either_address, judge, seen_beside, shows_as};
use crate::resolver::{Question, Via};

/// How many names are asked about at once.
pub(super) const NAMES_AT_ONCE: usize = 32;

struct Promise<'p> {
    key: &'p RecordKey,
    zone: &'p Zone,
    asked: Vec<Asked>,
    ttl: Option<Ttl>,
    /// Whether it was just written, so that servers are waited for.
    awaited: bool,
}

/// What to ask, and what shall be said.
#[derive(Clone)]
struct Asked {
    rtype: RecordType,
    expected: Expected,
}

impl Reconciler {
    /// What every authoritative server says of every record that stands as wanted or was just withdrawn.
    ///
    /// Only what was surely `touched` in this round is waited for; the rest is looked at once.
    pub(super) async fn verify(
        &self,
        desired: &Desired,
        observed: &Observed,
        touched: &BTreeMap<RecordKey, Touch>,
        watch: &dyn Watch,
    ) -> Vec<RecordReport> {
        if !self.verification.authoritative {
            return Vec::new();
        }
        let promises = desired
            .records
            .iter()
            .filter_map(|(key, wanted)| promise(desired, observed, touched, key, wanted))
            .chain(touched.iter().filter_map(|(key, touch)| pruned(desired, observed, key, *touch)));
        self.hold_all(desired, promises.collect(), watch).await
    }

    /// Whether every authoritative server says that there is nothing at those of `names` where nothing is promised, and
    /// where a record is `withdrawn` that the configuration does not name. Nothing is waited for.
    pub(super) async fn verify_left(
        &self,
        desired: &Desired,
        observed: &Observed,
        names: &BTreeSet<&Fqdn>,
        withdrawn: &BTreeSet<RecordKey>,
    ) -> Vec<RecordReport> {
        if !self.verification.authoritative {
            return Vec::new();
        }
        let untouched = BTreeMap::new();
        let promises = desired
            .records
            .iter()
            .filter(|(key, wanted)| {
                names.contains(&key.name) && promise(desired, observed, &untouched, key, wanted).is_none()
            })
            .filter_map(|(key, _)| gone(desired, observed, key, observed.zone(key).ok()?, Touch::Unsure))
            .chain(withdrawn.iter().filter_map(|key| pruned(desired, observed, key, Touch::Unsure)));
        self.hold_all(desired, promises.collect(), &()).await
    }

    async fn hold_all(
        &self,
        desired: &Desired,
        promises: Vec<Promise<'_>>,
        watch: &dyn Watch,
    ) -> Vec<RecordReport> {
        let mut namesakes: HashMap<&Fqdn, Vec<&Promise<'_>>> = HashMap::new();
        for promise in &promises {
            namesakes.entry(&promise.key.name).or_default().push(promise);
        }
        let namesakes = &namesakes;
        let mut reports: Vec<RecordReport> = stream::iter(&promises)
            .map(|promise| async move {
                watch.event(Event::Verifying(promise.key));
                let wanted = desired.records.get(promise.key);
                let namesakes = namesakes.get(&promise.key.name).map(Vec::as_slice).unwrap_or_default();
                self.hold(promise, namesakes, wanted.map(|wanted| &wanted.endpoint), watch).await
            })
            .buffer_unordered(NAMES_AT_ONCE)
            .collect()
            .await;
        reports.sort_by(|a, b| (&a.name, &a.account).cmp(&(&b.name, &b.account)));
        reports
    }

    /// What every authoritative server says of `key`, where `standing` was just put in place of what `observed` has, by a
    /// write that ended as `touch` says.
    pub(super) async fn verify_standing(
        &self,
        desired: &Desired,
        observed: &Observed,
        key: &RecordKey,
        (standing, touch): (&[&Content], Touch),
        watch: &dyn Watch,
    ) -> Option<RecordReport> {
        if !self.verification.authoritative {
            return None;
        }
        let promise = written(desired, observed, key, standing, touch)?;
        watch.event(Event::Verifying(key));
        let endpoint = desired.records.get(key).map(|wanted| &wanted.endpoint);
        Some(self.hold(&promise, &[], endpoint, watch).await)
    }

    async fn hold(
        &self,
        promise: &Promise<'_>,
        namesakes: &[&Promise<'_>],
        endpoint: Option<&Handle>,
        watch: &dyn Watch,
    ) -> RecordReport {
        let deadline = Instant::now() + self.verification.agreement;
        let servers = Via::Servers(promise.zone.name_servers.clone());
        let (asked, finding) = loop {
            let (asked, finding) = self.ask(promise, &servers).await;
            let settled = finding.verdict.is_verified();
            if settled || !promise.awaited || Instant::now() + ASK_AGAIN > deadline {
                break (asked, finding);
            }
            sleep(ASK_AGAIN).await;
        };
        let agreed = |finding: &Finding, who| {
            if promise.awaited && finding.verdict.is_verified() {
                watch.event(Event::Agreed(promise.key, who));
            }
        };
        agreed(&finding, Agreement::Account);
        // Only once the authority has it: a resolver that is asked too early remembers that there is nothing
        // (RFC 2308, 5).
        let recursive = finding.verdict.is_verified() && self.verification.recursive;
        let resolvers = if recursive { Some(self.recursive(promise, namesakes, &asked).await) } else { None };
        if let Some(finding) = &resolvers {
            agreed(finding, Agreement::Resolvers);
        }
        RecordReport {
            name: promise.key.name.clone(),
            account: promise.key.account.clone(),
            endpoint: endpoint.cloned(),
            verdict: finding.verdict,
            detail: finding.detail,
            resolvers,
        }
    }

    /// The worst of what `servers` say to the promise's questions, and the questions that it came of.
    async fn ask(&self, promise: &Promise<'_>, servers: &Via) -> (Vec<Asked>, Finding) {
        let all = promise.asked.iter().map(async |asked| {
            let answers = self.lookup(promise, asked, servers).await;
            let finding = judge(&asked.expected, promise.ttl, &answers);
            (asked.clone(), finding, answers)
        });
        let mut all = join_all(all).await;
        if let [(asked, finding, answers)] = all.as_mut_slice()
            && let Some(flat) = flattened(promise, asked, answers)
        {
            let answers = self.lookup(promise, &flat, servers).await;
            let addresses = judge(&flat.expected, None, &answers);
            // That there is nothing at all was said already.
            if addresses.verdict.is_verified() || !answers.iter().all(is_nothing) {
                (*asked, *finding) = (flat, addresses);
            }
        }
        let (asked, findings): (Vec<Asked>, Vec<Finding>) =
            all.into_iter().map(|(asked, finding, _)| (asked, finding)).unzip();
        (asked, worst(findings))
    }

    async fn recursive(&self, promise: &Promise<'_>, namesakes: &[&Promise<'_>], asked: &[Asked]) -> Finding {
        let findings = asked.iter().map(async |asked| {
            let others = namesakes.iter().filter(|other| other.key != promise.key);
            let others = others.flat_map(|other| &other.asked);
            // What was just withdrawn from one of them may still be remembered, and is no answer to wait for.
            let others = others.filter(|other| other.expected != Expected::Gone);
            let others: Vec<Expected> =
                others.map(|other| other.expected.for_question(&other.rtype, &asked.rtype)).collect();
            let answers = self.lookup(promise, asked, &Via::Recursive).await;
            seen_beside(&asked.expected, &others, &answers)
        });
        worst(join_all(findings).await)
    }

    async fn lookup(&self, promise: &Promise<'_>, asked: &Asked, via: &Via) -> Vec<Answer> {
        let question = Question { name: promise.key.name.clone(), rtype: asked.rtype.clone() };
        self.resolver.lookup(&question, via).await
    }
}

/// What to ask in place of `asked` when a CNAME of ours did not show, and the provider may flatten it: Cloudflare does
/// so for a whole zone or for one record, which only the answers tell.
///
/// While the endpoint has no address, a flattened CNAME and none look alike, and there is nothing to ask for.
fn flattened(promise: &Promise<'_>, asked: &Asked, answers: &[Answer]) -> Option<Asked> {
    let Expected::Cname { target, flattened: false, address: Some(address) } = &asked.expected else {
        return None;
    };
    let expected = Expected::Cname { target: target.clone(), flattened: true, address: Some(*address) };
    let hidden = promise.zone.rules.flattens_apex && answers.iter().any(is_nothing);
    hidden.then(|| Asked { rtype: RecordType::of(Some(*address)), expected })
}

fn is_nothing(answer: &Answer) -> bool {
    matches!(answer.said, Said::Nothing { .. })
}

/// The finding that counts where several questions were asked: the worst, and of equals the first.
fn worst(findings: Vec<Finding>) -> Finding {
    let worst = findings.into_iter().rev().max_by_key(|finding| finding.verdict);
    worst.unwrap_or_else(|| judge(&Expected::Gone, None, &[]))
}

/// What shall be served at `key`; `None` where nothing is promised yet.
fn promise<'p>(
    desired: &Desired,
    observed: &'p Observed,
    touched: &BTreeMap<RecordKey, Touch>,
    key: &'p RecordKey,
    wanted: &Wanted,
) -> Option<Promise<'p>> {
    let zone = observed.zone(key).ok()?;
    let touch = touched.get(key).copied();
    let gone = || gone(desired, observed, key, zone, touch?);
    let sets = observed.sets(key);
    let ours = sets.iter().any(|set| set.is_ours(&desired.owner));
    if wanted.withdraw {
        return gone();
    }
    if !ours && touch.is_none() {
        return None;
    }
    let Some(ip) = observed.public_ip(&wanted.endpoint) else {
        // Withdrawn, since what it pointed at is gone.
        return gone();
    };
    let held = sets.iter().find(|set| set.is_ours(&desired.owner) && touch.is_none());
    let Content { data, ttl, proxied } = match held {
        // Its policy lets it stay as it is, so as it is it shall be served.
        Some(held) if wanted.policy == Policy::CreateOnly => held.content.clone(),
        _ => plan::content(key, wanted, zone, ip)?,
    };
    // What is held may lead to another endpoint than the wanted one.
    let mut ips = observed.endpoints.values().filter_map(|state| state.public_ip.present());
    let (rtype, expected) = match &data {
        _ if proxied => (RecordType::of(ip.address), Expected::Proxied { address: ip.address }),
        Data::Cname(target) => {
            let known = ips.find(|ip| ip.fqdn.as_ref() == Some(target));
            let address = known.and_then(|ip| ip.address);
            let flattened = zone.name.apex() == &key.name && zone.rules.flattens_apex;
            if flattened && known.is_none() {
                // Only addresses show of it, and nobody here knows which they shall be.
                return None;
            }
            let rtype = if flattened { RecordType::of(address) } else { RecordType::Cname };
            (rtype, Expected::Cname { target: target.clone(), flattened, address })
        }
        Data::A(held) => (RecordType::A, Expected::Addresses(held.iter().copied().map(IpAddr::V4).collect())),
        Data::Aaaa(held) => {
            (RecordType::Aaaa, Expected::Addresses(held.iter().copied().map(IpAddr::V6).collect()))
        }
        Data::Alias { rtype, target } => {
            let address = ips.find(|ip| ip.id.eq_ignore_ascii_case(target))?.address;
            (rtype.clone(), Expected::Addresses(address.into_iter().collect()))
        }
        Data::Opaque { .. } => return None,
    };
    let ttl = served_ttl(&data, &expected, ttl, zone);
    let asked = vec![Asked { rtype, expected }];
    Some(Promise { key, zone, asked, ttl, awaited: touch == Some(Touch::Made) })
}

/// What shall be served at `key` once `standing` is all of ours there; `None` where the answer would not tell.
fn written<'p>(
    desired: &Desired,
    observed: &'p Observed,
    key: &'p RecordKey,
    standing: &[&Content],
    touch: Touch,
) -> Option<Promise<'p>> {
    let zone = observed.zone(key).ok()?;
    if standing.is_empty() {
        return gone(desired, observed, key, zone, touch);
    }
    let apex = zone.name.apex() == &key.name;
    let asked: Vec<Asked> = (standing.iter())
        .filter_map(|content| {
            let (rtype, expected) = match (&content.data, content.proxied) {
                (Data::Cname(target), false) => {
                    let flattened = apex && zone.rules.flattens_apex;
                    let address = leads_to(observed, target);
                    let rtype = if flattened { RecordType::of(address) } else { RecordType::Cname };
                    (rtype, Expected::Cname { target: target.clone(), flattened, address })
                }
                (_, true) => (RecordType::A, instead(content, &RecordType::A, None, zone, observed)?),
                (data, false) => (data.rtype(), instead(content, &data.rtype(), None, zone, observed)?),
            };
            Some(Asked { rtype, expected })
        })
        .collect();
    let ttl = match (standing, asked.as_slice()) {
        ([content], [asked]) => served_ttl(&content.data, &asked.expected, content.ttl, zone),
        _ => None,
    };
    let awaited = touch == Touch::Made;
    (!asked.is_empty()).then_some(Promise { key, zone, asked, ttl, awaited })
}

/// The TTL that servers give with `expected`, which `data` was written for: as it was written, or `None` where the
/// provider chooses it.
fn served_ttl(data: &Data, expected: &Expected, ttl: Ttl, zone: &Zone) -> Option<Ttl> {
    let as_written = match expected {
        Expected::Cname { flattened, .. } => !flattened,
        Expected::Addresses(_) => !matches!(data, Data::Alias { .. }),
        Expected::Proxied { .. } | Expected::Gone => false,
    };
    (as_written && (ttl != Ttl::AUTOMATIC || !zone.rules.automatic_ttl)).then_some(ttl)
}

/// The address of the endpoint that `target` is the label of.
fn leads_to(observed: &Observed, target: &Fqdn) -> Option<IpAddr> {
    let mut ips = observed.endpoints.values().filter_map(|state| state.public_ip.present());
    ips.find(|ip| ip.fqdn.as_ref() == Some(target))?.address
}

/// What shall be served where a record was withdrawn that the configuration does not name: nothing.
fn pruned<'p>(
    desired: &Desired,
    observed: &'p Observed,
    key: &'p RecordKey,
    touch: Touch,
) -> Option<Promise<'p>> {
    let named = desired.records.contains_key(key);
    if named { None } else { gone(desired, observed, key, observed.zone(key).ok()?, touch) }
}

/// Nothing of the types that it showed as, unless others have something at the name that shows so too.
fn gone<'p>(
    desired: &Desired,
    observed: &Observed,
    key: &'p RecordKey,
    zone: &'p Zone,
    touch: Touch,
) -> Option<Promise<'p>> {
    let (ours, others): (Vec<&RecordSet>, Vec<_>) =
        observed.sets(key).iter().partition(|set| set.is_ours(&desired.owner));
    // What was read after it was withdrawn does not tell what it was.
    let mut types: BTreeSet<RecordType> = ours.iter().flat_map(|set| shows_as(&set.content, zone)).collect();
    if types.is_empty() {
        types = either_address();
    }
    let apex = zone.name.apex() == &key.name;
    let answers = |set: &&RecordSet| match set.content.data.rtype() {
        RecordType::Cname => true,
        // Below a delegation nothing else is served.
        RecordType::Other(other) => other == "NS" && !apex,
        rtype => types.contains(&rtype),
    };
    if others.iter().any(answers) {
        return None;
    }
    let asked = types.into_iter().map(|rtype| Asked { rtype, expected: Expected::Gone }).collect();
    Some(Promise { key, zone, asked, ttl: None, awaited: touch == Touch::Made })
}
