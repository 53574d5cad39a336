//! The verbs with which a test or a rehearsal plays the outside world, in process and over plain HTTP.

mod http;
mod outside;
mod resource;
mod verb;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

pub(crate) use self::http::serve;
use super::azure::{self, record_set};
use super::fault::{DnsFault, Fault, HoldPoint, NameServer};
use super::world::{Cloud, World};
use super::{Attack, Delegation, LogTable, cloudflare, dns};

/// A handle on the outside world: on people in portals, on other tenants, and on everything that goes wrong.
#[derive(Clone, Debug)]
pub struct Control {
    cloud: Cloud,
}

/// Why a verb could not be carried out, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ControlError(pub(crate) String);

/// A Basic public IP as they were made before 31 March 2025, on the management VM's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LegacyPublicIp {
    /// The resource's name.
    pub name: String,
    /// The resource group.
    pub resource_group: String,
    /// The domain name label; `None` for none.
    pub label: Option<String>,
    /// Whether the address is `Dynamic`, and thus there only while the VM runs; else `Static`.
    pub dynamic: bool,
    /// Whether the VM's interface uses it.
    pub attached: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Default for LegacyPublicIp {
    fn default() -> Self {
        Self {
            name: "pip-jump".into(),
            resource_group: azure::seed::NETWORK_GROUP.into(),
            label: Some("contoso-jump".into()),
            dynamic: true,
            attached: true,
            tags: BTreeMap::new(),
        }
    }
}

/// A record set that a person writes in the Azure portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordAtAzure {
    /// The absolute name.
    pub name: String,
    /// `A`, `AAAA`, `CNAME`, `TXT` or `NS`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds.
    #[serde(default = "default_ttl")]
    pub ttl: u32,
    /// Addresses, names or texts, one a record.
    #[serde(default)]
    pub values: Vec<String>,
    /// The set's metadata.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The id of the resource that the set is an alias of, in place of `values`.
    #[serde(default)]
    pub target: Option<String>,
}

impl RecordAtAzure {
    /// A set of one record with the portal's TTL of an hour and no metadata.
    #[must_use]
    pub fn new(name: &str, kind: &str, value: &str) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            ttl: default_ttl(),
            values: vec![value.into()],
            metadata: BTreeMap::new(),
            target: None,
        }
    }

    fn properties(&self) -> Value {
        let records = |key: &str| -> Value { self.values.iter().map(|value| json!({key: value})).collect() };
        let mut properties = json!({"TTL": self.ttl, "metadata": self.metadata});
        match self.kind.to_ascii_uppercase().as_str() {
            "A" => properties["ARecords"] = records("ipv4Address"),
            "AAAA" => properties["AAAARecords"] = records("ipv6Address"),
            "NS" => properties["NSRecords"] = records("nsdname"),
            "TXT" => {
                properties["TXTRecords"] = self.values.iter().map(|text| json!({"value": [text]})).collect();
            }
            _ => {
                if let Some(target) = self.values.first() {
                    properties["CNAMERecord"] = json!({"cname": target});
                }
            }
        }
        if let Some(target) = &self.target {
            properties["targetResource"] = json!({"id": target});
        }
        properties
    }
}

impl Control {
    pub(crate) fn new(cloud: Cloud) -> Self {
        Self { cloud }
    }

    /// Does what the verb of that name does over HTTP, with `body` for its fields; gives what it has to tell.
    ///
    /// # Errors
    /// When there is no such verb, the body is not one of its, or it could not be carried out.
    pub async fn act_by_name(&self, verb: &str, body: &Value) -> Result<Value, ControlError> {
        verb::Verb::parse(verb, body).map_err(ControlError)?.run(self).await
    }

    /// Starts every VM. Dynamic addresses are assigned.
    pub fn start_vm(&self) {
        self.act(|world| outside::power(world, true));
    }

    /// Deallocates every VM. Dynamic addresses are released.
    pub fn deallocate_vm(&self) {
        self.act(|world| outside::power(world, false));
    }

    /// Makes another VM in the management VM's group, which runs and has the services of that one, on a network interface
    /// of the group that no VM has.
    ///
    /// # Errors
    /// When there is such a VM, or no such interface to be had.
    pub fn create_vm(&self, name: &str, interface: &str) -> Result<(), ControlError> {
        self.try_act(|world| outside::machine(world, name, interface))
    }

    /// Deletes a public IP and makes one like it: the same name, label and settings, another address and id within.
    ///
    /// # Errors
    /// When there is no such public IP.
    pub fn recreate_public_ip(&self, name: &str) -> Result<(), ControlError> {
        self.try_act(|world| outside::recreate(world, name))
    }

    /// Deletes a public IP, attached or not; its label is free from then on.
    ///
    /// # Errors
    /// When there is no such public IP.
    pub fn delete_public_ip(&self, name: &str) -> Result<(), ControlError> {
        self.try_act(|world| outside::delete(world, name))
    }

