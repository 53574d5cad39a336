//! Make the changes of a cleared plan, in its order.
//!
//! A step begins as soon as what it depends on has succeeded; changes to one zone that are ready together go to
//! its provider together, so that it may batch. A public IP that fails stops what is left of its endpoint; a part of a
//! gateway or a record that fails stops only what depends on it, so that one rule or one provider that is down does not
//! hold the others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, sleep_until};

use super::round::{ChangeOutcome, ChangeReport};
use super::{Event, Reconciler, Watch};
use crate::model::endpoint::{Handle, PublicIp};
use crate::model::guard::Cleared;
use crate::model::plan::{Action, Plan, RecordChange, Settle, Step, Subject};
use crate::model::record::{Content, Data, RecordType};
use crate::model::resource_id::ResourceId;
use crate::model::state::{Observed, RecordKey, Seen, Zone};
use crate::model::verify::{Expected, judge};
use crate::provider::{Error, Footprint, Kind, Trail};
use crate::resolver::{Question, Via};

/// How often authoritative servers are asked while something is waited for.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(500);

type Ended = Vec<(usize, Result<Held, Error>)>;
type Work<'a> = BoxFuture<'a, (Ended, Vec<Footprint>)>;

/// What a finished step left behind, where that is a public IP.
enum Held {
    PublicIp(Option<Box<PublicIp>>),
    Otherwise,
}

/// What came of the write to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// It was made: name servers are waited for.
    Made,
    /// It may have been made, or may yet be: they are asked once, for whoever waits may wait in vain.
    Unsure,
}

/// What came of a plan.
#[derive(Default)]
pub(super) struct Applied {
    /// Each change, and what it concerns, in the plan's order.
    pub(super) changes: Vec<(Subject, ChangeReport)>,
    /// Those that met another state than they were planned for, and what was not begun then: whether anything of
    /// them is left to do, only another look tells.
    pub(super) lost: Vec<ChangeReport>,
    /// The names whose records were written, or may have been, by what came of the last write to each.
    pub(super) touched: BTreeMap<RecordKey, Touch>,
    /// The public IPs that were written, as they were read afterwards.
    pub(super) public_ips: BTreeMap<Handle, Seen<PublicIp>>,
    /// The endpoints that must be looked at: something behind the public IP was changed, or a change failed.
    pub(super) uncertain: BTreeSet<Handle>,
    /// Whether something met another state than it was planned for.
    pub(super) stale: bool,
}

impl Reconciler {
    /// Applies `cleared`, which follows from what was `observed` by a look that began at that moment, and reports each
    /// change.
    pub(super) async fn apply(
        &self,
        (observed, looked): (&Observed, Instant),
        cleared: &Cleared,
        watch: &dyn Watch,
    ) -> Applied {
        let plan = cleared.plan();
        let mut progress = Progress::default();
        let mut running: FuturesUnordered<Work<'_>> = FuturesUnordered::new();
        loop {
            for work in self.begin(plan, (observed, looked), &mut progress, watch) {
                running.push(Trail::follow(work).boxed());
            }
            let Some((ended, trail)) = running.next().await else { break };
            for (position, (step, result)) in ended.into_iter().enumerate() {
                let of_it = |print: &&Footprint| print.change.is_none_or(|change| change == position);
                let requests = trail.iter().filter(of_it).map(|print| print.id.clone()).collect();
                progress.requests.insert(step, requests);
                progress.end(plan, step, result, watch);
            }
        }
        progress.concluded(plan)
    }

