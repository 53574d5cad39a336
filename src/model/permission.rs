//! Which actions the wishes need, where, and whether what was granted covers them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::endpoint::{Endpoint, Intent};
use super::gateway::Gateway;
use super::record::Mode;
use super::resource_id::ResourceId;

/// What one role assignment lets its holder do: `actions` less `not_actions`, each with `*` for any text. Several
/// grants add up, so that what one leaves out another can give (Azure's "NotActions" is no denial).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What is given.
    pub actions: Vec<String>,
    /// What is taken out of that.
    pub not_actions: Vec<String>,
}

impl Grant {
    fn covers(&self, action: &str) -> bool {
        let matches = |patterns: &[String]| {
            patterns
                .iter()
                .any(|pattern| is_match(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase()))
        };
        matches(&self.actions) && !matches(&self.not_actions)
    }
}

/// Those of `needed` that no grant covers, in their order.
#[must_use]
pub fn lacking<'n>(grants: &[Grant], needed: &[&'n str]) -> Vec<&'n str> {
    needed.iter().filter(|action| !grants.iter().any(|grant| grant.covers(action))).copied().collect()
}

/// What is needed in Azure, by scope: resource ids without a slash at their end.
///
/// Scopes are compared without case, as Azure does, and kept as they were first written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs(BTreeMap<String, (String, BTreeSet<&'static str>)>);

impl Needs {
    /// Adds `actions` at `scope`.
    pub fn add(&mut self, scope: &str, actions: &[&'static str]) {
        let (_, needed) =
            self.0.entry(scope.to_ascii_lowercase()).or_insert_with(|| (scope.to_owned(), BTreeSet::new()));
        needed.extend(actions);
    }

    /// Adds what `endpoint`, of `subscription`, needs; `subnets` are those of its machines, as far as they are known.
    pub fn endpoint(&mut self, subscription: &str, endpoint: &Endpoint, subnets: &[ResourceId]) {
        let own = group(subscription, &endpoint.public_ip.resource_group);
        let whole = format!("/subscriptions/{subscription}");
        if endpoint.intent == Intent::Watch {
            self.add(&own, &PUBLIC_IP[..1]);
            return;
        }
        self.add(&own, &PUBLIC_IP);
        self.add(&whole, &LOCATIONS);
        if let Some(gateway) = &endpoint.gateway {
            self.gateway(gateway, subnets);
        }
    }

    fn gateway(&mut self, gateway: &Gateway, subnets: &[ResourceId]) {
        self.add(&group_of(&gateway.public_ip), &FRONTEND);
        self.add(&group_of(&gateway.load_balancer), &LOAD_BALANCER);
        self.add(&format!("/subscriptions/{}", gateway.load_balancer.subscription()), &RESULTS);
        for rule in &gateway.nat_rules {
            self.add(&group_of(&rule.network_interface), &NETWORK_INTERFACE);
            if let Some(access) = &rule.access {
                self.add(&group_of(&access.network_security_group), &SECURITY_GROUP);
            }
        }
        for subnet in subnets {
            self.add(&group_of(subnet), &SUBNET);
        }
    }

    /// Adds what records of `mode` need in the zone of this resource id, whose endpoint's public IP is in the group
    /// `public_ip`.
    pub fn record(&mut self, zone: &str, mode: Mode, public_ip: &str) {
        self.add(zone, &ZONE);
        if mode != Mode::Cname {
            self.add(zone, &ADDRESSES);
        }
        if matches!(mode, Mode::Alias | Mode::Auto) {
            self.add(public_ip, &ALIAS);
        }
    }

    /// Each scope with what is needed there.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Vec<&'static str>)> {
        self.0.values().map(|(scope, actions)| (scope.as_str(), actions.iter().copied().collect()))
    }
}

/// The scope of a resource group.
#[must_use]
pub fn group(subscription: &str, name: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{name}")
}

/// The scope of the resource group that a resource is in.
#[must_use]
pub fn group_of(id: &ResourceId) -> String {
    id.as_str().split('/').take(5).collect::<Vec<_>>().join("/")
}

/// Whether `text` is what `pattern` stands for; both in lower case.
fn is_match(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    match rest.rsplit_once('*') {
        // The text between two stars may stand anywhere; the first place that it has leaves most for the rest.
        Some(_) => {
            let (middle, _) = rest.split_once('*').unwrap_or((rest, ""));
            let after = &rest[middle.len()..];
            text.find(middle).is_some_and(|at| is_match(after, &text[at + middle.len()..]))
        }
        None => text.ends_with(rest),
    }
}

/// For an endpoint's public IP; the first alone where it is only watched.
pub const PUBLIC_IP: [&str; 3] = [
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.Network/publicIPAddresses/write",
    "Microsoft.Network/publicIPAddresses/delete",
];
/// For an endpoint, on its subscription.
pub const LOCATIONS: [&str; 2] = [
    "Microsoft.Network/locations/checkDnsNameAvailability/read",
    "Microsoft.Network/locations/operations/read",
];
/// For a gateway, on its subscription.
pub const RESULTS: [&str; 1] = ["Microsoft.Network/locations/operationResults/read"];
/// For a gateway, where its public IP is.
pub const FRONTEND: [&str; 1] = ["Microsoft.Network/publicIPAddresses/join/action"];
/// For a gateway, where its load balancer is.
pub const LOAD_BALANCER: [&str; 10] = [
    "Microsoft.Network/loadBalancers/read",
    "Microsoft.Network/loadBalancers/write",
    "Microsoft.Network/loadBalancers/delete",
    "Microsoft.Network/loadBalancers/frontendIPConfigurations/join/action",
    "Microsoft.Network/loadBalancers/inboundNatRules/read",
    "Microsoft.Network/loadBalancers/inboundNatRules/write",
    "Microsoft.Network/loadBalancers/inboundNatRules/delete",
    "Microsoft.Network/loadBalancers/inboundNatRules/join/action",
    "Microsoft.Network/loadBalancers/backendAddressPools/join/action",
    "Microsoft.Network/loadBalancers/backendAddressPools/queryInboundNatRulePortMapping/action",
];
/// For a gateway, where its machines' network interfaces are.
pub const NETWORK_INTERFACE: [&str; 2] =
    ["Microsoft.Network/networkInterfaces/read", "Microsoft.Network/networkInterfaces/write"];
