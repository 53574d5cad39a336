//! Bad days: what fails is told with its resource and its remedy, stops what depends on it and nothing else, and is
//! made good by the next round.

use std::time::Duration;

use cnamed::sandbox::{AZURE_IDENTITY, Action, CLOUDFLARE_TOKENS, Fault, HoldPoint, Service};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::drift::point_elsewhere;
use super::stage::{
    BALANCER, GROUP, NIC, bare, crowded, foreign, nothing_written, settled, standing, unchanged, writes,
};
use crate::least_privilege::role;
use crate::support::Cloud;

/// A tag that somebody adds in the portal.
fn click() -> Value {
    json!({"tags": {"clicked": "meanwhile"}})
}

/// A cloud whose gateway stands.
async fn built() -> Cloud {
    let cloud = crowded().await;
    cloud.run(&["sync"]).await.exits(0);
    cloud
}

/// Our rules are deleted by hand, and the pools with them.
fn torn_out(cloud: &Cloud) {
    let control = cloud.sandbox.control();
    let mut nic = control.show_resource(NIC).unwrap();
    for configuration in nic["properties"]["ipConfigurations"].as_array_mut().unwrap() {
        if let Some(pools) = configuration["properties"]["loadBalancerBackendAddressPools"].as_array_mut() {
            pools.retain(|pool| !pool["id"].as_str().unwrap().contains("/cnamed_demo_"));
        }
    }
    control.put_resource(NIC, &nic).unwrap();
    for name in ["cnamed_demo_rdp", "cnamed_demo_ssh"] {
        control.delete_resource(&format!("{BALANCER}/inboundNatRules/{name}")).unwrap();
        control.delete_resource(&format!("{BALANCER}/backendAddressPools/{name}")).unwrap();
        control.delete_resource(&format!("{GROUP}/securityRules/{name}")).unwrap();
    }
}

