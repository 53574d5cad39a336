//! The port to whoever wants to be told, and what they are told.
//!
//! Contract of every notifier: safe to call concurrently, cancel-safe, bounded in time, and never a reason to stop
//! the work: one that fails is told of like any other trouble.

pub mod address;
pub mod command;
pub mod desk;
mod digest;
pub mod heartbeat;
mod hook;
pub mod ledger;
pub mod mute;
pub mod slack;
pub mod teams;
mod text;
pub mod webhook;
pub mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::model::endpoint::Handle;
use crate::model::moment;

/// Something worth telling, rendered by each notifier in its own way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// When, in UTC.
    #[serde(serialize_with = "moment::serialize")]
    pub at: OffsetDateTime,
    /// What it is about, for those who select.
    pub topic: Topic,
    /// The instance that tells it: the owner in our marks.
    pub owner: String,
    /// The endpoint, the record or the notifier that it concerns; empty for the service as a whole.
    pub subject: String,
    /// One line, without a full stop.
    pub title: String,
    /// What stood there.
    pub before: Option<String>,
    /// What stands there now.
    pub after: Option<String>,
    /// More lines, each a sentence of its own.
    pub details: Vec<String>,
    /// The operator's next step, where there is one.
    pub next_step: Option<String>,
    /// How often the same was noticed and not told since it was told last.
    pub repeats: u32,
    /// Of a trouble that rounds find, everything that it is about, as [`words::unsettled()`] calls it: it is over once none
    /// of that is unsettled. Told to nobody.
    #[serde(skip)]
    pub of: BTreeSet<String>,
}

/// What a notice is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Topic {
    /// An endpoint's address or label: released, assigned, changed, re-created, moved, taken.
    Address,
    /// Something was written.
    Change,
    /// A round failed, wholly or in part.
    Failure,
    /// A guard refused something.
    Refusal,
    /// Name servers do not say what they should, or a port does not answer.
    Unverified,
    /// What had failed, was refused or was unverified is well again.
    Recovery,
    /// What does not work about the service itself: a configuration was not taken, the journal cannot be written or was
    /// damaged, a secret could not be read anew, a notifier is dead. And that it works again.
    Service,
    /// `cnamed notify test`.
    Test,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Address,
        Self::Change,
        Self::Failure,
        Self::Refusal,
        Self::Unverified,
        Self::Recovery,
        Self::Service,
        Self::Test,
    ];

    /// As JSON and the configuration write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Change => "change",
            Self::Failure => "failure",
            Self::Refusal => "refusal",
            Self::Unverified => "unverified",
            Self::Recovery => "recovery",
            Self::Service => "service",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a notice did not arrive: one line, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Undelivered {
    /// What is known of the notice.
    pub fate: Fate,
    /// What went wrong, ending in the operator's next step where there is one.
    pub reason: String,
}

/// What is known of a notice that was not seen to arrive, which decides whether it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It did not arrive, and may later: after this long at the earliest, where the service said so.
    Later(Option<Duration>),
    /// It may have arrived. It is not sent again: an alarm that comes twice is soon one that nobody reads.
    Lost,
    /// It did not arrive, and never will as things stand.
    Refused,
}

impl Undelivered {
    /// It may arrive later.
    pub fn later(reason: impl Into<String>) -> Self {
        Self { fate: Fate::Later(None), reason: reason.into() }
    }

    /// It may have arrived.
    pub fn lost(reason: impl Into<String>) -> Self {
        Self { fate: Fate::Lost, reason: reason.into() }
    }

    /// It never will.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self { fate: Fate::Refused, reason: reason.into() }
    }
}

/// Who listens, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The notifier's name in the configuration.
    pub name: Handle,
    /// What it wants to hear of.
    pub topics: BTreeSet<Topic>,
}

impl Subscription {
    /// Whether `topic` is one of them; a test is for everybody.
    #[must_use]
    pub fn wants(&self, topic: Topic) -> bool {
        topic == Topic::Test || self.topics.contains(&topic)
    }
}

/// Somebody who wants to be told.
#[async_trait]
pub trait Notifier: Send + Sync + fmt::Debug {
    /// Its name in the configuration.
    fn name(&self) -> &Handle;

    /// Whether it wants to hear of `topic`.
    fn wants(&self, topic: Topic) -> bool;

    /// Tells it.
    ///
    /// # Errors
    /// When it did not arrive.
    async fn tell(&self, notice: &Notice) -> Result<(), Undelivered>;

    /// Whether it is one that waits for a sign of life (a dead man's switch).
    fn listens_for_a_pulse(&self) -> bool {
        false
    }

    /// Tells it how a round began or ended, where it is one that waits for that.
    ///
    /// # Errors
    /// When it did not arrive.
    async fn pulse(&self, _pulse: &Pulse) -> Result<(), Undelivered> {
        Ok(())
    }
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// A round begins.
    Begun,
    /// A round ended as it should.
    Well,
    /// A round ended otherwise, in one line.
    Ill(String),
}
