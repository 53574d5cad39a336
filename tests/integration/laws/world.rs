//! Worlds for the laws: everything that can be wanted against everything that can be seen.

use cnamed::model::endpoint::{
    Allocation, Endpoint, Handle, Intent, LabelScope, Provisioning, PublicIp, PublicIpSpec,
};
use cnamed::model::name::{DnsLabel, Fqdn, ZoneName};
use cnamed::model::record::{Content, Data, Mode, Owner, Policy, RecordSet, RecordType, Ttl, Version};
use cnamed::model::state::{
    Consents, Desired, EndpointState, LabelHolder, Observed, RecordKey, Seen, Wanted, Zone, ZoneRules,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::site::{Site, groups, install, site};

/// What is wanted and what is seen.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
}

pub(crate) const AZURE: ZoneRules = ZoneRules {
    least_ttl: 1,
    greatest_ttl: 2_147_483_647,
    automatic_ttl: false,
    alias: true,
    flattens_apex: false,
    proxying: false,
    exchanges: false,
    comment: None,
};

pub(crate) const CLOUDFLARE: ZoneRules = ZoneRules {
    least_ttl: 60,
    greatest_ttl: 86_400,
    automatic_ttl: true,
    alias: false,
    flattens_apex: true,
    proxying: true,
    exchanges: true,
    comment: None,
};

pub(crate) fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

