//! Names for which nothing has to be built: they are mended whatever else cannot go on.

use std::collections::BTreeSet;

use cnamed::model::endpoint::{Intent, Provisioning};
use cnamed::model::guard::{Cleared, Rule, check};
use cnamed::model::name::DnsLabel;
use cnamed::model::plan::{Action, Plan, Subject, Verb, plan};
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

fn rules(cleared: &Cleared) -> Vec<Rule> {
    cleared.refusals().iter().map(|refusal| refusal.rule).collect()
}

#[test]
fn a_refusal_of_another_name_keeps_none_where_it_led() {
    let mut scene = scene();
    scene.wants("other.example.com", "cf", Mode::Cname);
    scene.holds("other.example.com", "cf", vec![unmarked(Data::A([ADDRESS.into()].into()))]);
    let cleared = cleared(&scene);
    assert_eq!(rules(&cleared), [Rule::Foreign]);
    assert_eq!(names(cleared.plan()), [("led.example.com", Verb::Update)], "{cleared}");
    assert_eq!(cleared.plan().steps.len(), 1, "nothing is built: {cleared}");
}

#[test]
fn a_refusal_behind_the_public_ip_keeps_no_name_where_it_led() {
    let mut scene = scene();
    scene.ip().sku = "Basic".into();
    let cleared = cleared(&scene);
    assert_eq!(rules(&cleared), [Rule::Sku]);
    assert_eq!(names(cleared.plan()), [("led.example.com", Verb::Update)], "{cleared}");
    assert_eq!(cleared.plan().steps.len(), 1, "nothing is built: {cleared}");
}

#[test]
fn names_that_wait_for_nothing_are_mended_before_the_rest() {
    let scene = scene();
    let cleared = cleared(&scene);
    let led: BTreeSet<RecordKey> = [key("led.example.com", "cf")].into();
    let mending = cleared.at_once(&scene.desired, &[].into());
    assert_eq!(names(mending.plan()), [("led.example.com", Verb::Update)], "{mending}");
    assert_eq!(mending.plan().steps.len(), 1, "{mending}");
    assert!(cleared.at_once(&scene.desired, &led).plan().is_empty());
    let rest = cleared.apart_from(&led);
    assert_eq!(
        names(rest.plan()),
        [("gone.example.com", Verb::Delete), ("new.example.com", Verb::Create)],
        "{rest}"
    );
    assert_eq!(rest.plan().steps.len(), cleared.plan().steps.len() - 1, "{rest}");
}

/// The same new name in two accounts, of which one holds somebody else's there.
fn twofold() -> Scene {
    let mut scene = Scene::held("jump");
    for account in ["azure", "cf"] {
        scene.wants("new.example.com", account, Mode::Cname);
    }
    scene.holds("new.example.com", "azure", vec![unmarked(Data::A([ADDRESS.into()].into()))]);
    scene
}

#[test]
fn what_one_account_refuses_holds_no_new_name_in_another() {
    let cleared = cleared(&twofold());
    assert_eq!(rules(&cleared), [Rule::Foreign]);
    let [step] = cleared.plan().steps.as_slice() else { panic!("{cleared}") };
    let Action::Record(change) = &step.action else { panic!("{cleared}") };
    assert_eq!((&change.key, change.verb()), (&key("new.example.com", "cf"), Verb::Create));
}

#[test]
fn what_one_account_refuses_builds_no_door_for_a_name_in_another() {
    let cleared = cleared(&twofold().gated());
    assert_eq!(rules(&cleared), [Rule::Foreign]);
    assert!(cleared.plan().steps.is_empty(), "{cleared}");
}

#[test]
fn no_new_name_leads_to_what_is_refused() {
    let mut scene = Scene::held("jump").gated().built();
    scene.wants("new.example.com", "cf", Mode::Cname);
    let open = cleared(&scene);
    assert_eq!(names(open.plan()), [("new.example.com", Verb::Create)]);
    assert_eq!(open.plan().steps.len(), 1, "the door stands: {open}");
    scene.ip().sku = "Basic".into();
    let shut = cleared(&scene);
    assert_eq!((rules(&shut), names(shut.plan())), (vec![Rule::Sku], vec![]), "{shut}");
}

