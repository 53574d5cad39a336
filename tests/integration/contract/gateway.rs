//! One contract for what stands behind a public IP, every network provider.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cnamed::model::endpoint::{Endpoint, Intent};
use cnamed::model::gateway::{Access, AllowFrom, Gateway, GatewayState, NatRule, Protocol, Source};
use cnamed::model::guard::check;
use cnamed::model::plan::{Action, GatewayChange, NatRuleChange, Part, Plan, Verb, plan};
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::{Consents, Desired, EndpointState, Observed, Seen};
use cnamed::provider::{Error, Kind, Mapping};

use super::network::NetworkSubject;
use super::ops;
use crate::laws::world::{self, handle};

/// A network provider under test that holds one machine, and a back door to what stands there.
#[async_trait]
pub(crate) trait GatewaySubject: NetworkSubject {
    /// The id of a network resource in the endpoint's resource group.
    fn id(&self, kind: &str, name: &str) -> ResourceId;

    /// The network interface of a machine that has no address of its own, and is behind nothing.
    fn machine(&self) -> ResourceId;

    /// Makes a load balancer as somebody else would, with a pool called `theirs` that the machine is in, and a security
    /// group with a rule called `theirs`.
    async fn plant(&self, load_balancer: &ResourceId, group: &ResourceId);

    /// Everything of others that stands there, in some text.
    async fn theirs(&self, load_balancer: &ResourceId, group: &ResourceId) -> Vec<String>;

    /// Points a NAT rule at another port of the machine, as somebody else would.
    async fn bend(&self, load_balancer: &ResourceId, rule: &str);

    /// Gives a security rule another source, as somebody else would.
    async fn open(&self, group: &ResourceId, rule: &str);
}

/// Runs every clause against the subject that the expression makes: a new one for each.
macro_rules! gateway_contract {
    ($subject:expr) => {
        crate::contract::gateway::gateway_contract! { $subject;
            a_gateway_is_made_from_nothing
            making_it_again_writes_nothing
            what_others_made_survives
            a_part_that_is_another_by_now_is_stale
            a_gateway_is_taken_away
            what_a_part_needs_must_be_there
            a_port_leads_where_it_is_mapped
        }
    };
    ($subject:expr; $($clause:ident)+) => {
        $(
            #[tokio::test]
            async fn $clause() {
                crate::contract::gateway::clauses::$clause(&$subject.await).await;
            }
        )+
    };
}
pub(crate) use gateway_contract;

fn balancer<S: GatewaySubject>(subject: &S) -> ResourceId {
    subject.id("loadBalancers", "lb-jump")
}

fn group<S: GatewaySubject>(subject: &S) -> ResourceId {
    subject.id("networkSecurityGroups", "nsg-jump")
}

fn desired<S: GatewaySubject>(subject: &S) -> Desired {
    let spec = cnamed::model::endpoint::PublicIpSpec { resource_group: "rg-mgmt".into(), ..world::spec(0) };
    let rule = NatRule {
        name: "rdp".into(),
        protocol: Protocol::Tcp,
        frontend_port: 63011,
        backend_port: 3389,
        network_interface: subject.machine(),
        access: Some(Access {
            network_security_group: group(subject),
            from: AllowFrom::Sources(vec![Source::from("203.0.113.0/24".to_owned())]),
            priority: None,
        }),
        idle_timeout_minutes: 4,
    };
    let gateway = Gateway {
        public_ip: subject.id("publicIPAddresses", &spec.name),
        load_balancer: balancer(subject),
        nat_rules: vec![rule],
    };
    let name = handle("jump");
    let endpoint =
        Endpoint { name: name.clone(), public_ip: spec, gateway: Some(gateway), intent: Intent::Hold };
    Desired {
        owner: ops(),
        endpoints: [(name, endpoint)].into(),
        records: [].into(),
        prune: true,
        deletes_per_round: 3,
        consents: Consents::default(),
    }
}

async fn look<S: GatewaySubject>(subject: &S, desired: &Desired) -> EndpointState {
    subject.provider().observe(&desired.endpoints[&handle("jump")]).await
}

async fn state<S: GatewaySubject>(subject: &S, desired: &Desired) -> GatewayState {
    look(subject, desired).await.gateway.unwrap()
}

