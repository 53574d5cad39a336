//! Which rules a load balancer takes: their ports, what they refer to, and that no two of them meet.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::super::super::arm::{self, Id};
use super::super::{children, documents, reference, references};
use crate::sandbox::exchange::Response;

/// The frontend ports of a rule: one, or the range of an inbound NAT rule of version 2 or of a pool. A zero is no port.
pub(crate) fn frontend_ports(rule: &Value) -> Option<RangeInclusive<u16>> {
    let port = |key: &str| number(rule, key).and_then(|port| u16::try_from(port).ok());
    match (port("frontendPortRangeStart"), port("frontendPortRangeEnd")) {
        (Some(start), Some(end)) => Some(start..=end),
        _ => port("frontendPort").map(|port| port..=port),
    }
}

/// Refuses a load balancer's rules where Azure does.
pub(super) fn check(id: &Id, document: &Map<String, Value>) -> Result<(), Response> {
    let has = |collection: &str| children::entries(document, collection).next().is_some();
    if has("inboundNatRules") && has("inboundNatPools") {
        let message = format!(
            "Load balancer {id} defines inbound NAT rules and inbound NAT pools. Defining inbound NAT rules on a load \
             balancer is mutually exclusive with defining an inbound NAT pool."
        );
        return Err(arm::error(400, "InboundNatRulesAndInboundNatPoolsAreMutuallyExclusive", &message));
    }
    let mut taken: Vec<Taken> = Vec::new();
    for collection in ["inboundNatRules", "inboundNatPools", "loadBalancingRules"] {
        for (name, rule) in children::entries(document, collection) {
            let rule_id = format!("{id}/{collection}/{name}");
            let frontend = one_frontend(id, document, rule, &rule_id)?;
            for pool in documents::pools(rule) {
                own(id, document, "backendAddressPools", &pool, &rule_id)?;
            }
            if let Some(probe) = reference(rule, "probe") {
                own(id, document, "probes", &probe, &rule_id)?;
            }
            let protocol = protocol(rule, &rule_id)?;
            let ports = match collection {
                "loadBalancingRules" => balancing_ports(rule, &rule_id, &protocol)?,
                "inboundNatRules" => nat_ports(rule, &rule_id)?,
                _ => range(rule, &rule_id)?,
            };
            timeout(rule, &rule_id)?;
            let this = Taken { rule: rule_id, frontend, protocol, ports };
            if let Some(other) = taken.iter().find(|other| other.meets(&this)) {
                let message = format!(
                    "Load balancing rules {} and {} use the same frontend port, protocol and IP configuration.",
                    other.rule, this.rule
                );
                return Err(arm::error(400, "RulesUseSameFrontendPortProtocolAndIPConfig", &message));
            }
            taken.push(this);
        }
    }
    outbound(id, document)
}

/// What a rule takes for itself.
struct Taken {
    rule: String,
    frontend: Id,
    protocol: String,
    ports: RangeInclusive<u16>,
}

impl Taken {
    fn meets(&self, other: &Self) -> bool {
        let both = |a: &str, b: &str| a == b || a == "all" || b == "all";
        self.frontend == other.frontend
            && both(&self.protocol, &other.protocol)
            && self.ports.start() <= other.ports.end()
            && other.ports.start() <= self.ports.end()
    }
}

fn one_frontend(id: &Id, document: &Map<String, Value>, rule: &Value, rule_id: &str) -> Result<Id, Response> {
    let Some(frontend) = reference(rule, "frontendIPConfiguration") else {
        let message = format!("Rule {rule_id} must reference a frontend IP configuration.");
        return Err(arm::error(400, "RuleMustHaveFrontendIpConfiguration", &message));
    };
    own(id, document, "frontendIPConfigurations", &frontend, rule_id)?;
    Ok(frontend)
}

/// A rule refers to entries of its own load balancer only.
fn own(
    id: &Id,
    document: &Map<String, Value>,
    collection: &str,
    to: &Id,
    rule_id: &str,
) -> Result<(), Response> {
    let mut known = children::entries(document, collection);
    if known.any(|(name, _)| *to == Id::new(format!("{id}/{collection}/{name}"))) {
        return Ok(());
    }
    let message = format!(
        "Resource {to} referenced by resource {rule_id} was not found. Please make sure that the referenced resource \
         exists, and that both resources are in the same region."
    );
    Err(arm::error(400, "InvalidResourceReference", &message))
}

fn protocol(rule: &Value, rule_id: &str) -> Result<String, Response> {
    let given = rule.get("protocol").and_then(Value::as_str).unwrap_or("Tcp");
    if ["Tcp", "Udp", "All"].iter().any(|known| known.eq_ignore_ascii_case(given)) {
        return Ok(given.to_ascii_lowercase());
    }
    let message =
        format!("Error converting value \"{given}\" to type 'TransportProtocol'. Resource {rule_id}.");
    Err(super::super::super::public_ip::invalid_format("InvalidJson", &message))
}

