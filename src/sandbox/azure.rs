//! Azure: Entra's token endpoint, Resource Manager, the network and compute providers, and Azure DNS.

mod arm;
pub(crate) mod authority;
mod by_hand;
pub(crate) mod compute;
mod group;
pub(crate) mod label;
pub(crate) mod log_analytics;
pub(crate) mod network;
pub(crate) mod operation;
mod permissions;
pub(crate) mod public_ip;
mod rdata;
pub(crate) mod record_set;
mod resource;
mod resources;
pub(crate) mod seed;
mod zone;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

pub(crate) use self::arm::Id;
use self::authority::{Directory, Principal};
pub(crate) use self::by_hand::{ask_by_hand, edit_by_hand, show, show_all, show_any};
use self::operation::{Effect, End, Failure, Operation};
pub(crate) use self::resource::{Resource, merge};
use self::seed::{SUBSCRIPTION, TENANT};
use super::Options;
use super::clock::Clock;
use super::exchange::{Request, Response};
use super::world::World;

/// Azure's state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Principals and their tokens.
    pub(crate) directory: Directory,
    /// Resource groups by lower-case name.
    groups: BTreeMap<String, group::Group>,
    /// Resources of the network provider by lower-case id.
    pub(crate) network: BTreeMap<String, Resource>,
    /// Who holds which label.
    pub(crate) labels: label::Labels,
    /// Virtual machines by lower-case id.
    pub(crate) machines: BTreeMap<String, compute::Machine>,
    /// DNS zones by lower-case id.
    zones: BTreeMap<String, zone::Zone>,
    /// What machines report.
    pub(crate) log_analytics: log_analytics::State,
    /// Whether what was sold before 30 September 2025 can be made, as it is by hand.
    pub(crate) past: bool,
    /// Which member of a pool has which port of a NAT rule's range.
    ports: network::PortMappings,
    operations: operation::Operations,
    rates: arm::Rates,
    /// How many public addresses have been handed out; none is handed out twice.
    addresses_given: u32,
}

impl State {
    /// The seeded subscription: two groups, a VM with its network, a zone with foreign records, and a workspace.
    pub(crate) fn seeded(options: &Options, clock: Clock) -> Self {
        let mut state = Self {
            directory: Directory::seeded(),
            groups: group::seeded(),
            network: BTreeMap::new(),
            labels: label::Labels::default(),
            machines: BTreeMap::new(),
            zones: zone::seeded(),
            log_analytics: log_analytics::State::seeded(clock.calendar(), options.syslog),
            past: false,
            ports: network::PortMappings::default(),
            operations: operation::Operations::default(),
            rates: arm::Rates::default(),
            addresses_given: 0,
        };
        network::seed(&mut state, clock);
        compute::seed(&mut state);
        state
    }

    /// The next accepted write's operation ends so.
    pub(crate) fn fail_next_operation(&mut self, code: &str, message: &str, details: &[(String, String)]) {
        let (code, message, details) = (code.to_owned(), message.to_owned(), details.to_vec());
        self.operations.next_end = Some(End::Fails(Failure { code, message, details }));
    }

    /// The next accepted write is replaced by a newer one, which merged `changes` into what was there before.
    pub(crate) fn supersede_next_operation(&mut self, changes: &Map<String, Value>) {
        self.operations.next_end = Some(End::Superseded(changes.clone()));
    }

    /// Forgets how the next operation was to end.
    pub(crate) fn forget_end(&mut self) {
        self.operations.next_end = None;
    }
}

/// Lets everything happen that is due by now.
pub(crate) fn settle(world: &mut World) {
    let clock = world.clock;
    for operation in world.azure.operations.take_due(clock) {
        finish(world, &operation);
    }
}

fn finish(world: &mut World, operation: &Operation) {
    let target = &operation.target;
    let key = target.key();
    if let Effect::Superseded(document) = &operation.effect {
        if let Some(resource) = world.azure.network.get_mut(&key) {
            resource.document.clone_from(document);
            resource.touch("Succeeded");
        }
        if public_ip::is_one(target) {
            public_ip::written(world, target);
        }
        network::settle(world);
        return;
    }
    if operation.failure.is_some() {
        if let Some(resource) = world.azure.network.get_mut(&key) {
            resource.touch("Failed");
        }
        return;
    }
    match operation.effect {
        Effect::Answer(_) | Effect::Elsewhere | Effect::Superseded(_) => {}
        Effect::Write => {
            if let Some(resource) = world.azure.network.get_mut(&key) {
                resource.touch("Succeeded");
            }
            if public_ip::is_one(target) {
                public_ip::written(world, target);
            } else {
                network::settle(world);
            }
        }
        Effect::Remove => {
            if let Some(resource) = world.azure.network.remove(&key) {
                if public_ip::is_one(target) {
                    public_ip::removed(world, &resource);
                } else {
                    network::removed(world, &resource.id);
                }
            }
        }
        Effect::Start => compute::power(world, target, true),
        Effect::Deallocate => compute::power(world, target, false),
    }
}

