//! Names in, records out: what DNSControl, external-dns and octoDNS test of CNAME, A, AAAA and alias records.
//!
//! The rule of every scenario: applying changes something, and planning again gives nothing. Where nothing was to
//! change in the first place, that is what is asserted.

use cnamed::model::guard::{Rule, check};
use cnamed::model::name::{DnsLabel, Fqdn};
use cnamed::model::plan::{Action, RecordChange, Verb, plan};
use cnamed::model::record::{Data, Mode, Policy, RecordSet, RecordType, Ttl};
use cnamed::model::state::{NoZone, Seen};

use crate::laws::world::{fqdn, key, owner};
use crate::scene::{Scene, cname, label_name, mine, unmarked};

/// Plans, applies, plans again; the changes of the one pass that there must be.
fn settles(mut scene: Scene) -> Vec<RecordChange> {
    let cleared = check(&scene.desired, &scene.observed, plan(&scene.desired, &scene.observed));
    assert_eq!(cleared.refusals(), [], "{cleared}");
    assert!(!cleared.plan().steps.is_empty(), "nothing was planned");
    scene.apply(cleared.plan());
    let again = plan(&scene.desired, &scene.observed);
    assert!(again.is_empty(), "planned again:\n{again}");
    let records = cleared.plan().steps.iter().filter_map(|step| match &step.action {
        Action::Record(change) => Some(change.clone()),
        _ => None,
    });
    records.collect()
}

fn nothing_to_do(scene: &Scene) {
    let plan = plan(&scene.desired, &scene.observed);
    assert!(plan.is_empty(), "{plan}");
}

fn refused(scene: &Scene) -> Vec<Rule> {
    let cleared = check(&scene.desired, &scene.observed, plan(&scene.desired, &scene.observed));
    assert!(cleared.plan().steps.is_empty(), "{cleared}");
    cleared.refusals().iter().map(|refusal| refusal.rule).collect()
}

fn a(last: u8) -> Data {
    Data::A([[203, 0, 113, last].into()].into())
}

fn aaaa(last: u8) -> Data {
    Data::Aaaa([[0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)].into()].into())
}

fn opaque(rtype: &str) -> RecordSet {
    unmarked(Data::Opaque { rtype: RecordType::from(rtype), text: "data".into() })
}

const NAME: &str = "jump.example.com";

