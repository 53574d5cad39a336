//! The endpoints' account in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::gateway::{Outcome, Resources};
use super::{Fault, Faults, Operation, struck, unread};
use crate::model::endpoint::{Allocation, Endpoint, Provisioning, PublicIp, PublicIpSpec};
use crate::model::gateway::{GatewayState, LoadBalancer, NetworkInterface, SecurityGroup, Subnet};
use crate::model::name::{DnsLabel, Fqdn};
use crate::model::plan::{GatewayChange, NetworkChange};
use crate::model::record::{Owner, Version};
use crate::model::resource_id::ResourceId;
use crate::model::state::{EndpointState, LabelHolder, Seen};
use crate::provider::{Ahead, Error, Kind, Mapping, NetworkProvider};

/// The account that holds endpoints' resources, in memory.
#[derive(Debug, Default)]
pub struct MemoryNetwork {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By resource group and name.
    held: BTreeMap<(String, String), PublicIp>,
    /// Labels that others hold, each in its region.
    taken: BTreeSet<(DnsLabel, String)>,
    /// What stands behind public IPs.
    behind: Resources,
    writes: u64,
    faults: Faults,
}

impl MemoryNetwork {
    /// Puts a public IP there as somebody else would.
    pub fn put(&self, resource_group: &str, name: &str, ip: PublicIp) {
        let mut state = self.state();
        let version = state.version();
        state.held.insert(place(resource_group, name), PublicIp { version, ..ip });
    }

    /// Removes one as somebody else would.
    pub fn remove(&self, resource_group: &str, name: &str) {
        self.state().held.remove(&place(resource_group, name));
    }

    /// What really stands there.
    #[must_use]
    pub fn held(&self, resource_group: &str, name: &str) -> Option<PublicIp> {
        self.state().held.get(&place(resource_group, name)).cloned()
    }

    /// Puts a load balancer there as somebody else would. Its pools' members are those that say so themselves.
    pub fn put_load_balancer(&self, held: LoadBalancer) {
        let mut state = self.state();
        let version = state.version();
        state.behind.balancers.insert(held.id.clone(), LoadBalancer { version, ..held });
        state.attach();
    }

    /// Puts a network interface there as somebody else would.
    pub fn put_interface(&self, held: NetworkInterface) {
        let mut state = self.state();
        let version = state.version();
        state.behind.interfaces.insert(held.id.clone(), NetworkInterface { version, ..held });
    }

    /// Puts a subnet there as somebody else would.
    pub fn put_subnet(&self, id: ResourceId, held: Subnet) {
        self.state().behind.subnets.insert(id, held);
    }

    /// Puts a security group there as somebody else would. Its users are those that say so themselves.
    pub fn put_group(&self, held: SecurityGroup) {
        let mut state = self.state();
        let version = state.version();
        state.behind.groups.insert(held.id.clone(), SecurityGroup { version, ..held });
    }

    /// The load balancer that really stands there.
    #[must_use]
    pub fn load_balancer(&self, id: &ResourceId) -> Option<LoadBalancer> {
        self.state().behind.balancer(id)
    }

    /// The network interface that really stands there.
    #[must_use]
    pub fn interface(&self, id: &ResourceId) -> Option<NetworkInterface> {
        self.state().behind.interfaces.get(id).cloned()
    }

    /// The security group that really stands there.
    #[must_use]
    pub fn group(&self, id: &ResourceId) -> Option<SecurityGroup> {
        self.state().behind.group(id)
    }

    /// Gives `label` in `location` to a stranger.
    pub fn take(&self, label: DnsLabel, location: &str) {
        self.state().taken.insert((label, location.to_ascii_lowercase()));
    }

    /// Makes the next such operation fail.
    pub fn script(&self, operation: Operation, fault: Fault) {
        self.state().faults.0.push((operation, fault));
    }

