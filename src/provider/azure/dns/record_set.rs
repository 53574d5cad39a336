//! A record set as Azure tells it ↔ as we know it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use azure_mgmt_dns::package_2018_05::models;
use serde_json::{Map, Value, json};

use super::{at, text_at};
use crate::model::name::{Fqdn, ZoneName};
use crate::model::record::{Content, Data, Owner, RecordSet, RecordType, Ttl, Version, mark};
use crate::model::state::Zone;

/// Parses a record set; `None` when it has no name that a record of ours could have, or no version.
pub(super) fn parse(zone: &Zone, document: &Value) -> Option<RecordSet> {
    told(zone, document).filter(|set| !set.version.0.is_empty())
}

/// As [`parse`]; the version is empty where none is told.
pub(super) fn told(zone: &Zone, document: &Value) -> Option<RecordSet> {
    let name = name(&zone.name, document)?;
    let rtype = rtype(document)?;
    let properties = document.get("properties")?;
    let ttl = member(properties, "TTL").and_then(Value::as_u64).unwrap_or(1);
    let ttl = u32::try_from(ttl).ok().and_then(Ttl::new);
    Some(RecordSet {
        name,
        content: Content {
            data: data(properties, rtype),
            // Outside the range that exists it differs from whatever is wanted, which is all that matters.
            ttl: ttl.unwrap_or(Ttl::AUTOMATIC),
            proxied: false,
        },
        mark: marked(properties),
        version: Version(text_at(document, &["etag"]).unwrap_or_default().to_owned()),
        words: 0,
    })
}

/// The type of a record set: the last part of `Microsoft.Network/dnszones/CNAME`.
pub(super) fn rtype(document: &Value) -> Option<RecordType> {
    text_at(document, &["type"])?.rsplit('/').next().map(RecordType::from)
}

/// A new record set's JSON, from the generated types.
pub(super) fn new(owner: &Owner, content: &Content) -> Result<Value, serde_json::Error> {
    let mut properties = models::RecordSetProperties::new();
    properties.ttl = Some(content.ttl.seconds().into());
    properties.metadata = Some(json!({ mark::MANAGED_BY: mark::CNAMED, mark::OWNER: owner.as_str() }));
    match &content.data {
        Data::Cname(target) => {
            properties.cname_record = Some(models::CnameRecord { cname: Some(target.to_string()) });
        }
        Data::A(addresses) => {
            let record = |address: &Ipv4Addr| models::ARecord { ipv4_address: Some(address.to_string()) };
            properties.a_records = addresses.iter().map(record).collect();
        }
        Data::Aaaa(addresses) => {
            let record = |address: &Ipv6Addr| models::AaaaRecord { ipv6_address: Some(address.to_string()) };
            properties.aaaa_records = addresses.iter().map(record).collect();
        }
        Data::Alias { target, .. } => {
            properties.target_resource = Some(models::SubResource { id: Some(target.clone()) });
        }
        Data::Opaque { .. } => {}
    }
    serde_json::to_value(models::RecordSet { properties: Some(properties), ..models::RecordSet::new() })
}

/// Puts `content` and our mark into `document`, and leaves everything else in it as it is.
pub(super) fn edit(document: &mut Value, owner: &Owner, content: &Content) -> Result<(), serde_json::Error> {
    let mut fresh = new(owner, content)?;
    let Some(properties) = document.get_mut("properties").and_then(Value::as_object_mut) else {
        *document = fresh;
        return Ok(());
    };
    properties.retain(|name, _| !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)));
    if let Some(Value::Object(fresh)) = fresh.get_mut("properties").map(Value::take) {
        for (name, value) in fresh {
            match (name.as_str(), properties.get_mut("metadata").and_then(Value::as_object_mut)) {
                ("metadata", Some(metadata)) => merge(metadata, value),
                _ => {
                    properties.insert(name, value);
                }
            }
        }
    }
    Ok(())
}

/// Gives `document`, a new one, the metadata that others had put on `old`.
pub(super) fn inherit(document: &mut Value, old: &Value) {
    let Some(theirs) = at(old, &["properties", "metadata"]).and_then(Value::as_object).cloned() else {
        return;
    };
    if let Some(metadata) = document.pointer_mut("/properties/metadata").and_then(Value::as_object_mut) {
        for (name, value) in theirs {
            metadata.entry(name).or_insert(value);
        }
    }
}

fn merge(metadata: &mut Map<String, Value>, ours: Value) {
    if let Value::Object(ours) = ours {
        metadata.extend(ours);
    }
}

