//! Public IP addresses: which combinations are sold, when an address comes and goes, and what a label costs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::arm::{self, Id};
use super::label::{self, Holder};
use super::network;
use super::resource::{Kind, Proposal, Resource, property, sku};
use super::zone;
use crate::sandbox::exchange::Response;
use crate::sandbox::world::World;

/// `Microsoft.Network/publicIPAddresses`.
pub(crate) const KIND: Kind =
    Kind { name: NAME, links: |_| Vec::new(), prepare, render, removable, children: &[] };

/// Checks a PUT, claims the label, and fills in the defaults.
fn prepare(world: &mut World, proposal: &Proposal) -> Result<Map<String, Value>, Response> {
    let Proposal { id, before, document, location } = proposal;
    let mut document = document.clone();
    sellable(id, before.as_ref(), &document)?;
    if before.is_none() {
        within_quota(world, location)?;
    }
    unchangeable(id, before.as_ref(), &document)?;
    let minutes = property(&document, &["idleTimeoutInMinutes"]).map_or(Some(4), Value::as_i64);
    if !minutes.is_some_and(|minutes| (4..=30).contains(&minutes)) {
        let message = format!(
            "Value provided for property idleTimeoutInMinutes of resource {id} is invalid. The value must be \
             between 4 and 30."
        );
        return Err(arm::error(400, "InvalidIdleTimeoutInMinutes", &message));
    }

    let settings =
        |key| property(&document, &["dnsSettings", key]).and_then(Value::as_str).map(str::to_owned);
    let (label, scope, reverse) =
        (settings("domainNameLabel"), settings("domainNameLabelScope"), settings("reverseFqdn"));
    let held = before.as_ref().and_then(|b| b.lease.fqdn.clone());
    let fqdn = match &label {
        None => None,
        Some(label) => {
            let unchanged = before.as_ref().is_some_and(|before| {
                let same = |key, now: Option<&str>| {
                    before.property(&["dnsSettings", key]).and_then(Value::as_str) == now
                };
                same("domainNameLabel", Some(label)) && same("domainNameLabelScope", scope.as_deref())
            });
            if let Some(held) = held.clone().filter(|_| unchanged) {
                Some(held)
            } else {
                let fqdn = label::name(label, scope.as_deref(), location, id.group())?;
                label::available(world, &fqdn, id)?;
                Some(fqdn)
            }
        }
    };
    if let Some(reverse) = reverse {
        let created_with_scope = before.is_none() && scope.is_some();
        let own = fqdn.as_deref().filter(|_| !created_with_scope);
        may_reverse(world, id, own, &reverse)?;
    }
    // A name that is given up is free, or reserved, from here on.
    if let Some(old) = held.filter(|held| Some(held) != fqdn.as_ref()) {
        let until = world.now() + world.options.label_reservation;
        world.azure.labels.release(&old, until);
    }
    if let Some(fqdn) = &fqdn {
        world.azure.labels.hold(fqdn, Holder::PublicIp(id.clone()));
    }
    // The early view already shows the name, not yet the address.
    let clock = world.clock;
    let resource =
        world.azure.network.entry(id.key()).or_insert_with(|| Resource::new(id.clone(), Map::new(), clock));
    resource.lease.fqdn = fqdn;

    let name = sku(&document).to_owned();
    let tier =
        document.get("sku").and_then(|sku| sku.get("tier")).cloned().unwrap_or_else(|| json!("Regional"));
    document.insert("sku".into(), json!({"name": name, "tier": tier}));
    if let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) {
        for read_only in ["ipAddress", "ipConfiguration", "natGateway"] {
            properties.remove(read_only);
        }
        if let Some(settings) = properties.get_mut("dnsSettings").and_then(Value::as_object_mut) {
            settings.remove("fqdn");
            settings.retain(|_, value| !value.is_null());
        }
        let mut default = |key: &str, value: Value| {
            properties.entry(key).or_insert(value);
        };
        default("publicIPAddressVersion", json!("IPv4"));
        default("publicIPAllocationMethod", json!("Dynamic"));
        default("idleTimeoutInMinutes", json!(4));
        default("ipTags", json!([]));
        default("ddosSettings", json!({"protectionMode": "VirtualNetworkInherited"}));
    }
    Ok(document)
}

