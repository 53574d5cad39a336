//! What a day proves.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};
use tokio::time::{Instant, sleep};

use super::telling::span;
use super::{GLANCE, NEVER, Passed, Story};
use crate::cli::demo::proof::Proofs;
use crate::sandbox::{LoggedRequest, Service};
use crate::telemetry::snapshot::RequestOutcome;

impl Story<'_> {
    pub(super) async fn prove(&self, passed: &[Passed]) -> Proofs {
        let mut proofs = Proofs::default();
        self.noticed(passed, &mut proofs);
        self.right(passed, &mut proofs);
        self.never_dangled(&mut proofs);
        self.foreign_stays(&mut proofs);
        self.no_idle_write(passed, &mut proofs);
        self.readiness(passed, &mut proofs);
        self.told(passed, &mut proofs);
        self.waited(passed, &mut proofs);
        self.shown(&mut proofs);
        self.counted(&mut proofs).await;
        proofs
    }

    fn noticed(&self, passed: &[Passed], proofs: &mut Proofs) {
        let missed = passed.iter().find(|one| one.noticed.is_none());
        let slowest = slowest(passed.iter().skip(1), |one| one.noticed);
        let seen = missed.map_or_else(
            || format!("{} of {0}; the slowest after {slowest}", passed.len()),
            |one| format!("not that {}", one.what),
        );
        proofs.add("everything that happened was noticed", missed.is_none(), seen);
    }

    fn right(&self, passed: &[Passed], proofs: &mut Proofs) {
        let healed = || passed.iter().filter(|one| !one.lasts);
        let wrong = healed().find(|one| one.right.is_none() || !one.well);
        let seen = wrong.map_or_else(
            || {
                format!(
                    "{} times; the slowest after {}",
                    healed().count(),
                    slowest(healed(), |one| one.right)
                )
            },
            |one| format!("not after {}", one.what),
        );
        proofs.add("every name was right again before the next thing happened", wrong.is_none(), seen);
    }

    fn never_dangled(&self, proofs: &mut Proofs) {
        let (attempts, taken) = (self.witness.attempts.get(), self.witness.taken.get());
        let seen = format!("a stranger tried {attempts} times, and got {taken}");
        proofs.add("no name pointed at a label that anybody could take", attempts > 0 && taken == 0, seen);
    }

    fn foreign_stays(&self, proofs: &mut Proofs) {
        let control = self.sandbox.control();
        let others = |records: Vec<serde_json::Value>| -> Vec<String> {
            let texts = records.iter().map(ToString::to_string);
            texts.filter(|text| !text.contains("managed-by")).collect()
        };
        let (before, now) = (others(self.foreign.clone()), others(control.records_without("")));
        let seen = format!("{} records compared", before.len());
        proofs.add(
            "every foreign record is as it was, byte for byte",
            before == now && !before.is_empty(),
            seen,
        );
    }

    /// What was wrong, from when to when, by the day's clock.
    fn troubled(&self, passed: &[Passed]) -> Vec<(OffsetDateTime, OffsetDateTime)> {
        let mut spans: Vec<(OffsetDateTime, OffsetDateTime)> = Vec::new();
        let mut lasting = None;
        for one in passed {
            let from = lasting.take().unwrap_or(one.at);
            match one.right.filter(|_| !one.lasts) {
                Some(right) => spans.push((from, right)),
                None => lasting = Some(from),
            }
        }
        spans.extend(lasting.map(|from| (from, self.clock.calendar())));
        spans
    }

    fn no_idle_write(&self, passed: &[Passed], proofs: &mut Proofs) {
        let troubled = self.troubled(passed);
        let writes = self.writes();
        let is_idle = |request: &&LoggedRequest| {
            let at = self.at(request);
            !troubled.iter().any(|(from, to)| (*from..=*to).contains(&at))
        };
        let idle = writes.iter().find(is_idle);
        let seen = idle.map_or_else(
            || format!("{} writes, each while something was", writes.len()),
            |one| format!("{} {} at {}", one.method, one.path, super::telling::hour(self.at(one))),
        );
        proofs.add("nothing was written while nothing was wrong", idle.is_none() && !writes.is_empty(), seen);
    }

    fn readiness(&self, passed: &[Passed], proofs: &mut Proofs) {
        let visits = self.visits.borrow();
        let asked: Vec<&Passed> = passed.iter().filter(|one| one.unready.is_some()).collect();
        let unready = !asked.is_empty() && asked.iter().all(|one| one.unready == Some(true));
        let from = asked.first().map_or(self.midnight, |one| one.at);
        let changes = visits.ready.iter().filter(|(at, _)| *at >= from).take(2).map(|(at, ready)| {
            format!("{} {}", if *ready { "ready at" } else { "not ready at" }, super::telling::hour(*at))
        });
        let seen = changes.collect::<Vec<_>>().join(", ");
        proofs.add(
            "not ready while a provider was down, and ready again after",
            unready && visits.is_ready(),
            seen,
        );
    }

    fn told(&self, passed: &[Passed], proofs: &mut Proofs) {
        // What ended it is the next thing that happened, and that was told before the one after.
        let when = |index: usize| passed.get(index).map_or_else(|| self.clock.calendar(), |one| one.at);
        let is_told = |index: usize| {
            passed[index].right.is_some() && self.ear.heard_of_recovery(when(index + 1), when(index + 2))
        };
        let mut lasting = (0..passed.len()).filter(|index| passed[*index].lasts).peekable();
        let any = lasting.peek().is_some();
        let untold = lasting.find(|index| !is_told(*index));
        let seen = untold.map_or_else(
            || format!("{} notices", self.ear.since(self.midnight).len()),
            |index| format!("not that {}", passed[index].what),
        );
        proofs.add("each trouble was told, and that it was over", any && untold.is_none(), seen);
    }

    /// Between a 429 and the end of what it asks for, nobody asks there again but who had asked already, and nothing can
    /// have been seen to be right.
    fn waited(&self, passed: &[Passed], proofs: &mut Proofs) {
        let requests = self.sandbox.requests();
        let of_arm = || requests.iter().filter(|request| request.service == Service::Arm);
        let under_way = self.clock.inside(UNDER_WAY).as_secs_f64();
        let asked_to_wait = f64::from(ASKED) - under_way;
        let throttled: Vec<&LoggedRequest> = of_arm().filter(|request| request.status == Some(429)).collect();
        let hasty = throttled.iter().find_map(|first| {
            of_arm().find(|next| (under_way..asked_to_wait).contains(&(next.at - first.at)))
        });
        let last = throttled.last().map_or(self.midnight, |last| self.at(last));
        let right = passed.iter().filter_map(|one| one.right).find(|right| *right >= last);
        let waited = right.map_or(Duration::ZERO, |right| right - last);
        let seen = match hasty {
            Some(one) => format!("{} {}", one.method, one.path),
            None if waited < Duration::seconds(ASKED.into()) => format!("right again {} later", span(waited)),
            None => format!("{} times, 20 min each", throttled.len()),
        };
        proofs.add(
            "Azure asked to wait, and nobody came before",
            hasty.is_none() && waited >= Duration::seconds(ASKED.into()) && !throttled.is_empty(),
            seen,
        );
    }

    fn shown(&self, proofs: &mut Proofs) {
        let visits = self.visits.borrow();
        let seen = visits.wrong.clone().unwrap_or_else(|| format!("{} visits", visits.answers));
        proofs.add(
            "the page was there all day, with its strict headers",
            visits.wrong.is_none() && visits.answers > 0,
            seen,
        );
    }

    /// The service's own counts against the services', asked again until no request is under way.
    async fn counted(&self, proofs: &mut Proofs) {
        let began = Instant::now();
        let (mut counted, mut logged);
        loop {
            logged = self.logged();
            counted = self.get("/metrics").await.map(|metrics| requests(&metrics.body)).unwrap_or_default();
            if unlike(&counted, &logged).is_none() || began.elapsed() > NEVER / 4 {
                break;
            }
            sleep(GLANCE).await;
        }
        let sum = logged.values().sum::<u64>();
        let differs = unlike(&counted, &logged);
        let same = differs.is_none() && sum > 0;
        let seen = differs.unwrap_or_else(|| format!("{sum} requests by budget and outcome"));
        proofs.add("/metrics counts what Azure and Cloudflare counted", same, seen);
    }

    /// What Azure and Cloudflare answered, by budget and outcome.
    fn logged(&self) -> Requests {
        let mut counts = BTreeMap::new();
        for request in self.sandbox.requests() {
            let budget = match request.service {
                Service::Arm => "azure",
                Service::Cloudflare => "cloudflare",
                Service::Authority | Service::LogAnalytics => continue,
            };
            let outcome = match request.status {
                Some(429) => "throttled",
                Some(400..=499) => "refused",
                Some(500..) => "failed",
                Some(_) => "ok",
                None => "broken",
            };
            *counts.entry((budget.to_owned(), outcome.to_owned())).or_default() += 1;
        }
        counts
    }

    /// When a request came, by the day's clock.
    fn at(&self, request: &LoggedRequest) -> OffsetDateTime {
        self.midnight + Duration::seconds_f64(request.at)
    }
}