/// Answers one request to Resource Manager.
pub(crate) fn handle(world: &mut World, request: &Request) -> Response {
    arm::stamped(admitted(world, request).unwrap_or_else(|refusal| refusal), request)
}

fn admitted(world: &mut World, request: &Request) -> Result<Response, Response> {
    let route = request.route();
    if let [first, second] = route.as_slice()
        && first.eq_ignore_ascii_case("metadata")
        && second.eq_ignore_ascii_case("endpoints")
    {
        return Ok(endpoints(world));
    }
    let principal = arm::authenticate(world, request)?;
    arm::versioned(request)?;
    let (header, left) = arm::admit(world, &principal, request)?;
    Ok(routed(world, &principal, request, &route).with(header, left))
}

fn routed(world: &mut World, principal: &Principal, request: &Request, route: &[&str]) -> Response {
    let lower: Vec<String> = route.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    if let Some(answer) = permissions::asked(world, principal, request, &lower) {
        return answer;
    }
    let method = request.method.as_str();
    match (method, lower.as_slice()) {
        ("GET", ["subscriptions"]) => {
            Response::json(200, json!({"value": [subscription()], "count": {"type": "Total", "value": 1}}))
        }
        ("GET", ["tenants"]) => {
            let tenant = json!({"id": format!("/tenants/{TENANT}"), "tenantId": TENANT, "displayName": "sandbox",
                "countryCode": "NL", "defaultDomain": "sandbox.onmicrosoft.com", "tenantCategory": "Home"});
            Response::json(200, json!({"value": [tenant]}))
        }
        (_, ["subscriptions", id, ..]) if *id != SUBSCRIPTION => {
            arm::error(404, "SubscriptionNotFound", &format!("The subscription '{id}' could not be found."))
        }
        ("GET", ["subscriptions", _]) => Response::json(200, subscription()),
        ("GET", ["subscriptions", _, "locations"]) => group::locations(),
        ("GET", ["subscriptions", _, "providers", namespace]) => group::provider(namespace),
        ("POST", ["subscriptions", _, "providers", namespace, "register"]) => group::provider(namespace),
        (_, ["subscriptions", _, "resourcegroups", rest @ ..]) if !rest.contains(&"providers") => {
            group::handle(world, principal, request, rest)
        }
        ("GET", ["subscriptions", _, "resources"]) => group::resources(world, principal, request, None),
        (_, ["subscriptions", _, "providers", namespace, rest @ ..]) => {
            of_subscription(world, principal, request, namespace, rest)
        }
        (_, ["subscriptions", _, "resourcegroups", _, "providers", namespace, kind, ..]) => {
            // Names keep the case in which they were written; only what is fixed is compared in lower case.
            of_group(world, principal, request, route[3], (namespace, kind), &route[7..])
        }
        _ => unrouted(request),
    }
}

fn of_subscription(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    namespace: &str,
    rest: &[&str],
) -> Response {
    let scope = format!("/subscriptions/{SUBSCRIPTION}");
    match (request.method.as_str(), namespace, rest) {
        ("GET", _, ["locations", _, "operations", id]) => operation::status(world, id),
        ("GET", _, ["locations", _, "operationresults", id]) => operation::result(world, request, id),
        ("GET", "microsoft.network", ["locations", location, "checkdnsnameavailability"]) => {
            let action = "Microsoft.Network/locations/checkDnsNameAvailability/read";
            match arm::authorize(principal, action, &scope) {
                Ok(()) => label::check(world, request, location),
                Err(refusal) => refusal,
            }
        }
        ("GET", "microsoft.network", ["dnszones"]) => zone::list(world, principal, &scope, None),
        ("GET", "microsoft.network", [kind]) => match network::kind(kind) {
            Some(kind) => resource::list(world, principal, &scope, None, kind),
            None => unrouted(request),
        },
        ("GET", "microsoft.compute", ["virtualmachines"]) => compute::list(world, principal, None),
        _ => unrouted(request),
    }
}