/// What it shows, the name, the account, what is held, how it shall follow, what that becomes, and by which change.
type Case = (&'static str, &'static str, &'static str, Vec<Data>, Mode, Data, Verb);

/// What is held, how it shall follow, and what that becomes: in one change of one record.
#[test]
fn every_state_settles_in_one_change() {
    let jump = || label_name("jump");
    let alias = || Data::Alias { rtype: RecordType::A, target: "/ips/pip-7".into() };
    let cases: Vec<Case> = vec![
        ("create a CNAME", NAME, "cf", vec![], Mode::Cname, jump(), Verb::Create),
        ("change its target", NAME, "cf", vec![cname("a.example.net")], Mode::Cname, jump(), Verb::Update),
        ("target at the apex", NAME, "cf", vec![cname("example.com")], Mode::Cname, jump(), Verb::Update),
        ("create an A", NAME, "cf", vec![], Mode::Address, a(7), Verb::Create),
        ("change an A", NAME, "cf", vec![a(1)], Mode::Address, a(7), Verb::Update),
        ("A becomes CNAME", NAME, "cf", vec![a(1)], Mode::Cname, jump(), Verb::Update),
        ("CNAME becomes A", NAME, "cf", vec![jump()], Mode::Address, a(7), Verb::Update),
        ("dual stack becomes CNAME", NAME, "cf", vec![a(1), aaaa(1)], Mode::Cname, jump(), Verb::Update),
        ("dual stack becomes A", NAME, "cf", vec![a(1), aaaa(1)], Mode::Address, a(7), Verb::Update),
        ("AAAA becomes A", NAME, "cf", vec![aaaa(1)], Mode::Address, a(7), Verb::Update),
        (
            "two addresses become one",
            NAME,
            "cf",
            vec![Data::A([[203, 0, 113, 7].into(), [203, 0, 113, 8].into()].into())],
            Mode::Address,
            a(7),
            Verb::Update,
        ),
        ("create an alias", NAME, "azure", vec![], Mode::Alias, alias(), Verb::Create),
        ("A becomes alias", NAME, "azure", vec![a(7)], Mode::Alias, alias(), Verb::Update),
        ("alias becomes A", NAME, "azure", vec![alias()], Mode::Address, a(7), Verb::Update),
        ("alias becomes CNAME", NAME, "azure", vec![alias()], Mode::Cname, jump(), Verb::Update),
        (
            "alias of another resource",
            NAME,
            "azure",
            vec![Data::Alias { rtype: RecordType::A, target: "/ips/other".into() }],
            Mode::Alias,
            alias(),
            Verb::Update,
        ),
        ("apex: alias in Azure DNS", "example.com", "azure", vec![], Mode::Auto, alias(), Verb::Create),
        ("apex: CNAME in Cloudflare", "example.com", "cf", vec![], Mode::Auto, jump(), Verb::Create),
        ("apex: A becomes flattened", "example.com", "cf", vec![a(1)], Mode::Auto, jump(), Verb::Update),
        ("apex of the longer zone", "sub.example.com", "cf", vec![], Mode::Auto, jump(), Verb::Create),
        ("auto below the apex", NAME, "azure", vec![], Mode::Auto, jump(), Verb::Create),
        ("underscores", "_jump._tcp.example.com", "cf", vec![], Mode::Cname, jump(), Verb::Create),
        ("IDN name and zone", "straße.bücher.example", "cf", vec![], Mode::Cname, jump(), Verb::Create),
        ("IDN target before", NAME, "cf", vec![cname("ö.中国")], Mode::Cname, jump(), Verb::Update),
    ];
    for (case, name, account, held, mode, becomes, verb) in cases {
        let mut scene = Scene::held("jump");
        scene.wants(name, account, mode);
        let mut sets: Vec<RecordSet> = held.into_iter().map(mine).collect();
        if name == "example.com" || name == "sub.example.com" {
            sets.extend([opaque("NS"), opaque("SOA"), opaque("MX")]);
        }
        scene.holds(name, account, sets);
        let changes = settles(scene);
        assert_eq!(changes.len(), 1, "{case}");
        assert_eq!(changes[0].verb(), verb, "{case}");
        assert_eq!(changes[0].after.as_ref().map(|content| &content.data), Some(&becomes), "{case}");
        assert!(changes[0].before.iter().all(|set| set.is_ours(&owner("ops"))), "{case}: others untouched");
    }
}

#[test]
fn what_is_right_is_left() {
    let upper = Data::Alias { rtype: RecordType::A, target: "/IPS/PIP-7".into() };
    let cases: Vec<(&str, Mode, Data)> = vec![
        ("cf", Mode::Cname, cname("JUMP.WestEurope.CloudApp.Azure.Com.")),
        ("azure", Mode::Alias, upper),
        ("cf", Mode::Address, a(7)),
        ("cf", Mode::Auto, label_name("jump")),
    ];
    for (account, mode, data) in cases {
        let mut scene = Scene::held("jump");
        scene.wants("Jump.EXAMPLE.com.", account, mode);
        scene.holds(NAME, account, vec![mine(data)]);
        nothing_to_do(&scene);
    }
}

#[test]
fn ttl_and_proxy_follow_the_configuration() {
    let mut scene = Scene::held("jump");
    scene.wants(NAME, "cf", Mode::Cname).ttl = Ttl::try_from(333).unwrap();
    scene.holds(NAME, "cf", vec![mine(label_name("jump"))]);
    assert_eq!(settles(scene)[0].after.as_ref().unwrap().ttl.seconds(), 333);

    for (from, to) in [(false, true), (true, false)] {
        let mut scene = Scene::held("jump");
        scene.wants(NAME, "cf", Mode::Cname).proxied = to;
        let mut held = mine(label_name("jump"));
        (held.content.proxied, held.content.ttl) = (from, if from { Ttl::AUTOMATIC } else { Ttl::DEFAULT });
        scene.holds(NAME, "cf", vec![held]);
        let after = settles(scene)[0].after.clone().unwrap();
        assert_eq!((after.proxied, after.ttl), (to, if to { Ttl::AUTOMATIC } else { Ttl::DEFAULT }));
    }
    // Automatic is Cloudflare's word for what it chooses itself.
    let mut scene = Scene::held("jump");
    scene.wants(NAME, "cf", Mode::Cname).ttl = Ttl::AUTOMATIC;
    settles(scene);
}

#[test]
fn an_ipv6_endpoint_gets_aaaa() {
    let mut scene = Scene::held("jump");
    scene.ip().address = Some("2001:db8::7".parse().unwrap());
    scene.wants(NAME, "cf", Mode::Address);
    scene.wants("alias.example.com", "azure", Mode::Alias);
    scene.holds(NAME, "cf", vec![mine(a(7))]);
    let types: Vec<RecordType> =
        settles(scene).iter().map(|change| change.after.as_ref().unwrap().data.rtype()).collect();
    assert_eq!(types, [RecordType::Aaaa, RecordType::Aaaa]);
}

#[test]
fn a_released_address_changes_nothing() {
    let mut scene = Scene::held("jump");
    scene.ip().address = None;
    scene.wants(NAME, "cf", Mode::Address);
    scene.holds(NAME, "cf", vec![mine(a(7))]);
    let plan = plan(&scene.desired, &scene.observed);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.blocked[0].waits_for, "the endpoint's address, which is released");
}

