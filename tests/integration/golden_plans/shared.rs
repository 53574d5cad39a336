//! Two endpoints that share a security group, and what one endpoint leaves behind in what it shared.

use cnamed::model::gateway::{Frontend, Gateway, GatewayState, NatRule, NetworkInterface};
use cnamed::model::plan::{Action, GroupChange, Part, Plan};
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::{LabelHolder, Seen};

use super::gateway::{built, refuses, rule, wants_also};
use super::{cleared, keeps};
use crate::laws::site::{group_id, id};
use crate::laws::world::handle;
use crate::scene::Scene;

/// `built`, with SSH of a second machine behind nsg-db.
fn two_machines() -> Scene {
    let mut scene = Scene::held("jump").gated();
    let second = id("networkInterfaces", "vm-db-nic");
    let mut ssh = NatRule {
        name: "ssh".into(),
        frontend_port: 63022,
        backend_port: 22,
        network_interface: second.clone(),
        ..scene.rule().clone()
    };
    ssh.access.as_mut().unwrap().network_security_group = group_id("nsg-db");
    wants_also(&mut scene, ssh);
    let mut machine = NetworkInterface { id: second.clone(), ..scene.interface().clone() };
    machine.configurations[0].address = Some([10, 0, 0, 5].into());
    scene.gateway().interfaces.insert(second, Seen::Present(machine));
    scene.gateway().groups.insert(group_id("nsg-db"), Seen::Absent);
    scene.built()
}

/// Whether `step` of `plan` waits for `other`, directly or not.
fn waits(plan: &Plan, step: usize, other: usize) -> bool {
    plan.steps[step].after.iter().any(|on| *on == other || waits(plan, *on, other))
}

fn position(plan: &Plan, is: impl Fn(&Part) -> bool) -> usize {
    let found = plan.steps.iter().position(|step| match &step.action {
        Action::Gateway(change) => is(&change.part),
        _ => false,
    });
    found.unwrap_or_else(|| panic!("{plan}"))
}

/// What tells us that we own something there goes last.
#[test]
fn a_door_is_closed_before_its_machine_is_forgotten() {
    let cleared = cleared(&narrowed());
    let plan = cleared.plan();
    let door = position(plan, |part| matches!(part, Part::SecurityRule(door) if door.wanted.is_none()));
    let nic = position(plan, |part| matches!(part, Part::Interface(nic) if !nic.leave.is_empty()));
    let pool = position(plan, |part| matches!(part, Part::LoadBalancer(lb) if !lb.without_pools.is_empty()));
    assert!(waits(plan, nic, door) && waits(plan, pool, door) && waits(plan, pool, nic), "{cleared}");
}

/// The second machine's rule is taken out of the file.
fn narrowed() -> Scene {
    let mut scene = two_machines();
    let jump = scene.desired.endpoints.values_mut().next().unwrap();
    jump.gateway.as_mut().unwrap().nat_rules.pop();
    scene
}

