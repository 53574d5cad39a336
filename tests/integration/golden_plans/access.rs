//! Who gets in: the places of security rules, and what is told of a door that is not as it shall be.

use cnamed::model::gateway::{NatRule, Ports, SecurityRule, Source, Subnet};
use cnamed::model::plan::{Action, Part};
use cnamed::model::state::Seen;

use super::cleared;
use super::gateway::{adopted, built, refuses, rule, wants_also};
use crate::laws::site::{group_id, id, subnet_id};
use crate::scene::Scene;

/// A rule about SSH.
fn ssh_rule(name: &str, priority: u16, allow: bool, source: &str) -> SecurityRule {
    SecurityRule { ports: vec![Ports::one(22)], ..rule(name, priority, allow, source) }
}

/// The machine behind `rules` of nsg-mgmt, with SSH wanted beside RDP at `priority`.
fn with_ssh(priority: Option<u16>, rules: Vec<SecurityRule>) -> Scene {
    let mut scene = Scene::held("jump").gated();
    scene.interface().group = Some(group_id("nsg-mgmt"));
    let mut ssh =
        NatRule { name: "ssh".into(), frontend_port: 63022, backend_port: 22, ..scene.rule().clone() };
    ssh.access.as_mut().unwrap().priority = priority;
    wants_also(&mut scene, ssh);
    let machine = scene.interface().id.clone();
    let group = scene.group("nsg-mgmt");
    group.rules = rules;
    group.users = [machine].into();
    scene
}

/// The security rules that are written, in their order: the name, the place before and the place after.
fn places(scene: &Scene) -> Vec<(String, Option<u16>, Option<u16>)> {
    let cleared = cleared(scene);
    assert!(cleared.refusals().is_empty(), "{cleared}");
    let steps = cleared.plan().steps.iter().filter_map(|step| match &step.action {
        Action::Gateway(change) => match &change.part {
            Part::SecurityRule(part) => {
                let place = |rule: &Option<SecurityRule>| rule.as_ref().map(|rule| rule.priority);
                let name = part.wanted.as_ref().or(part.held.as_ref()).unwrap().name.clone();
                Some((name, place(&part.held), place(&part.wanted)))
            }
            _ => None,
        },
        _ => None,
    });
    steps.collect()
}

/// The place that is kept for SSH is none for RDP, although nothing of ours is ever made for SSH.
#[test]
fn a_rule_without_a_place_is_refused_and_not_left_out() {
    let lockdown = rule("deny-rdp", 101, false, "*");
    let scene = with_ssh(Some(100), vec![ssh_rule("office", 500, true, "203.0.113.0/24"), lockdown.clone()]);
    refuses("gateway-priority-reserved", &scene, &["priority"]);
    // The same without anything kept: one place for two.
    let lockdown_too = ssh_rule("deny-ssh", 101, false, "*");
    let scene = with_ssh(None, vec![SecurityRule { priority: 102, ..lockdown }, lockdown_too]);
    assert!(cleared(&scene).plan().steps.is_empty(), "{}", cleared(&scene));
}

#[test]
fn a_rule_takes_the_place_that_its_old_name_leaves() {
    let mut scene = built();
    scene.group("nsg-mgmt").rules.push(rule("lockdown", 101, false, "*"));
    scene.rule().name = "desktop".into();
    let moved = [("cnamed_ops_rdp".into(), Some(100), None), ("cnamed_ops_desktop".into(), None, Some(100))];
    assert_eq!(places(&scene), moved);
    // What carries our mark and is on its way out refuses nobody for long.
    let mut scene = built();
    scene.group("nsg-mgmt").rules[0].allow = false;
    scene.rule().name = "desktop".into();
    scene.rule().access.as_mut().unwrap().priority = Some(200);
    let moved = [("cnamed_ops_rdp".into(), Some(100), None), ("cnamed_ops_desktop".into(), None, Some(200))];
    assert_eq!(places(&scene), moved);
}

