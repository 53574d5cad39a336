//! A world's load balancer, with nothing in it that Azure would not have taken.

use std::collections::BTreeMap;

use cnamed::model::endpoint::{Handle, Provisioning, PublicIp};
use cnamed::model::gateway::{
    Balancing, Frontend, Gateway, HeldNatRule, HeldPool, LoadBalancer, NetworkInterface, Ports, Protocol,
};
use cnamed::model::resource_id::ResourceId;

use super::super::world::{owner, version};
use super::{HeldBalancer, interface_id, rule_name};

pub(super) fn empty(id: &ResourceId, internal: bool) -> LoadBalancer {
    let public_ip = (!internal).then(|| ResourceId::new("/ips/theirs"));
    LoadBalancer {
        location: "westeurope".into(),
        frontends: vec![Frontend { name: "theirs".into(), public_ip }],
        pools: vec![HeldPool { name: "theirs".into(), members: [].into(), addresses: false }],
        version: version("balancer"),
        ..LoadBalancer::empty(id.clone())
    }
}

/// The load balancer, and whether the endpoint's public IP is in front of it.
pub(super) fn build(
    at: usize,
    name: &Handle,
    gateway: &Gateway,
    held: &HeldBalancer,
    interfaces: &mut BTreeMap<ResourceId, NetworkInterface>,
    ip: Option<&PublicIp>,
) -> (LoadBalancer, bool) {
    let id = &gateway.load_balancer;
    let mut balancer = LoadBalancer { mark: held.mark.map(owner), ..empty(id, held.internal) };
    balancer.provisioning = held.provisioning;
    if held.mark == Some("ops") {
        balancer.frontends.clear();
        balancer.pools.clear();
    }
    if held.basic {
        balancer.sku = "Basic".into();
    }
    let marked = |name: &str| format!("cnamed_ops_{name}");
    // An address that is attached elsewhere is in front of nothing else.
    let fronted = held.frontend > 0 && !held.internal && ip.is_some_and(|ip| ip.attached_to.is_none());
    if fronted {
        let name = if held.frontend == 1 { marked(name.as_str()) } else { "front".into() };
        balancer.frontends.push(Frontend { name, public_ip: Some(gateway.public_ip.clone()) });
    } else if held.frontend == 1 && !held.internal {
        // Pointed elsewhere.
        let public_ip = Some(ResourceId::new("/ips/elsewhere"));
        balancer.frontends.push(Frontend { name: marked(name.as_str()), public_ip });
    }
    let Some(front) = balancer.frontends.last().map(|frontend| balancer.frontend_id(&frontend.name)) else {
        return (balancer, fronted);
    };
    let mut place = |balancer: &mut LoadBalancer, name: &str, members: &[usize]| {
        let mut pool = HeldPool { name: name.into(), members: [].into(), addresses: false };
        for which in members {
            let Some(interface) = interfaces.get_mut(&interface_id(at, *which)) else { continue };
            interface.configurations[0].pools.insert(balancer.pool_id(name));
            pool.members.extend(interface.primary_id());
        }
        balancer.pools.push(pool);
    };
    for (which, (pool, rule, port, member)) in held.ours.iter().enumerate().filter(|(_, ours)| ours.0) {
        assert!(pool);
        let name = marked(&rule_name(at, which));
        place(&mut balancer, &name, &member.iter().copied().collect::<Vec<_>>());
        let backend = if which == 2 { 22 } else { 3389 };
        if *rule {
            let rule = nat_rule(&name, &front, *port, backend, Some(balancer.pool_id(&name)));
            add(&mut balancer, rule, *member);
        }
    }
    for (which, (first, port, backend, member)) in held.others.iter().enumerate() {
        let name = format!("theirs-{which}");
        if *first {
            let Some(interface) = interfaces.get_mut(&interface_id(at, *member)) else { continue };
            let mut rule = nat_rule(&name, &front, *port, *backend, None);
            rule.target = interface.primary_id();
            if add(&mut balancer, rule, Some(*member)) {
                interface.configurations[0].nat_rules.insert(id.part("inboundNatRules", &name));
            }
        } else {
            let rule = nat_rule(&name, &front, *port, *backend, Some(balancer.pool_id(&name)));
            if fits(&balancer, &rule) {
                let mut pool = HeldPool { name: name.clone(), members: [].into(), addresses: false };
                if let Some(interface) = interfaces.get_mut(&interface_id(at, *member)) {
                    let machine = interface.primary_id().unwrap();
                    if balancer.rival(&rule, &machine).is_none() {
                        interface.configurations[0].pools.insert(balancer.pool_id(&name));
                        pool.members.insert(machine);
                    }
                }
                balancer.pools.push(pool);
                balancer.nat_rules.push(rule);
            }
        }
    }
    if let Some(port) = held.balanced {
        let rule = nat_rule("web", &front, port, port, None);
        if fits(&balancer, &rule) {
            balancer.frontend_users.insert(front.clone(), "web".into());
            balancer.other_ports.push(("web".into(), Protocol::Tcp, front.clone(), Ports::one(port)));
        }
    }
    if let (Some(_), Some(pool)) = (held.balanced, balancer.pools.first()) {
        let pools = [balancer.pool_id(&pool.name)].into();
        let web =
            Balancing { name: "web".into(), protocol: Some(Protocol::Tcp), ports: Ports::one(3389), pools };
        balancer.pool_users.extend(web.pools.iter().map(|pool| (pool.clone(), "web".to_owned())));
        balancer.balancing.push(web);
        let machines: Vec<ResourceId> = balancer.pools.iter().flat_map(|pool| pool.members.clone()).collect();
        let twice = |rule: &HeldNatRule| {
            let leads = |machine: &&ResourceId| match &rule.pool {
                Some(id) => balancer
                    .pools
                    .iter()
                    .any(|pool| balancer.pool_id(&pool.name) == *id && pool.members.contains(*machine)),
                None => rule.target.as_ref() == Some(*machine),
            };
            machines.iter().filter(leads).any(|machine| balancer.rival(rule, machine).is_some())
        };
        if balancer.nat_rules.iter().any(twice) {
            balancer.balancing.clear();
            balancer.pool_users.clear();
        }
    }
    if let (true, Some(pool)) = (held.outbound, balancer.pools.first()) {
        let pool = balancer.pool_id(&pool.name);
        balancer.outbound.insert(pool.clone());
        balancer.pool_users.insert(pool, "out".into());
        balancer.frontend_users.entry(front).or_insert("out".into());
    }
    (balancer, fronted)
}

fn nat_rule(
    name: &str,
    front: &ResourceId,
    port: u16,
    backend: u16,
    pool: Option<ResourceId>,
) -> HeldNatRule {
    HeldNatRule {
        name: name.into(),
        protocol: Some(Protocol::Tcp),
        frontend: front.clone(),
        ports: Ports::one(port),
        backend_port: backend,
        pool,
        target: None,
        idle_timeout_minutes: 4,
        floating: false,
        provisioning: Provisioning::Succeeded,
    }
}

fn fits(balancer: &LoadBalancer, rule: &HeldNatRule) -> bool {
    balancer.taken(rule).is_none()
}

/// Adds a rule that Azure would take.
fn add(balancer: &mut LoadBalancer, rule: HeldNatRule, member: Option<usize>) -> bool {
    let at = balancer.id.name().trim_start_matches("lb-").parse().unwrap();
    let machine = member.map(|which| interface_id(at, which).part("ipConfigurations", "ipconfig1"));
    let fits =
        fits(balancer, &rule) && machine.is_none_or(|machine| balancer.rival(&rule, &machine).is_none());
    if fits {
        balancer.nat_rules.push(rule);
    }
    fits
}
