//! Public IPs: what is sold, when there is an address, what a label costs, and how writes collide.

use std::time::Duration;

use cnamed::sandbox::{LegacyPublicIp, Options};
use serde_json::{Value, json};

use super::client::{Azure, network, public_ip, standard};

const FQDN: &str = "contoso-jump.westeurope.cloudapp.azure.com";

#[tokio::test]
async fn a_static_address_comes_with_creation_and_goes_with_deletion() {
    let azure =
        Azure::with(Options { operation_delay: Duration::from_millis(200), ..Options::default() }).await;
    let created = azure.put(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await.ok(201);
    assert_eq!(created.body["properties"]["provisioningState"], "Updating");
    assert_eq!(created.body["properties"]["ipAddress"], Value::Null, "the early view has no address");
    assert_eq!(created.header("retry-after"), Some("0"));
    let running = azure.follow(created.header("azure-asyncoperation").unwrap()).await.ok(200);
    assert_eq!(running.body["status"], "InProgress");
    assert_eq!(azure.settled(&created).await["status"], "Succeeded");

    let held = azure.get(&public_ip("PIP-Jump")).await.ok(200);
    let properties = &held.body["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["dnsSettings"]["fqdn"], FQDN);
    assert!(properties["ipAddress"].as_str().unwrap().starts_with("203.0.113."));
    assert_eq!(held.body["name"], "pip-jump", "names keep the case in which they were made");
    assert_ne!(held.body["etag"], created.body["etag"], "success is a version of its own");

    let deleted = azure.delete(&public_ip("pip-jump")).await.ok(202);
    assert_eq!(
        azure.get(&public_ip("pip-jump")).await.ok(200).body["properties"]["provisioningState"],
        "Deleting"
    );
    let location = deleted.header("location").unwrap().to_owned();
    azure.follow(&location).await.ok(202);
    assert_eq!(azure.settled(&deleted).await["status"], "Succeeded");
    azure.follow(&location).await.ok(204);
    azure.get(&public_ip("pip-jump")).await.refused(404, "ResourceNotFound");
    azure.delete(&public_ip("pip-jump")).await.ok(204);
}

#[tokio::test]
async fn what_is_not_sold_any_more_is_refused_in_the_services_words() {
    let azure = Azure::start().await;
    let refuse = async |change: &dyn Fn(&mut Value), status, code| {
        let mut body = standard(Some("contoso-jump"));
        change(&mut body);
        let answer = azure.put(&public_ip("pip-jump"), &body).await;
        answer.refused(status, code);
        azure.get(&public_ip("pip-jump")).await.refused(404, "ResourceNotFound");
        answer.message().to_owned()
    };
    let text = refuse(
        &|b| drop(b.as_object_mut().unwrap().remove("sku")),
        400,
        "IPv4BasicSkuPublicIpCountLimitReached",
    )
    .await;
    assert_eq!(
        text,
        "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region."
    );
    refuse(&|b| b["sku"]["name"] = json!("Basic"), 400, "IPv4BasicSkuPublicIpCountLimitReached").await;
    let dynamic = "StandardSkuPublicIPAddressesMustBeStatic";
    refuse(&|b| b["properties"]["publicIPAllocationMethod"] = json!("Dynamic"), 400, dynamic).await;
    refuse(&|b| b["properties"] = json!({}), 400, dynamic).await;
    refuse(
        &|b| {
            b["sku"]["name"] = json!("Basic");
            b["zones"] = json!(["1"]);
        },
        400,
        "ZonesNotAllowedInBasicSkuResource",
    )
    .await;
    refuse(&|b| b["sku"]["name"] = json!("Premium"), 400, "InvalidRequestFormat").await;
    refuse(&|b| drop(b.as_object_mut().unwrap().remove("location")), 400, "LocationRequired").await;
    refuse(&|b| b["location"] = json!("atlantis"), 400, "LocationNotAvailableForResourceType").await;
    refuse(&|b| b["properties"]["idleTimeoutInMinutes"] = json!(31), 400, "InvalidIdleTimeoutInMinutes")
        .await;
    let rule = refuse(
        &|b| b["properties"]["dnsSettings"]["domainNameLabel"] = json!("A-b"),
        400,
        "InvalidDomainNameLabel",
    )
    .await;
    assert!(rule.contains("^[a-z][a-z0-9-]{1,61}[a-z0-9]$"), "{rule}");
    refuse(
        &|b| b["properties"]["dnsSettings"]["domainNameLabel"] = json!("my-azure"),
        400,
        "DomainNameLabelReserved",
    )
    .await;
    let elsewhere = public_ip("x").replace("rg-mgmt", "rg-none");
    azure.put(&elsewhere, &standard(None)).await.refused(404, "ResourceGroupNotFound");
    let text = azure.send(azure.ask("PUT", &public_ip("x")).header("content-type", "application/json")).await;
    text.refused(400, "InvalidRequestContent");
    let mut untyped = azure.ask("PUT", &public_ip("x"));
    untyped.body = standard(None).to_string().into_bytes();
    azure.send(untyped).await.refused(415, "UnsupportedMediaType");
}

#[tokio::test]
async fn a_region_has_a_quota() {
    let azure = Azure::start().await;
    azure.sandbox.control().public_ip_quota(1);
    azure.made(&public_ip("pip-one"), &standard(None)).await;
    azure.made(&public_ip("pip-one"), &standard(None)).await;
    let refusal = azure.put(&public_ip("pip-two"), &standard(None)).await;
    refusal.refused(400, "PublicIPCountLimitReached");
    let text = "Cannot create more than 1 public IP addresses for this subscription in this region.";
    assert_eq!(refusal.message(), text);
}

#[tokio::test]
async fn a_label_has_one_holder_among_all_tenants() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    let available = async |label: &str| {
        let path = format!(
            "/providers/Microsoft.Network/locations/westeurope/CheckDnsNameAvailability?domainNameLabel={label}"
        );
        azure.get(&path).await.ok(200).body["available"].as_bool().unwrap()
    };
    assert!(available("contoso-jump").await);
    control.stranger_takes_label("contoso-jump").unwrap();
    assert!(!available("contoso-jump").await);
    let refusal = azure.put(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    refusal.refused(400, "DnsRecordInUse");
    assert_eq!(refusal.message(), format!("DNS record {FQDN} is already used by another public IP."));
    control.stranger_releases_label("contoso-jump").unwrap();
    azure.made(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    azure.put(&public_ip("pip-two"), &standard(Some("contoso-jump"))).await.refused(400, "DnsRecordInUse");
    assert!(control.stranger_takes_label("contoso-jump").is_err());

    // The same label is another name in another region.
    let mut north = standard(Some("contoso-jump"));
    north["location"] = json!("North Europe");
    let north = azure.made(&public_ip("pip-north"), &north).await;
    assert_eq!(north["location"], "northeurope");
    assert_eq!(north["properties"]["dnsSettings"]["fqdn"], "contoso-jump.northeurope.cloudapp.azure.com");
}

#[tokio::test]
async fn a_label_given_up_stays_reserved_for_a_while() {
    let azure = Azure::start().await;
    azure.sandbox.control().label_reservation(Duration::from_secs(3600));
    azure.made(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    let deleted = azure.delete(&public_ip("pip-jump")).await.ok(202);
    azure.settled(&deleted).await;
    let refusal = azure.put(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    refusal.refused(400, "DnsRecordIsReserved");
    assert_eq!(refusal.message(), format!("DNS record {FQDN} is already reserved by another resource."));
    // A relabel gives the old name up at once.
    azure.made(&public_ip("pip-jump"), &standard(Some("first-label"))).await;
    azure.made(&public_ip("pip-jump"), &standard(Some("second-label"))).await;
    azure
        .put(&public_ip("pip-two"), &standard(Some("first-label")))
        .await
        .refused(400, "DnsRecordIsReserved");
}

#[tokio::test]
async fn a_scope_puts_a_hash_into_the_name_and_cannot_be_changed() {
    let azure = Azure::start().await;
    let scoped = |scope: &str| {
        let mut body = standard(Some("contoso-jump"));
        body["properties"]["dnsSettings"]["domainNameLabelScope"] = json!(scope);
        body
    };
    let fqdn = |body: &Value| body["properties"]["dnsSettings"]["fqdn"].as_str().unwrap().to_owned();
    let first = fqdn(&azure.made(&public_ip("pip-jump"), &scoped("TenantReuse")).await);
    assert_eq!(first.split('.').nth(1).unwrap().len(), 16, "{first}");
    azure
        .put(&public_ip("pip-jump"), &scoped("NoReuse"))
        .await
        .refused(400, "DomainNameLabelScopeCannotBeChanged");
    let again = fqdn(&azure.made(&public_ip("pip-jump"), &scoped("TenantReuse")).await);
    assert_eq!(first, again);
    azure.put(&public_ip("pip-two"), &scoped("TenantReuse")).await.refused(400, "DnsRecordInUse");
    azure.settled(&azure.delete(&public_ip("pip-jump")).await).await;
    assert_eq!(
        fqdn(&azure.made(&public_ip("pip-jump"), &scoped("TenantReuse")).await),
        first,
        "reuse keeps the name"
    );

    let one = fqdn(&azure.made(&public_ip("pip-a"), &scoped("NoReuse")).await);
    azure.settled(&azure.delete(&public_ip("pip-a")).await).await;
    assert_ne!(one, fqdn(&azure.made(&public_ip("pip-a"), &scoped("NoReuse")).await));
    azure.put(&public_ip("pip-b"), &scoped("Sometimes")).await.refused(400, "InvalidRequestFormat");
}

#[tokio::test]
async fn a_put_replaces_all_that_can_be_set() {
    let azure = Azure::start().await;
    let mut body = standard(Some("contoso-jump"));
    body["tags"] = json!({"team": "ops"});
    body["zones"] = json!(["1", "2"]);
    body["properties"]["idleTimeoutInMinutes"] = json!(15);
    body["properties"]["deleteOption"] = json!("Detach");
    body["properties"]["somethingNew"] = json!({"a": 1});
    let mut held = azure.made(&public_ip("pip-jump"), &body).await;
    assert_eq!(held["properties"]["idleTimeoutInMinutes"], 15);
    assert_eq!(held["properties"]["somethingNew"], json!({"a": 1}));

    // What was read can be written back, read-only members and all.
    held["tags"]["more"] = json!("yes");
    let written = azure.made(&public_ip("pip-jump"), &held).await;
    for key in ["tags", "zones", "sku", "id", "location"] {
        assert_eq!(written[key], held[key], "{key}");
    }
    for key in
        ["deleteOption", "idleTimeoutInMinutes", "somethingNew", "ipAddress", "resourceGuid", "dnsSettings"]
    {
        assert_eq!(written["properties"][key], held["properties"][key], "{key}");
    }

    // What is left out is gone, and zones cannot go.
    let bare = standard(Some("contoso-jump"));
    azure.put(&public_ip("pip-jump"), &bare).await.refused(400, "ResourceAvailabilityZonesCannotBeModified");
    let mut bare = bare;
    bare["zones"] = json!(["1", "2"]);
    let written = azure.made(&public_ip("pip-jump"), &bare).await;
    assert_eq!(written["tags"], Value::Null);
    assert_eq!(written["properties"]["deleteOption"], Value::Null);
    assert_eq!(written["properties"]["idleTimeoutInMinutes"], 4);
    let mut bare = bare;
    bare["location"] = json!("northeurope");
    azure.put(&public_ip("pip-jump"), &bare).await.refused(409, "InvalidResourceLocation");
}

#[tokio::test]
async fn a_patch_writes_tags_alone() {
    let azure = Azure::start().await;
    let before = azure.made(&public_ip("pip-jump"), &standard(Some("contoso-jump"))).await;
    let ask = azure.ask("PATCH", &public_ip("pip-jump")).json(&json!({"tags": {"team": "ops"}}));
    let after = azure.send(ask).await.ok(200).body;
    assert_eq!(after["tags"], json!({"team": "ops"}));
    assert_eq!(after["properties"], before["properties"]);
    assert_ne!(after["etag"], before["etag"]);
}

#[tokio::test]
async fn writes_are_conditional_where_the_client_says_so() {
    let azure = Azure::start().await;
    let path = public_ip("pip-jump");
    let body = standard(None);
    let put =
        async |name, value: &str| azure.send(azure.ask("PUT", &path).json(&body).header(name, value)).await;
    put("if-match", "*").await.refused(412, "PreconditionFailed");
    azure.settled(&put("if-none-match", "*").await.ok(201)).await;
    put("if-none-match", "*").await.refused(412, "PreconditionFailed");
    let old = azure.get(&path).await.ok(200).body["etag"].as_str().unwrap().to_owned();
    azure.settled(&put("if-match", &old).await.ok(200)).await;
    put("if-match", &old).await.refused(412, "PreconditionFailed");
    azure.send(azure.ask("DELETE", &path).header("if-match", old)).await.refused(412, "PreconditionFailed");
    let new = azure.get(&path).await.ok(200).body["etag"].as_str().unwrap().to_owned();
    azure.send(azure.ask("DELETE", &path).header("if-match", new)).await.ok(202);
}

#[tokio::test]
async fn a_resource_takes_one_operation_at_a_time() {
    let azure =
        Azure::with(Options { operation_delay: Duration::from_secs(3600), ..Options::default() }).await;
    let path = public_ip("pip-jump");
    azure.put(&path, &standard(None)).await.ok(201);
    azure.put(&path, &standard(None)).await.refused(409, "AnotherOperationInProgress");
    azure.delete(&path).await.refused(409, "AnotherOperationInProgress");
    azure.put(&public_ip("pip-two"), &standard(None)).await.ok(201);
}

#[tokio::test]
async fn a_dynamic_address_lives_while_its_machine_runs() {
    let azure = Azure::start().await;
    let control = azure.sandbox.control();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).unwrap();
    let path = public_ip("pip-jump");
    let address = async || azure.get(&path).await.ok(200).body["properties"]["ipAddress"].clone();
    let first = address().await;
    assert!(first.is_string());
    let machine = "/resourceGroups/rg-mgmt/providers/Microsoft.Compute/virtualMachines/vm-jump";
    let power = async || {
        let view = azure.get(&format!("{machine}/instanceView")).await.ok(200);
        view.body["statuses"][1]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(power().await, "PowerState/running");
    azure.settled(&azure.send(azure.ask("POST", &format!("{machine}/deallocate"))).await.ok(202)).await;
    assert_eq!(power().await, "PowerState/deallocated");
    assert_eq!(address().await, Value::Null);
    let held = azure.get(&path).await.body;
    assert_eq!(held["properties"]["dnsSettings"]["fqdn"], FQDN, "the label stays");
    azure.settled(&azure.send(azure.ask("POST", &format!("{machine}/start"))).await.ok(202)).await;
    let second = address().await;
    assert!(second.is_string() && second != first, "{first} {second}");

    // A Basic address that exists can still be written; a static one keeps what it has.
    let mut body = azure.get(&path).await.body;
    body["properties"]["publicIPAllocationMethod"] = json!("Static");
    let kept = azure.made(&path, &body).await;
    assert_eq!(kept["properties"]["ipAddress"], second);
    control.deallocate_vm();
    assert_eq!(address().await, second);
}

#[tokio::test]
async fn an_address_in_use_cannot_be_deleted() {
    let azure = Azure::start().await;
    azure.sandbox.control().create_legacy_public_ip(&LegacyPublicIp::default()).unwrap();
    let refusal = azure.delete(&public_ip("pip-jump")).await;
    refusal.refused(400, "PublicIPAddressCannotBeDeleted");
    assert!(refusal.message().contains("networkInterfaces/vm-jump-nic/ipConfigurations/ipconfig1"));
    // Not upgraded either, while it is dynamic.
    let mut body = azure.get(&public_ip("pip-jump")).await.body;
    body["sku"]["name"] = json!("Standard");
    body["properties"]["publicIPAllocationMethod"] = json!("Static");
    azure.put(&public_ip("pip-jump"), &body).await.refused(400, "PublicIPAddressMustBeStaticToUpgradeSku");
}

#[tokio::test]
async fn a_standard_address_is_never_made_basic() {
    let azure = Azure::start().await;
    azure.made(&public_ip("pip-jump"), &standard(None)).await;
    let mut body = standard(None);
    body.as_object_mut().unwrap().remove("sku");
    azure.put(&public_ip("pip-jump"), &body).await.refused(400, "SkuCannotBeChangedOnUpdate");
    let mut body = standard(None);
    body["properties"]["publicIPAddressVersion"] = json!("IPv6");
    azure.put(&public_ip("pip-jump"), &body).await.refused(400, "PublicIPAddressVersionCannotBeChanged");
    let six = azure.made(&public_ip("pip-six"), &body).await;
    assert!(six["properties"]["ipAddress"].as_str().unwrap().contains(':'));
}

#[tokio::test]
async fn a_reverse_name_must_lead_back() {
    let azure = Azure::start().await;
    let with = |label: &str, reverse: &str| {
        let mut body = standard(Some(label));
        body["properties"]["dnsSettings"]["reverseFqdn"] = json!(reverse);
        body
    };
    let code = "ReverseFqdnDoesNotBelongToSubscription";
    azure
        .put(&public_ip("pip-jump"), &with("contoso-jump", "jumpstation.example.com."))
        .await
        .refused(400, code);
    azure.made(&public_ip("pip-jump"), &with("contoso-jump", &format!("{FQDN}."))).await;
    let alias = json!({"properties": {"TTL": 30, "CNAMERecord": {"cname": FQDN}}});
    let record = "/resourceGroups/rg-dns/providers/Microsoft.Network/dnsZones/example.com/CNAME/jumpstation";
    azure.put(record, &alias).await.ok(201);
    azure.made(&public_ip("pip-jump"), &with("contoso-jump", "jumpstation.example.com.")).await;
    // Reported for the service: with a scope, not even the own name is known yet at creation.
    let mut scoped = with("scoped", "scoped.westeurope.cloudapp.azure.com.");
    scoped["properties"]["dnsSettings"]["domainNameLabelScope"] = json!("TenantReuse");
    azure.put(&public_ip("pip-scoped"), &scoped).await.refused(400, code);
}

#[tokio::test]
async fn lists_hold_what_their_scope_holds() {
    let azure = Azure::start().await;
    azure.made(&public_ip("pip-jump"), &standard(None)).await;
    azure.put("/resourceGroups/rg-two", &json!({"location": "westeurope"})).await.ok(201);
    let other = public_ip("pip-other").replace("rg-mgmt", "rg-two");
    azure.made(&other, &standard(None)).await;
    let names = async |path: &str| {
        let list = azure.get(path).await.ok(200).body;
        list["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ip| ip["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = "/providers/Microsoft.Network/publicIPAddresses";
    assert_eq!(names(all).await, ["pip-jump", "pip-other"]);
    assert_eq!(names(&format!("/resourceGroups/rg-mgmt{all}")).await, ["pip-jump"]);
    assert_eq!(
        names(&network("publicipaddresses", "").replace("providers/M", "PROVIDERS/m")).await,
        ["pip-jump"]
    );
}
