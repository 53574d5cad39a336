//! State in, plan out, as an operator reads it: one file under `tests/golden/plans` for each scene.

mod access;
mod gateway;
mod shared;

use cnamed::model::endpoint::{Intent, LabelScope};
use cnamed::model::guard::{Cleared, Reviewed, check};
use cnamed::model::name::DnsLabel;
use cnamed::model::plan::plan;
use cnamed::model::record::{Data, Mode, Policy, RecordType, Version};
use cnamed::model::state::{LabelHolder, Seen};

use crate::scene::{Scene, cname, label_name, mine, unmarked};
use crate::support::golden;

fn cleared(scene: &Scene) -> Cleared {
    check(&scene.desired, &scene.observed, plan(&scene.desired, &scene.observed))
}

fn keeps(name: &str, scene: &Scene) {
    golden::same(&format!("plans/{name}"), &cleared(scene).to_string());
}

#[test]
fn nothing_to_do() {
    let mut scene = Scene::held("jump");
    scene.holds("jump.example.com", "cf", vec![mine(label_name("jump"))]);
    scene.wants("jump.example.com", "cf", Mode::Cname);
    keeps("nothing-to-do", &scene);
}

#[test]
fn first_run() {
    let mut scene = Scene::nothing("jump");
    scene.wants("jump.example.com", "azure", Mode::Cname);
    scene.wants("jump.example.com", "cf", Mode::Cname);
    keeps("first-run", &scene);
}

#[test]
fn drift() {
    let mut scene = Scene::held("jump");
    scene.wants("jump.example.com", "azure", Mode::Cname);
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.wants("address.example.com", "cf", Mode::Address);
    scene.wants("proxied.example.com", "cf", Mode::Cname);
    scene.wants("kept.example.com", "cf", Mode::Cname).policy = Policy::CreateOnly;
    scene.holds("jump.example.com", "azure", vec![mine(label_name("elsewhere"))]);
    scene.holds("address.example.com", "cf", vec![mine(label_name("jump"))]);
    let mut proxied = mine(label_name("jump"));
    proxied.content.proxied = true;
    scene.holds("proxied.example.com", "cf", vec![proxied]);
    scene.holds("kept.example.com", "cf", vec![mine(cname("old.example.net"))]);
    scene.holds("stray.example.com", "azure", vec![mine(label_name("jump"))]);
    keeps("drift", &scene);
}

#[test]
fn an_account_that_does_not_answer() {
    let mut scene = Scene::held("jump");
    scene.wants("jump.example.com", "azure", Mode::Cname);
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.observed.zones.insert("cf".parse().unwrap(), Seen::Unknown("503 Service Unavailable".into()));
    keeps("account-unread", &scene);
}

#[test]
fn a_relabel() {
    let mut scene = Scene::held("old");
    scene.spec().label = DnsLabel::parse("jump").unwrap();
    scene.state().label = Seen::Present(LabelHolder::Nobody);
    scene.wants("jump.example.com", "azure", Mode::Cname);
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.holds("jump.example.com", "azure", vec![mine(label_name("old"))]);
    scene.holds("jump.example.com", "cf", vec![mine(label_name("old"))]);
    keeps("relabel-refused", &scene);
    scene.desired.consents.relabel = true;
    keeps("relabel", &scene);
    scene.holds("stray.example.com", "cf", vec![mine(label_name("old"))]);
    scene.desired.prune = false;
    keeps("relabel-with-a-stray", &scene);
}

/// Of two names that shall lead to the address one does already and one is missing: who was killed may just have taken
/// them off the label.
#[test]
fn a_relabel_of_what_names_have_left() {
    let mut scene = Scene::held("old");
    scene.spec().label = DnsLabel::parse("jump").unwrap();
    scene.state().label = Seen::Present(LabelHolder::Nobody);
    scene.desired.consents.relabel = true;
    scene.wants("jump.example.com", "azure", Mode::Address);
    scene.wants("jump.example.com", "cf", Mode::Address);
    let address = scene.ip().address.unwrap();
    scene.holds("jump.example.com", "azure", vec![mine(Data::address(address))]);
    keeps("relabel-of-what-names-have-left", &scene);
}

#[test]
fn a_label_that_somebody_has_changed() {
    let mut scene = Scene::held("moved");
    scene.spec().label = DnsLabel::parse("jump").unwrap();
    scene.state().label = Seen::Present(LabelHolder::Nobody);
    scene.wants("jump.example.com", "azure", Mode::Cname);
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.holds("jump.example.com", "azure", vec![mine(label_name("jump"))]);
    scene.holds("jump.example.com", "cf", vec![mine(label_name("jump"))]);
    keeps("moved", &scene);
    // Also where the name would lead to a stranger until then, and whether it may be renamed or not.
    scene.state().label = Seen::Present(LabelHolder::Stranger);
    keeps("moved-and-taken", &scene);
    scene.desired.consents.relabel = true;
    keeps("moved-and-taken", &scene);
}