/// What Azure sells: Standard and StandardV2, Static. Basic remains where it was made before.
fn sellable(id: &Id, before: Option<&Resource>, document: &Map<String, Value>) -> Result<(), Response> {
    let sku = sku(document);
    let method =
        property(document, &["publicIPAllocationMethod"]).and_then(Value::as_str).unwrap_or("Dynamic");
    match sku {
        "Basic" => {
            if document.get("zones").and_then(Value::as_array).is_some_and(|zones| !zones.is_empty()) {
                let message = format!(
                    "Request for resource {id} is invalid as the Basic sku does not support availability zones."
                );
                return Err(arm::error(400, "ZonesNotAllowedInBasicSkuResource", &message));
            }
            if before.is_none() {
                let message = "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in \
                               this region.";
                return Err(arm::error(400, "IPv4BasicSkuPublicIpCountLimitReached", message));
            }
        }
        "Standard" | "StandardV2" => {
            if method != "Static" {
                let message = format!("{sku} sku publicIp {id} must have AllocationMethod set to Static.");
                return Err(arm::error(400, "StandardSkuPublicIPAddressesMustBeStatic", &message));
            }
        }
        other => {
            let message = format!(
                "Error converting value \"{other}\" to type 'PublicIPAddressSkuName'. Path 'sku.name'."
            );
            return Err(invalid_format("InvalidJson", &message));
        }
    }
    if !["Static", "Dynamic"].contains(&method) {
        let message = format!("Error converting value \"{method}\" to type 'IPAllocationMethod'.");
        return Err(invalid_format("InvalidJson", &message));
    }
    Ok(())
}

/// The subscription's quota in the region.
fn within_quota(world: &World, location: &str) -> Result<(), Response> {
    let quota = world.options.public_ip_quota;
    let held = world.azure.network.values().filter(|r| is_one(&r.id) && r.location() == location).count();
    if held < quota {
        return Ok(());
    }
    let message =
        format!("Cannot create more than {quota} public IP addresses for this subscription in this region.");
    Err(arm::error(400, "PublicIPCountLimitReached", &message))
}

/// What is fixed at creation.
fn unchangeable(id: &Id, before: Option<&Resource>, document: &Map<String, Value>) -> Result<(), Response> {
    let Some(before) = before else { return Ok(()) };
    let upgrade = before.sku() == "Basic" && sku(document) == "Standard";
    if before.sku() != sku(document) && !upgrade {
        let message = format!(
            "Sku property is set at creation time and cannot be changed from {} to {} on resource update for \
             resource {id}.",
            before.sku(),
            sku(document)
        );
        return Err(arm::error(400, "SkuCannotBeChangedOnUpdate", &message));
    }
    if upgrade {
        let is_static = before.property(&["publicIPAllocationMethod"]) == Some(&json!("Static"));
        if !is_static {
            let message = format!("Public IP address {id} must be Static before its sku is upgraded.");
            return Err(arm::error(400, "PublicIPAddressMustBeStaticToUpgradeSku", &message));
        }
    }
    let version = |document: &Map<String, Value>| {
        property(document, &["publicIPAddressVersion"]).cloned().unwrap_or_else(|| json!("IPv4"))
    };
    if version(&before.document) != version(document) {
        let message = format!("The IP version of public IP address {id} cannot be changed.");
        return Err(arm::error(400, "PublicIPAddressVersionCannotBeChanged", &message));
    }
    let zones = |document: &Map<String, Value>| {
        let listed = document.get("zones").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut zones: Vec<String> = listed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        zones.sort();
        if zones.is_empty() { "NoZone".to_owned() } else { zones.join(", ") }
    };
    let (old, new) = (zones(&before.document), zones(document));
    if old != new {
        let message = format!(
            "Resource {id} has an existing availability zone constraint {old} and the request has availability zone \
             constraint {new}, which do not match. Zones cannot be added/updated/removed once the resource is created. \
             The resource cannot be updated from regional to zonal or vice-versa."
        );
        return Err(arm::error(400, "ResourceAvailabilityZonesCannotBeModified", &message));
    }
    // Set at creation, or on a label that had none; fixed afterwards.
    let scope = |document| property(document, &["dnsSettings", "domainNameLabelScope"]);
    let (old, new) = (scope(&before.document), scope(document));
    let has_label = property(document, &["dnsSettings", "domainNameLabel"]).is_some();
    if before.lease.fqdn.is_some() && has_label && old != new {
        let message = format!(
            "The property 'domainNameLabelScope' of public IP address {id} can only be specified at creation."
        );
        return Err(arm::error(400, "DomainNameLabelScopeCannotBeChanged", &message));
    }
    Ok(())
}

/// A reverse name must lead back to the subscription: its own label, another public IP's, or a vanity name that
/// is an alias of the label or an address record of the address. Checked only when it is set.
fn may_reverse(world: &World, id: &Id, own: Option<&str>, reverse: &str) -> Result<(), Response> {
    let name = reverse.trim_end_matches('.').to_ascii_lowercase();
    let here = world.azure.network.get(&id.key());
    let unchanged = here.is_some_and(|r| {
        r.property(&["dnsSettings", "reverseFqdn"]).and_then(Value::as_str) == Some(reverse)
    });
    let known = own == Some(name.as_str())
        || world.azure.network.values().any(|r| r.id != *id && r.lease.fqdn.as_deref() == Some(&name));
    let vanity = || {
        let zone = zone::zone_of(world, &name)?;
        let served = super::served(world, &zone, &name)?;
        let address = here.and_then(|r| r.lease.address).map(|a| a.to_string());
        let leads_back = |value: &String| {
            Some(value.trim_end_matches('.')) == own || Some(value.as_str()) == address.as_deref()
        };
        Some(served.iter().any(|set| set.values.iter().any(leads_back)))
    };
    if unchanged || known || vanity().unwrap_or(false) {
        return Ok(());
    }
    let message = format!(
        "ReverseFqdn {reverse} that PublicIPAddress {} is trying to use does not belong to subscription {}. One of the \
         following conditions need to be met to establish ownership: 1) ReverseFqdn matches fqdn of any public ip \
         resource under the subscription; 2) ReverseFqdn resolves to the fqdn (through CName records chain) of any \
         public ip resource under the subscription; 3) It resolves to the ip address (through CName and A records \
         chain) of a static public ip resource under the subscription.",
        id.name(),
        super::seed::SUBSCRIPTION
    );
    Err(arm::error(400, "ReverseFqdnDoesNotBelongToSubscription", &message))
}