#[test]
fn a_place_that_another_rule_of_ours_leaves_is_waited_for() {
    let mut scene = with_ssh(
        Some(300),
        vec![
            ssh_rule("cnamed_ops_ssh", 100, true, "203.0.113.0/24"),
            rule("deny-rdp", 101, false, "198.51.100.0/24"),
            rule("deny-all-rdp", 102, false, "*"),
        ],
    );
    assert_eq!(places(&scene), [("cnamed_ops_ssh".into(), Some(100), Some(300))]);
    let waits: Vec<_> = cleared(&scene).plan().blocked.clone();
    assert!(waits.len() == 1 && waits[0].ours, "{}", cleared(&scene));
    scene.apply(cleared(&scene).plan());
    assert_eq!(places(&scene), [("cnamed_ops_rdp".into(), None, Some(100))]);
}

#[test]
fn places_are_left_before_they_are_taken() {
    let mut scene = with_ssh(
        Some(102),
        vec![
            rule("cnamed_ops_rdp", 100, true, "203.0.113.0/24"),
            ssh_rule("cnamed_ops_ssh", 101, true, "203.0.113.0/24"),
        ],
    );
    scene.rule().access.as_mut().unwrap().priority = Some(101);
    let moved =
        [("cnamed_ops_ssh".into(), Some(101), Some(102)), ("cnamed_ops_rdp".into(), Some(100), Some(101))];
    assert_eq!(places(&scene), moved);
    // Two that change places have none to go to first.
    let gateway = scene.desired.endpoints.values_mut().next().unwrap().gateway.as_mut().unwrap();
    gateway.nat_rules[1].access.as_mut().unwrap().priority = Some(100);
    refuses("gateway-priority-swapped", &scene, &["priority"]);
}

#[test]
fn a_security_rule_tells_in_what_it_differs() {
    let told = |change: fn(&mut SecurityRule)| {
        let mut scene = built();
        change(&mut scene.group("nsg-mgmt").rules[0]);
        cleared(&scene).plan().steps[0].reason.clone()
    };
    assert_eq!(told(|rule| rule.ports = vec![Ports::one(22)]), "is about another port");
    assert_eq!(told(|rule| rule.protocol = None), "is about another protocol");
    assert_eq!(told(|rule| rule.allow = false), "keeps out whom it shall let in");
    assert_eq!(
        told(|rule| rule.sources.push(Source::from("198.51.100.0/24".to_owned()))),
        "lets in 198.51.100.0/24 too"
    );
    assert_eq!(
        told(|rule| rule.sources = vec![Source::from("198.51.100.0/24".to_owned())]),
        "lets in 198.51.100.0/24 too, and keeps out 203.0.113.0/24"
    );
    assert_eq!(
        told(|rule| rule.destinations = vec![Source::from("10.0.0.9".to_owned())]),
        "is about another destination"
    );
    assert_eq!(told(|rule| rule.any_source_port = false), "is about some source ports only");
    let mut scene = built();
    scene.rule().access.as_mut().unwrap().priority = Some(200);
    scene.group("nsg-mgmt").rules[0].ports = vec![Ports::one(22)];
    let both = "is about another port, and its priority is 100, not 200";
    assert_eq!(cleared(&scene).plan().steps[0].reason, both);
}

/// What is told of an endpoint, and of what.
fn told(scene: &Scene) -> Vec<String> {
    let cleared = cleared(scene);
    assert!(cleared.refusals().is_empty(), "{cleared}");
    let notes = cleared.plan().notes.iter().map(|note| format!("{}: {}", note.subject, note.text));
    notes.filter(|note| !note.contains("no way out")).collect()
}

#[test]
fn whoever_gets_in_beside_those_who_are_named_is_told() {
    let mut scene = built();
    assert_eq!(told(&scene), Vec::<String>::new());
    let theirs = [
        rule("branch", 300, true, "198.51.100.0/24"),
        rule("inside", 301, true, "10.0.0.0/8"),
        rule("part", 302, true, "203.0.113.128/25"),
        rule("denied", 303, false, "192.0.2.0/24"),
        rule("late", 304, true, "192.0.2.0/24"),
    ];
    scene.group("nsg-mgmt").rules.extend(theirs);
    let note = "security group nsg-mgmt of jump: lets 198.51.100.0/24 in to port 3389 of vm-jump-nic by branch, and allow_from of rdp does not name that";
    assert_eq!(told(&scene), [note]);
    // A second group before the same machine keeps them out again.
    let subnet = Subnet { group: Some(group_id("nsg-subnet")), nat_gateway: true };
    scene.gateway().subnets = [(subnet_id(0), Seen::Present(subnet))].into();
    scene.group("nsg-subnet").rules = vec![rule("office", 100, true, "203.0.113.0/24")];
    assert_eq!(told(&scene), Vec::<String>::new());
}