/// How many requests, by budget and outcome.
type Requests = BTreeMap<(String, String), u64>;

/// What the service has not counted as the services did. Of a request whose answer nobody waited for any more it does
/// not know how it ended, nor whether it arrived.
fn unlike(counted: &Requests, logged: &Requests) -> Option<String> {
    for budget in ["azure", "cloudflare"] {
        let count = |of: &Requests, outcome: RequestOutcome| {
            of.get(&(budget.to_owned(), outcome.as_str().to_owned())).copied().unwrap_or_default()
        };
        let mut missing = 0;
        for outcome in RequestOutcome::ALL.into_iter().filter(|of| *of != RequestOutcome::Abandoned) {
            let (here, there) = (count(counted, outcome), count(logged, outcome));
            if here > there {
                return Some(format!("{budget} {}: {here}, not {there}", outcome.as_str()));
            }
            missing += there - here;
        }
        let abandoned = count(counted, RequestOutcome::Abandoned);
        if missing > abandoned {
            return Some(format!("{budget}: {missing} not counted, of which {abandoned} were given up"));
        }
    }
    None
}

/// Requests to Azure and Cloudflare by budget and outcome, as `/metrics` has them; those that never were are left out.
fn requests(metrics: &str) -> Requests {
    let mut counts = BTreeMap::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("cnamed_requests_total{")) {
        let Some((labels, count)) = line.split_once("} ") else { continue };
        let value = |label: &str| {
            let value = labels.split(',').find_map(|one| one.strip_prefix(label)?.strip_prefix("=\""));
            value.map(|value| value.trim_end_matches('"').to_owned()).unwrap_or_default()
        };
        let budget = value("budget");
        // A budget of Cloudflare's is named after the host.
        let known = ["azure", "cloudflare"].into_iter().find(|known| budget.split(' ').next() == Some(known));
        let count: u64 = count.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
        if let (Some(known), 1..) = (known, count) {
            *counts.entry((known.to_owned(), value("outcome"))).or_default() += count;
        }
    }
    counts
}

