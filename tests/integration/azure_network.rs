//! Public IPs and labels against the sandbox cloud: what is asked, how often, and what is left standing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test speaks by panicking, in its helping functions too"
)]

mod adverse;

use cnamed::model::endpoint::{Allocation, LabelScope, Provisioning};
use cnamed::model::state::{LabelHolder, Seen};
use cnamed::provider::azure::AzureNetwork;
use cnamed::provider::{Kind, NetworkProvider};
use cnamed::sandbox::{AZURE_IDENTITY, Action, Fault, LegacyPublicIp, Service};
use serde_json::{Value, json};

use crate::azure_cloud::{Rehearsal, change, deletion, endpoint, owner, scoped};

#[tokio::test]
async fn an_address_comes_into_being_with_its_label_and_our_mark() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let mut wanted = endpoint("contoso-jump");
    wanted.public_ip.zones = vec!["1".into(), "2".into(), "3".into()];
    let seen = network.observe(&wanted).await;
    assert_eq!(seen.public_ip, Seen::Absent);
    assert_eq!(seen.label, Seen::Present(LabelHolder::Nobody));
    assert_eq!(rehearsal.methods(), ["GET", "GET"], "the address, and whether its label is free");

    let made = network.apply(&owner(), &change(&wanted, None)).await.expect("made").expect("there");
    assert_eq!(
        made.fqdn.as_ref().map(|name| name.as_str()),
        Some("contoso-jump.westeurope.cloudapp.azure.com")
    );
    assert!(made.address.is_some(), "the early view without an address is not the end");
    assert_eq!(made.provisioning, Provisioning::Succeeded);
    assert_eq!((made.sku.as_str(), made.allocation), ("Standard", Allocation::Static));
    assert_eq!(made.mark, Some(owner()));
    let puts: Vec<_> = rehearsal.asked().into_iter().filter(|request| request.method == "PUT").collect();
    assert_eq!(puts.len(), 1);
    assert_eq!(puts[0].header("if-none-match"), Some("*"));
    assert_eq!(puts[0].body["zones"], json!(["1", "2", "3"]));

    let seen = network.observe(&wanted).await;
    assert_eq!(seen.public_ip, Seen::Present(made.clone()));
    assert_eq!(rehearsal.methods(), ["GET"], "one read tells everything while the label is held");

    let again = network.apply(&owner(), &change(&wanted, None)).await.expect("stands already");
    assert_eq!(again, Some(made));
    assert_eq!(rehearsal.methods(), ["GET"], "what stands already is not written again");
}

#[tokio::test]
async fn a_scope_puts_a_hash_into_the_name_and_the_name_is_only_ever_read() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let wanted = scoped(endpoint("contoso-jump"), LabelScope::TenantReuse);
    let made = network.apply(&owner(), &change(&wanted, None)).await.expect("made").expect("there");
    let name = made.fqdn.expect("a name").to_string();
    assert_eq!(name.split('.').count(), 6, "{name}");
    assert_eq!(made.label_scope, Some(LabelScope::TenantReuse));
}

#[tokio::test]
async fn who_holds_a_label_is_told_apart() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    rehearsal.sandbox.control().stranger_takes_label("contoso-jump").expect("taken");
    let wanted = endpoint("contoso-jump");
    assert_eq!(network.observe(&wanted).await.label, Seen::Present(LabelHolder::Stranger));
    assert_eq!(rehearsal.methods(), ["GET", "GET", "GET"]);
    let error = network.apply(&owner(), &change(&wanted, None)).await.expect_err("the label is a stranger's");
    assert_eq!(error.kind(), Kind::Rejected);
    assert!(error.chain().contains("DnsRecordInUse") && error.next_step().is_some(), "{}", error.chain());
    let scoped = scoped(wanted, LabelScope::TenantReuse);
    let seen = network.observe(&scoped).await.label;
    assert_eq!(seen, Seen::Present(LabelHolder::Nobody), "a hash keeps our name apart from the stranger's");

    let mut other = endpoint("contoso-other");
    other.public_ip.name = "pip-other".into();
    network.apply(&owner(), &change(&other, None)).await.expect("made");
    let wanted = endpoint("contoso-other");
    let Seen::Present(LabelHolder::Own(id)) = network.observe(&wanted).await.label else {
        panic!("our own address holds it")
    };
    assert!(id.ends_with("/pip-other"), "{id}");

    // Who may not list the subscription lists the group, and a scope is settled without any other right.
    let denied = json!({"error": {"code": "AuthorizationFailed", "message": "The client does not have authorization."}});
    let denied = Fault::on(Service::Arm, Action::Status { status: 403, headers: vec![], body: denied });
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.Network/publicIPAddresses",
        AZURE_IDENTITY.subscription
    );
    rehearsal.sandbox.control().fault(denied.path(&path).always());
    let Seen::Present(LabelHolder::Own(id)) = network.observe(&wanted).await.label else {
        panic!("our own address holds it")
    };
    assert!(id.ends_with("/pip-other"), "{id}");
    assert_eq!(network.observe(&scoped).await.label, Seen::Present(LabelHolder::Nobody));
}