    /// How many resources were written or removed so far, by whomever.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn version(&mut self) -> Version {
        self.writes += 1;
        Version(format!("v{}", self.writes))
    }

    /// Who but `spec`'s own public IP holds its label.
    fn holder(&self, spec: &PublicIpSpec) -> LabelHolder {
        let at = place(&spec.resource_group, &spec.name);
        let holds = |ip: &PublicIp| {
            ip.label.as_ref() == Some(&spec.label) && ip.location.eq_ignore_ascii_case(&spec.location)
        };
        if let Some((_, ip)) = self.held.iter().find(|(other, ip)| **other != at && holds(ip)) {
            LabelHolder::Own(ip.id.clone())
        } else if self.taken.contains(&(spec.label.clone(), spec.location.to_ascii_lowercase())) {
            LabelHolder::Stranger
        } else {
            LabelHolder::Nobody
        }
    }

    fn build(&mut self, owner: &Owner, change: &GatewayChange) -> Result<(), Error> {
        let public_ips = (self.held.values())
            .map(|ip| (ResourceId::new(ip.id.as_str()), ip.attached_to.as_deref().map(ResourceId::new)))
            .collect();
        let version = Version(format!("v{}", self.writes + 1));
        let outcome = self.behind.build(owner, change, &public_ips, &version);
        match outcome.map_err(|kind| Error::new(kind, "write", change.piece().to_string()))? {
            Outcome::Stands => {}
            Outcome::Written(behind) => {
                self.behind = *behind;
                self.writes += 1;
                self.attach();
            }
        }
        Ok(())
    }

    /// Tells every public IP which load balancer it stands in front of. One whose user changes has another version,
    /// as at Azure (kubernetes-sigs/cloud-provider-azure, pull request 9859).
    fn attach(&mut self) {
        for ip in self.held.values_mut() {
            let own = ResourceId::new(ip.id.as_str());
            let front = self.behind.balancers.values().find(|held| held.frontend_of(&own).is_some());
            let before = ip.attached_to.as_deref().filter(|user| !user.contains("/loadBalancers/"));
            let user = front.map(|held| held.id.to_string()).or_else(|| before.map(str::to_owned));
            if ip.attached_to != user {
                ip.attached_to = user;
                ip.version = Version(format!("v{} by its user", self.writes));
            }
        }
    }

    fn make(&mut self, owner: &Owner, change: &NetworkChange) -> Result<Option<PublicIp>, Error> {
        let spec = &change.spec;
        let at = place(&spec.resource_group, &spec.name);
        let fail = |kind| Err(Error::new(kind, "write", format!("the public IP {}", spec.name)));
        let present = self.held.get(&at).cloned();
        let stands = |ip: &PublicIp| {
            ip.label.as_ref() == Some(&spec.label) && ip.provisioning == Provisioning::Succeeded
        };
        match (&present, &change.held) {
            (None, _) if change.delete => return Ok(None),
            (Some(ip), _) if !change.delete && stands(ip) => return Ok(present),
            (Some(ip), Some(held)) if !ip.is_still(held) => return fail(Kind::Stale),
            (Some(ip), Some(held)) if !change.delete && ip.provisioning != held.provisioning => {
                return fail(Kind::Stale);
            }
            (Some(ip), Some(held)) if change.delete && ip.attached_to.is_some() => {
                let known = ip.attached_to == held.attached_to;
                return fail(if known { Kind::Rejected } else { Kind::Stale });
            }
            (Some(_), None) | (None, Some(_)) => return fail(Kind::Stale),
            _ => {}
        }
        if change.delete {
            self.held.remove(&at);
            self.writes += 1;
            return Ok(None);
        }
        let moves = present.as_ref().is_some_and(|ip| !ip.location.eq_ignore_ascii_case(&spec.location));
        if self.holder(spec) != LabelHolder::Nobody || moves {
            return fail(Kind::Rejected);
        }
        if present.is_none() && spec.allocation == Allocation::Dynamic {
            return fail(Kind::Rejected);
        }
        let version = self.version();
        let base = present.unwrap_or_else(|| created(spec, owner, self.writes));
        let fqdn = fqdn(spec, &base);
        let label = Some(spec.label.clone());
        let ip = PublicIp { label, fqdn, version, provisioning: Provisioning::Succeeded, ..base };
        self.held.insert(at, ip.clone());
        Ok(Some(ip))
    }
}

