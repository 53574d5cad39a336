//! The report for scripts: a contract with a `version`; fields may be added, never renamed.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Up, outcome};
use crate::model::moment;
use crate::model::threats::{Count, Outcome, Platform, Reading, Report, Share, Spans};
use crate::reconcile::round::VERSION;

/// Failed logons, before and after the gateway.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Document<'r> {
    /// The contract's version.
    version: u32,
    /// How asking ended.
    outcome: Outcome,
    /// The workspace that was asked.
    workspace: &'r str,
    /// When the gateway went up, as far as that is known.
    gateway: Gateway<'r>,
    /// The spans that are compared.
    spans: Spans,
    /// Failed logons in all tables together.
    failed: Pair,
    /// Each table that was asked.
    tables: Vec<Table<'r>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Gateway<'r> {
    /// When.
    #[schemars(extend("format" = "date-time"))]
    up: Option<String>,
    /// The load balancer that tells it.
    load_balancer: Option<&'r str>,
    /// Why it is not known, or not certain.
    reason: Option<&'r str>,
}

/// A count in each span.
#[derive(Debug, Serialize, JsonSchema)]
struct Pair {
    /// Before.
    before: Option<u64>,
    /// After.
    after: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Table<'r> {
    /// What kind of machine it tells of.
    platform: Platform,
    /// Its name.
    table: &'static str,
    #[serde(flatten)]
    state: State<'r>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum State<'r> {
    /// It was read.
    Collected {
        /// Failed logons. Null where nothing was recorded, since then nothing is known, and where a span is not asked for.
        failed: Pair,
        /// Records of any kind.
        records: Pair,
        /// The accounts with the most failed logons, most first.
        accounts: &'r [Share],
        /// The addresses with the most failed logons, most first.
        addresses: &'r [Share],
        /// What the service says that it left out.
        partial: Option<&'r str>,
    },
    /// The workspace has no such table.
    NotCollected,
    /// It could not be read.
    Unread {
        /// Why.
        reason: &'r str,
    },
}

impl<'r> Document<'r> {
    pub(super) fn of(workspace: &'r str, up: &'r Up, report: &'r Report) -> Self {
        Self {
            version: VERSION,
            outcome: outcome(up, report),
            workspace,
            gateway: gateway(up),
            spans: report.spans,
            failed: Pair { before: report.before(), after: report.after() },
            tables: report
                .readings
                .iter()
                .map(|(platform, reading)| table(*platform, reading, report))
                .collect(),
        }
    }
}

fn gateway(up: &Up) -> Gateway<'_> {
    let (up, load_balancer, reason) = match up {
        Up::Told(at) => (Some(moment::text(*at)), None, None),
        Up::Made(name, at) => (Some(moment::text(*at)), Some(name.as_str()), None),
        Up::MadeForOthers(name, at) => (Some(moment::text(*at)), Some(name.as_str()), Some(LATER)),
        Up::NotYet(why) | Up::Unknown(why) => (None, None, Some(why.as_str())),
    };
    Gateway { up, load_balancer, reason }
}

fn table<'r>(platform: Platform, reading: &'r Reading, report: &Report) -> Table<'r> {
    let state = match reading {
        Reading::Collected(figures) => {
            // Where nothing was recorded, nothing is known: null, never 0.
            let failed = |count: Count| (count.records > 0).then_some(count.failed);
            let after = report.spans.after.map(|_| figures.after);
            State::Collected {
                failed: Pair { before: failed(figures.before), after: after.and_then(failed) },
                records: Pair {
                    before: Some(figures.before.records),
                    after: after.map(|after| after.records),
                },
                accounts: &figures.accounts,
                addresses: &figures.addresses,
                partial: figures.partial.as_deref(),
            }
        }
        Reading::NotCollected => State::NotCollected,
        Reading::Unread(reason) => State::Unread { reason },
    };
    Table { platform, table: platform.table(), state }
}

const LATER: &str = "the load balancer was made then, and not by us: the gateway may have come later";
