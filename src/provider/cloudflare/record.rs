//! Cloudflare's records, and the record sets that they make up.
//!
//! Cloudflare keeps single records; several of one name and type are one record set (RFC 2181, 5), and it is ours
//! only when every one of them carries our mark.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::name::Fqdn;
use crate::model::record::{Content, Data, Owner, RecordSet, RecordType, Ttl, Version, mark};

/// One record as it is read. Fields that are not named here are left alone, in reading and in writing.
///
/// Source: Cloudflare API reference, "DNS Records for a Zone".
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) rtype: String,
    #[serde(default)]
    pub(super) content: Option<String>,
    /// What `content` is made of, for types that have parts.
    #[serde(default)]
    pub(super) data: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) ttl: Option<u32>,
    #[serde(default)]
    pub(super) proxied: Option<bool>,
    #[serde(default)]
    pub(super) comment: Option<String>,
    #[serde(default)]
    pub(super) tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) modified_on: Option<String>,
}

impl Record {
    /// What a person wrote into the comment.
    pub(super) fn human(&self) -> &str {
        mark::split(self.comment.as_deref().unwrap_or_default()).0
    }

    /// The owner that the comment's mark names.
    pub(super) fn mark(&self) -> Option<Owner> {
        mark::split(self.comment.as_deref().unwrap_or_default()).1
    }

    /// The record alone as data, opaque when it is of a type that we do not write or does not parse.
    pub(super) fn datum(&self) -> Data {
        let text = self.content.as_deref().unwrap_or_default();
        let rtype = RecordType::from(self.rtype.as_str());
        let parsed = match rtype {
            RecordType::Cname => Fqdn::parse(text).ok().map(Data::Cname),
            RecordType::A => text.parse().ok().map(|address| Data::A([address].into())),
            RecordType::Aaaa => text.parse().ok().map(|address| Data::Aaaa([address].into())),
            RecordType::Other(_) => None,
        };
        parsed.unwrap_or_else(|| {
            let parts = || self.data.as_ref().map(ToString::to_string).unwrap_or_default();
            Data::Opaque { rtype, text: if text.is_empty() { parts() } else { text.to_owned() } }
        })
    }

    /// What changes whenever the record does: `modified_on` alone may be as coarse as a second. In full, since it is
    /// kept in plans, which another build of this program may meet again.
    fn fingerprint(&self) -> String {
        let said = json!([self.content, self.data, self.ttl, self.proxied, self.comment, self.tags]);
        let modified = self.modified_on.as_deref().unwrap_or_default();
        format!("{}@{modified}#{said}", self.id)
    }
}

/// A record set and the records that it is made of.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) set: RecordSet,
    pub(super) records: Vec<Record>,
}

impl Held {
    /// The set that `records`, all of one name and type, make up.
    fn of(name: &Fqdn, rtype: &RecordType, mut records: Vec<Record>) -> Self {
        records.sort_by(|a, b| a.id.cmp(&b.id));
        let set = RecordSet {
            name: name.clone(),
            content: Content {
                data: together(rtype, &records),
                // One set has one TTL (RFC 2181, 5.2); Cloudflare does not insist, and the longest is what a cache may keep.
                ttl: records
                    .iter()
                    .filter_map(|record| Ttl::new(record.ttl?))
                    .max()
                    .unwrap_or(Ttl::AUTOMATIC),
                proxied: records.iter().any(|record| record.proxied == Some(true)),
            },
            mark: common_mark(&records),
            version: Version(records.iter().map(Record::fingerprint).collect::<Vec<_>>().join(" ")),
            words: records
                .iter()
                .map(|record| record.human().trim().chars().count())
                .max()
                .unwrap_or_default(),
        };
        Self { set, records }
    }
}

/// What stands at each name.
pub(super) type Holding = BTreeMap<Fqdn, Vec<Held>>;

/// Groups records into sets. A name that is none of ours to read, such as a wildcard, is left out.
pub(super) fn hold(records: impl IntoIterator<Item = Record>) -> Holding {
    let mut sets: BTreeMap<(Fqdn, RecordType), BTreeMap<String, Record>> = BTreeMap::new();
    for record in records {
        let Ok(name) = Fqdn::parse(&record.name) else { continue };
        let rtype = RecordType::from(record.rtype.as_str());
        // By id, since a record that moved between two pages is read twice.
        sets.entry((name, rtype)).or_default().insert(record.id.clone(), record);
    }
    let mut holding = Holding::new();
    for ((name, rtype), records) in sets {
        let held = Held::of(&name, &rtype, records.into_values().collect());
        holding.entry(name).or_default().push(held);
    }
    holding
}

