//! Cloudflare keeps the contract, over the sandbox.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cnamed::model::record::{Content, Data, RecordType, mark};
use cnamed::provider::DnsProvider;
use cnamed::provider::cloudflare::Cloudflare;
use cnamed::sandbox::{Action, CLOUDFLARE_TOKENS, Control, Fault, Options, Sandbox, Service};
use serde_json::{Value, json};

use super::{Lost, Planted, Subject};
use crate::laws::world::{fqdn, ttl};

struct AtCloudflare {
    sandbox: Sandbox,
    provider: Cloudflare,
}

impl AtCloudflare {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let provider = crate::cloudflare::account(&sandbox, CLOUDFLARE_TOKENS.good, BTreeMap::new());
        let control = sandbox.control();
        for record in control.records_without("").iter().filter(|record| record.get("content").is_some()) {
            let (name, kind) = (record["name"].as_str().unwrap(), record["type"].as_str().unwrap());
            // Two of one name and type go together.
            let _ = control.delete_record_cloudflare(name, kind);
        }
        Self { sandbox, provider }
    }

    fn control(&self) -> Control {
        self.sandbox.control()
    }
}

#[async_trait]
impl Subject for AtCloudflare {
    fn provider(&self) -> &dyn DnsProvider {
        &self.provider
    }

    fn alias_target(&self) -> Option<String> {
        None
    }

    async fn plant(&self, name: &str, planted: Planted) {
        let Planted { content: Content { data, ttl, proxied }, mark, note } = planted;
        let kind = data.rtype().to_string();
        let content = match data {
            Data::Cname(name) => name.to_string(),
            Data::A(addresses) => addresses.iter().next().unwrap().to_string(),
            Data::Opaque { text, .. } => format!("\"{text}\""),
            other => panic!("Cloudflare has no {other:?}"),
        };
        let comment = match mark {
            Some(owner) => mark::join(&note, &owner, 100).unwrap(),
            None => note,
        };
        let mut record =
            json!({"type": kind, "name": name, "content": content, "ttl": ttl.seconds(), "proxied": proxied});
        if kind == "TXT" {
            record.as_object_mut().unwrap().remove("proxied");
        }
        if !comment.is_empty() {
            record["comment"] = json!(comment);
        }
        self.control().set_record_cloudflare(&record).unwrap();
    }

    async fn held(&self, name: &str, rtype: RecordType) -> Option<Planted> {
        let records = self.control().records_without("");
        let is = |record: &&Value| {
            record["name"] == name && record["type"] == rtype.as_str() && record.get("content").is_some()
        };
        let record = records.iter().find(is)?;
        let content = record["content"].as_str().unwrap();
        let data = match rtype {
            RecordType::Cname => Data::Cname(fqdn(content)),
            RecordType::A => Data::A([content.parse().unwrap()].into()),
            rtype => Data::Opaque { rtype, text: content.to_owned() },
        };
        let ttl = ttl(u32::try_from(record["ttl"].as_u64().unwrap()).unwrap());
        let (note, mark) = mark::split(record["comment"].as_str().unwrap_or_default());
        let content = Content { data, ttl, proxied: record["proxied"] == true };
        Some(Planted { content, mark, note: note.to_owned() })
    }

    async fn lose(&self, _: &str, lost: Lost) {
        for method in ["POST", "PATCH", "DELETE"] {
            let action = match lost {
                Lost::Request => Action::Reset,
                Lost::Answer => Action::LostAnswer,
            };
            self.control().fault(Fault::on(Service::Cloudflare, action).method(method).path("/dns_records"));
        }
    }
}

super::contract!(AtCloudflare::new());
