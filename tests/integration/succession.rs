//! What one configuration may still do while another is about to take its place.

use std::collections::BTreeSet;

use cnamed::model::common::Common;
use cnamed::model::endpoint::{Endpoint, Handle, Intent};
use cnamed::model::plan::{
    Action, GatewayChange, LoadBalancerChange, NetworkChange, Part, RecordChange, Settle, Step,
};
use cnamed::model::record::{Content, Data, Mode, Policy};
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::{Desired, RecordKey};

use crate::laws::world::{fqdn, handle, key, owner, spec, ttl};
use crate::service::sim::{NAME, Sim};

/// Two endpoints, and a name on the first.
fn now() -> Desired {
    let mut desired = Sim::desired(Mode::Cname);
    let other = Endpoint { name: handle("other"), ..desired.endpoints[&jump()].clone() };
    desired.endpoints.insert(other.name.clone(), other);
    desired
}

fn jump() -> Handle {
    handle("jump")
}

fn a() -> RecordKey {
    key(NAME, "cf")
}

/// Every kind of step about the first endpoint and its name, and a name that nobody wants.
fn steps() -> Vec<(&'static str, Step)> {
    let step = |endpoint: Option<&str>, action| Step {
        action,
        endpoint: endpoint.map(handle),
        after: Vec::new(),
        reason: String::new(),
    };
    let record = |key: RecordKey, after| Action::Record(RecordChange { key, before: Vec::new(), after });
    let content = Content { data: Data::Cname(fqdn("jump.example.net")), ttl: ttl(60), proxied: false };
    let network = NetworkChange { endpoint: jump(), spec: spec(0), held: None, delete: false };
    let balancer = LoadBalancerChange {
        id: ResourceId::network("00000000-0000-0000-0000-000000000000", "rg", "loadBalancers", "lb"),
        location: "westeurope".into(),
        held: None,
        delete: false,
        frontends: Vec::new(),
        pools: Vec::new(),
        without_frontends: Vec::new(),
        without_pools: Vec::new(),
    };
    let gateway = GatewayChange { endpoint: jump(), part: Part::LoadBalancer(balancer) };
    let settle = Settle { key: a(), shows_as: BTreeSet::new(), ttl: ttl(60), instead: None };
    vec![
        ("write", step(Some("jump"), record(a(), Some(content)))),
        ("withdraw", step(Some("jump"), record(a(), None))),
        ("stray", step(None, record(key("c.example.com", "cf"), None))),
        ("network", step(Some("jump"), Action::Network(Box::new(network)))),
        ("gateway", step(Some("jump"), Action::Gateway(Box::new(gateway)))),
        ("settle", step(Some("jump"), Action::Settle(settle))),
    ]
}

/// The steps that may still be done where `edit` makes the one that comes.
fn left(edit: impl FnOnce(&mut Desired), moved: &[Handle]) -> Vec<&'static str> {
    let mut next = now();
    edit(&mut next);
    let moved: BTreeSet<Handle> = moved.iter().cloned().collect();
    let common = Common::of(&now(), &next, &moved);
    steps().into_iter().filter(|(_, step)| common.has(step)).map(|(name, _)| name).collect()
}

#[test]
fn what_both_want_goes_on_and_what_neither_names_is_for_the_next() {
    assert_eq!(left(|_| {}, &[]), ["write", "withdraw", "network", "gateway", "settle"]);
}

#[test]
fn a_name_that_is_wanted_otherwise_is_not_written_but_withdrawn_from_where_it_is_in_danger() {
    let expected = ["withdraw", "network", "gateway", "settle"];
    let edits: [fn(&mut Desired); 5] = [
        |next| next.records.get_mut(&a()).unwrap().ttl = ttl(300),
        |next| next.records.get_mut(&a()).unwrap().mode = Mode::Address,
        |next| next.records.get_mut(&a()).unwrap().endpoint = handle("other"),
        |next| next.records.get_mut(&a()).unwrap().proxied = true,
        |next| drop(next.records.remove(&a())),
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        assert_eq!(left(edit, &[]), expected, "{at}");
    }
}

#[test]
fn a_name_that_shall_not_be_withdrawn_any_more_is_left_alone() {
    let expected = ["network", "gateway", "settle"];
    let edits: [fn(&mut Desired); 2] = [
        |next| next.records.get_mut(&a()).unwrap().policy = Policy::UpsertOnly,
        |next| {
            next.records.remove(&a());
            next.prune = false;
        },
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        assert_eq!(left(edit, &[]), expected, "{at}");
    }
    assert_eq!(left(|_| {}, &[handle("cf")]), expected, "its account is elsewhere");
    assert_eq!(left(|_| {}, &[handle("azure")]).len(), 5, "another's account is");
}

#[test]
fn nothing_is_done_any_more_in_a_name_that_changes() {
    assert_eq!(left(|next| next.owner = owner("others"), &[]), ["settle"]);
}

#[test]
fn an_endpoint_that_is_wanted_otherwise_is_left_alone_with_its_names() {
    let expected = ["withdraw", "settle"];
    let edits: [fn(&mut Desired); 2] = [
        |next| next.endpoints.get_mut(&jump()).unwrap().intent = Intent::Watch,
        |next| drop(next.endpoints.remove(&jump())),
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        assert_eq!(left(edit, &[]), expected, "{at}");
    }
}

/// What leads to two endpoints may stand in one load balancer.
#[test]
fn no_gateway_is_built_while_any_endpoint_is_wanted_otherwise() {
    let edit = |next: &mut Desired| {
        next.endpoints.get_mut(&handle("other")).unwrap().intent = Intent::Watch;
    };
    assert_eq!(left(edit, &[]), ["write", "withdraw", "network", "settle"]);
}
