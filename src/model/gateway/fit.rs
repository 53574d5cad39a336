//! Whether what is held serves what is wanted, and what stands in its way.

use super::admission::{ANY, Visit, decides};
use super::{
    Access, Frontend, Gateway, GatewayState, HeldNatRule, LoadBalancer, NatRule, NetworkInterface, Ports,
    Protocol, SecurityGroup, SecurityRule, Source, is_marked, marked, same_name,
};
use crate::model::endpoint::Provisioning;
use crate::model::record::{Owner, Version};
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;

/// What leads to a port of a machine that another rule shall lead to.
#[derive(Clone, Copy, Debug)]
pub struct Rival<'l> {
    /// Its name.
    pub name: &'l str,
    /// Where it is a NAT rule, and not a load-balancing rule.
    pub nat: Option<&'l HeldNatRule>,
}

/// One port of a machine that shall be open, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Door<'d> {
    /// Whose rule opens it.
    pub owner: &'d Owner,
    /// To whom.
    pub access: &'d Access,
    /// What leads to it.
    pub rule: &'d NatRule,
    /// The machine's network interface, where it is known.
    pub interface: Option<&'d NetworkInterface>,
}

impl Door<'_> {
    /// The name of the rule that opens it.
    fn marked(&self) -> String {
        marked(self.owner, &self.rule.name)
    }

    /// A connection to it from everything that `source` stands for.
    fn visit<'v>(&self, source: &'v Source) -> Visit<'v> {
        self.rule.visit(source, self.interface)
    }

    /// The first source that `rules` do not let in, and the rule that refuses it, if one does.
    pub fn shut_by<'r>(
        &self,
        rules: impl Iterator<Item = &'r SecurityRule> + Clone,
    ) -> Option<(Source, Option<&'r SecurityRule>)> {
        self.access.from.sources().into_iter().find_map(|source| {
            match decides(rules.clone(), self.visit(&source)) {
                Some(decided) if decided.allow => None,
                decided => Some((source, decided)),
            }
        })
    }
}

impl LoadBalancer {
    /// One without anything in it.
    #[must_use]
    pub fn empty(id: ResourceId) -> Self {
        Self {
            id,
            location: String::new(),
            sku: "Standard".into(),
            frontends: Vec::new(),
            pools: Vec::new(),
            nat_rules: Vec::new(),
            other_ports: Vec::new(),
            pool_users: [].into(),
            frontend_users: [].into(),
            balancing: Vec::new(),
            nat_pools: [].into(),
            outbound: [].into(),
            provisioning: Provisioning::Succeeded,
            mark: None,
            version: Version(String::new()),
        }
    }

    /// The frontend that carries `public_ip`.
    #[must_use]
    pub fn frontend_of(&self, public_ip: &ResourceId) -> Option<&Frontend> {
        self.frontends.iter().find(|frontend| frontend.public_ip.as_ref() == Some(public_ip))
    }

    /// The id of one of its frontends.
    #[must_use]
    pub fn frontend_id(&self, name: &str) -> ResourceId {
        self.id.part(FRONTENDS, name)
    }

    /// A NAT rule of somebody else's that does all that `rule` shall do.
    #[must_use]
    pub fn serving(
        &self,
        owner: &Owner,
        public_ip: &ResourceId,
        rule: &NatRule,
        state: &GatewayState,
    ) -> Option<&HeldNatRule> {
        let frontend = self.frontend_id(&self.frontend_of(public_ip)?.name);
        let machine = state.interface(&rule.network_interface)?.primary_id()?;
        let foreign = |held: &&HeldNatRule| !is_marked(owner, &held.name);
        self.nat_rules.iter().filter(foreign).find(|held| {
            held.frontend == frontend
                && held.protocol.is_none_or(|protocol| protocol == rule.protocol)
                && held.ports == Ports::one(rule.frontend_port)
                && held.backend_port == rule.backend_port
                && !held.floating
                && self.reaches(held, &machine)
        })
    }

    /// Whether `rule` leads to `machine`, an IP configuration, and to nothing else.
    fn reaches(&self, rule: &HeldNatRule, machine: &ResourceId) -> bool {
        match (&rule.pool, &rule.target) {
            (Some(pool), _) => {
                let held = self.pools.iter().find(|held| self.pool_id(&held.name) == *pool);
                held.is_some_and(|held| !held.addresses && held.members.iter().eq([machine]))
            }
            (None, Some(target)) => target == machine,
            (None, None) => false,
        }
    }

    /// The id of one of its pools.
    #[must_use]
    pub fn pool_id(&self, name: &str) -> ResourceId {
        self.id.part(POOLS, name)
    }

    /// What listens already where `rule` shall, by name.
    #[must_use]
    pub fn taken(&self, rule: &HeldNatRule) -> Option<&str> {
        let nat = self.nat_rules.iter().find(|held| !same_name(&held.name, &rule.name) && held.meets(rule));
        let other = self.other_ports.iter().find(|(_, protocol, at, ports)| {
            *at == rule.frontend && rule.speaks(*protocol) && ports.overlap(rule.ports)
        });
        nat.map(|held| held.name.as_str()).or_else(|| other.map(|(name, ..)| name.as_str()))
    }