fn slowest<'p>(
    passed: impl Iterator<Item = &'p Passed>,
    when: impl Fn(&Passed) -> Option<OffsetDateTime>,
) -> String {
    let slowest =
        passed.filter_map(|one| Some((when(one)? - one.at, &one.what))).max_by_key(|(took, _)| *took);
    slowest.map_or_else(|| "none".to_owned(), |(took, what)| format!("{}, when {what}", span(took)))
}

/// What was sent before an answer came arrives within this.
const UNDER_WAY: std::time::Duration = std::time::Duration::from_millis(300);
/// Seconds of the day that the long day's 429s ask to wait for.
const ASKED: u32 = 1200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_metrics_are_read_by_budget_and_outcome() {
        let metrics = "# TYPE cnamed_requests_total counter\n\
            cnamed_requests_total{budget=\"azure\",outcome=\"ok\"} 12\n\
            cnamed_requests_total{budget=\"azure\",outcome=\"failed\"} 0\n\
            cnamed_requests_total{budget=\"cloudflare at 127.0.0.1\",outcome=\"throttled\"} 3\n\
            cnamed_requests_total{budget=\"entra\",outcome=\"ok\"} 1\n";
        let key = |budget: &str, outcome: &str| (budget.to_owned(), outcome.to_owned());
        let expected = [(key("azure", "ok"), 12), (key("cloudflare", "throttled"), 3)];
        assert_eq!(requests(metrics), expected.into());
    }
}
