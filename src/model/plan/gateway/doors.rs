//! What is told of the doors that others have there, and of what serves as it is.

use super::{Note, Piece, Site, Subject, access};
use crate::model::endpoint::{Endpoint, PublicIp};
use crate::model::gateway::admission::decides;
use crate::model::gateway::{
    Access, HeldNatRule, NatRule, SecurityGroup, SecurityRule, Source, is_marked, marked, same_name,
};
use crate::model::plan::GroupChange;
use crate::model::plan::derive::Planner;
use crate::model::resource_id::ResourceId;

impl<'p> Planner<'p> {
    fn note(&mut self, site: &Site<'p>, piece: Piece, text: String) {
        self.plan.notes.push(Note { subject: Subject::Gateway(site.endpoint.name.clone(), piece), text });
    }

    /// Notes who gets to `rule`'s port beside those whom `access` names, and who of those may not, once `ours` stands in
    /// its group.
    pub(super) fn doors(
        &mut self,
        site: &Site<'p>,
        rule: &NatRule,
        access: &Access,
        ours: Option<&SecurityRule>,
    ) {
        let Some(interface) = site.state.interface(&rule.network_interface) else { return };
        let way = format!("port {} of {}", rule.backend_port, interface.id.name());
        for group in site.state.groups_before(interface) {
            let at = || Piece::SecurityGroup(group.id.name().to_owned());
            for (by, sources) in self.uninvited(site, rule, access, group) {
                let sources = listed(sources);
                let text = format!(
                    "lets {sources} in to {way} by {by}, and allow_from of {} does not name that",
                    rule.name
                );
                self.note(site, at(), text);
            }
            let ours = ours.filter(|_| group.id == access.network_security_group);
            for source in access.from.sources() {
                let visit = rule.visit(&source, Some(interface));
                let others = group
                    .rules
                    .iter()
                    .filter(|one| ours.is_none_or(|ours| !same_name(&ours.name, &one.name)));
                let rules: Vec<&SecurityRule> = others.chain(ours).collect();
                let Some(by) = decides(rules.iter().copied(), visit).filter(|by| by.allow) else { continue };
                let before = |one: &&&SecurityRule| {
                    !one.allow && one.priority < by.priority && one.may_fit(visit) && !one.fits(visit)
                };
                if let Some(denial) = rules.iter().find(before) {
                    let text = format!(
                        "may keep a part of {source} out of {way} by {}, which comes first",
                        denial.name
                    );
                    self.note(site, at(), text);
                }
            }
        }
    }