    /// The NAT rule or load-balancing rule that leads to the same port of `machine`, an IP configuration, as `rule`
    /// shall. Azure has one only, where no floating IP is used
    /// ("RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig").
    #[must_use]
    pub fn rival(&self, rule: &HeldNatRule, machine: &ResourceId) -> Option<Rival<'_>> {
        let member = |pool: &ResourceId| {
            self.pools.iter().any(|one| self.pool_id(&one.name) == *pool && one.members.contains(machine))
        };
        let nat = self.nat_rules.iter().find(|held| {
            !same_name(&held.name, &rule.name)
                && held.backend_port == rule.backend_port
                && rule.protocol.is_none_or(|protocol| held.speaks(protocol))
                && match &held.pool {
                    Some(pool) => member(pool),
                    None => held.target.as_ref() == Some(machine),
                }
        });
        let balancing = || {
            self.balancing.iter().find(|held| {
                held.ports.contains(rule.backend_port)
                    && held.protocol.is_none_or(|protocol| rule.speaks(protocol))
                    && held.pools.iter().any(member)
            })
        };
        nat.map(|held| Rival { name: &held.name, nat: Some(held) })
            .or_else(|| balancing().map(|held| Rival { name: &held.name, nat: None }))
    }

    /// What of others leads to the pool, by name.
    #[must_use]
    pub fn pool_user(&self, owner: &Owner, pool: &str) -> Option<&str> {
        let id = self.pool_id(pool);
        let foreign = |held: &&HeldNatRule| !is_marked(owner, &held.name);
        let rule = self.nat_rules.iter().filter(foreign).find(|held| held.pool.as_ref() == Some(&id));
        rule.map(|held| &held.name).or_else(|| self.pool_users.get(&id)).map(String::as_str)
    }

    /// What of others stands on the frontend, by name.
    #[must_use]
    pub fn frontend_user(&self, owner: &Owner, frontend: &str) -> Option<&str> {
        let id = self.frontend_id(frontend);
        let foreign = |held: &&HeldNatRule| !is_marked(owner, &held.name);
        let rule = self.nat_rules.iter().filter(foreign).find(|held| held.frontend == id);
        rule.map(|held| &held.name).or_else(|| self.frontend_users.get(&id)).map(String::as_str)
    }

    /// The first thing in it that `owner` did not make, by name.
    #[must_use]
    pub fn of_others(&self, owner: &Owner) -> Option<&str> {
        let parts = (self.nat_rules.iter().map(|rule| &rule.name))
            .chain(self.pools.iter().map(|pool| &pool.name))
            .chain(self.frontends.iter().map(|frontend| &frontend.name))
            .filter(|name| !is_marked(owner, name));
        let users = self.pool_users.values().chain(self.frontend_users.values());
        parts.chain(users).map(String::as_str).next()
    }
}

impl HeldNatRule {
    /// Whether it is about `protocol`.
    fn speaks(&self, protocol: Protocol) -> bool {
        self.protocol.is_none_or(|own| own == protocol)
    }

    /// Whether both listen on one port of one frontend.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.frontend == other.frontend
            && other.protocol.is_none_or(|protocol| self.speaks(protocol))
            && self.ports.overlap(other.ports)
    }
}

impl GatewayState {
    /// A network interface, if it was seen.
    #[must_use]
    pub fn interface(&self, id: &ResourceId) -> Option<&NetworkInterface> {
        self.interfaces.get(id).and_then(Seen::present)
    }

    /// A security group, if it was seen.
    #[must_use]
    pub fn group(&self, id: &ResourceId) -> Option<&SecurityGroup> {
        self.groups.get(id).and_then(Seen::present)
    }

    /// The security group of the subnet that `interface` is in.
    #[must_use]
    pub fn subnet_group(&self, interface: &NetworkInterface) -> Option<&ResourceId> {
        let subnet = interface.primary()?.subnet.as_ref()?;
        self.subnets.get(subnet).and_then(Seen::present)?.group.as_ref()
    }
}

impl SecurityGroup {
    /// A group that is still to be made.
    #[must_use]
    pub fn empty(id: ResourceId) -> Self {
        Self {
            id,
            location: String::new(),
            rules: Vec::new(),
            users: [].into(),
            provisioning: Provisioning::Succeeded,
            mark: None,
            version: Version(String::new()),
        }
    }

    /// The rules that `owner` did not make.
    pub fn foreign(&self, owner: &Owner) -> impl Iterator<Item = &SecurityRule> + Clone {
        self.rules.iter().filter(move |rule| !is_marked(owner, &rule.name))
    }