/// Version 1 has one frontend port and no pool; version 2 a pool and a range. A mixture is refused with the texts that
/// Azure/azure-cli #21583 quotes.
fn nat_ports(rule: &Value, rule_id: &str) -> Result<RangeInclusive<u16>, Response> {
    let single = number(rule, "frontendPort");
    let (start, end) = (number(rule, "frontendPortRangeStart"), number(rule, "frontendPortRangeEnd"));
    if let Some(port) = single.filter(|_| start.is_some() || end.is_some()) {
        let message = format!(
            "If FrontendPort {port} is set, properties FrontendPortRangeStart, FrontendPortRangeEnd should be null."
        );
        let code = "UnsupportedSetOfInboundNatRulePropertiesWhenFrontendPortIsSpecified";
        return Err(arm::error(400, code, &message));
    }
    let is_second = reference(rule, "backendAddressPool").is_some() || start.is_some() || end.is_some();
    if is_second && (start.is_none() || end.is_none()) {
        let message = "For inbound Nat rule V2 properties FrontendPortRangeStart, FrontendPortRangeEnd should not be \
                       null.";
        return Err(arm::error(400, "MissedInboundNatRuleV2Properties", message));
    }
    backend_port(rule, rule_id, 1)?;
    range(rule, rule_id)
}

fn range(rule: &Value, rule_id: &str) -> Result<RangeInclusive<u16>, Response> {
    let start = number(rule, "frontendPortRangeStart").or(number(rule, "frontendPort"));
    let end = number(rule, "frontendPortRangeEnd").or(start);
    let port = |port: Option<i64>| {
        port.filter(|port| (1..=65534).contains(port)).and_then(|p| u16::try_from(p).ok())
    };
    match (port(start), port(end)) {
        (Some(start), Some(end)) if start <= end => Ok(start..=end),
        _ => {
            let message = format!("Rule {rule_id} has frontend ports outside of 1-65534.");
            Err(arm::error(400, "InvalidFrontendPort", &message))
        }
    }
}

/// Port 0 with protocol `All` stands for all ports, on internal load balancers.
fn balancing_ports(rule: &Value, rule_id: &str, protocol: &str) -> Result<RangeInclusive<u16>, Response> {
    let every = rule.get("frontendPort").and_then(Value::as_i64) == Some(0);
    backend_port(rule, rule_id, i64::from(!every))?;
    if every && protocol == "all" {
        return Ok(0..=u16::MAX);
    }
    range(rule, rule_id)
}

fn backend_port(rule: &Value, rule_id: &str, least: i64) -> Result<(), Response> {
    let port = rule.get("backendPort").and_then(Value::as_i64);
    if port.is_some_and(|port| (least..=65535).contains(&port)) {
        return Ok(());
    }
    let message = format!("Rule {rule_id} has a backend port outside of {least}-65535.");
    Err(arm::error(400, "InvalidBackendPort", &message))
}

fn timeout(rule: &Value, rule_id: &str) -> Result<(), Response> {
    let minutes = rule.get("idleTimeoutInMinutes").map_or(Some(4), Value::as_i64);
    if minutes.is_some_and(|minutes| (4..=30).contains(&minutes)) {
        return Ok(());
    }
    let message = format!(
        "Value provided for property idleTimeoutInMinutes of resource {rule_id} is invalid. The value must be between 4 \
         and 30."
    );
    Err(arm::error(400, "InvalidIdleTimeoutInMinutes", &message))
}

/// A frontend that an outbound rule uses leaves translation to it.
fn outbound(id: &Id, document: &Map<String, Value>) -> Result<(), Response> {
    for (name, rule) in children::entries(document, "outboundRules") {
        let rule_id = format!("{id}/outboundRules/{name}");
        let frontends: Vec<Id> = references(rule, "frontendIPConfigurations").collect();
        let Some(pool) = reference(rule, "backendAddressPool").filter(|_| !frontends.is_empty()) else {
            let message = format!(
                "Outbound rule {rule_id} must reference frontend IP configurations and a backend address pool."
            );
            return Err(arm::error(400, "OutboundRuleMustReferenceFrontendAndPool", &message));
        };
        own(id, document, "backendAddressPools", &pool, &rule_id)?;
        for frontend in &frontends {
            own(id, document, "frontendIPConfigurations", frontend, &rule_id)?;
        }
        for (other, balancing) in children::entries(document, "loadBalancingRules") {
            let shares =
                reference(balancing, "frontendIPConfiguration").is_some_and(|at| frontends.contains(&at));
            let disabled = balancing.get("disableOutboundSnat").and_then(Value::as_bool) == Some(true);
            if shares && !disabled {
                let message = format!(
                    "Load balancing rule {id}/loadBalancingRules/{other} must disable SNAT since the same frontend IP \
                     configuration is referenced by outbound rule {rule_id}."
                );
                let code = "LoadBalancingRuleMustDisableSNATSinceSameFrontendIPConfigurationIsReferencedByOutboundRule";
                return Err(arm::error(400, code, &message));
            }
        }
    }
    Ok(())
}

/// A port that was given. The service shows 0 where there is none, and takes it back so.
fn number(rule: &Value, key: &str) -> Option<i64> {
    rule.get(key).and_then(Value::as_i64).filter(|port| *port != 0)
}
