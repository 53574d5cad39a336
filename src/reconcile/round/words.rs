//! What reports are made of, in the words of people and of JSON.

use std::fmt;

use super::{ChangeOutcome, SubjectKind};

impl SubjectKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::PublicIp,
        Self::LoadBalancer,
        Self::NatRule,
        Self::NetworkSecurityGroup,
        Self::NsgRule,
        Self::NetworkInterface,
        Self::Record,
    ];

    /// As JSON writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PublicIp => "public-ip",
            Self::LoadBalancer => "load-balancer",
            Self::NatRule => "nat-rule",
            Self::NetworkSecurityGroup => "network-security-group",
            Self::NsgRule => "nsg-rule",
            Self::NetworkInterface => "network-interface",
            Self::Record => "record",
        }
    }
}

impl ChangeOutcome {
    /// As JSON writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Applied => "applied",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

impl fmt::Display for ChangeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Planned => "planned",
            Self::Applied => "done",
            Self::Failed => "failed",
            Self::Skipped => "not begun",
            Self::Unconfirmed => "could not confirm",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_json() {
        use ChangeOutcome::{Applied, Failed, Planned, Skipped, Unconfirmed};
        for outcome in [Planned, Applied, Failed, Skipped, Unconfirmed] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        for kind in SubjectKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
