//! What a diagnosis found out, check by check.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One question and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was asked about.
    pub topic: Topic,
    /// Of whom or what: an account, a scope, a zone, a server.
    pub subject: String,
    /// What came of it.
    pub health: Health,
    /// What was seen, in one line.
    pub detail: String,
    /// What the operator does next, where something is to be done.
    pub next_step: Option<String>,
}

/// What is asked about, in the order in which it is told: what stands first is the cause of much that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A credential: whether there is one, whose it is, until when.
    Credential,
    /// What a credential may do at a scope.
    Permissions,
    /// Whether a service's clock and this host's agree.
    Clock,
    /// Whether an account holds a zone, and its records can be read.
    Zone,
    /// Whether the world is led to a zone's servers.
    Delegation,
    /// Whether a configured resolver answers.
    Resolver,
    /// Whether an endpoint's label gives its address at its own servers.
    Label,
    /// Whether a table of failed logons can be asked.
    Logons,
    /// The directory that the service keeps its journal in.
    State,
    /// The address that the service listens on.
    Listen,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// It works, and may not for long or not for all.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be asked, so nobody knows.
    NotAsked,
}

/// What all checks come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Everything was asked, and nothing failed.
    Well,
    /// Nothing failed, and something could not be asked.
    Partial,
    /// Something failed.
    Failed,
}

impl Check {
    /// A check that ended in `health`.
    pub fn new(topic: Topic, subject: impl fmt::Display, health: Health, detail: impl Into<String>) -> Self {
        Self { topic, subject: subject.to_string(), health, detail: detail.into(), next_step: None }
    }

    /// With the operator's next step, a sentence without a full stop.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next_step = Some(step.into());
        self
    }
}

/// What `checks` come to. A warning stands beside whatever else there is.
#[must_use]
pub fn conclude(checks: &[Check]) -> Conclusion {
    let any = |health| checks.iter().any(|check| check.health == health);
    match (any(Health::Failed), any(Health::NotAsked)) {
        (true, _) => Conclusion::Failed,
        (false, true) => Conclusion::Partial,
        (false, false) => Conclusion::Well,
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Credential => "credential",
            Self::Permissions => "permissions",
            Self::Clock => "clock",
            Self::Zone => "zone",
            Self::Delegation => "delegation",
            Self::Resolver => "resolver",
            Self::Label => "label",
            Self::Logons => "logons",
            Self::State => "state",
            Self::Listen => "listen",
        })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotAsked => "not asked",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_asked_is_never_well() {
        let checks = |healths: &[Health]| -> Vec<Check> {
            healths.iter().map(|health| Check::new(Topic::Zone, "z", *health, "")).collect()
        };
        assert_eq!(conclude(&checks(&[Health::Ok, Health::Warning])), Conclusion::Well);
        assert_eq!(conclude(&checks(&[Health::Ok, Health::NotAsked])), Conclusion::Partial);
        assert_eq!(conclude(&checks(&[Health::NotAsked, Health::Failed])), Conclusion::Failed);
    }
}