fn together(rtype: &RecordType, records: &[Record]) -> Data {
    let opaque = || {
        let texts = records.iter().map(|record| match record.datum() {
            Data::Opaque { text, .. } => text,
            _ => record.content.clone().unwrap_or_default(),
        });
        Data::Opaque { rtype: rtype.clone(), text: texts.collect::<Vec<_>>().join(", ") }
    };
    let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        match record.datum() {
            Data::A(addresses) => v4.extend(addresses),
            Data::Aaaa(addresses) => v6.extend(addresses),
            Data::Cname(target) if records.len() == 1 => return Data::Cname(target),
            _ => return opaque(),
        }
    }
    match rtype {
        RecordType::A => Data::A(v4),
        RecordType::Aaaa => Data::Aaaa(v6),
        _ => opaque(),
    }
}

fn common_mark(records: &[Record]) -> Option<Owner> {
    let mut marks = records.iter().map(Record::mark);
    let first = marks.next()??;
    marks.all(|mark| mark.as_ref() == Some(&first)).then_some(first)
}

/// One record as it is written: everything that we decide, and nothing else, so that PATCH keeps the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Draft {
    /// The record to change, in a batch; the path names it otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) rtype: String,
    pub(super) name: String,
    pub(super) content: String,
    pub(super) ttl: u32,
    pub(super) proxied: bool,
    pub(super) comment: String,
    /// Only for a record that takes the place of a tagged one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
}

impl Draft {
    /// Without the id, for a path that names it.
    pub(super) fn unnumbered(&self) -> Self {
        Self { id: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: serde_json::Value) -> Record {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn records_of_one_name_and_type_are_one_set_whose_mark_is_common_to_all() {
        let ours = "managed-by=cnamed owner=ops";
        let one = |id: &str, content: &str, comment: &str| {
            record(json!({"id": id, "name": "A.Example.com", "type": "A", "content": content, "ttl": 60,
                "proxied": false, "comment": comment, "modified_on": "t"}))
        };
        let holding = hold([one("b", "192.0.2.2", ours), one("a", "192.0.2.1", ours)]);
        let held = &holding[&Fqdn::parse("a.example.com").unwrap()];
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].set.content.to_string(), "A 192.0.2.1 192.0.2.2  ttl 60s");
        assert_eq!(held[0].set.mark, Some(Owner::parse("ops").unwrap()));
        let version = &held[0].set.version.0;
        assert!(version.starts_with("a@t#") && version.contains(" b@t#"), "{version}");
        assert!(
            version.starts_with(r#"a@t#["192.0.2.1",null,60,false,"managed-by=cnamed owner=ops",null]"#),
            "a kept plan meets it again after an upgrade: {version}"
        );
        let changed = hold([one("b", "192.0.2.2", "mine"), one("a", "192.0.2.1", ours)]);
        assert_ne!(&changed.values().next().unwrap()[0].set.version.0, version, "in the same second");

        let holding = hold([one("b", "192.0.2.2", "by hand"), one("a", "192.0.2.1", ours)]);
        assert_eq!(holding.into_values().next().unwrap()[0].set.mark, None, "one of them is a stranger's");
    }

    #[test]
    fn what_we_do_not_know_is_present_all_the_same() {
        let holding = hold([
            record(json!({"id": "1", "name": "example.com", "type": "CAA", "content": "0 issue \"x\"",
                "data": {"flags": 0}, "ttl": 1, "novelty": {"deep": [1]}, "proxied": null})),
            record(json!({"id": "2", "name": "example.com", "type": "NEWTYPE", "data": {"x": 1}})),
            record(json!({"id": "3", "name": "odd.example.com", "type": "CNAME", "content": "not a name"})),
            record(json!({"id": "4", "name": "*.example.com", "type": "A", "content": "192.0.2.1"})),
        ]);
        let shown: Vec<String> =
            holding.values().flatten().map(|held| held.set.content.data.to_string()).collect();
        assert_eq!(shown, ["CAA 0 issue \"x\"", "NEWTYPE {\"x\":1}", "CNAME not a name"]);
    }

    #[test]
    fn a_record_read_twice_is_one() {
        let one = || {
            record(json!({"id": "1", "name": "a.example.com", "type": "CNAME", "content": "b.example.net"}))
        };
        let holding = hold([one(), one()]);
        let data = &holding.into_values().next().unwrap()[0].set.content.data;
        assert_eq!(data, &Data::Cname(Fqdn::parse("b.example.net").unwrap()));
    }
}