fn of_group(
    world: &mut World,
    principal: &Principal,
    request: &Request,
    group: &str,
    (namespace, kind): (&str, &str),
    names: &[&str],
) -> Response {
    let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}");
    let method = request.method.as_str();
    match (namespace, kind, names) {
        ("microsoft.network", "dnszones", []) => zone::list(world, principal, &scope, Some(group)),
        ("microsoft.network", "dnszones", [name, rest @ ..]) => {
            let id = Id::of(group, "Microsoft.Network/dnszones", name);
            match rest {
                [] => zone::handle(world, principal, request, &id),
                [what] if method == "GET" => record_set::list(world, principal, request, &id, what),
                [kind, name] => record_set::handle(world, principal, request, &id, kind, name),
                _ => unrouted(request),
            }
        }
        // There are none, and clients that manage alias targets ask.
        ("microsoft.network", "trafficmanagerprofiles", []) if method == "GET" => {
            match arm::authorize(principal, "Microsoft.Network/trafficManagerProfiles/read", &scope) {
                Ok(()) => Response::json(200, json!({"value": []})),
                Err(refusal) => refusal,
            }
        }
        ("microsoft.network", kind, names) => {
            let Some(kind) = network::kind(kind) else { return unrouted(request) };
            match (method, names) {
                ("GET", []) => resource::list(world, principal, &scope, Some(group), kind),
                (_, [name]) => {
                    let id = Id::of(group, kind.name, name);
                    match method {
                        "GET" => resource::get(world, principal, &id, kind),
                        "PUT" => resource::put(world, principal, request, id, kind),
                        "PATCH" => resource::patch(world, principal, request, &id, kind),
                        "DELETE" => resource::delete(world, principal, request, &id, kind),
                        _ => unrouted(request),
                    }
                }
                (_, [name, rest @ ..]) => {
                    let id = Id::of(group, kind.name, name);
                    network::child(world, principal, request, &id, kind, rest)
                        .unwrap_or_else(|| unrouted(request))
                }
                _ => unrouted(request),
            }
        }
        ("microsoft.compute", "virtualmachines", []) => compute::list(world, principal, Some(group)),
        ("microsoft.compute", "virtualmachines", [name, rest @ ..]) => {
            compute::handle(world, principal, request, group, name, rest).unwrap_or_else(|| unrouted(request))
        }
        _ => unrouted(request),
    }
}

fn unrouted(request: &Request) -> Response {
    let message = format!(
        "No HTTP resource was found that matches the request URI '{}' and method {}.",
        request.path, request.method
    );
    arm::error(404, "InvalidResourceType", &message)
}

fn subscription() -> Value {
    json!({
        "id": format!("/subscriptions/{SUBSCRIPTION}"),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT,
        "displayName": "sandbox",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off",
        },
    })
}

/// What clients of a custom cloud read first.
fn endpoints(world: &World) -> Response {
    let (arm, authority) = (&world.addresses.resource_manager, &world.addresses.authority);
    Response::json(
        200,
        json!({
            "name": "Sandbox",
            "resourceManager": arm,
            "portal": arm,
            "graph": arm,
            "graphAudience": arm,
            "gallery": arm,
            "batch": arm,
            "media": arm,
            "sqlManagement": arm,
            "vmImageAliasDoc": arm,
            "activeDirectoryDataLake": arm,
            "authentication": {
                "loginEndpoint": authority,
                "audiences": [arm],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "suffixes": {},
        }),
    )
}

/// Attaches a public IP to an interface's first configuration.
pub(crate) fn attach(world: &mut World, nic: &Id, public_ip: &Id) {
    network::attach(world, nic, Some(public_ip));
}

/// Takes a public IP from the interface that uses it.
pub(crate) fn detach(world: &mut World, public_ip: &Id) {
    let user = network::user_of(world, public_ip).unwrap_or_default();
    if let Some((nic, _)) = user.split_once("/ipConfigurations/") {
        network::attach(world, &Id::new(nic), None);
    }
}

/// What an Azure DNS server says of one record set of a name, in presentation format (RFC 1035, 5.1): `values` are
/// RDATA texts such as `10 mail.example.com.`, `"some text"` or `203.0.113.7`; names in them are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// `A`, `CNAME`, `SOA`, …
    pub(crate) kind: String,
    /// Seconds.
    pub(crate) ttl: u32,
    /// One text a record. Never empty: an alias set whose target is gone is not served at all.
    pub(crate) values: Vec<String>,
}

/// The apex names of all zones that Azure DNS serves, lower case, without the trailing dot.
pub(crate) fn zones(world: &World) -> Vec<String> {
    world.azure.zones.values().map(|zone| zone.name.clone()).collect()
}

/// Everything that `zone` serves at `name` (both lower case, no trailing dot), wildcards not expanded.
/// `None` when neither the name nor anything below it exists: NXDOMAIN. Empty: NODATA.
pub(crate) fn served(world: &World, zone: &str, name: &str) -> Option<Vec<Served>> {
    zone::served(world, zone, name)
}

/// What the label zone's server says of a name such as `contoso-jump.westeurope.cloudapp.azure.com` (lower case, no
/// trailing dot): `None` when nobody holds that label, `Some(None)` when it has no address at present. TTL is 10.
#[expect(clippy::option_option, reason = "held without an address is a state of its own")]
pub(crate) fn label_address(world: &World, fqdn: &str) -> Option<Option<IpAddr>> {
    let ours = world.azure.network.values().find(|r| r.lease.published.as_deref() == Some(fqdn));
    if let Some(resource) = ours {
        return Some(resource.lease.address);
    }
    match world.azure.labels.holder(fqdn, world.now()) {
        Some(label::Holder::Stranger(address)) => Some(Some(*address)),
        _ => None,
    }
}

/// The suffix of the label zones; the region stands before it.
pub(crate) const LABEL_SUFFIX: &str = "cloudapp.azure.com";