async fn planned<S: GatewaySubject>(subject: &S, desired: &Desired) -> Plan {
    let state = look(subject, desired).await;
    let observed = Observed {
        endpoints: [(handle("jump"), state)].into(),
        zones: BTreeMap::new(),
        records: BTreeMap::new(),
    };
    let cleared = check(desired, &observed, plan(desired, &observed));
    assert!(cleared.refusals().is_empty(), "{cleared}");
    cleared.plan().clone()
}

async fn build<S: GatewaySubject>(subject: &S, change: &GatewayChange) -> Result<(), Error> {
    subject.provider().build(&ops(), change).await
}

/// Makes every step of a plan, in its order; the steps behind the public IP.
async fn make<S: GatewaySubject>(subject: &S, desired: &Desired) -> Vec<GatewayChange> {
    let plan = planned(subject, desired).await;
    let mut made = Vec::new();
    for step in &plan.steps {
        match &step.action {
            Action::Network(change) => {
                subject.provider().apply(&ops(), change).await.unwrap();
            }
            Action::Gateway(change) => {
                let done = build(subject, change).await;
                assert!(done.is_ok(), "{}\n{plan}", done.unwrap_err().chain());
                made.push((**change).clone());
            }
            other => panic!("{other:?}"),
        }
    }
    made
}

/// The step of `made` that writes the NAT rule.
fn nat_rule(made: &[GatewayChange]) -> (GatewayChange, NatRuleChange) {
    let found = made.iter().find_map(|change| match &change.part {
        Part::NatRule(rule) => Some((change.clone(), rule.clone())),
        _ => None,
    });
    found.unwrap()
}

pub(crate) mod clauses {
    use super::*;

    pub(crate) async fn a_gateway_is_made_from_nothing<S: GatewaySubject>(subject: &S) {
        let desired = desired(subject);
        let nothing = state(subject, &desired).await;
        assert_eq!(nothing.load_balancer, Seen::Absent);
        assert_eq!(nothing.groups[&group(subject)], Seen::Absent);
        assert!(nothing.interface(&subject.machine()).is_some());
        make(subject, &desired).await;
        let rest = planned(subject, &desired).await;
        assert!(rest.is_empty(), "{rest}");
        let held = state(subject, &desired).await;
        let balancer = held.load_balancer.present().unwrap();
        assert_eq!((balancer.sku.as_str(), balancer.mark.clone()), ("Standard", Some(ops())));
        assert_eq!(held.group(&group(subject)).unwrap().mark, Some(ops()));
        let ip = look(subject, &desired).await.public_ip.present().unwrap().clone();
        assert_eq!(ip.attached_to.map(ResourceId::new), Some(balancer.id.clone()));
    }

    pub(crate) async fn making_it_again_writes_nothing<S: GatewaySubject>(subject: &S) {
        let desired = desired(subject);
        let made = make(subject, &desired).await;
        assert!(made.len() >= 5, "{made:?}");
        let before = state(subject, &desired).await;
        for change in &made {
            let again = build(subject, change).await;
            assert!(again.is_ok(), "{}", again.unwrap_err().chain());
        }
        assert_eq!(state(subject, &desired).await, before);
    }

    pub(crate) async fn what_others_made_survives<S: GatewaySubject>(subject: &S) {
        let desired = desired(subject);
        subject.plant(&balancer(subject), &group(subject)).await;
        let (lb, nsg) = (balancer(subject), group(subject));
        let theirs = || subject.theirs(&lb, &nsg);
        let before = theirs().await;
        assert!(before.len() >= 3, "{before:?}");
        make(subject, &desired).await;
        assert_eq!(theirs().await, before);
        let held = state(subject, &desired).await;
        assert_eq!(held.load_balancer.present().unwrap().mark, None, "what was found is not ours");
        let down = desired.torn_down();
        make(subject, &down).await;
        assert_eq!(theirs().await, before);
        let left = state(subject, &down).await;
        let parts = left.load_balancer.present().unwrap();
        assert!(!parts.pools.iter().any(|pool| pool.name.starts_with("cnamed_")), "{parts:?}");
        assert!(parts.nat_rules.is_empty(), "{parts:?}");
    }