/// What a fault strikes, the first of each, and what of ours it is.
const PARTS: [(&str, &str); 4] = [
    ("loadBalancers/lb-jump", "load balancer lb-jump"),
    ("inboundNatRules/", "NAT rule cnamed_demo_"),
    ("securityRules/", "security rule cnamed_demo_"),
    ("networkInterfaces/vm-jump-nic", "network interface vm-jump-nic"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_answered_is_not_told_as_failed_and_is_made_by_the_next_round() {
    let cases = stream::iter(PARTS).map(|(path, what)| async move {
        let cloud = built().await;
        torn_out(&cloud);
        let before = foreign(&cloud);
        cloud.sandbox.control().fault(Fault::on(Service::Arm, Action::Reset).method("PUT").path(path));
        let run = cloud.run(&["sync"]).await.exits(6).says("Not confirmed");
        let run = run.says(&format!("could not confirm: {what}")).says("nothing has come of it so far");
        assert!(!run.out.contains("failed"), "{path}: {}", run.out);
        cloud.run(&["sync", "--verify"]).await.exits(0);
        unchanged(&before, &foreign(&cloud), path);
        settled(&cloud).await;
    });
    cases.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn nobody_knocks_for_long_at_a_door_that_may_not_have_been_opened() {
    let cloud = built().await;
    cloud.replace("timeout = \"2s\"", "timeout = \"60s\"");
    let control = cloud.sandbox.control();
    control.delete_resource(&format!("{GROUP}/securityRules/cnamed_demo_rdp")).unwrap();
    control.fault(Fault::on(Service::Arm, Action::Reset).method("PUT").path("securityRules/"));
    let began = Instant::now();
    cloud.run(&["sync", "--verify"]).await.exits(6).says("Not confirmed");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    cloud.run(&["sync", "--verify"]).await.exits(0);
}

#[tokio::test]
async fn another_operation_is_waited_out() {
    let cloud = crowded().await;
    let control = cloud.sandbox.control();
    let before = foreign(&cloud);
    for id in [BALANCER, GROUP, NIC] {
        control.keep_busy(id, Duration::from_secs(60)).unwrap();
    }
    let refused = || cloud.requests().into_iter().any(|request| request.status == Some(409));
    let made_way = async {
        while !refused() {
            sleep(Duration::from_millis(20)).await;
        }
        for id in [BALANCER, GROUP, NIC] {
            control.let_rest(id);
        }
    };
    let (run, ()) = tokio::join!(cloud.run(&["sync", "--verify"]), made_way);
    run.exits(0);
    unchanged(&before, &foreign(&cloud), "waited");
    settled(&cloud).await;
}

/// Azure lets the later write win, and says so to the earlier: what stands then is read, and the rest planned again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_superseded_is_planned_again_within_the_same_round() {
    let cases = stream::iter(PARTS).map(|(path, _)| async move {
        // Nothing is made that would have the round look again anyhow.
        let cloud = built().await;
        torn_out(&cloud);
        let before = foreign(&cloud);
        let changes = click().as_object().unwrap().clone();
        let fault = Fault::on(Service::Arm, Action::OperationSuperseded { changes });
        cloud.sandbox.control().fault(fault.method("PUT").path(path));
        cloud.run(&["sync", "--verify"]).await.exits(0);
        let after = foreign(&cloud);
        let clicked = cloud.sandbox.control().resources();
        let clicked = clicked.iter().filter(|one| one["tags"]["clicked"] == "meanwhile").count();
        assert_eq!(clicked, 1, "{path}: the other's change is lost");
        let strip = |mut all: Vec<Value>| {
            for resource in &mut all {
                if let Some(tags) = resource.get_mut("tags").and_then(Value::as_object_mut) {
                    tags.remove("clicked");
                }
            }
            all
        };
        unchanged(&before, &strip(after), path);
        settled(&cloud).await;
    });
    cases.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// At every write of a whole sync, somebody clicks on everything that it writes to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etag_lost_to_a_click_loses_neither_the_click_nor_the_round() {
    // What is built anew is looked at again anyhow; what is only mended is not.
    for (mended, least) in [(false, 9), (true, 6)] {
        let runs = stream::iter(1..).map(|n| clicked_at(n, mended));
        let mut runs = Box::pin(runs.buffered(AT_ONCE));
        let mut clicks = 0;
        while runs.next().await.unwrap() {
            clicks += 1;
        }
        assert!(clicks >= least, "{clicks} writes");
    }
}

/// Whether there was an `n`-th write to click at.
async fn clicked_at(n: u32, mended: bool) -> bool {
    let cloud = if mended { built().await } else { crowded().await };
    if mended {
        torn_out(&cloud);
    }
    let control = cloud.sandbox.control();
    control.hold_at(n, true, HoldPoint::Before);
    let mut child = cloud.spawn(&["sync"]);
    let held = tokio::select! {
        _ = control.wait_until_held() => true,
        status = child.wait() => { assert!(status.unwrap().success()); false }
    };
    if !held {
        return false;
    }
    for id in [BALANCER, NIC, GROUP] {
        control.edit_resource(id, &click()).unwrap();
    }
    let before = foreign(&cloud);
    control.release();
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "at write {n}: {}", String::from_utf8_lossy(&ended.stdout));
    unchanged(&before, &foreign(&cloud), "clicked");
    settled(&cloud).await;
    true
}

/// Azure has taken it, and then failed: the resource may stand there, and is repaired.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_half_way_is_told_and_repaired_by_the_next_round() {
    let cases = stream::iter(PARTS).map(|(path, place)| async move {
        let cloud = built().await;
        torn_out(&cloud);
        let before = foreign(&cloud);
        let details = vec![("InternalError".to_owned(), "The fabric did not answer.".to_owned())];
        let (code, message) = ("InternalServerError".into(), "An error occurred.".into());
        let fails = Action::OperationFails { code, message, details };
        cloud.sandbox.control().fault(Fault::on(Service::Arm, fails).method("PUT").path(path).always());
        let run = cloud.run(&["sync"]).await.exits(6);
        run.says(&format!("failed: {place}")).says("The fabric did not answer");
        cloud.sandbox.control().clear_faults();
        cloud.run(&["plan"]).await.exits(3);
        cloud.run(&["sync", "--verify"]).await.exits(0);
        unchanged(&before, &foreign(&cloud), path);
        settled(&cloud).await;
    });
    cases.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// Nothing but the failure tells that there is something left to do.
#[tokio::test]
async fn what_is_as_wanted_and_failed_is_written_again() {
    let cloud = built().await;
    let control = cloud.sandbox.control();
    point_elsewhere(&control);
    let (code, message) = ("InternalServerError".into(), "An error occurred.".into());
    let fails = Action::OperationFails { code, message, details: vec![] };
    control.fault(Fault::on(Service::Arm, fails).method("PUT").path("loadBalancers/lb-jump").always());
    cloud.run(&["sync"]).await.exits(6).says("failed: load balancer lb-jump");
    control.clear_faults();
    let state = || control.show_resource(BALANCER).unwrap()["properties"]["provisioningState"].clone();
    assert_eq!(state(), "Failed");
    // Azure calls the rules in it failed as well, and writing those alone would make it whole by chance.
    let planned = cloud.run(&["plan"]).await.exits(3).says("update  load balancer lb-jump of jump");
    planned.says("its last operation failed");
    cloud.sandbox.forget_requests();
    cloud.run(&["sync", "--verify"]).await.exits(0);
    let whole = |path: &str| path.to_ascii_lowercase().ends_with("/loadbalancers/lb-jump");
    assert!(writes(&cloud).iter().any(|write| whole(&write.path)), "{:#?}", writes(&cloud));
    assert_eq!(state(), "Succeeded");
    settled(&cloud).await;
}

#[tokio::test]
async fn a_new_group_that_fails_half_way_is_repaired_too() {
    let cloud = bare().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.replace("ttl = 30", "ttl = 1");
    let before = foreign(&cloud);
    let fails = Action::OperationFails {
        code: "InternalServerError".into(),
        message: "An error.".into(),
        details: vec![],
    };
    for path in ["networkSecurityGroups/nsg-mgmt", "loadBalancers/lb-jump"] {
        cloud
            .sandbox
            .control()
            .fault(Fault::on(Service::Arm, fails.clone()).method("PUT").path(path).always());
    }
    let run = cloud.run(&["sync"]).await.exits(6);
    run.says("failed: security group nsg-mgmt").says("failed: load balancer lb-jump");
    cloud.sandbox.control().clear_faults();
    cloud.run(&["sync", "--verify"]).await.exits(0);
    settled(&cloud).await;
    cloud.run(&["teardown", "--yes"]).await.exits(0);
    unchanged(&before, &foreign(&cloud), "torn down");
}

/// One that cannot be seen freezes the gateway, and is told with the right that is missing. Names stay.
#[tokio::test]
async fn what_cannot_be_read_freezes_what_depends_on_it() {
    for (action, scope, what) in [
        ("loadBalancers/read", BALANCER, "load balancer of jump"),
        ("networkInterfaces/read", NIC, "network interface vm-jump-nic of jump"),
        ("networkSecurityGroups/read", GROUP, "network security group nsg-mgmt of jump"),
        (
            "virtualNetworks/subnets/read",
            "virtualNetworks/vnet-mgmt/subnets/default",
            "subnet default of jump",
        ),
    ] {
        let cloud = built().await;
        torn_out(&cloud);
        let before = standing(&cloud);
        let action = format!("Microsoft.Network/{action}");
        let rights: Vec<String> = role().into_iter().filter(|right| *right != action).collect();
        let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
        cloud.sandbox.control().grant(AZURE_IDENTITY.client_id, &rights, "/").unwrap();
        cloud.sandbox.forget_requests();
        for command in ["plan", "status", "sync"] {
            let run = cloud.run(&[command]).await;
            assert!(matches!(run.code, 1 | 6), "{action}: {command} {run:?}");
            let run = run.says(&format!("could not read: {what}"));
            run.says(&format!("grant \"{action}\" on /subscriptions/")).says(scope);
        }
        nothing_written(&cloud);
        unchanged(&before, &standing(&cloud), &action);
        cloud.sandbox.control().grant(AZURE_IDENTITY.client_id, &["*"], "/").unwrap();
        cloud.run(&["sync", "--verify"]).await.exits(0);
    }
}

/// What does not wait for it goes on.
#[tokio::test]
async fn one_failed_rule_stops_what_depends_on_it_and_nothing_else() {
    let cloud = built().await;
    torn_out(&cloud);
    let before = foreign(&cloud);
    // Refused at once, while everything else has yet to begin.
    let body = json!({"error": {"code": "RequestDisallowedByPolicy", "message": "No RDP here."}});
    let refusal = Action::Status { status: 403, headers: vec![], body };
    let fault = Fault::on(Service::Arm, refusal).method("PUT").path("securityRules/cnamed_demo_rdp").always();
    cloud.sandbox.control().fault(fault);
    let round = cloud.run(&["--format", "json", "sync"]).await.exits(6).json();
    let ended = |kind: &str, name: &str| {
        let mut all = round["changes"].as_array().unwrap().iter();
        let found = all.find(|one| one["kind"] == kind && one["name"] == name);
        found.unwrap_or_else(|| panic!("{kind} {name}: {round:#}"))["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(ended("nsg-rule", "cnamed_demo_rdp"), "failed");
    assert_eq!(ended("nsg-rule", "cnamed_demo_ssh"), "applied");
    assert_eq!(ended("load-balancer", "lb-jump"), "applied");
    assert_eq!(ended("nat-rule", "cnamed_demo_rdp"), "applied");
    assert_eq!(ended("nat-rule", "cnamed_demo_ssh"), "applied");
    // One write puts it into both pools, and it is not put in front of a rule that was not made.
    assert_eq!(ended("network-interface", "vm-jump-nic"), "skipped");
    unchanged(&before, &foreign(&cloud), "refused");
    cloud.sandbox.control().clear_faults();
    cloud.run(&["sync", "--verify"]).await.exits(0);
    settled(&cloud).await;
}

/// Azure checks every reference of what is written.
#[tokio::test]
async fn a_reference_that_may_not_be_made_is_told_with_action_and_scope() {
    for (action, scope) in [
        ("publicIPAddresses/join/action", "publicIPAddresses/pip-jump"),
        ("virtualNetworks/subnets/join/action", "virtualNetworks/vnet-mgmt/subnets/default"),
        ("networkSecurityGroups/join/action", GROUP),
        ("loadBalancers/backendAddressPools/join/action", "backendAddressPools/cnamed_demo_rdp"),
    ] {
        let cloud = bare().await;
        let action = format!("Microsoft.Network/{action}");
        let rights: Vec<String> = role().into_iter().filter(|right| *right != action).collect();
        let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
        cloud.sandbox.control().grant(AZURE_IDENTITY.client_id, &rights, "/").unwrap();
        let run = cloud.run(&["sync"]).await.exits(6).says("LinkedAuthorizationFailed");
        let step = format!("grant \"{action}\" on /subscriptions/");
        let line = run
            .out
            .lines()
            .find(|line| line.contains(&step))
            .unwrap_or_else(|| panic!("{step}\n{}", run.out));
        let after = line.split_once(&step).unwrap().1;
        let named = after.split_once(" to this identity").unwrap().0;
        assert!(named.to_ascii_lowercase().ends_with(&scope.to_ascii_lowercase()), "{named}");
        assert!(
            writes(&cloud).iter().all(|write| !write.path.contains("/CNAME/")),
            "no name before the way in"
        );
    }
}

#[tokio::test]
async fn no_secret_is_told_by_any_command() {
    let cloud = crowded().await;
    // In the body of the request for a token, the secret itself is spelled in another way.
    let secrets = [AZURE_IDENTITY.client_secret, "client_secret=", CLOUDFLARE_TOKENS.good, "Bearer ", "eyJ"];
    let body = json!({"error": {"code": "InternalServerError", "message": "An error occurred."}});
    let fault = Fault::on(Service::Arm, Action::Status { status: 500, headers: vec![], body });
    cloud.sandbox.control().fault(fault.method("PUT").path("inboundNatRules").always());
    for command in [&["plan"][..], &["sync", "--verify"], &["status"], &["threats"]] {
        let mut arguments = vec!["--log", "trace"];
        arguments.extend(command);
        let run = cloud.run(&arguments).await;
        // Where nothing is logged, nothing could be told.
        assert!(run.err.contains("DEBUG request"), "{command:?} {run:?}");
        for secret in secrets {
            assert!(!run.out.contains(secret) && !run.err.contains(secret), "{command:?} tells {secret:?}");
        }
    }
}

/// Clouds side by side.
const AT_ONCE: usize = 4;
