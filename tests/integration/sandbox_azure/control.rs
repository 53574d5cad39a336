//! The outside world: the verbs in process, the same over HTTP, and the ready configuration.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cnamed::sandbox::{AZURE_IDENTITY, CLOUDFLARE_TOKENS, LegacyPublicIp, RecordAtAzure};
use serde_json::{Value, json};

use super::client::{Answer, Ask, Azure, public_ip, standard};

async fn verb(azure: &Azure, verb: &str, body: &Value) -> Answer {
    let url = format!("{}/control/{verb}", azure.sandbox.addresses().control);
    azure.send(Ask::new("POST", url).json(body)).await
}

#[tokio::test]
async fn a_recreated_address_is_another_under_the_same_name() {
    let azure = Azure::start().await;
    let before = azure.made(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    azure.sandbox.control().recreate_public_ip("pip-jump").unwrap();
    let after = azure.get(&public_ip("pip-jump")).await.ok(200).body;
    assert_ne!(after["properties"]["ipAddress"], before["properties"]["ipAddress"]);
    assert_ne!(after["properties"]["resourceGuid"], before["properties"]["resourceGuid"]);
    assert_eq!(after["properties"]["dnsSettings"], before["properties"]["dnsSettings"]);
    assert_eq!(after["id"], before["id"]);
}

#[tokio::test]
async fn people_relabel_edit_and_delete() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    azure.made(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    control.relabel("pip-jump", Some("other-label")).unwrap();
    let held = azure.get(&public_ip("pip-jump")).await.body;
    assert_eq!(held["properties"]["dnsSettings"]["fqdn"], "other-label.westeurope.cloudapp.azure.com");
    control.stranger_takes_label("contoso-jump").unwrap();
    control.edit_public_ip("pip-jump", &json!({"tags": {"team": "ops"}})).unwrap();
    assert_eq!(control.public_ip("pip-jump").unwrap()["tags"], json!({"team": "ops"}));
    control.delete_public_ip("pip-jump").unwrap();
    azure.get(&public_ip("pip-jump")).await.refused(404, "ResourceNotFound");
    assert!(control.delete_public_ip("pip-jump").is_err());

    control.create_legacy_public_ip(&LegacyPublicIp { label: None, ..LegacyPublicIp::default() }).unwrap();
    control.delete_public_ip("pip-jump").unwrap();
    let nic = azure.get(&super::client::network("networkInterfaces", "vm-jump-nic")).await.ok(200).body;
    assert!(nic["properties"]["ipConfigurations"][0]["properties"]["publicIPAddress"].is_null());
}

#[tokio::test]
async fn records_drift_at_azure_under_azures_rules() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    control.set_record_azure(&RecordAtAzure::new("jump.example.com", "CNAME", "a.example.net")).unwrap();
    let set = control.record_azure("jump.example.com", "CNAME").unwrap();
    assert_eq!(set["properties"]["CNAMERecord"]["cname"], "a.example.net");
    assert!(
        control.set_record_azure(&RecordAtAzure::new("www.example.com", "CNAME", "a.example.net")).is_err()
    );
    assert!(control.set_record_azure(&RecordAtAzure::new("www.example.org", "A", "192.0.2.1")).is_err());
    control.delete_record_azure("jump.example.com", "CNAME").unwrap();
    assert!(control.delete_record_azure("jump.example.com", "CNAME").is_err());
}