#[test]
fn neighbours_do_not_move() {
    let mut scene = Scene::held("jump");
    scene.wants(NAME, "cf", Mode::Address);
    scene.holds(NAME, "cf", vec![mine(a(1)), opaque("TXT"), opaque("MX")]);
    scene.holds("decoy.example.com", "cf", vec![unmarked(cname("jump.example.com"))]);
    let (before, desired) = (scene.observed.clone(), scene.desired.clone());
    assert_eq!(settles(scene)[0].before.len(), 1);
    let after = before.after(&plan(&desired, &before));
    assert_eq!(after.sets(&key(NAME, "cf")).len(), 3);
    assert_eq!(after.sets(&key("decoy.example.com", "cf")), before.sets(&key("decoy.example.com", "cf")));
}

#[test]
fn many_names_settle_at_once() {
    for count in [99, 100, 101, 601, 1_201] {
        let mut scene = Scene::held("jump");
        for at in 0..count {
            let name = format!("n{at}.example.com");
            scene.wants(&name, "cf", Mode::Cname);
            if at % 2 == 0 {
                scene.holds(&name, "cf", vec![mine(cname("old.example.net"))]);
            }
        }
        assert_eq!(settles(scene).len(), count);
    }
}

#[test]
fn policies_hold() {
    let with = |policy, held: Vec<RecordSet>| {
        let mut scene = Scene::held("jump");
        scene.wants(NAME, "cf", Mode::Cname).policy = policy;
        scene.holds(NAME, "cf", held);
        scene
    };
    settles(with(Policy::CreateOnly, vec![]));
    nothing_to_do(&with(Policy::CreateOnly, vec![mine(cname("old.example.net"))]));
    nothing_to_do(&with(Policy::CreateOnly, vec![unmarked(a(1))]));
    settles(with(Policy::UpsertOnly, vec![mine(cname("old.example.net"))]));
    let mut kept = with(Policy::UpsertOnly, vec![mine(label_name("jump"))]);
    kept.desired = kept.desired.withdrawing(&fqdn(NAME));
    assert_eq!(plan(&kept.desired, &kept.observed).steps, []);
}