    /// The work that is ready and not begun: one call for each zone, one for each resource, one for each wait.
    fn begin<'a>(
        &'a self,
        plan: &'a Plan,
        (observed, looked): (&'a Observed, Instant),
        progress: &mut Progress,
        watch: &'a dyn Watch,
    ) -> Vec<BoxFuture<'a, Ended>> {
        let mut work: Vec<BoxFuture<'a, Ended>> = Vec::new();
        let mut zones: BTreeMap<(Handle, String), (&Zone, Vec<usize>)> = BTreeMap::new();
        for step in progress.ready(plan) {
            let Step { action, reason, .. } = &plan.steps[step];
            if self.newest.leaves(&plan.steps[step]) {
                progress.left.insert(step);
                continue;
            }
            let overtaken = match action {
                // This very plan may write it twice.
                Action::Record(change) if !progress.writes(plan, &change.key) => {
                    self.is_overtaken(&plan.steps[step], observed, looked).then_some(&change.key)
                }
                _ => None,
            };
            progress.begun.insert(step);
            if let Some(key) = overtaken {
                // Nobody is asked, and nothing has failed.
                progress.overtaken.insert(step);
                let stale = Error::new(Kind::Stale, "write", key.to_string());
                work.push(async move { vec![(step, Err(stale))] }.boxed());
                continue;
            }
            watch.event(Event::Begun(action, reason));
            match action {
                Action::Network(change) => work.push(
                    async move {
                        let result = self.network.apply(&plan.owner, change).await;
                        vec![(step, result.map(|ip| Held::PublicIp(ip.map(Box::new))))]
                    }
                    .boxed(),
                ),
                Action::Gateway(change) => work.push(
                    async move {
                        let result = self.network.build(&plan.owner, change).await;
                        vec![(step, result.map(|()| Held::Otherwise))]
                    }
                    .boxed(),
                ),
                Action::Settle(settle) => work.push(
                    async move {
                        let leaving = plan.steps[step].endpoint.as_ref();
                        let settled = self.settle(settle, leaving, observed, watch).await;
                        vec![(step, settled.map(|()| Held::Otherwise))]
                    }
                    .boxed(),
                ),
                Action::Record(change) => match observed.zone(&change.key) {
                    Ok(zone) => {
                        let entry = (change.key.account.clone(), zone.id.clone());
                        zones.entry(entry).or_insert((zone, Vec::new())).1.push(step);
                    }
                    Err(_) => work.push(async move { vec![(step, Err(lost_zone(&change.key)))] }.boxed()),
                },
            }
        }
        for ((account, _), (zone, steps)) in zones {
            work.push(self.write(plan, account, zone, steps).boxed());
        }
        work
    }

    /// Whether another look has shown since that `step` has a name lead to where its endpoint is no more, or leave where it
    /// is again; or has written that name.
    fn is_overtaken(&self, step: &Step, observed: &Observed, looked: Instant) -> bool {
        let Action::Record(change) = &step.action else { return false };
        let elsewhere = |endpoint: &Handle| match &change.after {
            Some(content) => self.newest.differs(endpoint, &content.data, observed),
            None => {
                let mut data = change.before.iter().map(|set| &set.content.data);
                data.any(|data| self.newest.has_now(endpoint, data, observed))
            }
        };
        self.newest.has_written(&change.key, looked) || step.endpoint.as_ref().is_some_and(elsewhere)
    }

    async fn write(&self, plan: &Plan, account: Handle, zone: &Zone, steps: Vec<usize>) -> Ended {
        let changes: Vec<RecordChange> = (steps.iter())
            .filter_map(|step| match &plan.steps[*step].action {
                Action::Record(change) => Some(change.clone()),
                Action::Network(_) | Action::Gateway(_) | Action::Settle(_) => None,
            })
            .collect();
        let Some(provider) = self.accounts.get(&account) else {
            return steps
                .into_iter()
                .zip(changes)
                .map(|(step, change)| (step, Err(lost_zone(&change.key))))
                .collect();
        };
        let results = provider.apply(zone, &plan.owner, &changes).await;
        let may_stand = |result: &Result<_, Error>| {
            result.as_ref().err().is_none_or(|error| error.kind() == Kind::Unconfirmed)
        };
        let written = changes.iter().zip(&results).filter(|(_, result)| may_stand(result));
        self.newest.wrote(written.map(|(change, _)| &change.key));
        steps.into_iter().zip(results).map(|(step, result)| (step, result.map(|_| Held::Otherwise))).collect()
    }

    /// Waits until every authoritative server has stopped giving the name, then until caches have forgotten it.
    ///
    /// `leaving` is the endpoint that it leaves.
    async fn settle(
        &self,
        settle: &Settle,
        leaving: Option<&Handle>,
        observed: &Observed,
        watch: &dyn Watch,
    ) -> Result<(), Error> {
        let zone = observed.zone(&settle.key).map_err(|_| lost_zone(&settle.key))?;
        let deadline = Instant::now() + self.verification.patience;
        let servers = Via::Servers(zone.name_servers.clone());
        let led_to = leaving.and_then(|endpoint| observed.public_ip(endpoint)?.address);
        let asked: Vec<(Question, Expected)> = (settle.shows_as.iter())
            .filter_map(|rtype| {
                let expected = match &settle.instead {
                    Some(content) => instead(content, rtype, led_to, zone, observed)?,
                    None => Expected::Gone,
                };
                Some((Question { name: settle.key.name.clone(), rtype: rtype.clone() }, expected))
            })
            .collect();
        let gone = loop {
            let findings = asked.iter().map(async |(question, expected)| {
                judge(expected, None, &self.resolver.lookup(question, &servers).await)
            });
            let findings = join_all(findings).await;
            let stays = findings.into_iter().find(|finding| !finding.verdict.is_verified());
            // Until the last of them has said so, one may still have given the name to somebody.
            let Some(finding) = stays else { break Instant::now() };
            if Instant::now() + ASK_AGAIN > deadline {
                let resource = format!("the withdrawal of {}", settle.key);
                return Err(Error::new(Kind::Unconfirmed, "see", resource)
                    .because(finding.detail)
                    .remedy("nothing that depends on it was touched; run the same command again"));
            }
            sleep(ASK_AGAIN).await;
        };
        let left = Duration::from_secs(settle.ttl.seconds().into());
        watch.event(Event::Settling(&settle.key, left));
        sleep_until(gone + left).await;
        Ok(())
    }
}

