//! One DNS record as the service keeps it, and how a request's body becomes one.
//!
//! Sources: Cloudflare API reference "DNS Records for a Zone", docs "Record attributes" and "Proxy status".

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::content::{self, Body};
use super::error::ApiError;
use crate::model::name::ZoneName;
use crate::sandbox::CloudflarePlan;

/// A stored record; everything in it has passed the service's checks.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: String,
    /// Lower case, Punycode, absolute, no trailing dot; the first label may be `*`.
    pub(crate) name: String,
    /// `A`, `CNAME`, …
    pub(crate) kind: String,
    pub(crate) content: String,
    pub(crate) data: Option<Map<String, Value>>,
    pub(crate) priority: Option<u16>,
    /// Seconds; 1 is automatic.
    pub(crate) ttl: u32,
    pub(crate) proxied: bool,
    pub(crate) comment: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) settings: Map<String, Value>,
    pub(crate) created: OffsetDateTime,
    pub(crate) modified: OffsetDateTime,
    pub(crate) comment_modified: Option<OffsetDateTime>,
    pub(crate) tags_modified: Option<OffsetDateTime>,
}

impl Record {
    /// A new record from the body of a POST.
    ///
    /// # Errors
    /// The service's refusal of the first thing that is wrong.
    pub(crate) fn created(
        body: &Map<String, Value>,
        zone: &ZoneName,
        plan: CloudflarePlan,
        now: OffsetDateTime,
    ) -> Result<Self, ApiError> {
        let mut record = parsed(body, None, zone, plan, now)?;
        record.id = new_id();
        Ok(record)
    }

    /// This record after a PATCH: what the body leaves out stays.
    ///
    /// # Errors
    /// As [`Record::created`].
    pub(crate) fn patched(
        &self,
        body: &Map<String, Value>,
        zone: &ZoneName,
        plan: CloudflarePlan,
        now: OffsetDateTime,
    ) -> Result<Self, ApiError> {
        parsed(body, Some(self), zone, plan, now)
    }

    /// This record after a PUT: what the body leaves out goes back to its default, comment and tags included.
    ///
    /// # Errors
    /// As [`Record::created`].
    pub(crate) fn overwritten(
        &self,
        body: &Map<String, Value>,
        zone: &ZoneName,
        plan: CloudflarePlan,
        now: OffsetDateTime,
    ) -> Result<Self, ApiError> {
        let mut record = parsed(body, None, zone, plan, now)?;
        record.id.clone_from(&self.id);
        record.created = self.created;
        if record.comment == self.comment {
            record.comment_modified = self.comment_modified;
        }
        if record.tags == self.tags {
            record.tags_modified = self.tags_modified;
        }
        Ok(record)
    }

    pub(crate) fn is_proxiable(&self) -> bool {
        content::proxiable(&self.kind, &self.content).is_ok()
    }

    /// Seconds as served: automatic and proxied records are served with 300.
    pub(crate) fn served_ttl(&self) -> u32 {
        if self.proxied || self.ttl == 1 { 300 } else { self.ttl }
    }

    /// Whether the answer shows addresses in place of the CNAME, apart from the apex, where it always does.
    pub(crate) fn is_flattened(&self) -> bool {
        self.kind == "CNAME" && self.settings.get("flatten_cname") == Some(&Value::Bool(true))
    }

    /// The record as the API shows it. `shadowed_by` is given when asked for.
    pub(crate) fn to_json(&self, shadowed_by: Option<&str>) -> Value {
        let mut shown = json!({
            "id": self.id,
            "name": self.name,
            "type": self.kind,
            "content": self.content,
        });
        if let Some(priority) = self.priority {
            shown["priority"] = json!(priority);
        }
        if let Some(data) = &self.data {
            shown["data"] = Value::Object(data.clone());
        }
        shown["proxiable"] = json!(self.is_proxiable());
        shown["proxied"] = json!(self.proxied);
        shown["ttl"] = json!(self.ttl);
        shown["settings"] = Value::Object(self.settings.clone());
        shown["meta"] = shadowed_by.map_or_else(|| json!({}), |name| json!({ "shadowed_by": name }));
        shown["comment"] = json!(self.comment);
        shown["tags"] = json!(self.tags);
        shown["created_on"] = json!(timestamp(self.created));
        shown["modified_on"] = json!(timestamp(self.modified));
        if let Some(at) = self.comment_modified {
            shown["comment_modified_on"] = json!(timestamp(at));
        }
        if let Some(at) = self.tags_modified {
            shown["tags_modified_on"] = json!(timestamp(at));
        }
        shown
    }
}