fn render(world: &World, resource: &Resource, properties: &mut Value) {
    if let Some(address) = resource.lease.address {
        properties["ipAddress"] = json!(address.to_string());
    }
    if let Some(fqdn) = &resource.lease.fqdn {
        properties["dnsSettings"]["fqdn"] = json!(fqdn);
    }
    if let Some(user) = network::user_of(world, &resource.id) {
        properties["ipConfiguration"] = json!({"id": user});
    }
}

fn removable(world: &World, resource: &Resource) -> Result<(), Response> {
    let Some(user) = network::user_of(world, &resource.id) else { return Ok(()) };
    let message = format!(
        "Public IP address {} can not be deleted since it is still allocated to resource {user}. In order to delete \
         the public IP, disassociate/detach the Public IP address from the resource. To learn how to do this, see \
         aka.ms/deletepublicip.",
        resource.id
    );
    Err(arm::error(400, "PublicIPAddressCannotBeDeleted", &message))
}

/// The write has succeeded: a static address is assigned now, and the name is published.
pub(crate) fn written(world: &mut World, id: &Id) {
    assign(world, id);
    if let Some(resource) = world.azure.network.get_mut(&id.key()) {
        resource.lease.published.clone_from(&resource.lease.fqdn);
    }
}

/// Brings the address in line with the allocation method: static always has one, dynamic only while something
/// that runs uses it. A frontend or an interface that begins or ceases to use it gives it another etag
/// (kubernetes-sigs/cloud-provider-azure, pull request 9859).
pub(crate) fn assign(world: &mut World, id: &Id) {
    let Some(resource) = world.azure.network.get(&id.key()) else { return };
    let is_static = resource.property(&["publicIPAllocationMethod"]) == Some(&json!("Static"));
    let six = resource.property(&["publicIPAddressVersion"]) == Some(&json!("IPv6"));
    let user = network::user_of(world, id);
    let due = is_static || user.as_ref().is_some_and(|user| network::is_running(world, user));
    let address = match (resource.lease.address, due) {
        (Some(address), true) => Some(address),
        (None, true) => Some(fresh_address(world, six)),
        (_, false) => None,
    };
    let changed = |r: &Resource| r.lease.address != address || r.lease.user != user;
    if let Some(resource) = world.azure.network.get_mut(&id.key()).filter(|r| changed(r)) {
        resource.lease.address = address;
        resource.lease.user = user;
        let state = resource.state;
        resource.touch(state);
    }
}

/// The resource is gone: so are its address, its name, and every alias on it.
pub(crate) fn removed(world: &mut World, resource: &Resource) {
    let until = world.now() + world.options.label_reservation;
    for fqdn in [&resource.lease.fqdn, &resource.lease.published].into_iter().flatten() {
        world.azure.labels.release(fqdn, until);
    }
    zone::target_removed(world, &resource.id);
}

/// Whether an id is a public IP's.
pub(crate) fn is_one(id: &Id) -> bool {
    id.key().contains("/providers/microsoft.network/publicipaddresses/")
}

/// Never the same address twice: the pools are the ranges kept for documentation (RFC 5737, RFC 3849).
pub(crate) fn fresh_address(world: &mut World, six: bool) -> IpAddr {
    world.azure.addresses_given += 1;
    let n = world.azure.addresses_given;
    if six {
        let [high, low] = [n >> 16, n & 0xffff].map(|part| u16::try_from(part).unwrap_or_default());
        return Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, high, low).into();
    }
    // 198.18.0.0/15 follows (RFC 2544) once the 254 of 203.0.113.0/24 are used up.
    let base = if n < 255 {
        u32::from(Ipv4Addr::new(203, 0, 113, 0))
    } else {
        u32::from(Ipv4Addr::new(198, 18, 0, 0))
    };
    Ipv4Addr::from(base + n).into()
}

/// The provider's way to say that a body cannot be read.
pub(crate) fn invalid_format(code: &str, message: &str) -> Response {
    Response::json(
        400,
        json!({"error": {
            "code": "InvalidRequestFormat",
            "message": "Cannot parse the request.",
            "details": [{"code": code, "message": message}],
        }}),
    )
}

const NAME: &str = "Microsoft.Network/publicIPAddresses";
