//! The gateway: killed while it is built, healed, narrowed and taken down.

use cnamed::sandbox::HoldPoint;
use serde_json::json;

use super::{
    BOTH, Stage, Story, after_every_cache_forgot, briefly_in_azure, label, on_the_label, ours, standing,
};
use crate::gateway::drift::leave;
use crate::gateway::machines::{SECOND, SECOND_GROUP, put_second, ssh_to_the_second};
use crate::gateway::stage::{BALANCER, GROUP, NIC};
use crate::support::Cloud;

/// Both ports lead to the machine.
fn leads(cloud: &Cloud) -> bool {
    let control = cloud.sandbox.control();
    let rules = ["cnamed_demo_rdp", "cnamed_demo_ssh"];
    let nic = control.show_resource(NIC).unwrap().to_string();
    rules.iter().all(|rule| {
        control.show_resource(&format!("{BALANCER}/inboundNatRules/{rule}")).is_some()
            && control.show_resource(&format!("{GROUP}/securityRules/{rule}")).is_some()
            && nic.contains(&format!("/backendAddressPools/{rule}\""))
    })
}

/// Nothing of ours is left anywhere.
fn gone(cloud: &Cloud, at: &str) {
    let control = cloud.sandbox.control();
    assert!(standing(cloud).is_empty(), "{at}: {:#?}", standing(cloud));
    assert_eq!(control.public_ip("pip-jump"), None, "{at}");
    let all = json!(control.resources()).to_string();
    assert!(!all.contains("cnamed_demo_") && !all.contains("\"managed-by\""), "{at}: {all}");
}

async fn built(stage: Stage, point: HoldPoint) {
    let story = Story {
        stage,
        prepare: async |_: &Cloud| {},
        command: &["sync"],
        moment: |cloud, at| {
            // A name is given out only once there is a way in behind it.
            assert!(ours(cloud).is_empty() || leads(cloud), "{at}");
        },
        end: |cloud, _, at| {
            on_the_label(cloud, &BOTH, at);
            assert!(leads(cloud), "{at}");
        },
        idle: &["sync", "--verify"],
        least: if stage == Stage::Bare && point == HoldPoint::Before { 40 } else { 9 },
    };
    story.killed_at_each(point).await;
}

fn ssh_rule() -> String {
    format!("{BALANCER}/inboundNatRules/cnamed_demo_ssh")
}

fn rdp_door() -> String {
    format!("{GROUP}/securityRules/cnamed_demo_rdp")
}

/// Somebody has led one port elsewhere, closed the door to the other and taken the machine out of its pools.
async fn healed(stage: Stage, point: HoldPoint) {
    let story = Story {
        stage,
        prepare: async |cloud: &Cloud| {
            cloud.run(&["sync"]).await.exits(0);
            let control = cloud.sandbox.control();
            control.edit_resource(&ssh_rule(), &json!({"properties": {"backendPort": 5985}})).unwrap();
            control.edit_resource(&rdp_door(), &json!({"properties": {"access": "Deny"}})).unwrap();
            leave(&control, "cnamed_demo_");
        },
        command: &["sync"],
        moment: |cloud, at| {
            // A name is not taken away for what is mended behind it.
            on_the_label(cloud, &BOTH, at);
        },
        end: |cloud, _, at| {
            on_the_label(cloud, &BOTH, at);
            assert!(leads(cloud), "{at}");
            let control = cloud.sandbox.control();
            let properties =
                |resource: String| control.show_resource(&resource).unwrap()["properties"].clone();
            let (rule, door) = (properties(ssh_rule()), properties(rdp_door()));
            assert_eq!(
                (&rule["frontendPortRangeStart"], &rule["backendPort"]),
                (&json!(63022), &json!(22)),
                "{at}"
            );
            assert_eq!(door["access"], "Allow", "{at}");
        },
        idle: &["sync", "--verify"],
        least: if stage == Stage::Bare && point == HoldPoint::Before { 15 } else { 3 },
    };
    story.killed_at_each(point).await;
}