    pub(crate) async fn a_part_that_is_another_by_now_is_stale<S: GatewaySubject>(subject: &S) {
        let desired = desired(subject);
        let made = make(subject, &desired).await;
        subject.bend(&balancer(subject), "cnamed_ops_rdp").await;
        subject.open(&group(subject), "cnamed_ops_rdp").await;
        let before = state(subject, &desired).await;
        let mut tried = 0;
        for change in &made {
            let mut deletion = change.clone();
            let stale = match &mut deletion.part {
                Part::NatRule(rule) => {
                    rule.held = rule.wanted.take();
                    vec![change.clone(), deletion]
                }
                Part::SecurityRule(rule) => {
                    rule.held = rule.wanted.take();
                    vec![change.clone(), deletion]
                }
                Part::LoadBalancer(balancer) if !balancer.frontends.is_empty() => {
                    // Its frontend leads neither where it was seen to, nor where it shall.
                    let mut held = before.load_balancer.present().unwrap().clone();
                    let elsewhere = |name: &str| Some(subject.id("publicIPAddresses", name));
                    held.frontends.iter_mut().for_each(|one| one.public_ip = elsewhere("pip-seen"));
                    balancer.held = Some(Box::new(held));
                    balancer.frontends.iter_mut().for_each(|one| one.public_ip = elsewhere("pip-wanted"));
                    vec![deletion]
                }
                _ => continue,
            };
            for change in &stale {
                let error = build(subject, change).await.unwrap_err();
                assert_eq!(error.kind(), Kind::Stale, "{} {:?}", error.chain(), change.verb());
                tried += 1;
            }
        }
        assert_eq!(tried, 5);
        assert_eq!(state(subject, &desired).await, before, "nothing was changed");
    }

    pub(crate) async fn a_gateway_is_taken_away<S: GatewaySubject>(subject: &S) {
        let desired = desired(subject);
        let before = state(subject, &desired).await;
        make(subject, &desired).await;
        let down = desired.torn_down();
        let gone = make(subject, &down).await;
        let left = look(subject, &down).await;
        assert_eq!(left.public_ip, Seen::Absent);
        let left = left.gateway.unwrap();
        assert_eq!(left.load_balancer, Seen::Absent);
        assert_eq!(left.groups[&group(subject)], Seen::Absent);
        let machine = |state: &GatewayState| {
            let held = state.interface(&subject.machine()).unwrap();
            (held.configurations.clone(), held.group.clone())
        };
        assert_eq!(machine(&left), machine(&before));
        for change in gone {
            let again = build(subject, &change).await;
            assert!(again.is_ok(), "what is gone already is a success: {}", again.unwrap_err().chain());
        }
    }

    pub(crate) async fn what_a_part_needs_must_be_there<S: GatewaySubject>(subject: &S) {
        let desired = desired(subject);
        let plan = planned(subject, &desired).await;
        let mut tried = 0;
        for step in &plan.steps {
            let Action::Gateway(change) = &step.action else { continue };
            if matches!(change.part, Part::SecurityGroup(_)) {
                continue;
            }
            let error = build(subject, change).await.unwrap_err();
            assert!(matches!(error.kind(), Kind::Missing | Kind::Rejected), "{}", error.chain());
            assert_ne!(change.verb(), Verb::Delete);
            tried += 1;
        }
        assert_eq!(tried, 4, "{plan}");
        assert_eq!(state(subject, &desired).await.load_balancer, Seen::Absent);
    }

    pub(crate) async fn a_port_leads_where_it_is_mapped<S: GatewaySubject>(subject: &S) {
        let desired = desired(subject);
        let pool = balancer(subject).part("backendAddressPools", "cnamed_ops_rdp");
        let machine = subject.machine();
        let mapping = || subject.provider().mapping(&pool, &machine, "cnamed_ops_rdp");
        let made = make(subject, &desired).await;
        let expected = Mapping { frontend_port: 63011, backend_port: 3389 };
        assert_eq!(mapping().await.unwrap(), Some(expected));
        let (mut change, mut rule) = nat_rule(&made);
        rule.held = rule.wanted.take();
        change.part = Part::NatRule(rule);
        build(subject, &change).await.unwrap();
        assert_eq!(mapping().await.unwrap(), None, "a pool without a rule leads nowhere");
        let nowhere = subject.id("loadBalancers", "lb-none").part("backendAddressPools", "none");
        let nothing = subject.provider().mapping(&nowhere, &machine, "cnamed_ops_rdp").await.unwrap();
        assert_eq!(nothing, None, "a pool that is not there leads nowhere");
    }
}

