//! The network's documents at one moment, and what can be read from several of them together: who is in a pool, which
//! rules lead to whom.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::super::arm::Id;
use super::{children, reference, references};
use crate::sandbox::world::World;

/// Documents by lower-case id.
pub(crate) struct Documents<'w>(BTreeMap<String, (&'w Id, &'w Map<String, Value>)>);

/// An interface's IP configuration.
#[derive(Clone, Copy)]
pub(crate) struct Configuration<'w> {
    pub(crate) nic: &'w Id,
    pub(crate) name: &'w str,
    pub(crate) properties: &'w Value,
}

/// A rule of a load balancer that leads to an IP configuration.
pub(super) struct Leading<'w> {
    pub(super) balancer: &'w Id,
    pub(super) id: String,
    pub(super) rule: &'w Value,
}

impl Configuration<'_> {
    /// `…/networkInterfaces/{nic}/ipConfigurations/{name}`.
    pub(crate) fn id(&self) -> Id {
        Id::new(format!("{}/ipConfigurations/{}", self.nic, self.name))
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.properties.get("privateIPAddress")?.as_str()?.parse().ok()
    }
}

impl<'w> Documents<'w> {
    /// As the last operations that succeeded left them: what packets meet.
    pub(crate) fn in_force(world: &'w World) -> Self {
        Self(world.azure.network.iter().map(|(key, r)| (key.clone(), (&r.id, &r.in_force))).collect())
    }

    /// As they are written, with one of them as it is about to be.
    pub(super) fn draft(world: &'w World, id: &'w Id, document: &'w Map<String, Value>) -> Self {
        let written = world.azure.network.iter().map(|(key, r)| (key.clone(), (&r.id, &r.document)));
        let mut all: BTreeMap<_, _> = written.collect();
        all.insert(id.key(), (id, document));
        Self(all)
    }

    pub(crate) fn get(&self, id: &Id) -> Option<&'w Map<String, Value>> {
        self.0.get(&id.key()).map(|(_, document)| *document)
    }

    /// The properties of an entry such as `…/virtualNetworks/{vnet}/subnets/{subnet}`.
    pub(crate) fn entry(&self, id: &Id) -> Option<&'w Value> {
        let (owner, collection, name) = split(id)?;
        let mut found = children::entries(self.get(&owner)?, children::spelled(&collection)?);
        found.find(|(at, _)| at.eq_ignore_ascii_case(&name)).map(|(_, properties)| properties)
    }

    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = (&'w Id, &'w Map<String, Value>)> {
        let marker = format!("/providers/microsoft.network/{}/", kind.to_ascii_lowercase());
        self.0.iter().filter(move |(key, _)| key.contains(&marker)).map(|(_, found)| *found)
    }

    /// Every IP configuration of every interface.
    pub(crate) fn configurations(&self) -> impl Iterator<Item = Configuration<'w>> {
        self.of_kind("networkInterfaces").flat_map(|(nic, document)| {
            children::entries(document, "ipConfigurations").map(move |(name, properties)| Configuration {
                nic,
                name,
                properties,
            })
        })
    }

    /// Who is in a pool: the configurations that refer to it, and those whose addresses it lists.
    pub(crate) fn members(&self, pool: &Id) -> Vec<Configuration<'w>> {
        let listed: Vec<IpAddr> = self.entry(pool).into_iter().flat_map(addresses).collect();
        let is_member = |configuration: &Configuration<'_>| {
            references(configuration.properties, "loadBalancerBackendAddressPools").any(|id| id == *pool)
                || configuration.address().is_some_and(|address| listed.contains(&address))
        };
        self.configurations().filter(is_member).collect()
    }

    /// Every rule, of whatever kind, that leads to an IP configuration.
    pub(super) fn leading_to(&self, configuration: &Configuration<'w>) -> Vec<Leading<'w>> {
        let named: Vec<Id> = references(configuration.properties, "loadBalancerInboundNatRules").collect();
        let mut found = Vec::new();
        for (balancer, document) in self.of_kind("loadBalancers") {
            let is_in = |pool: &Id| self.members(pool).iter().any(|member| member.id() == configuration.id());
            for collection in ["inboundNatRules", "loadBalancingRules"] {
                for (name, rule) in children::entries(document, collection) {
                    let id = format!("{balancer}/{collection}/{name}");
                    if pools(rule).any(|pool| is_in(&pool)) || named.contains(&Id::new(id.clone())) {
                        found.push(Leading { balancer, id, rule });
                    }
                }
            }
        }
        found
    }

    /// The load balancers that an IP configuration takes part in.
    pub(super) fn balancers_of(&self, configuration: &Configuration<'w>) -> Vec<&'w Id> {
        let refers = ["loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"];
        let owners: Vec<Id> = refers
            .iter()
            .flat_map(|key| references(configuration.properties, key))
            .filter_map(|id| split(&id).map(|(owner, _, _)| owner))
            .collect();
        self.of_kind("loadBalancers").map(|(id, _)| id).filter(|id| owners.contains(id)).collect()
    }

    /// Whether a load balancer's frontends are public; `None` where it has none.
    pub(super) fn is_public(&self, balancer: &Id) -> Option<bool> {
        let document = self.get(balancer)?;
        let (_, first) = children::entries(document, "frontendIPConfigurations").next()?;
        Some(reference(first, "subnet").is_none())
    }
}

/// The pools that a rule leads to.
pub(super) fn pools(rule: &Value) -> impl Iterator<Item = Id> {
    reference(rule, "backendAddressPool").into_iter().chain(references(rule, "backendAddressPools"))
}

/// `{owner}/{collection}/{name}` in its three parts.
pub(crate) fn split(id: &Id) -> Option<(Id, String, String)> {
    let mut parts = id.as_str().rsplitn(3, '/');
    let (name, collection, owner) = (parts.next()?, parts.next()?, parts.next()?);
    Some((Id::new(owner), collection.to_owned(), name.to_owned()))
}

/// The addresses that a pool lists by hand.
fn addresses(pool: &Value) -> impl Iterator<Item = IpAddr> {
    let listed = pool.get("loadBalancerBackendAddresses").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(|one| one.get("properties")?.get("ipAddress")?.as_str()?.parse().ok())
}
