//! One endpoint, `jump`, two accounts, and what a test adds to them.

use cnamed::model::endpoint::{Endpoint, Intent, Provisioning, PublicIp, PublicIpSpec};
use cnamed::model::gateway::{
    Access, AllowFrom, Gateway, GatewayState, IpConfiguration, LoadBalancer, NatRule, NetworkInterface,
    Protocol, SecurityGroup, Subnet,
};
use cnamed::model::guard::check;
use cnamed::model::name::DnsLabel;
use cnamed::model::plan::{Plan, plan};
use cnamed::model::record::{Content, Data, Mode, Policy, RecordSet, Ttl, Version};
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::{Consents, Desired, EndpointState, LabelHolder, Observed, Seen, Wanted};

use crate::laws::site::{group_id, id, subnet_id};
use crate::laws::world::{AZURE, CLOUDFLARE, fqdn, handle, key, owner, public_ip, spec, zone};

/// What is wanted and what is seen.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
}

impl Scene {
    /// The endpoint wants `label`, and nothing is there.
    pub(crate) fn nothing(label: &str) -> Self {
        let jump = handle("jump");
        let public_ip =
            PublicIpSpec { label: DnsLabel::parse(label).unwrap(), name: "pip-jump".into(), ..spec(0) };
        let endpoint = Endpoint { name: jump.clone(), public_ip, gateway: None, intent: Intent::Hold };
        let state = EndpointState {
            public_ip: Seen::Absent,
            label: Seen::Present(LabelHolder::Nobody),
            gateway: None,
        };
        let desired = Desired {
            owner: owner("ops"),
            endpoints: [(jump.clone(), endpoint)].into(),
            records: [].into(),
            prune: true,
            deletes_per_round: 3,
            consents: Consents::default(),
        };
        let azure = vec![
            zone("example.com", "/dnsZones/example.com", AZURE),
            zone("example.net", "/rg-a/dnsZones/example.net", AZURE),
            zone("example.net", "/rg-b/dnsZones/example.net", AZURE),
        ];
        let cf = vec![
            zone("example.com", "023e105f4ecef8ad9ca31a8372d0c353", CLOUDFLARE),
            zone("sub.example.com", "372e67954025e0ba6aaa6d586b9e0b59", CLOUDFLARE),
            zone("xn--bcher-kva.example", "9a7806061c88ada191ed06f989cc3dac", CLOUDFLARE),
        ];
        let zones = [(handle("azure"), Seen::Present(azure)), (handle("cf"), Seen::Present(cf))];
        let observed =
            Observed { endpoints: [(jump, state)].into(), zones: zones.into(), records: [].into() };
        Self { desired, observed }
    }

    /// The endpoint wants `label`, and holds it.
    pub(crate) fn held(label: &str) -> Self {
        let mut scene = Self::nothing(label);
        let public_ip = Seen::Present(public_ip(7, Some(label)));
        *scene.state() = EndpointState { public_ip, label: Seen::Absent, gateway: None };
        scene
    }

    /// Wants the guide's gateway: a high port that leads to 3389 of one machine, which is there and behind nothing.
    pub(crate) fn gated(mut self) -> Self {
        let rule = NatRule {
            name: "rdp".into(),
            protocol: Protocol::Tcp,
            frontend_port: 63011,
            backend_port: 3389,
            network_interface: id("networkInterfaces", "vm-jump-nic"),
            access: Some(Access {
                network_security_group: group_id("nsg-mgmt"),
                from: AllowFrom::Sources(vec!["203.0.113.0/24".to_owned().into()]),
                priority: None,
            }),
            idle_timeout_minutes: 4,
        };
        let jump = self.desired.endpoints.get_mut(&handle("jump")).unwrap();
        jump.gateway = Some(Gateway {
            public_ip: ResourceId::new("/ips/pip-7"),
            load_balancer: id("loadBalancers", "lb-jump"),
            nat_rules: vec![rule],
        });
        let configuration = IpConfiguration {
            name: "ipconfig1".into(),
            primary: true,
            address: Some([10, 0, 0, 4].into()),
            public_ip: None,
            subnet: Some(subnet_id(0)),
            pools: [].into(),
            nat_rules: [].into(),
        };
        let interface = NetworkInterface {
            id: id("networkInterfaces", "vm-jump-nic"),
            location: "westeurope".into(),
            configurations: vec![configuration],
            group: None,
            provisioning: Provisioning::Succeeded,
            version: Version("v1".into()),
        };
        self.state().gateway = Some(GatewayState {
            load_balancer: Seen::Absent,
            interfaces: [(interface.id.clone(), Seen::Present(interface))].into(),
            subnets: [(subnet_id(0), Seen::Present(Subnet { group: None, nat_gateway: false }))].into(),
            groups: [(group_id("nsg-mgmt"), Seen::Absent)].into(),
            others: [].into(),
        });
        self
    }