/// What a question for `rtype` is answered with once `content` stands there, and what stood there before is gone;
/// `None` where the answer does not tell the two apart.
///
/// `led_to` is the address that the name led to before.
pub(super) fn instead(
    content: &Content,
    rtype: &RecordType,
    led_to: Option<IpAddr>,
    zone: &Zone,
    observed: &Observed,
) -> Option<Expected> {
    let of_type = |address: &IpAddr| address.is_ipv6() == (*rtype == RecordType::Aaaa);
    let ips = || observed.endpoints.values().filter_map(|state| state.public_ip.present());
    let addresses = |found: Vec<IpAddr>| Expected::Addresses(found.into_iter().filter(of_type).collect());
    Some(match &content.data {
        // Cloudflare gives IPv4 addresses of its own for whatever is proxied, and others only where that is set.
        _ if content.proxied && *rtype == RecordType::A => Expected::Proxied { address: led_to },
        _ if content.proxied && *rtype == RecordType::Aaaa => return None,
        Data::Cname(target) if !content.proxied => Expected::Cname {
            target: target.clone(),
            flattened: zone.rules.flattens_apex,
            address: ips()
                .find(|ip| ip.fqdn.as_ref() == Some(target))
                .and_then(|ip| ip.address)
                .filter(of_type),
        },
        // Whatever else stands there now, what must be gone is the old CNAME.
        _ if *rtype == RecordType::Cname => Expected::Gone,
        Data::A(held) => addresses(held.iter().copied().map(IpAddr::V4).collect()),
        Data::Aaaa(held) => addresses(held.iter().copied().map(IpAddr::V6).collect()),
        Data::Alias { target, .. } => {
            let followed = ips().find(|ip| ip.id.eq_ignore_ascii_case(target));
            addresses(followed.and_then(|ip| ip.address).into_iter().collect())
        }
        Data::Cname(_) | Data::Opaque { .. } => return None,
    })
}

/// One line for every change; what went wrong with it is told by the round as well, so this is no warning.
fn log(report: &ChangeReport) {
    let ChangeReport { verb, name, outcome, error, .. } = report;
    let account = report.account.as_ref().map(Handle::as_str);
    tracing::info!(%verb, %name, account, outcome = outcome.as_str(), error, "change");
}

fn lost_zone(key: &RecordKey) -> Error {
    Error::new(Kind::Missing, "find the zone of", key.to_string())
}

/// Which steps have begun, which have ended and how.
#[derive(Default)]
struct Progress {
    begun: BTreeSet<usize>,
    ended: BTreeMap<usize, Result<(), Error>>,
    /// Those that somebody else's look has made needless, or wrong.
    overtaken: BTreeSet<usize>,
    /// Those that are left to a configuration that comes, with what waits for them.
    left: BTreeSet<usize>,
    requests: BTreeMap<usize, Vec<String>>,
    public_ips: BTreeMap<Handle, Seen<PublicIp>>,
    stopped: BTreeSet<Handle>,
}

impl Progress {
    /// Whether a step that has begun writes `key`.
    fn writes(&self, plan: &Plan, key: &RecordKey) -> bool {
        let of =
            |step: &usize| matches!(&plan.steps[*step].action, Action::Record(change) if change.key == *key);
        self.begun.iter().any(of)
    }