async fn taken_down(stage: Stage, point: HoldPoint) {
    let story = Story {
        stage,
        prepare: briefly_in_azure,
        command: &["teardown", "--yes"],
        moment: |cloud, at| {
            assert!(ours(cloud).is_empty() || (label(cloud).is_some() && leads(cloud)), "{at}");
        },
        end: |cloud, log, at| {
            gone(cloud, at);
            after_every_cache_forgot(log, "DELETE", at);
        },
        idle: &["teardown", "--yes"],
        least: if stage == Stage::Bare && point == HoldPoint::Before { 30 } else { 5 },
    };
    story.killed_at_each(point).await;
}

/// A rule that stands alone on its machine and in its group is taken out of the file.
async fn narrowed(stage: Stage, point: HoldPoint) {
    let story = Story {
        stage,
        prepare: async |cloud: &Cloud| {
            put_second(&cloud.sandbox.control());
            cloud.configure(ssh_to_the_second);
            cloud.run(&["sync"]).await.exits(0);
            cloud.configure(|text| {
                let (before, rest) = text.split_once("\n[[endpoint.nat_rule]]\nname = \"ssh\"").unwrap();
                format!("{before}\n{}", rest.split_once("\n\n").unwrap().1)
            });
        },
        command: &["sync"],
        moment: |cloud, at| {
            // As long as the door is open, the pool that leads us to it has the machine in it.
            let control = cloud.sandbox.control();
            let open =
                control.show_resource(&format!("{SECOND_GROUP}/securityRules/cnamed_demo_ssh")).is_some();
            let member = control.show_resource(SECOND).unwrap().to_string().contains("/cnamed_demo_ssh");
            assert!(member || !open, "{at}");
        },
        end: |cloud, _, at| {
            on_the_label(cloud, &BOTH, at);
            let all = json!(cloud.sandbox.control().resources()).to_string();
            assert!(!all.contains("cnamed_demo_ssh") && all.contains("cnamed_demo_rdp"), "{at}: {all}");
        },
        idle: &["sync"],
        least: if point == HoldPoint::Before { 15 } else { 5 },
    };
    story.killed_at_each(point).await;
}

/// The ways that a request can be lost, each a test of its own, so that they share the machine.
macro_rules! killed {
    ($($name:ident: $story:ident($stage:ident, $point:ident);)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $story(Stage::$stage, HoldPoint::$point).await;
        }
    )*};
}

killed! {
    a_gateway_may_be_killed_at_any_request_that_builds_it: built(Bare, Before);
    a_gateway_may_be_killed_after_any_write_that_builds_it: built(Bare, After);
    a_gateway_may_be_killed_at_any_request_that_takes_it_down: taken_down(Bare, Before);
    a_gateway_may_be_killed_after_any_write_that_takes_it_down: taken_down(Bare, After);
    a_gateway_may_be_killed_at_any_request_that_narrows_it: narrowed(Bare, Before);
    a_gateway_may_be_killed_after_any_write_that_narrows_it: narrowed(Bare, After);
    a_gateway_may_be_killed_at_any_request_that_heals_it: healed(Bare, Before);
    a_gateway_may_be_killed_after_any_write_that_heals_it: healed(Bare, After);
    a_gateway_among_others_may_be_killed_before_any_write_that_builds_it: built(Crowded, Before);
    a_gateway_among_others_may_be_killed_after_any_write_that_builds_it: built(Crowded, After);
    a_gateway_among_others_may_be_killed_before_any_write_that_takes_it_down: taken_down(Crowded, Before);
    a_gateway_among_others_may_be_killed_after_any_write_that_takes_it_down: taken_down(Crowded, After);
    a_gateway_among_others_may_be_killed_before_any_write_that_heals_it: healed(Crowded, Before);
    a_gateway_among_others_may_be_killed_after_any_write_that_heals_it: healed(Crowded, After);
}