    /// Makes a Basic public IP, which the API refuses today.
    ///
    /// # Errors
    /// When its label is not to be had.
    pub fn create_legacy_public_ip(&self, wanted: &LegacyPublicIp) -> Result<(), ControlError> {
        self.try_act(|world| outside::legacy(world, wanted))
    }

    /// Gives a public IP another label, or takes it away.
    ///
    /// # Errors
    /// When there is no such public IP or the label is not to be had.
    pub fn relabel(&self, name: &str, label: Option<&str>) -> Result<(), ControlError> {
        self.try_act(|world| outside::relabel(world, name, label))
    }

    /// Merges `changes` (RFC 7396) into what can be set on a public IP, such as `{"tags": {"team": "ops"}}`.
    ///
    /// # Errors
    /// When there is no such public IP.
    pub fn edit_public_ip(&self, name: &str, changes: &Value) -> Result<(), ControlError> {
        self.try_act(|world| outside::edit(world, name, changes))
    }

    /// Another tenant makes a public IP with this label: a bare label in West Europe, or a whole name.
    ///
    /// # Errors
    /// When somebody holds it, or it is reserved.
    pub fn stranger_takes_label(&self, label: &str) -> Result<(), ControlError> {
        self.try_act(|world| outside::stranger_takes(world, label))
    }

    /// The other tenant deletes that public IP.
    ///
    /// # Errors
    /// When no stranger holds it.
    pub fn stranger_releases_label(&self, label: &str) -> Result<(), ControlError> {
        self.try_act(|world| outside::stranger_releases(world, label))
    }

    /// A person writes a record set in the Azure portal, replacing what is there.
    ///
    /// # Errors
    /// When Azure DNS would refuse it.
    pub fn set_record_azure(&self, record: &RecordAtAzure) -> Result<(), ControlError> {
        self.try_act(|world| record_set::put_by_hand(world, &record.name, &record.kind, &record.properties()))
    }

