//! Names of ours that stand and lead elsewhere: they are mended whatever else cannot go on.

use std::collections::BTreeSet;

use cnamed::model::endpoint::{Intent, Provisioning};
use cnamed::model::guard::{Cleared, Rule, check};
use cnamed::model::name::DnsLabel;
use cnamed::model::plan::{Action, Plan, Verb, plan};
use cnamed::model::record::{Data, Mode};
use cnamed::model::state::{EndpointState, LabelHolder, RecordKey, Seen};

use crate::laws::world::{handle, key, public_ip};
use crate::scene::{Scene, cname, label_name, mine, unmarked};

const GONE: &str = "gone.example.net";
const ADDRESS: [u8; 4] = [192, 0, 2, 1];

/// A gateway that is not built, a name that leads elsewhere, one that does not stand yet, and one that shall go.
fn scene() -> Scene {
    let mut scene = Scene::held("jump").gated();
    scene.wants("led.example.com", "cf", Mode::Cname);
    scene.holds("led.example.com", "cf", vec![mine(cname(GONE))]);
    scene.wants("new.example.com", "cf", Mode::Cname);
    scene.wants("gone.example.com", "cf", Mode::Cname).withdraw = true;
    scene.holds("gone.example.com", "cf", vec![mine(label_name("jump"))]);
    scene
}

fn cleared(scene: &Scene) -> Cleared {
    check(&scene.desired, &scene.observed, plan(&scene.desired, &scene.observed))
}

/// The names that are written, and how.
fn names(plan: &Plan) -> Vec<(&str, Verb)> {
    let changes = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Record(change) => Some((change.key.name.as_str(), change.verb())),
        _ => None,
    });
    changes.collect()
}

#[test]
fn a_refusal_of_another_name_keeps_none_where_it_led() {
    let mut scene = scene();
    scene.wants("other.example.com", "cf", Mode::Cname);
    scene.holds("other.example.com", "cf", vec![unmarked(Data::A([ADDRESS.into()].into()))]);
    let cleared = cleared(&scene);
    assert_eq!(cleared.refusals().iter().map(|refusal| refusal.rule).collect::<Vec<_>>(), [Rule::Foreign]);
    assert_eq!(names(cleared.plan()), [("led.example.com", Verb::Update)], "{cleared}");
    assert_eq!(cleared.plan().steps.len(), 1, "nothing is built: {cleared}");
}

#[test]
fn a_refusal_behind_the_public_ip_keeps_no_name_where_it_led() {
    let mut scene = scene();
    scene.ip().sku = "Basic".into();
    let cleared = cleared(&scene);
    assert_eq!(cleared.refusals().iter().map(|refusal| refusal.rule).collect::<Vec<_>>(), [Rule::Sku]);
    assert_eq!(names(cleared.plan()), [("led.example.com", Verb::Update)], "{cleared}");
    assert_eq!(cleared.plan().steps.len(), 1, "nothing is built: {cleared}");
}

#[test]
fn names_that_stand_are_mended_before_the_rest() {
    let cleared = cleared(&scene());
    let led: BTreeSet<RecordKey> = [key("led.example.com", "cf")].into();
    let mending = cleared.mending(&[].into());
    assert_eq!(names(mending.plan()), [("led.example.com", Verb::Update)], "{mending}");
    assert_eq!(mending.plan().steps.len(), 1, "{mending}");
    assert!(cleared.mending(&led).plan().is_empty());
    let rest = cleared.apart_from(&led);
    assert_eq!(
        names(rest.plan()),
        [("gone.example.com", Verb::Delete), ("new.example.com", Verb::Create)],
        "{rest}"
    );
    assert_eq!(rest.plan().steps.len(), cleared.plan().steps.len() - 1, "{rest}");
}

#[test]
fn what_is_taken_over_stops_with_its_endpoint() {
    let mut scene = scene();
    scene.wants("theirs.example.com", "cf", Mode::Cname);
    scene.holds("theirs.example.com", "cf", vec![unmarked(cname(GONE))]);
    scene.desired.consents.adopt = [(key("theirs.example.com", "cf").name, None)].into();
    let taken = |scene: &Scene| names(cleared(scene).plan()).contains(&("theirs.example.com", Verb::Update));
    assert!(taken(&scene));
    scene.ip().sku = "Basic".into();
    assert!(!taken(&scene));
}

/// The public IP has another label than it shall have, and who holds that one could not be read.
fn unasked(mut scene: Scene) -> Scene {
    scene.spec().label = DnsLabel::parse("other").unwrap();
    scene.state().label = Seen::Unknown("timed out".into());
    scene
}

#[test]
fn a_new_name_finds_the_door_open_whoever_holds_the_label() {
    let scene = unasked(scene());
    let plan = plan(&scene.desired, &scene.observed);
    let new = plan
        .steps
        .iter()
        .find(|step| step.verb() == Some(Verb::Create) && matches!(&step.action, Action::Record(_)));
    let behind: Vec<_> = new.unwrap().after.iter().map(|at| &plan.steps[*at].action).collect();
    assert!(matches!(behind.as_slice(), [Action::Gateway(_)]), "{plan}");
}

#[test]
fn a_new_name_waits_for_a_door_that_was_not_read_whoever_holds_the_label() {
    let mut scene = unasked(scene());
    let jump = &scene.desired.endpoints[&handle("jump")];
    scene.state().gateway = EndpointState::unknown(&jump.clone(), "timed out").gateway;
    let plan = plan(&scene.desired, &scene.observed);
    assert_eq!(
        names(&plan),
        [("gone.example.com", Verb::Delete), ("led.example.com", Verb::Update)],
        "{plan}"
    );
}

#[test]
fn a_new_name_waits_for_a_door_that_a_busy_public_ip_keeps_from_being_built() {
    let mut scene = scene();
    scene.ip().provisioning = Provisioning::Busy;
    let standing = [("gone.example.com", Verb::Delete), ("led.example.com", Verb::Update)];
    assert_eq!(names(&plan(&scene.desired, &scene.observed)), standing);
    scene.desired.endpoints.get_mut(&handle("jump")).unwrap().gateway = None;
    scene.state().gateway = None;
    let all = [standing[0], standing[1], ("new.example.com", Verb::Create)];
    assert_eq!(names(&plan(&scene.desired, &scene.observed)), all, "no door is wanted");
}

/// The public IP is only watched and has lost its label, which anybody may claim.
#[test]
fn a_name_that_shall_have_the_address_is_mended_at_once_and_not_withdrawn() {
    let mut scene = Scene::held("jump");
    scene.desired.endpoints.get_mut(&handle("jump")).unwrap().intent = Intent::Watch;
    *scene.state() = EndpointState {
        public_ip: Seen::Present(public_ip(7, None)),
        label: Seen::Present(LabelHolder::Nobody),
        gateway: None,
    };
    for (name, mode) in [("address.example.com", Mode::Address), ("label.example.com", Mode::Cname)] {
        scene.wants(name, "cf", mode);
        scene.holds(name, "cf", vec![mine(label_name("jump"))]);
    }
    let both = [("address.example.com", Verb::Update), ("label.example.com", Verb::Delete)];
    assert_eq!(names(cleared(&scene).plan()), both);
    scene.ip().address = None;
    let both = [("address.example.com", Verb::Delete), ("label.example.com", Verb::Delete)];
    assert_eq!(names(cleared(&scene).plan()), both, "an address that is released gives nothing");
}