mod memory {
    use cnamed::model::endpoint::Provisioning;
    use cnamed::model::gateway::{
        Frontend, HeldPool, IpConfiguration, LoadBalancer, NetworkInterface, Ports, SecurityGroup,
        SecurityRule, Subnet,
    };
    use cnamed::provider::memory::{MemoryNetwork, SUBSCRIPTION};

    use super::*;
    use crate::laws::world::version;

    #[async_trait]
    impl GatewaySubject for MemoryNetwork {
        fn id(&self, kind: &str, name: &str) -> ResourceId {
            ResourceId::network(SUBSCRIPTION, "rg-mgmt", kind, name)
        }

        fn machine(&self) -> ResourceId {
            self.id("networkInterfaces", "vm-jump-nic")
        }

        async fn plant(&self, load_balancer: &ResourceId, group: &ResourceId) {
            let theirs = HeldPool { name: "theirs".into(), members: [].into(), addresses: false };
            self.put_load_balancer(LoadBalancer {
                location: "westeurope".into(),
                frontends: vec![Frontend {
                    name: "theirs".into(),
                    public_ip: Some(self.id("publicIPAddresses", "theirs")),
                }],
                pools: vec![theirs],
                ..LoadBalancer::empty(load_balancer.clone())
            });
            let mut machine = self.interface(&self.machine()).unwrap();
            machine.configurations[0].pools = [load_balancer.part("backendAddressPools", "theirs")].into();
            machine.group = Some(group.clone());
            self.put_interface(machine);
            let theirs = SecurityRule {
                name: "theirs".into(),
                priority: 4000,
                inbound: true,
                allow: false,
                protocol: None,
                sources: vec![Source::from("*".to_owned())],
                any_source_port: true,
                destinations: vec![Source::from("*".to_owned())],
                ports: vec![Ports { first: 0, last: 65535 }],
            };
            self.put_group(SecurityGroup { rules: vec![theirs], ..SecurityGroup::empty(group.clone()) });
        }

        async fn theirs(&self, load_balancer: &ResourceId, group: &ResourceId) -> Vec<String> {
            let theirs = |name: &str| name == "theirs";
            let balancer = self.load_balancer(load_balancer).unwrap();
            let frontends = balancer.frontends.iter().filter(|one| theirs(&one.name));
            let pools = balancer.pools.iter().filter(|one| theirs(&one.name));
            let group = self.group(group).unwrap();
            let rules = group.rules.iter().filter(|one| theirs(&one.name));
            (frontends.map(|one| format!("{one:?}")))
                .chain(pools.map(|one| format!("{one:?}")))
                .chain(rules.map(|one| format!("{one:?}")))
                .collect()
        }

        async fn bend(&self, load_balancer: &ResourceId, rule: &str) {
            let mut held = self.load_balancer(load_balancer).unwrap();
            held.nat_rules.iter_mut().find(|one| one.name == rule).unwrap().backend_port = 5900;
            self.put_load_balancer(held);
        }

        async fn open(&self, group: &ResourceId, rule: &str) {
            let mut held = self.group(group).unwrap();
            let rule = held.rules.iter_mut().find(|one| one.name == rule).unwrap();
            rule.sources = vec![Source::from("198.51.100.0/24".to_owned())];
            self.put_group(held);
        }
    }

    async fn fresh() -> MemoryNetwork {
        let memory = MemoryNetwork::default();
        let subnet = memory.id("virtualNetworks", "vnet").part("subnets", "default");
        memory.put_subnet(subnet.clone(), Subnet { group: None, nat_gateway: false });
        memory.put_interface(NetworkInterface {
            id: memory.machine(),
            location: "westeurope".into(),
            configurations: vec![IpConfiguration {
                name: "ipconfig1".into(),
                primary: true,
                address: Some([10, 0, 0, 4].into()),
                public_ip: None,
                subnet: Some(subnet),
                pools: [].into(),
                nat_rules: [].into(),
            }],
            group: None,
            provisioning: Provisioning::Succeeded,
            version: version(""),
        });
        memory
    }

    gateway_contract!(fresh());
}