fn name(zone: &ZoneName, document: &Value) -> Option<Fqdn> {
    zone.absolute(text_at(document, &["name"])?).ok()
}

fn data(properties: &Value, rtype: RecordType) -> Data {
    // An alias looks empty but for this: its addresses are told elsewhere, if at all.
    if let Some(target) = text_at(properties, &["targetResource", "id"]) {
        return Data::Alias { rtype, target: target.to_owned() };
    }
    let known = match rtype {
        RecordType::Cname => member(properties, "CNAMERecord")
            .and_then(|record| Fqdn::parse(text_at(record, &["cname"])?).ok())
            .map(Data::Cname),
        RecordType::A => {
            addresses(properties, "ARecords", "ipv4Address").map(|set| Data::A(set.into_iter().collect()))
        }
        RecordType::Aaaa => addresses(properties, "AAAARecords", "ipv6Address")
            .map(|set| Data::Aaaa(set.into_iter().collect())),
        RecordType::Other(_) => None,
    };
    known.unwrap_or_else(|| Data::Opaque { text: text(properties, &rtype), rtype })
}

/// The addresses of a set, none of which may be nonsense.
fn addresses<T: FromStr>(properties: &Value, records: &str, field: &str) -> Option<Vec<T>> {
    match member(properties, records) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(records)) => {
            records.iter().map(|record| text_at(record, &[field])?.parse().ok()).collect()
        }
        Some(_) => None,
    }
}

/// A set of a type that we do not write, for a person to recognise.
fn text(properties: &Value, rtype: &RecordType) -> String {
    let names = [format!("{rtype}Records"), format!("{rtype}Record")];
    let records = names.iter().find_map(|name| member(properties, name));
    let mut words = Vec::new();
    if let Some(records) = records {
        gather(records, &mut words);
    }
    words.join(" ")
}

fn gather(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, words)),
        Value::Object(members) => members.values().for_each(|member| gather(member, words)),
        Value::String(text) => words.push(text.clone()),
        Value::Null => {}
        other => words.push(other.to_string()),
    }
}

fn marked(properties: &Value) -> Option<Owner> {
    let metadata = properties.get("metadata")?;
    let managed = text_at(metadata, &[mark::MANAGED_BY])? == mark::CNAMED;
    managed.then(|| Owner::parse(text_at(metadata, &[mark::OWNER])?).ok()).flatten()
}

