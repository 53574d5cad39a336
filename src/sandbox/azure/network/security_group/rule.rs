//! Which security rules a group takes, in the words in which Azure refuses the others.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::super::super::arm::{self, Id};
use super::super::super::public_ip::invalid_format;
use super::super::children;
use super::super::prefix::Prefix;
use crate::sandbox::exchange::Response;

/// Refuses a group's rules where Azure does.
pub(super) fn check(id: &Id, document: &Map<String, Value>) -> Result<(), Response> {
    let mut taken: HashMap<(String, i64), &str> = HashMap::new();
    let count = children::entries(document, "securityRules").count();
    if count > MOST_RULES {
        let message =
            format!("Network security group {id} cannot have more than {MOST_RULES} security rules.");
        return Err(arm::error(400, "NetworkSecurityGroupRuleCountLimitReached", &message));
    }
    for (name, rule) in children::entries(document, "securityRules") {
        let rule_id = format!("{id}/securityRules/{name}");
        one_of(rule, &rule_id, "protocol", &PROTOCOLS)?;
        one_of(rule, &rule_id, "access", &ACCESS)?;
        let direction = one_of(rule, &rule_id, "direction", &DIRECTIONS)?;
        sides(rule, &rule_id)?;
        let given = rule.get("priority").filter(|value| !value.is_null());
        let Some(priority) = given.map(|value| value.as_i64().unwrap_or(-1)) else {
            return Err(missing(&rule_id, "Priority"));
        };
        if !(100..=4096).contains(&priority) {
            let message = format!(
                "Security rule {rule_id} has invalid Priority. Value provided: {priority} Allowed range 100-4096."
            );
            return Err(arm::error(400, "SecurityRuleInvalidPriority", &message));
        }
        let description = rule.get("description").and_then(Value::as_str).unwrap_or_default();
        if description.chars().count() > 140 {
            let message = format!("Security rule {rule_id} has a description longer than 140 characters.");
            return Err(arm::error(400, "SecurityRuleDescriptionTooLong", &message));
        }
        if let Some(other) = taken.insert((direction.to_ascii_lowercase(), priority), name) {
            let message = format!(
                "Security rule {name} conflicts with rule {other}. Rules cannot have the same Priority and Direction. To \
                 learn more, see aka.ms/nsgrules."
            );
            return Err(arm::error(400, "SecurityRuleConflict", &message));
        }
    }
    Ok(())
}

fn missing(rule_id: &str, key: &str) -> Response {
    let message = format!(
        "Required security rule parameters are missing for security rule with Id: {rule_id}. Security rule must specify \
         {key}."
    );
    arm::error(400, "SecurityRuleParameterNotSpecified", &message)
}

fn one_of<'r>(rule: &'r Value, rule_id: &str, key: &str, known: &[&str]) -> Result<&'r str, Response> {
    let given = rule.get(key).and_then(Value::as_str).ok_or_else(|| missing(rule_id, key))?;
    if known.iter().any(|known| known.eq_ignore_ascii_case(given)) {
        return Ok(given);
    }
    let message =
        format!("Error converting value \"{given}\" to type 'SecurityRule.{key}'. Resource {rule_id}.");
    Err(invalid_format("InvalidJson", &message))
}

/// Source and destination: addresses and ports, each in the singular or in the plural member, all of one family.
fn sides(rule: &Value, rule_id: &str) -> Result<(), Response> {
    let mut families: Vec<bool> = Vec::new();
    for side in ["source", "destination"] {
        let (one, many) = (format!("{side}AddressPrefix"), format!("{side}AddressPrefixes"));
        let groups = format!("{side}ApplicationSecurityGroups");
        exclusive(rule, rule_id, &[&one, &many, &groups])?;
        if let Some(text) = rule.get(&one).and_then(Value::as_str) {
            families.extend(prefix(text, rule_id)?);
        }
        overlapping(rule, rule_id, &one, &many)?;
        for text in texts(rule, &many) {
            if is_tag(text) || text == "*" {
                let message = format!(
                    "Security rule parameter {} for rule with Id {rule_id} cannot specify existing VIRTUALNETWORK, \
                     INTERNET, AZURELOADBALANCER, '*' or system tags. Unsupported value used: {text}.",
                    capital(&one)
                );
                return Err(arm::error(400, "SecurityRuleParameterContainsUnsupportedValue", &message));
            }
            families.extend(prefix(text, rule_id)?);
        }
        let (one, many) = (format!("{side}PortRange"), format!("{side}PortRanges"));
        exclusive(rule, rule_id, &[&one, &many])?;
        if let Some(text) = rule.get(&one).and_then(Value::as_str) {
            range(text).ok_or_else(|| invalid_range(text, rule_id))?;
        }
        for text in texts(rule, &many) {
            if text == "*" {
                let message = format!(
                    "Security rule parameter {} for rule with Id {rule_id} cannot specify '*'.",
                    capital(&many)
                );
                return Err(arm::error(400, "SecurityRuleParameterContainsInvalidPortRanges", &message));
            }
            range(text).ok_or_else(|| invalid_range(text, rule_id))?;
        }
    }
    if families.windows(2).any(|pair| pair[0] != pair[1]) {
        let message = format!(
            "{rule_id} contains IP addresses or prefixes that belong to different address families. All IP addresses or \
             prefixes in the resource should belong to the same address family."
        );
        let code = "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies";
        return Err(arm::error(400, code, &message));
    }
    Ok(())
}

