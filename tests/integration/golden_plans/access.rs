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
fn a_rule_that_uses_floating_ip_does_not_serve() {
    let mut scene = adopted();
    scene.balancer().nat_rules[0].floating = true;
    refuses("gateway-floating", &scene, &["port"]);
    let mut scene = built();
    scene.balancer().nat_rules[0].floating = true;
    let reason = cleared(&scene).plan().steps[0].reason.clone();
    assert_eq!(reason, "keeps the frontend's address, which the machine does not answer for");
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
