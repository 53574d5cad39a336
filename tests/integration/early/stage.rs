//! One endpoint and two accounts in memory, each read and each write of which can be held up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cnamed::model::endpoint::{Endpoint, Handle, Intent, PublicIp};
use cnamed::model::greeting::Service;
use cnamed::model::plan::{GatewayChange, NetworkChange, RecordChange};
use cnamed::model::record::{Content, Data, Mode, Owner, Policy, RecordSet, RecordType};
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::{Consents, Desired, EndpointState, Seen, Wanted, Zone};
use cnamed::model::verify::Answer;
use cnamed::probe::{Finding, Prober};
use cnamed::provider::memory::{Held, MemoryDns, MemoryNetwork};
use cnamed::provider::{Ahead, DnsProvider, Error, Found, Look, Mapping, NetworkProvider};
use cnamed::reconcile::round::Round;
use cnamed::reconcile::{Reconciler, Verification};
use cnamed::resolver::{Question, Resolver, Via};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

use crate::laws::world::{AZURE, fqdn, handle, key, owner, public_ip, spec, ttl, zone};

/// Where those that come can be held up, one by one.
#[derive(Debug, Default)]
pub(super) struct Gate {
    held: Mutex<VecDeque<oneshot::Receiver<()>>>,
    came: AtomicUsize,
}

impl Gate {
    /// Holds up the next that comes and is not held up yet, until what this gives is dropped.
    #[must_use]
    pub(super) fn hold(&self) -> oneshot::Sender<()> {
        let (open, opened) = oneshot::channel();
        self.held.lock().unwrap().push_back(opened);
        open
    }

    /// How many have come.
    pub(super) fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    async fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        let held = self.held.lock().unwrap().pop_front();
        if let Some(opened) = held {
            // Dropped is opened.
            let _ = opened.await;
        }
    }
}

/// An account whose reads wait before they see anything, and whose writes before they do anything.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) dns: MemoryDns,
    pub(super) zone: Zone,
    pub(super) reads: Gate,
    pub(super) writes: Gate,
    /// What was asked to be written: the name, and whether it shall stand.
    asked: Mutex<Vec<(String, Option<Data>)>>,
}

impl Account {
    /// The names that were to be written, as often as they were.
    pub(super) fn written(&self) -> Vec<String> {
        self.asked().into_iter().map(|(name, _)| name).collect()
    }

    /// What was to be written.
    pub(super) fn asked(&self) -> Vec<(String, Option<Data>)> {
        self.asked.lock().unwrap().clone()
    }

    /// What holds the name.
    pub(super) fn data(&self, name: &str) -> Option<Data> {
        let held = |rtype| self.dns.held(&self.zone, &fqdn(name), &rtype);
        held(RecordType::Cname).or_else(|| held(RecordType::A)).map(|held| held.content.data)
    }

    /// Puts it there with our mark, as if one of us had.
    pub(super) fn put(&self, name: &str, data: Data) {
        let content = Content { data, ttl: ttl(60), proxied: false };
        let held = Held { content, mark: Some(owner("ops")), note: String::new() };
        self.dns.put(&self.zone, &fqdn(name), held);
    }
}

#[async_trait]
impl DnsProvider for Account {
    fn account(&self) -> &Handle {
        self.dns.account()
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        self.dns.zones().await
    }

    fn forget_zones(&self) {
        self.dns.forget_zones();
    }

    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error> {
        self.dns.listed_servers(zone).await
    }

    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error> {
        self.reads.pass().await;
        self.dns.observe(zone, look).await
    }

    async fn apply(
        &self,
        zone: &Zone,
        owner: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>> {
        for RecordChange { key, after, .. } in changes {
            let data = after.as_ref().map(|content| content.data.clone());
            self.asked.lock().unwrap().push((key.name.to_string(), data));
        }
        self.writes.pass().await;
        self.dns.apply(zone, owner, changes).await
    }
}

/// The endpoints' account: the public IP is told at once, and all of it after the gate.
#[derive(Debug, Default)]
pub(super) struct Network {
    memory: MemoryNetwork,
    pub(super) looks: Gate,
    pub(super) changes: Gate,
    tells_late: AtomicBool,
}

impl Network {
    /// Gives the public IP another address.
    pub(super) fn moves(&self, address: &str) {
        self.edit(|ip| PublicIp { address: Some(address.parse().unwrap()), ..ip });
    }

    /// Changes the public IP as the portal would.
    pub(super) fn edit(&self, edit: impl FnOnce(PublicIp) -> PublicIp) {
        self.memory.put("rg", "pip-0", edit(self.held()));
    }

    /// The public IP.
    pub(super) fn held(&self) -> PublicIp {
        self.memory.held("rg", "pip-0").unwrap()
    }

