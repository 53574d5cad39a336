//! Gateways: from nothing, in sync, each drift, what is adopted, what is refused, what goes.

use cnamed::model::endpoint::Provisioning;
use cnamed::model::gateway::{
    AllowFrom, Balancing, Frontend, HeldNatRule, HeldPool, LoadBalancer, NatRule, Ports, Protocol,
    SecurityRule, Source, Subnet,
};
use cnamed::model::record::Mode;
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::Seen;

use super::{cleared, keeps};
use crate::laws::site::{group_id, id, subnet_id};
use crate::laws::world::owner;
use crate::scene::{Scene, cname, label_name, mine};

/// In place, with a name that leads to it.
pub(super) fn built() -> Scene {
    let mut scene = Scene::held("jump").gated().built();
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.holds("jump.example.com", "cf", vec![mine(label_name("jump"))]);
    scene
}

pub(super) fn rule(name: &str, priority: u16, allow: bool, source: &str) -> SecurityRule {
    SecurityRule {
        name: name.into(),
        priority,
        inbound: true,
        allow,
        protocol: Some(Protocol::Tcp),
        sources: vec![Source::from(source.to_owned())],
        any_source_port: true,
        destinations: vec![Source::from("*".to_owned())],
        ports: vec![Ports::one(3389)],
    }
}

pub(super) fn wants_also(scene: &mut Scene, rule: NatRule) {
    let jump = scene.desired.endpoints.values_mut().next().unwrap();
    jump.gateway.as_mut().unwrap().nat_rules.push(rule);
}

/// The rules that refuse, and their text under `name`.
pub(super) fn refuses(name: &str, scene: &Scene, rules: &[&str]) {
    let cleared = cleared(scene);
    assert!(cleared.plan().steps.is_empty(), "{cleared}");
    let found: Vec<String> = cleared.refusals().iter().map(|refusal| refusal.rule.to_string()).collect();
    assert_eq!(found, rules, "{cleared}");
    keeps(name, scene);
}

#[test]
fn from_nothing() {
    let mut scene = Scene::nothing("jump").gated();
    scene.wants("jump.example.com", "cf", Mode::Cname);
    keeps("gateway-first-run", &scene);
}

#[test]
fn in_sync() {
    keeps("gateway-in-sync", &built());
    let mut scene = built();
    scene.gateway().subnets =
        [(subnet_id(0), Seen::Present(Subnet { group: None, nat_gateway: true }))].into();
    let cleared = cleared(&scene);
    assert!(cleared.plan().is_empty() && cleared.plan().notes.is_empty(), "{cleared}");
}

#[test]
fn drift_by_hand() {
    let mut scene = built();
    scene.balancer().nat_rules.clear();
    keeps("gateway-rule-deleted", &scene);

    let mut scene = built();
    scene.balancer().nat_rules[0].ports = Ports::one(50000);
    keeps("gateway-port-changed", &scene);

    let mut scene = built();
    scene.group("nsg-mgmt").rules[0].allow = false;
    scene.group("nsg-mgmt").rules[0].priority = 300;
    scene.group("nsg-mgmt").rules.push(rule("lockdown", 200, false, "*"));
    keeps("gateway-closed", &scene);

    let mut scene = built();
    scene.interface().configurations[0].pools.clear();
    scene.balancer().pools[0].members.clear();
    keeps("gateway-out-of-pool", &scene);

    let mut scene = built();
    scene.balancer().frontends[0].public_ip = Some(ResourceId::new("/ips/pip-other"));
    scene.ip().attached_to = None;
    keeps("gateway-frontend-elsewhere", &scene);

    let mut scene = built();
    scene.interface().provisioning = Provisioning::Failed;
    keeps("gateway-interface-failed", &scene);

    let mut scene = built();
    scene.balancer().provisioning = Provisioning::Failed;
    keeps("gateway-balancer-failed", &scene);

    let mut scene = built();
    scene.balancer().nat_rules[0].provisioning = Provisioning::Failed;
    keeps("gateway-rule-failed", &scene);

    let mut scene = built();
    scene.group("nsg-mgmt").provisioning = Provisioning::Failed;
    keeps("gateway-group-failed", &scene);

    let mut scene = built();
    scene.group("nsg-mgmt").users.insert(id("networkInterfaces", "vm-db-nic"));
    keeps("gateway-group-shared", &scene);
}