    /// A person deletes a record set in the Azure portal.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete_record_azure(&self, name: &str, kind: &str) -> Result<(), ControlError> {
        self.try_act(|world| record_set::delete_by_hand(world, name, kind))
    }

    /// A person writes a record in Cloudflare's dashboard: an API record, replacing those of its name and type.
    ///
    /// # Errors
    /// When Cloudflare would refuse it.
    pub fn set_record_cloudflare(&self, record: &Value) -> Result<(), ControlError> {
        self.try_act(|world| cloudflare::put_by_hand(world, record))
    }

    /// A person deletes a record in Cloudflare's dashboard.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete_record_cloudflare(&self, name: &str, kind: &str) -> Result<(), ControlError> {
        self.try_act(|world| cloudflare::delete_by_hand(world, name, kind))
    }

    /// Another Cloudflare account, which the tokens reach too, adds a zone of that name; gives its id.
    ///
    /// # Errors
    /// When it is not the name of a zone.
    pub fn add_zone_cloudflare(&self, name: &str) -> Result<String, ControlError> {
        let done = self.cloud.with(|world| cloudflare::add_zone_by_hand(world, name)).map_err(ControlError);
        self.cloud.announce();
        done
    }

    /// A person removes a zone in Cloudflare's dashboard. One of the same name that is added afterwards has another id.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete_zone_cloudflare(&self, name: &str) -> Result<(), ControlError> {
        self.try_act(|world| cloudflare::delete_zone_by_hand(world, name))
    }

    /// Turns Cloudflare's proxy on or off for a name.
    ///
    /// # Errors
    /// When there is no such record.
    pub fn proxy(&self, name: &str, proxied: bool) -> Result<(), ControlError> {
        self.try_act(|world| cloudflare::proxy_by_hand(world, name, proxied))
    }

    /// Whom the parent delegates the zone to.
    pub fn delegate(&self, to: Delegation) {
        self.act(|world| dns::delegate(world, to));
    }

    /// Arms a fault.
    pub fn fault(&self, fault: Fault) {
        self.act(|world| world.faults.add(fault));
    }

    /// Makes a DNS server misbehave, or behave again.
    pub fn dns_fault(&self, server: NameServer, fault: Option<DnsFault>) {
        self.act(|world| dns::misbehave(world, server, fault));
    }

    /// Disarms every fault, on DNS servers too, and releases what is held.
    pub fn clear_faults(&self) {
        self.act(|world| {
            for server in NameServer::ALL {
                dns::misbehave(world, server, None);
            }
            world.faults.clear();
        });
    }

    /// Empties the recursive resolver's cache.
    pub fn clear_cache(&self) {
        self.act(dns::clear_cache);
    }

    /// The `n`-th request from now, counted from 1, will stand still at `point` until it is released. With
    /// `mutations_only`, only requests that can change something are counted; token requests never can.
    pub fn hold_at(&self, n: u32, mutations_only: bool, point: HoldPoint) {
        self.act(|world| world.faults.hold(n, mutations_only, point));
    }

    /// Waits until a request stands still, and gives its number in the request log.
    pub async fn wait_until_held(&self) -> usize {
        self.cloud.until(|world| world.faults.held()).await
    }

    /// Lets the held request go on, and holds no other.
    pub fn release(&self) {
        self.act(|world| world.faults.release());
    }

    /// Waits until `n` requests in all have arrived since the log was last emptied.
    pub async fn wait_for_requests(&self, n: usize) {
        self.cloud.until(|world| (world.log.entries().len() >= n).then_some(())).await;
    }

    /// Somebody tries to log on.
    pub fn attack(&self, attack: &Attack) {
        self.act(|world| {
            let now = world.calendar();
            world.azure.log_analytics.logs.attack(attack, now);
        });
    }

    /// Everything that a table holds passes its retention; the table stays.
    pub fn clear_table(&self, table: LogTable) {
        self.act(|world| world.azure.log_analytics.logs.clear(table));
    }

    /// The workspace loses a table, as if nothing had ever been sent to it.
    pub fn drop_table(&self, table: LogTable) {
        self.act(|world| world.azure.log_analytics.logs.drop(table));
    }

    /// Makes a resource of the network provider as old as if it had been made at `at`, by its name.
    ///
    /// # Errors
    /// When there is no such resource.
    pub fn made_at(&self, name: &str, at: OffsetDateTime) -> Result<(), ControlError> {
        self.try_act(|world| outside::made_at(world, name, at))
    }

    /// Ends every access token that was issued.
    pub fn expire_tokens(&self) {
        self.act(|world| {
            let now = world.now();
            world.azure.directory.expire_tokens(now);
        });
    }

    /// Switches a Cloudflare API token off, by its secret, or on again.
    ///
    /// # Errors
    /// When there is no such token.
    pub fn switch_token(&self, secret: &str, on: bool) -> Result<(), ControlError> {
        self.try_act(|world| cloudflare::switch_token_by_hand(world, secret, on))
    }

    /// Replaces what a principal may do by `actions` (such as `Microsoft.Network/dnszones/*`, `*` for any text) at
    /// `scope` (a resource id, or `/`).
    ///
    /// # Errors
    /// When there is no such principal.
    pub fn grant(&self, client_id: &str, actions: &[&str], scope: &str) -> Result<(), ControlError> {
        self.try_act(|world| outside::grant(world, client_id, actions, scope))
    }

    /// Multiplies every throttling period from here on.
    pub fn throttle_scale(&self, scale: f64) {
        self.act(|world| world.throttle_scale = scale);
    }

    /// How long operations that begin from here on run.
    pub fn operation_delay(&self, delay: Duration) {
        self.act(|world| world.options.operation_delay = delay);
    }

    /// How long labels that are given up from here on stay reserved.
    pub fn label_reservation(&self, reservation: Duration) {
        self.act(|world| world.options.label_reservation = reservation);
    }

    /// How many public IPs the subscription may have in a region from here on.
    pub fn public_ip_quota(&self, quota: usize) {
        self.act(|world| world.options.public_ip_quota = quota);
    }

    /// What a public IP is at present, as GET would show it.
    #[must_use]
    pub fn public_ip(&self, name: &str) -> Option<Value> {
        self.cloud.with(|world| outside::shown(world, name))
    }

    /// What an Azure DNS record set is at present, as GET would show it.
    #[must_use]
    pub fn record_azure(&self, name: &str, kind: &str) -> Option<Value> {
        self.cloud.with(|world| record_set::shown_by_hand(world, name, kind))
    }

    /// Every record of both providers as it is at present, but for those at `name`: what others made.
    #[must_use]
    pub fn records_without(&self, name: &str) -> Vec<Value> {
        self.cloud.with(|world| {
            let azure = record_set::all(world);
            let others = azure.into_iter().chain(cloudflare::records(world));
            others.filter(|(at, _)| !at.eq_ignore_ascii_case(name)).map(|(_, shown)| shown).collect()
        })
    }

    /// Begins anew: the seed, no faults, an empty log. Addresses, keys and settings stay, and time goes on.
    pub fn reset(&self) {
        self.act(|world| {
            let mut fresh = World::at(world.clock, world.options.clone());
            fresh.addresses = world.addresses.clone();
            *world = fresh;
        });
    }

    fn act(&self, act: impl FnOnce(&mut World)) {
        self.cloud.with(act);
        self.cloud.announce();
    }

    fn try_act(&self, act: impl FnOnce(&mut World) -> Result<(), String>) -> Result<(), ControlError> {
        let done = self.cloud.with(act).map_err(ControlError);
        self.cloud.announce();
        done
    }
}

fn default_ttl() -> u32 {
    3600
}
