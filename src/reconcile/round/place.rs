//! What a line of a round concerns, in words.

use super::SubjectKind;
use crate::model::endpoint::Handle;

impl SubjectKind {
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
