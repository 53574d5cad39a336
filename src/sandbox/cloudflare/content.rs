//! What each record type takes as `content` or `data`, and which of them can be proxied.
//!
//! A, AAAA, CNAME, MX, NS, OPENPGPKEY, PTR and TXT are written by `content`; the other types by `data`, of which
//! `content` is a rendering that only the service writes. Source: Cloudflare API reference, the record schemas.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use super::error::ApiError;
use super::record::{Record, folded, number, required, text};

/// The part of a record that its type rules.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Body {
    pub(crate) content: String,
    pub(crate) data: Option<Map<String, Value>>,
    pub(crate) priority: Option<u16>,
}

/// Whether the service knows the record type.
pub(crate) fn is_kind(kind: &str) -> bool {
    SIMPLE.contains(&kind) || !fields(kind).is_empty()
}

/// Reads `content`, `data` and `priority` of a request. `kept` is the record that a PATCH starts from.
///
/// # Errors
/// 9005 and its neighbours for content that the type does not take, 1004 for a member that is missing.
pub(crate) fn read(kind: &str, body: &Map<String, Value>, kept: Option<&Record>) -> Result<Body, ApiError> {
    let given = |key: &str| body.get(key).filter(|value| !value.is_null());
    let mut priority = match given("priority") {
        Some(value) => Some(read_priority(value)?),
        None => kept.and_then(|kept| kept.priority),
    };
    if fields(kind).is_empty() {
        let content = match given("content") {
            Some(content) => simple(kind, &text(content, "content")?)?,
            None => kept.map(|kept| kept.content.clone()).ok_or_else(|| required("content"))?,
        };
        if kind != "MX" {
            priority = None;
        } else if priority.is_none() {
            return Err(required("priority"));
        }
        return Ok(Body { content, data: None, priority });
    }
    let mut data = match (given("data"), kept) {
        (Some(data), _) => {
            data.as_object().cloned().ok_or_else(|| super::record::mistyped("data", "object"))?
        }
        (None, Some(kept)) => kept.data.clone().unwrap_or_default(),
        (None, None) => return Err(required("data")),
    };
    if matches!(kind, "SRV" | "URI") {
        let own = data.get("priority").and_then(number).and_then(|n| u16::try_from(n).ok());
        priority = own.or(priority);
        let priority = priority.ok_or_else(|| required("priority"))?;
        if kind == "SRV" {
            data.insert("priority".to_owned(), priority.into());
        }
    } else {
        priority = None;
    }
    let content = rendered(kind, &mut data)?;
    Ok(Body { content, data: Some(data), priority })
}

/// Whether a record may be proxied.
///
/// # Errors
/// 9004 for a type that never is, 9041 for an address out of reach, 9003 for one of Cloudflare's own.
pub(crate) fn proxiable(kind: &str, content: &str) -> Result<(), ApiError> {
    let address: Option<IpAddr> = match kind {
        "CNAME" => return Ok(()),
        "A" | "AAAA" => content.parse().ok(),
        _ => return Err(ApiError::new(400, 9004, "This kind of record cannot be proxied")),
    };
    if content == "1.1.1.1" || content == "1.0.0.1" {
        let message = format!("Target {content} is not allowed for a proxied record.");
        return Err(ApiError::new(400, 9003, message));
    }
    let private = match address {
        Some(IpAddr::V4(v4)) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        Some(IpAddr::V6(v6)) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        None => true,
    };
    if private {
        let message = "This DNS record cannot be proxied - click the cloud icon to turn it gray to proceed";
        return Err(ApiError::new(400, 9041, message));
    }
    Ok(())
}