/// For a gateway, where its security groups are.
pub const SECURITY_GROUP: [&str; 7] = [
    "Microsoft.Network/networkSecurityGroups/read",
    "Microsoft.Network/networkSecurityGroups/write",
    "Microsoft.Network/networkSecurityGroups/delete",
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/networkSecurityGroups/securityRules/read",
    "Microsoft.Network/networkSecurityGroups/securityRules/write",
    "Microsoft.Network/networkSecurityGroups/securityRules/delete",
];
/// For a gateway, where its machines' subnets are.
pub const SUBNET: [&str; 2] = [
    "Microsoft.Network/virtualNetworks/subnets/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
];
/// For names in a zone.
pub const ZONE: [&str; 5] = [
    "Microsoft.Network/dnszones/read",
    "Microsoft.Network/dnszones/all/read",
    "Microsoft.Network/dnszones/CNAME/read",
    "Microsoft.Network/dnszones/CNAME/write",
    "Microsoft.Network/dnszones/CNAME/delete",
];
/// For names in other modes than `cname`, in their zone.
pub const ADDRESSES: [&str; 6] = [
    "Microsoft.Network/dnszones/A/read",
    "Microsoft.Network/dnszones/A/write",
    "Microsoft.Network/dnszones/A/delete",
    "Microsoft.Network/dnszones/AAAA/read",
    "Microsoft.Network/dnszones/AAAA/write",
    "Microsoft.Network/dnszones/AAAA/delete",
];
/// For aliases, where their public IP is.
pub const ALIAS: [&str; 3] = [
    "Microsoft.Network/publicIPAddresses/dnsAliases/read",
    "Microsoft.Network/publicIPAddresses/dnsAliases/write",
    "Microsoft.Network/publicIPAddresses/dnsAliases/delete",
];
/// For when a gateway went up, where its load balancer is.
pub const CREATION: [&str; 1] = ["Microsoft.Resources/subscriptions/resourceGroups/resources/read"];
/// To be told what was granted at all.
pub const PERMISSIONS: &str = "Microsoft.Authorization/permissions/read";
/// What Cloudflare calls the permission Zone > DNS > Edit in a zone's `permissions`.
pub const CLOUDFLARE_EDIT: &str = "#dns_records:edit";
/// What Cloudflare calls the permission Zone > DNS > Read in a zone's `permissions`.
pub const CLOUDFLARE_READ: &str = "#dns_records:read";

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(actions: &[&str], not_actions: &[&str]) -> Grant {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Grant { actions: owned(actions), not_actions: owned(not_actions) }
    }

    #[test]
    fn stars_stand_for_any_text_and_case_does_not_matter() {
        for (pattern, fits) in [
            ("*", true),
            ("*/read", true),
            ("microsoft.network/*", true),
            ("Microsoft.Network/dnsZones/*/read", true),
            ("Microsoft.*/cname/*", true),
            ("*/CNAME/read", true),
            ("Microsoft.Network/dnszones/CNAME/read", true),
            ("Microsoft.Network/dnszones/read", false),
            ("Microsoft.Network/dnszones/CNAME/read/*", false),
            ("*/write", false),
            ("Microsoft.Compute/*", false),
            ("*CNAME*write", false),
            ("", false),
        ] {
            let lacks = lacking(&[grant(&[pattern], &[])], &[ZONE[2]]);
            assert_eq!(lacks.is_empty(), fits, "{pattern}");
        }
    }

    #[test]
    fn a_star_takes_no_text_twice() {
        assert!(!is_match("a*ab", "ab") && is_match("a*ab", "aab") && is_match("a**b", "ab"));
        assert!(is_match("*b*b", "abab") && !is_match("*b*b", "ab"));
    }

    #[test]
    fn what_one_role_leaves_out_another_can_give() {
        let contributor = grant(&["*"], &["Microsoft.Network/publicIPAddresses/delete"]);
        assert_eq!(lacking(std::slice::from_ref(&contributor), &PUBLIC_IP), [PUBLIC_IP[2]]);
        let more = grant(&["Microsoft.Network/publicIPAddresses/*"], &[]);
        assert!(lacking(&[contributor, more], &PUBLIC_IP).is_empty());
        assert_eq!(lacking(&[], &PUBLIC_IP), PUBLIC_IP);
    }

    #[test]
    fn scopes_are_one_whatever_their_case() {
        let mut needs = Needs::default();
        needs.add("/subscriptions/s/resourceGroups/rg", &PUBLIC_IP[..1]);
        needs.add("/subscriptions/S/resourcegroups/RG", &PUBLIC_IP[1..]);
        let all: Vec<_> = needs.iter().collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].0, all[0].1.len()), ("/subscriptions/s/resourceGroups/rg", 3));
    }
}
