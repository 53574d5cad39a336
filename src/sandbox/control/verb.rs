//! The verbs by name, as they come in over HTTP or stand in a day's plan.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::resource::listed;
use super::{Control, ControlError, LegacyPublicIp, RecordAtAzure};
use crate::sandbox::azure::compute::Speaks;
use crate::sandbox::fault::{DnsFault, Fault, HoldPoint, NameServer};
use crate::sandbox::{Attack, Delegation, LogTable};

/// Everything that the outside world can be made to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Verb {
    StartVm,
    DeallocateVm,
    CreateVm {
        name: String,
        interface: String,
    },
    RecreatePublicIp {
        name: String,
    },
    DeletePublicIp {
        name: String,
    },
    CreateLegacyPublicIp(LegacyPublicIp),
    Relabel {
        name: String,
        label: Option<String>,
    },
    EditPublicIp {
        name: String,
        changes: Value,
    },
    ShowPublicIp {
        name: String,
    },
    StrangerTakesLabel {
        label: String,
    },
    StrangerReleasesLabel {
        label: String,
    },
    SetRecordAzure(RecordAtAzure),
    DeleteRecordAzure {
        name: String,
        r#type: String,
    },
    SetRecordCloudflare(Value),
    DeleteRecordCloudflare {
        name: String,
        r#type: String,
    },
    AddZoneCloudflare {
        name: String,
    },
    DeleteZoneCloudflare {
        name: String,
    },
    Proxy {
        name: String,
        proxied: bool,
    },
    Delegate {
        to: Delegation,
    },
    Fault(Fault),
    DnsFault {
        server: NameServer,
        fault: Option<DnsFault>,
    },
    ClearFaults,
    ClearCache,
    HoldAt {
        n: u32,
        #[serde(default)]
        mutations_only: bool,
        #[serde(default = "before")]
        point: HoldPoint,
    },
    WaitUntilHeld,
    Release,
    Attack(Attack),
    ClearTable {
        table: LogTable,
    },
    DropTable {
        table: LogTable,
    },
    MadeAt {
        name: String,
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
    ShowResource {
        id: String,
    },
    Resources,
    EditResource {
        id: String,
        changes: Value,
    },
    PutResource {
        id: String,
        body: Value,
    },
    DeleteResource {
        id: String,
    },
    KeepBusy {
        id: String,
        milliseconds: u64,
    },
    Service {
        port: u16,
        speaks: Speaks,
    },
    ClientAddress {
        address: IpAddr,
    },
    ExpireTokens,
    SwitchToken {
        token: String,
        on: bool,
    },
    Grant {
        client_id: String,
        actions: Vec<String>,
        scope: String,
    },
    ThrottleScale {
        scale: f64,
    },
    OperationDelay {
        milliseconds: u64,
    },
    PublicIpQuota {
        quota: usize,
    },
    LabelReservation {
        milliseconds: u64,
    },
    Reset,
}

impl Verb {
    /// The verb that is called so, with `body` for its fields.
    ///
    /// # Errors
    /// What is wrong with either, in words.
    pub(super) fn parse(verb: &str, body: &Value) -> Result<Self, String> {
        if !VERBS.iter().any(|(known, _)| *known == verb) {
            return Err(format!("there is no verb {verb}; see GET /control"));
        }
        if !body.is_object() {
            return Err("the body is a JSON object".to_owned());
        }
        // A verb without fields is a plain text to serde.
        let value = if UNITS.contains(&verb) { json!(verb) } else { json!({verb: body}) };
        serde_json::from_value(value).map_err(|cause| cause.to_string())
    }

