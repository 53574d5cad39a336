//! A public IP as Azure tells it → as we know it.
//!
//! Read by hand: the generated type fails on a `domainNameLabelScope` that it does not know, and we need a tenth
//! of it. What is absent or new to us is tolerated; what we rely on and cannot be understood is an error, since
//! acting on half an answer could name a label that we do not hold.

use serde_json::Value;

use super::super::operation::{is_failure, is_under_way};
use super::{at, text_at};
use crate::model::endpoint::{Allocation, LabelScope, Provisioning, PublicIp};
use crate::model::name::{DnsLabel, Fqdn};
use crate::model::record::{Owner, Version, mark};

/// Parses a public IP.
pub(super) fn parse(resource: &Value) -> Result<PublicIp, String> {
    let required = |path: &[&str]| {
        text_at(resource, path).ok_or_else(|| format!("the answer has no {}", path.join(".")))
    };
    let dns = |name: &str| text_at(resource, &["properties", "dnsSettings", name]);
    let odd = |what: &str, text: &str| format!("Azure reports the {what} \"{text}\", which is none");
    let label = dns("domainNameLabel").map(|text| DnsLabel::parse(text).map_err(|_| odd("label", text)));
    let fqdn = dns("fqdn").map(|text| Fqdn::parse(text).map_err(|_| odd("name", text)));
    let address = text_at(resource, &["properties", "ipAddress"])
        .map(|text| text.parse().map_err(|_| odd("address", text)));
    let state = text_at(resource, &["properties", "provisioningState"]);
    let front = text_at(resource, &["properties", "ipConfiguration", "id"]).map(front_of);
    let gateway = text_at(resource, &["properties", "natGateway", "id"]).map(str::to_owned);
    Ok(PublicIp {
        id: required(&["id"])?.to_owned(),
        guid: text_at(resource, &["properties", "resourceGuid"]).map(str::to_owned),
        location: required(&["location"])?.to_owned(),
        // Absent means Basic.
        sku: text_at(resource, &["sku", "name"]).unwrap_or("Basic").to_owned(),
        allocation: match text_at(resource, &["properties", "publicIPAllocationMethod"]) {
            Some(method) if method.eq_ignore_ascii_case("Dynamic") => Allocation::Dynamic,
            _ => Allocation::Static,
        },
        label: label.transpose()?,
        label_scope: dns("domainNameLabelScope").and_then(scope),
        fqdn: fqdn.transpose()?,
        address: address.transpose()?,
        provisioning: match state {
            Some(state) if is_failure(state) => Provisioning::Failed,
            _ if is_under_way(resource) => Provisioning::Busy,
            _ => Provisioning::Succeeded,
        },
        attached_to: front.or(gateway),
        mark: marked(at(resource, &["tags"])),
        // Without one it can be read, and not written.
        version: Version(text_at(resource, &["etag"]).unwrap_or_default().to_owned()),
    })
}

/// The owner that `tags` name. Tag names have no case.
pub(in crate::provider::azure) fn marked(tags: Option<&Value>) -> Option<Owner> {
    let tags = tags?.as_object()?;
    let tag = |name: &str| {
        let (_, value) = tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        value.as_str()
    };
    (tag(mark::MANAGED_BY)? == mark::CNAMED).then(|| Owner::parse(tag(mark::OWNER)?).ok()).flatten()
}

pub(super) fn scope(text: &str) -> Option<LabelScope> {
    Some(match text {
        "TenantReuse" => LabelScope::TenantReuse,
        "SubscriptionReuse" => LabelScope::SubscriptionReuse,
        "ResourceGroupReuse" => LabelScope::ResourceGroupReuse,
        "NoReuse" => LabelScope::NoReuse,
        _ => return None,
    })
}