    /// From now on the public IP is told a moment after all of it.
    pub(super) fn tells_late(&self) {
        self.tells_late.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl NetworkProvider for Network {
    async fn look(&self, endpoint: &Endpoint, ahead: &Ahead) -> (EndpointState, Option<Error>) {
        let late = self.tells_late.load(Ordering::SeqCst);
        let none = Ahead::default();
        let answer = self.memory.look(endpoint, if late { &none } else { ahead }).await;
        if let (true, Seen::Present(ip)) = (late, &answer.0.public_ip) {
            let (ahead, endpoint, ip) = (ahead.clone(), endpoint.name.clone(), ip.clone());
            tokio::spawn(async move {
                sleep(STEP).await;
                ahead.tell(&endpoint, &ip);
            });
        }
        self.looks.pass().await;
        answer
    }

    async fn apply(&self, owner: &Owner, change: &NetworkChange) -> Result<Option<PublicIp>, Error> {
        self.changes.pass().await;
        self.memory.apply(owner, change).await
    }

    async fn build(&self, owner: &Owner, change: &GatewayChange) -> Result<(), Error> {
        self.memory.build(owner, change).await
    }

    async fn mapping(
        &self,
        pool: &ResourceId,
        machine: &ResourceId,
        rule: &str,
    ) -> Result<Option<Mapping>, Error> {
        self.memory.mapping(pool, machine, rule).await
    }
}

/// Nobody is asked by what is tested here.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Resolver for Nobody {
    async fn lookup(&self, _: &Question, _: &Via) -> Vec<Answer> {
        Vec::new()
    }
}

#[async_trait]
impl Prober for Nobody {
    async fn greet(&self, _: std::net::SocketAddr, _: Service) -> Finding {
        Finding::Refused
    }
}

/// An endpoint that holds its label, and what is wanted on it in two accounts.
pub(super) struct Stage {
    pub(super) desired: Desired,
    pub(super) network: Arc<Network>,
    pub(super) azure: Arc<Account>,
    pub(super) cf: Arc<Account>,
    pub(super) reconciler: Arc<Reconciler>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::agreeing_within(SILENCE)
    }

    pub(super) fn agreeing_within(agreement: Duration) -> Self {
        let endpoint =
            Endpoint { name: handle("jump"), public_ip: spec(0), gateway: None, intent: Intent::Hold };
        let desired = Desired {
            owner: owner("ops"),
            endpoints: [(handle("jump"), endpoint)].into(),
            records: [].into(),
            prune: true,
            deletes_per_round: 3,
            consents: Consents::default(),
        };
        let network = Arc::new(Network::default());
        network.memory.put("rg", "pip-0", public_ip(0, Some("alpha")));
        let account = |name: &str| {
            let zone = zone("example.com", &format!("z-{name}"), AZURE);
            Arc::new(Account {
                dns: MemoryDns::new(handle(name), vec![zone.clone()]),
                zone,
                reads: Gate::default(),
                writes: Gate::default(),
                asked: Mutex::default(),
            })
        };
        let (azure, cf) = (account("azure"), account("cf"));
        let accounts: BTreeMap<Handle, Arc<dyn DnsProvider>> = [
            (handle("azure"), Arc::clone(&azure) as Arc<dyn DnsProvider>),
            (handle("cf"), Arc::clone(&cf) as Arc<dyn DnsProvider>),
        ]
        .into();
        let reconciler = Arc::new(Reconciler {
            accounts,
            network: Arc::clone(&network) as Arc<dyn NetworkProvider>,
            resolver: Arc::new(Nobody),
            prober: Arc::new(Nobody),
            verification: Verification {
                authoritative: false,
                recursive: false,
                label_servers: Vec::new(),
                patience: Duration::from_secs(10),
                agreement,
                way_in: false,
            },
            newest: Arc::default(),
        });
        Self { desired, network, azure, cf, reconciler }
    }

    /// Wants the name on the endpoint, in both accounts.
    pub(super) fn wants(mut self, name: &str, mode: Mode) -> Self {
        for account in ["azure", "cf"] {
            self = self.wants_in(account, name, mode);
        }
        self
    }

    pub(super) fn wants_in(mut self, account: &str, name: &str, mode: Mode) -> Self {
        let wanted = Wanted {
            mode,
            ttl: ttl(60),
            policy: Policy::Sync,
            withdraw: false,
            ..Wanted::stray(handle("jump"))
        };
        self.desired.records.insert(key(name, account), wanted);
        self
    }

    /// Begins a round.
    pub(super) fn begin(&self) -> JoinHandle<Round> {
        let (reconciler, desired) = (Arc::clone(&self.reconciler), self.desired.clone());
        spawn_local(async move { reconciler.run(&desired, None, &()).await.unwrap() })
    }
}

/// Each change of the round, in its order.
pub(super) fn changes(round: &Round) -> Vec<String> {
    let told = |change: &cnamed::reconcile::round::ChangeReport| {
        let account = change.account.as_ref().map_or("nobody", Handle::as_str);
        format!("{} {} in {account}: {}", change.verb, change.name, change.outcome.as_str())
    };
    round.changes.iter().map(told).collect()
}

/// Waits until it is so; gives how long that took.
pub(super) async fn until(what: &str, so: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(600), "never {what}");
        sleep(STEP).await;
    }
    began.elapsed()
}

/// How often is looked.
pub(super) const STEP: Duration = Duration::from_millis(10);
/// How long others wait for whoever is silent.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// Runs a story in which rounds go on beside each other, on one thread.
pub(super) async fn told<F: Future<Output = ()>>(story: F) {
    LocalSet::new().run_until(story).await;
}
