//! The port to DNS itself: what name servers say, server by server.

pub mod hickory;

use std::fmt;
use std::time::Duration;

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
    /// Every one of these authoritative servers, without recursion and without a cache: `name`, `name:port`, `ip` or
    /// `ip:port`. A name stands for all of its addresses.
    Servers(Vec<String>),
    /// Every authoritative server of the zone that holds the name, found by following the delegations to it.
    Authority,
    /// Each of the configured resolvers, with recursion: what the rest of the world sees.
    ///
    /// Asking makes a resolver remember: a name that does not exist yet is then absent there for the negative TTL, so
    /// authoritative servers are asked first (RFC 2308, 5).
    Recursive,
}

/// Asks who serves a zone, for a diagnosis. Safe to call concurrently; cancel-safe; bounded in time.
#[async_trait]
pub trait Survey: Send + Sync + fmt::Debug {
    /// Which name servers each of the configured resolvers names for `zone`; one answer for every resolver.
    ///
    /// A resolver finds them by following the delegation from above, so that whoever is named is who the world asks.
    async fn name_servers(&self, zone: &Fqdn) -> Vec<Heard>;

    /// Which name servers the zone above delegates `zone` to, by its own servers' word; `None` where they could not
    /// be asked.
    async fn delegated_to(&self, zone: &Fqdn) -> Option<Vec<String>>;
}

/// What one resolver said, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The resolver.
    pub server: String,
    /// The names of the servers, lower case, without a dot at the end, in order; empty where there is no such zone.
    /// Or why there is no answer.
    pub said: Result<Vec<String>, String>,
    /// How long it took.
    pub took: Duration,
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
