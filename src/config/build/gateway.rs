//! `[endpoint.load_balancer]` and `[[endpoint.nat_rule]]`: what stands in front of an endpoint.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Build;
use super::value::{resource, resource_or_id};
use crate::config::at::At;
use crate::config::defaults;
use crate::config::file::{EndpointFile, NatRuleFile};
use crate::model::gateway::{
    Access, AllowFrom, Gateway, LONGEST_NAME, NatRule, Network, NetworkError, Source, marked,
};
use crate::model::record::Owner;
use crate::model::resource_id::ResourceId;

/// Where names without an id stand.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    pub(super) subscription: &'s str,
    pub(super) group: &'s str,
    pub(super) public_ip: &'s str,
}

impl Scope<'_> {
    fn id(self, kind: &str, name: &str) -> ResourceId {
        if name.starts_with('/') {
            ResourceId::new(name)
        } else {
            ResourceId::network(self.subscription, self.group, kind, name)
        }
    }
}

impl Build<'_> {
    /// The gateway, if there is one; the outer `None` means that it is wrong.
    pub(super) fn gateway(
        &mut self,
        table: &Range<usize>,
        file: &EndpointFile,
        at: Scope<'_>,
    ) -> Option<Option<Gateway>> {
        let rules: Vec<_> = file.nat_rule.iter().map(|rule| self.nat_rule(rule, at)).collect();
        // Azure holds each under its name, and compares names without case.
        let names = file.nat_rule.iter().map(|rule| rule.value.name.as_ref());
        self.names(names, "the NAT rule", str::eq_ignore_ascii_case);
        self.distinct_ports(&file.nat_rule);
        self.distinct_machines(&file.nat_rule, at);
        match (&file.load_balancer, file.nat_rule.first()) {
            (Some(balancer), _) => {
                let name = balancer.value.name.as_ref()?;
                let name = self.parsed(name, resource, NAMING)?;
                Some(Some(Gateway {
                    public_ip: at.id("publicIPAddresses", at.public_ip),
                    load_balancer: at.id("loadBalancers", &name),
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

    fn nat_rule(&mut self, file: &At<NatRuleFile>, at: Scope<'_>) -> Option<NatRule> {
        let (table, file) = (&file.span, &file.value);
        let name = file.name.as_ref().and_then(|name| self.parsed(name, resource, NAMING));
        let interface = file.network_interface.as_ref().and_then(|interface| {
            self.parsed(interface, |text| resource_or_id(text, "networkInterfaces"), NAMING_OR_ID)
        });
        let access = self.access(table, file, at);
        Some(NatRule {
            name: name?,
            protocol: file.protocol.as_ref().map(|at| at.value).unwrap_or_default(),
            frontend_port: file.frontend_port.as_ref()?.value,
            backend_port: file.backend_port.as_ref()?.value,
            network_interface: at.id("networkInterfaces", &interface?),
            access: access?,
            idle_timeout_minutes: (file.idle_timeout_minutes.as_ref())
                .map_or(defaults::IDLE_TIMEOUT_MINUTES, |at| at.value),
        })
    }

    /// The security rule, if there is one; the outer `None` means that it is wrong.
    fn access(&mut self, table: &Range<usize>, file: &NatRuleFile, at: Scope<'_>) -> Option<Option<Access>> {
        if ["network_security_group", "allow_from"].iter().any(|key| self.report.dropped(table, key)) {
            return None;
        }
        match (&file.network_security_group, &file.allow_from) {
            (Some(group), Some(allowed)) => {
                let kind = "networkSecurityGroups";
                let group = self.parsed(group, |text| resource_or_id(text, kind), NAMING_OR_ID);
                let from = self.allow_from(allowed, file);
                let priority = file.priority.as_ref().map(|at| at.value);
                Some(Some(Access { network_security_group: at.id(kind, &group?), from: from?, priority }))
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
            Ok(network) => Ok(Source::Network(network)),
            Err(_) if is_everybody(text) => {
                Err(format!("\"{text}\" is the whole internet, which must be spelled \"internet\""))
            }
            Err(_) if is_service_tag(text) => Ok(Source::Tag(text.to_owned())),
            Err(NetworkError::Form(_)) if !text.contains('/') => {
                Err(format!("\"{text}\" is neither a network nor a service tag as Azure spells them"))
            }
            Err(error) => Err(error.to_string()),
        };
        let remedy = "write it as in allow_from = [\"203.0.113.0/24\"], or [\"AzureCloud.WestEurope\"]";
        let sources = self.list("allow_from", list, parse, remedy)?;
        let family = |source: &Source| match source {
            Source::Network(network) => Some(network.address().is_ipv4()),
            Source::Tag(_) => None,
        };
        let first = sources.iter().find_map(family);
        let other = sources.iter().position(|source| family(source).is_some_and(|this| Some(this) != first));
        let stranger = other.and_then(|at| list.value.get(at));
        if let Some(stranger) = stranger {
            let problem = "a security rule holds IPv4 or IPv6, not both";
            self.report.mistake(&stranger.span, problem, "keep one family");
        }
        let together = self.stand_together(&sources, list);
        (together && stranger.is_none()).then_some(AllowFrom::Sources(sources))
    }

    /// A security rule takes one service tag alone, or networks of which none is within another (Azure's
    /// `SecurityRuleParameterContainsUnsupportedValue` and `OverlappingSubnetsNotPermittedInSecurityRule`).
    fn stand_together(&mut self, sources: &[Source], list: &At<Vec<At<String>>>) -> bool {
        let tag = sources.iter().position(|source| matches!(source, Source::Tag(_)));
        let beside = tag.and_then(|at| list.value.get(at)).filter(|_| sources.len() > 1);
        if let Some(at) = beside {
            let problem = format!("\"{}\" is a service tag, and a security rule takes one alone", at.value);
            self.report.mistake(&at.span, problem, "keep the tag alone, or write networks only");
        }
        let inside = |(at, source): (usize, &Source)| {
            let Source::Network(narrow) = source else { return None };
            let wide = sources.iter().enumerate().find_map(|(other, source)| match source {
                // Of two that are the same, the second goes.
                Source::Network(wide) if wide.contains(narrow) && (other < at || wide != narrow) => {
                    Some(*wide)
                }
                _ => None,
            })?;
            Some((list.value.get(at)?, wide))
        };
        let within: Vec<_> = sources.iter().enumerate().filter_map(inside).collect();
        for (at, wide) in &within {
            let problem =
                format!("\"{}\" is within {wide}, and Azure takes no networks that overlap", at.value);
            self.report.mistake(&at.span, problem, "take it out");
        }
        within.is_empty() && beside.is_none()
    }

    /// What is made for a NAT rule has its name and a prefix, in one load balancer and one security group.
    pub(super) fn distinct_parts(&mut self, files: &[At<EndpointFile>], owner: Option<&Owner>) {
        let Some(owner) = owner else { return };
        let mut taken: BTreeMap<String, &At<String>> = BTreeMap::new();
        for endpoint in files.iter().map(|file| &file.value) {
            if let (Some(name), Some(_)) = (&endpoint.name, &endpoint.load_balancer) {
                let whole = marked(owner, &name.value);
                if let Err(problem) = resource(&whole) {
                    let problem = format!("{problem}, and this would be that of its frontend");
                    let remedy = format!("shorten it, or the owner; {NAMING}");
                    self.report.mistake(&name.span, problem, remedy);
                }
            }
            for name in endpoint.nat_rule.iter().filter_map(|rule| rule.value.name.as_ref()) {
                let whole = marked(owner, &name.value);
                if whole.len() > LONGEST_NAME {
                    let problem = format!(
                        "\"{whole}\" is what Azure would hold, and is longer than {LONGEST_NAME} characters"
                    );
                    self.report.mistake(&name.span, problem, "shorten the rule's name, or the owner");
                }
                let elsewhere = |first: &&At<String>| {
                    !endpoint
                        .nat_rule
                        .iter()
                        .any(|rule| rule.value.name.as_ref().is_some_and(|own| own.span == first.span))
                };
                if let Some(first) = taken.insert(name.value.to_lowercase(), name).filter(elsewhere) {
                    let line = self.source.line(first.span.start);
                    let problem = format!(
                        "the NAT rule \"{}\" is another endpoint's already, on line {line}",
                        name.value
                    );
                    self.report.mistake(&name.span, problem, "give each rule of the file a name of its own");
                }
            }
        }
    }

    /// A network interface is behind one load balancer, and so behind one endpoint.
    pub(super) fn distinct_interfaces(&mut self, files: &[At<EndpointFile>], subscription: &str) {
        let mut taken: BTreeMap<ResourceId, (usize, &At<String>)> = BTreeMap::new();
        for (at, endpoint) in files.iter().map(|file| &file.value).enumerate() {
            let Some(group) = &endpoint.resource_group else { continue };
            let scope = Scope { subscription, group: &group.value, public_ip: "" };
            for name in endpoint.nat_rule.iter().filter_map(|rule| rule.value.network_interface.as_ref()) {
                let id = scope.id("networkInterfaces", &name.value);
                let (first_at, first) = *taken.entry(id).or_insert((at, name));
                if first_at != at {
                    let line = self.source.line(first.span.start);
                    let problem = format!(
                        "the network interface \"{}\" is behind another endpoint already, on line {line}",
                        name.value
                    );
                    let remedy =
                        "put both ports into one endpoint: a machine is behind one public load balancer";
                    self.report.mistake(&name.span, problem, remedy);
                }
            }
        }
    }

    /// One port of one protocol on a machine is led to once (Azure's
    /// `RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig`).
    fn distinct_machines(&mut self, rules: &[At<NatRuleFile>], at: Scope<'_>) {
        let mut taken = BTreeMap::new();
        for rule in rules.iter().map(|rule| &rule.value) {
            let (Some(port), Some(interface)) = (&rule.backend_port, &rule.network_interface) else {
                continue;
            };
            let protocol = rule.protocol.as_ref().map(|at| at.value).unwrap_or_default();
            let key = (at.id("networkInterfaces", &interface.value), protocol, port.value);
            if let Some(first) = taken.insert(key, port.span.start) {
                let line = self.source.line(first);
                let problem = format!(
                    "{protocol} port {} of {} is led to already, on line {line}",
                    port.value, interface.value
                );
                self.report.mistake(
                    &port.span,
                    problem,
                    "keep one of the rules: Azure lets one lead to a machine's port",
                );
            }
        }
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

    /// One priority of one security group is one rule's, whichever endpoint's.
    pub(super) fn distinct_priorities(&mut self, files: &[At<EndpointFile>], subscription: &str) {
        let mut taken = BTreeMap::new();
        let rules = files.iter().flat_map(|file| {
            let group = file.value.resource_group.as_ref().map_or("", |group| group.value.as_str());
            file.value.nat_rule.iter().map(move |rule| (group, &rule.value))
        });
        for (group, rule) in rules {
            let (Some(named), Some(priority)) = (&rule.network_security_group, &rule.priority) else {
                continue;
            };
            let scope = Scope { subscription, group, public_ip: "" };
            let key = (scope.id("networkSecurityGroups", &named.value), priority.value);
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

/// Whether `text` has the form of a service tag, such as `AzureCloud.WestEurope`. Azure knows which there are.
fn is_service_tag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
        && !is_everybody(text)
}

/// The words of others for everybody: Azure's service tag, and its portal's.
fn is_everybody(text: &str) -> bool {
    ["*", "Any", INTERNET].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// How the file spells the whole internet.
pub(in crate::config) const INTERNET: &str = "internet";