#[tokio::test]
async fn a_rename_keeps_everything_that_others_set() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let first = endpoint("contoso-jump");
    network.apply(&owner(), &change(&first, None)).await.expect("made");
    let control = rehearsal.sandbox.control();
    let theirs = json!({"tags": {"managed-by": "cnamed", "owner": "demo", "cost": "42"},
        "properties": {"idleTimeoutInMinutes": 17, "ipTags": [{"ipTagType": "RoutingPreference", "tag": "Internet"}],
                       "ddosSettings": {"protectionMode": "Enabled"}}});
    control.edit_public_ip("pip-jump", &theirs).expect("edited");
    let before = control.public_ip("pip-jump").expect("there");
    let held = network.observe(&first).await.public_ip.present().cloned().expect("there");
    rehearsal.asked();

    let second = endpoint("contoso-new");
    let made =
        network.apply(&owner(), &change(&second, Some(held.clone()))).await.expect("renamed").expect("there");
    assert_eq!(made.fqdn.expect("a name").as_str(), "contoso-new.westeurope.cloudapp.azure.com");
    let puts: Vec<_> = rehearsal.asked().into_iter().filter(|request| request.method == "PUT").collect();
    assert_eq!(puts[0].header("if-match"), Some(held.version.0.as_str()));

    let after = control.public_ip("pip-jump").expect("there");
    let expected = without_what_a_rename_changes(before);
    assert_eq!(without_what_a_rename_changes(after), expected);
    assert_eq!(expected["properties"]["idleTimeoutInMinutes"], 17);
}

fn without_what_a_rename_changes(mut ip: Value) -> Value {
    ip["etag"] = Value::Null;
    ip["properties"]["dnsSettings"] = Value::Null;
    ip
}

#[tokio::test]
async fn an_address_from_before_is_followed_and_never_taken_down() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let control = rehearsal.sandbox.control();
    control.deallocate_vm();
    control.create_legacy_public_ip(&LegacyPublicIp::default()).expect("made");
    let wanted = endpoint("contoso-jump");
    let held = network.observe(&wanted).await.public_ip.present().cloned().expect("there");
    assert_eq!((held.sku.as_str(), held.allocation, held.address), ("Basic", Allocation::Dynamic, None));
    assert!(held.fqdn.is_some(), "released, and labelled all the same");
    assert_eq!(held.mark, None);
    rehearsal.asked();
    let error = network.apply(&owner(), &deletion(&wanted, held.clone())).await.expect_err("not ours");
    assert_eq!(error.kind(), Kind::Rejected);
    assert_eq!(rehearsal.methods(), ["GET"]);

    let renamed = endpoint("contoso-kept");
    let made = network.apply(&owner(), &change(&renamed, Some(held))).await.expect("renamed").expect("there");
    assert_eq!((made.sku.as_str(), made.allocation, made.mark), ("Basic", Allocation::Dynamic, None));
}

#[tokio::test]
async fn what_is_ours_is_deleted_once_and_only_as_it_was_seen() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let wanted = endpoint("contoso-jump");
    let held = network.apply(&owner(), &change(&wanted, None)).await.expect("made").expect("there");
    let control = rehearsal.sandbox.control();
    control.relabel("pip-jump", Some("contoso-theirs")).expect("relabelled");
    rehearsal.asked();
    let error = network.apply(&owner(), &deletion(&wanted, held)).await.expect_err("it changed");
    assert_eq!(error.kind(), Kind::Stale);
    assert_eq!(rehearsal.methods(), ["GET"]);

    let held = network.observe(&wanted).await.public_ip.present().cloned().expect("there");
    rehearsal.asked();
    network.apply(&owner(), &deletion(&wanted, held.clone())).await.expect("deleted");
    let deletes: Vec<_> =
        rehearsal.asked().into_iter().filter(|request| request.method == "DELETE").collect();
    assert_eq!(deletes.len(), 1);
    assert_eq!(deletes[0].header("if-match"), Some(held.version.0.as_str()));
    assert_eq!(control.public_ip("pip-jump"), None, "the operation was followed to its end");
    network.apply(&owner(), &deletion(&wanted, held)).await.expect("gone already");
    assert_eq!(rehearsal.methods(), ["GET"]);
}

#[tokio::test]
async fn another_s_change_in_between_is_not_overwritten() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let wanted = endpoint("contoso-jump");
    let held = network.apply(&owner(), &change(&wanted, None)).await.expect("made").expect("there");
    let control = rehearsal.sandbox.control();
    control.relabel("pip-jump", Some("contoso-theirs")).expect("relabelled");
    let error = network.apply(&owner(), &change(&endpoint("contoso-ours"), Some(held))).await;
    assert_eq!(error.expect_err("it changed").kind(), Kind::Stale);
    let label =
        control.public_ip("pip-jump").expect("there")["properties"]["dnsSettings"]["domainNameLabel"].clone();
    assert_eq!(label, "contoso-theirs");
}

#[tokio::test]
async fn dynamic_allocation_is_refused_before_anything_is_sent() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let mut wanted = endpoint("contoso-jump");
    wanted.public_ip.allocation = Allocation::Dynamic;
    let error = network.apply(&owner(), &change(&wanted, None)).await.expect_err("not sold");
    assert_eq!(error.kind(), Kind::Rejected);
    assert_eq!(rehearsal.methods(), [""; 0]);
}
