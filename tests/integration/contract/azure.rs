//! Azure keeps the contract, over the sandbox.

use async_trait::async_trait;
use cnamed::model::endpoint::Endpoint;
use cnamed::model::record::{Content, Data, RecordType, mark};
use cnamed::model::resource_id::ResourceId;
use cnamed::provider::azure::{AzureDns, AzureNetwork};
use cnamed::provider::{DnsProvider, NetworkProvider};
use cnamed::sandbox::{AZURE_IDENTITY, Action, Control, Fault, LegacyPublicIp, RecordAtAzure, Service};
use serde_json::{Value, json};

use super::gateway::{GatewaySubject, gateway_contract};
use super::network::{NetworkSubject, network_contract};
use super::{Lost, Planted, Subject};
use crate::azure_cloud::Rehearsal;
use crate::laws::world::{fqdn, handle, owner, ttl};

struct AtAzure {
    rehearsal: Rehearsal,
    provider: AzureDns,
}

impl AtAzure {
    async fn new() -> Self {
        let rehearsal = Rehearsal::start().await;
        let control = rehearsal.sandbox.control();
        // The throttling of writes is not what is looked at.
        control.throttle_scale(0.0);
        let provider = AzureDns::new(handle("azure"), rehearsal.arm(), "rg-dns".into(), None, None, None);
        for (name, kind) in seeded(&control) {
            control.delete_record_azure(&name, &kind).unwrap();
        }
        Self { rehearsal, provider }
    }

    fn control(&self) -> Control {
        self.rehearsal.sandbox.control()
    }
}

