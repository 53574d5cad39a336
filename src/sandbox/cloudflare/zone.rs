//! One zone with its records, and the rules that records obey among each other.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::error::ApiError;
use super::record::{self, Record, timestamp};
use crate::model::name::ZoneName;
use crate::sandbox::CloudflarePlan;

/// A zone.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) id: String,
    pub(crate) name: ZoneName,
    pub(crate) plan: CloudflarePlan,
    pub(crate) account: (String, String),
    /// Whether its servers answer for it; a zone that another account had first waits (docs, "Zone status").
    pub(crate) active: bool,
    pub(crate) created: OffsetDateTime,
    /// In order of creation.
    pub(crate) records: Vec<Record>,
    pub(crate) multi_provider: bool,
    pub(crate) flatten_all: bool,
    /// `soa.min_ttl`, seconds: how long an absence is cached (RFC 2308).
    pub(crate) negative_ttl: u32,
    /// Counts the changes; the SOA's serial.
    pub(crate) serial: u32,
}

impl Zone {
    pub(crate) fn new(id: &str, name: ZoneName, plan: CloudflarePlan, now: OffsetDateTime) -> Self {
        Self {
            id: id.to_owned(),
            name,
            plan,
            account: (ACCOUNT.to_owned(), "Contoso".to_owned()),
            active: true,
            created: now,
            records: Vec::new(),
            multi_provider: false,
            flatten_all: false,
            negative_ttl: 1_800,
            serial: 2_362_000_000,
        }
    }

    pub(crate) fn record(&self, id: &str) -> Result<&Record, ApiError> {
        self.records.iter().find(|record| record.id == id).ok_or_else(ApiError::no_record)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The refusal of the body, of the coexistence rules, or of the quota.
    pub(crate) fn create(
        &mut self,
        body: &Map<String, Value>,
        now: OffsetDateTime,
    ) -> Result<Record, ApiError> {
        let record = Record::created(body, &self.name, self.plan, now)?;
        self.check(&record)?;
        if self.records.len() >= self.plan.records() {
            return Err(ApiError::quota());
        }
        self.records.push(record.clone());
        self.serial += 1;
        Ok(record)
    }

    /// Changes what the body names and keeps the rest.
    ///
    /// # Errors
    /// As [`Zone::create`], and 81044 for an unknown id.
    pub(crate) fn patch(
        &mut self,
        id: &str,
        body: &Map<String, Value>,
        now: OffsetDateTime,
    ) -> Result<Record, ApiError> {
        let record = self.record(id)?.patched(body, &self.name, self.plan, now)?;
        self.replace(record)
    }

    /// Sets the record to the body; what that leaves out is lost.
    ///
    /// # Errors
    /// As [`Zone::patch`].
    pub(crate) fn put(
        &mut self,
        id: &str,
        body: &Map<String, Value>,
        now: OffsetDateTime,
    ) -> Result<Record, ApiError> {
        let record = self.record(id)?.overwritten(body, &self.name, self.plan, now)?;
        self.replace(record)
    }

    /// Removes a record and gives it back.
    ///
    /// # Errors
    /// 81044 for an unknown id.
    pub(crate) fn delete(&mut self, id: &str) -> Result<Record, ApiError> {
        let at = self.records.iter().position(|record| record.id == id).ok_or_else(ApiError::no_record)?;
        self.serial += 1;
        Ok(self.records.remove(at))
    }

    /// The delegation below the apex that hides `record` from the public.
    pub(crate) fn shadowed_by(&self, record: &Record) -> Option<&str> {
        let apex = self.name.apex().as_str();
        let cuts = self.records.iter().filter(|other| other.kind == "NS" && other.name != apex);
        let below = |cut: &str| record.name.strip_suffix(cut).is_some_and(|rest| rest.ends_with('.'));
        cuts.map(|cut| cut.name.as_str()).find(|cut| below(cut))
    }

    pub(crate) fn status(&self) -> &'static str {
        if self.active { "active" } else { "pending" }
    }

    /// The zone as the API shows it.
    pub(crate) fn to_json(&self, edit: bool) -> Value {
        let permissions: &[&str] = if edit {
            &["#zone:read", "#dns_records:read", "#dns_records:edit"]
        } else {
            &["#zone:read", "#dns_records:read"]
        };
        json!({
            "id": self.id,
            "name": self.name.to_string(),
            "status": self.status(),
            "paused": false,
            "type": "full",
            "development_mode": 0,
            "name_servers": NAME_SERVERS,
            "original_name_servers": ["ns1.originaldnshost.com", "ns2.originaldnshost.com"],
            "original_registrar": null,
            "original_dnshost": null,
            "modified_on": timestamp(self.created),
            "created_on": timestamp(self.created),
            "activated_on": self.active.then(|| timestamp(self.created)),
            "meta": {
                "step": 2,
                "custom_certificate_quota": 0,
                "page_rule_quota": 3,
                "phishing_detected": false,
            },
            "owner": { "id": USER, "type": "user", "name": "ops@contoso.com" },
            "account": { "id": self.account.0, "name": self.account.1 },
            "tenant": { "id": null, "name": null },
            "tenant_unit": { "id": null },
            "permissions": permissions,
            "plan": {
                "id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
                "name": self.plan.name(),
                "price": 0,
                "currency": "USD",
                "frequency": "",
                "is_subscribed": self.plan.is_paid(),
                "can_subscribe": false,
                "legacy_id": self.plan.legacy_id(),
                "legacy_discount": false,
                "externally_managed": false,
            },
        })
    }