fn simple(kind: &str, written: &str) -> Result<String, ApiError> {
    let written = written.trim();
    match kind {
        "A" => written
            .parse::<Ipv4Addr>()
            .map(|address| address.to_string())
            .map_err(|_| ApiError::new(400, 9005, "Content for A record must be a valid IPv4 address.")),
        "AAAA" => written
            .parse::<Ipv6Addr>()
            .map(|address| address.to_string())
            .map_err(|_| ApiError::new(400, 9006, "Content for AAAA record must be a valid IPv6 address.")),
        "CNAME" => {
            hostname(written).ok_or_else(|| ApiError::new(400, 9007, "Content for CNAME record is invalid."))
        }
        "MX" => hostname(written)
            .ok_or_else(|| ApiError::new(400, 9009, "Content for MX record must be a hostname.")),
        "NS" => {
            hostname(written).ok_or_else(|| ApiError::validation("Content for NS record must be a hostname."))
        }
        "PTR" => hostname(written)
            .ok_or_else(|| ApiError::validation("Content for PTR record must be a hostname.")),
        "TXT" if written.is_empty() || written.len() > 4_096 => {
            Err(ApiError::validation("Content for TXT record must have 1 to 4096 characters."))
        }
        _ => Ok(written.to_owned()),
    }
}

/// A hostname as stored: lower case, Punycode, no trailing dot. An address is not one.
fn hostname(written: &str) -> Option<String> {
    let name = folded(written.strip_suffix('.').unwrap_or(written))?;
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let legal = name.len() <= 253 && name.parse::<IpAddr>().is_err() && name.split('.').all(label);
    legal.then_some(name)
}

/// `content` of a record that is written by `data`; numbers that came as text become numbers.
fn rendered(kind: &str, data: &mut Map<String, Value>) -> Result<String, ApiError> {
    let mut parts = Vec::new();
    for field in fields(kind) {
        let (key, form) = (field.0, field.1);
        let value = data.get(key).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| required(&format!("data.{key}")))?;
        match form {
            Form::Number => {
                let read = number(value).or_else(|| value.as_str().and_then(|text| text.parse().ok()));
                let read = read.filter(|n| *n <= 65_535);
                let read = read
                    .ok_or_else(|| ApiError::validation(format!("data.{key} must be a number to 65535.")))?;
                data.insert(key.to_owned(), read.into());
                parts.push(read.to_string());
            }
            Form::Text => parts.push(text(value, key)?.trim().to_owned()),
            Form::Quoted => parts.push(format!("\"{}\"", text(value, key)?)),
        }
    }
    Ok(parts.join(" ").trim().to_owned())
}

fn read_priority(value: &Value) -> Result<u16, ApiError> {
    let read = number(value).and_then(|n| u16::try_from(n).ok());
    read.ok_or_else(|| ApiError::validation("priority must be a number from 0 to 65535."))
}

#[derive(Clone, Copy)]
enum Form {
    Number,
    Text,
    Quoted,
}

/// The members of `data` in the order of the presentation format, for the types that are written so.
fn fields(kind: &str) -> &'static [(&'static str, Form)] {
    use Form::{Number, Quoted, Text};
    match kind {
        "CAA" => &[("flags", Number), ("tag", Text), ("value", Quoted)],
        "CERT" => &[("type", Number), ("key_tag", Number), ("algorithm", Number), ("certificate", Text)],
        "DNSKEY" => &[("flags", Number), ("protocol", Number), ("algorithm", Number), ("public_key", Text)],
        "DS" => &[("key_tag", Number), ("algorithm", Number), ("digest_type", Number), ("digest", Text)],
        "HTTPS" | "SVCB" => &[("priority", Number), ("target", Text), ("value", Text)],
        "LOC" => &[
            ("lat_degrees", Number),
            ("lat_direction", Text),
            ("long_degrees", Number),
            ("long_direction", Text),
        ],
        "NAPTR" => &[
            ("order", Number),
            ("preference", Number),
            ("flags", Quoted),
            ("service", Quoted),
            ("regex", Quoted),
            ("replacement", Text),
        ],
        "SMIMEA" | "TLSA" => {
            &[("usage", Number), ("selector", Number), ("matching_type", Number), ("certificate", Text)]
        }
        "SRV" => &[("weight", Number), ("port", Number), ("target", Text)],
        "SSHFP" => &[("algorithm", Number), ("type", Number), ("fingerprint", Text)],
        "URI" => &[("weight", Number), ("target", Quoted)],
        _ => &[],
    }
}

const SIMPLE: [&str; 8] = ["A", "AAAA", "CNAME", "MX", "NS", "OPENPGPKEY", "PTR", "TXT"];
