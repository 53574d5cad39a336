//! What is changed by hand is named, walked to, and healed, with nothing of others touched.

use cnamed::sandbox::{Control, Speaks};
use serde_json::{Value, json};

use super::stage::{
    BALANCER, GROUP, NIC, bare, crowded, foreign, nothing_written, reference, settled, standing, unchanged,
};
use crate::support::Cloud;

/// Somebody's hand, and what is said of it.
struct Drift {
    by_hand: fn(&Control),
    /// What `plan` says.
    planned: &'static [&'static str],
    /// What `status` says.
    broken: &'static [&'static str],
    /// Whether everything is in the end as it was before, ours included.
    restored: bool,
}

impl Drift {
    async fn heals(self, cloud: Cloud) {
        cloud.run(&["sync", "--verify"]).await.exits(0);
        let before = standing(&cloud);
        (self.by_hand)(&cloud.sandbox.control());
        let others = foreign(&cloud);
        cloud.sandbox.forget_requests();
        let mut plan = cloud.run(&["plan"]).await.exits(3);
        for text in self.planned {
            plan = plan.says(text);
        }
        let mut status = cloud.run(&["status"]).await;
        for text in self.broken {
            status = status.says(text);
        }
        assert_eq!(status.code, 3, "{}", status.out);
        nothing_written(&cloud);
        cloud.run(&["sync", "--verify"]).await.exits(0);
        if self.restored {
            unchanged(&before, &standing(&cloud), "healed");
        } else {
            unchanged(&others, &foreign(&cloud), "healed");
        }
        settled(&cloud).await;
    }
}

fn nat_rule(name: &str) -> String {
    format!("{BALANCER}/inboundNatRules/{name}")
}

fn security_rule(name: &str) -> String {
    format!("{GROUP}/securityRules/{name}")
}

/// The interface leaves every pool that begins so.
pub(crate) fn leave(control: &Control, prefix: &str) {
    let mut body = control.show_resource(NIC).unwrap();
    for configuration in body["properties"]["ipConfigurations"].as_array_mut().unwrap() {
        if let Some(pools) = configuration["properties"]["loadBalancerBackendAddressPools"].as_array_mut() {
            pools
                .retain(|pool| !pool["id"].as_str().unwrap().rsplit('/').next().unwrap().starts_with(prefix));
        }
    }
    control.put_resource(NIC, &body).unwrap();
}

/// Our frontend moves to another public IP.
pub(super) fn point_elsewhere(control: &Control) {
    let mut body = control.show_resource(BALANCER).unwrap();
    let frontends = body["properties"]["frontendIPConfigurations"].as_array_mut().unwrap();
    let ours = |frontend: &&mut Value| frontend["name"] == "cnamed_demo_jump";
    let ours = frontends.iter_mut().find(ours).unwrap();
    ours["properties"]["publicIPAddress"] = reference("publicIPAddresses/pip-other");
    control.put_resource(BALANCER, &body).unwrap();
}

const SILENT: &[&str] = &["first broken at the port 63011", "open to 203.0.113.0/24 only"];