    /// As it is once everything was built.
    pub(crate) fn built(mut self) -> Self {
        for _ in 0..3 {
            let cleared = check(&self.desired, &self.observed, plan(&self.desired, &self.observed));
            assert!(cleared.refusals().is_empty(), "{cleared}");
            self.apply(cleared.plan());
        }
        self
    }

    pub(crate) fn gateway(&mut self) -> &mut GatewayState {
        self.state().gateway.as_mut().unwrap()
    }

    pub(crate) fn rule(&mut self) -> &mut NatRule {
        let jump = self.desired.endpoints.get_mut(&handle("jump")).unwrap();
        &mut jump.gateway.as_mut().unwrap().nat_rules[0]
    }

    pub(crate) fn balancer(&mut self) -> &mut LoadBalancer {
        match &mut self.gateway().load_balancer {
            Seen::Present(held) => held,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn interface(&mut self) -> &mut NetworkInterface {
        match self.gateway().interfaces.values_mut().next() {
            Some(Seen::Present(held)) => held,
            other => panic!("{other:?}"),
        }
    }

    /// The security group called `name`, made where it is not there.
    pub(crate) fn group(&mut self, name: &str) -> &mut SecurityGroup {
        let id = group_id(name);
        let fresh = SecurityGroup { location: "westeurope".into(), ..SecurityGroup::empty(id.clone()) };
        let seen = self.gateway().groups.entry(id).or_insert(Seen::Absent);
        if *seen == Seen::Absent {
            *seen = Seen::Present(fresh);
        }
        match seen {
            Seen::Present(held) => held,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn state(&mut self) -> &mut EndpointState {
        self.observed.endpoints.get_mut(&handle("jump")).unwrap()
    }

    pub(crate) fn spec(&mut self) -> &mut PublicIpSpec {
        &mut self.desired.endpoints.get_mut(&handle("jump")).unwrap().public_ip
    }

    pub(crate) fn ip(&mut self) -> &mut PublicIp {
        match &mut self.state().public_ip {
            Seen::Present(ip) => ip,
            other => panic!("{other:?}"),
        }
    }

    /// Wants `name` in `account`; what it holds was read, and is nothing unless said.
    pub(crate) fn wants(&mut self, name: &str, account: &str, mode: Mode) -> &mut Wanted {
        let key = key(name, account);
        self.observed.records.entry(key.clone()).or_insert(Seen::Absent);
        self.desired.records.entry(key).or_insert(Wanted {
            endpoint: handle("jump"),
            mode,
            ttl: Ttl::DEFAULT,
            proxied: false,
            policy: Policy::Sync,
            withdraw: false,
        })
    }

    pub(crate) fn holds(&mut self, name: &str, account: &str, mut sets: Vec<RecordSet>) {
        for set in &mut sets {
            set.name = fqdn(name);
        }
        let seen = if sets.is_empty() { Seen::Absent } else { Seen::Present(sets) };
        self.observed.records.insert(key(name, account), seen);
    }

    /// Makes what `plan` says so.
    pub(crate) fn apply(&mut self, plan: &Plan) {
        self.observed = self.observed.after(plan);
    }
}

pub(crate) fn cname(target: &str) -> Data {
    Data::Cname(fqdn(target))
}

pub(crate) fn label_name(label: &str) -> Data {
    cname(&format!("{label}.westeurope.cloudapp.azure.com"))
}

pub(crate) fn mine(data: Data) -> RecordSet {
    RecordSet { mark: Some(owner("ops")), ..unmarked(data) }
}

pub(crate) fn unmarked(data: Data) -> RecordSet {
    let content = Content { data, ttl: Ttl::DEFAULT, proxied: false };
    RecordSet { name: fqdn("set.later"), content, mark: None, version: Version("v1".into()), words: 0 }
}
