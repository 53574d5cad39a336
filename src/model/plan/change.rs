//! A change to one part of an endpoint's gateway.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Verb;
use crate::model::endpoint::Handle;
use crate::model::gateway::{
    Frontend, HeldNatRule, LoadBalancer, NetworkInterface, SecurityGroup, SecurityRule, same_name,
};
use crate::model::resource_id::ResourceId;

/// A change to one part of an endpoint's gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayChange {
    /// The endpoint.
    pub endpoint: Handle,
    /// What is changed, and into what.
    pub part: Part,
}

/// One part of a gateway, as it is and as it shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The load balancer with its frontends and pools.
    LoadBalancer(LoadBalancerChange),
    /// One of its inbound NAT rules.
    NatRule(NatRuleChange),
    /// A network security group as such.
    SecurityGroup(SecurityGroupChange),
    /// A rule in a network security group.
    SecurityRule(SecurityRuleChange),
    /// A network interface's membership in pools, and its security group.
    Interface(InterfaceChange),
}

/// See [`Part::LoadBalancer`]. What is not named stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancerChange {
    /// The load balancer.
    pub id: ResourceId,
    /// The region that it is made in.
    pub location: String,
    /// What is held; `None` creates.
    pub held: Option<Box<LoadBalancer>>,
    /// Whether it is deleted whole.
    pub delete: bool,
    /// The frontends that shall be there, so.
    pub frontends: Vec<Frontend>,
    /// The pools that shall be there.
    pub pools: Vec<String>,
    /// The frontends that shall go.
    pub without_frontends: Vec<String>,
    /// The pools that shall go.
    pub without_pools: Vec<String>,
}

impl LoadBalancerChange {
    /// Whether every frontend that shall be there leads, in `present`, where it was seen to or where it shall.
    #[must_use]
    pub fn meets(&self, present: &LoadBalancer) -> bool {
        let named = |balancer: &LoadBalancer, name: &str| {
            balancer.frontends.iter().find(|one| same_name(&one.name, name)).cloned()
        };
        self.frontends.iter().all(|wanted| {
            let is = named(present, &wanted.name);
            is.as_ref() == Some(wanted) || is == self.held.as_ref().and_then(|held| named(held, &wanted.name))
        })
    }
}

/// See [`Part::NatRule`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatRuleChange {
    /// The load balancer.
    pub load_balancer: ResourceId,
    /// What is held; `None` creates.
    pub held: Option<HeldNatRule>,
    /// What shall be; `None` deletes.
    pub wanted: Option<HeldNatRule>,
}

/// See [`Part::SecurityGroup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupChange {
    /// The group.
    pub id: ResourceId,
    /// The region that it is made in.
    pub location: String,
    /// What is held, to be deleted; `None` creates.
    pub held: Option<SecurityGroup>,
}

/// See [`Part::SecurityRule`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityRuleChange {
    /// The group.
    pub group: ResourceId,
    /// What is held; `None` creates.
    pub held: Option<SecurityRule>,
    /// What shall be; `None` deletes.
    pub wanted: Option<SecurityRule>,
}

/// See [`Part::Interface`]. What is not named stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceChange {
    /// What is held.
    pub held: NetworkInterface,
    /// The pools that its primary configuration joins.
    pub join: BTreeSet<ResourceId>,
    /// The pools that it leaves.
    pub leave: BTreeSet<ResourceId>,
    /// What becomes of its security group.
    pub group: GroupChange,
}

/// What becomes of a network interface's security group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupChange {
    /// It stays, or stays away.
    #[default]
    Kept,
    /// It gets this one, and had none.
    Set(ResourceId),
    /// It loses the one that it has.
    Cleared,
}

impl GatewayChange {
    /// What it does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        fn of<T, U>(held: Option<&T>, wanted: Option<&U>) -> Verb {
            match (held, wanted) {
                (_, None) => Verb::Delete,
                (None, Some(_)) => Verb::Create,
                (Some(_), Some(_)) => Verb::Update,
            }
        }
        match &self.part {
            Part::LoadBalancer(change) => of(change.held.as_ref(), (!change.delete).then_some(&())),
            Part::NatRule(change) => of(change.held.as_ref(), change.wanted.as_ref()),
            Part::SecurityGroup(change) => of(None::<&()>, change.held.is_none().then_some(&())),
            Part::SecurityRule(change) => of(change.held.as_ref(), change.wanted.as_ref()),
            Part::Interface(_) => Verb::Update,
        }
    }

    /// The resource that is written, whole or in part.
    #[must_use]
    pub fn whole(&self) -> &ResourceId {
        match &self.part {
            Part::LoadBalancer(change) => &change.id,
            Part::NatRule(change) => &change.load_balancer,
            Part::SecurityGroup(change) => &change.id,
            Part::SecurityRule(change) => &change.group,
            Part::Interface(change) => &change.held.id,
        }
    }

    /// What it concerns.
    #[must_use]
    pub fn piece(&self) -> Piece {
        match &self.part {
            Part::LoadBalancer(change) => Piece::LoadBalancer(change.id.name().to_owned()),
            Part::NatRule(NatRuleChange { held, wanted, .. }) => {
                let rule = wanted.as_ref().or(held.as_ref());
                Piece::NatRule(rule.map(|rule| rule.name.clone()).unwrap_or_default())
            }
            Part::SecurityGroup(change) => Piece::SecurityGroup(change.id.name().to_owned()),
            Part::SecurityRule(SecurityRuleChange { held, wanted, .. }) => {
                let rule = wanted.as_ref().or(held.as_ref());
                Piece::SecurityRule(rule.map(|rule| rule.name.clone()).unwrap_or_default())
            }
            Part::Interface(change) => Piece::Interface(change.held.id.name().to_owned()),
        }
    }
}

/// A part of a gateway, by its name in Azure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// The load balancer.
    LoadBalancer(String),
    /// An inbound NAT rule.
    NatRule(String),
    /// A network security group.
    SecurityGroup(String),
    /// A rule of a network security group.
    SecurityRule(String),
    /// A network interface.
    Interface(String),
}