/// A group that was made for a machine goes with the last that leads there, unless somebody uses it.
#[test]
fn a_group_that_nothing_needs_any_more_goes() {
    let mut scene = narrowed();
    keeps("gateway-group-left", &scene);
    for _ in 0..3 {
        scene.apply(cleared(&scene).plan());
    }
    assert_eq!(scene.gateway().groups[&group_id("nsg-db")], Seen::Absent);
    assert!(cleared(&scene).plan().is_empty(), "{}", cleared(&scene));

    let mut scene = narrowed();
    scene.group("nsg-db").rules.push(rule("theirs", 300, true, "198.51.100.0/24"));
    let note = "stays: theirs is in it, and nothing leads to vm-db-nic any more, which is behind it";
    let cleared_ = cleared(&scene);
    assert!(cleared_.plan().notes.iter().any(|one| one.text == note), "{cleared_}");
    let gone = |part: &Part| matches!(part, Part::SecurityGroup(_));
    let gone = cleared_
        .plan()
        .steps
        .iter()
        .any(|step| matches!(&step.action, Action::Gateway(one) if gone(&one.part)));
    assert!(!gone, "{cleared_}");
    // A machine that has got an address of its own meanwhile would be open to everybody without it.
    let mut scene = narrowed();
    let second = scene.gateway().interfaces.get_mut(&id("networkInterfaces", "vm-db-nic")).unwrap();
    let Seen::Present(second) = second else { panic!() };
    second.configurations[0].public_ip = Some(ResourceId::new("/ips/own"));
    for desired in [scene.desired.clone(), scene.desired.clone().torn_down()] {
        let scene = Scene { desired, ..scene.clone() };
        let cleared = cleared(&scene);
        let loses = |part: &Part| matches!(part, Part::Interface(nic) if nic.group == GroupChange::Cleared && nic.held.id.name() == "vm-db-nic");
        let steps = cleared.plan().steps.iter();
        assert!(
            !steps.clone().any(|step| matches!(&step.action, Action::Gateway(one) if loses(&one.part))),
            "{cleared}"
        );
        position(cleared.plan(), |part| matches!(part, Part::SecurityRule(door) if door.wanted.is_none()));
    }
    // Without a mark it was there before.
    let mut scene = narrowed();
    scene.group("nsg-db").mark = None;
    let cleared = cleared(&scene);
    assert!(!cleared.plan().notes.iter().any(|one| one.text.contains("vm-db-nic")), "{cleared}");
}

/// What a teardown leaves is told, with what keeps it.
#[test]
fn what_a_teardown_leaves_is_told() {
    let mut scene = built();
    scene.desired = scene.desired.torn_down();
    let told = |scene: &Scene| -> Vec<String> {
        let cleared = cleared(scene);
        assert!(cleared.refusals().is_empty(), "{cleared}");
        cleared.plan().notes.iter().map(|note| format!("{}: {}", note.subject, note.text)).collect()
    };
    assert_eq!(told(&scene), Vec::<String>::new());
    scene.group("nsg-mgmt").users.insert(id("networkInterfaces", "vm-db-nic"));
    assert_eq!(told(&scene), ["security group nsg-mgmt of jump: stays: vm-db-nic is behind it"]);
    scene.group("nsg-mgmt").mark = None;
    scene.balancer().mark = None;
    let stays = [
        "load balancer lb-jump of jump: does not carry our mark, and stays",
        "security group nsg-mgmt of jump: does not carry our mark, and stays",
    ];
    assert_eq!(told(&scene), stays);
}

/// What of others uses our pool or our frontend, by whichever rule, keeps us from taking it out.
#[test]
fn what_others_use_of_ours_is_refused_before_the_first_write() {
    let lb = |scene: &mut Scene| scene.balancer().id.clone();
    let mut scene = built();
    let pool = lb(&mut scene).part("backendAddressPools", "cnamed_ops_rdp");
    scene.balancer().pool_users.insert(pool, "https".into());
    let mut down = scene.clone();
    down.desired = down.desired.torn_down();
    refuses("gateway-teardown-pool-in-use", &down, &["in-use"]);
    // Renamed, the pool stays where it is, and its machine in it.
    scene.rule().name = "desktop".into();
    let cleared_ = cleared(&scene);
    let note = "nothing of ours needs the pool cnamed_ops_rdp any more, and it stays, since https uses it";
    assert!(cleared_.plan().notes.iter().any(|one| one.text == note), "{cleared_}");

    let mut scene = built();
    let front = lb(&mut scene).part("frontendIPConfigurations", "cnamed_ops_jump");
    scene.balancer().frontend_users.insert(front, "out".into());
    scene.desired = scene.desired.torn_down();
    let rules: Vec<String> = cleared(&scene).refusals().iter().map(|one| one.rule.to_string()).collect();
    assert!(rules.contains(&"in-use".to_owned()), "{}", cleared(&scene));
}

