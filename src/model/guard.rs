//! Danger has a type: what a plan may not do, and what would allow it.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::Handle;
use super::plan::{Plan, Step, Subject, Undo};
use super::state::{Desired, Observed, RecordKey};
use bond::{Bond, Bonds};
use without::without;

mod bond;
mod chain;
mod gateway;
mod network;
mod record;
mod steps;
mod undo;
mod without;

/// The rule that a refused change would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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
    /// The configuration names no record, or no NAT rule of a load balancer, yet marked ones exist.
    WantedEmpty,
    /// No zone, or more than one, answers for the name in this account.
    Zone,
    /// The TTL is outside what the zone takes.
    Ttl,
    /// The provider has no such mode.
    Mode,
    /// The resource cannot become what is wanted without being made anew.
    Immutable,
    /// The resource would be deleted, or put to use, while another one stands on it.
    InUse,
    /// Two resources are of kinds that Azure does not let stand together.
    Sku,
    /// Two resources are in different regions or subscriptions.
    Region,
    /// The port leads elsewhere.
    Port,
    /// A security rule's priority is taken, or too late.
    Priority,
    /// A machine is behind another public load balancer.
    Membership,
    /// A machine has a public IP of its own.
    OwnAddress,
    /// Another security group keeps out what shall be let in.
    Closed,
    /// A port would be open to everybody.
    Internet,
    /// IPv4 and IPv6 are mixed.
    Family,
    /// What the gateway shall lead to does not exist.
    Missing,
    /// What stands there is not what the change left that shall be put back.
    Differs,
    /// No endpoint holds what the name would lead to.
    Dangling,
    /// What a person wrote at the record leaves no room for our mark.
    Comment,
}

/// One change that will not be made, why, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refusal {
    /// What it concerns.
    pub subject: Subject,
    /// The endpoint that stops with it: what is built, changed and taken down of it, and whatever waits for that. Its
    /// other names stop only where they would come to lead to what is refused, and of a label that is refused alone
    /// nothing stops: names follow the one that the public IP has. `None` for records that follow none any more, which
    /// stop with the others of their account.
    pub endpoint: Option<Handle>,
    /// The rule.
    pub rule: Rule,
    /// Why, in a sentence.
    pub reason: String,
    /// What the operator can do, as typed where that is a command.
    pub allow: String,
}

/// A plan that has passed the guard: the only kind that can be applied, and made by [`check`] alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cleared {
    plan: Plan,
    refusals: Vec<Refusal>,
}

/// A [`Cleared`] that was kept, and may have been edited or have aged since: good for comparing, not for applying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    plan: Plan,
    refusals: Vec<Refusal>,
}

impl From<&Cleared> for Reviewed {
    fn from(cleared: &Cleared) -> Self {
        Self { plan: cleared.plan.clone(), refusals: cleared.refusals.clone() }
    }
}

/// What was reviewed is not what would be done now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan that was reviewed is not the plan of now: {difference}")]
pub struct Differs {
    difference: String,
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

    /// What of this waits for nobody else: names that are changed, come to stand or go, and for which nothing has to be
    /// built, taken down or asked for first. Each takes its endpoint, its account and nothing else to be known. Without
    /// those of the keys in `but`.
    ///
    /// Where a label may be given up it takes more: a name that shall leave it could be written first.
    #[must_use]
    pub fn at_once(&self, desired: &Desired, but: &BTreeSet<RecordKey>) -> Self {
        let bonds = Bonds::of(desired, &self.plan);
        let free = |step: &&Step| bonds.bond(step) != Bond::Endpoint && !step.is_about(but);
        let steps = self.plan.steps.iter().filter(free).cloned().collect();
        let plan = Plan { owner: self.plan.owner.clone(), steps, blocked: Vec::new(), notes: Vec::new() };
        Self { plan, refusals: Vec::new() }
    }

    /// This less what it does to the names of `keys`, and whatever waits for that.
    #[must_use]
    pub fn apart_from(&self, keys: &BTreeSet<RecordKey>) -> Self {
        let mut moved: Vec<Option<usize>> = Vec::new();
        let mut steps = Vec::new();
        for step in &self.plan.steps {
            let after: Option<Vec<usize>> =
                step.after.iter().map(|on| moved.get(*on).copied().flatten()).collect();
            let kept = after.filter(|_| !step.is_about(keys));
            moved.push(kept.as_ref().map(|_| steps.len()));
            steps.extend(kept.map(|after| Step { after, ..step.clone() }));
        }
        Self { plan: Plan { steps, ..self.plan.clone() }, refusals: self.refusals.clone() }
    }

