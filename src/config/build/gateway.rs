//! `[endpoint.load_balancer]` and `[[endpoint.nat_rule]]`: what stands in front of an endpoint.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Build;
use super::value::{resource, resource_or_id};
use crate::config::at::At;
use crate::config::defaults;
use crate::config::file::{EndpointFile, NatRuleFile};
use crate::config::gateway::{Access, AllowFrom, Gateway, INTERNET, NatRule, Network};

impl Build<'_> {
    /// The gateway, if there is one; the outer `None` means that it is wrong.
    pub(super) fn gateway(&mut self, table: &Range<usize>, file: &EndpointFile) -> Option<Option<Gateway>> {
        let rules: Vec<_> = file.nat_rule.iter().map(|rule| self.nat_rule(rule)).collect();
        self.names(file.nat_rule.iter().map(|rule| rule.value.name.as_ref()), "the NAT rule");
        self.distinct_ports(&file.nat_rule);
        self.distinct_priorities(&file.nat_rule);
        match (&file.load_balancer, file.nat_rule.first()) {
            (Some(balancer), _) => {
                let name = balancer.value.name.as_ref()?;
                let name = self.parsed(name, resource, NAMING)?;
                Some(Some(Gateway {
                    load_balancer: name,
                    nat_rules: rules.into_iter().collect::<Option<_>>()?,
                }))
            }
            (None, Some(_)) if self.report.dropped(table, "load_balancer") => None,
            (None, Some(rule)) => {
                let problem = "a NAT rule needs a load balancer, and this endpoint has none";
                self.report.mistake(&rule.span, problem, "add [endpoint.load_balancer] with a `name`");
                None
            }
            (None, None) => Some(None),
        }
    }

    fn nat_rule(&mut self, file: &At<NatRuleFile>) -> Option<NatRule> {
        let (table, file) = (&file.span, &file.value);
        let name = file.name.as_ref().and_then(|name| self.parsed(name, resource, NAMING));
        let interface = file.network_interface.as_ref().and_then(|interface| {
            self.parsed(interface, |text| resource_or_id(text, "networkInterfaces"), NAMING_OR_ID)
        });
        let access = self.access(table, file);
        Some(NatRule {
            name: name?,
            protocol: file.protocol.as_ref().map(|at| at.value).unwrap_or_default(),
            frontend_port: file.frontend_port.as_ref()?.value,
            backend_port: file.backend_port.as_ref()?.value,
            network_interface: interface?,
            access: access?,
            idle_timeout_minutes: (file.idle_timeout_minutes.as_ref())
                .map_or(defaults::IDLE_TIMEOUT_MINUTES, |at| at.value),
        })
    }

    /// The security rule, if there is one; the outer `None` means that it is wrong.
    fn access(&mut self, table: &Range<usize>, file: &NatRuleFile) -> Option<Option<Access>> {
        if ["network_security_group", "allow_from"].iter().any(|key| self.report.dropped(table, key)) {
            return None;
        }
        match (&file.network_security_group, &file.allow_from) {
            (Some(group), Some(allowed)) => {
                let kind = "networkSecurityGroups";
                let group = self.parsed(group, |text| resource_or_id(text, kind), NAMING_OR_ID);
                let from = self.allow_from(allowed, file);
                let priority = file.priority.as_ref().map(|at| at.value);
                Some(Some(Access { network_security_group: group?, from: from?, priority }))
            }
            (Some(group), None) => {
                let problem = "a security rule needs to know who may connect";
                self.report.mistake(&group.span, problem, "add allow_from = [\"203.0.113.0/24\"]");
                None
            }
            (None, Some(allowed)) => {
                let problem = "`allow_from` needs a network security group to stand in";
                self.report.mistake(&allowed.span, problem, "add network_security_group = \"nsg-mgmt\"");
                None
            }
            (None, None) => {
                if let Some(priority) = &file.priority {
                    let problem = "`priority` has no effect: this NAT rule has no security rule";
                    self.report.warning(
                        &priority.span,
                        problem,
                        "add `network_security_group` and `allow_from`",
                    );
                }
                Some(None)
            }
        }
    }

    fn allow_from(&mut self, list: &At<Vec<At<String>>>, file: &NatRuleFile) -> Option<AllowFrom> {
        if let Some(internet) = list.value.iter().find(|text| text.value == INTERNET) {
            if list.value.len() > 1 {
                let problem = "\"internet\" is everybody already, so nothing can stand beside it";
                self.report.mistake(
                    &internet.span,
                    problem,
                    "write allow_from = [\"internet\"] or take it out",
                );
                return None;
            }
            if matches!(file.backend_port.as_ref().map(|port| port.value), Some(22 | 3389)) {
                let problem = "this opens a management port to the whole internet, where it will be attacked";
                self.report.warning(&internet.span, problem, "name the networks that need it");
            }
            return Some(AllowFrom::Internet);
        }
        let parse = |text: &str| match text.parse::<Network>() {
            Ok(network) if network.is_everything() => {
                Err(format!("\"{network}\" is the whole internet, which must be spelled \"internet\""))
            }
            other => other.map_err(|error| error.to_string()),
        };
        let networks =
            self.list("allow_from", list, parse, "write it as in allow_from = [\"203.0.113.0/24\"]")?;
        let family = networks.first().map(|network| network.address().is_ipv4());
        let other = networks.iter().position(|network| Some(network.address().is_ipv4()) != family);
        if let Some(stranger) = other.and_then(|at| list.value.get(at)) {
            let problem = "a security rule holds IPv4 or IPv6, not both";
            self.report.mistake(&stranger.span, problem, "keep one family");
            return None;
        }
        Some(AllowFrom::Networks(networks))
    }

    /// One port of one protocol leads to one place.
    fn distinct_ports(&mut self, rules: &[At<NatRuleFile>]) {
        let mut taken = BTreeMap::new();
        for rule in rules.iter().map(|rule| &rule.value) {
            let Some(port) = &rule.frontend_port else { continue };
            let protocol = rule.protocol.as_ref().map(|at| at.value).unwrap_or_default();
            if let Some(first) = taken.insert((protocol, port.value), port.span.start) {
                let line = self.source.line(first);
                let problem =
                    format!("{protocol} port {} leads elsewhere already, on line {line}", port.value);
                self.report.mistake(&port.span, problem, "choose another `frontend_port`");
            }
        }
    }

    /// One priority of one security group is one rule's.
    fn distinct_priorities(&mut self, rules: &[At<NatRuleFile>]) {
        let mut taken = BTreeMap::new();
        for rule in rules.iter().map(|rule| &rule.value) {
            let (Some(group), Some(priority)) = (&rule.network_security_group, &rule.priority) else {
                continue;
            };
            let key = (group.value.to_lowercase(), priority.value);
            if let Some(first) = taken.insert(key, priority.span.start) {
                let line = self.source.line(first);
                let problem = format!("priority {} of this group is taken, on line {line}", priority.value);
                self.report.mistake(&priority.span, problem, "choose another, or leave it out");
            }
        }
    }
}

const NAMING: &str = "up to 80 letters, digits and `_ . -`, from a letter or digit on";
const NAMING_OR_ID: &str =
    "write a name in the endpoint's resource group, or a whole resource id from /subscriptions on";
