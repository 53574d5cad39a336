//! Everything that the service shows of itself, as one value: the page, the metrics and the probes are renderings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::beat::Beat;
use crate::journal::Entry;
use crate::model::moment;
use crate::model::plan::Verb;
use crate::reconcile::round::{ChangeOutcome, ChangeReport, Outcome, Round};

/// The service as it stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Snapshot {
    /// The instance id in our marks.
    pub owner: String,
    /// The version of the program.
    pub program: &'static str,
    /// When the service began.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started: OffsetDateTime,
    /// The last round that was finished.
    #[serde(serialize_with = "finished")]
    #[schemars(with = "Option<Finished>")]
    pub last: Option<Arc<Finished>>,
    /// When a round last ended in sync, or changed something and saw it hold.
    #[serde(serialize_with = "moment::option::serialize")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub converged: Option<OffsetDateTime>,
    /// Since when it has stood as it does: well, or not. Not known before the first round.
    #[serde(serialize_with = "moment::option::serialize")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<OffsetDateTime>,
    /// For how long a service that has converged counts as ready.
    #[serde(rename = "patience_s", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub patience: Duration,
    /// When the next round begins at the latest.
    #[serde(serialize_with = "moment::option::serialize")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next: Option<OffsetDateTime>,
    /// Whether a round is under way.
    pub busy: bool,
    /// Whether something has happened that the last round does not know: its picture is of before.
    pub overtaken: bool,
    /// The accounts that are left alone for a while, and why; `endpoints` stands for the endpoints' own.
    pub resting: Vec<Resting>,
    /// The latest entries of the journal, newest first.
    pub history: Vec<Entry>,
    /// What does not work about the service itself: the journal, a notifier, a configuration that was not taken.
    pub troubles: Vec<String>,
    /// What was counted since the service began.
    #[serde(skip)]
    pub counts: Counts,
    /// The sign that the loop turns. It is not published anew each time: all snapshots share one.
    #[serde(skip)]
    pub beat: Beat,
}

/// A finished round.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Finished {
    /// What it found and did.
    #[serde(flatten)]
    pub round: Round,
    /// When it ended.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    /// How long it took.
    #[serde(rename = "took_s", serialize_with = "seconds")]
    #[schemars(with = "f64")]
    pub took: Duration,
    /// Why it began.
    pub trigger: Trigger,
}

/// Why a round begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The service began.
    Start,
    /// It was time.
    Timer,
    /// A label gave another answer.
    Label,
    /// Somebody asked for it: SIGUSR1.
    Signal,
    /// The configuration was read anew.
    Reload,
    /// A provider that was down answers again.
    Back,
}

/// An account that is left alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Resting {
    /// Its name.
    pub account: String,
    /// Until when.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: OffsetDateTime,
    /// What went wrong.
    pub reason: String,
    /// How often in a row.
    pub failures: u32,
}

/// What the service counts, for `/metrics`. Everything only grows, but for `quota`.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Rounds by outcome.
    pub rounds: BTreeMap<Outcome, u64>,
    /// Changes by verb, what came of them, and the account (`endpoints` for an endpoint's resources).
    pub changes: BTreeMap<(&'static str, ChangeOutcome, String), u64>,
    /// What happened to endpoints, by kind.
    pub happenings: BTreeMap<&'static str, u64>,
    /// Label look-ups between rounds.
    pub label_lookups: u64,
    /// Seconds from noticing to agreement, by account (or `resolvers`).
    pub convergence: BTreeMap<String, Histogram>,
    /// Requests by budget (such as `azure` or an account) and how they ended.
    pub requests: BTreeMap<(String, RequestOutcome), u64>,
    /// What is left of each budget, as the service last said.
    pub quota: BTreeMap<String, u64>,
    /// Notices by notifier and whether they arrived.
    pub notices: BTreeMap<(String, bool), u64>,
    /// Attempts to tell a notifier something that failed and were not the last.
    pub retried: BTreeMap<String, u64>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestOutcome {
    /// 2xx or 3xx.
    Ok,
    /// 4xx but 429.
    Refused,
    /// 429.
    Throttled,
    /// 5xx.
    Failed,
    /// No whole answer.
    Broken,
    /// Nobody waited for the answer any more; whether the request arrived is not known.
    Abandoned,
}

/// A histogram over [`Histogram::BOUNDS`], in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many fell at or below each bound, and not below an earlier one.
    pub buckets: [u64; Histogram::BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Trigger {
    /// As JSON writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Timer => "timer",
            Self::Label => "label",
            Self::Signal => "signal",
            Self::Reload => "reload",
            Self::Back => "back",
        }
    }
}

impl RequestOutcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Refused, Self::Throttled, Self::Failed, Self::Broken, Self::Abandoned];

    /// As metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::Abandoned => "abandoned",
        }
    }
}

impl Histogram {
    /// Upper bounds, in seconds: from one look-up to an hour.
    pub const BOUNDS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

    /// Counts `seconds`.
    pub fn observe(&mut self, seconds: f64) {
        if let Some(at) = Self::BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[at] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}

impl Counts {
    /// Counts what was done.
    pub fn change(&mut self, change: &ChangeReport) {
        let verb = match change.verb {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "delete",
        };
        let account = change.account.as_ref().map_or("endpoints", |account| account.as_str());
        *self.changes.entry((verb, change.outcome, account.to_owned())).or_default() += 1;
    }
}

impl Snapshot {
    /// Whether the service has converged lately, and if not, why.
    pub fn readiness(&self, now: OffsetDateTime) -> Result<(), String> {
        match self.converged {
            Some(at) if now - at <= self.patience => Ok(()),
            Some(at) => Err(self.because(format!("last in sync {} s ago", (now - at).whole_seconds()))),
            None => Err(self.because("not in sync since the service began".to_owned())),
        }
    }

    /// What the last round did not find as it should be explains most.
    fn because(&self, text: String) -> String {
        match self.last.as_deref().and_then(|last| last.round.why()) {
            Some(why) => format!("{text}: {why}"),
            None => text,
        }
    }
}

fn finished<S: Serializer>(last: &Option<Arc<Finished>>, serializer: S) -> Result<S::Ok, S::Error> {
    last.as_deref().serialize(serializer)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
