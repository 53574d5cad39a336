//! The addresses of a subnet: who has which, and which is free.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::super::arm::{self, Id};
use super::prefix::Prefix;
use super::{children, documents, reference};
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// Whether a configuration may have the static address that it asks for.
pub(super) fn may_have(world: &World, user: &str, subnet: &Id, properties: &Value) -> Result<(), Response> {
    let is_static = properties.get("privateIPAllocationMethod").and_then(Value::as_str) == Some("Static");
    if !is_static {
        return Ok(());
    }
    let given = properties.get("privateIPAddress").and_then(Value::as_str);
    let Some(address) = given.and_then(|text| text.parse::<IpAddr>().ok()) else {
        let message =
            format!("IP configuration {user} is static and must specify a valid private IP address.");
        return Err(arm::error(400, "PrivateIPAddressIsRequired", &message));
    };
    let within = prefixes(world, subnet).into_iter().find(|prefix| prefix.contains(address));
    let Some(prefix) = within else {
        let message = format!(
            "Private static IP address {address} does not belong to the range of subnet prefix of {subnet}."
        );
        return Err(arm::error(400, "PrivateIPAddressNotInSubnet", &message));
    };
    if !prefix.usable().any(|usable| usable == address) {
        let message =
            format!("Private static IP address {address} falls within reserved IP range of subnet {subnet}.");
        return Err(arm::error(400, "PrivateIPAddressInReservedRange", &message));
    }
    let other =
        users(world).find(|(at, of, ip)| !at.eq_ignore_ascii_case(user) && *of == *subnet && *ip == address);
    if let Some((other, _, _)) = other {
        let message = format!(
            "IP configuration {user} is using the private IP address {address} which is already \
                               allocated to resource {other}."
        );
        return Err(arm::error(400, "PrivateIPAddressInUse", &message));
    }
    Ok(())
}

/// Completes a configuration: a dynamic address stays with it while its subnet stays, whatever was sent.
pub(super) fn give_address(world: &World, inner: &mut Map<String, Value>, before: Option<&Value>) {
    inner.entry("privateIPAllocationMethod").or_insert_with(|| json!("Dynamic"));
    inner.entry("privateIPAddressVersion").or_insert_with(|| json!("IPv4"));
    if inner.get("privateIPAllocationMethod").and_then(Value::as_str) == Some("Static") {
        return;
    }
    let shown = Value::Object(inner.clone());
    let Some(subnet) = reference(&shown, "subnet") else { return };
    let kept = before
        .filter(|before| reference(before, "subnet").as_ref() == Some(&subnet))
        .and_then(|before| before.get("privateIPAddress").cloned());
    let six = inner.get("privateIPAddressVersion").and_then(Value::as_str) == Some("IPv6");
    match kept.or_else(|| free(world, &subnet, six).map(|address| json!(address.to_string()))) {
        Some(address) => inner.insert("privateIPAddress".into(), address),
        None => inner.remove("privateIPAddress"),
    };
}

/// The prefixes of a subnet.
pub(super) fn prefixes(world: &World, subnet: &Id) -> Vec<Prefix> {
    let Some((network, _, name)) = documents::split(subnet) else { return Vec::new() };
    let Some(held) = world.azure.network.get(&network.key()) else { return Vec::new() };
    let mut subnets = children::entries(&held.document, "subnets");
    subnets.find(|(known, _)| known.eq_ignore_ascii_case(&name)).map(|(_, p)| of(p)).unwrap_or_default()
}

/// The prefixes in a subnet's properties.
pub(super) fn of(properties: &Value) -> Vec<Prefix> {
    let many = properties.get("addressPrefixes").and_then(Value::as_array).into_iter().flatten();
    properties
        .get("addressPrefix")
        .into_iter()
        .chain(many)
        .filter_map(|p| Prefix::parse(p.as_str()?))
        .collect()
}

/// Every private address in use: by which configuration, in which subnet.
pub(super) fn users(world: &World) -> impl Iterator<Item = (String, Id, IpAddr)> {
    world.azure.network.values().flat_map(|resource| {
        ["ipConfigurations", "frontendIPConfigurations"].into_iter().flat_map(move |collection| {
            children::entries(&resource.document, collection).filter_map(move |(name, properties)| {
                let address = properties.get("privateIPAddress")?.as_str()?.parse().ok()?;
                let user = format!("{}/{collection}/{name}", resource.id);
                Some((user, reference(properties, "subnet")?, address))
            })
        })
    })
}

fn free(world: &World, subnet: &Id, six: bool) -> Option<IpAddr> {
    let taken: BTreeSet<IpAddr> =
        users(world).filter(|(_, of, _)| of == subnet).map(|(_, _, ip)| ip).collect();
    let mut prefixes = prefixes(world, subnet).into_iter().filter(|prefix| prefix.is_ipv6() == six);
    prefixes.find_map(|prefix| prefix.usable().find(|address| !taken.contains(address)))
}
