//! How long planning takes, and how it grows: 1,000, 10,000 and 100,000 records that follow one endpoint.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark is no interface, and stops where it stands"
)]

use std::hint::black_box;

use cnamed::model::endpoint::{Allocation, Endpoint, Handle, Intent, Provisioning, PublicIp, PublicIpSpec};
use cnamed::model::guard::check;
use cnamed::model::name::{DnsLabel, Fqdn, ZoneName};
use cnamed::model::plan::plan;
use cnamed::model::record::{Content, Data, Mode, Owner, Policy, RecordSet, Ttl, Version};
use cnamed::model::state::{
    Consents, Desired, EndpointState, Observed, RecordKey, Seen, Wanted, Zone, ZoneRules,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const RULES: ZoneRules = ZoneRules {
    least_ttl: 60,
    greatest_ttl: 86_400,
    automatic_ttl: true,
    alias: false,
    flattens_apex: true,
    proxying: true,
    exchanges: true,
    comment: None,
};

/// `records` names, all of which point at `target` and follow an endpoint whose label is `label`.
fn world(records: usize, target: &str, label: &str) -> (Desired, Observed) {
    let owner = Owner::parse("ops").unwrap();
    let leader = Handle::parse("jump").unwrap();
    let account = Handle::parse("cf").unwrap();
    let fqdn = |label: &str| Fqdn::parse(&format!("{label}.westeurope.cloudapp.azure.com")).unwrap();
    let label_of = |text: &str| DnsLabel::parse(text).unwrap();
    let spec = PublicIpSpec {
        resource_group: "rg".into(),
        name: "pip".into(),
        location: "westeurope".into(),
        label: label_of(label),
        label_scope: None,
        allocation: Allocation::Static,
        zones: Vec::new(),
    };
    let ip = PublicIp {
        id: "/ips/pip".into(),
        guid: None,
        location: "westeurope".into(),
        sku: "Standard".into(),
        allocation: Allocation::Static,
        label: Some(label_of(label)),
        label_scope: None,
        fqdn: Some(fqdn(label)),
        address: Some([203, 0, 113, 7].into()),
        provisioning: Provisioning::Succeeded,
        attached_to: None,
        mark: Some(owner.clone()),
        version: Version("1".into()),
    };
    let endpoint = Endpoint { name: leader.clone(), public_ip: spec, gateway: None, intent: Intent::Hold };
    let mut desired = Desired {
        owner: owner.clone(),
        endpoints: [(leader.clone(), endpoint)].into(),
        records: [].into(),
        prune: true,
        deletes_per_round: 3,
        consents: Consents::default(),
    };
    let zone = Zone {
        name: ZoneName::parse("example.com").unwrap(),
        id: "z1".into(),
        name_servers: Vec::new(),
        rules: RULES,
    };
    let state = EndpointState { public_ip: Seen::Present(ip), label: Seen::Absent, gateway: None };
    let mut observed = Observed {
        endpoints: [(leader.clone(), state)].into(),
        zones: [(account.clone(), Seen::Present(vec![zone]))].into(),
        records: [].into(),
    };
    for at in 0..records {
        let key =
            RecordKey { name: Fqdn::parse(&format!("n{at}.example.com")).unwrap(), account: account.clone() };
        let wanted = Wanted {
            endpoint: leader.clone(),
            mode: Mode::Cname,
            ttl: Ttl::DEFAULT,
            proxied: false,
            policy: Policy::Sync,
            withdraw: false,
        };
        let content = Content { data: Data::Cname(fqdn(target)), ttl: Ttl::DEFAULT, proxied: false };
        let set = RecordSet {
            name: key.name.clone(),
            content,
            mark: Some(owner.clone()),
            version: Version(at.to_string()),
            words: 0,
        };
        observed.records.insert(key.clone(), Seen::Present(vec![set]));
        desired.records.insert(key, wanted);
    }
    (desired, observed)
}

fn benches(criterion: &mut Criterion) {
    for (group, target) in [("settled", "jump"), ("retargeted", "elsewhere")] {
        let mut group = criterion.benchmark_group(group);
        for records in [1_000, 10_000, 100_000] {
            let (desired, observed) = world(records, target, "jump");
            group.throughput(Throughput::Elements(records as u64));
            group.sample_size(10);
            group.bench_with_input(BenchmarkId::from_parameter(records), &records, |bencher, _| {
                bencher.iter(|| check(&desired, black_box(&observed), plan(&desired, &observed)));
            });
        }
        group.finish();
    }
}

criterion_group!(plans, benches);
criterion_main!(plans);