#[tokio::test]
async fn a_nat_rule_that_was_deleted() {
    let drift = Drift {
        by_hand: |control| control.delete_resource(&nat_rule("cnamed_demo_rdp")).unwrap(),
        planned: &["create  NAT rule cnamed_demo_rdp of jump", "does not exist yet", "1 change"],
        broken: &[
            "first broken at the port 63011",
            "no NAT rule leads it to the machine",
            "port 63022     whole",
        ],
        restored: true,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_nat_rule_whose_port_was_changed() {
    let drift = Drift {
        by_hand: |control| {
            let port =
                json!({"properties": {"frontendPortRangeStart": 63099, "frontendPortRangeEnd": 63099}});
            control.edit_resource(&nat_rule("cnamed_demo_ssh"), &port).unwrap();
        },
        planned: &["update  NAT rule cnamed_demo_ssh of jump", "TCP 63099", "listens on another port"],
        broken: &["first broken at the port 63022", "Azure leads 63099 to 22 of vm-jump-nic instead"],
        restored: true,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_nat_rule_that_leads_to_another_port_of_the_machine() {
    let drift = Drift {
        by_hand: |control| {
            let port = json!({"properties": {"backendPort": 5985}});
            control.edit_resource(&nat_rule("cnamed_demo_rdp"), &port).unwrap();
        },
        planned: &["update  NAT rule cnamed_demo_rdp of jump", "leads to 5985", "leads to another port"],
        broken: &["first broken at the port 63011", "Azure leads 63011 to 5985 of vm-jump-nic instead"],
        restored: true,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_security_rule_that_was_deleted() {
    let drift = Drift {
        by_hand: |control| control.delete_resource(&security_rule("cnamed_demo_rdp")).unwrap(),
        planned: &["create  security rule cnamed_demo_rdp of jump", "allow TCP 3389 from 203.0.113.0/24"],
        broken: SILENT,
        restored: false,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_security_rule_that_was_turned_to_deny() {
    let drift = Drift {
        by_hand: |control| {
            let deny = json!({"properties": {"access": "Deny"}});
            control.edit_resource(&security_rule("cnamed_demo_rdp"), &deny).unwrap();
        },
        planned: &["update  security rule cnamed_demo_rdp of jump", "deny TCP 3389"],
        broken: SILENT,
        restored: true,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_security_rule_that_lets_in_others() {
    let drift = Drift {
        by_hand: |control| {
            let sources = json!({"properties": {
                "sourceAddressPrefix": null, "sourceAddressPrefixes": ["198.51.100.0/24", "192.0.2.0/24"],
            }});
            control.edit_resource(&security_rule("cnamed_demo_rdp"), &sources).unwrap();
        },
        planned: &[
            "update  security rule cnamed_demo_rdp of jump",
            "198.51.100.0/24",
            "lets in 192.0.2.0/24 and 198.51.100.0/24 too, and keeps out 203.0.113.0/24",
        ],
        broken: SILENT,
        restored: true,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_refusal_of_somebody_elses_before_our_rules() {
    let drift = Drift {
        by_hand: |control| {
            (0..5).for_each(|at| control.delete_resource(&security_rule(&format!("first-{at}"))).unwrap());
            let deny = json!({"properties": {
                "priority": 102, "direction": "Inbound", "access": "Deny", "protocol": "*",
                "sourcePortRange": "*", "sourceAddressPrefix": "Internet", "destinationAddressPrefix": "*",
                "destinationPortRanges": ["3389"], "description": "nobody asked me",
            }});
            control.put_resource(&security_rule("no-rdp"), &deny).unwrap();
        },
        planned: &["update  security rule cnamed_demo_rdp of jump", "priority 105", "priority 100"],
        broken: SILENT,
        restored: false,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_security_group_that_was_taken_off_the_interface() {
    let drift = Drift {
        by_hand: |control| {
            let none = json!({"properties": {"networkSecurityGroup": null}});
            control.edit_resource(NIC, &none).unwrap();
        },
        planned: &[
            "update  network interface vm-jump-nic of jump",
            "gets the security group nsg-mgmt",
            "has no security group",
        ],
        broken: SILENT,
        restored: true,
    };
    drift.heals(bare().await).await;
}

#[tokio::test]
async fn an_interface_that_was_pulled_from_the_pool() {
    let drift = Drift {
        by_hand: |control| leave(control, "cnamed_demo_rdp"),
        planned: &[
            "update  network interface vm-jump-nic of jump",
            "joins the pool cnamed_demo_rdp",
            "is not in its pool",
        ],
        broken: &[
            "first broken at the port 63011",
            "Azure leads it nowhere: vm-jump-nic is not in the rule's pool",
        ],
        restored: true,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_frontend_that_was_pointed_elsewhere() {
    let drift = Drift {
        by_hand: point_elsewhere,
        planned: &[
            "update  load balancer lb-jump of jump",
            "frontend cnamed_demo_jump on pip-jump",
            "its frontend is elsewhere",
        ],
        broken: SILENT,
        restored: true,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_pool_that_was_deleted() {
    let drift = Drift {
        by_hand: |control| {
            leave(control, "cnamed_demo_rdp");
            control.delete_resource(&nat_rule("cnamed_demo_rdp")).unwrap();
            control.delete_resource(&format!("{BALANCER}/backendAddressPools/cnamed_demo_rdp")).unwrap();
        },
        planned: &[
            "pool cnamed_demo_rdp",
            "create  NAT rule cnamed_demo_rdp of jump",
            "joins the pool cnamed_demo_rdp",
            "3 changes",
        ],
        broken: &["first broken at the port 63011", "no NAT rule leads it to the machine"],
        restored: false,
    };
    drift.heals(crowded().await).await;
}

#[tokio::test]
async fn a_load_balancer_that_was_deleted() {
    let drift = Drift {
        by_hand: |control| {
            leave(control, "cnamed_demo_");
            control.delete_resource(BALANCER).unwrap();
        },
        planned: &[
            "create  load balancer lb-jump of jump",
            "create  NAT rule cnamed_demo_ssh",
            "is not in its pool",
            "4 changes",
        ],
        broken: &["first broken at the port 63011", "the load balancer does not exist"],
        restored: false,
    };
    drift.heals(bare().await).await;
}

/// Nothing of Azure's is wrong: there is nothing to plan, and the walk tells it all the same.
#[tokio::test]
async fn a_machine_that_is_stopped_and_a_service_that_is_silent_are_told_by_the_walk() {
    type Hand = fn(&Control);
    let cases: [(Hand, Hand, &str); 4] = [
        (Control::deallocate_vm, Control::start_vm, "no answer"),
        (|c| c.service(3389, Speaks::Nothing), |c| c.service(3389, Speaks::Rdp), "nothing came in time"),
        (|c| c.service(3389, Speaks::Closed), |c| c.service(3389, Speaks::Rdp), "refused"),
        (|c| c.service(3389, Speaks::Ssh), |c| c.service(3389, Speaks::Rdp), "SSH"),
    ];
    let cloud = crowded().await;
    cloud.run(&["sync", "--verify"]).await.exits(0);
    let control = cloud.sandbox.control();
    let before = standing(&cloud);
    cloud.sandbox.forget_requests();
    for (break_it, mend, says) in cases {
        break_it(&control);
        cloud.run(&["plan"]).await.exits(0);
        cloud.run(&["status"]).await.exits(5).says("first broken at the port 63011").says(says);
        let run = cloud.run(&["sync", "--verify"]).await.exits(5).says("no way in was proved through 63011");
        run.says("first broken at the port 63011").says(says);
        mend(&control);
        cloud.run(&["sync", "--verify"]).await.exits(0);
    }
    nothing_written(&cloud);
    unchanged(&before, &standing(&cloud), "walked");
}
