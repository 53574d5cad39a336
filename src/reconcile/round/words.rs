//! What reports are made of, in the words of people and of JSON.

use std::fmt;

use super::{ChangeOutcome, ChangeReport, Outcome, SubjectKind};
use crate::model::endpoint::Handle;

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

    /// The kind in words: `load balancer`.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::PublicIp => "public IP",
            Self::LoadBalancer => "load balancer",
            Self::NatRule => "NAT rule",
            Self::NetworkSecurityGroup => "security group",
            Self::NsgRule => "security rule",
            Self::NetworkInterface => "network interface",
        }
    }

    /// What is meant by `name`, which is an endpoint's for a public IP, and a resource's or a record's else.
    #[must_use]
    pub fn place(self, name: &str, account: Option<&Handle>) -> String {
        match (self, account) {
            (Self::Record, Some(account)) => format!("{name} in {account}"),
            (Self::Record, None) => name.to_owned(),
            (Self::PublicIp, _) => format!("public IP of {name}"),
            _ => format!("{} {name}", self.words()),
        }
    }
}

impl Outcome {
    /// As JSON writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Unverified => "unverified",
            Self::Pending => "pending",
            Self::Changed => "changed",
            Self::InSync => "in-sync",
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

/// What is done to what: `create jump.example.com in cf`.
impl fmt::Display for ChangeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.kind.place(&self.name, self.account.as_ref()))
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
