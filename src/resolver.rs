//! The port to DNS itself: what name servers say, server by server.

pub mod hickory;

use std::fmt;

use async_trait::async_trait;

use crate::model::name::Fqdn;
use crate::model::record::RecordType;
use crate::model::verify::Answer;

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name.
    pub name: Fqdn,
    /// The type.
    pub rtype: RecordType,
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Every one of these authoritative servers, without recursion and without a cache: names, or `ip:port`.
    Servers(Vec<String>),
    /// Every authoritative server of the zone that holds the name, found by asking for its NS records.
    Authority,
    /// Each of the configured resolvers, with recursion: what the rest of the world sees.
    Recursive,
}

/// Asks name servers.
///
/// Contract: one answer for every server that was to be asked, also for one that did not answer; never an error
/// in place of an answer, since silence is a finding. Safe to call concurrently; cancel-safe; bounded in time.
#[async_trait]
pub trait Resolver: Send + Sync + fmt::Debug {
    /// What every server says. An empty list means that no server is known.
    async fn lookup(&self, question: &Question, via: &Via) -> Vec<Answer>;
}