#[test]
fn adoption_is_by_name_and_by_owner() {
    let mut theirs = unmarked(label_name("jump"));
    theirs.mark = Some(owner("others"));
    let cases = [
        (unmarked(label_name("jump")), None, false),
        (unmarked(label_name("jump")), Some(None), true),
        (unmarked(a(1)), Some(Some("others")), true),
        (theirs.clone(), None, false),
        (theirs.clone(), Some(None), false),
        (theirs.clone(), Some(Some("somebody")), false),
        (theirs, Some(Some("others")), true),
    ];
    for (held, consent, taken) in cases {
        let mut scene = Scene::held("jump");
        scene.wants(NAME, "cf", Mode::Cname);
        scene.holds(NAME, "cf", vec![held]);
        if let Some(from) = consent {
            scene.desired.consents.adopt.insert(fqdn(NAME), from.map(owner));
        }
        if taken {
            settles(scene);
        } else {
            assert_eq!(refused(&scene), [Rule::Foreign]);
        }
    }
}

#[test]
fn what_cannot_stand_is_refused() {
    let cases: Vec<(&str, &str, Mode, Vec<RecordSet>, Rule)> = vec![
        ("example.com", "azure", Mode::Cname, vec![], Rule::Apex),
        (NAME, "cf", Mode::Cname, vec![opaque("TXT")], Rule::Coexistence),
        (NAME, "cf", Mode::Cname, vec![mine(a(1)), opaque("MX")], Rule::Coexistence),
        (NAME, "cf", Mode::Address, vec![opaque("NS")], Rule::Coexistence),
        (NAME, "cf", Mode::Alias, vec![], Rule::Mode),
        ("jump.example.org", "cf", Mode::Cname, vec![], Rule::Zone),
        ("jump.example.net", "azure", Mode::Cname, vec![], Rule::Zone),
    ];
    for (name, account, mode, held, rule) in cases {
        let mut scene = Scene::held("jump");
        scene.wants(name, account, mode);
        scene.holds(name, account, held);
        assert_eq!(refused(&scene), [rule], "{name} in {account}");
    }
}

/// The last look is at the plan itself, whoever made it and of whatever it was made.
#[test]
fn a_planned_change_of_what_is_not_ours_is_refused() {
    for mark in [None, Some(owner("others"))] {
        for withdraw in [true, false] {
            let mut scene = Scene::held("jump");
            scene.wants(NAME, "cf", Mode::Cname);
            scene.holds(NAME, "cf", vec![mine(cname("old.example.net"))]);
            if withdraw {
                scene.desired = scene.desired.withdrawing(&fqdn(NAME));
            }
            let mut made = plan(&scene.desired, &scene.observed);
            let [step] = made.steps.as_mut_slice() else { panic!("{made}") };
            let Action::Record(change) = &mut step.action else { panic!("{made}") };
            change.before[0].mark = mark.clone();
            let cleared = check(&scene.desired, &scene.observed, made);
            assert!(cleared.plan().steps.is_empty(), "{cleared}");
            assert_eq!(
                cleared.refusals().iter().map(|refusal| refusal.rule).collect::<Vec<_>>(),
                [Rule::Foreign]
            );
        }
    }
}

#[test]
fn one_endpoint_refused_leaves_the_other() {
    let mut scene = Scene::held("jump");
    let mut other = scene.desired.endpoints.values().next().unwrap().clone();
    other.name = "other".parse().unwrap();
    other.public_ip.name = "pip-other".into();
    other.public_ip.label = DnsLabel::parse("other").unwrap();
    let state = Seen::Present(crate::laws::world::public_ip(8, Some("other")));
    let state = cnamed::model::state::EndpointState { public_ip: state, label: Seen::Absent, gateway: None };
    scene.observed.endpoints.insert(other.name.clone(), state);
    scene.desired.endpoints.insert(other.name.clone(), other);
    scene.wants("jump.example.com", "cf", Mode::Alias);
    scene.wants("other.example.com", "cf", Mode::Cname).endpoint = "other".parse().unwrap();
    let cleared = check(&scene.desired, &scene.observed, plan(&scene.desired, &scene.observed));
    assert_eq!(cleared.refusals().len(), 1);
    assert_eq!(cleared.plan().steps.len(), 1);
}