#[async_trait]
impl NetworkProvider for MemoryNetwork {
    async fn look(&self, endpoint: &Endpoint, ahead: &Ahead) -> (EndpointState, Option<Error>) {
        let mut state = self.state();
        if let Some(fault) = state.faults.strike(&Operation::Observe) {
            let error = unread(fault, "read", endpoint.public_ip.name.clone());
            let reason = error.to_string();
            let unknown = EndpointState {
                public_ip: Seen::Unknown(reason.clone()),
                label: Seen::Unknown(reason.clone()),
                gateway: endpoint.gateway.as_ref().map(|_| GatewayState {
                    load_balancer: Seen::Unknown(reason),
                    interfaces: BTreeMap::new(),
                    subnets: BTreeMap::new(),
                    groups: BTreeMap::new(),
                    others: BTreeMap::new(),
                }),
            };
            return (unknown, Some(error));
        }
        let spec = &endpoint.public_ip;
        let held = state.held.get(&place(&spec.resource_group, &spec.name)).cloned();
        held.iter().for_each(|ip| ahead.tell(&endpoint.name, ip));
        let label = match &held {
            Some(ip) if ip.label.as_ref() == Some(&spec.label) => Seen::Absent,
            _ => Seen::Present(state.holder(spec)),
        };
        let gateway = endpoint.gateway.as_ref().map(|gateway| state.behind.observe(gateway));
        (EndpointState { public_ip: held.map_or(Seen::Absent, Seen::Present), label, gateway }, None)
    }

    async fn apply(&self, owner: &Owner, change: &NetworkChange) -> Result<Option<PublicIp>, Error> {
        let mut state = self.state();
        let fault = state.faults.strike(&Operation::Provision(change.endpoint.clone()));
        let resource = format!("the public IP {}", change.spec.name);
        struck(fault, "write", &resource, || state.make(owner, change))
    }

    async fn build(&self, owner: &Owner, change: &GatewayChange) -> Result<(), Error> {
        let mut state = self.state();
        let fault = state.faults.strike(&Operation::Build(change.endpoint.clone()));
        struck(fault, "write", &change.piece().to_string(), || state.build(owner, change))
    }

    async fn mapping(
        &self,
        pool: &ResourceId,
        machine: &ResourceId,
        rule: &str,
    ) -> Result<Option<Mapping>, Error> {
        Ok(self.state().behind.mapping(pool, machine, rule))
    }
}

fn created(spec: &PublicIpSpec, owner: &Owner, number: u64) -> PublicIp {
    let [.., high, low] = number.to_be_bytes();
    PublicIp {
        id: ResourceId::network(SUBSCRIPTION, &spec.resource_group, "publicIPAddresses", &spec.name)
            .to_string(),
        guid: Some(format!("{number:032x}")),
        location: spec.location.clone(),
        sku: "Standard".into(),
        allocation: Allocation::Static,
        label: None,
        label_scope: spec.label_scope,
        fqdn: None,
        // From the block for benchmarking (RFC 2544): nobody's, and large enough for a new one every time.
        address: Some(IpAddr::V4(Ipv4Addr::new(198, 18, high, low))),
        provisioning: Provisioning::Succeeded,
        attached_to: None,
        mark: Some(owner.clone()),
        version: Version(String::new()),
    }
}

/// A scope puts a hash between the label and the region, and keeps it.
fn fqdn(spec: &PublicIpSpec, ip: &PublicIp) -> Option<Fqdn> {
    let hash = ip.label_scope.map_or("", |_| ".a1b2c3d4");
    Fqdn::parse(&format!("{}{hash}.{}.cloudapp.azure.com", spec.label, ip.location)).ok()
}

fn place(resource_group: &str, name: &str) -> (String, String) {
    (resource_group.to_ascii_lowercase(), name.to_ascii_lowercase())
}

/// The subscription that everything in memory is in.
pub const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
