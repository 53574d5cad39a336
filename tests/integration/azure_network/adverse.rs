//! Bad days: operations that fail, answers that are lost, services that talk nonsense.

use std::time::Duration;

use cnamed::model::endpoint::Provisioning;
use cnamed::model::gateway::{HeldNatRule, Ports, Protocol};
use cnamed::model::plan::{GatewayChange, NatRuleChange, Part};
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::Seen;
use cnamed::provider::azure::AzureNetwork;
use cnamed::provider::{Kind, NetworkProvider};
use cnamed::sandbox::{AZURE_IDENTITY, Action, Fault, Service};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::azure_cloud::{Rehearsal, change, deletion, endpoint, owner};

fn puts(action: Action) -> Fault {
    Fault::on(Service::Arm, action).method("PUT")
}

fn arm_error(status: u16, code: &str) -> Action {
    let body = json!({"error": {"code": code, "message": "Not now."}});
    Action::Status { status, headers: vec![("Retry-After".into(), "0".into())], body }
}

#[tokio::test]
async fn an_operation_that_fails_after_202_keeps_azure_s_own_words() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let wanted = endpoint("contoso-jump");
    rehearsal.sandbox.control().fault(puts(Action::OperationFails {
        code: "InternalServerError".into(),
        message: "An error occurred.".into(),
        details: vec![(
            "PublicIPCountLimitReached".into(),
            "Cannot create more than 20 public IP addresses for this subscription in this region.".into(),
        )],
    }));
    let error = network.apply(&owner(), &change(&wanted, None)).await.expect_err("it fails");
    let chain = error.chain();
    assert_eq!(error.kind(), Kind::Rejected, "{chain}");
    assert!(chain.contains("Cannot create more than 20") && chain.contains("quota"), "{chain}");

    // What is left is for the next read, and a PUT of it as it stands repairs it.
    let Seen::Present(held) = network.observe(&wanted).await.public_ip else { return };
    assert_eq!(held.provisioning, Provisioning::Failed);
    let made = network.apply(&owner(), &change(&wanted, Some(held))).await.expect("repaired").expect("there");
    assert_eq!(made.provisioning, Provisioning::Succeeded);
}

#[tokio::test]
async fn an_operation_that_only_names_a_location_is_followed_there() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let control = rehearsal.sandbox.control();
    let place =
        format!("{}/subscriptions/s/operationResults/1", rehearsal.sandbox.addresses().resource_manager);
    let answer = |status, body| Action::Status {
        status,
        headers: vec![("Location".into(), place.clone()), ("Retry-After".into(), "0".into())],
        body,
    };
    let polls = |action| Fault::on(Service::Arm, action).method("GET").path("operationResults");
    let quota = json!({"error": {"code": "PublicIPCountLimitReached", "message": "Cannot create more."}});
    for (end, kind) in [
        // Done, it says, and nothing is there.
        (answer(200, Value::Null), Kind::Unconfirmed),
        (answer(400, quota), Kind::Rejected),
    ] {
        control.clear_faults();
        control.fault(puts(answer(202, Value::Null)));
        control.fault(polls(answer(202, Value::Null)).times(2));
        control.fault(polls(end).nth(3));
        rehearsal.asked();
        let error = network
            .apply(&owner(), &change(&endpoint("contoso-jump"), None))
            .await
            .expect_err("no such luck");
        assert_eq!(error.kind(), kind, "{}", error.chain());
        let polled = rehearsal.asked().iter().filter(|asked| asked.path.contains("operationResults")).count();
        assert_eq!(polled, 3);
    }
}

#[tokio::test]
async fn a_write_that_was_superseded_is_stale() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    rehearsal.sandbox.control().fault(puts(Action::OperationFails {
        code: "Canceled".into(),
        message: "Operation was canceled.".into(),
        details: vec![("CanceledAndSupersededDueToAnotherOperation".into(), "Superseded.".into())],
    }));
    let error =
        network.apply(&owner(), &change(&endpoint("contoso-jump"), None)).await.expect_err("superseded");
    assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
}