/// Every set but the zone's own.
fn seeded(control: &Control) -> Vec<(String, String)> {
    let records = control.records_without("").into_iter().filter(|record| record.get("properties").is_some());
    let named = records.map(|record| {
        let kind = record["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (record["properties"]["fqdn"].as_str().unwrap().trim_end_matches('.').to_owned(), kind)
    });
    named.filter(|(_, kind)| !matches!(kind.as_str(), "SOA" | "NS")).collect()
}

#[async_trait]
impl Subject for AtAzure {
    fn provider(&self) -> &dyn DnsProvider {
        &self.provider
    }

    fn alias_target(&self) -> Option<String> {
        let legacy = LegacyPublicIp::default();
        self.control().create_legacy_public_ip(&legacy).unwrap();
        Some(self.control().public_ip(&legacy.name)?["id"].as_str()?.to_owned())
    }

    async fn plant(&self, name: &str, planted: Planted) {
        let Planted { content: Content { data, ttl, .. }, mark, note } = planted;
        let mut values = Vec::new();
        let mut target = None;
        let kind = data.rtype().to_string();
        match data {
            Data::Cname(name) => values.push(name.to_string()),
            Data::A(addresses) => values.extend(addresses.iter().map(ToString::to_string)),
            Data::Aaaa(addresses) => values.extend(addresses.iter().map(ToString::to_string)),
            Data::Opaque { text, .. } => values.push(text),
            Data::Alias { target: id, .. } => target = Some(id),
        }
        let mut record = RecordAtAzure::new(&puny(name), &kind, "");
        (record.ttl, record.values, record.target) = (ttl.seconds(), values, target);
        if let Some(owner) = mark {
            record.metadata.insert(mark::MANAGED_BY.into(), mark::CNAMED.into());
            record.metadata.insert(mark::OWNER.into(), owner.to_string());
        }
        if !note.is_empty() {
            record.metadata.insert("note".into(), note);
        }
        self.control().set_record_azure(&record).unwrap();
    }

    async fn held(&self, name: &str, rtype: RecordType) -> Option<Planted> {
        let record = self.control().record_azure(name, rtype.as_str())?;
        let properties = &record["properties"];
        let data = match rtype {
            RecordType::Cname => Data::Cname(fqdn(properties["CNAMERecord"]["cname"].as_str().unwrap())),
            RecordType::A => {
                let records = properties["ARecords"].as_array().unwrap().iter();
                Data::A(records.map(|one| one["ipv4Address"].as_str().unwrap().parse().unwrap()).collect())
            }
            rtype => Data::Opaque { rtype, text: String::new() },
        };
        let ttl = ttl(u32::try_from(properties["TTL"].as_u64().unwrap()).unwrap());
        let metadata = |key: &str| properties["metadata"][key].as_str();
        let mark = (metadata(mark::MANAGED_BY) == Some(mark::CNAMED))
            .then(|| metadata(mark::OWNER).map(owner))
            .flatten();
        let note = metadata("note").unwrap_or_default().to_owned();
        Some(Planted { content: Content { data, ttl, proxied: false }, mark, note })
    }

    async fn lose(&self, name: &str, lost: Lost) {
        let relative = name.trim_end_matches(".example.com");
        for method in ["PUT", "DELETE"] {
            // One of them strikes; the other one waits, and is disarmed by the next loss.
            self.control().fault(losing(lost).method(method).path(&format!("/{relative}")));
        }
    }
}

fn losing(lost: Lost) -> Fault {
    let action = match lost {
        Lost::Request => Action::Reset,
        Lost::Answer => Action::LostAnswer,
    };
    Fault::on(Service::Arm, action)
}

/// A person writes what they like; the service's own form is Punycode.
fn puny(name: &str) -> String {
    if name.is_ascii() { name.to_owned() } else { fqdn(name).to_string() }
}

super::contract!(AtAzure::new());

mod network {
    use super::*;

    struct AtAzureNetwork {
        rehearsal: Rehearsal,
        provider: AzureNetwork,
    }

    impl AtAzureNetwork {
        async fn new() -> Self {
            let rehearsal = Rehearsal::start().await;
            let provider = AzureNetwork::new(rehearsal.arm());
            Self { rehearsal, provider }
        }
    }

    #[async_trait]
    impl NetworkSubject for AtAzureNetwork {
        fn provider(&self) -> &dyn NetworkProvider {
            &self.provider
        }

        async fn take(&self, label: &str) {
            self.rehearsal.sandbox.control().stranger_takes_label(label).unwrap();
        }

        async fn touch(&self, endpoint: &Endpoint) {
            let edit: Value = json!({"tags": {"cost": "42"}});
            self.rehearsal.sandbox.control().edit_public_ip(&endpoint.public_ip.name, &edit).unwrap();
        }

        async fn relabel(&self, endpoint: &Endpoint, label: &str) {
            self.rehearsal.sandbox.control().relabel(&endpoint.public_ip.name, Some(label)).unwrap();
        }

        async fn lose(&self, _: &Endpoint, lost: Lost) {
            for method in ["PUT", "DELETE"] {
                let fault = losing(lost).method(method).path("/publicIPAddresses/");
                self.rehearsal.sandbox.control().fault(fault);
            }
        }
    }

    network_contract!(AtAzureNetwork::new());

    #[async_trait]
    impl GatewaySubject for AtAzureNetwork {
        fn id(&self, kind: &str, name: &str) -> ResourceId {
            ResourceId::network(AZURE_IDENTITY.subscription, "rg-mgmt", kind, name)
        }

        fn machine(&self) -> ResourceId {
            self.id("networkInterfaces", "vm-jump-nic")
        }

        async fn plant(&self, load_balancer: &ResourceId, group: &ResourceId) {
            let control = self.rehearsal.sandbox.control();
            let address = self.id("publicIPAddresses", "theirs");
            let put = |id: &ResourceId, body: Value| control.put_resource(id.as_str(), &body).unwrap();
            let standard = json!({"name": "Standard"});
            put(
                &address,
                json!({
                    "location": "westeurope", "sku": standard,
                    "properties": {"publicIPAllocationMethod": "Static"},
                }),
            );
            put(
                load_balancer,
                json!({
                    "location": "westeurope", "sku": standard,
                    "properties": {
                        "frontendIPConfigurations": [{
                            "name": "theirs", "properties": {"publicIPAddress": {"id": address.as_str()}},
                        }],
                        "backendAddressPools": [{"name": "theirs", "properties": {}}],
                    },
                }),
            );
            put(
                group,
                json!({
                    "location": "westeurope",
                    "properties": {"securityRules": [{"name": "theirs", "properties": {
                        "priority": 4000, "direction": "Inbound", "access": "Deny", "protocol": "*",
                        "sourceAddressPrefix": "*", "sourcePortRange": "*",
                        "destinationAddressPrefix": "*", "destinationPortRange": "*",
                    }}]},
                }),
            );
            let machine = self.machine();
            let mut body = control.show_resource(machine.as_str()).unwrap();
            let pool = load_balancer.part("backendAddressPools", "theirs");
            body["properties"]["ipConfigurations"][0]["properties"]["loadBalancerBackendAddressPools"] =
                json!([{"id": pool.as_str()}]);
            body["properties"]["networkSecurityGroup"] = json!({"id": group.as_str()});
            put(&machine, body);
        }

        async fn theirs(&self, load_balancer: &ResourceId, group: &ResourceId) -> Vec<String> {
            let control = self.rehearsal.sandbox.control();
            let parts = |id: &ResourceId, collection: &str| -> Vec<String> {
                let whole = control.show_resource(id.as_str()).unwrap();
                let listed = whole["properties"][collection].as_array().cloned().unwrap_or_default();
                let theirs = listed.into_iter().filter(|part| part["name"] == "theirs");
                theirs
                    .map(|mut part| {
                        part["etag"] = Value::Null;
                        part.to_string()
                    })
                    .collect()
            };
            let mut all = parts(load_balancer, "frontendIPConfigurations");
            all.extend(parts(load_balancer, "backendAddressPools"));
            all.extend(parts(group, "securityRules"));
            all
        }

        async fn bend(&self, load_balancer: &ResourceId, rule: &str) {
            let id = load_balancer.part("inboundNatRules", rule);
            let change = json!({"properties": {"backendPort": 5900}});
            self.rehearsal.sandbox.control().edit_resource(id.as_str(), &change).unwrap();
        }

        async fn open(&self, group: &ResourceId, rule: &str) {
            let id = group.part("securityRules", rule);
            let change = json!({"properties": {"sourceAddressPrefix": "198.51.100.0/24"}});
            self.rehearsal.sandbox.control().edit_resource(id.as_str(), &change).unwrap();
        }
    }

    mod gateway {
        use super::*;

        gateway_contract!(AtAzureNetwork::new());
    }
}
