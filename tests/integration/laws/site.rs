//! Gateways for the worlds: everything that can stand behind a public IP, and refer to what is there.

mod balancer;

use std::collections::{BTreeMap, BTreeSet};

use cnamed::model::endpoint::{Handle, Provisioning, PublicIp};
use cnamed::model::gateway::{
    Access, AllowFrom, Gateway, GatewayState, IpConfiguration, NatRule, NetworkInterface, Ports, Protocol,
    SecurityGroup, SecurityRule, Source, Subnet,
};
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::{Desired, Observed, Seen};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use self::balancer::{build, empty};
use super::world::{owner, version};

pub(crate) fn id(kind: &str, name: &str) -> ResourceId {
    ResourceId::network("s", "rg", kind, name)
}

pub(crate) fn group_id(name: &str) -> ResourceId {
    id("networkSecurityGroups", name)
}

pub(crate) fn balancer_id(at: usize) -> ResourceId {
    id("loadBalancers", &format!("lb-{at}"))
}

pub(crate) fn interface_id(at: usize, which: usize) -> ResourceId {
    id("networkInterfaces", &format!("nic-{at}{}", ["a", "b"][which]))
}

pub(crate) fn subnet_id(at: usize) -> ResourceId {
    id("virtualNetworks", "vnet").part("subnets", &format!("subnet-{at}"))
}

/// The groups that rules may stand in; the last one is a subnet's.
const GROUPS: [&str; 3] = ["nsg-a", "nsg-b", "nsg-subnet"];

