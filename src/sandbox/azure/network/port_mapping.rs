//! Inbound NAT rules, version 2: each member of the pool has a port of the rule's range, and keeps it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::arm::{self, Id};
use super::super::authority::Principal;
use super::super::operation::{self, Effect};
use super::super::resource::{self, body};
use super::children;
use super::documents::{Configuration, Documents, pools};
use super::load_balancer::rule::frontend_ports;
use super::reference;
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::World;

/// Frontend ports by the lower-case ids of the rule and of the member.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortMappings(BTreeMap<(String, String), u16>);

impl PortMappings {
    /// The port of a rule's range that a member has.
    pub(crate) fn port(&self, rule: &Id, member: &Id) -> Option<u16> {
        self.0.get(&(rule.key(), member.key())).copied()
    }

    /// Follows what is in force: members that left give their ports back, new ones get the lowest that is free.
    pub(super) fn follow(&mut self, documents: &Documents<'_>) {
        let mut now = BTreeMap::new();
        for (balancer, document) in documents.of_kind("loadBalancers") {
            for (name, rule) in children::entries(document, "inboundNatRules") {
                let (Some(pool), Some(range)) = (pools(rule).next(), frontend_ports(rule)) else { continue };
                let rule = Id::new(format!("{balancer}/inboundNatRules/{name}"));
                let members: Vec<Id> = documents.members(&pool).iter().map(Configuration::id).collect();
                let kept: BTreeMap<String, u16> = members
                    .iter()
                    .filter_map(|member| Some((member.key(), self.port(&rule, member)?)))
                    .filter(|(_, port)| range.contains(port))
                    .collect();
                let held: BTreeSet<u16> = kept.values().copied().collect();
                let mut free = range.filter(|port| !held.contains(port));
                for member in members {
                    let port = kept.get(&member.key()).copied().or_else(|| free.next());
                    now.extend(port.map(|port| ((rule.key(), member.key()), port)));
                }
            }
        }
        self.0 = now;
    }
}

/// `POST …/backendAddressPools/{pool}/queryInboundNatRulePortMapping` (`LoadBalancers_ListInboundNatRulePortMappings`): the
/// rules of one member, as a long-running operation.
pub(super) fn query(world: &mut World, principal: &Principal, request: &Request, pool: &Id) -> Response {
    try_query(world, principal, request, pool).unwrap_or_else(|refusal| refusal)
}

fn try_query(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    pool: &Id,
) -> Result<Response, Response> {
    let action = "Microsoft.Network/loadBalancers/backendAddressPools/queryInboundNatRulePortMapping/action";
    arm::authorize(principal, action, pool.as_str())?;
    super::super::group::exists(world, pool.group())?;
    let (balancer, _, name) = super::documents::split(pool).ok_or_else(|| Response::empty(404))?;
    let found = world.azure.network.get(&balancer.key());
    let held = found.ok_or_else(|| resource::not_found(&balancer, &super::load_balancer::KIND))?;
    let location = held.location().to_owned();
    if !children::entries(&held.document, "backendAddressPools").any(|(at, _)| at.eq_ignore_ascii_case(&name))
    {
        return Err(children::missing(&balancer, "backendAddressPools", &name));
    }
    let asked = Value::Object(body(request)?);
    let configuration = reference(&asked, "ipConfiguration");
    let address = asked.get("ipAddress").and_then(Value::as_str);
    if configuration.is_some() == address.is_some() {
        let message = "Exactly one of ipConfiguration and ipAddress must be given to query the port mappings of a \
                       backend address.";
        return Err(arm::error(400, "InvalidQueryInboundNatRulePortMappingRequest", message));
    }
    let documents = Documents::in_force(world);
    let is_meant = |member: &Configuration<'_>| match (&configuration, address) {
        (Some(id), _) => member.id() == *id,
        (None, address) => member.address().map(|own| own.to_string()).as_deref() == address,
    };
    let members = documents.members(pool);
    let mappings: Vec<Value> = match members.iter().find(|member| is_meant(member)) {
        Some(member) => {
            of_member(world, &documents, pool, &member.id()).map(|(_, mapping)| mapping).collect()
        }
        None => Vec::new(),
    };
    let answer = json!({"inboundNatRulePortMappings": mappings});
    // The document gives the early answer a body; what it says counts only at the end.
    let accepted = Response::json(202, json!({}));
    Ok(operation::start(world, pool, "Microsoft.Network", &location, Effect::Answer(answer), accepted))
}

/// The mappings of one member of a pool, by the rule's name and as the service shows them.
pub(super) fn of_member<'w>(
    world: &World,
    documents: &Documents<'w>,
    pool: &Id,
    member: &Id,
) -> impl Iterator<Item = (&'w str, Value)> {
    let balancer = super::documents::split(pool).map(|(balancer, _, _)| balancer);
    let document = balancer.as_ref().and_then(|balancer| documents.get(balancer));
    let rules = document.into_iter().flat_map(|document| children::entries(document, "inboundNatRules"));
    rules.filter(|(_, rule)| pools(rule).any(|to| to == *pool)).filter_map(move |(name, rule)| {
        let id = Id::new(format!("{}/inboundNatRules/{name}", balancer.as_ref()?));
        let port = world.azure.ports.port(&id, member)?;
        Some((
            name,
            json!({
                "inboundNatRuleName": name,
                "protocol": rule.get("protocol"),
                "frontendPort": port,
                "backendPort": rule.get("backendPort"),
            }),
        ))
    })
}