    /// `dns_settings` as the API shows them.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "flatten_all_cnames": self.flatten_all,
            "foundation_dns": false,
            "multi_provider": self.multi_provider,
            "nameservers": { "type": "cloudflare.standard" },
            "ns_ttl": NS_TTL,
            "secondary_overrides": false,
            "soa": {
                "expire": 604_800,
                "min_ttl": self.negative_ttl,
                "mname": NAME_SERVERS[0],
                "refresh": 10_000,
                "retry": 2_400,
                "rname": "dns.cloudflare.com",
                "ttl": SOA_TTL,
            },
            "zone_mode": "standard",
        })
    }

    /// Changes `dns_settings`.
    ///
    /// # Errors
    /// 1004 for a value out of range or a feature beyond the plan.
    pub(crate) fn change_settings(&mut self, body: &Map<String, Value>) -> Result<Value, ApiError> {
        let flag = |key: &str| {
            body.get(key).map(|value| value.as_bool().ok_or_else(|| record::mistyped(key, "boolean")))
        };
        let multi_provider = flag("multi_provider").transpose()?.unwrap_or(self.multi_provider);
        let flatten_all = flag("flatten_all_cnames").transpose()?.unwrap_or(self.flatten_all);
        if flatten_all && !self.plan.is_paid() {
            return Err(ApiError::validation("CNAME flattening is not available on this plan."));
        }
        let mut negative_ttl = self.negative_ttl;
        if let Some(wanted) = body.get("soa").and_then(|soa| soa.get("min_ttl")) {
            let seconds = record::number(wanted).filter(|n| (60..=86_400).contains(n));
            let seconds = seconds.and_then(|n| u32::try_from(n).ok());
            negative_ttl = seconds
                .ok_or_else(|| ApiError::validation("soa.min_ttl must be between 60 and 86400 seconds."))?;
        }
        (self.multi_provider, self.flatten_all, self.negative_ttl) =
            (multi_provider, flatten_all, negative_ttl);
        self.serial += 1;
        Ok(self.settings())
    }

    fn replace(&mut self, record: Record) -> Result<Record, ApiError> {
        self.check(&record)?;
        if let Some(held) = self.records.iter_mut().find(|held| held.id == record.id) {
            *held = record.clone();
        }
        self.serial += 1;
        Ok(record)
    }

    // What may stand at one name: addresses not beside a CNAME, one CNAME, a delegation alone, nothing twice.
    fn check(&self, record: &Record) -> Result<(), ApiError> {
        let is_cut = record.kind == "NS" && record.name != self.name.apex().as_str();
        let is_address = |kind: &str| matches!(kind, "A" | "AAAA");
        // A delegation may be signed (RFC 4035, 2.4); nothing else stands beside it.
        let signs = |one: &str, other: &str| one == "DS" && other == "NS";
        let beside = self.records.iter().filter(|held| held.id != record.id && held.name == record.name);
        for held in beside {
            if held.kind == record.kind && held.content == record.content && held.priority == record.priority
            {
                return Err(ApiError::identical());
            }
            if signs(&record.kind, &held.kind) || signs(&held.kind, &record.kind) {
                continue;
            }
            let host = is_address(&held.kind) || held.kind == "CNAME";
            if record.kind == "CNAME" && host {
                return Err(ApiError::host_exists());
            }
            if is_address(&record.kind) && held.kind == "CNAME" {
                return Err(ApiError::cname_exists());
            }
            if self.name.apex().as_str() != record.name && held.kind == "NS" && !is_cut {
                return Err(ApiError::ns_exists());
            }
            if is_cut && held.kind != "NS" {
                return Err(if host { ApiError::host_exists() } else { ApiError::record_exists() });
            }
        }
        Ok(())
    }
}

/// The name servers that the service gives to every zone here.
pub(crate) const NAME_SERVERS: [&str; 2] = ["cora.ns.cloudflare.com", "hank.ns.cloudflare.com"];
/// Seconds.
pub(crate) const NS_TTL: u32 = 86_400;
/// Seconds.
pub(crate) const SOA_TTL: u32 = 3_600;
/// The account that owns the zones.
pub(crate) const ACCOUNT: &str = "01a7362d577a6c3019a474fd6f485823";
const USER: &str = "7c5dae5552338874e5053f2534d2767a";