    /// The rules of others in `group` that let in to `rule`'s machine whom `access` does not name, and whom.
    fn uninvited(
        &self,
        site: &Site<'p>,
        rule: &NatRule,
        access: &Access,
        group: &'p SecurityGroup,
    ) -> Vec<(&'p str, Vec<&'p Source>)> {
        let named = access.from.sources();
        let machine =
            site.state.interface(&rule.network_interface).and_then(|interface| interface.primary()?.address);
        let ipv6 = machine.is_some_and(|machine| machine.is_ipv6());
        let lets_in = |by: &SecurityRule, source: &Source| {
            let doors = site.state.lets_in(rule, source).unwrap_or_default();
            doors.iter().any(|(other, one)| other.id == group.id && same_name(&one.name, &by.name))
        };
        let extra = |by: &'p SecurityRule| {
            let sources = by.sources.iter().filter(|source| {
                source.comes_from_outside()
                    && !named.iter().any(|named| named.covers(source, ipv6))
                    && lets_in(by, source)
            });
            let sources: Vec<&Source> = sources.collect();
            (!sources.is_empty()).then_some((by.name.as_str(), sources))
        };
        group.foreign(&self.desired.owner).filter(|by| by.allow).filter_map(extra).collect()
    }

    /// Notes that others let in whom `access` names, so that nothing is made for `name`.
    pub(super) fn served(
        &mut self,
        site: &Site<'p>,
        rule: &NatRule,
        access: &Access,
        group: &SecurityGroup,
        name: String,
    ) {
        let interface = site.state.interface(&rule.network_interface);
        let mut by: Vec<&str> = Vec::new();
        for source in access.from.sources() {
            let decided = decides(group.foreign(&self.desired.owner), rule.visit(&source, interface));
            by.extend(decided.map(|decided| decided.name.as_str()).filter(|name| !by.contains(name)));
        }
        let text = format!("is not made, since {} lets in whom {} names", by.join(" and "), rule.name);
        self.note(site, Piece::SecurityRule(name), text);
    }

    /// Notes in what a NAT rule of others that serves `rule` is not as ours would be.
    pub(super) fn adopted(&mut self, site: &Site<'p>, rule: &NatRule, serving: &HeldNatRule, name: &str) {
        let by = &serving.name;
        let mut told = Vec::new();
        if serving.pool.is_none() {
            told.push("is of version 1, which Azure retires on 30 September 2027".to_owned());
        }
        if serving.idle_timeout_minutes != rule.idle_timeout_minutes {
            let (held, wanted) = (serving.idle_timeout_minutes, rule.idle_timeout_minutes);
            told.push(format!("keeps idle connections for {held} minutes, not {wanted}"));
        }
        if serving.protocol.is_none() {
            told.push(format!("leads every protocol there, not {} alone", rule.protocol));
        }
        for text in told {
            self.note(site, Piece::NatRule(name.to_owned()), format!("{by} does it, and {text}"));
        }
    }

    /// Notes that the public IP stands before a load balancer that the configuration does not name.
    pub(in crate::model::plan) fn unwatched(&mut self, endpoint: &Endpoint, ip: &PublicIp) {
        let user = ip.attached_to.as_deref().map(ResourceId::new);
        let balancer = user.filter(|user| user.as_str().to_ascii_lowercase().contains("/loadbalancers/"));
        if let (None, Some(balancer)) = (&endpoint.gateway, balancer) {
            let name = balancer.name().to_owned();
            let text = format!(
                "it stands before the load balancer {name}, of which the configuration says nothing; what is behind it is neither looked at nor taken down"
            );
            self.plan.notes.push(Note { subject: Subject::PublicIp(endpoint.name.clone()), text });
        }
    }

    /// Notes what follows from how the endpoint's parts stand to each other.
    pub(super) fn standing(&mut self, site: &Site<'p>) {
        let owner = &self.desired.owner;
        for rule in site.gateway.nat_rules.iter().filter(|rule| rule.access.is_none()) {
            let Some(interface) = site.state.interface(&rule.network_interface) else { continue };
            let kept = access::grouping(site.gateway, site.state, interface) == GroupChange::Kept;
            if kept && interface.group.is_none() && site.state.subnet_group(interface).is_none() {
                let text = format!(
                    "leads to a closed door: {} is behind no security group, and a Standard load balancer lets nobody in then; name one as network_security_group of {}",
                    interface.id.name(),
                    rule.name
                );
                self.note(site, Piece::NatRule(marked(owner, &rule.name)), text);
            }
        }
        let ip = self.observed.public_ip(&site.endpoint.name);
        let ours = ip.is_some_and(|ip| ip.mark.as_ref() == Some(owner));
        let held = site.state.load_balancer.present();
        let front = held.and_then(|held| held.frontend_of(&site.gateway.public_ip));
        if let Some(front) = front.filter(|front| ours && !is_marked(owner, &front.name)) {
            let text = format!(
                "its frontend {}, which is not ours, stands on the public IP, which is: a teardown will be refused until that is taken off",
                front.name
            );
            self.note(site, Piece::LoadBalancer(site.gateway.load_balancer.name().to_owned()), text);
        }
    }
}

fn listed(sources: Vec<&Source>) -> String {
    sources.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
