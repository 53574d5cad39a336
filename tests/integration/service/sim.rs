//! A small world in memory for the service to live in, on Tokio's paused clock: two DNS accounts, the endpoints'
//! account, and name servers that say what those hold.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cnamed::daemon::{Chance, Pace, Setup, Source};
use cnamed::model::endpoint::{Endpoint, Handle, Intent, PublicIp};
use cnamed::model::greeting::Service;
use cnamed::model::name::Fqdn;
use cnamed::model::plan::{GatewayChange, NetworkChange, RecordChange};
use cnamed::model::record::{Data, Mode, Owner, Policy, RecordSet, RecordType};
use cnamed::model::resource_id::ResourceId;
use cnamed::model::state::{Consents, Desired, EndpointState, Seen, Wanted, Zone};
use cnamed::model::verify::{Answer, Reply, Said};
use cnamed::notify::desk::Subscriber;
use cnamed::notify::{Notice, Notifier, Topic};
use cnamed::probe::{Finding, Prober};
use cnamed::provider::memory::{MemoryDns, MemoryNetwork};
use cnamed::provider::{Ahead, DnsProvider, Error, Found, Kind, Look, Mapping, NetworkProvider};
use cnamed::reconcile::{Reconciler, Verification};
use cnamed::resolver::{Question, Resolver, Via};
use cnamed::telemetry::snapshot::Counts;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use super::ear::Ear;
use super::transit::Transit;
use super::witness::Witness;
use crate::laws::world::{self, AZURE, CLOUDFLARE, fqdn, handle, key, owner, ttl};

/// How a provider does today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fine,
    /// Every call is answered with an error of this kind.
    Refusing(Kind),
    /// No call is answered.
    Hanging,
    /// Every write takes this long, and no read does.
    SlowWrites(Duration),
    /// Every call takes this long.
    Slow(Duration),
}

/// The world. Whoever has it plays the providers, the portal and the stranger.
#[derive(Clone, Debug)]
pub(crate) struct Sim {
    pub(crate) azure: Arc<MemoryDns>,
    pub(crate) cf: Arc<MemoryDns>,
    pub(crate) network: Arc<MemoryNetwork>,
    weather: Arc<Mutex<BTreeMap<&'static str, Weather>>>,
    calls: Arc<Mutex<BTreeMap<&'static str, u32>>>,
    lies: Arc<Mutex<BTreeMap<&'static str, Option<Data>>>>,
    /// Where a configuration has its accounts.
    places: Arc<Mutex<BTreeMap<Handle, String>>>,
    /// The operator, who wants to hear of everything.
    pub(super) ear: Arc<Ear>,
    pub(super) transit: Arc<Transit>,
    pub(super) witness: Arc<Witness>,
    /// What spreads the waits of a service.
    chance: Chance,
    /// The time of day, as far as nobody sets it.
    began: (OffsetDateTime, Instant),
    set: Arc<Mutex<time::Duration>>,
}

pub(crate) const ZONE: &str = "example.com";
pub(crate) const NAME: &str = "jump.example.com";
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);
pub(crate) const LABEL_INTERVAL: Duration = Duration::from_secs(10);
/// How long a transport waits for the answer to a write.
const GIVEN_UP: Duration = Duration::from_secs(300);
/// How soon the same is told again.
pub(crate) const REPEAT: Duration = Duration::from_secs(6 * 3600);

impl Sim {
    pub(crate) fn new() -> Self {
        let zone = |account: &str, rules| Zone {
            name_servers: [1, 2].map(|number| format!("ns{number}.{account}.test")).into(),
            ..world::zone(ZONE, &format!("z-{account}"), rules)
        };
        Self {
            azure: Arc::new(MemoryDns::new(handle("azure"), vec![zone("azure", AZURE)])),
            cf: Arc::new(MemoryDns::new(handle("cf"), vec![zone("cf", CLOUDFLARE)])),
            network: Arc::default(),
            weather: Arc::default(),
            calls: Arc::default(),
            lies: Arc::default(),
            places: Arc::new(Mutex::new(
                ["azure", "cf"].map(|account| (handle(account), "here".into())).into(),
            )),
            ear: Arc::new(Ear::new()),
            transit: Arc::default(),
            witness: Arc::new(Witness::new()),
            chance: Chance::default(),
            began: (OffsetDateTime::now_utc(), Instant::now()),
            set: Arc::default(),
        }
    }

    /// The same for the same `seed`, in which everything takes its time.
    pub(super) fn of(seed: u64) -> Self {
        let sim = Self { chance: Chance::seeded(seed), ..Self::new() };
        sim.transit.takes_time(seed);
        sim
    }