/// Somebody's load balancer, with a rule of version 1 that does it already.
pub(super) fn adopted() -> Scene {
    let mut scene = Scene::held("jump").gated();
    let lb = id("loadBalancers", "lb-jump");
    scene.ip().attached_to = Some(lb.to_string());
    let machine = scene.interface().primary_id();
    let by_hand = HeldNatRule {
        name: "rdp-by-hand".into(),
        protocol: Some(Protocol::Tcp),
        frontend: lb.part("frontendIPConfigurations", "front"),
        ports: Ports::one(63011),
        backend_port: 3389,
        pool: None,
        target: machine,
        idle_timeout_minutes: 4,
        floating: false,
        provisioning: Default::default(),
    };
    scene.interface().configurations[0].nat_rules = [lb.part("inboundNatRules", "rdp-by-hand")].into();
    scene.interface().group = Some(group_id("nsg-mgmt"));
    scene.group("nsg-mgmt").rules = vec![rule("office", 1000, true, "203.0.113.0/24")];
    scene.group("nsg-mgmt").users = [id("networkInterfaces", "vm-jump-nic")].into();
    scene.gateway().load_balancer = Seen::Present(LoadBalancer {
        id: lb,
        location: "West Europe".into(),
        sku: "Standard".into(),
        frontends: vec![Frontend { name: "front".into(), public_ip: Some(ResourceId::new("/ips/pip-7")) }],
        pools: vec![HeldPool { name: "web".into(), members: [].into(), addresses: false }],
        nat_rules: vec![by_hand],
        version: cnamed::model::record::Version("v1".into()),
        ..LoadBalancer::empty(id("loadBalancers", "lb-jump"))
    });
    scene
}

#[test]
fn what_serves_is_adopted_as_it_stands() {
    keeps("gateway-adopted", &adopted());
    let mut scene = adopted();
    let second =
        NatRule { name: "ssh".into(), frontend_port: 63022, backend_port: 22, ..scene.rule().clone() };
    wants_also(&mut scene, second);
    keeps("gateway-beside-others", &scene);
}

#[test]
fn resources_that_cannot_stand_together() {
    let mut scene = adopted();
    scene.ip().sku = "Basic".into();
    scene.ip().attached_to = Some("/natGateways/nat".into());
    scene.balancer().sku = "Basic".into();
    scene.balancer().location = "northeurope".into();
    refuses("gateway-kinds", &scene, &["in-use", "sku", "sku", "region"]);

    let mut scene = Scene::held("jump").gated();
    scene.rule().network_interface = id("networkInterfaces", "vm-gone-nic");
    refuses("gateway-missing", &scene, &["missing"]);

    let mut scene = Scene::held("jump").gated();
    let other = id("loadBalancers", "lb-web");
    let web = adopted().balancer().clone();
    scene.interface().configurations[0].pools = [other.part("backendAddressPools", "web")].into();
    scene.interface().configurations[0].public_ip = Some(ResourceId::new("/ips/pip-vm"));
    scene.gateway().others = [(other.clone(), Seen::Present(LoadBalancer { id: other, ..web }))].into();
    refuses("gateway-machine-elsewhere", &scene, &["membership", "own-address"]);

    let mut scene = Scene::held("jump").gated();
    let other = ResourceId::network("s", "rg-web", "loadBalancers", "lb-web");
    let mut basic = LoadBalancer { id: other.clone(), sku: "Basic".into(), ..adopted().balancer().clone() };
    basic.frontends[0].public_ip = None;
    let mut second = scene.interface().configurations[0].clone();
    (second.name, second.primary) = ("ipconfig2".into(), false);
    second.nat_rules = [other.part("inboundNatRules", "web")].into();
    scene.interface().configurations.push(second);
    scene.gateway().others = [(other.clone(), Seen::Present(basic))].into();
    refuses("gateway-machine-other-kind", &scene, &["sku"]);
    let Some(Seen::Present(public)) = scene.gateway().others.get_mut(&other) else { panic!() };
    public.frontends[0].public_ip = Some(ResourceId::new("/ips/pip-web"));
    scene.interface().configurations[1].public_ip = Some(ResourceId::new("/ips/pip-vm"));
    refuses("gateway-machine-elsewhere-twice", &scene, &["membership", "own-address"]);

    let mut scene = adopted();
    scene.balancer().nat_rules.clear();
    scene.balancer().nat_pools = ["rdp-pool".to_owned()].into();
    refuses("gateway-nat-pool", &scene, &["sku"]);

    let mut scene = Scene::held("jump").gated();
    scene.ip().address = "2001:db8::7".parse().ok();
    scene.rule().access.as_mut().unwrap().from =
        AllowFrom::Sources(vec![Source::from("AzureCloud".to_owned())]);
    refuses("gateway-family-of-machine", &scene, &["family"]);

    let mut scene = adopted();
    scene.balancer().frontends[0].public_ip = None;
    scene.ip().attached_to = None;
    scene.balancer().nat_rules.clear();
    refuses("gateway-internal", &scene, &["sku"]);
}

