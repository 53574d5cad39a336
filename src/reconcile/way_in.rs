//! The last link of a chain: through the port, as far as the service's own greeting.

use std::net::{IpAddr, SocketAddr};

use futures::future::join_all;

use super::round::{Link, LinkState, WayIn};
use super::{Event, Reconciler, Watch};
use crate::model::endpoint::Endpoint;
use crate::model::gateway::fit::POOLS;
use crate::model::gateway::{Gateway, GatewayState, LoadBalancer, NatRule, Protocol, marked};
use crate::model::greeting::Service;
use crate::model::record::Owner;
use crate::model::state::{Desired, Observed, Seen};
use crate::probe::Finding;
use crate::provider::{Error, Mapping};

impl Reconciler {
    /// Every port that shall lead to a machine: what Azure maps it to, and who greets there.
    pub(super) async fn ways_in(
        &self,
        desired: &Desired,
        observed: &Observed,
        watch: &dyn Watch,
    ) -> Vec<WayIn> {
        let doors = desired.endpoints.values().flat_map(|endpoint| {
            let rules = endpoint
                .gateway
                .iter()
                .flat_map(|gateway| gateway.nat_rules.iter().map(move |rule| (gateway, rule)));
            rules.map(move |(gateway, rule)| (endpoint, gateway, rule))
        });
        let looked = doors.map(|(endpoint, gateway, rule)| async move {
            let port = self.port(&desired.owner, observed, (endpoint, gateway, rule), watch).await;
            WayIn {
                endpoint: endpoint.name.clone(),
                rule: rule.name.clone(),
                frontend_port: rule.frontend_port,
                backend_port: rule.backend_port,
                port,
            }
        });
        join_all(looked).await
    }

    async fn port(
        &self,
        owner: &Owner,
        observed: &Observed,
        (endpoint, gateway, rule): (&Endpoint, &Gateway, &NatRule),
        watch: &dyn Watch,
    ) -> Link {
        let link = |state, detail: String| Link::new(format!("port {}", rule.frontend_port), state, detail);
        let Some(state) = observed.endpoints.get(&endpoint.name).and_then(|state| state.gateway.as_ref())
        else {
            return link(LinkState::Unknown, "what stands behind the public IP was not read".into());
        };
        let mapped = match way(owner, gateway, rule, state) {
            Ok(Way::Ours) => {
                let name = marked(owner, &rule.name);
                let pool = gateway.load_balancer.part(POOLS, &name);
                let mapping = self.network.mapping(&pool, &rule.network_interface, &name).await;
                match mapping_state(rule, mapping) {
                    Ok(()) => format!("to {} of {}", rule.backend_port, rule.network_interface.name()),
                    Err((state, detail)) => return link(state, detail),
                }
            }
            Ok(Way::Theirs(name)) => {
                format!("to {} of {} by {name}", rule.backend_port, rule.network_interface.name())
            }
            Err((state, detail)) => return link(state, detail),
        };
        let Some(address) = observed.public_ip(&endpoint.name).and_then(|ip| ip.address) else {
            return link(LinkState::Pending, format!("leads {mapped}, once the public IP has an address"));
        };
        if rule.protocol == Protocol::Udp {
            return link(LinkState::Whole, format!("leads {mapped}, as Azure says; UDP has no greeting"));
        }
        watch.event(Event::Probing(endpoint, rule));
        let finding = self
            .prober
            .greet(SocketAddr::new(address, rule.frontend_port), Service::of(rule.backend_port))
            .await;
        let state = match finding.is_open() {
            Some(true) => LinkState::Whole,
            Some(false) => LinkState::Broken,
            None => LinkState::Unknown,
        };
        let hint = hint(&finding, rule, address);
        link(state, format!("leads {mapped}; {finding}{hint}"))
    }
}

/// Who leads the port to the machine.
enum Way<'w> {
    Ours,
    Theirs(&'w str),
}

fn way<'w>(
    owner: &Owner,
    gateway: &Gateway,
    rule: &NatRule,
    state: &'w GatewayState,
) -> Result<Way<'w>, (LinkState, String)> {
    let balancer: &LoadBalancer = match &state.load_balancer {
        Seen::Present(balancer) => balancer,
        Seen::Absent => return Err((LinkState::Broken, "the load balancer does not exist".into())),
        Seen::Unknown(reason) => return Err((LinkState::Unknown, reason.clone())),
    };
    let ours = marked(owner, &rule.name);
    if balancer.nat_rules.iter().any(|held| held.name == ours) {
        return Ok(Way::Ours);
    }
    match balancer.serving(owner, &gateway.public_ip, rule, state) {
        Some(theirs) => Ok(Way::Theirs(&theirs.name)),
        None => Err((LinkState::Broken, "no NAT rule leads it to the machine".into())),
    }
}

fn mapping_state(rule: &NatRule, mapping: Result<Option<Mapping>, Error>) -> Result<(), (LinkState, String)> {
    let machine = rule.network_interface.name();
    match mapping {
        Ok(Some(mapping))
            if (mapping.frontend_port, mapping.backend_port) == (rule.frontend_port, rule.backend_port) =>
        {
            Ok(())
        }
        Ok(Some(Mapping { frontend_port, backend_port })) => Err((
            LinkState::Broken,
            format!("Azure leads {frontend_port} to {backend_port} of {machine} instead"),
        )),
        Ok(None) => {
            Err((LinkState::Broken, format!("Azure leads it nowhere: {machine} is not in the rule's pool")))
        }
        Err(error) => Err((LinkState::Unknown, error.chain())),
    }
}

/// What to look at when nobody answers.
fn hint(finding: &Finding, rule: &NatRule, address: IpAddr) -> String {
    match (finding, &rule.access) {
        (Finding::Silent { .. }, Some(access)) => {
            let sources: Vec<String> = access.from.sources().iter().map(ToString::to_string).collect();
            format!(" (asked at {address}; it is open to {} only)", sources.join(", "))
        }
        _ => String::new(),
    }
}
