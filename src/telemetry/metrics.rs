//! The snapshot as Prometheus reads it: text format 0.0.4, or OpenMetrics 1.0 for whoever asks for it.
//!
//! Sixty lines write the format, since a client library would keep a second copy of what the snapshot holds already.
//! Label values are words of ours and names from the configuration, never text from outside.

mod exposition;
mod process;

use std::collections::BTreeSet;

use time::OffsetDateTime;

pub use exposition::Format;
use exposition::{Exposition, Family};

use super::snapshot::{Counts, Finished, Histogram, RequestOutcome, Snapshot};
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::sight::HappeningKind;
use crate::model::verify::Verdict;
use crate::reconcile::round::{Chain, EndpointStatus, Link, LinkState, Outcome, Round};

/// All metrics of `snapshot`, as `format` wants them.
#[must_use]
pub fn render(snapshot: &Snapshot, now: OffsetDateTime, format: Format) -> String {
    let mut out = Exposition::new(format);
    out.info("cnamed_build", "The program.").sample(&[("version", snapshot.program)], 1_u8);
    service(&mut out, snapshot, now);
    counted(&mut out, &snapshot.counts);
    if let Some(last) = snapshot.last.as_deref() {
        seen(&mut out, last);
    }
    resting(&mut out, snapshot);
    process::render(&mut out);
    out.finish()
}

fn service(out: &mut Exposition, snapshot: &Snapshot, now: OffsetDateTime) {
    let stamp = |at: OffsetDateTime| at.unix_timestamp_nanos() as f64 / 1e9;
    let ready = u8::from(snapshot.readiness(now).is_ok());
    out.gauge("cnamed_ready", "Whether it was in sync lately: what /readyz says.").sample(&[], ready);
    // Zero and not nothing, so that one rule tells of a service that never was and of one that was long ago.
    out.gauge(
        "cnamed_last_success_timestamp_seconds",
        "When a round last ended in sync; 0 before the first.",
    )
    .sample(&[], snapshot.converged.map_or(0.0, stamp));
    let mut next =
        out.gauge("cnamed_next_round_timestamp_seconds", "When the next round begins at the latest.");
    if let Some(at) = snapshot.next {
        next.sample(&[], stamp(at));
    }
    let last = snapshot.last.as_deref();
    let mut at = out.gauge("cnamed_last_round_timestamp_seconds", "When the last round ended.");
    if let Some(last) = last {
        at.sample(&[], stamp(last.at));
    }
    let mut took = out.gauge("cnamed_last_round_duration_seconds", "How long the last round took.");
    if let Some(last) = last {
        took.sample(&[], last.took.as_secs_f64());
    }
    out.gauge("cnamed_round_in_progress", "Whether a round is under way.")
        .sample(&[], u8::from(snapshot.busy));
    out.gauge("cnamed_loop_age_seconds", "Time since the loop last turned: what /healthz goes by.")
        .sample(&[], snapshot.beat.age().as_secs_f64());
    out.gauge("cnamed_troubles", "What does not work about the service itself.")
        .sample(&[], snapshot.troubles.len() as u64);
}