#[test]
fn ports_and_places_that_are_taken() {
    let mut scene = adopted();
    scene.balancer().nat_rules[0].backend_port = 22;
    refuses("gateway-port-taken", &scene, &["port"]);

    let mut scene = adopted();
    scene.rule().frontend_port = 50001;
    refuses("gateway-machine-port-taken", &scene, &["port"]);

    let mut scene = adopted();
    scene.balancer().nat_rules.clear();
    scene.interface().configurations[0].nat_rules.clear();
    let pool = scene.balancer().pool_id("web");
    scene.interface().configurations[0].pools = [pool.clone()].into();
    scene.balancer().pools[0].members = scene.interface().primary_id().into_iter().collect();
    scene.balancer().balancing =
        vec![Balancing { name: "web".into(), protocol: None, ports: Ports::one(3389), pools: [pool].into() }];
    refuses("gateway-machine-port-balanced", &scene, &["port"]);
    scene.balancer().balancing[0].protocol = Some(Protocol::Udp);
    assert!(cleared(&scene).refusals().is_empty());

    let mut scene = built();
    let machine = scene.interface().primary_id();
    scene.interface().configurations[0].pools.clear();
    scene.balancer().pools[0].members.clear();
    let by_hand = HeldNatRule {
        name: "rdp-by-hand".into(),
        ports: Ports::one(50001),
        pool: None,
        target: machine,
        ..scene.balancer().nat_rules[0].clone()
    };
    scene.balancer().nat_rules.push(by_hand);
    refuses("gateway-machine-port-led-to", &scene, &["port"]);

    let mut scene = adopted();
    scene.group("nsg-mgmt").rules[0].sources = vec![Source::from("198.51.100.0/24".to_owned())];
    scene.rule().access.as_mut().unwrap().priority = Some(1000);
    refuses("gateway-priority-taken", &scene, &["priority"]);

    scene.rule().access.as_mut().unwrap().priority = Some(500);
    scene.group("nsg-mgmt").rules.push(rule("lockdown", 200, false, "*"));
    refuses("gateway-priority-late", &scene, &["priority"]);

    scene.rule().access.as_mut().unwrap().priority = None;
    scene.group("nsg-mgmt").rules[1].priority = 100;
    refuses("gateway-priority-none", &scene, &["priority"]);

    scene.group("nsg-mgmt").rules[1].sources = vec![Source::from("203.0.113.128/25".to_owned())];
    refuses("gateway-priority-part", &scene, &["priority"]);
    scene.rule().access.as_mut().unwrap().priority = Some(500);
    assert!(cleared(&scene).refusals().is_empty());
    scene.rule().access.as_mut().unwrap().priority = None;
    scene.group("nsg-mgmt").rules[1].priority = 102;
    scene.group("nsg-mgmt").rules.push(rule("first", 100, true, "198.51.100.0/24"));
    keeps("gateway-priority-before-a-part", &scene);
}

#[test]
fn a_priority_that_this_very_plan_gives_away_is_nobody_elses() {
    let mut scene = Scene::held("jump").gated();
    scene.interface().group = Some(group_id("nsg-mgmt"));
    let ssh = NatRule { name: "ssh".into(), frontend_port: 63022, backend_port: 22, ..scene.rule().clone() };
    let lockdown = rule("lockdown", 101, false, "*");
    let lockdown_ssh = SecurityRule { ports: vec![Ports::one(22)], ..rule("lockdown-ssh", 102, false, "*") };
    scene.group("nsg-mgmt").rules = vec![lockdown, lockdown_ssh];
    wants_also(&mut scene, ssh);
    refuses("gateway-priority-shared", &scene, &["priority"]);
    // One place is enough for one.
    scene.group("nsg-mgmt").rules[1].priority = 103;
    assert!(cleared(&scene).refusals().is_empty(), "{}", cleared(&scene));
}