/// A name moves to another endpoint while the one that it leaves is torn down: the label goes last of all.
#[test]
fn a_label_waits_for_a_name_that_moves_away() {
    let mut scene = Scene::held("jump");
    let mut next = scene.desired.endpoints.values().next().unwrap().clone();
    next.name = "next".parse().unwrap();
    next.public_ip.label = DnsLabel::parse("next").unwrap();
    let state = Seen::Present(crate::laws::world::public_ip(8, Some("next")));
    let state = cnamed::model::state::EndpointState { public_ip: state, label: Seen::Absent, gateway: None };
    scene.observed.endpoints.insert(next.name.clone(), state);
    scene.desired = scene.desired.torn_down();
    scene.desired.endpoints.insert(next.name.clone(), next);
    scene.wants(NAME, "cf", Mode::Cname).endpoint = "next".parse().unwrap();
    scene.holds(NAME, "cf", vec![mine(label_name("jump"))]);
    let plan = plan(&scene.desired, &scene.observed);
    let [moved, wait, delete] = plan.steps.as_slice() else { panic!("{plan}") };
    assert_eq!((moved.verb(), wait.verb(), delete.verb()), (Some(Verb::Update), None, Some(Verb::Delete)));
    assert_eq!((wait.after.as_slice(), delete.after.as_slice()), (&[0][..], &[1][..]));
    let Action::Settle(settle) = &wait.action else { panic!("{plan}") };
    assert_eq!(settle.instead.as_ref().map(|content| &content.data), Some(&label_name("next")));
}

/// Cloudflare hands out 300 seconds for automatic: that is what the caches hold.
#[test]
fn automatic_is_waited_for_as_it_is_served() {
    let mut scene = Scene::held("jump");
    scene.wants(NAME, "cf", Mode::Cname).ttl = Ttl::AUTOMATIC;
    let mut held = mine(label_name("jump"));
    held.content.ttl = Ttl::AUTOMATIC;
    scene.holds(NAME, "cf", vec![held]);
    scene.desired = scene.desired.torn_down();
    let plan = plan(&scene.desired, &scene.observed);
    let waits = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Settle(settle) => Some(settle.ttl.seconds()),
        _ => None,
    });
    assert_eq!(waits.collect::<Vec<_>>(), [300]);
}

#[test]
fn names_are_one_value_however_they_are_written() {
    for text in ["jump.example.com", "JUMP.Example.COM", "jump.example.com.", "Jump.example.com."] {
        assert_eq!(Fqdn::parse(text).unwrap(), fqdn(NAME), "{text}");
    }
    assert_eq!(Fqdn::parse("Bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
    assert_eq!(Fqdn::parse("Xn--BCHER-KVA.example").unwrap().as_str(), "xn--bcher-kva.example");
    assert!(Fqdn::parse("Xn--a-ecp.example").is_err() && Fqdn::parse("xN--\u{fffd}.example").is_err());
}

#[test]
fn what_is_not_a_name_is_refused() {
    let label = "a".repeat(64);
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
    let bad = [
        "",
        ".",
        "single",
        "a..example.com",
        ".example.com",
        "*.example.com",
        "a b.example.com",
        "-a.example.com",
        "a-.example.com",
        "xn--a.example.com",
        "xn--zz--zz.example.com",
        "a.example.com/x",
    ];
    for text in bad.into_iter().map(str::to_owned).chain([format!("{label}.example.com"), long]) {
        let error = Fqdn::parse(&text).unwrap_err().to_string();
        assert!(!error.ends_with('.') && !error.is_empty(), "{text}: {error}");
    }
}

#[test]
fn the_longest_zone_answers() {
    let scene = Scene::held("jump");
    let zone = |name, account| scene.observed.zone(&key(name, account)).map(|zone| zone.name.to_string());
    assert_eq!(zone("jump.example.com", "cf").unwrap(), "example.com");
    assert_eq!(zone("a.sub.example.com", "cf").unwrap(), "sub.example.com");
    assert_eq!(zone("sub.example.com", "cf").unwrap(), "sub.example.com");
    assert_eq!(zone("notexample.com", "cf"), Err(NoZone::None));
    assert!(
        matches!(zone("a.example.net", "azure"), Err(NoZone::Several(name, ids)) if name.to_string() == "example.net" && ids.len() == 2)
    );
    assert!(matches!(zone("a.example.net", "nobody"), Err(NoZone::Unknown(_))));
}