/// A public IP is taken off by the removal of its own frontend alone.
#[test]
fn another_frontend_that_goes_takes_no_public_ip_off() {
    let mut scene = built();
    let theirs =
        Frontend { name: "front".into(), public_ip: scene.balancer().frontends[0].public_ip.clone() };
    let mut stray = scene.balancer().frontends[0].clone();
    stray.public_ip = Some(ResourceId::new("/ips/pip-other"));
    scene.balancer().nat_rules.clear();
    scene.balancer().frontends = vec![theirs, stray];
    scene.balancer().mark = None;
    scene.desired = scene.desired.torn_down();
    let found: Vec<String> = cleared(&scene).refusals().iter().map(|one| one.rule.to_string()).collect();
    assert_eq!(found, ["in-use"], "{}", cleared(&scene));
}

/// A second endpoint before `jump` in every order, whose rule stands in the same group.
fn beside(scene: &mut Scene, priority: u16) {
    let mut alpha = scene.desired.endpoints[&handle("jump")].clone();
    alpha.name = handle("alpha");
    alpha.public_ip.name = "pip-alpha".into();
    alpha.public_ip.label = "alpha".parse().unwrap();
    let Gateway { public_ip, load_balancer, nat_rules } = alpha.gateway.as_mut().unwrap();
    *public_ip = ResourceId::new("/ips/pip-8");
    *load_balancer = id("loadBalancers", "lb-alpha");
    nat_rules[0].name = "alpha".into();
    nat_rules[0].network_interface = id("networkInterfaces", "vm-alpha-nic");
    nat_rules[0].access.as_mut().unwrap().priority = Some(priority);
    let mut state = scene.state().clone();
    if let Seen::Present(ip) = &mut state.public_ip {
        *ip = crate::laws::world::public_ip(8, Some("alpha"));
    }
    let gateway: &mut GatewayState = state.gateway.as_mut().unwrap();
    gateway.load_balancer = Seen::Absent;
    let mut machine = scene.interface().clone();
    machine.id = id("networkInterfaces", "vm-alpha-nic");
    machine.configurations[0].pools.clear();
    gateway.interfaces = [(machine.id.clone(), Seen::Present(machine))].into();
    scene.desired.endpoints.insert(handle("alpha"), alpha);
    scene.observed.endpoints.insert(handle("alpha"), state);
}

#[test]
fn places_are_left_before_another_endpoint_takes_them() {
    let mut scene = built();
    beside(&mut scene, 100);
    scene.rule().access.as_mut().unwrap().priority = Some(101);
    scene.group("nsg-mgmt").rules.push(rule("others", 200, true, "198.51.100.0/24"));
    let groups = scene.gateway().groups.clone();
    scene.observed.endpoints.get_mut(&handle("alpha")).unwrap().gateway.as_mut().unwrap().groups = groups;
    let cleared = cleared(&scene);
    assert!(cleared.refusals().is_empty(), "{cleared}");
    let plan = cleared.plan();
    let of = |name: &'static str| {
        position(
            plan,
            |part| matches!(part, Part::SecurityRule(door) if door.wanted.as_ref().is_some_and(|one| one.name == name)),
        )
    };
    assert!(waits(plan, of("cnamed_ops_alpha"), of("cnamed_ops_rdp")), "{cleared}");
}

/// What a rename withdraws comes back later; what stands behind the public IP is mended at once.
#[test]
fn a_gateway_is_mended_while_its_label_is_renamed() {
    let mut scene = built();
    scene.spec().label = "bastion".parse().unwrap();
    scene.state().label = Seen::Present(LabelHolder::Nobody);
    scene.desired.consents.relabel = true;
    scene.balancer().nat_rules.clear();
    let cleared = cleared(&scene);
    position(cleared.plan(), |part| matches!(part, Part::NatRule(rule) if rule.wanted.is_some()));
    assert!(cleared.refusals().is_empty(), "{cleared}");
}