/// An identifier as the service makes them: 32 hexadecimal digits.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A moment as the service prints it: UTC, to the microsecond, so that two changes within a second differ.
pub(crate) fn timestamp(at: OffsetDateTime) -> String {
    at.replace_microsecond(at.microsecond()).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}

fn parsed(
    body: &Map<String, Value>,
    base: Option<&Record>,
    zone: &ZoneName,
    plan: CloudflarePlan,
    now: OffsetDateTime,
) -> Result<Record, ApiError> {
    // A member that is null counts as absent, save for `comment`, where it clears.
    let given = |key: &str| body.get(key).filter(|value| !value.is_null());
    let kind = match given("type") {
        Some(kind) => text(kind, "type")?.to_ascii_uppercase(),
        None => base.map(|b| b.kind.clone()).ok_or_else(|| required("type"))?,
    };
    if !content::is_kind(&kind) {
        return Err(ApiError::new(400, 9020, "Invalid DNS record type."));
    }
    let name = match given("name") {
        Some(name) => normal_name(&text(name, "name")?, zone)?,
        None => base.map(|b| b.name.clone()).ok_or_else(|| required("name"))?,
    };
    let kept = base.filter(|b| b.kind == kind);
    let Body { content, data, priority } = content::read(&kind, body, kept)?;
    if kind == "CNAME" && content == name {
        return Err(ApiError::new(400, 9039, "CNAME content cannot reference itself."));
    }
    let proxied = match given("proxied") {
        Some(proxied) => flag(proxied, "proxied")?,
        None => base.is_some_and(|b| b.proxied),
    };
    if proxied {
        content::proxiable(&kind, &content)?;
    }
    let ttl = match given("ttl") {
        Some(ttl) => read_ttl(ttl, plan)?,
        None => base.map_or(1, |b| b.ttl),
    };
    let comment = match body.get("comment") {
        Some(comment) => read_comment(comment, plan)?,
        None => base.and_then(|b| b.comment.clone()),
    };
    let tags = match given("tags") {
        Some(tags) => read_tags(tags, plan)?,
        None => base.map(|b| b.tags.clone()).unwrap_or_default(),
    };
    let settings = match given("settings") {
        Some(settings) => read_settings(settings, plan)?,
        None => base.map(|b| b.settings.clone()).unwrap_or_default(),
    };
    let comment_modified = match base {
        Some(base) if base.comment == comment => base.comment_modified,
        _ => comment.is_some().then_some(now),
    };
    let tags_modified = match base {
        Some(base) if base.tags == tags => base.tags_modified,
        _ => (!tags.is_empty()).then_some(now),
    };
    Ok(Record {
        id: base.map(|b| b.id.clone()).unwrap_or_default(),
        name,
        kind,
        content,
        data,
        priority,
        // A proxied record is always automatic, whatever is asked.
        ttl: if proxied { 1 } else { ttl },
        proxied,
        comment,
        tags,
        settings,
        created: base.map_or(now, |b| b.created),
        modified: now,
        comment_modified,
        tags_modified,
    })
}

/// A name as the service stores it: `@` and relative names are completed, case and Unicode are folded.
fn normal_name(text: &str, zone: &ZoneName) -> Result<String, ApiError> {
    let invalid = || ApiError::new(400, 9000, "DNS name is invalid.");
    let apex = zone.apex().as_str();
    let written = text.trim().strip_suffix('.').unwrap_or_else(|| text.trim());
    if written.is_empty() || written == "@" {
        return Ok(apex.to_owned());
    }
    let name = folded(written).ok_or_else(invalid)?;
    let name =
        if name == apex || name.ends_with(&format!(".{apex}")) { name } else { format!("{name}.{apex}") };
    if name.len() > 253 || !name.split('.').enumerate().all(|(n, label)| is_label(label, n == 0)) {
        return Err(invalid());
    }
    Ok(name)
}