#[tokio::test]
async fn while_another_operation_runs_the_write_waits_its_turn() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    rehearsal.sandbox.control().fault(puts(arm_error(409, "AnotherOperationInProgress")).times(2));
    network.apply(&owner(), &change(&endpoint("contoso-jump"), None)).await.expect("made in the end");
    let sent = rehearsal.asked().into_iter().filter(|request| request.method == "PUT").count();
    assert_eq!(sent, 3);

    let stubborn = Rehearsal::start().await;
    let network = AzureNetwork::new(stubborn.arm());
    stubborn.sandbox.control().fault(puts(arm_error(409, "AnotherOperationInProgress")).always());
    let error = network.apply(&owner(), &change(&endpoint("contoso-jump"), None)).await.expect_err("never");
    assert!(matches!(error.kind(), Kind::Throttled(_)), "{}", error.chain());
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_reading() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let control = rehearsal.sandbox.control();
    let wanted = endpoint("contoso-jump");

    control.fault(puts(Action::LostAnswer));
    let made = network.apply(&owner(), &change(&wanted, None)).await.expect("it was made").expect("there");
    assert!(made.address.is_some(), "the operation was waited for");

    control.fault(puts(Action::Reset));
    let error = network.apply(&owner(), &change(&endpoint("contoso-new"), Some(made.clone()))).await;
    assert_eq!(error.expect_err("not so far").kind(), Kind::Unconfirmed);

    control.fault(Fault::on(Service::Arm, Action::LostAnswer).method("DELETE"));
    network.apply(&owner(), &deletion(&wanted, made)).await.expect("it is gone");
    assert_eq!(control.public_ip("pip-jump"), None);
}

/// A page of somebody in between, or of a front end that does not know the path, says nothing of the resource; nor does
/// an acceptance that nothing can be followed of.
#[tokio::test]
async fn a_deletion_is_done_only_once_azure_knows_of_no_such_thing() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let control = rehearsal.sandbox.control();
    let wanted = endpoint("contoso-jump");
    let held = network.apply(&owner(), &change(&wanted, None)).await.expect("made").expect("there");
    let status = |status, headers| Action::Status { status, headers, body: Value::Null };
    let elsewhere = vec![("Location".to_owned(), "https://elsewhere.example.net/operations/1".to_owned())];
    for (action, kind) in [
        (Action::Html { status: 404, headers: vec![] }, Kind::Unreachable),
        (status(404, vec![]), Kind::Unreachable),
        (status(202, vec![]), Kind::Unconfirmed),
        (status(202, elsewhere), Kind::Unconfirmed),
        (status(202, vec![("Location".to_owned(), "/nowhere".to_owned())]), Kind::Unconfirmed),
    ] {
        control.fault(Fault::on(Service::Arm, action.clone()).method("DELETE"));
        let error = network.apply(&owner(), &deletion(&wanted, held.clone())).await;
        let error = error.expect_err("it stands there yet");
        assert_eq!(error.kind(), kind, "{action:?}: {}", error.chain());
        assert!(control.public_ip("pip-jump").is_some());
    }
    control.fault(Fault::on(Service::Arm, arm_error(404, "ResourceNotFound")).method("DELETE"));
    rehearsal.asked();
    network.apply(&owner(), &deletion(&wanted, held)).await.expect("Azure knows of no such thing");
    assert_eq!(rehearsal.methods(), ["GET", "DELETE"], "which needs no second word");
}

/// An etag lost between the reading and the write, to what does not matter: a few tries, with pauses, and no more.
#[tokio::test]
async fn an_etag_lost_on_the_way_is_read_again_a_few_times() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let control = rehearsal.sandbox.control();
    let wanted = endpoint("contoso-jump");
    let held = network.apply(&owner(), &change(&wanted, None)).await.expect("made").expect("there");
    let lost = |method: &str| Fault::on(Service::Arm, arm_error(412, "PreconditionFailed")).method(method);
    control.fault(lost("PUT"));
    let renamed = network.apply(&owner(), &change(&endpoint("contoso-new"), Some(held))).await;
    let held = renamed.expect("renamed").expect("there");
    control.fault(lost("DELETE").always());
    rehearsal.asked();
    let error = network.apply(&owner(), &deletion(&wanted, held.clone())).await.expect_err("always lost");
    assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
    assert_eq!(rehearsal.methods(), ["GET", "DELETE"].repeat(5));
    control.clear_faults();
    network.apply(&owner(), &deletion(&wanted, held)).await.expect("deleted");
}