/// No prefix of a plural member lies within another.
fn overlapping(rule: &Value, rule_id: &str, one: &str, many: &str) -> Result<(), Response> {
    let prefixes: Vec<(&str, Prefix)> =
        texts(rule, many).filter_map(|text| Some((text, Prefix::parse(text)?))).collect();
    for (at, (first, wide)) in prefixes.iter().enumerate() {
        if let Some((second, _)) = prefixes.iter().skip(at + 1).find(|(_, other)| wide.overlaps(other)) {
            let message = format!(
                "Security rule parameter {} for rule with Id {rule_id} contains overlapping subnets [{first}, {second}], \
                 which is not permitted.",
                capital(one)
            );
            return Err(arm::error(400, "OverlappingSubnetsNotPermittedInSecurityRule", &message));
        }
    }
    Ok(())
}

/// Exactly one of some members is set.
fn exclusive(rule: &Value, rule_id: &str, keys: &[&str]) -> Result<(), Response> {
    let is_set = |key: &&&str| {
        rule.get(**key).is_some_and(|value| !value.is_null() && *value != json!([]) && *value != json!(""))
    };
    let set: Vec<&&str> = keys.iter().filter(is_set).collect();
    match set.as_slice() {
        [_] => Ok(()),
        [] => Err(missing(rule_id, keys.first().copied().unwrap_or_default())),
        [first, second, ..] => {
            let message = format!(
                "Security rule {rule_id} cannot specify both {} and {}. Only one of them may be set.",
                capital(first),
                capital(second)
            );
            Err(arm::error(400, "SecurityRuleParametersAreMutuallyExclusive", &message))
        }
    }
}

/// Whether it is IPv6, for a prefix; `None` for a tag.
fn prefix(text: &str, rule_id: &str) -> Result<Option<bool>, Response> {
    if text == "*" || is_tag(text) {
        return Ok(None);
    }
    let refuse = || {
        let message = format!("Security rule {rule_id} has invalid Address prefix. Value provided: {text}");
        arm::error(400, "SecurityRuleInvalidAddressPrefix", &message)
    };
    Prefix::parse(text).map(|prefix| Some(prefix.is_ipv6())).ok_or_else(refuse)
}

fn invalid_range(text: &str, rule_id: &str) -> Response {
    let message = format!(
        "Security rule {rule_id} has invalid Port range. Value provided: {text}. Value should be an integer OR integer \
         range with '-' delimiter. Valid range 0-65535."
    );
    arm::error(400, "SecurityRuleInvalidPortRange", &message)
}

/// `*`, `3389` or `1000-2000`.
pub(super) fn range(text: &str) -> Option<(u16, u16)> {
    let port =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    match text.split_once('-') {
        _ if text == "*" => Some((0, u16::MAX)),
        None => port(text).map(|port| (port, port)),
        Some((start, end)) => port(start).zip(port(end)).filter(|(start, end)| start <= end),
    }
}

/// The texts of a plural member.
pub(super) fn texts<'r>(rule: &'r Value, key: &str) -> impl Iterator<Item = &'r str> {
    rule.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a text is a service tag, a regional one such as `Storage.WestEurope` included.
fn is_tag(text: &str) -> bool {
    let name = text.split('.').next().unwrap_or_default();
    TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name)) && !text.ends_with('.')
}

fn capital(key: &str) -> String {
    let mut letters = key.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// "Limits", Azure networking: security rules of a group.
const MOST_RULES: usize = 1000;
pub(super) const PROTOCOLS: [&str; 6] = ["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"];
pub(super) const ACCESS: [&str; 2] = ["Allow", "Deny"];
pub(super) const DIRECTIONS: [&str; 2] = ["Inbound", "Outbound"];
/// "Available service tags", Virtual network service tags.
const TAGS: [&str; 44] = [
    "ActionGroup",
    "ApiManagement",
    "ApplicationInsightsAvailability",
    "AppConfiguration",
    "AppService",
    "AppServiceManagement",
    "AzureActiveDirectory",
    "AzureActiveDirectoryDomainServices",
    "AzureAdvancedThreatProtection",
    "AzureArcInfrastructure",
    "AzureBackup",
    "AzureBotService",
    "AzureCloud",
    "AzureCognitiveSearch",
    "AzureConnectors",
    "AzureContainerRegistry",
    "AzureCosmosDB",
    "AzureDatabricks",
    "AzureDevOps",
    "AzureDigitalTwins",
    "AzureEventGrid",
    "AzureFrontDoor",
    "AzureIoTHub",
    "AzureKeyVault",
    "AzureLoadBalancer",
    "AzureMonitor",
    "AzurePlatformDNS",
    "AzurePlatformIMDS",
    "AzurePlatformLKM",
    "AzureResourceManager",
    "AzureSignalR",
    "AzureSiteRecovery",
    "AzureTrafficManager",
    "BatchNodeManagement",
    "CognitiveServicesManagement",
    "DataFactory",
    "EventHub",
    "GatewayManager",
    "GuestAndHybridManagement",
    "Internet",
    "ServiceBus",
    "Sql",
    "Storage",
    "VirtualNetwork",
];