#[test]
fn doors_that_stay_shut_or_stand_open() {
    let mut scene = Scene::held("jump").gated();
    let subnet = Subnet { group: Some(group_id("nsg-subnet")), nat_gateway: true };
    scene.gateway().subnets = [(subnet_id(0), Seen::Present(subnet))].into();
    scene.group("nsg-subnet").rules = vec![rule("web", 100, true, "198.51.100.0/24")];
    refuses("gateway-subnet-of-others", &scene, &["closed"]);
    scene.interface().group = Some(group_id("nsg-mgmt"));
    scene.group("nsg-mgmt");
    refuses("gateway-subnet-closed", &scene, &["closed"]);

    let mut scene = Scene::held("jump").gated();
    scene.group("nsg-mgmt");
    refuses("gateway-group-of-others", &scene, &["closed"]);
    scene.group("nsg-mgmt").mark = Some(owner("ops"));
    assert!(cleared(&scene).refusals().is_empty());

    let mut scene = Scene::held("jump").gated();
    let mut second =
        NatRule { name: "ssh".into(), frontend_port: 63022, backend_port: 22, ..scene.rule().clone() };
    second.access.as_mut().unwrap().network_security_group = group_id("nsg-ssh");
    scene.gateway().groups.insert(group_id("nsg-ssh"), Seen::Absent);
    wants_also(&mut scene, second);
    refuses("gateway-two-groups", &scene, &["closed", "closed"]);

    let mut scene = Scene::held("jump").gated();
    scene.interface().group = Some(group_id("nsg-vm"));
    scene.group("nsg-vm");
    refuses("gateway-other-group", &scene, &["closed"]);
    scene.interface().group = Some(ResourceId::network("s", "rg-net", "networkSecurityGroups", "nsg-vm"));
    refuses("gateway-other-group-elsewhere", &scene, &["closed"]);

    let mut scene = Scene::held("jump").gated();
    scene.rule().access.as_mut().unwrap().from = AllowFrom::Internet;
    refuses("gateway-internet", &scene, &["internet"]);
    scene.desired.consents.internet = true;
    assert!(cleared(&scene).refusals().is_empty());

    let mut scene = Scene::held("jump").gated();
    scene.interface().group = Some(group_id("nsg-mgmt"));
    scene.group("nsg-mgmt").rules = vec![rule("anybody", 1000, true, "*")];
    refuses("gateway-open-already", &scene, &["internet"]);

    let mut scene = Scene::held("jump").gated();
    scene.rule().access.as_mut().unwrap().from =
        AllowFrom::Sources(vec![Source::from("2001:db8::/32".to_owned())]);
    refuses("gateway-family", &scene, &["family"]);
}

#[test]
fn what_cannot_be_read_or_written_now() {
    let mut scene = built();
    scene.gateway().groups.insert(group_id("nsg-mgmt"), Seen::Unknown("403 Forbidden".into()));
    keeps("gateway-unread", &scene);
    let mut scene = built();
    scene.balancer().provisioning = Provisioning::Busy;
    keeps("gateway-busy", &scene);
    // A new name waits for what stands behind it; one that is there is mended all the same.
    scene.wants("desk.example.com", "cf", Mode::Cname);
    scene.wants("shell.example.com", "cf", Mode::Cname);
    scene.holds("shell.example.com", "cf", vec![mine(cname("elsewhere.example.net"))]);
    keeps("gateway-busy-new-name", &scene);
}

#[test]
fn a_rule_that_is_taken_out_of_the_file_or_renamed() {
    let mut scene = built();
    let jump = scene.desired.endpoints.values_mut().next().unwrap();
    jump.gateway.as_mut().unwrap().nat_rules.clear();
    // The last of them is too many to lose by mistake.
    refuses("gateway-emptied", &scene, &["wanted-empty"]);
    scene.desired.consents.deletes = true;
    keeps("gateway-prune", &scene);
    scene.desired.consents.deletes = false;
    scene.desired.prune = false;
    assert!(cleared(&scene).plan().is_empty() && cleared(&scene).refusals().is_empty());
    let mut scene = built();
    scene.rule().name = "desktop".into();
    keeps("gateway-rename", &scene);
}

#[test]
fn a_teardown_of_it() {
    let mut scene = built();
    scene.desired = scene.desired.torn_down();
    keeps("gateway-teardown", &scene);
    scene.group("nsg-mgmt").rules.push(rule("office", 1000, true, "198.51.100.0/24"));
    scene.balancer().pools.push(HeldPool { name: "web".into(), members: [].into(), addresses: false });
    keeps("gateway-teardown-shared", &scene);
    let lb = scene.balancer().id.clone();
    let front = lb.part("frontendIPConfigurations", &scene.balancer().frontends[0].name.clone());
    scene.balancer().other_ports.push(("web".into(), Protocol::Tcp, front.clone(), Ports::one(443)));
    scene.balancer().frontend_users.insert(front, "web".into());
    refuses("gateway-teardown-in-use", &scene, &["in-use"]);

    // Behind a public IP that stays, it waits for names and caches all the same.
    let mut scene = built();
    scene.ip().mark = None;
    scene.desired = scene.desired.torn_down();
    keeps("gateway-teardown-behind-others", &scene);
}