#[test]
fn what_serves_is_told_of_with_what_it_does_otherwise() {
    let mut scene = adopted();
    scene.balancer().nat_rules[0].idle_timeout_minutes = 15;
    scene.balancer().nat_rules[0].protocol = None;
    scene.group("nsg-mgmt").rules.push(rule("no-lab", 500, false, "203.0.113.128/25"));
    let office = "security rule cnamed_ops_rdp of jump: is not made, since office lets in whom rdp names";
    let part = "security group nsg-mgmt of jump: may keep a part of 203.0.113.0/24 out of port 3389 of vm-jump-nic by no-lab, which comes first";
    let told = told(&scene);
    assert!(told.contains(&office.to_owned()) && told.contains(&part.to_owned()), "{told:#?}");
    for text in ["keeps idle connections for 15 minutes, not 4", "leads every protocol there, not TCP alone"]
    {
        let text = format!("NAT rule cnamed_ops_rdp of jump: rdp-by-hand does it, and {text}");
        assert!(told.contains(&text), "{told:#?}");
    }
    let front = "load balancer lb-jump of jump: its frontend front, which is not ours, stands on the public IP, which is: a teardown will be refused until that is taken off";
    assert!(told.contains(&front.to_owned()), "{told:#?}");
    scene.ip().mark = None;
    assert!(!self::told(&scene).contains(&front.to_owned()));
}

#[test]
fn a_rule_that_uses_floating_ip_does_not_serve() {
    let mut scene = adopted();
    scene.balancer().nat_rules[0].floating = true;
    refuses("gateway-floating", &scene, &["port"]);
    let mut scene = built();
    scene.balancer().nat_rules[0].floating = true;
    let reason = cleared(&scene).plan().steps[0].reason.clone();
    assert_eq!(reason, "keeps the frontend's address, which the machine does not answer for");
}

#[test]
fn a_door_that_nobody_opens_and_a_balancer_that_nobody_named_are_told_of() {
    let mut scene = Scene::held("jump").gated();
    scene.rule().access = None;
    let shut = "NAT rule cnamed_ops_rdp of jump: leads to a closed door: vm-jump-nic is behind no security group, and a Standard load balancer lets nobody in then; name one as network_security_group of rdp";
    assert_eq!(told(&scene), [shut]);
    scene.interface().group = Some(group_id("nsg-mgmt"));
    scene.group("nsg-mgmt");
    assert_eq!(told(&scene), Vec::<String>::new());

    let mut scene = built();
    scene.desired.endpoints.values_mut().for_each(|endpoint| endpoint.gateway = None);
    let unnamed = "public IP of jump: it stands before the load balancer lb-jump, of which the configuration says nothing; what is behind it is neither looked at nor taken down";
    assert_eq!(told(&scene), [unnamed]);
}

/// What a refused rule would have opened is not told as if it did.
#[test]
fn a_note_of_what_is_not_done_goes_with_it() {
    let mut scene = Scene::held("jump").gated();
    scene.interface().group = Some(group_id("nsg-mgmt"));
    scene.group("nsg-mgmt").users = [id("networkInterfaces", "vm-db-nic")].into();
    let opens =
        |scene: &Scene| cleared(scene).plan().notes.iter().any(|note| note.text.starts_with("opens port"));
    assert!(opens(&scene), "{}", cleared(&scene));
    scene.interface().location = "northeurope".into();
    assert!(!cleared(&scene).refusals().is_empty() && !opens(&scene), "{}", cleared(&scene));
}
