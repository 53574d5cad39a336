//! `[[endpoint]]`: the public IP and its label.

use super::Build;
use super::gateway::Scope;
use super::value::{location, resource, resource_group};
use crate::config::at::At;
use crate::config::file::EndpointFile;
use crate::config::{AzureConfig, defaults};
use crate::model::endpoint::{Allocation, Endpoint, Intent, PublicIpSpec};
use crate::model::name::DnsLabel;
use crate::model::record::Owner;

/// The tables of one kind: those that could be built, and the names that others may refer to.
pub(super) struct Built<T> {
    pub(super) built: Vec<T>,
    /// The names as written, also of what could not be built.
    pub(super) names: Vec<At<String>>,
    /// Whether every table has a name, so that a name that is not here is surely nowhere.
    pub(super) complete: bool,
}

impl<T> Built<T> {
    pub(super) fn has(&self, name: &str) -> bool {
        !self.complete || self.names.iter().any(|known| known.value == name)
    }
}

impl Build<'_> {
    pub(super) fn endpoints(
        &mut self,
        files: &[At<EndpointFile>],
        azure: Option<&AzureConfig>,
        owner: Option<&Owner>,
    ) -> Built<Endpoint> {
        let names = files.iter().map(|file| file.value.name.as_ref());
        let names = self.names(names, "the endpoint", str::eq);
        self.distinct(
            files,
            |file| Some((file.resource_group.as_ref()?, file.public_ip.as_ref()?, true)),
            "the public IP",
        );
        self.distinct(
            files,
            |file| Some((file.location.as_ref()?, file.label.as_ref()?, file.label_scope.is_none())),
            "the label",
        );
        self.distinct(
            files,
            |file| {
                Some((file.resource_group.as_ref()?, file.load_balancer.as_ref()?.value.name.as_ref()?, true))
            },
            "the load balancer",
        );
        self.distinct_parts(files, owner);
        let subscription = azure.map_or("", |azure| azure.subscription.as_str());
        self.distinct_interfaces(files, subscription);
        self.distinct_priorities(files, subscription);
        Built {
            built: files.iter().filter_map(|file| self.endpoint(file, azure)).collect(),
            complete: names.len() == files.len(),
            names,
        }
    }

    /// The names of tables, each but once, as far as `same` tells them apart.
    pub(super) fn names<'f>(
        &mut self,
        names: impl Iterator<Item = Option<&'f At<String>>>,
        what: &str,
        same: fn(&str, &str) -> bool,
    ) -> Vec<At<String>> {
        let mut known: Vec<At<String>> = Vec::new();
        for name in names.flatten() {
            if let Some(first) = known.iter().find(|first| same(&first.value, &name.value)).cloned() {
                self.duplicate(name, &first, what);
            }
            known.push(name.clone());
        }
        known
    }

    /// Reports what two endpoints claim within one scope. Azure compares names without case.
    fn distinct<'f>(
        &mut self,
        files: &'f [At<EndpointFile>],
        claim: impl Fn(&'f EndpointFile) -> Option<(&'f At<String>, &'f At<String>, bool)>,
        what: &str,
    ) {
        let mut claims: Vec<(&At<String>, &At<String>)> = Vec::new();
        for (scope, name, _) in files.iter().filter_map(|file| claim(&file.value)).filter(|claim| claim.2) {
            let same = |a: &At<String>, b: &At<String>| a.value.eq_ignore_ascii_case(&b.value);
            match claims.iter().find(|first| same(first.0, scope) && same(first.1, name)) {
                Some((_, first)) => self.duplicate(name, first, what),
                None => claims.push((scope, name)),
            }
        }
    }

    fn endpoint(&mut self, file: &At<EndpointFile>, azure: Option<&AzureConfig>) -> Option<Endpoint> {
        let (table, file) = (&file.span, &file.value);
        let name = file.name.as_ref().and_then(|name| self.handle(name));
        let group = file.resource_group.as_ref().and_then(|group| {
            self.parsed(
                group,
                resource_group,
                "up to 90 letters, digits and `_ ( ) - .`, no period at the end",
            )
        });
        let place = file.location.as_ref().and_then(|place| {
            let plain: String =
                place.value.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
            self.parsed(
                place,
                location,
                &format!("write it as in location = \"{}\"", or(&plain, "westeurope")),
            )
        });
        let public_ip = file.public_ip.as_ref().and_then(|ip| {
            self.parsed(ip, resource, "up to 80 letters, digits and `_ . -`, from a letter or digit on")
        });
        let label = file.label.as_ref().and_then(|label| {
            let lower = label.value.to_lowercase();
            let remedy = match DnsLabel::parse(&lower) {
                Ok(fitting) => format!("write it as in label = \"{fitting}\""),
                Err(_) => "write it as in label = \"contoso-jump\"".into(),
            };
            self.parsed(label, DnsLabel::parse, &remedy)
        });
        if let (Some(_), Some(at)) = (&label, &file.label) {
            self.reserved(at);
        }
        let zones = match &file.zones {
            Some(zones) => {
                let zone = |text: &str| {
                    let fits = matches!(text, "1" | "2" | "3");
                    fits.then(|| text.to_owned())
                        .ok_or_else(|| format!("\"{text}\" is not an availability zone"))
                };
                self.list("zones", zones, zone, "write it as in zones = [\"1\", \"2\", \"3\"]")
            }
            None => Some(Vec::new()),
        };
        let manage = file.manage.as_ref().map_or(defaults::MANAGE, |manage| manage.value);
        self.dynamic(file, manage);
        let subscription = azure.map_or("", |azure| azure.subscription.as_str());
        let at = Scope {
            subscription,
            group: group.as_deref().unwrap_or_default(),
            public_ip: public_ip.as_deref().unwrap_or_default(),
        };
        let gateway = self.gateway(table, file, at);
        let public_ip = PublicIpSpec {
            resource_group: group?,
            name: public_ip?,
            location: place?,
            label: label?,
            label_scope: file.label_scope.as_ref().map(|scope| scope.value),
            allocation: file.allocation.as_ref().map(|at| at.value).unwrap_or_default(),
            zones: zones?,
        };
        let intent = if manage { Intent::Hold } else { Intent::Watch };
        Some(Endpoint { name: name?, public_ip, gateway: gateway?, intent })
    }

    /// A dynamic address is a Basic one: no longer made, without zones, and behind no Standard load balancer.
    fn dynamic(&mut self, file: &EndpointFile, manage: bool) {
        let Some(allocation) = file.allocation.as_ref().filter(|at| at.value == Allocation::Dynamic) else {
            return;
        };
        if manage {
            self.report.warning(
                &allocation.span,
                "Azure makes no dynamic addresses any more, so this can only adopt a Basic one that still exists",
                "write allocation = \"static\" unless it exists",
            );
        }
        for (key, span) in [
            ("zones", file.zones.as_ref().map(|at| &at.span)),
            ("load_balancer", file.load_balancer.as_ref().map(|at| &at.span)),
        ] {
            if let Some(span) = span {
                let problem = format!("`{key}` needs a Standard address, and a dynamic one is Basic");
                self.report.mistake(
                    span,
                    problem,
                    format!("write allocation = \"static\", or take out `{key}`"),
                );
            }
        }
    }

    /// Azure keeps some words to itself and lists them nowhere; these are known from its refusals.
    fn reserved(&mut self, label: &At<String>) {
        if let Some(word) = RESERVED.iter().find(|word| label.value.contains(**word)) {
            let problem = format!("Azure may refuse a label with \"{word}\" in it (DomainNameLabelReserved)");
            self.report.warning(&label.span, problem, "choose another label if it does");
        }
    }
}

fn or<'t>(text: &'t str, otherwise: &'t str) -> &'t str {
    if text.is_empty() { otherwise } else { text }
}

const RESERVED: [&str; 6] = ["windows", "microsoft", "azure", "xbox", "bing", "login"];