    /// The time of day, which goes with Tokio's clock.
    pub(crate) fn now(&self) -> OffsetDateTime {
        let (at, instant) = self.began;
        at + instant.elapsed() + *self.set.lock().unwrap()
    }

    /// Somebody sets the time of day.
    pub(crate) fn set_clock(&self, by: time::Duration) {
        *self.set.lock().unwrap() += by;
    }

    /// From the next configuration on, the account of that name is another.
    pub(crate) fn relocate(&self, account: &str) {
        self.places.lock().unwrap().insert(handle(account), "elsewhere".into());
    }

    /// Lets the name server say that this holds the names, whatever does.
    pub(crate) fn lie(&self, server: &'static str, data: Option<Data>) {
        self.lies.lock().unwrap().insert(server, data);
    }

    /// Lets every name server tell the truth.
    pub(crate) fn repent(&self) {
        self.lies.lock().unwrap().clear();
    }

    /// What the operator was told about this.
    pub(crate) fn heard(&self, topic: Topic) -> Vec<Notice> {
        self.ear.heard(topic)
    }

    /// How often anything was written, in all places.
    pub(crate) fn writes(&self) -> [u64; 3] {
        [self.azure.writes(), self.cf.writes(), self.network.writes()]
    }

    /// Whether everybody does fine.
    pub(crate) fn is_fine(&self) -> bool {
        self.weather.lock().unwrap().values().all(|weather| *weather == Weather::Fine)
    }

    /// Lets `account` (`azure`, `cf` or `network`) do so from now on.
    pub(crate) fn weather(&self, account: &'static str, weather: Weather) {
        self.weather.lock().unwrap().insert(account, weather);
    }

    /// How often `account` was called.
    pub(crate) fn calls(&self, account: &'static str) -> u32 {
        self.calls.lock().unwrap().get(account).copied().unwrap_or_default()
    }

    /// The public IP of the one endpoint, as it is.
    pub(crate) fn public_ip(&self) -> Option<PublicIp> {
        self.network.held("rg", "pip-0")
    }

    /// Changes it as the portal or the machine behind it would.
    pub(crate) fn edit(&self, edit: impl FnOnce(PublicIp) -> PublicIp) {
        let held = self.public_ip().expect("there is a public IP");
        self.network.put("rg", "pip-0", edit(held));
    }

    pub(crate) fn address(&self, address: Option<&str>) {
        self.edit(|ip| PublicIp { address: address.map(|text| text.parse().unwrap()), ..ip });
    }

    /// What a service over this world wants: one endpoint, and one name on it in both accounts.
    pub(crate) fn desired(mode: Mode) -> Desired {
        let endpoint =
            Endpoint { name: handle("jump"), public_ip: world::spec(0), gateway: None, intent: Intent::Hold };
        let wanted = Wanted {
            endpoint: handle("jump"),
            mode,
            ttl: ttl(60),
            proxied: false,
            policy: Policy::Sync,
            withdraw: false,
        };
        Desired {
            owner: owner("ops"),
            endpoints: [(handle("jump"), endpoint)].into(),
            records: [(key(NAME, "azure"), wanted.clone()), (key(NAME, "cf"), wanted)].into(),
            prune: true,
            deletes_per_round: 3,
            consents: Consents::default(),
        }
    }

