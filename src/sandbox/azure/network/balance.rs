//! What holds between load balancers and the interfaces behind them, asked from both sides: whichever of the two is
//! written last is refused.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::arm::{self, Id};
use super::super::resource::sku;
use super::children;
use super::documents::{Configuration, Documents, pools};
use super::load_balancer::rule::frontend_ports;
use super::reference;
use crate::sandbox::exchange::Response;

/// After a load balancer was written: its own ranges, and every interface that takes part in it.
pub(super) fn of_balancer(documents: &Documents<'_>, balancer: &Id) -> Result<(), Response> {
    enough_ports(documents, balancer)?;
    let takes_part = |one: &Configuration<'_>| documents.balancers_of(one).contains(&balancer);
    let nics: BTreeSet<String> =
        documents.configurations().filter(takes_part).map(|one| one.nic.to_string()).collect();
    nics.iter().try_for_each(|nic| of_nic(documents, &Id::new(nic.clone())))
}

/// After an interface was written: itself, and the ranges of every load balancer that it takes part in.
pub(super) fn of_interface(documents: &Documents<'_>, nic: &Id) -> Result<(), Response> {
    of_nic(documents, nic)?;
    let own = documents.configurations().filter(|one| one.nic == nic);
    let balancers: BTreeSet<String> =
        own.flat_map(|one| documents.balancers_of(&one)).map(Id::to_string).collect();
    balancers.iter().try_for_each(|balancer| enough_ports(documents, &Id::new(balancer.clone())))
}

/// Each member of a pool needs a port of its own in every range that leads to the pool; a pool cannot grow beyond
/// that ("Inbound NAT rules", Azure Load Balancer).
fn enough_ports(documents: &Documents<'_>, balancer: &Id) -> Result<(), Response> {
    let Some(document) = documents.get(balancer) else { return Ok(()) };
    for (name, rule) in children::entries(document, "inboundNatRules") {
        let (Some(pool), Some(range)) = (pools(rule).next(), frontend_ports(rule)) else { continue };
        let members = documents.members(&pool).len();
        if members > range.len() {
            let message = format!(
                "Inbound NAT rule {balancer}/inboundNatRules/{name} has {} frontend ports in its range, which is fewer than \
                 the {members} members of backend address pool {pool}.",
                range.len()
            );
            return Err(arm::error(400, "InboundNatRuleFrontendPortRangeIsTooSmall", &message));
        }
    }
    Ok(())
}

fn of_nic(documents: &Documents<'_>, nic: &Id) -> Result<(), Response> {
    let configurations: Vec<_> = documents.configurations().filter(|one| one.nic == nic).collect();
    one_sku(documents, nic, &configurations)?;
    one_of_a_type(documents, nic, &configurations)?;
    configurations.iter().try_for_each(|one| ports_apart(documents, one))
}

/// A machine's public IPs and load balancers are all Basic or all Standard.
fn one_sku(
    documents: &Documents<'_>,
    nic: &Id,
    configurations: &[Configuration<'_>],
) -> Result<(), Response> {
    let mut skus = BTreeSet::new();
    for one in configurations {
        let balancers = documents.balancers_of(one).into_iter().cloned();
        let used = balancers.chain(reference(one.properties, "publicIPAddress"));
        skus.extend(used.filter_map(|id| documents.get(&id)).map(sku));
    }
    if skus.len() < 2 {
        return Ok(());
    }
    let message = format!(
        "Different basic sku and standard sku load balancer or public Ip resources are not allowed on network interface \
         {nic}."
    );
    Err(arm::error(400, "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed", &message))
}

/// An interface is behind one public and one internal load balancer at most.
fn one_of_a_type(
    documents: &Documents<'_>,
    nic: &Id,
    configurations: &[Configuration<'_>],
) -> Result<(), Response> {
    let balancers: BTreeSet<String> =
        configurations.iter().flat_map(|one| documents.balancers_of(one)).map(Id::to_string).collect();
    for wanted in [true, false] {
        let of_type = |key: &&String| documents.is_public(&Id::new((*key).clone())) == Some(wanted);
        let found: Vec<&String> = balancers.iter().filter(of_type).collect();
        if let [first, second, ..] = found.as_slice() {
            let kind = if wanted { "public" } else { "internal" };
            let message = format!(
                "Network interface {nic} references more than one {kind} load balancer: {first}, {second}. A network \
                 interface can be in the backend of one public and one internal load balancer."
            );
            return Err(arm::error(
                400,
                "NetworkInterfaceReferencesMultipleLoadBalancersOfSameType",
                &message,
            ));
        }
    }
    Ok(())
}

/// Two rules of one type of load balancer lead to the same port of the same address only with floating IP
/// ("Troubleshoot common Azure deployment errors: load balancer").
fn ports_apart(documents: &Documents<'_>, configuration: &Configuration<'_>) -> Result<(), Response> {
    let leading = documents.leading_to(configuration);
    for (at, one) in leading.iter().enumerate() {
        for other in &leading[at + 1..] {
            let floats = |rule: &Value| rule.get("enableFloatingIP").and_then(Value::as_bool) == Some(true);
            let text = |rule: &Value, key: &str| {
                rule.get(key).and_then(Value::as_str).unwrap_or("Tcp").to_ascii_lowercase()
            };
            let (first, second) = (text(one.rule, "protocol"), text(other.rule, "protocol"));
            let same = documents.is_public(one.balancer) == documents.is_public(other.balancer)
                && one.rule.get("backendPort") == other.rule.get("backendPort")
                && (first == second || first == "all" || second == "all");
            if same && !floats(one.rule) && !floats(other.rule) {
                let message = format!(
                    "Load balancer rules {} and {} belong to the load balancer of the same type and use the same backend \
                     port {} and protocol {} with floatingIP disabled, must not be used with the same backend IP {}.",
                    one.id,
                    other.id,
                    one.rule["backendPort"],
                    one.rule["protocol"].as_str().unwrap_or("Tcp"),
                    configuration.id()
                );
                let code = "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig";
                return Err(arm::error(400, code, &message));
            }
        }
    }
    Ok(())
}