    fn ready(&self, plan: &Plan) -> Vec<usize> {
        let ready = |index: &usize| {
            let step = &plan.steps[*index];
            let held = step.endpoint.as_ref().is_some_and(|endpoint| self.stopped.contains(endpoint));
            !held
                && !self.begun.contains(index)
                && !self.left.contains(index)
                && step.after.iter().all(|before| matches!(self.ended.get(before), Some(Ok(()))))
        };
        // The parts of a resource share its etag, and one operation at a time is under way on it.
        let whole = |index: usize| match &plan.steps[index].action {
            Action::Gateway(change) => Some(change.whole()),
            Action::Network(_) | Action::Record(_) | Action::Settle(_) => None,
        };
        let under_way = self.begun.iter().filter(|index| !self.ended.contains_key(index));
        let mut taken: BTreeSet<&ResourceId> = under_way.filter_map(|index| whole(*index)).collect();
        let alone = |index: &usize| whole(*index).is_none_or(|resource| taken.insert(resource));
        (0..plan.steps.len()).filter(ready).filter(alone).collect()
    }

    fn end(&mut self, plan: &Plan, index: usize, result: Result<Held, Error>, watch: &dyn Watch) {
        let step = &plan.steps[index];
        if let (Ok(Held::PublicIp(ip)), Some(endpoint)) = (&result, &step.endpoint) {
            let seen = ip.as_deref().cloned().map_or(Seen::Absent, Seen::Present);
            self.public_ips.insert(endpoint.clone(), seen);
        }
        // What depends on a part of the gateway says so, and nothing else stops with it.
        if result.is_err() && matches!(step.action, Action::Network(_) | Action::Settle(_)) {
            self.stopped.extend(step.endpoint.clone());
        }
        self.ended.insert(index, result.map(drop));
        if let Some(report) = self.report(plan, index).filter(|_| !self.overtaken.contains(&index)) {
            log(&report);
            watch.event(Event::Ended(&step.action, &report));
        }
    }

    fn report(&self, plan: &Plan, index: usize) -> Option<ChangeReport> {
        let step = &plan.steps[index];
        let (outcome, error) = match self.ended.get(&index) {
            None if self.left.contains(&index) => (ChangeOutcome::Planned, None),
            None => (ChangeOutcome::Skipped, None),
            Some(Ok(())) => (ChangeOutcome::Applied, None),
            Some(Err(error)) if error.kind() == Kind::Unconfirmed => {
                (ChangeOutcome::Unconfirmed, Some(error.chain()))
            }
            Some(Err(error)) => (ChangeOutcome::Failed, Some(error.chain())),
        };
        let mut report = ChangeReport::of(&step.action, &step.reason, outcome)?;
        report.error = error;
        report.requests = self.requests.get(&index).cloned().unwrap_or_default();
        Some(report)
    }

    fn concluded(mut self, plan: &Plan) -> Applied {
        for (index, step) in plan.steps.iter().enumerate() {
            if step.after.iter().any(|before| self.left.contains(before)) {
                self.left.insert(index);
            }
        }
        let touched = self.ended.iter().filter_map(|(index, result)| {
            let Action::Record(change) = &plan.steps[*index].action else { return None };
            let touch = match result {
                Ok(()) => Touch::Made,
                Err(error) if error.kind() == Kind::Unconfirmed => Touch::Unsure,
                Err(_) => return None,
            };
            Some((change.key.clone(), touch))
        });
        let touched = touched.collect();
        let unseen = |(index, result): (&usize, &Result<(), Error>)| match &plan.steps[*index].action {
            Action::Network(change) if result.is_err() => Some(change.endpoint.clone()),
            Action::Gateway(change) => Some(change.endpoint.clone()),
            _ => None,
        };
        let uncertain = self.ended.iter().filter_map(unseen).collect();
        let lost =
            |result: &Result<(), Error>| result.as_ref().is_err_and(|error| error.kind() == Kind::Stale);
        let stale = self.ended.values().any(lost);
        let open = |index: &usize| stale && self.ended.get(index).is_none_or(lost);
        let lost = (0..plan.steps.len()).filter(open).filter_map(|index| self.report(plan, index)).collect();
        let changes = self.reports(plan);
        Applied { changes, lost, touched, public_ips: self.public_ips, uncertain, stale }
    }

    /// Every change in the order of the plan. A wait that failed is told at what waited for it.
    fn reports(&self, plan: &Plan) -> Vec<(Subject, ChangeReport)> {
        let reports = (0..plan.steps.len()).filter_map(|index| {
            let mut report = self.report(plan, index)?;
            if report.outcome == ChangeOutcome::Skipped {
                let failed = |before: &&usize| matches!(self.ended.get(before), Some(Err(_)));
                let cause =
                    plan.steps[index].after.iter().find(failed).and_then(|before| self.ended.get(before));
                report.error = cause.and_then(|result| result.as_ref().err()).map(Error::chain);
            }
            Some((plan.steps[index].subject(), report))
        });
        reports.collect()
    }
}