    pub(crate) fn setup(&self, desired: Desired) -> Setup {
        let wants = Arc::new(desired.clone());
        let dns = |name: &'static str, inner: &Arc<MemoryDns>| -> Arc<dyn DnsProvider> {
            Arc::new(Under { sim: self.clone(), name, desired: Arc::clone(&wants), inner: Arc::clone(inner) })
        };
        let accounts = [(handle("azure"), dns("azure", &self.azure)), (handle("cf"), dns("cf", &self.cf))];
        Setup {
            desired,
            reconciler: Reconciler {
                accounts: accounts.into(),
                network: Arc::new(Under {
                    sim: self.clone(),
                    name: "network",
                    desired: Arc::clone(&wants),
                    inner: Arc::clone(&self.network),
                }),
                resolver: Arc::new(self.clone()),
                prober: Arc::new(self.clone()),
                verification: Verification {
                    authoritative: true,
                    recursive: true,
                    label_servers: Vec::new(),
                    patience: Duration::from_secs(90),
                    agreement: Duration::from_secs(90),
                    way_in: false,
                },
                newest: Arc::default(),
            },
            pace: Pace { interval: INTERVAL, label_interval: LABEL_INTERVAL },
            chance: self.chance.clone(),
            places: self.places.lock().unwrap().clone(),
            unread: Vec::new(),
            subscribers: (self.ear.is_named())
                .then(|| Subscriber { notifier: Arc::clone(&self.ear) as Arc<dyn Notifier>, repeat: REPEAT })
                .into_iter()
                .collect(),
        }
    }

    /// What holds `name` in `account`.
    pub(crate) fn data(&self, account: &str, name: &str) -> Option<Data> {
        let provider = if account == "cf" { &self.cf } else { &self.azure };
        let zone = Zone { id: format!("z-{account}"), ..world::zone(ZONE, "", AZURE) };
        [RecordType::Cname, RecordType::A, RecordType::Aaaa]
            .iter()
            .find_map(|rtype| provider.held(&zone, &fqdn(name), rtype))
            .map(|held| held.content.data)
    }

    async fn pass(&self, account: &'static str) -> Result<(), Error> {
        *self.calls.lock().unwrap().entry(account).or_default() += 1;
        let weather = self.weather.lock().unwrap().get(account).copied();
        match weather.unwrap_or(Weather::Fine) {
            Weather::Fine | Weather::SlowWrites(_) => Ok(()),
            Weather::Refusing(kind) => Err(Error::new(kind, "ask", account)),
            Weather::Hanging => pending().await,
            Weather::Slow(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
        }
    }

    async fn write(&self, account: &'static str) -> Result<(), Error> {
        let weather = self.weather.lock().unwrap().get(account).copied();
        if let Some(Weather::SlowWrites(delay)) = weather {
            tokio::time::sleep(delay).await;
        }
        // Whoever waits for the answer to a write in vain gives it up in the end.
        let given_up = Error::new(Kind::Unconfirmed, "write", account);
        timeout(GIVEN_UP, self.pass(account)).await.unwrap_or(Err(given_up))
    }

    /// Has `write` made in `account`, and its answer brought back.
    async fn carried<P, T: Send + 'static>(
        &self,
        Under { name: account, desired, .. }: &Under<P>,
        write: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let account = *account;
        let (sim, known, desired) = (self.clone(), self.witness.begins(account), desired.clone());
        let made = |asker| async move {
            sim.write(account).await?;
            let before = sim.witness.before(&sim);
            let answer = write.await;
            sim.witness.wrote(&sim, account, known, &before, &desired, &asker);
            answer
        };
        self.transit.carry(made).await
    }

    /// A read of `account` on its way there, and what is answered on its way back.
    async fn read<T>(&self, account: &'static str, read: impl Future<Output = T>) -> Result<T, Error> {
        self.transit.leg().await;
        self.pass(account).await?;
        let answer = read.await;
        let at = self.witness.reads(account);
        self.transit.leg().await;
        self.witness.looked(account, at);
        Ok(answer)
    }

    fn addresses(&self, label: &Fqdn, rtype: &RecordType) -> Option<Vec<IpAddr>> {
        let ip = self.public_ip().filter(|ip| ip.fqdn.as_ref() == Some(label))?;
        let of_type = |address: &IpAddr| address.is_ipv6() == (*rtype == RecordType::Aaaa);
        Some(ip.address.into_iter().filter(of_type).collect())
    }

    fn said(&self, question: &Question, server: &str) -> Said {
        let nothing = Said::Nothing { negative_ttl: Some(60) };
        let account = if server.contains("cf") { "cf" } else { "azure" };
        let lie = self.lies.lock().unwrap().get(server).cloned();
        let holds = lie.unwrap_or_else(|| self.data(account, question.name.as_str()));
        let of_label = self.addresses(&question.name, &question.rtype);
        let of_label = of_label.map(|addresses| match &holds {
            Some(Data::A(held)) if server.contains("label") => held.iter().copied().map(IpAddr::V4).collect(),
            _ => addresses,
        });
        if let Some(addresses) = of_label {
            return match addresses.is_empty() {
                true => nothing,
                false => Said::Records(Reply { chain: Vec::new(), addresses, ttl: 10 }),
            };
        }
        match holds {
            Some(Data::Cname(target)) => {
                let follow = question.rtype != RecordType::Cname && server == "resolver";
                let addresses = if follow { self.addresses(&target, &question.rtype) } else { None };
                let reply =
                    Reply { chain: vec![(target, 60)], addresses: addresses.unwrap_or_default(), ttl: 60 };
                Said::Records(reply)
            }
            Some(Data::A(held)) if question.rtype == RecordType::A => Said::Records(Reply {
                chain: Vec::new(),
                addresses: held.into_iter().map(IpAddr::V4).collect(),
                ttl: 60,
            }),
            _ => nothing,
        }
    }
}

