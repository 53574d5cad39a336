//! The way in: what becomes of a connection from the internet to a public address and port.

use std::net::IpAddr;

use serde_json::Value;

use super::super::arm::Id;
use super::super::compute::{Machine, Speaks};
use super::super::public_ip;
use super::documents::{self, Configuration, Documents, pools};
use super::load_balancer::rule::frontend_ports;
use super::prefix::Prefix;
use super::security_group::flow::{self, Opening};
use super::{children, reference, references, subnet};
use crate::sandbox::world::World;

/// What a client sees of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Nothing ever comes back: the packet was dropped, and where.
    Silence(Lost),
    /// The machine says that nothing listens there.
    Refused,
    /// The machine's service.
    Service(Speaks),
}

/// Where a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// No public IP has the address.
    NoSuchAddress,
    /// Nothing in force uses the public IP.
    Unused,
    /// No rule of the load balancer leads on from the port.
    NoRule,
    /// The rule leads to nobody.
    NobodyBehind,
    /// No machine that runs has the interface.
    NotRunning,
    /// A security group keeps it out, or a Standard address is without one.
    KeptOut,
}

/// Decides over a TCP connection from `client` to `address` and `port`, by what is in force.
pub(crate) fn arrive(world: &World, client: IpAddr, address: IpAddr, port: u16) -> Arrival {
    match follow(world, client, address, port) {
        Ok((machine, port)) => match machine.speaks(port) {
            Speaks::Closed => Arrival::Refused,
            speaks => Arrival::Service(speaks),
        },
        Err(lost) => Arrival::Silence(lost),
    }
}

fn follow(world: &World, client: IpAddr, address: IpAddr, port: u16) -> Result<(&Machine, u16), Lost> {
    let held = world.azure.network.values().filter(|r| public_ip::is_one(&r.id));
    let public_ip = held.into_iter().find(|r| r.lease.address == Some(address)).ok_or(Lost::NoSuchAddress)?;
    let documents = Documents::in_force(world);
    let uses = |properties: &Value| reference(properties, "publicIPAddress").as_ref() == Some(&public_ip.id);
    let (configuration, port) = match documents.configurations().find(|one| uses(one.properties)) {
        Some(configuration) => (configuration, port),
        None => {
            let (balancer, frontend) = frontend(&documents, &uses).ok_or(Lost::Unused)?;
            through(world, &documents, balancer, &frontend, port)?
        }
    };
    let machines = world.azure.machines.values();
    let running = machines.filter(|machine| machine.running && machine.nic == *configuration.nic);
    let machine = running.into_iter().next().ok_or(Lost::NotRunning)?;
    let is_open = public_ip.sku() == "Basic";
    if admitted(&documents, &configuration, client, port, is_open) {
        Ok((machine, port))
    } else {
        Err(Lost::KeptOut)
    }
}

/// The load balancer and its frontend that use a public IP.
fn frontend<'w>(documents: &Documents<'w>, uses: &impl Fn(&Value) -> bool) -> Option<(&'w Id, Id)> {
    documents.of_kind("loadBalancers").find_map(|(balancer, document)| {
        let mut frontends = children::entries(document, "frontendIPConfigurations");
        let (name, _) = frontends.find(|(_, properties)| uses(properties))?;
        Some((balancer, Id::new(format!("{balancer}/frontendIPConfigurations/{name}"))))
    })
}

/// Through a load balancer: to which configuration, and to which port there.
fn through<'w>(
    world: &World,
    documents: &Documents<'w>,
    balancer: &Id,
    frontend: &Id,
    port: u16,
) -> Result<(Configuration<'w>, u16), Lost> {
    let document = documents.get(balancer).ok_or(Lost::NoRule)?;
    let rules = ["inboundNatRules", "loadBalancingRules"].into_iter().flat_map(|collection| {
        children::entries(document, collection).map(move |(name, rule)| (collection, name, rule))
    });
    let is_meant = |(_, _, rule): &(&str, &str, &Value)| {
        let protocol = rule.get("protocol").and_then(Value::as_str).unwrap_or("Tcp");
        reference(rule, "frontendIPConfiguration").as_ref() == Some(frontend)
            && !protocol.eq_ignore_ascii_case("Udp")
            && frontend_ports(rule).is_some_and(|range| range.contains(&port))
    };
    let (collection, name, rule) = rules.into_iter().find(is_meant).ok_or(Lost::NoRule)?;
    let id = Id::new(format!("{balancer}/{collection}/{name}"));
    let backend = rule.get("backendPort").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let backend = backend.ok_or(Lost::NoRule)?;
    let members = || pools(rule).flat_map(|pool| documents.members(&pool)).collect::<Vec<_>>();
    let is_running = |one: &Configuration<'_>| {
        world.azure.machines.values().any(|machine| machine.running && machine.nic == *one.nic)
    };
    let found = if collection == "loadBalancingRules" {
        // Probes find out who runs.
        members().into_iter().find(is_running)
    } else if reference(rule, "backendAddressPool").is_some() {
        members().into_iter().find(|member| world.azure.ports.port(&id, &member.id()) == Some(port))
    } else {
        documents
            .configurations()
            .find(|one| references(one.properties, "loadBalancerInboundNatRules").any(|to| to == id))
    };
    found.map(|found| (found, backend)).ok_or(Lost::NobodyBehind)
}

/// The group of the subnet, then that of the interface; each that is there must let it in. Without any, a Standard
/// address is closed, and a Basic one open.
fn admitted(
    documents: &Documents<'_>,
    configuration: &Configuration<'_>,
    client: IpAddr,
    port: u16,
    is_open: bool,
) -> bool {
    let subnet = reference(configuration.properties, "subnet");
    let of_subnet = subnet.as_ref().and_then(|id| reference(documents.entry(id)?, "networkSecurityGroup"));
    let of_nic = documents
        .get(configuration.nic)
        .and_then(|nic| reference(nic.get("properties")?, "networkSecurityGroup"));
    let groups: Vec<Id> = of_subnet.into_iter().chain(of_nic).collect();
    let Some(destination) = configuration.address() else { return false };
    let opening = Opening {
        source: client,
        source_port: SOURCE_PORT,
        destination,
        port,
        network: space(documents, subnet.as_ref()),
        groups: references(configuration.properties, "applicationSecurityGroups").collect(),
    };
    let admits = |group: &Id| documents.get(group).is_some_and(|document| flow::admits(document, &opening));
    if groups.is_empty() { is_open } else { groups.iter().all(admits) }
}

fn space(documents: &Documents<'_>, subnet: Option<&Id>) -> Vec<Prefix> {
    let network = subnet.and_then(documents::split).and_then(|(network, _, _)| documents.get(&network));
    network
        .and_then(|network| network.get("properties")?.get("addressSpace"))
        .map(subnet::of)
        .unwrap_or_default()
}

/// Any port that clients connect from.
const SOURCE_PORT: u16 = 50_000;