#[test]
fn a_teardown() {
    let mut scene = Scene::held("jump");
    scene.wants("jump.example.com", "azure", Mode::Cname);
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.holds("jump.example.com", "azure", vec![mine(label_name("jump"))]);
    scene.desired = scene.desired.torn_down();
    keeps("teardown", &scene);
    scene.holds("jump.example.com", "cf", vec![unmarked(label_name("jump"))]);
    keeps("teardown-refused", &scene);
    scene.holds("jump.example.com", "cf", vec![]);
    scene.ip().attached_to = Some("/networkInterfaces/vm-jump-nic".into());
    keeps("teardown-in-use", &scene);
}

#[test]
fn everything_refused() {
    let mut scene = Scene::held("jump");
    scene.wants("example.com", "azure", Mode::Cname);
    scene.wants("foreign.example.com", "cf", Mode::Cname);
    scene.wants("others.example.com", "cf", Mode::Cname);
    scene.wants("text.example.com", "cf", Mode::Cname);
    scene.wants("alias.example.com", "cf", Mode::Alias);
    scene.wants("proxied.example.com", "azure", Mode::Cname).proxied = true;
    scene.wants("short.example.com", "cf", Mode::Cname).ttl = 5.try_into().unwrap();
    scene.wants("jump.example.org", "cf", Mode::Cname);
    scene.wants("twin.example.net", "azure", Mode::Cname);
    scene.holds("foreign.example.com", "cf", vec![unmarked(Data::A([[192, 0, 2, 9].into()].into()))]);
    let mut others = unmarked(label_name("elsewhere"));
    others.mark = Some("ops-eastus".parse().unwrap());
    scene.holds("others.example.com", "cf", vec![others]);
    let text = Data::Opaque { rtype: RecordType::from("TXT"), text: "\"v=spf1 -all\"".into() };
    scene.holds("text.example.com", "cf", vec![unmarked(text)]);
    keeps("refused", &scene);
}

#[test]
fn a_label_that_is_not_to_be_had() {
    let mut scene = Scene::nothing("jump");
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.holds("jump.example.com", "cf", vec![mine(label_name("jump"))]);
    scene.state().label = Seen::Present(LabelHolder::Stranger);
    keeps("takeover", &scene);
    let name = "jump.example.com".parse().unwrap();
    let removal = Scene { desired: scene.desired.clone().withdrawing(&name), ..scene.clone() };
    keeps("takeover-remove", &removal);
    scene.state().label = Seen::Present(LabelHolder::Own("/publicIPAddresses/left-over".into()));
    keeps("takeover-own", &scene);
    scene.desired.endpoints.values_mut().for_each(|endpoint| endpoint.intent = Intent::Watch);
    scene.state().label = Seen::Present(LabelHolder::Nobody);
    keeps("claimable", &scene);
}

#[test]
fn what_cannot_become_what_is_wanted() {
    let mut scene = Scene::held("old");
    scene.spec().label = DnsLabel::parse("jump").unwrap();
    scene.spec().location = "northeurope".into();
    scene.spec().label_scope = Some(LabelScope::TenantReuse);
    scene.state().label = Seen::Present(LabelHolder::Nobody);
    scene.desired.consents.relabel = true;
    keeps("immutable", &scene);
}

#[test]
fn too_many_strays() {
    let mut scene = Scene::held("jump");
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.holds("jump.example.com", "cf", vec![mine(label_name("jump"))]);
    for at in 0..4 {
        scene.holds(&format!("stray{at}.example.com"), "cf", vec![mine(cname("old.example.net"))]);
    }
    keeps("too-many-deletes", &scene);
    scene.desired.records.clear();
    scene.observed.records.retain(|key, _| key.name.as_str() == "stray0.example.com");
    keeps("wanted-empty", &scene);
}

#[test]
fn a_loop() {
    let mut scene = Scene::held("jump");
    let fqdn = "label.example.com".parse().unwrap();
    scene.ip().fqdn = Some(fqdn);
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.wants("label.example.com", "azure", Mode::Cname);
    scene.holds("jump.example.com", "cf", vec![]);
    scene.holds("label.example.com", "cf", vec![unmarked(cname("jump.example.com"))]);
    keeps("loop", &scene);
}

/// What is run is exactly what was reviewed, or nothing.
#[test]
fn a_reviewed_plan_is_confirmed_or_refused() {
    let mut scene = Scene::held("jump");
    scene.wants("jump.example.com", "cf", Mode::Cname);
    scene.holds("jump.example.com", "cf", vec![mine(label_name("elsewhere"))]);
    let file = serde_json::to_string(&cleared(&scene)).unwrap();
    let reviewed: Reviewed = serde_json::from_str(&file).unwrap();
    assert_eq!(cleared(&scene).confirmed(&reviewed).unwrap(), cleared(&scene));

    let mut later = mine(label_name("elsewhere"));
    later.version = Version("later".into());
    scene.holds("jump.example.com", "cf", vec![later]);
    let error = cleared(&scene).confirmed(&reviewed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plan that was reviewed is not the plan of now: step 1 on jump.example.com in cf meets another state than it was made for"
    );
    scene.holds("jump.example.com", "cf", vec![mine(label_name("jump"))]);
    let error = cleared(&scene).confirmed(&reviewed).unwrap_err();
    assert!(error.to_string().ends_with("step 1 on jump.example.com in cf is no longer needed"), "{error}");
}
