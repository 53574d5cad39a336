//! Desired × observed → plan: ordered, printable, serialisable; and what is blocked on what.
//!
//! Planning is synchronous and deterministic, and reaches a fixpoint: the plan for the state that a plan leaves
//! behind is empty. Order is safety: a name is written after the label that it points at was seen to be held, and
//! a label is given up only after every name has been withdrawn and its TTL has run out.
//!
//! A plan may propose what must not be done; [`super::guard`] holds it against the rules before anything can be
//! applied.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::{Handle, PublicIp, PublicIpSpec};
use super::record::{Content, Owner, RecordSet, RecordType, Ttl};
use super::state::RecordKey;

mod change;
mod derive;
pub(super) mod dismantle;
mod gateway;
mod groups;
mod release;
mod strays;
mod text;
mod undo;

pub use change::{
    GatewayChange, GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Part, Piece,
    SecurityGroupChange, SecurityRuleChange,
};
pub use derive::{content, mode, plan};
pub(super) use derive::{displaced, points_at_label};
pub(super) use gateway::{grouping, reserved};
pub use text::counted;
pub use undo::Undo;
pub(super) use undo::standing;

/// What a step, a refusal or a blocked piece of work concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The public IP of an endpoint.
    PublicIp(Handle),
    /// A part of what stands behind it.
    Gateway(Handle, Piece),
    /// A name in an account.
    Record(RecordKey),
}

/// An ordered list of steps, and what cannot be planned yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The instance id that every write carries.
    pub owner: Owner,
    /// What to do, in an order in which every prefix is safe.
    pub steps: Vec<Step>,
    /// What waits for something.
    pub blocked: Vec<Blocked>,
    /// What differs from the configuration and is left as it is.
    pub notes: Vec<Note>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// The endpoint that it belongs to: the unit that stops at its first failure. `None` for a withdrawn stray.
    pub endpoint: Option<Handle>,
    /// The steps, by position in the plan, that must have succeeded before.
    pub after: Vec<usize>,
    /// Why, in a few words.
    pub reason: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Writes the public IP of an endpoint.
    Network(Box<NetworkChange>),
    /// Writes one part of what stands behind it.
    Gateway(Box<GatewayChange>),
    /// Writes one name in one account.
    Record(RecordChange),
    /// Waits until what a name said before is gone from every authoritative server and from every cache.
    Settle(Settle),
}

/// A change to an endpoint's public IP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkChange {
    /// The endpoint.
    pub endpoint: Handle,
    /// What is wanted.
    pub spec: PublicIpSpec,
    /// What is held, with the version that the write depends on; `None` creates.
    pub held: Option<PublicIp>,
    /// Whether it is deleted.
    pub delete: bool,
}

/// A change to one name in one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// The name and the account.
    pub key: RecordKey,
    /// What is replaced or withdrawn, with the versions that the write depends on; empty creates.
    pub before: Vec<RecordSet>,
    /// What shall stand there; `None` withdraws.
    pub after: Option<Content>,
}

/// The wait between a name's leaving a label and the label's release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// The name that leaves.
    pub key: RecordKey,
    /// The types to ask for, so that what it said before shows wherever it is still served.
    pub shows_as: BTreeSet<RecordType>,
    /// What every authoritative server shall answer with; `None` for nothing, since the name was withdrawn.
    pub instead: Option<Content>,
    /// How long a cache may still give the old answer, once no authoritative server does.
    pub ttl: Ttl,
}

/// A piece of work that cannot be planned yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blocked {
    /// What waits.
    pub subject: Subject,
    /// For what, in a phrase.
    pub waits_for: String,
    /// Whether that is something this very round brings about, rather than somebody else.
    pub ours: bool,
}

/// Something that differs and is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// What differs.
    pub subject: Subject,
    /// How, in a sentence.
    pub text: String,
}

/// The verb of a change, as in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Makes what is missing.
    Create,
    /// Changes what is there.
    Update,
    /// Takes away what is there.
    Delete,
}

impl NetworkChange {
    /// What it does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match (&self.held, self.delete) {
            (_, true) => Verb::Delete,
            (None, false) => Verb::Create,
            (Some(_), false) => Verb::Update,
        }
    }

    /// The public IP whose label nobody holds any more once this is done: one that is deleted or renamed.
    #[must_use]
    pub fn releases(&self) -> Option<&PublicIp> {
        let held = self.held.as_ref()?;
        let label = held.label.as_ref()?;
        (self.delete || *label != self.spec.label).then_some(held)
    }
}

impl RecordChange {
    /// What it does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match (self.before.is_empty(), &self.after) {
            (_, None) => Verb::Delete,
            (true, Some(_)) => Verb::Create,
            (false, Some(_)) => Verb::Update,
        }
    }
}

impl Step {
    /// What it concerns.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match &self.action {
            Action::Network(change) => Subject::PublicIp(change.endpoint.clone()),
            Action::Gateway(change) => Subject::Gateway(change.endpoint.clone(), change.piece()),
            Action::Record(change) => Subject::Record(change.key.clone()),
            Action::Settle(settle) => Subject::Record(settle.key.clone()),
        }
    }

    /// What it does; `None` for a wait.
    #[must_use]
    pub fn verb(&self) -> Option<Verb> {
        match &self.action {
            Action::Network(change) => Some(change.verb()),
            Action::Gateway(change) => Some(change.verb()),
            Action::Record(change) => Some(change.verb()),
            Action::Settle(_) => None,
        }
    }

    /// Whether it writes a name of `keys`.
    pub(super) fn is_about(&self, keys: &BTreeSet<RecordKey>) -> bool {
        matches!(&self.action, Action::Record(change) if keys.contains(&change.key))
    }
}

impl Plan {
    /// Whether there is nothing to do and nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.blocked.is_empty()
    }

    /// Whether both note the same, in whatever order.
    #[must_use]
    pub fn notes_as(&self, other: &Self) -> bool {
        let notes = |plan: &Self| {
            let mut notes = plan.notes.clone();
            notes.sort();
            notes
        };
        notes(self) == notes(other)
    }
}