/// The network interface or load balancer that an IP configuration is part of.
fn front_of(configuration: &str) -> String {
    let parts = ["/ipConfigurations/", "/frontendIPConfigurations/"];
    let cut = parts.iter().find_map(|part| configuration.find(part));
    configuration[..cut.unwrap_or(configuration.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn full() -> Value {
        json!({
            "name": "pip-jump",
            "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/publicIPAddresses/pip-jump",
            "etag": "W/\"1\"",
            "location": "westeurope",
            "tags": {"Managed-By": "cnamed", "owner": "ops", "cost": "42"},
            "sku": {"name": "StandardV2", "tier": "Global"},
            "properties": {
                "provisioningState": "Succeeded",
                "ipAddress": "203.0.113.7",
                "publicIPAllocationMethod": "Static",
                "dnsSettings": {
                    "domainNameLabel": "contoso-jump",
                    "domainNameLabelScope": "GalaxyReuse",
                    "fqdn": "contoso-jump.a1b2.WestEurope.cloudapp.azure.com."
                },
                "ipConfiguration": {"id": "/s/networkInterfaces/nic/ipConfigurations/ip1"}
            }
        })
    }

    #[test]
    fn what_is_new_to_us_never_breaks_a_read() {
        let ip = parse(&full()).unwrap();
        assert_eq!(ip.sku, "StandardV2");
        assert_eq!(ip.label_scope, None, "a scope of tomorrow");
        assert_eq!(ip.fqdn.unwrap().as_str(), "contoso-jump.a1b2.westeurope.cloudapp.azure.com");
        assert_eq!(ip.mark.unwrap().as_str(), "ops");
        assert_eq!(ip.attached_to.as_deref(), Some("/s/networkInterfaces/nic"));
    }

    #[test]
    fn what_is_absent_has_its_documented_meaning() {
        let ip =
            parse(&json!({"id": "/x/pip", "location": "westeurope", "etag": "1", "properties": {}})).unwrap();
        assert_eq!(ip.sku, "Basic");
        assert_eq!(ip.provisioning, Provisioning::Succeeded);
        assert_eq!((ip.address, ip.label, ip.fqdn, ip.mark), (None, None, None, None));
    }

    #[test]
    fn what_we_rely_on_must_be_understood() {
        for (path, value) in [
            ("/properties/ipAddress", json!("everywhere")),
            ("/properties/dnsSettings/fqdn", json!("no name")),
            ("/properties/dnsSettings/domainNameLabel", json!("NOT-A-LABEL")),
            ("/id", Value::Null),
        ] {
            let mut resource = full();
            *resource.pointer_mut(path).unwrap() = value;
            parse(&resource).expect_err(path);
        }
    }

    /// Microsoft's own examples, where their specification is at hand: `CNAMED_AZURE_SPECS` names its folder.
    #[test]
    fn every_official_example_is_understood() {
        let examples = super::super::super::examples::of("PublicIp", &["id", "location", "properties"]);
        for (file, example) in examples {
            let ip = parse(&example).unwrap_or_else(|odd| panic!("{file}: {odd}"));
            assert_eq!(Some(ip.id.as_str()), example["id"].as_str(), "{file}");
            let told =
                |path: &str| example.pointer(path).and_then(Value::as_str).map(str::to_ascii_lowercase);
            let settings = "/properties/dnsSettings";
            assert_eq!(ip.fqdn.map(String::from), told(&format!("{settings}/fqdn")), "{file}");
            assert_eq!(ip.label.map(String::from), told(&format!("{settings}/domainNameLabel")), "{file}");
            let scope = told(&format!("{settings}/domainNameLabelScope"));
            assert_eq!(ip.label_scope.is_some(), scope.is_some(), "{file}");
            assert_eq!(
                ip.address.map(|address| address.to_string()),
                told("/properties/ipAddress"),
                "{file}"
            );
        }
    }

    #[test]
    fn states_are_told_apart() {
        for (state, expected) in [
            ("Succeeded", Provisioning::Succeeded),
            ("Updating", Provisioning::Busy),
            ("Deleting", Provisioning::Busy),
            ("SomethingNew", Provisioning::Busy),
            ("Failed", Provisioning::Failed),
            ("Canceled", Provisioning::Failed),
        ] {
            let mut resource = full();
            resource["properties"]["provisioningState"] = state.into();
            assert_eq!(parse(&resource).unwrap().provisioning, expected, "{state}");
        }
    }

    #[test]
    fn a_mark_of_another_program_is_none_of_ours() {
        assert_eq!(marked(Some(&json!({"managed-by": "terraform", "owner": "ops"}))), None);
        assert_eq!(marked(Some(&json!({"managed-by": "cnamed"}))), None);
        assert_eq!(marked(Some(&json!({"managed-by": "cnamed", "owner": "Not An Owner"}))), None);
        assert_eq!(marked(None), None);
    }
}