/// Azure writes a region in two ways.
#[test]
fn a_region_is_one_however_it_is_written() {
    let mut scene = built();
    scene.ip().location = "West Europe".into();
    scene.balancer().location = "West Europe".into();
    let cleared = cleared(&scene);
    assert!(cleared.refusals().is_empty() && cleared.plan().is_empty(), "{cleared}");
    assert!(!cleared.plan().notes.iter().any(|note| note.text.contains("West Europe")), "{cleared}");
    scene.spec().label = "bastion".parse().unwrap();
    scene.state().label = Seen::Present(LabelHolder::Nobody);
    scene.desired.consents.relabel = true;
    assert!(super::cleared(&scene).refusals().is_empty(), "{}", super::cleared(&scene));
}

/// What keeps one endpoint from going does not keep the group that another one's machine alone is behind.
#[test]
fn a_group_goes_with_whichever_endpoint_may_go() {
    let takes = |scene: &Scene| {
        let cleared = cleared(scene);
        let refused: Vec<_> = cleared.refusals().iter().filter_map(|one| one.endpoint.clone()).collect();
        let goes = |part: &Part| matches!(part, Part::SecurityGroup(group) if group.held.is_some());
        let steps = &cleared.plan().steps;
        let found = steps
            .iter()
            .position(|step| matches!(&step.action, Action::Gateway(change) if goes(&change.part)));
        (found, refused, cleared)
    };
    let mut scene = built();
    beside(&mut scene, 100);
    let mut theirs = scene.balancer().clone();
    theirs.id = id("loadBalancers", "lb-alpha");
    theirs.mark = None;
    theirs.pools.clear();
    theirs.nat_rules.clear();
    theirs.frontends[0].name = "cnamed_ops_alpha".into();
    theirs.frontend_users =
        [(theirs.id.part("frontendIPConfigurations", "cnamed_ops_alpha"), "out".into())].into();
    let groups = scene.gateway().groups.clone();
    let alpha = scene.observed.endpoints.get_mut(&handle("alpha")).unwrap().gateway.as_mut().unwrap();
    (alpha.load_balancer, alpha.groups) = (Seen::Present(theirs), groups);
    scene.desired = scene.desired.torn_down();
    let gateway =
        |scene: &mut Scene| -> Gateway { scene.desired.endpoints[&handle("alpha")].gateway.clone().unwrap() };
    let without_rules = Gateway { nat_rules: vec![], ..gateway(&mut scene) };
    let mut free = scene.clone();
    free.desired.endpoints.get_mut(&handle("alpha")).unwrap().gateway = Some(without_rules);
    let (found, refused, cleared_) = takes(&free);
    assert_eq!(refused, [handle("alpha")], "{cleared_}");
    assert!(cleared_.plan().steps.iter().all(|step| step.endpoint == Some(handle("jump"))), "{cleared_}");
    // Stopped before the group, and begun again, when nothing of `jump` is behind it any more.
    let stopped = &cleared_.plan().steps[..found.unwrap_or_else(|| panic!("{cleared_}"))];
    let mut again = free.clone();
    again.observed = again.observed.after_steps(&cleared_.plan().owner, stopped);
    let (found, _, cleared_) = takes(&again);
    assert_eq!(found, Some(0), "{cleared_}");

    // A rule of the one that is refused stays, and the group with it; all else of `jump` goes.
    let mut kept = scene.clone();
    for state in kept.observed.endpoints.values_mut() {
        let groups = &mut state.gateway.as_mut().unwrap().groups;
        let Some(Seen::Present(group)) = groups.get_mut(&group_id("nsg-mgmt")) else { panic!() };
        group.rules.push(rule("cnamed_ops_alpha", 101, true, "198.51.100.0/24"));
    }
    let (found, _, cleared_) = takes(&kept);
    assert_eq!(found, None, "{cleared_}");
    let balancer = |part: &Part| matches!(part, Part::LoadBalancer(balancer) if balancer.delete);
    position(cleared_.plan(), balancer);

    // Where nobody may go, nothing goes.
    let mut nobody = free;
    nobody.balancer().mark = None;
    let front = nobody.balancer().id.clone().part("frontendIPConfigurations", "cnamed_ops_jump");
    nobody.balancer().frontend_users.insert(front, "out".into());
    let (found, refused, cleared_) = takes(&nobody);
    assert_eq!((found, refused.len()), (None, 2), "{cleared_}");
}
