//! Record data in Azure DNS's JSON: what is accepted, and how it reads in presentation format (RFC 1035, 5.1).

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

/// The types that Azure DNS holds, with the member of `properties` that carries their data.
pub(crate) const TYPES: [(&str, &str); 10] = [
    ("A", "ARecords"),
    ("AAAA", "AAAARecords"),
    ("CAA", "caaRecords"),
    ("CNAME", "CNAMERecord"),
    ("MX", "MXRecords"),
    ("NS", "NSRecords"),
    ("PTR", "PTRRecords"),
    ("SOA", "SOARecord"),
    ("SRV", "SRVRecords"),
    ("TXT", "TXTRecords"),
];

/// The data member of a type.
pub(crate) fn member(kind: &str) -> Option<&'static str> {
    TYPES.iter().find(|(name, _)| *name == kind).map(|(_, member)| *member)
}

/// The records of a set: an array's elements, or the one object of CNAME and SOA.
pub(crate) fn records<'p>(kind: &str, properties: &'p Map<String, Value>) -> Vec<&'p Value> {
    match member(kind).and_then(|member| properties.get(member)) {
        Some(Value::Array(records)) => records.iter().collect(),
        Some(record @ Value::Object(_)) => vec![record],
        _ => Vec::new(),
    }
}

/// The records of a set in presentation format, names absolute.
pub(crate) fn values(kind: &str, properties: &Map<String, Value>) -> Vec<String> {
    records(kind, properties).into_iter().map(|record| presented(kind, record)).collect()
}

fn presented(kind: &str, record: &Value) -> String {
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| record.get(key).and_then(Value::as_u64).unwrap_or_default();
    match kind {
        "A" => text("ipv4Address").to_owned(),
        "AAAA" => text("ipv6Address").to_owned(),
        "CNAME" => absolute(text("cname")),
        "NS" => absolute(text("nsdname")),
        "PTR" => absolute(text("ptrdname")),
        "MX" => format!("{} {}", number("preference"), absolute(text("exchange"))),
        "SRV" => format!(
            "{} {} {} {}",
            number("priority"),
            number("weight"),
            number("port"),
            absolute(text("target"))
        ),
        "CAA" => format!("{} {} {}", number("flags"), text("tag"), quoted(text("value"))),
        "TXT" => {
            let strings = record.get("value").and_then(Value::as_array);
            let strings = strings.into_iter().flatten().filter_map(Value::as_str);
            strings.map(quoted).collect::<Vec<_>>().join(" ")
        }
        "SOA" => format!(
            "{} {} {} {} {} {} {}",
            absolute(text("host")),
            absolute(text("email")),
            number("serialNumber"),
            number("refreshTime"),
            number("retryTime"),
            number("expireTime"),
            number("minimumTTL")
        ),
        _ => String::new(),
    }
}

/// Why a record cannot be taken; `None` when it can.
pub(crate) fn fault(kind: &str, record: &Value) -> Option<String> {
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
    let number_up_to = |key: &str, most: u64| {
        let fits = record.get(key).and_then(Value::as_u64).is_some_and(|number| number <= most);
        (!fits).then(|| format!("The value for property '{key}' is invalid."))
    };
    let domain = |name: &str| (!is_domain(name)).then(|| format!("The domain name '{name}' is invalid."));
    match kind {
        "A" => {
            let address = text("ipv4Address");
            address.parse::<Ipv4Addr>().err().map(|_| format!("The IP address '{address}' is invalid."))
        }
        "AAAA" => {
            let address = text("ipv6Address");
            address.parse::<Ipv6Addr>().err().map(|_| format!("The IP address '{address}' is invalid."))
        }
        "CNAME" => domain(text("cname")),
        "NS" => domain(text("nsdname")),
        "PTR" => domain(text("ptrdname")),
        "MX" => number_up_to("preference", 65535).or_else(|| domain(text("exchange"))),
        "SRV" => ["priority", "weight", "port"]
            .iter()
            .find_map(|key| number_up_to(key, 65535))
            .or_else(|| domain(text("target"))),
        "CAA" => number_up_to("flags", 255),
        "TXT" => {
            let Some(strings) = record.get("value").and_then(Value::as_array) else {
                return Some("The TXT record has no value.".to_owned());
            };
            let long = strings.iter().filter_map(Value::as_str).any(|string| string.len() > 255);
            long.then(|| "A string of a TXT record is longer than 255 characters.".to_owned())
        }
        _ => None,
    }
}

/// Whether a text can be a domain name: labels of 1 to 63 octets, 253 in all (RFC 1035, 2.3.4).
pub(crate) fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    !name.is_empty() && name.len() <= 253 && name.split('.').all(label)
}

fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_ascii_lowercase() } else { format!("{}.", name.to_ascii_lowercase()) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