pub(crate) fn handle(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

pub(crate) fn owner(text: &str) -> Owner {
    Owner::parse(text).unwrap()
}

pub(crate) fn ttl(seconds: u32) -> Ttl {
    Ttl::new(seconds).unwrap()
}

pub(crate) fn version(text: &str) -> Version {
    Version(text.into())
}

pub(crate) fn key(name: &str, account: &str) -> RecordKey {
    RecordKey { name: fqdn(name), account: handle(account) }
}

pub(crate) fn zone(name: &str, id: &str, rules: ZoneRules) -> Zone {
    Zone { name: ZoneName::parse(name).unwrap(), id: id.into(), name_servers: Vec::new(), rules }
}

pub(crate) fn spec(at: usize) -> PublicIpSpec {
    PublicIpSpec {
        resource_group: "rg".into(),
        name: format!("pip-{at}"),
        location: "westeurope".into(),
        label: DnsLabel::parse(LABELS[at]).unwrap(),
        label_scope: None,
        allocation: Allocation::Static,
        zones: Vec::new(),
    }
}

/// The public IP of endpoint `at`, holding `label`.
pub(crate) fn public_ip(at: usize, label: Option<&str>) -> PublicIp {
    PublicIp {
        id: format!("/ips/pip-{at}"),
        guid: Some(format!("guid-{at}")),
        location: "westeurope".into(),
        sku: "Standard".into(),
        allocation: Allocation::Static,
        label: label.map(|label| DnsLabel::parse(label).unwrap()),
        label_scope: None,
        fqdn: label.map(|label| fqdn(&format!("{label}.westeurope.cloudapp.azure.com"))),
        address: Some([203, 0, 113, u8::try_from(at).unwrap()].into()),
        provisioning: Provisioning::Succeeded,
        attached_to: None,
        mark: Some(owner("ops")),
        version: Version(format!("ip-{at}")),
    }
}

/// The labels that the endpoints want, and two that they may still have.
pub(crate) const LABELS: [&str; 5] = ["alpha", "beta", "gamma", "old-one", "old-two"];

/// Two apexes, names below both, and a name that no account holds.
const NAMES: [&str; 6] = [
    "example.com",
    "www.example.com",
    "a.example.com",
    "sub.example.com",
    "x.sub.example.com",
    "b.example.org",
];

pub(crate) const ACCOUNTS: [&str; 2] = ["azure", "cf"];

pub(crate) fn world() -> impl Strategy<Value = World> {
    let endpoints = vec((intent(), ip(), holder(), scope()), 1..=2);
    let zones = (zones("azure"), zones("cf"));
    let names: Vec<(&str, &str)> =
        NAMES.iter().flat_map(|name| ACCOUNTS.iter().map(move |account| (*name, *account))).collect();
    let records: Vec<_> = names
        .into_iter()
        .map(|(name, account)| (Just(key(name, account)), option::of(wanted()), held()))
        .collect();
    let limits = (any::<bool>(), 0_usize..4, consents());
    let worlds = (endpoints, zones, records, limits).prop_map(
        |(endpoints, zones, records, (prune, deletes, consents))| {
            let mut observed = Observed::default();
            let mut desired = Desired {
                owner: owner("ops"),
                endpoints: [].into(),
                records: [].into(),
                prune,
                deletes_per_round: deletes,
                consents,
            };
            for (at, (intent, ip, _, scope)) in endpoints.iter().enumerate() {
                let name = handle(&format!("e{at}"));
                let public_ip = PublicIpSpec { label_scope: *scope, ..spec(at) };
                desired.endpoints.insert(
                    name.clone(),
                    Endpoint { name: name.clone(), public_ip, gateway: None, intent: *intent },
                );
                if let Some(ip) = ip(at) {
                    observed
                        .endpoints
                        .insert(name, EndpointState { public_ip: ip, label: Seen::Absent, gateway: None });
                }
            }
            // A name in Azure has one holder.
            let label = |name: &str| observed.public_ip(&handle(name)).and_then(|ip| ip.label.clone());
            let clash = label("e0").is_some() && label("e0") == label("e1");
            if let (true, Some(state)) = (clash, observed.endpoints.get_mut(&handle("e1"))) {
                let mark = state.public_ip.present().and_then(|ip| ip.mark.clone());
                state.public_ip = Seen::Present(PublicIp { mark, ..public_ip(1, Some("old-two")) });
            }
            for (at, (_, _, holder, _)) in endpoints.into_iter().enumerate() {
                assign(&mut observed, at, holder);
            }
            let (azure, cf) = zones;
            observed.zones.extend(azure.map(|zones| (handle("azure"), zones)));
            observed.zones.extend(cf.map(|zones| (handle("cf"), zones)));
            let leaders: Vec<Handle> = desired.endpoints.keys().cloned().collect();
            for (key, wanted, held) in records {
                if let Some((leader, wanted)) = wanted {
                    let endpoint = leaders[leader % leaders.len()].clone();
                    desired.records.insert(key.clone(), Wanted { endpoint, ..wanted });
                }
                if let Some(held) = held {
                    let held = named(held, &key);
                    observed.records.insert(key, held);
                }
            }
            World { desired, observed }
        },
    );
    let sites = (vec(site(), 2), groups());
    (worlds, any::<bool>(), sites).prop_map(|(world, calm, (sites, groups))| {
        let mut world = if calm { calmed(world) } else { world };
        let sites = if calm { sites.into_iter().map(|site| site.map(Site::calmed)).collect() } else { sites };
        install(&mut world.desired, &mut world.observed, sites, groups);
        world
    })
}

/// The same world with little in it that the guard would refuse, so that what it lets through is put to the test.
fn calmed(mut world: World) -> World {
    let World { desired, observed } = &mut world;
    desired.consents.relabel = true;
    desired.consents.internet = true;
    desired.consents.deletes = true;
    desired.endpoints.values_mut().for_each(|endpoint| endpoint.public_ip.label_scope = None);
    desired.records.retain(|key, _| key.name.as_str() != "b.example.org");
    for (key, wanted) in &mut desired.records {
        wanted.ttl = ttl(300);
        wanted.proxied = false;
        let plain = key.name.as_str().ends_with("w.example.com") || wanted.mode == Mode::Address;
        wanted.mode = if plain { wanted.mode } else { Mode::Auto };
        if wanted.mode == Mode::Alias {
            wanted.mode = Mode::Cname;
        }
    }
    for state in observed.endpoints.values_mut() {
        if matches!(&state.label, Seen::Present(LabelHolder::Stranger)) {
            state.label = Seen::Present(LabelHolder::Nobody);
        }
        if let Seen::Present(ip) = &mut state.public_ip {
            ip.attached_to = None;
        }
    }
    for (account, rules) in [("azure", AZURE), ("cf", CLOUDFLARE)] {
        let zones = vec![zone("example.com", "z1", rules), zone("sub.example.com", "z2", rules)];
        observed.zones.insert(handle(account), Seen::Present(zones));
    }
    let unread = observed.records.values().filter(|seen| seen.unknown().is_some()).count();
    observed.records.retain(|key, _| key.name.as_str() != "b.example.org");
    for seen in observed.records.values_mut() {
        // One that was not read is enough to freeze; most worlds shall have none.
        if unread < 2 && seen.unknown().is_some() {
            *seen = Seen::Absent;
        }
        let Seen::Present(sets) = seen else { continue };
        sets.retain(|set| !matches!(set.content.data.rtype(), RecordType::Other(_)));
        sets.iter_mut().for_each(|set| set.mark = Some(owner("ops")));
        if sets.is_empty() {
            *seen = Seen::Absent;
        }
    }
    world
}

/// Says who holds the label of endpoint `at`, so that no two statements about one label clash.
fn assign(observed: &mut Observed, at: usize, holder: Seen<LabelHolder>) {
    let name = handle(&format!("e{at}"));
    let wanted = DnsLabel::parse(LABELS[at]).unwrap();
    let holding = |state: &EndpointState| {
        state.public_ip.present().filter(|ip| ip.label.as_ref() == Some(&wanted)).map(|ip| ip.id.clone())
    };
    let other = observed.endpoints.iter().filter(|(other, _)| **other != name).find_map(|(_, s)| holding(s));
    let Some(state) = observed.endpoints.get_mut(&name) else { return };
    state.label = match (holding(state), other, holder) {
        (Some(_), _, _) => Seen::Absent,
        (None, Some(id), Seen::Present(_)) => Seen::Present(LabelHolder::Own(id)),
        (None, _, holder) => holder,
    };
}

fn named(held: Seen<Vec<RecordSet>>, key: &RecordKey) -> Seen<Vec<RecordSet>> {
    let Seen::Present(mut sets) = held else { return held };
    // One set of a type at a name, as everywhere.
    sets.sort_by_key(|set| set.content.data.rtype());
    sets.dedup_by_key(|set| set.content.data.rtype());
    for (at, set) in sets.iter_mut().enumerate() {
        set.name = key.name.clone();
        set.version = Version(format!("set-{at}"));
    }
    if sets.is_empty() { Seen::Absent } else { Seen::Present(sets) }
}

fn intent() -> impl Strategy<Value = Intent> {
    prop_oneof![4 => Just(Intent::Hold), 1 => Just(Intent::Watch), 2 => Just(Intent::Remove)]
}

type MakeIp = std::sync::Arc<dyn Fn(usize) -> Option<Seen<PublicIp>> + Send + Sync>;

/// A public IP in some state, made once it is known whose it is.
fn ip() -> impl Strategy<Value = Made> {
    let label = prop_oneof![
        4 => Just(Some(None)),
        3 => select(&LABELS[..]).prop_map(|label| Some(Some(label))),
        1 => Just(None),
    ];
    let provisioning = prop_oneof![5 => Just(Provisioning::Succeeded), 1 => Just(Provisioning::Busy), 1 => Just(Provisioning::Failed)];
    let mark = prop_oneof![4 => Just(Some("ops")), 1 => Just(Some("others")), 1 => Just(None)];
    let present = (label, provisioning, mark, any::<bool>(), any::<bool>(), prop::bool::weighted(0.1))
        .prop_map(|(label, provisioning, mark, addressed, v6, attached)| {
            Made(std::sync::Arc::new(move |at| {
                // The label that it shall have, another one, or none; each old label is held by one alone.
                let held = label.map(|other| match other {
                    Some("old-one" | "old-two") if at == 0 => "old-one",
                    Some("old-one" | "old-two") => "old-two",
                    Some(other) if other == LABELS[1 - at] => other,
                    _ => LABELS[at],
                });
                let mut ip = public_ip(at, held);
                ip.provisioning = provisioning;
                ip.mark = mark.map(owner);
                ip.attached_to = attached.then(|| "/nics/vm".to_owned());
                ip.address = match (addressed, v6) {
                    (false, _) => None,
                    (true, false) => ip.address,
                    (true, true) => Some("2001:db8::7".parse().unwrap()),
                };
                Some(Seen::Present(ip))
            }))
        });
    prop_oneof![
        8 => present,
        2 => Just(Made(std::sync::Arc::new(|_| Some(Seen::Absent)))),
        1 => Just(Made(std::sync::Arc::new(|_| Some(Seen::Unknown("timed out".into()))))),
        1 => Just(Made(std::sync::Arc::new(|_| None))),
    ]
}

/// Says how to make a public IP; shows nothing of itself.
#[derive(Clone)]
struct Made(MakeIp);

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", (self.0)(0))
    }
}

