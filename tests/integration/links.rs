//! What is said of a chain, of waits and of lost races, in memory, where every answer is scripted.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cnamed::model::endpoint::{Endpoint, Handle, Intent, PublicIp};
use cnamed::model::greeting::Service;
use cnamed::model::plan::RecordChange;
use cnamed::model::record::{Content, Data, Mode, Owner, Policy, RecordSet, RecordType};
use cnamed::model::state::{Consents, Desired, Wanted, Zone, ZoneRules};
use cnamed::model::verify::{Answer, Reply, Said, Verdict};
use cnamed::probe::{Finding, Prober};
use cnamed::provider::memory::{Held, MemoryDns, MemoryNetwork};
use cnamed::provider::{DnsProvider, Error, Found, Kind, Look};
use cnamed::reconcile::round::{ChangeOutcome, LinkState, Outcome, Round, SubjectKind};
use cnamed::reconcile::{Event, Reconciler, Verification, Watch};
use cnamed::resolver::{Question, Resolver, Via};
use tokio::time::Instant;

use crate::laws::world::{AZURE, CLOUDFLARE, fqdn, handle, key, owner, public_ip, spec, ttl, zone};

const NAME: &str = "www.example.com";
const APEX: &str = "example.com";
const LABEL: &str = "alpha.westeurope.cloudapp.azure.com";

type Script = dyn Fn(&Question, &Via) -> Vec<Said> + Send + Sync;

