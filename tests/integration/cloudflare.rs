//! Cloudflare behind its port, over the sandbox where its behaviour is documented and over a script where it is not
//! what was promised.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod reading;
mod refusals;
mod settling;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cnamed::model::endpoint::Handle;
use cnamed::model::name::{Fqdn, ZoneName};
use cnamed::model::plan::RecordChange;
use cnamed::model::record::{Content, Data, Owner, RecordSet, Ttl};
use cnamed::model::state::{RecordKey, Seen, Zone};
use cnamed::provider::cloudflare::{Cloudflare, Settings};
use cnamed::provider::http::{self, Http};
use cnamed::provider::{DnsProvider, Error, Look};
use cnamed::sandbox::{CLOUDFLARE_TOKENS, CloudflarePlan, Options, Sandbox, Service};
use secrecy::SecretString;
use serde_json::Value;

use crate::transport::script::Script;

/// A sandbox, our way to its Cloudflare, and the zone example.com.
struct Cloud {
    sandbox: Sandbox,
    cf: Cloudflare,
    zone: Zone,
}

impl Cloud {
    async fn start(plan: CloudflarePlan) -> Self {
        let sandbox = Sandbox::start(Options { plan, ..Options::default() }).await.unwrap();
        let cf = account(&sandbox, CLOUDFLARE_TOKENS.good, BTreeMap::new());
        let zone = cf.zones().await.unwrap().into_iter().find(|zone| zone.name == zone_name()).unwrap();
        sandbox.forget_requests();
        Self { sandbox, cf, zone }
    }

    /// What stands at `name`, seen as anybody would.
    async fn sets(&self, name: &str) -> Vec<RecordSet> {
        let look = Look { names: [fqdn(name)].into(), marked: None };
        match self.cf.observe(&self.zone, &look).await.unwrap().remove(&fqdn(name)) {
            Some(Seen::Present(sets)) => sets,
            Some(Seen::Absent) => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    /// Plans `after` for `name` against what stands there, whosesoever it is.
    async fn change(&self, name: &str, after: Option<Content>) -> RecordChange {
        RecordChange { key: key(name), before: self.sets(name).await, after }
    }

    async fn apply(&self, changes: &[RecordChange]) -> Vec<Result<Vec<RecordSet>, Error>> {
        self.sandbox.forget_requests();
        self.cf.apply(&self.zone, &ops(), changes).await
    }

    /// Makes one change against what stands and gives what it leaves.
    async fn put(&self, name: &str, after: Option<Content>) -> Result<Vec<RecordSet>, Error> {
        let change = self.change(name, after).await;
        self.apply(&[change]).await.remove(0)
    }

    /// What was asked of Cloudflare, ids left out.
    fn asked(&self) -> Vec<String> {
        let requests = self.sandbox.requests();
        let ours = requests.iter().filter(|request| request.service == Service::Cloudflare);
        ours.map(|request| {
            let steps = request.path.trim_start_matches("/client/v4/").split('/');
            let shown = steps.map(|step| if step.len() == 32 { "*" } else { step });
            format!("{} {}", request.method, shown.collect::<Vec<_>>().join("/"))
        })
        .collect()
    }

    fn bodies(&self, method: &str) -> Vec<Value> {
        let requests = self.sandbox.requests();
        requests.into_iter().filter(|request| request.method == method).map(|request| request.body).collect()
    }

    fn by_hand(&self, record: Value) {
        self.sandbox.control().set_record_cloudflare(&record).unwrap();
    }
}

pub(crate) fn account(sandbox: &Sandbox, token: &str, zones: BTreeMap<ZoneName, String>) -> Cloudflare {
    let settings = http::Settings {
        extra_ca: Some(sandbox.ca_pem().as_bytes().to_vec()),
        attempt: Duration::from_secs(2),
        deadline: Duration::from_secs(6),
    };
    over(Http::new(&settings).unwrap(), &sandbox.addresses().cloudflare, token, zones)
}

/// An account at a scripted service, with the zone example.com by id.
fn scripted(script: &Script) -> (Cloudflare, Zone) {
    let zones = [(zone_name(), "f".repeat(32))].into();
    let cf = over(crate::transport::script::http(), script.at("/client/v4").as_str(), "token", zones);
    let rules = cnamed::model::state::ZoneRules {
        least_ttl: 60,
        greatest_ttl: 86_400,
        automatic_ttl: true,
        alias: false,
        flattens_apex: true,
        proxying: true,
        exchanges: true,
        comment: None,
    };
    (cf, Zone { name: zone_name(), id: "f".repeat(32), name_servers: Vec::new(), rules })
}

fn over(http: Arc<Http>, api: &str, token: &str, zones: BTreeMap<ZoneName, String>) -> Cloudflare {
    let settings = Settings {
        account: Handle::parse("cf").unwrap(),
        api: api.parse().unwrap(),
        token: SecretString::from(token),
        zones,
        name_servers: None,
    };
    Cloudflare::new(settings, http)
}

fn zone_name() -> ZoneName {
    ZoneName::parse("example.com").unwrap()
}

fn fqdn(name: &str) -> Fqdn {
    Fqdn::parse(name).unwrap()
}

fn key(name: &str) -> RecordKey {
    RecordKey { name: fqdn(name), account: Handle::parse("cf").unwrap() }
}

fn ops() -> Owner {
    Owner::parse("ops").unwrap()
}

fn cname(target: &str) -> Content {
    Content { data: Data::Cname(fqdn(target)), ttl: Ttl::DEFAULT, proxied: false }
}

fn addresses(list: &[&str]) -> Content {
    let data = Data::A(list.iter().map(|address| address.parse().unwrap()).collect());
    Content { data, ttl: Ttl::DEFAULT, proxied: false }
}

const LABEL: &str = "contoso-jump.westeurope.cloudapp.azure.com";
const OTHER_LABEL: &str = "contoso-other.westeurope.cloudapp.azure.com";
const MARK: &str = "managed-by=cnamed owner=ops";