impl std::ops::Deref for Made {
    type Target = dyn Fn(usize) -> Option<Seen<PublicIp>> + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

fn holder() -> impl Strategy<Value = Seen<LabelHolder>> {
    prop_oneof![
        6 => Just(Seen::Present(LabelHolder::Nobody)),
        1 => Just(Seen::Present(LabelHolder::Stranger)),
        1 => Just(Seen::Present(LabelHolder::Own("/ips/elsewhere".into()))),
        1 => Just(Seen::Unknown("denied".into())),
        1 => Just(Seen::Absent),
    ]
}

fn scope() -> impl Strategy<Value = Option<LabelScope>> {
    prop_oneof![5 => Just(None), 1 => Just(Some(LabelScope::TenantReuse))]
}

fn zones(account: &'static str) -> impl Strategy<Value = Option<Seen<Vec<Zone>>>> {
    let rules = if account == "azure" { AZURE } else { CLOUDFLARE };
    let one = move || vec![zone("example.com", "z1", rules)];
    let two = move || vec![zone("example.com", "z1", rules), zone("sub.example.com", "z2", rules)];
    let twins = move || vec![zone("example.com", "z1", rules), zone("example.com", "z3", rules)];
    prop_oneof![
        6 => Just(Some(Seen::Present(one()))),
        6 => Just(Some(Seen::Present(two()))),
        1 => Just(Some(Seen::Present(twins()))),
        1 => Just(Some(Seen::Unknown("503".into()))),
        1 => Just(Some(Seen::Absent)),
        1 => Just(None),
    ]
}

fn wanted() -> impl Strategy<Value = (usize, Wanted)> {
    let mode = prop_oneof![5 => Just(Mode::Cname), 2 => Just(Mode::Address), 1 => Just(Mode::Alias), 2 => Just(Mode::Auto)];
    let policy =
        prop_oneof![6 => Just(Policy::Sync), 1 => Just(Policy::UpsertOnly), 1 => Just(Policy::CreateOnly)];
    let ttl = prop_oneof![6 => Just(300), 1 => Just(1), 1 => Just(5)].prop_map(ttl);
    let flags = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (any::<usize>(), mode, policy, ttl, flags).prop_map(|(leader, mode, policy, ttl, (proxied, withdraw))| {
        (leader, Wanted { endpoint: handle("e0"), mode, ttl, proxied, policy, withdraw })
    })
}

fn held() -> impl Strategy<Value = Option<Seen<Vec<RecordSet>>>> {
    prop_oneof![
        8 => Just(Some(Seen::Absent)),
        10 => vec(set(), 0..3).prop_map(|sets| Some(Seen::Present(sets))),
        1 => Just(Some(Seen::Unknown("429".into()))),
        1 => Just(None),
    ]
}

fn set() -> impl Strategy<Value = RecordSet> {
    let mark = prop_oneof![6 => Just(Some("ops")), 1 => Just(Some("others")), 2 => Just(None)];
    (data(), prop_oneof![Just(300), Just(60), Just(1)], prop::bool::weighted(0.1), mark).prop_map(
        |(data, seconds, proxied, mark)| RecordSet {
            name: fqdn("set.later"),
            content: Content { data, ttl: ttl(seconds), proxied },
            mark: mark.map(owner),
            version: Version("set later".into()),
            words: 0,
        },
    )
}

fn data() -> impl Strategy<Value = Data> {
    let labels = select(&LABELS[..])
        .prop_map(|label| Data::Cname(fqdn(&format!("{label}.westeurope.cloudapp.azure.com"))));
    let names = select(&NAMES[..]).prop_map(|name| Data::Cname(fqdn(name)));
    let other = |rtype: &str| Data::Opaque { rtype: RecordType::from(rtype), text: "\"text\"".into() };
    prop_oneof![
        8 => labels,
        1 => names,
        2 => Just(Data::A([[203, 0, 113, 0].into()].into())),
        1 => Just(Data::Aaaa(["2001:db8::7".parse().unwrap()].into())),
        1 => Just(Data::Alias { rtype: RecordType::A, target: "/ips/PIP-0".into() }),
        1 => Just(other("TXT")),
        1 => Just(other("NS")),
    ]
}

fn consents() -> impl Strategy<Value = Consents> {
    let from = prop_oneof![Just(None), Just(Some("others"))];
    let adopt = option::of((select(&NAMES[..]), from));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (adopt, flags).prop_map(|(adopt, (relabel, deletes, internet))| Consents {
        adopt: adopt.map(|(name, from)| (fqdn(name), from.map(owner))).into_iter().collect(),
        relabel,
        deletes,
        internet,
    })
}