fn counted(out: &mut Exposition, counts: &Counts) {
    let mut rounds = out.counter("cnamed_rounds", "Rounds by what came of them.");
    for outcome in OUTCOMES {
        let count = counts.rounds.get(&outcome).copied().unwrap_or_default();
        rounds.sample(&[("outcome", outcome.as_str())], count);
    }
    let mut changes = out.counter("cnamed_changes", "Changes by verb, account and what came of them.");
    for ((verb, outcome, account), count) in &counts.changes {
        let outcome = outcome.as_str();
        changes.sample(&[("verb", verb), ("account", account), ("outcome", outcome)], *count);
    }
    let mut happenings = out.counter("cnamed_happenings", "What happened to endpoints, by kind.");
    for kind in HAPPENINGS {
        let count = counts.happenings.get(kind.as_str()).copied().unwrap_or_default();
        happenings.sample(&[("kind", kind.as_str())], count);
    }
    out.counter("cnamed_label_lookups", "Label look-ups between rounds.").sample(&[], counts.label_lookups);
    let mut convergence = out.histogram(
        "cnamed_convergence_seconds",
        "From noticing a change until all servers of an account said so, or the resolvers.",
    );
    for (account, histogram) in &counts.convergence {
        buckets(&mut convergence, account, histogram);
    }
    let budgets: BTreeSet<&String> = counts.requests.keys().map(|(budget, _)| budget).collect();
    let mut requests = out.counter("cnamed_requests", "Requests by budget and how they ended.");
    for budget in budgets {
        for outcome in RequestOutcome::ALL {
            let count = counts.requests.get(&(budget.clone(), outcome)).copied().unwrap_or_default();
            requests.sample(&[("budget", budget), ("outcome", outcome.as_str())], count);
        }
    }
    let mut quota =
        out.gauge("cnamed_quota_remaining", "Requests that are left, as the service last said, by budget.");
    for (budget, left) in &counts.quota {
        quota.sample(&[("budget", budget)], *left);
    }
    let mut notices = out.counter(
        "cnamed_notices",
        "Notices by notifier: arrived, given up, or tried in vain and not for the last time.",
    );
    let notifiers: BTreeSet<&String> = counts.notices.keys().map(|(notifier, _)| notifier).collect();
    for notifier in notifiers {
        for (arrived, word) in [(true, "delivered"), (false, "failed")] {
            let count = counts.notices.get(&(notifier.clone(), arrived)).copied().unwrap_or_default();
            notices.sample(&[("notifier", notifier), ("outcome", word)], count);
        }
        let retried = counts.retried.get(notifier).copied().unwrap_or_default();
        notices.sample(&[("notifier", notifier), ("outcome", "retried")], retried);
    }
}

fn buckets(family: &mut Family<'_>, account: &str, histogram: &Histogram) {
    let mut cumulated = 0;
    for (bound, count) in Histogram::BOUNDS.iter().zip(histogram.buckets) {
        cumulated += count;
        family.part("_bucket", &[("account", account), ("le", &exposition::number(*bound))], cumulated);
    }
    family.part("_bucket", &[("account", account), ("le", "+Inf")], histogram.count);
    family.part("_sum", &[("account", account)], histogram.sum);
    family.part("_count", &[("account", account)], histogram.count);
}

fn seen(out: &mut Exposition, last: &Finished) {
    let round = &last.round;
    let mut states = out.gauge("cnamed_round_outcome", "What came of the last round: 1 for what holds.");
    for outcome in OUTCOMES {
        states.sample(&[("outcome", outcome.as_str())], u8::from(round.outcome == outcome));
    }
    let mut verdicts = out.gauge(
        "cnamed_record_verdict",
        "What all authoritative servers of an account say of a name: 1 for what holds.",
    );
    let mut stands = |name: &Fqdn, account: &Handle, holds: &str| {
        for word in VERDICTS.iter().map(|(_, word)| *word).chain([UNKNOWN]) {
            let labels = [("name", name.as_str()), ("account", account.as_str()), ("verdict", word)];
            verdicts.sample(&labels, u8::from(word == holds));
        }
    };
    for record in &round.records {
        let word = VERDICTS.iter().find(|(verdict, _)| *verdict == record.verdict);
        stands(&record.name, &record.account, word.map_or(UNKNOWN, |(_, word)| word));
    }
    // A name that is not told of any more would end an alert in the middle of what it is about.
    for chain in unasked(round) {
        let waits = chain.links.first().is_some_and(|link| link.state == LinkState::Pending);
        stands(&chain.name, &chain.account, if waits { "pending" } else { UNKNOWN });
    }
    let mut states = out.gauge("cnamed_endpoint_state", "How an endpoint stands: 1 for what holds.");
    for endpoint in &round.endpoints {
        for (state, word) in STATES {
            let labels = [("endpoint", endpoint.name.as_str()), ("state", word)];
            states.sample(&labels, u8::from(endpoint.state == state));
        }
    }
    let mut links = out.gauge(
        "cnamed_links",
        "Names of an endpoint by how the way there stands, link by link; ports are apart.",
    );
    let endpoints: BTreeSet<&Handle> = round.chains.iter().map(|chain| &chain.endpoint).collect();
    for endpoint in endpoints.into_iter().filter(|_| round.authoritative) {
        let chains = || round.chains.iter().filter(|chain| &chain.endpoint == endpoint);
        for (from, link) in ALONG {
            for (state, word) in LINKS {
                let is_it = |link: &&Link| link.from == from && link.state == state;
                let count = chains().flat_map(|chain| &chain.links).filter(is_it).count();
                let labels = [("endpoint", endpoint.as_str()), ("link", link), ("state", word)];
                links.sample(&labels, count as u64);
            }
        }
    }
    let mut ports = out.gauge("cnamed_port_state", "Whether a port leads to its service: 1 for what holds.");
    for way in &round.ways_in {
        for (state, word) in LINKS {
            let labels = [("endpoint", way.endpoint.as_str()), ("rule", &way.rule), ("state", word)];
            ports.sample(&labels, u8::from(way.port.state == state));
        }
    }
    let mut refused = out.gauge("cnamed_refusals", "What the last round refused to do, by rule.");
    let rules: BTreeSet<String> = round.refused.iter().map(|refusal| refusal.rule.to_string()).collect();
    for rule in &rules {
        let count = round.refused.iter().filter(|refusal| refusal.rule.to_string() == *rule).count();
        refused.sample(&[("rule", rule)], count as u64);
    }
    out.gauge("cnamed_blocked", "What waits for something.").sample(&[], round.blocked.len() as u64);
    out.gauge("cnamed_unknown", "What the last round could not read.")
        .sample(&[], round.unknown.len() as u64);
}