/// Lower case and Punycode; `None` where Unicode does not map.
pub(crate) fn folded(name: &str) -> Option<String> {
    if name.is_ascii() { Some(name.to_ascii_lowercase()) } else { idna::domain_to_ascii(name).ok() }
}

fn is_label(label: &str, first: bool) -> bool {
    (first && label == "*")
        || (!label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))
}

fn read_ttl(value: &Value, plan: CloudflarePlan) -> Result<u32, ApiError> {
    let floor = plan.ttl_floor();
    let seconds = number(value).filter(|ttl| *ttl == 1 || (floor..=86_400).contains(ttl));
    seconds.and_then(|ttl| u32::try_from(ttl).ok()).ok_or_else(|| {
        let text = format!("Invalid TTL. Must be between {floor} and 86400 seconds, or 1 for Automatic.");
        ApiError::new(400, 9021, text)
    })
}

fn read_comment(value: &Value, plan: CloudflarePlan) -> Result<Option<String>, ApiError> {
    if value.is_null() {
        return Ok(None);
    }
    let comment = text(value, "comment")?;
    if comment.chars().count() > plan.comment() {
        let limit = plan.comment();
        let message = format!("DNS record comment exceeds the maximum length of {limit} characters.");
        return Err(ApiError::new(400, 9313, message));
    }
    if comment.contains(['\n', '\r']) {
        return Err(ApiError::validation("DNS record comment contains invalid characters."));
    }
    Ok(Some(comment).filter(|comment| !comment.is_empty()))
}

fn read_tags(value: &Value, plan: CloudflarePlan) -> Result<Vec<String>, ApiError> {
    let list = value.as_array().ok_or_else(|| mistyped("tags", "array"))?;
    let tags = list.iter().map(|tag| text(tag, "tags")).collect::<Result<Vec<_>, _>>()?;
    if tags.len() > plan.tags() {
        let message = format!("DNS record has {} tags, exceeding the quota of {}.", tags.len(), plan.tags());
        return Err(ApiError::new(400, 9300, message));
    }
    for tag in &tags {
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if name.is_empty() || name.len() > 32 || value.len() > 100 || !name.bytes().all(legal) {
            return Err(ApiError::validation(format!("DNS record tag {tag:?} is invalid.")));
        }
    }
    Ok(tags)
}

fn read_settings(value: &Value, plan: CloudflarePlan) -> Result<Map<String, Value>, ApiError> {
    let settings = value.as_object().ok_or_else(|| mistyped("settings", "object"))?;
    for (key, value) in settings {
        if !SETTINGS.contains(&key.as_str()) || !value.is_boolean() {
            return Err(ApiError::validation(format!("DNS record setting {key:?} is invalid.")));
        }
        if key == "flatten_cname" && value == &Value::Bool(true) && !plan.is_paid() {
            return Err(ApiError::validation("CNAME flattening is not available on this plan."));
        }
    }
    Ok(settings.clone())
}

/// A required member is missing.
pub(crate) fn required(key: &str) -> ApiError {
    ApiError::validation(format!("{key} is a required field."))
}

/// A member has the wrong JSON type.
pub(crate) fn mistyped(key: &str, wanted: &str) -> ApiError {
    ApiError::new(400, 9207, format!("Request body is invalid: {key} must be of type {wanted}."))
}

/// A string member.
pub(crate) fn text(value: &Value, key: &str) -> Result<String, ApiError> {
    value.as_str().map(str::to_owned).ok_or_else(|| mistyped(key, "string"))
}

/// A whole number, also one written `60.0`.
pub(crate) fn number(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked on the left")]
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e9).contains(n)).map(|n| n as u64))
}

fn flag(value: &Value, key: &str) -> Result<bool, ApiError> {
    value.as_bool().ok_or_else(|| mistyped(key, "boolean"))
}

const SETTINGS: [&str; 3] = ["flatten_cname", "ipv4_only", "ipv6_only"];