    /// The rule called `name`.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&SecurityRule> {
        self.rules.iter().find(|rule| same_name(&rule.name, name))
    }

    /// Whether the rules of others let everybody in whom `access` names, so that none of `owner`'s is needed. What
    /// `owner` lets in may go with this very plan; what carries its mark and refuses may stay.
    #[must_use]
    pub fn serves(&self, door: Door<'_>) -> bool {
        let ours = door.marked();
        let counts = |held: &&SecurityRule| {
            !is_marked(door.owner, &held.name) || (!held.allow && !same_name(&held.name, &ours))
        };
        door.shut_by(self.rules.iter().filter(counts)).is_none()
    }

    /// The priority for a rule of `owner`'s: the configured one, the one that it has, or the first free one; before
    /// every rule of others that would refuse it. `None` when there is none.
    #[must_use]
    pub fn place(&self, door: Door<'_>, planned: &[u16]) -> Option<u16> {
        door.access.priority.or_else(|| self.free_place(door, planned))
    }

    /// As [`Self::place`], whatever is configured.
    #[must_use]
    pub fn free_place(&self, door: Door<'_>, planned: &[u16]) -> Option<u16> {
        let ours = door.marked();
        let occupied = |priority: u16| {
            let at = |held: &&SecurityRule| held.inbound && held.priority == priority;
            self.rules.iter().filter(at).any(|held| !same_name(&held.name, &ours))
        };
        let taken = |priority: u16| planned.contains(&priority) || occupied(priority);
        let end = self.first_refusal(door).map_or(GREATEST + 1, |refusal| refusal.priority);
        let held = self.rule(&ours).filter(|held| held.inbound).map(|held| held.priority);
        let free = (LEAST..end).find(|priority| !taken(*priority));
        held.filter(|priority| *priority < end && !taken(*priority)).or(free)
    }

    /// The first other rule that may refuse somebody in one of the sources, wherever ours stands: what ours comes before,
    /// to be sure.
    #[must_use]
    pub fn first_refusal(&self, door: Door<'_>) -> Option<&SecurityRule> {
        self.first_denying(door, SecurityRule::may_fit)
    }

    /// The first other rule that refuses all of one of the sources, wherever ours stands.
    #[must_use]
    pub fn first_certain_refusal(&self, door: Door<'_>) -> Option<&SecurityRule> {
        self.first_denying(door, SecurityRule::fits)
    }

    fn first_denying(
        &self,
        door: Door<'_>,
        is_about: impl Fn(&SecurityRule, Visit<'_>) -> bool,
    ) -> Option<&SecurityRule> {
        let sources = door.access.from.sources();
        let ours = door.marked();
        let refuses = |held: &&SecurityRule| {
            !held.allow
                && !same_name(&held.name, &ours)
                && sources.iter().any(|source| is_about(held, door.visit(source)))
        };
        self.rules.iter().filter(refuses).min_by_key(|held| held.priority)
    }
}

impl SecurityRule {
    /// Whether both say the same, in whatever order and case.
    #[must_use]
    pub fn says(&self, other: &Self) -> bool {
        let sorted = |sources: &[Source]| {
            let mut texts: Vec<String> =
                sources.iter().map(|source| source.to_string().to_ascii_lowercase()).collect();
            texts.sort();
            texts.dedup();
            texts
        };
        let rest = |rule: &Self| {
            let mut ports = rule.ports.clone();
            ports.sort();
            ports.dedup();
            (rule.priority, rule.inbound, rule.allow, rule.protocol, rule.any_source_port, ports)
        };
        rest(self) == rest(other)
            && sorted(&self.sources) == sorted(&other.sources)
            && sorted(&self.destinations) == sorted(&other.destinations)
    }
}

/// The rule that lets in whom `access` names.
#[must_use]
pub fn security_rule(owner: &Owner, access: &Access, rule: &NatRule, priority: u16) -> SecurityRule {
    let mut sources = access.from.sources();
    sources.sort();
    sources.dedup();
    SecurityRule {
        name: marked(owner, &rule.name),
        priority,
        inbound: true,
        allow: true,
        protocol: Some(rule.protocol),
        sources,
        any_source_port: true,
        destinations: vec![Source::Tag(ANY.to_owned())],
        ports: vec![Ports::one(rule.backend_port)],
    }
}

/// The NAT rule that leads from `frontend` to the pool of the same name.
#[must_use]
pub fn nat_rule(owner: &Owner, gateway: &Gateway, rule: &NatRule, frontend: &str) -> HeldNatRule {
    let name = marked(owner, &rule.name);
    HeldNatRule {
        protocol: Some(rule.protocol),
        frontend: gateway.load_balancer.part(FRONTENDS, frontend),
        ports: Ports::one(rule.frontend_port),
        backend_port: rule.backend_port,
        pool: Some(gateway.load_balancer.part(POOLS, &name)),
        target: None,
        idle_timeout_minutes: rule.idle_timeout_minutes,
        floating: false,
        provisioning: Provisioning::Succeeded,
        name,
    }
}

/// The collection of frontends in a load balancer's id.
pub const FRONTENDS: &str = "frontendIPConfigurations";
/// The collection of pools in a load balancer's id.
pub const POOLS: &str = "backendAddressPools";
/// The least priority of a security rule.
pub const LEAST: u16 = 100;
/// The greatest.
pub const GREATEST: u16 = 4096;