    /// This, if it is exactly what was reviewed: the same steps in the same order, against the same versions,
    /// with the same refused, and the same blocked, whatever the reason why something could not be read.
    ///
    /// # Errors
    /// The first difference.
    pub fn confirmed(self, reviewed: &Reviewed) -> Result<Self, Differs> {
        let difference = match (&self.plan, &reviewed.plan) {
            (now, then) if now.owner != then.owner => {
                format!("it was made for the owner {}, not {}", then.owner, now.owner)
            }
            (now, then) if now.steps != then.steps => first_difference(&now.steps, &then.steps),
            _ if self.refusals != reviewed.refusals => "what is refused has changed".into(),
            (now, then) if awaited(now) != awaited(then) => "what is blocked has changed".into(),
            (now, then) if !now.notes_as(then) => "what is noted has changed".into(),
            _ => return Ok(self),
        };
        Err(Differs { difference })
    }
}

/// What is blocked, and on what as far as it follows from the plan: what waits for somebody else may tell of it with the
/// words of a failed read, which are others each time, a request's id among them.
fn awaited(plan: &Plan) -> Vec<(&Subject, Option<&str>)> {
    plan.blocked
        .iter()
        .map(|blocked| (&blocked.subject, blocked.ours.then_some(blocked.waits_for.as_str())))
        .collect()
}

fn first_difference(now: &[Step], then: &[Step]) -> String {
    let at = now.iter().zip(then).position(|(now, then)| now != then).unwrap_or(now.len().min(then.len()));
    match (now.get(at), then.get(at)) {
        (Some(now), Some(then)) if now.subject() == then.subject() && now.verb() == then.verb() => {
            format!("step {} on {} meets another state than it was made for", at + 1, now.subject())
        }
        (Some(now), Some(then)) => {
            format!("step {} concerns {} now, not {}", at + 1, now.subject(), then.subject())
        }
        (Some(now), None) => format!("step {} on {} is new", at + 1, now.subject()),
        (None, Some(then)) => format!("step {} on {} is no longer needed", at + 1, then.subject()),
        (None, None) => "the steps have changed".into(),
    }
}

/// Holds `plan` against every rule; each refusal takes the changes of its endpoint out of the plan, and no others
/// but those that depend on them. Names that depend on none of these stay in it: see [`Refusal::endpoint`].
#[must_use]
pub fn check(desired: &Desired, observed: &Observed, plan: Plan) -> Cleared {
    let mut refusals = BTreeSet::new();
    record::check(desired, observed, &plan, &mut refusals);
    chain::check(desired, observed, &plan, &mut refusals);
    network::check(desired, observed, &plan, &mut refusals);
    gateway::check(desired, observed, &plan, &mut refusals);
    let plan = without(desired, observed, plan, &refusals);
    Cleared { plan, refusals: refusals.into_iter().collect() }
}

/// The way back that `undo` is, held against every rule and those of its own; `desired` is [`Undo::desired`].
#[must_use]
pub fn check_undo(desired: &Desired, observed: &Observed, undo: &Undo) -> Cleared {
    let plan = undo.plan(desired, observed);
    let mut refusals = BTreeSet::new();
    undo::check(desired, observed, undo, &plan, &mut refusals);
    let Cleared { plan, refusals: others } = check(desired, observed, plan);
    refusals.extend(others);
    Cleared { plan: without(desired, observed, plan, &refusals), refusals: refusals.into_iter().collect() }
}

impl fmt::Display for Cleared {
    /// What is refused after what is not, and before what is merely to be known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.write_work(f)?;
        for Refusal { subject, rule, reason, allow, .. } in &self.refusals {
            writeln!(f, "\nrefused  {subject}  ({rule})\n         {reason}\n         next: {allow}")?;
        }
        self.plan.write_notes(f)
    }
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
            Self::InUse => "in-use",
            Self::Sku => "sku",
            Self::Region => "region",
            Self::Port => "port",
            Self::Priority => "priority",
            Self::Membership => "membership",
            Self::OwnAddress => "own-address",
            Self::Closed => "closed",
            Self::Internet => "internet",
            Self::Family => "family",
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Dangling => "dangling",
            Self::Comment => "comment",
        })
    }
}