/// Says what the script says, after as long as a look-up takes, and notes when it said that there is nothing.
struct Scripted {
    script: Box<Script>,
    takes: Duration,
    nothing_at: Mutex<Option<Instant>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl Resolver for Scripted {
    async fn lookup(&self, question: &Question, via: &Via) -> Vec<Answer> {
        let all = (self.script)(question, via);
        tokio::time::sleep(self.takes).await;
        if all.iter().any(|said| matches!(said, Said::Nothing { .. })) {
            self.nothing_at.lock().unwrap().get_or_insert(Instant::now());
        }
        let answer = |(said, n): (Said, u8)| Answer { server: format!("192.0.2.{n}:53"), said };
        all.into_iter().zip(1..).map(answer).collect()
    }
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Prober for Nobody {
    async fn greet(&self, _: std::net::SocketAddr, _: Service) -> Finding {
        Finding::Refused
    }
}

fn points_at(target: &str) -> Said {
    Said::Records(Reply { chain: vec![(fqdn(target), 30)], addresses: Vec::new(), ttl: 30 })
}

fn gives(address: [u8; 4]) -> Said {
    gives_for(address, 30)
}

fn gives_for(address: [u8; 4], ttl: u32) -> Said {
    Said::Records(Reply { chain: Vec::new(), addresses: vec![address.into()], ttl })
}

fn leads_to(address: [u8; 4]) -> Said {
    Said::Records(Reply { chain: vec![(fqdn(LABEL), 30)], addresses: vec![address.into()], ttl: 30 })
}

fn nothing() -> Said {
    Said::Nothing { negative_ttl: None }
}

fn silent() -> Said {
    Said::Failed("no answer within 4s".into())
}

/// One endpoint that holds its label, one name that leads to it.
struct Stage {
    desired: Desired,
    network: Arc<MemoryNetwork>,
    accounts: Arc<dyn DnsProvider>,
    zone: Zone,
}

impl Stage {
    fn new(name: &str, rules: ZoneRules) -> Self {
        let mut zone = zone("example.com", "z1", rules);
        zone.name_servers = vec!["192.0.2.53:53".into()];
        let endpoint =
            Endpoint { name: handle("jump"), public_ip: spec(0), gateway: None, intent: Intent::Hold };
        let wanted = Wanted {
            mode: Mode::Auto,
            ttl: ttl(30),
            policy: Policy::Sync,
            withdraw: false,
            ..Wanted::stray(handle("jump"))
        };
        let desired = Desired {
            owner: owner("ops"),
            endpoints: [(handle("jump"), endpoint)].into(),
            records: [(key(name, "dns"), wanted)].into(),
            prune: false,
            deletes_per_round: 3,
            consents: Consents::default(),
        };
        let network = Arc::new(MemoryNetwork::default());
        network.put("rg", "pip-0", public_ip(0, Some("alpha")));
        let dns = MemoryDns::new(handle("dns"), vec![zone.clone()]);
        dns.put(&zone, &fqdn(name), held(Data::Cname(fqdn(LABEL))));
        Self { desired, network, accounts: Arc::new(dns), zone }
    }

    fn released(self) -> Self {
        let ip = self.network.held("rg", "pip-0").unwrap();
        self.network.put("rg", "pip-0", PublicIp { address: None, ..ip });
        self
    }

    fn wanted(&mut self) -> &mut Wanted {
        self.desired.records.values_mut().next().unwrap()
    }

    /// With `data` of ours at `name` and nothing else, which may stay.
    fn keeping(mut self, name: &str, data: Data) -> Self {
        let dns = MemoryDns::new(handle("dns"), vec![self.zone.clone()]);
        dns.put(&self.zone, &fqdn(name), held(data));
        self.accounts = Arc::new(dns);
        self.wanted().policy = Policy::CreateOnly;
        self
    }

    fn reconciler(&self, resolver: Arc<Scripted>) -> Reconciler {
        Reconciler {
            accounts: [(handle("dns"), Arc::clone(&self.accounts))].into(),
            network: Arc::clone(&self.network) as Arc<_>,
            resolver,
            prober: Arc::new(Nobody),
            verification: Verification {
                authoritative: true,
                recursive: false,
                label_servers: vec!["192.0.2.53:53".into()],
                patience: Duration::from_secs(10),
                agreement: Duration::from_secs(10),
                way_in: false,
            },
            newest: Arc::default(),
        }
    }

    async fn status(&self, script: impl Fn(&Question, &Via) -> Vec<Said> + Send + Sync + 'static) -> Round {
        self.reconciler(scripted(Duration::ZERO, script)).status(&self.desired, &()).await
    }
}

fn held(data: Data) -> Held {
    let content = Content { data, ttl: ttl(30), proxied: false };
    Held { content, mark: Some(owner("ops")), note: String::new() }
}

fn scripted(
    takes: Duration,
    script: impl Fn(&Question, &Via) -> Vec<Said> + Send + Sync + 'static,
) -> Arc<Scripted> {
    Arc::new(Scripted { script: Box::new(script), takes, nothing_at: Mutex::new(None) })
}

#[track_caller]
fn link(round: &Round, from: &str) -> (LinkState, String) {
    let link = round.chains[0].links.iter().find(|link| link.from == from);
    let link = link.unwrap_or_else(|| panic!("no link {from}: {:#?}", round.chains));
    (link.state, link.detail.clone())
}

#[tokio::test]
async fn of_a_released_label_only_what_a_server_said_is_told() {
    let stage = Stage::new(NAME, AZURE).released();
    let old = [203, 0, 113, 9];
    for (said, state, word) in [
        (vec![nothing(), nothing()], LinkState::Pending, "nothing is served while it is released"),
        (vec![nothing(), gives(old)], LinkState::Pending, "192.0.2.2:53 still gives 203.0.113.9"),
        (vec![silent(), gives(old)], LinkState::Pending, "192.0.2.2:53 still gives 203.0.113.9"),
        (vec![silent(), silent()], LinkState::Unknown, "no answer within 4s"),
        (vec![nothing(), silent()], LinkState::Unknown, "no answer within 4s"),
        (vec![], LinkState::Unknown, "no server is known for it"),
    ] {
        let shown = format!("{said:?}");
        let round = stage.status(move |question, _| match question.name.as_str() {
            LABEL => said.clone(),
            _ => vec![points_at(LABEL)],
        });
        let (seen, detail) = link(&round.await, "label in DNS");
        assert!(seen == state && detail.contains(word), "{shown}: {seen:?} {detail}");
    }
}

#[tokio::test]
async fn a_released_address_leads_nowhere_yet() {
    let stage = Stage::new(NAME, AZURE).released();
    let old = [203, 0, 113, 9];
    for (said, state, word) in [
        (points_at(LABEL), LinkState::Pending, "leads to no address while it is released"),
        (nothing(), LinkState::Pending, "leads to no address while it is released"),
        (leads_to(old), LinkState::Pending, "192.0.2.1:53 still gives 203.0.113.9"),
        (silent(), LinkState::Unknown, "no answer within 4s"),
    ] {
        let round = stage.status(move |question, via| match (question.name.as_str(), via) {
            (LABEL, _) => vec![nothing()],
            (_, Via::Recursive) => vec![said.clone()],
            _ => vec![points_at(LABEL)],
        });
        let round = round.await;
        let (seen, detail) = link(&round, "address");
        assert!(seen == state && detail.contains(word), "{seen:?} {detail}");
        assert_eq!(round.outcome, Outcome::InSync, "that an address is released is no fault of the records");
    }
}

#[tokio::test]
async fn a_broken_link_is_not_in_sync() {
    let stage = Stage::new(NAME, AZURE);
    let script = |label: [u8; 4]| {
        move |question: &Question, via: &Via| match (question.name.as_str(), via) {
            (LABEL, _) => vec![gives(label)],
            (_, Via::Recursive) => vec![leads_to([203, 0, 113, 0])],
            _ => vec![points_at(LABEL)],
        }
    };
    let round = stage.status(script([203, 0, 113, 0])).await;
    assert_eq!(round.outcome, Outcome::InSync, "{:#?}", round.chains);
    let round = stage.status(script([198, 51, 100, 66])).await;
    assert_eq!(link(&round, "label in DNS").0, LinkState::Broken);
    assert_eq!(round.outcome, Outcome::Unverified);
}

/// What `create-only` lets stay is what shall be served, wherever the endpoint has moved since.
#[tokio::test]
async fn what_may_stay_is_promised_as_it_stands() {
    let verdict = async |stage: Stage, said: Vec<(RecordType, Said)>| {
        let round = stage.status(move |question, via| match (question.name.as_str(), via) {
            (LABEL, _) => vec![gives([203, 0, 113, 0])],
            _ => {
                let known = said.iter().find(|(rtype, _)| *rtype == question.rtype);
                vec![known.map_or_else(nothing, |(_, said)| said.clone())]
            }
        });
        round.await.records.first().map(|report| (report.verdict, report.detail.clone()))
    };
    let first = [198, 51, 100, 1];
    let stage = || {
        let mut stage = Stage::new(NAME, AZURE).keeping(NAME, Data::A([first.into()].into()));
        stage.wanted().mode = Mode::Address;
        stage
    };
    let (seen, detail) = verdict(stage(), vec![(RecordType::A, gives(first))]).await.unwrap();
    assert_eq!(seen, Verdict::Agreed, "{detail}");
    let (seen, _) = verdict(stage(), vec![(RecordType::A, gives([203, 0, 113, 0]))]).await.unwrap();
    assert_eq!(seen, Verdict::Contradicted, "the endpoint's address is not what stands there");
    let six: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    let stage = Stage::new(NAME, AZURE).keeping(NAME, Data::Aaaa([six].into()));
    let said = Said::Records(Reply { chain: Vec::new(), addresses: vec![six.into()], ttl: 30 });
    let (seen, detail) = verdict(stage, vec![(RecordType::Aaaa, said)]).await.unwrap();
    assert_eq!(seen, Verdict::Agreed, "{detail}");

    // Of a CNAME that is flattened, the addresses of its own target show.
    let other = public_ip(1, Some("beta"));
    let elsewhere = || {
        let target = other.fqdn.clone().unwrap();
        let mut stage = Stage::new(APEX, CLOUDFLARE).keeping(APEX, Data::Cname(target));
        let name = handle("other");
        let endpoint = Endpoint {
            name: name.clone(),
            public_ip: spec(1),
            ..stage.desired.endpoints[&handle("jump")].clone()
        };
        stage.desired.endpoints.insert(name, endpoint);
        stage.network.put("rg", "pip-1", other.clone());
        stage
    };
    let (seen, detail) = verdict(elsewhere(), vec![(RecordType::A, gives([203, 0, 113, 1]))]).await.unwrap();
    assert_eq!(seen, Verdict::Masked, "{detail}");
    let (seen, _) = verdict(elsewhere(), vec![(RecordType::A, gives([203, 0, 113, 0]))]).await.unwrap();
    assert_eq!(seen, Verdict::Contradicted);
    // What nobody here knows the address of cannot be held against anything.
    let stage = Stage::new(APEX, CLOUDFLARE).keeping(APEX, Data::Cname(fqdn("old.example.net")));
    assert_eq!(verdict(stage, vec![(RecordType::A, gives([198, 51, 100, 9]))]).await, None);
}

/// As of a CNAME, unless the provider chooses the TTL.
#[tokio::test]
async fn a_server_that_gives_the_address_with_another_ttl_still_serves_an_older_record() {
    for (rules, mode, wanted, given, verdict) in [
        (AZURE, Mode::Address, 30, 30, Verdict::Agreed),
        (AZURE, Mode::Address, 30, 3600, Verdict::Pending),
        (CLOUDFLARE, Mode::Address, 60, 3600, Verdict::Pending),
        (CLOUDFLARE, Mode::Address, 1, 300, Verdict::Agreed),
        (AZURE, Mode::Alias, 30, 3600, Verdict::Agreed),
    ] {
        let mut stage = Stage::new(NAME, rules);
        (stage.wanted().mode, stage.wanted().ttl) = (mode, ttl(wanted));
        let round = stage.status(move |_, _| vec![gives_for([203, 0, 113, 0], given)]).await;
        let report = round.records.first().unwrap();
        assert_eq!(report.verdict, verdict, "{mode:?} {wanted}: {}", report.detail);
    }
}

/// Notes when the public IP's change has ended.
#[derive(Default)]
struct Clock(Mutex<Option<Instant>>);

impl Watch for Clock {
    fn event(&self, event: Event<'_>) {
        if let Event::Ended(_, report) = event
            && report.kind == SubjectKind::PublicIp
        {
            *self.0.lock().unwrap() = Some(Instant::now());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_label_is_kept_for_the_ttl_from_the_moment_the_servers_said_gone() {
    let mut stage = Stage::new(NAME, AZURE);
    stage.desired.endpoints.values_mut().for_each(|endpoint| endpoint.intent = Intent::Remove);
    stage.wanted().withdraw = true;
    let resolver = scripted(Duration::from_secs(7), |_, _| vec![nothing()]);
    let clock = Clock::default();
    let round = stage.reconciler(Arc::clone(&resolver)).run(&stage.desired, None, &clock).await.unwrap();
    assert!(round.changes.iter().all(|change| change.outcome == ChangeOutcome::Applied), "{round:#?}");
    let said = resolver.nothing_at.lock().unwrap().expect("asked");
    let deleted = clock.0.lock().unwrap().expect("deleted");
    assert!(deleted - said >= Duration::from_secs(30), "{:?} after the answer", deleted - said);
}

/// Somebody else makes each change just before it is made.
#[derive(Debug)]
struct Raced(MemoryDns, Zone);

#[async_trait]
impl DnsProvider for Raced {
    fn account(&self) -> &Handle {
        self.0.account()
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        self.0.zones().await
    }

    fn forget_zones(&self) {
        self.0.forget_zones();
    }

    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error> {
        self.0.listed_servers(zone).await
    }

    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error> {
        self.0.observe(zone, look).await
    }

    async fn apply(
        &self,
        _: &Zone,
        _: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>> {
        let mut all = Vec::new();
        for change in changes {
            if let Some(content) = &change.after {
                let held = Held { content: content.clone(), ..held(content.data.clone()) };
                self.0.put(&self.1, &change.key.name, held);
            }
            all.push(Err(Error::new(Kind::Stale, "write", change.key.to_string())));
        }
        all
    }
}

#[tokio::test]
async fn a_lost_race_that_left_nothing_to_do_is_no_failure() {
    let mut stage = Stage::new(NAME, AZURE);
    let dns = MemoryDns::new(handle("dns"), vec![stage.zone.clone()]);
    stage.accounts = Arc::new(Raced(dns, stage.zone.clone()));
    let resolver = scripted(Duration::ZERO, |_, _| vec![points_at(LABEL)]);
    let round = stage.reconciler(resolver).run(&stage.desired, None, &()).await.unwrap();
    assert_eq!(round.outcome, Outcome::InSync, "{:#?}", round.changes);
    assert!(round.changes.is_empty(), "{:#?}", round.changes);
}