    /// Does it; gives what it has to tell.
    pub(super) async fn run(self, control: &Control) -> Result<Value, ControlError> {
        match self {
            Self::StartVm => control.start_vm(),
            Self::DeallocateVm => control.deallocate_vm(),
            Self::CreateVm { name, interface } => control.create_vm(&name, &interface)?,
            Self::RecreatePublicIp { name } => control.recreate_public_ip(&name)?,
            Self::DeletePublicIp { name } => control.delete_public_ip(&name)?,
            Self::CreateLegacyPublicIp(wanted) => control.create_legacy_public_ip(&wanted)?,
            Self::Relabel { name, label } => control.relabel(&name, label.as_deref())?,
            Self::EditPublicIp { name, changes } => control.edit_public_ip(&name, &changes)?,
            Self::ShowPublicIp { name } => return Ok(json!(control.public_ip(&name))),
            Self::StrangerTakesLabel { label } => control.stranger_takes_label(&label)?,
            Self::StrangerReleasesLabel { label } => control.stranger_releases_label(&label)?,
            Self::SetRecordAzure(record) => control.set_record_azure(&record)?,
            Self::DeleteRecordAzure { name, r#type } => control.delete_record_azure(&name, &r#type)?,
            Self::SetRecordCloudflare(record) => control.set_record_cloudflare(&record)?,
            Self::DeleteRecordCloudflare { name, r#type } => {
                control.delete_record_cloudflare(&name, &r#type)?
            }
            Self::AddZoneCloudflare { name } => {
                return Ok(json!({"id": control.add_zone_cloudflare(&name)?}));
            }
            Self::DeleteZoneCloudflare { name } => control.delete_zone_cloudflare(&name)?,
            Self::Proxy { name, proxied } => control.proxy(&name, proxied)?,
            Self::Delegate { to } => control.delegate(to),
            Self::Fault(fault) => control.fault(fault),
            Self::DnsFault { server, fault } => control.dns_fault(server, fault),
            Self::ClearFaults => control.clear_faults(),
            Self::ClearCache => control.clear_cache(),
            Self::HoldAt { n, mutations_only, point } => control.hold_at(n, mutations_only, point),
            Self::WaitUntilHeld => return Ok(json!({"number": control.wait_until_held().await})),
            Self::Release => control.release(),
            Self::Attack(attack) => control.attack(&attack),
            Self::ClearTable { table } => control.clear_table(table),
            Self::DropTable { table } => control.drop_table(table),
            Self::MadeAt { name, at } => control.made_at(&name, at)?,
            Self::ShowResource { id } => return Ok(json!(control.show_resource(&id))),
            Self::Resources => return Ok(listed(control)),
            Self::EditResource { id, changes } => control.edit_resource(&id, &changes)?,
            Self::PutResource { id, body } => control.put_resource(&id, &body)?,
            Self::DeleteResource { id } => control.delete_resource(&id)?,
            Self::KeepBusy { id, milliseconds } => {
                control.keep_busy(&id, Duration::from_millis(milliseconds))?;
            }
            Self::Service { port, speaks } => control.service(port, speaks),
            Self::ClientAddress { address } => control.client_address(address),
            Self::ExpireTokens => control.expire_tokens(),
            Self::SwitchToken { token, on } => control.switch_token(&token, on)?,
            Self::Grant { client_id, actions, scope } => {
                let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
                control.grant(&client_id, &actions, &scope)?;
            }
            Self::ThrottleScale { scale } => control.throttle_scale(scale),
            Self::OperationDelay { milliseconds } => {
                control.operation_delay(Duration::from_millis(milliseconds))
            }
            Self::PublicIpQuota { quota } => control.public_ip_quota(quota),
            Self::LabelReservation { milliseconds } => {
                control.label_reservation(Duration::from_millis(milliseconds));
            }
            Self::Reset => control.reset(),
        }
        Ok(json!({}))
    }
}

const fn before() -> HoldPoint {
    HoldPoint::Before
}

/// The verbs and what their bodies hold; a question mark stands behind what may be left out.
pub(super) const VERBS: [(&str, &str); 46] = [
    ("start-vm", ""),
    ("deallocate-vm", ""),
    ("create-vm", "name interface"),
    ("recreate-public-ip", "name"),
    ("delete-public-ip", "name"),
    ("create-legacy-public-ip", "name? resource_group? label? dynamic? attached? tags?"),
    ("relabel", "name label?"),
    ("edit-public-ip", "name changes"),
    ("show-public-ip", "name"),
    ("stranger-takes-label", "label"),
    ("stranger-releases-label", "label"),
    ("set-record-azure", "name type ttl? values? metadata? target?"),
    ("delete-record-azure", "name type"),
    ("set-record-cloudflare", "name type content ttl? proxied? comment? tags?"),
    ("delete-record-cloudflare", "name type"),
    ("add-zone-cloudflare", "name"),
    ("delete-zone-cloudflare", "name"),
    ("proxy", "name proxied"),
    ("delegate", "to: both | azure | cloudflare"),
    (
        "fault",
        "service? method? path? nth? times? action: {kind: status | html | truncated | reset | lost-answer | hang | latency | operation-fails | operation-superseded, …}",
    ),
    (
        "dns-fault",
        "server: azure1 | azure2 | cloudflare1 | cloudflare2 | label | recursive; fault?: silent | serv-fail | refused | stale",
    ),
    ("clear-faults", ""),
    ("clear-cache", ""),
    ("hold-at", "n mutations_only? point?: before | after"),
    ("wait-until-held", ""),
    ("release", ""),
    ("attack", "table?: SecurityEvent | Syslog count? account? address? at? message? succeed?"),
    ("clear-table", "table: SecurityEvent | Syslog"),
    ("drop-table", "table: SecurityEvent | Syslog"),
    ("made-at", "name at"),
    ("show-resource", "id"),
    ("resources", ""),
    ("edit-resource", "id changes"),
    ("put-resource", "id body"),
    ("delete-resource", "id"),
    ("keep-busy", "id milliseconds"),
    ("service", "port speaks: rdp | ssh | http | nothing | closed"),
    ("client-address", "address"),
    ("expire-tokens", ""),
    ("switch-token", "token on"),
    ("grant", "client_id actions scope"),
    ("throttle-scale", "scale"),
    ("operation-delay", "milliseconds"),
    ("public-ip-quota", "quota"),
    ("label-reservation", "milliseconds"),
    ("reset", ""),
];
const UNITS: [&str; 9] = [
    "resources",
    "start-vm",
    "deallocate-vm",
    "clear-faults",
    "clear-cache",
    "wait-until-held",
    "release",
    "expire-tokens",
    "reset",
];
