//! What was changed and what happened: the memory of the service and of the commands.
//!
//! An entry is written once, after the fact, and never changed but for one thing: how long it took until everybody
//! said so. The journal is no source of truth for a round, which looks at the world itself; losing it loses the past
//! and nothing else.

mod error;
mod file;
mod lock;
mod sqlite;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::model::endpoint::Handle;
use crate::model::moment;
use crate::model::plan::{RecordChange, Verb};
use crate::model::sight::Happening;

pub use error::{JournalError, Trouble};
pub use file::Mended;
pub use lock::{Holder, Lock, Locked};
pub use sqlite::{Filter, Journal, LONGEST, MOST_ENTRIES};

/// One thing that was done or that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// Its number, in the order of writing.
    pub id: i64,
    /// When, in UTC.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// Who has said so since, and how long after: an account's authoritative servers, or the resolvers.
    pub agreed: Vec<Agreed>,
}

impl Entry {
    /// Without what only an undo needs, which is no part of what is shown.
    #[must_use]
    pub fn for_show(mut self) -> Self {
        if let What::Change(change) = &mut self.what {
            change.record = None;
        }
        self
    }
}

/// See [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "entry", rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "one at a time: most are changes, and few are kept")]
pub enum What {
    /// Something was written, or may have been.
    Change(Change),
    /// Something happened to an endpoint.
    Happening {
        /// The endpoint.
        endpoint: Handle,
        /// What.
        #[serde(flatten)]
        happening: Happening,
        /// How it was noticed.
        noticed: Noticed,
    },
}

/// How something was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Noticed {
    /// The first look after the service began: it happened while nobody watched.
    Start,
    /// The label gave another address at its authoritative servers, and Azure was asked.
    Label,
    /// A full round read it.
    Round,
}

impl Noticed {
    /// As JSON writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Label => "label",
            Self::Round => "round",
        }
    }

    /// By what, in a phrase.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Start => "the first look after the service began",
            Self::Label => "looking its label up",
            Self::Round => "a full round",
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The kind of thing, as in a round's JSON.
    pub kind: String,
    /// The record's name, or the resource's.
    pub name: String,
    /// The account, for a record.
    pub account: Option<Handle>,
    /// The endpoint, for its public IP and for what stands behind that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Handle>,
    /// What was done to it.
    pub verb: Verb,
    /// What came of it, as in a round's JSON: `applied`, `unconfirmed`, `failed`.
    pub outcome: String,
    /// What stood there.
    pub before: Option<String>,
    /// What shall stand there.
    pub after: Option<String>,
    /// Why.
    pub reason: String,
    /// What went wrong, as a whole chain.
    pub error: Option<String>,
    /// The services' ids of the requests that wrote it.
    pub requests: Vec<String>,
    /// The change itself, for a record: what [`undo`](Change) needs to put it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub record: Option<RecordChange>,
}

/// See [`Entry::agreed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agreed {
    /// Who: an account's name, or `resolvers`.
    pub who: String,
    /// How long after it was noticed, in milliseconds.
    #[serde(rename = "after_ms", with = "milliseconds")]
    #[schemars(with = "u64")]
    pub after: Duration,
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(after: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(deserializer)?))
    }
}
