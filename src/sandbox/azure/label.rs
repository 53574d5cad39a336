//! Domain name labels: unique within a region across all tenants, unless a scope puts a hash between.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::LABEL_SUFFIX;
use super::arm::{self, Id};
use super::seed::{SUBSCRIPTION, TENANT};
use crate::model::name::DnsLabel;
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::World;

/// Who holds which name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    held: HashMap<String, Holder>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A public IP of the subscription.
    PublicIp(Id),
    /// Somebody else's, with the address it leads to.
    Stranger(IpAddr),
    /// Nobody's until then.
    Reserved(Instant),
}

impl Labels {
    /// The holder of `fqdn`, leaving out reservations that have run out.
    pub(crate) fn holder(&self, fqdn: &str, now: Instant) -> Option<&Holder> {
        self.held.get(fqdn).filter(|holder| !matches!(holder, Holder::Reserved(until) if *until <= now))
    }

    pub(crate) fn hold(&mut self, fqdn: &str, holder: Holder) {
        self.held.insert(fqdn.to_owned(), holder);
    }

    /// Gives `fqdn` up, to be reserved until `until`.
    pub(crate) fn release(&mut self, fqdn: &str, until: Instant) {
        self.held.insert(fqdn.to_owned(), Holder::Reserved(until));
    }

    /// Gives `fqdn` up at once, if a stranger holds it.
    pub(crate) fn forget_stranger(&mut self, fqdn: &str) -> bool {
        let strange = matches!(self.held.get(fqdn), Some(Holder::Stranger(_)));
        if strange {
            self.held.remove(fqdn);
        }
        strange
    }
}

/// Checks a label as the network provider does, and gives the name that it would have.
pub(crate) fn name(
    label: &str,
    scope: Option<&str>,
    location: &str,
    group: &str,
) -> Result<String, Response> {
    if DnsLabel::parse(label).is_err() {
        let message = format!(
            "The domain name label {label} is invalid. It must conform to the following regular expression: \
             ^[a-z][a-z0-9-]{{1,61}}[a-z0-9]$."
        );
        return Err(arm::error(400, "InvalidDomainNameLabel", &message));
    }
    if let Some(word) = RESERVED_WORDS.iter().find(|word| label.contains(**word)) {
        let message = format!(
            "The domain name label {label} is invalid. It contains a reserved word or trademark: {word}."
        );
        return Err(arm::error(400, "DomainNameLabelReserved", &message));
    }
    let hash = match scope {
        None => return Ok(format!("{label}.{location}.{LABEL_SUFFIX}")),
        Some("TenantReuse") => hash(&[TENANT, label]),
        Some("SubscriptionReuse") => hash(&[TENANT, SUBSCRIPTION, label]),
        Some("ResourceGroupReuse") => hash(&[TENANT, SUBSCRIPTION, &group.to_ascii_lowercase(), label]),
        Some("NoReuse") => hash(&[&Uuid::new_v4().to_string()]),
        Some(other) => {
            let message = format!("Value '{other}' for property 'domainNameLabelScope' is invalid.");
            return Err(arm::error(400, "InvalidRequestFormat", &message));
        }
    };
    Ok(format!("{label}.{hash}.{location}.{LABEL_SUFFIX}"))
}

/// Whether `wanted` may have `fqdn`.
pub(crate) fn available(world: &World, fqdn: &str, wanted: &Id) -> Result<(), Response> {
    match world.azure.labels.holder(fqdn, world.now()) {
        None => Ok(()),
        Some(Holder::PublicIp(id)) if id == wanted => Ok(()),
        Some(Holder::PublicIp(_) | Holder::Stranger(_)) => {
            let message = format!("DNS record {fqdn} is already used by another public IP.");
            Err(arm::error(400, "DnsRecordInUse", &message))
        }
        Some(Holder::Reserved(_)) => {
            let message = format!("DNS record {fqdn} is already reserved by another resource.");
            Err(arm::error(400, "DnsRecordIsReserved", &message))
        }
    }
}

/// `GET …/locations/{location}/CheckDnsNameAvailability`: advisory, and blind to scopes.
pub(crate) fn check(world: &World, request: &Request, location: &str) -> Response {
    let Some(label) = request.param("domainNameLabel") else {
        let message = "The required query parameter 'domainNameLabel' is missing.";
        return arm::error(400, "MissingDomainNameLabel", message);
    };
    match name(label, None, location, "") {
        Err(refusal) => refusal,
        Ok(fqdn) => {
            let free = world.azure.labels.holder(&fqdn, world.now()).is_none();
            Response::json(200, json!({"available": free}))
        }
    }
}

// Sixteen letters and digits that begin with a letter, like `fjdng2acavhkevd8`.
fn hash(parts: &[&str]) -> String {
    let mut text = String::with_capacity(16);
    for half in 0..2 {
        let mut hasher = DefaultHasher::new();
        (half, parts).hash(&mut hasher);
        let mut value = hasher.finish();
        for _ in 0..8 {
            let alphabet = if text.is_empty() { &DIGITS[..26] } else { DIGITS };
            let index = usize::try_from(value % alphabet.len() as u64).unwrap_or_default();
            text.push(char::from(alphabet[index]));
            value /= alphabet.len() as u64;
        }
    }
    text
}

const DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

// The full list is not published; these are among the reported ones.
const RESERVED_WORDS: [&str; 6] = ["windows", "microsoft", "azure", "xbox", "bing", "login"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuse_scopes_give_one_hash_and_no_reuse_gives_another_each_time() {
        let of = |scope| name("contoso", Some(scope), "westeurope", "rg").unwrap_or_default();
        assert_eq!(of("TenantReuse"), of("TenantReuse"));
        assert_ne!(of("TenantReuse"), of("SubscriptionReuse"));
        assert_ne!(of("NoReuse"), of("NoReuse"));
        let elsewhere =
            name("contoso", Some("ResourceGroupReuse"), "westeurope", "other").unwrap_or_default();
        assert_ne!(of("ResourceGroupReuse"), elsewhere);
    }
}
