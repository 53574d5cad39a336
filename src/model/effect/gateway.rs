//! What a change to a gateway would leave behind.

use crate::model::endpoint::{Provisioning, PublicIp};
use crate::model::gateway::{GatewayState, HeldPool, LoadBalancer, SecurityGroup, same_name};
use crate::model::plan::{
    GatewayChange, GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Part,
    SecurityGroupChange, SecurityRuleChange,
};
use crate::model::record::{Owner, Version};
use crate::model::resource_id::ResourceId;
use crate::model::state::{Observed, Seen};

impl Observed {
    /// The endpoint sees the change, and so does every other where it is to something that endpoints share.
    pub(super) fn build(&mut self, owner: &Owner, change: &GatewayChange) {
        let shared = matches!(change.part, Part::SecurityGroup(_) | Part::SecurityRule(_));
        for (endpoint, state) in &mut self.endpoints {
            let Some(gateway) = state.gateway.as_mut() else { continue };
            if shared || *endpoint == change.endpoint {
                gateway.make(owner, &change.part);
                if let (Part::LoadBalancer(change), Seen::Present(ip)) = (&change.part, &mut state.public_ip)
                {
                    front(ip, gateway, change);
                }
            } else if let Part::Interface(change) = &change.part {
                gateway.used(change);
            }
        }
    }
}

impl GatewayState {
    /// What would be seen once `part` was changed by `owner`.
    pub fn make(&mut self, owner: &Owner, part: &Part) {
        match part {
            Part::LoadBalancer(change) => self.balance(owner, change),
            Part::NatRule(change) => self.translate(change),
            Part::SecurityGroup(change) => self.found(owner, change),
            Part::SecurityRule(change) => self.admit(change),
            Part::Interface(change) => self.attach(change),
        }
    }

    fn balance(&mut self, owner: &Owner, change: &LoadBalancerChange) {
        if change.delete {
            self.load_balancer = Seen::Absent;
            return;
        }
        let mut after = match &self.load_balancer {
            Seen::Present(held) => held.clone(),
            Seen::Absent | Seen::Unknown(_) => fresh(owner, change),
        };
        for frontend in &change.frontends {
            match after.frontends.iter_mut().find(|held| same_name(&held.name, &frontend.name)) {
                Some(held) => held.clone_from(frontend),
                None => after.frontends.push(frontend.clone()),
            }
        }
        for pool in &change.pools {
            if !after.pools.iter().any(|held| same_name(&held.name, pool)) {
                after.pools.push(HeldPool { name: pool.clone(), members: [].into(), addresses: false });
            }
        }
        after.frontends.retain(|held| !change.without_frontends.contains(&held.name));
        after.pools.retain(|held| !change.without_pools.contains(&held.name));
        after.touched();
        self.load_balancer = Seen::Present(after);
    }

    fn translate(&mut self, change: &NatRuleChange) {
        let Seen::Present(balancer) = &mut self.load_balancer else { return };
        if let Some(held) = &change.held {
            balancer.nat_rules.retain(|rule| rule.name != held.name);
        }
        balancer.nat_rules.extend(change.wanted.clone());
        balancer.nat_rules.sort_by(|a, b| a.name.cmp(&b.name));
        balancer.touched();
    }

    fn found(&mut self, owner: &Owner, change: &SecurityGroupChange) {
        let Some(seen) = self.groups.get_mut(&change.id) else { return };
        *seen = match &change.held {
            Some(_) => Seen::Absent,
            None => Seen::Present(SecurityGroup {
                id: change.id.clone(),
                location: change.location.clone(),
                rules: Vec::new(),
                users: [].into(),
                provisioning: Provisioning::Succeeded,
                mark: Some(owner.clone()),
                version: imagined(),
            }),
        };
    }

    fn admit(&mut self, change: &SecurityRuleChange) {
        let Some(Seen::Present(group)) = self.groups.get_mut(&change.group) else { return };
        if let Some(held) = &change.held {
            group.rules.retain(|rule| rule.name != held.name);
        }
        group.rules.extend(change.wanted.clone());
        group.rules.sort_by(|a, b| a.name.cmp(&b.name));
        group.provisioning = Provisioning::Succeeded;
        group.version = imagined();
    }

    fn attach(&mut self, change: &InterfaceChange) {
        let id = &change.held.id;
        let Some(Seen::Present(interface)) = self.interfaces.get_mut(id) else { return };
        let primary = interface.primary().map(|one| one.name.clone());
        for configuration in &mut interface.configurations {
            configuration.pools.retain(|pool| !change.leave.contains(pool));
            if Some(&configuration.name) == primary.as_ref() {
                configuration.pools.extend(change.join.iter().cloned());
            }
        }
        match &change.group {
            GroupChange::Kept => {}
            GroupChange::Set(group) => interface.group = Some(group.clone()),
            GroupChange::Cleared => interface.group = None,
        }
        interface.provisioning = Provisioning::Succeeded;
        interface.version = imagined();
        let member = interface.primary_id();
        self.used(change);
        let (Seen::Present(balancer), Some(member)) = (&mut self.load_balancer, member) else { return };
        for pool in &mut balancer.pools {
            let pool_id = balancer.id.part("backendAddressPools", &pool.name);
            if change.join.contains(&pool_id) {
                pool.members.insert(member.clone());
            }
            if change.leave.contains(&pool_id) {
                pool.members.retain(|member| member.whole() != *id);
            }
        }
    }
}

impl GatewayState {
    /// What security groups know of who uses them.
    fn used(&mut self, change: &InterfaceChange) {
        let id = &change.held.id;
        match &change.group {
            GroupChange::Kept => {}
            GroupChange::Set(group) => {
                if let Some(Seen::Present(group)) = self.groups.get_mut(group) {
                    group.users.insert(id.clone());
                }
            }
            GroupChange::Cleared => {
                if let Some(Seen::Present(group)) =
                    change.held.group.as_ref().and_then(|group| self.groups.get_mut(group))
                {
                    group.users.remove(id);
                }
            }
        }
    }
}

impl LoadBalancer {
    fn touched(&mut self) {
        self.provisioning = Provisioning::Succeeded;
        self.version = imagined();
    }
}

/// What the public IP says of the load balancer that it stands in front of.
fn front(ip: &mut PublicIp, gateway: &GatewayState, change: &LoadBalancerChange) {
    let own = ResourceId::new(ip.id.as_str());
    let was_front = ip.attached_to.as_deref().map(ResourceId::new).as_ref() == Some(&change.id);
    let stays = gateway.load_balancer.present().is_some_and(|held| held.frontend_of(&own).is_some());
    let goes = change.delete || !change.without_frontends.is_empty();
    if !change.frontends.is_empty() {
        ip.attached_to = Some(change.id.to_string());
    } else if was_front && goes && !stays {
        ip.attached_to = None;
    }
}

fn fresh(owner: &Owner, change: &LoadBalancerChange) -> LoadBalancer {
    LoadBalancer {
        location: change.location.clone(),
        mark: Some(owner.clone()),
        ..LoadBalancer::empty(change.id.clone())
    }
}

fn imagined() -> Version {
    Version("imagined".into())
}