/// A member whose case differs between the service's documents and its answers.
fn member<'v>(properties: &'v Value, name: &str) -> Option<&'v Value> {
    let properties = properties.as_object()?;
    properties
        .get(name)
        .or_else(|| properties.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// What the specification of record sets marks as read-only (dns.json).
pub(super) const READ_ONLY: &[&str] =
    &["id", "name", "type", "properties/fqdn", "properties/provisioningState"];

/// What [`edit`] replaces. `metadata` is merged.
const OURS: [&str; 5] = ["TTL", "CNAMERecord", "ARecords", "AAAARecords", "targetResource"];

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        Zone {
            name: ZoneName::parse("example.com").unwrap(),
            id: "/z".into(),
            name_servers: vec![],
            rules: super::super::RULES,
        }
    }

    fn set(rtype: &str, properties: Value) -> Value {
        json!({"name": "Jump", "type": format!("Microsoft.Network/dnszones/{rtype}"), "etag": "e1", "properties": properties})
    }

    fn parsed(rtype: &str, properties: Value) -> RecordSet {
        parse(&zone(), &set(rtype, properties)).unwrap()
    }

    fn content(data: Data, ttl: u32) -> Content {
        Content { data, ttl: Ttl::new(ttl).unwrap(), proxied: false }
    }

    #[test]
    fn a_cname_is_read_with_and_without_its_dot() {
        for cname in ["Contoso.WestEurope.cloudapp.azure.com.", "contoso.westeurope.cloudapp.azure.com"] {
            let set = parsed("CNAME", json!({"TTL": 300, "CNAMERecord": {"cname": cname}}));
            assert_eq!(set.name.as_str(), "jump.example.com");
            assert_eq!(
                set.content.data,
                Data::Cname(Fqdn::parse("contoso.westeurope.cloudapp.azure.com").unwrap())
            );
        }
    }

    #[test]
    fn an_alias_looks_empty_and_is_not() {
        let properties = json!({"TTL": 60, "targetResource": {"id": "/pip"}, "ARecords": null});
        assert_eq!(
            parsed("A", properties).content.data,
            Data::Alias { rtype: RecordType::A, target: "/pip".into() }
        );
        for nothing in [json!({}), json!({"id": ""}), Value::Null] {
            let set = parsed("A", json!({"TTL": 60, "targetResource": nothing}));
            assert_eq!(set.content.data, Data::A([].into()));
        }
    }

    #[test]
    fn what_we_do_not_write_is_carried_by_name() {
        let set = parsed("MX", json!({"TTL": 60, "MXRecords": [{"preference": 10, "exchange": "mail."}]}));
        let Data::Opaque { rtype, text } = set.content.data else { panic!("not opaque") };
        assert_eq!((rtype.as_str(), text.as_str()), ("MX", "10 mail."));
        let set = parsed("NAPTR", json!({"TTL": 60, "naptrRecords": [{"order": 1}]}));
        assert_eq!(set.content.data.rtype().as_str(), "NAPTR");
        let set = parsed("A", json!({"TTL": 60, "ARecords": [{"ipv4Address": "nowhere"}]}));
        assert!(matches!(set.content.data, Data::Opaque { .. }));
    }

    /// Microsoft's own examples, where their specification is at hand: `CNAMED_AZURE_SPECS` names its folder.
    #[test]
    fn every_official_example_is_understood() {
        for (file, example) in
            super::super::super::examples::of("Recordset", &["type", "name", "etag", "properties"])
        {
            let set = parse(&zone(), &example).unwrap_or_else(|| panic!("{file} is not understood"));
            let told = |path: &str| example.pointer(path);
            assert_eq!(
                Some(u64::from(set.content.ttl.seconds())),
                told("/properties/TTL").and_then(Value::as_u64)
            );
            let type_of = example["type"].as_str().and_then(|text| text.rsplit('/').next());
            assert_eq!(Some(set.content.data.rtype().as_str()), type_of, "{file}");
            match &set.content.data {
                Data::Opaque { text, .. } => assert!(!text.is_empty(), "{file}"),
                Data::Cname(name) => {
                    assert_eq!(
                        Some(name.as_str()),
                        told("/properties/CNAMERecord/cname").and_then(Value::as_str)
                    );
                }
                Data::A(set) => assert!(!set.is_empty(), "{file}"),
                Data::Aaaa(set) => assert!(!set.is_empty(), "{file}"),
                Data::Alias { target, .. } => assert!(target.starts_with("/subscriptions/"), "{file}"),
            }
            // An edit loses nothing that it does not mean to change.
            let mut edited = example.clone();
            let owner = Owner::parse("ops").unwrap();
            edit(&mut edited, &owner, &set.content).unwrap();
            for (key, value) in example["properties"]["metadata"].as_object().into_iter().flatten() {
                assert_eq!(&edited["properties"]["metadata"][key], value, "{file}");
            }
            assert_eq!(edited["properties"]["fqdn"], example["properties"]["fqdn"], "{file}");
        }
    }

    #[test]
    fn names_that_cannot_be_ours_concern_nobody() {
        let mut wildcard = set("A", json!({"TTL": 60}));
        wildcard["name"] = "*".into();
        assert_eq!(parse(&zone(), &wildcard), None);
    }

    #[test]
    fn an_edit_keeps_what_others_put_there() {
        let mut document = set(
            "CNAME",
            json!({"TTL": 300, "metadata": {"team": "net", "owner": "somebody"}, "fqdn": "jump.example.com.",
                   "CNAMERecord": {"cname": "old.example.net"}, "trafficManagementProfile": {}}),
        );
        let owner = Owner::parse("ops").unwrap();
        let target = Fqdn::parse("new.example.net").unwrap();
        edit(&mut document, &owner, &content(Data::Cname(target), 60)).unwrap();
        let expected = json!({"fqdn": "jump.example.com.", "trafficManagementProfile": {}, "TTL": 60,
            "metadata": {"team": "net", "owner": "ops", "managed-by": "cnamed"}, "CNAMERecord": {"cname": "new.example.net"}});
        assert_eq!(document["properties"], expected);
        assert_eq!(document["etag"], "e1");
    }

    #[test]
    fn an_alias_that_becomes_addresses_stops_being_an_alias() {
        let mut document = set("A", json!({"TTL": 300, "targetResource": {"id": "/pip"}}));
        let owner = Owner::parse("ops").unwrap();
        edit(&mut document, &owner, &content(Data::A(["192.0.2.1".parse().unwrap()].into()), 60)).unwrap();
        let read = parse(&zone(), &document).unwrap();
        assert_eq!(read.content, content(Data::A(["192.0.2.1".parse().unwrap()].into()), 60));
        assert_eq!(read.mark, Some(owner));
    }
}