#[async_trait]
impl Resolver for Sim {
    async fn lookup(&self, question: &Question, via: &Via) -> Vec<Answer> {
        let servers = match via {
            Via::Servers(servers) => servers.clone(),
            Via::Authority => vec!["ns1.label.test".to_owned(), "ns2.label.test".to_owned()],
            Via::Recursive => vec!["resolver".to_owned()],
        };
        let answer = |server: String| Answer { said: self.said(question, &server), server };
        servers.into_iter().map(answer).collect()
    }
}

#[async_trait]
impl Prober for Sim {
    async fn greet(&self, _: SocketAddr, _: Service) -> Finding {
        Finding::Refused
    }
}

/// A provider under the weather.
#[derive(Debug)]
struct Under<P> {
    sim: Sim,
    name: &'static str,
    /// What the service wants that has it.
    desired: Arc<Desired>,
    inner: Arc<P>,
}

#[async_trait]
impl DnsProvider for Under<MemoryDns> {
    fn account(&self) -> &Handle {
        self.inner.account()
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        self.sim.transit.leg().await;
        self.sim.pass(self.name).await?;
        self.inner.zones().await
    }

    fn forget_zones(&self) {
        self.inner.forget_zones();
    }

    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error> {
        self.inner.listed_servers(zone).await
    }

    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error> {
        self.sim.read(self.name, self.inner.observe(zone, look)).await?
    }

    async fn apply(
        &self,
        zone: &Zone,
        owner: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>> {
        let mut answers = Vec::new();
        for change in changes {
            let (inner, zone, owner) = (Arc::clone(&self.inner), zone.clone(), owner.clone());
            let change = [change.clone()];
            let write = async move { inner.apply(&zone, &owner, &change).await.remove(0) };
            answers.push(self.sim.carried(self, write).await);
        }
        self.sim.witness.answered(answers.iter().filter(|answer| answer.is_ok()).count());
        answers
    }
}

#[async_trait]
impl NetworkProvider for Under<MemoryNetwork> {
    async fn look(&self, endpoint: &Endpoint, ahead: &Ahead) -> (EndpointState, Option<Error>) {
        match self.sim.read(self.name, self.inner.observe(endpoint)).await {
            Ok(state) => {
                if let Seen::Present(ip) = &state.public_ip {
                    ahead.tell(&endpoint.name, ip);
                    // All else takes another request.
                    self.sim.transit.leg().await;
                }
                (state, None)
            }
            Err(error) => {
                let unknown = EndpointState {
                    public_ip: Seen::Unknown(error.chain()),
                    label: Seen::Unknown(error.chain()),
                    gateway: None,
                };
                (unknown, Some(error))
            }
        }
    }

    async fn apply(&self, owner: &Owner, change: &NetworkChange) -> Result<Option<PublicIp>, Error> {
        let (inner, owner, change) = (Arc::clone(&self.inner), owner.clone(), change.clone());
        let answer = self.sim.carried(self, async move { inner.apply(&owner, &change).await }).await;
        self.sim.witness.answered(answer.iter().len());
        answer
    }

    async fn build(&self, owner: &Owner, change: &GatewayChange) -> Result<(), Error> {
        let (inner, owner, change) = (Arc::clone(&self.inner), owner.clone(), change.clone());
        self.sim.carried(self, async move { inner.build(&owner, &change).await }).await
    }

    async fn mapping(
        &self,
        pool: &ResourceId,
        machine: &ResourceId,
        rule: &str,
    ) -> Result<Option<Mapping>, Error> {
        self.inner.mapping(pool, machine, rule).await
    }
}

/// A configuration that can be exchanged.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    sim: Sim,
    desired: Arc<Mutex<Result<Desired, String>>>,
}

impl Configuration {
    pub(crate) fn new(sim: &Sim, desired: Desired) -> Self {
        Self { sim: sim.clone(), desired: Arc::new(Mutex::new(Ok(desired))) }
    }

    pub(super) fn current(&self) -> Desired {
        self.desired.lock().unwrap().clone().unwrap()
    }

    pub(crate) fn exchange(&self, desired: Result<Desired, String>) {
        *self.desired.lock().unwrap() = desired;
    }
}

impl Source for Configuration {
    fn load(&mut self) -> Result<Setup, String> {
        self.desired.lock().unwrap().clone().map(|desired| self.sim.setup(desired))
    }

    fn renew(&mut self) -> Result<Setup, String> {
        self.load()
    }

    fn count(&self, _: &mut Counts) {}
}