/// The wanted records whose name servers were not asked although they are to be: what was read of them did not tell what
/// to ask, or there is nothing yet to ask for.
fn unasked(round: &Round) -> impl Iterator<Item = &Chain> {
    let asked = |chain: &Chain| {
        round.records.iter().any(|record| record.name == chain.name && record.account == chain.account)
    };
    round.chains.iter().filter(move |chain| round.authoritative && !asked(chain))
}

fn resting(out: &mut Exposition, snapshot: &Snapshot) {
    let mut accounts: BTreeSet<&str> = snapshot.resting.iter().map(|it| it.account.as_str()).collect();
    if let Some(last) = snapshot.last.as_deref() {
        accounts.extend(last.round.records.iter().map(|record| record.account.as_str()));
        if !last.round.endpoints.is_empty() {
            accounts.insert("endpoints");
        }
    }
    let rests = |account: &str| snapshot.resting.iter().find(|resting| resting.account == account);
    let mut family = out.gauge("cnamed_resting", "Whether an account is left alone for a while.");
    for account in &accounts {
        family.sample(&[("account", account)], u8::from(rests(account).is_some()));
    }
    let mut family = out.gauge("cnamed_failures_in_a_row", "How often an account failed in a row.");
    for account in accounts {
        family
            .sample(&[("account", account)], u64::from(rests(account).map_or(0, |resting| resting.failures)));
    }
}

const OUTCOMES: [Outcome; 7] = [
    Outcome::InSync,
    Outcome::Changed,
    Outcome::Pending,
    Outcome::Unverified,
    Outcome::Refused,
    Outcome::Partial,
    Outcome::Failed,
];
const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::Agreed, "agreed"),
    (Verdict::Masked, "masked"),
    (Verdict::Pending, "pending"),
    (Verdict::Unanswered, "unanswered"),
    (Verdict::Contradicted, "contradicted"),
];
/// The verdict where there is none.
const UNKNOWN: &str = "unknown";
const STATES: [(EndpointStatus, &str); 4] = [
    (EndpointStatus::Ready, "ready"),
    (EndpointStatus::Released, "released"),
    (EndpointStatus::Absent, "absent"),
    (EndpointStatus::Unknown, "unknown"),
];
const LINKS: [(LinkState, &str); 4] = [
    (LinkState::Whole, "whole"),
    (LinkState::Pending, "pending"),
    (LinkState::Broken, "broken"),
    (LinkState::Unknown, "unknown"),
];
/// The links of a chain, as it calls them and as labels do.
const ALONG: [(&str, &str); 4] =
    [("name", "name"), ("label", "label"), ("label in DNS", "label-in-dns"), ("address", "address")];
const HAPPENINGS: [HappeningKind; 7] = [
    HappeningKind::Deleted,
    HappeningKind::Recreated,
    HappeningKind::LabelMoved,
    HappeningKind::LabelTaken,
    HappeningKind::Released,
    HappeningKind::Assigned,
    HappeningKind::Changed,
];