/// One NAT rule as a world wants it.
#[derive(Clone, Debug)]
pub(crate) struct WantedRule {
    frontend_port: u16,
    backend_port: u16,
    interface: usize,
    access: Option<(&'static str, AllowFrom, Option<u16>)>,
}

/// What stands behind one endpoint: choices, made into resources by [`install`].
#[derive(Clone, Debug)]
pub(crate) struct Site {
    rules: Vec<WantedRule>,
    balancer: Option<HeldBalancer>,
    /// Both interfaces: whether it is there, in a group of its own, and has an address of its own.
    interfaces: [(bool, Option<&'static str>, bool, bool); 2],
    subnet_group: bool,
    unread: Option<usize>,
    busy: bool,
}

impl Site {
    /// The same with little in it that the guard would refuse.
    pub(crate) fn calmed(mut self) -> Self {
        (self.unread, self.busy) = (None, false);
        for (there, _, own, behind) in &mut self.interfaces {
            (*there, *own, *behind) = (true, false, false);
        }
        if let Some(balancer) = &mut self.balancer {
            (balancer.basic, balancer.internal, balancer.balanced) = (false, false, None);
        }
        self
    }

    /// The same before anything was built.
    pub(crate) fn bare(mut self) -> Self {
        self.balancer = None;
        self.calmed()
    }
}

/// A load balancer as a world holds it.
#[derive(Clone, Debug)]
pub(crate) struct HeldBalancer {
    mark: Option<&'static str>,
    basic: bool,
    internal: bool,
    /// Whose frontend the public IP has: none, ours, somebody's.
    frontend: u8,
    /// What is in it of ours, by NAT rule: pool, rule, the port, the member.
    ours: Vec<(bool, bool, u16, Option<usize>)>,
    /// NAT rules of others: version 1, the port, the machine's port, the interface.
    others: Vec<(bool, u16, u16, usize)>,
    balanced: Option<u16>,
    outbound: bool,
    provisioning: Provisioning,
}

/// The names of the NAT rules that an endpoint may want, and of one that it does not.
pub(crate) fn rule_name(at: usize, which: usize) -> String {
    format!("rule-{at}{}", ["x", "y", "stray"][which])
}

fn sources() -> impl Strategy<Value = AllowFrom> {
    let source = |text: &str| Source::from(text.to_owned());
    prop_oneof![
        1 => Just(AllowFrom::Internet),
        4 => Just(AllowFrom::Sources(vec![source("203.0.113.0/24")])),
        1 => Just(AllowFrom::Sources(vec![source("203.0.113.0/24"), source("198.51.100.7/32")])),
        1 => Just(AllowFrom::Sources(vec![source("0.0.0.0/1"), source("128.0.0.0/1")])),
        1 => Just(AllowFrom::Sources(vec![source("AzureCloud.WestEurope")])),
    ]
}

fn wanted() -> impl Strategy<Value = WantedRule> {
    let access =
        (select(&GROUPS[..]), sources(), prop_oneof![3 => Just(None), 1 => (100_u16..104).prop_map(Some)]);
    (select(vec![50_001_u16, 50_002]), select(vec![22_u16, 3389]), 0_usize..2, option::weighted(0.8, access))
        .prop_map(|(frontend_port, backend_port, interface, access)| WantedRule {
            frontend_port,
            backend_port,
            interface,
            access,
        })
}

fn balancer() -> impl Strategy<Value = HeldBalancer> {
    let ports = || select(vec![50_001_u16, 50_002, 443]);
    let ours = (any::<bool>(), any::<bool>(), ports(), option::of(0_usize..2));
    let others = (any::<bool>(), ports(), select(vec![22_u16, 3389]), 0_usize..2);
    let state = prop_oneof![6 => Just(Provisioning::Succeeded), 1 => Just(Provisioning::Failed)];
    let rare = prop::bool::weighted;
    (
        prop_oneof![Just(None), Just(Some("ops")), Just(Some("others"))],
        (rare(0.1), rare(0.1)),
        0_u8..3,
        vec(ours, 3),
        vec(others, 0..2),
        option::weighted(0.2, ports()),
        (rare(0.2), state),
    )
        .prop_map(
            |(mark, (basic, internal), frontend, ours, others, balanced, (outbound, provisioning))| {
                HeldBalancer {
                    mark,
                    basic,
                    internal,
                    frontend,
                    ours,
                    others,
                    balanced,
                    outbound,
                    provisioning,
                }
            },
        )
}

pub(crate) fn site() -> impl Strategy<Value = Option<Site>> {
    let interface = || {
        (
            prop::bool::weighted(0.9),
            option::weighted(0.5, select(&GROUPS[..2])),
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.15),
        )
    };
    let site = (
        vec(wanted(), 0..=2),
        option::weighted(0.7, balancer()),
        [interface(), interface()],
        prop::bool::weighted(0.3),
        option::weighted(0.08, 0_usize..5),
        prop::bool::weighted(0.05),
    );
    option::weighted(
        0.7,
        site.prop_map(|(rules, balancer, interfaces, subnet_group, unread, busy)| Site {
            rules,
            balancer,
            interfaces,
            subnet_group,
            unread,
            busy,
        }),
    )
}

/// A security group: whether it is there, whose, and what is in it.
pub(crate) type Group = Option<(Option<&'static str>, Vec<SecurityRule>, bool)>;

pub(crate) fn groups() -> impl Strategy<Value = Vec<Group>> {
    let names = [
        "allow-office".to_owned(),
        "deny-all".into(),
        "cnamed_ops_rule-0x".into(),
        "cnamed_ops_rule-0stray".into(),
        "CNAMED_ops_rule-1x".into(),
        "cnamed_others_rule-0x".into(),
    ];
    let source = select(vec!["*", "Internet", "203.0.113.0/24", "203.0.113.128/25", "AzureCloud.WestEurope"]);
    let rule = (select(names.to_vec()), 100_u16..106, any::<bool>(), source, select(vec![22_u16, 3389]))
        .prop_map(|(name, priority, allow, source, port)| SecurityRule {
            name,
            priority,
            inbound: true,
            allow,
            protocol: if port == 22 { Some(Protocol::Tcp) } else { None },
            sources: vec![Source::from(source.to_owned())],
            any_source_port: true,
            destinations: vec![Source::from("*".to_owned())],
            ports: vec![Ports::one(port)],
        });
    let group =
        (prop_oneof![Just(None), Just(Some("ops")), Just(Some("others"))], vec(rule, 0..4), any::<bool>());
    let tidy = group.prop_map(|(mark, mut rules, failed)| {
        let (mut names, mut priorities) = (BTreeSet::new(), BTreeSet::new());
        rules.retain(|rule| names.insert(rule.name.to_ascii_lowercase()) && priorities.insert(rule.priority));
        (mark, rules, failed)
    });
    vec(option::weighted(0.7, tidy), GROUPS.len())
}

/// Puts `sites` behind the endpoints, and gives the worlds' public IPs what stands in front of them.
pub(crate) fn install(
    desired: &mut Desired,
    observed: &mut Observed,
    sites: Vec<Option<Site>>,
    groups: Vec<Group>,
) {
    let mut states: BTreeMap<Handle, (GatewayState, bool)> = BTreeMap::new();
    let names: Vec<Handle> = desired.endpoints.keys().cloned().collect();
    for (at, (name, site)) in names.iter().zip(sites).enumerate() {
        let Some(site) = site else { continue };
        let Some(endpoint) = desired.endpoints.get_mut(name) else { continue };
        let public_ip = ResourceId::new(format!("/ips/pip-{at}"));
        let gateway = wanted_gateway(at, &public_ip, &site);
        let ip = observed.endpoints.get_mut(name).and_then(|state| match &mut state.public_ip {
            Seen::Present(ip) => Some(ip),
            _ => None,
        });
        let state = held(at, name, &gateway, &site, ip);
        endpoint.gateway = Some(gateway);
        states.insert(name.clone(), (state, site.busy));
    }
    let mut all: BTreeMap<ResourceId, Seen<SecurityGroup>> = BTreeMap::new();
    for (name, group) in GROUPS.iter().zip(groups) {
        let id = group_id(name);
        let users: BTreeSet<ResourceId> = (states.values())
            .flat_map(|(state, _)| {
                let interfaces = state
                    .interfaces
                    .iter()
                    .filter_map(|(at, seen)| Some((at, seen.present()?.group.as_ref()?)));
                let subnets =
                    state.subnets.iter().filter_map(|(at, seen)| Some((at, seen.present()?.group.as_ref()?)));
                interfaces
                    .chain(subnets)
                    .filter(|(_, group)| **group == id)
                    .map(|(at, _)| at.clone())
                    .collect::<Vec<_>>()
            })
            .collect();
        // What is used is there.
        let group = group.or_else(|| (!users.is_empty()).then(|| (None, Vec::new(), false)));
        let seen = group.map_or(Seen::Absent, |(mark, rules, failed)| {
            Seen::Present(SecurityGroup {
                id: id.clone(),
                location: "westeurope".into(),
                rules,
                users,
                provisioning: if failed { Provisioning::Failed } else { Provisioning::Succeeded },
                mark: mark.map(owner),
                version: version("group"),
            })
        });
        all.insert(id, seen);
    }
    for (name, (mut state, busy)) in states {
        state.groups.clone_from(&all);
        if let (true, Seen::Present(balancer)) = (busy, &mut state.load_balancer) {
            balancer.provisioning = Provisioning::Busy;
        }
        if let Some(seen) = observed.endpoints.get_mut(&name) {
            seen.gateway = Some(state);
        }
    }
}

fn wanted_gateway(at: usize, public_ip: &ResourceId, site: &Site) -> Gateway {
    let rule = |(which, rule): (usize, &WantedRule)| NatRule {
        name: rule_name(at, which),
        protocol: Protocol::Tcp,
        frontend_port: rule.frontend_port,
        backend_port: rule.backend_port,
        network_interface: interface_id(at, rule.interface),
        access: rule.access.as_ref().map(|(group, from, priority)| Access {
            network_security_group: group_id(group),
            from: from.clone(),
            // The configuration gives one place of a group to one rule.
            priority: priority
                .map(|priority| 100 + 4 * (priority - 100) + u16::try_from(2 * at + which).unwrap()),
        }),
        idle_timeout_minutes: 4,
    };
    let mut nat_rules: Vec<NatRule> = site.rules.iter().enumerate().map(rule).collect();
    // As the configuration refuses them.
    let (mut ports, mut machines) = (BTreeSet::new(), BTreeSet::new());
    nat_rules.retain(|rule| {
        ports.insert(rule.frontend_port)
            && machines.insert((rule.network_interface.clone(), rule.backend_port))
    });
    Gateway { public_ip: public_ip.clone(), load_balancer: balancer_id(at), nat_rules }
}

fn held(at: usize, name: &Handle, gateway: &Gateway, site: &Site, ip: Option<&mut PublicIp>) -> GatewayState {
    let mut interfaces: BTreeMap<ResourceId, NetworkInterface> = BTreeMap::new();
    for (which, (there, group, own, _)) in site.interfaces.iter().enumerate().filter(|(_, one)| one.0) {
        assert!(there);
        let id = interface_id(at, which);
        let configuration = IpConfiguration {
            name: "ipconfig1".into(),
            primary: true,
            address: Some([10, 0, 0, 4 + u8::try_from(which).unwrap()].into()),
            public_ip: own.then(|| ResourceId::new("/ips/own")),
            subnet: Some(subnet_id(at)),
            pools: [].into(),
            nat_rules: [].into(),
        };
        let interface = NetworkInterface {
            id: id.clone(),
            location: "westeurope".into(),
            configurations: vec![configuration],
            group: group.map(group_id),
            provisioning: Provisioning::Succeeded,
            version: version("interface"),
        };
        interfaces.insert(id, interface);
    }
    let mut others = BTreeMap::new();
    let elsewhere = id("loadBalancers", "lb-elsewhere");
    for (which, (there, .., behind)) in site.interfaces.iter().enumerate() {
        if let (true, true, Some(interface)) = (*there, *behind, interfaces.get_mut(&interface_id(at, which)))
        {
            interface.configurations[0].pools.insert(elsewhere.part("backendAddressPools", "theirs"));
            others.insert(elsewhere.clone(), Seen::Present(empty(&elsewhere, false)));
        }
    }
    let balancer = site.balancer.as_ref().map(|held| {
        let (balancer, fronted) = build(at, name, gateway, held, &mut interfaces, ip.as_deref());
        if let (true, Some(ip)) = (fronted, ip) {
            ip.attached_to = Some(balancer.id.to_string());
        }
        balancer
    });
    let group = site.subnet_group.then(|| group_id(GROUPS[2]));
    let mut state = GatewayState {
        load_balancer: balancer.map_or(Seen::Absent, Seen::Present),
        interfaces: (0..2)
            .map(|which| {
                let id = interface_id(at, which);
                let seen = interfaces.remove(&id).map_or(Seen::Absent, Seen::Present);
                (id, seen)
            })
            .collect(),
        subnets: [(subnet_id(at), Seen::Present(Subnet { group, nat_gateway: at == 1 }))].into(),
        groups: [].into(),
        others,
    };
    let unread = || "timed out".to_owned();
    match site.unread {
        Some(0) => state.load_balancer = Seen::Unknown(unread()),
        Some(which @ 1..=2) => {
            state.interfaces.insert(interface_id(at, which - 1), Seen::Unknown(unread()));
        }
        Some(3) => state.subnets = [(subnet_id(at), Seen::Unknown(unread()))].into(),
        Some(_) => {
            state.others.insert(elsewhere, Seen::Unknown(unread()));
        }
        None => {}
    }
    state
}