#[tokio::test]
async fn every_verb_is_there_over_http() {
    let azure = Azure::start().await;
    let base = azure.sandbox.addresses().control.clone();
    let listing = azure.send(Ask::new("GET", format!("{base}/control"))).await.ok(200).body;
    let verbs: Vec<_> =
        listing["verbs"].as_array().unwrap().iter().map(|v| v["verb"].as_str().unwrap()).collect();
    assert!(verbs.contains(&"deallocate-vm"), "{verbs:?}");
    assert_eq!(listing["addresses"]["control"], json!(base));

    let bodies = json!({
        "create-legacy-public-ip": {"name": "pip-jump", "tags": {"a": "b"}},
        "recreate-public-ip": {"name": "pip-jump"},
        "relabel": {"name": "pip-jump", "label": "other-label"},
        "edit-public-ip": {"name": "pip-jump", "changes": {"tags": {"c": "d"}}},
        "show-public-ip": {"name": "pip-jump"},
        "delete-public-ip": {"name": "pip-jump"},
        "stranger-takes-label": {"label": "strange"},
        "stranger-releases-label": {"label": "strange"},
        "set-record-azure": {"name": "n.example.com", "type": "CNAME", "values": ["a.example.net"]},
        "delete-record-azure": {"name": "n.example.com", "type": "CNAME"},
        "set-record-cloudflare": {"name": "n.example.com", "type": "CNAME", "content": "a.example.net", "ttl": 60},
        "add-zone-cloudflare": {"name": "example.com"},
        "delete-zone-cloudflare": {"name": "example.net"},
        "proxy": {"name": "n.example.com", "proxied": true},
        "delete-record-cloudflare": {"name": "n.example.com", "type": "CNAME"},
        "delegate": {"to": "cloudflare"},
        "fault": {"service": "arm", "path": "/none", "action": {"kind": "latency", "milliseconds": 1}},
        "dns-fault": {"server": "azure1", "fault": "silent"},
        "put-resource": {"id": "networkSecurityGroups/nsg", "body": {"location": "westeurope"}},
        "edit-resource": {"id": "networkSecurityGroups/nsg", "changes": {"tags": {"a": "b"}}},
        "show-resource": {"id": "networkSecurityGroups/nsg"},
        "delete-resource": {"id": "networkSecurityGroups/nsg"},
        "keep-busy": {"id": "networkInterfaces/vm-jump-nic", "milliseconds": 1},
        "service": {"port": 22, "speaks": "closed"},
        "client-address": {"address": "198.51.100.1"},
        "hold-at": {"n": 1},
        "switch-token": {"token": CLOUDFLARE_TOKENS.good, "on": false},
        "grant": {"client_id": AZURE_IDENTITY.reader_client_id, "actions": ["*"], "scope": "/"},
        "throttle-scale": {"scale": 0.5},
        "operation-delay": {"milliseconds": 5},
        "public-ip-quota": {"quota": 5},
        "label-reservation": {"milliseconds": 5},
        "clear-table": {"table": "SecurityEvent"},
        "attack": {"table": "Syslog", "count": 2, "account": "root", "at": "2026-11-22T10:00:00Z"},
        "drop-table": {"table": "Syslog"},
        "made-at": {"name": "vm-jump-nic", "at": "2026-11-22T10:00:00Z"},
    });
    // In an order in which each finds what it needs; the rest has no body.
    for (name, body) in bodies.as_object().unwrap() {
        let answer = verb(&azure, name, body).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    for name in verbs {
        let apart = ["wait-until-held", "create-vm"].contains(&name);
        if bodies.get(name).is_none() && !apart {
            let answer = verb(&azure, name, &json!({})).await;
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
        }
    }
    let network = azure.sandbox.control().show_resource("virtualNetworks/vnet-mgmt").unwrap();
    let subnet = network["properties"]["subnets"][0]["id"].clone();
    let configuration = json!({"name": "ipconfig1", "properties": {"subnet": {"id": subnet}}});
    let interface = json!({"location": "westeurope", "properties": {"ipConfigurations": [configuration]}});
    azure.sandbox.control().put_resource("networkInterfaces/vm-old-nic", &interface).unwrap();
    let machine = json!({"name": "vm-old", "interface": "vm-old-nic"});
    verb(&azure, "create-vm", &machine).await.ok(200);
    verb(&azure, "create-vm", &machine).await.ok(409);
    verb(&azure, "switch-token", &json!({"token": "none", "on": true})).await.ok(409);
    verb(&azure, "no-such", &json!({})).await.ok(400);
    verb(&azure, "relabel", &json!({"nam": "x"})).await.ok(400);
    verb(&azure, "relabel", &json!({"name": "none", "label": "abc"})).await.ok(409);
}

#[tokio::test]
async fn holding_works_over_http() {
    let azure = Azure::start().await;
    verb(&azure, "hold-at", &json!({"n": 1, "mutations_only": true, "point": "after"})).await.ok(200);
    let (path, body) = (public_ip("pip-jump"), standard(None));
    let (answer, ()) = tokio::join!(azure.put(&path, &body), async {
        let (name, none) = ("wait-until-held", json!({}));
        let held =
            tokio::time::timeout(Duration::from_secs(10), verb(&azure, name, &none)).await.unwrap().ok(200);
        assert!(held.body["number"].as_u64().unwrap() > 0);
        verb(&azure, "release", &json!({})).await.ok(200);
    });
    answer.ok(201);
    let base = &azure.sandbox.addresses().control;
    let log = azure.send(Ask::new("GET", format!("{base}/requests"))).await.ok(200).body;
    assert_eq!(log.as_array().unwrap().last().unwrap()["status"], 201);
    azure.send(Ask::new("DELETE", format!("{base}/requests"))).await.ok(200);
    assert!(azure.sandbox.requests().is_empty());
}

#[tokio::test]
async fn reset_begins_anew_at_the_same_addresses() {
    let mut azure = Azure::start().await;
    azure.made(&public_ip("pip-jump"), &standard(None)).await;
    azure.sandbox.control().reset();
    azure.get("").await.refused(401, "InvalidAuthenticationToken");
    azure.become_principal(AZURE_IDENTITY.client_id, AZURE_IDENTITY.client_secret).await;
    azure.get(&public_ip("pip-jump")).await.refused(404, "ResourceNotFound");
}

#[tokio::test]
async fn the_configuration_is_written_with_its_files() {
    let azure = Azure::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = azure.sandbox.write_config(directory.path()).unwrap();
    // Twice is as good as once.
    assert_eq!(azure.sandbox.write_config(directory.path()).unwrap(), path);
    let text = std::fs::read_to_string(&path).unwrap();
    let config: toml::Table = text.parse().unwrap();
    assert_eq!(config["owner"].as_str(), Some("demo"));
    let azure_section = config["azure"].as_table().unwrap();
    assert_eq!(
        azure_section["resource_manager"].as_str(),
        Some(azure.sandbox.addresses().resource_manager.as_str())
    );
    let secret = azure_section["client_secret"]["file"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(secret).unwrap(), AZURE_IDENTITY.client_secret);
    assert_eq!(std::fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
    let ca = config["tls"]["extra_ca"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(ca).unwrap(), azure.sandbox.ca_pem());
    assert_eq!(config["record"][0]["name"].as_str(), Some("jumpstation.example.com"));
    assert_eq!(config["account"][0]["name_servers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn dropping_the_sandbox_stops_its_servers() {
    let azure = Azure::start().await;
    let url = url::Url::parse(&azure.sandbox.addresses().resource_manager).unwrap();
    let address = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    drop(azure);
    let closed = async {
        while tokio::net::TcpStream::connect((address.0.as_str(), address.1)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
}