/// The watched public IP is gone, and anybody may claim its label.
#[test]
fn no_refusal_of_another_name_leaves_one_at_a_label_that_anybody_may_claim() {
    let mut scene = twofold();
    scene.desired.endpoints.get_mut(&handle("jump")).unwrap().intent = Intent::Watch;
    *scene.state() =
        EndpointState { public_ip: Seen::Absent, label: Seen::Present(LabelHolder::Nobody), gateway: None };
    scene.holds("new.example.com", "cf", vec![mine(label_name("jump"))]);
    let refused = cleared(&scene);
    assert_eq!(rules(&refused), [Rule::Foreign]);
    assert_eq!(names(refused.plan()), [("new.example.com", Verb::Delete)]);
    assert_eq!(refused.at_once(&scene.desired, &[].into()).plan().steps, refused.plan().steps);
}

/// Each account is counted for itself, so that one name in several is one.
#[test]
fn what_is_too_much_in_one_account_stays_there_alone() {
    let mut scene = Scene::held("jump");
    scene.wants("www.example.com", "cf", Mode::Cname);
    scene.holds("www.example.com", "cf", vec![mine(label_name("jump"))]);
    scene.desired.prune = true;
    let limit = scene.desired.deletes_per_round;
    let strays = |scene: &mut Scene, account: &str, count: usize| {
        for at in 0..count {
            scene.holds(&format!("stray{at}.example.com"), account, vec![mine(cname(GONE))]);
        }
    };
    strays(&mut scene, "azure", limit);
    strays(&mut scene, "cf", limit);
    let all = cleared(&scene);
    assert_eq!((rules(&all), all.plan().steps.len()), (vec![], limit * 2), "{all}");
    strays(&mut scene, "cf", limit + 1);
    let some = cleared(&scene);
    assert_eq!(rules(&some), [Rule::TooManyDeletes]);
    assert_eq!(some.refusals()[0].subject, Subject::Record(key("stray0.example.com", "cf")));
    let accounts: BTreeSet<String> =
        some.plan().steps.iter().map(|step| step.subject().to_string()).collect();
    assert!(accounts.len() == limit && accounts.iter().all(|name| name.ends_with("in azure")), "{some}");
    assert_eq!(some.at_once(&scene.desired, &[].into()).plan().steps, some.plan().steps);
    scene.desired.records.clear();
    let none = cleared(&scene);
    assert_eq!((rules(&none), none.plan().steps.len()), (vec![Rule::WantedEmpty; 2], 0), "{none}");
}

/// A zone that could not be searched may hold more of them.
#[test]
fn what_nobody_wants_stays_while_it_is_not_known_how_much_that_is() {
    let mut scene = Scene::held("jump");
    scene.desired.prune = true;
    scene.wants("www.example.com", "cf", Mode::Cname);
    scene.holds("www.example.com", "cf", vec![mine(label_name("jump"))]);
    for account in ["azure", "cf"] {
        scene.holds("stray.example.com", account, vec![mine(cname(GONE))]);
    }
    assert_eq!(cleared(&scene).plan().steps.len(), 2);
    let unread = |name: &str| (key(name, "cf"), Seen::Unknown("timed out".to_owned()));
    scene.observed.records.extend([unread("www.example.com")]);
    assert_eq!(cleared(&scene).plan().steps.len(), 2, "whatever stands there is wanted");
    scene.observed.records.extend([unread("example.com")]);
    let less = cleared(&scene);
    assert_eq!(less.plan().steps.len(), 1, "{less}");
    assert_eq!(less.plan().steps[0].subject(), Subject::Record(key("stray.example.com", "azure")));
    assert!(less.to_string().contains("all of cf to be read: how many more would go is not known"), "{less}");
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
fn a_new_name_waits_for_a_public_ip_that_is_busy() {
    let mut scene = scene();
    scene.ip().provisioning = Provisioning::Busy;
    let standing = [("gone.example.com", Verb::Delete), ("led.example.com", Verb::Update)];
    assert_eq!(names(&plan(&scene.desired, &scene.observed)), standing);
    scene.desired.endpoints.get_mut(&handle("jump")).unwrap().gateway = None;
    scene.state().gateway = None;
    assert_eq!(names(&plan(&scene.desired, &scene.observed)), standing, "it may be on its way out");
    scene.desired.endpoints.get_mut(&handle("jump")).unwrap().intent = Intent::Watch;
    assert_eq!(names(&plan(&scene.desired, &scene.observed)), standing, "whoever holds it");
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