#[tokio::test]
async fn a_part_whose_etag_is_lost_for_ever_is_given_up_after_a_few_tries() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let load_balancer =
        ResourceId::network(AZURE_IDENTITY.subscription, "rg-mgmt", "loadBalancers", "lb-jump");
    let rule = HeldNatRule {
        name: "cnamed_demo_rdp".into(),
        frontend: load_balancer.part("frontendIPConfigurations", "cnamed_demo_jump"),
        protocol: Some(Protocol::Tcp),
        ports: Ports { first: 63011, last: 63011 },
        backend_port: 3389,
        pool: Some(load_balancer.part("backendAddressPools", "cnamed_demo_rdp")),
        target: None,
        idle_timeout_minutes: 4,
        floating: false,
        provisioning: Provisioning::Succeeded,
    };
    let part = Part::NatRule(NatRuleChange { load_balancer, held: None, wanted: Some(rule) });
    let change = GatewayChange { endpoint: endpoint("contoso-jump").name, part };
    rehearsal.sandbox.control().fault(puts(arm_error(412, "PreconditionFailed")).always());
    let began = Instant::now();
    let error = network.build(&owner(), &change).await.expect_err("always lost");
    assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
    assert_eq!(rehearsal.methods(), ["GET", "PUT"].repeat(5));
    assert!(began.elapsed() >= Duration::from_secs(3), "without a pause: {:?}", began.elapsed());
}

/// That the label is there tells nothing of a repair.
#[tokio::test]
async fn a_repair_whose_answer_was_lost_is_done_once_the_address_is_sound() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let control = rehearsal.sandbox.control();
    let wanted = endpoint("contoso-jump");
    network.apply(&owner(), &change(&wanted, None)).await.expect("made");
    let failed = json!({"properties": {"provisioningState": "Failed"}});
    control.edit_resource("publicIPAddresses/pip-jump", &failed).expect("edited");
    let Seen::Present(held) = network.observe(&wanted).await.public_ip else { panic!("there") };
    assert_eq!(held.provisioning, Provisioning::Failed);
    control.fault(puts(Action::Reset));
    let error = network.apply(&owner(), &change(&wanted, Some(held.clone()))).await.expect_err("not so far");
    assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
    control.fault(puts(Action::LostAnswer));
    let made = network.apply(&owner(), &change(&wanted, Some(held))).await.expect("repaired").expect("there");
    assert_eq!(made.provisioning, Provisioning::Succeeded);
}

#[tokio::test]
async fn what_reading_cannot_settle_is_unconfirmed() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let control = rehearsal.sandbox.control();
    control.fault(puts(Action::LostAnswer));
    // The second read: the first is the look before the leap.
    control.fault(
        Fault::on(Service::Arm, Action::Reset).method("GET").path("publicIPAddresses/").nth(2).always(),
    );
    let error =
        network.apply(&owner(), &change(&endpoint("contoso-jump"), None)).await.expect_err("who knows");
    assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
    assert!(error.to_string().starts_with("could not confirm"), "{error}");
}

#[tokio::test]
async fn an_operation_that_never_ends_is_unconfirmed() {
    let rehearsal = Rehearsal::with(|options| options.operation_delay = Duration::from_secs(600)).await;
    rehearsal.sandbox.control().operation_delay(Duration::from_secs(600));
    let network = AzureNetwork::new(rehearsal.arm());
    let error =
        network.apply(&owner(), &change(&endpoint("contoso-jump"), None)).await.expect_err("too slow");
    assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
}

#[tokio::test]
async fn a_read_that_failed_is_unknown_and_never_absent() {
    let rehearsal = Rehearsal::start().await;
    let network = AzureNetwork::new(rehearsal.arm());
    let control = rehearsal.sandbox.control();
    let gets = |action| Fault::on(Service::Arm, action).method("GET").path("publicIPAddresses").always();
    let status = |status, code: &str| Action::Status {
        status,
        headers: vec![],
        body: if code.is_empty() { Value::Null } else { json!({"error": {"code": code, "message": "No."}}) },
    };
    for (action, word) in [
        (Action::Html { status: 200, headers: vec![] }, "JSON"),
        (Action::Html { status: 404, headers: vec![] }, "text/html"),
        (status(404, "SubscriptionNotFound"), "subscription"),
        (status(404, ""), "HTTP 404"),
        (status(500, "InternalServerError"), "InternalServerError"),
        (status(403, "AuthorizationFailed"), "AuthorizationFailed"),
        (Action::Reset, "connection"),
        (Action::Truncated, "broke"),
    ] {
        control.clear_faults();
        control.fault(gets(action.clone()));
        match network.observe(&endpoint("contoso-jump")).await.public_ip {
            Seen::Unknown(reason) => assert!(reason.contains(word), "{action:?}: {reason}"),
            seen => panic!("{action:?} was taken for {seen:?}"),
        }
    }
}
