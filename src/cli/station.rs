//! The service with everything around it, ready to run: its journal, its page, and the configuration that it lives by.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::args::Global;
use super::compose::{Composition, Doors, Unreadable, subscribers, told};
use super::exit::Exit;
use crate::config::{AccountConfig, Config, Environment, HttpConfig, StateConfig};
use crate::daemon::{Chance, Order, Pace, Service, Setup, Source};
use crate::journal::{Journal, Lock};
use crate::model::state::Consents;
use crate::provider::http::{Ended, Http};
use crate::telemetry::clock::Clock;
use crate::telemetry::server::Server;
use crate::telemetry::snapshot::{Counts, RequestOutcome, Snapshot};

/// A service that holds its state directory and its port, and has not begun.
pub(crate) struct Station<S> {
    service: Service<S>,
    server: Server,
    clock: Clock,
    /// Where the page is served.
    #[cfg_attr(not(feature = "sandbox"), expect(dead_code, reason = "the log says it"))]
    pub(crate) address: SocketAddr,
    /// What the service shows.
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What it writes down.
    #[cfg_attr(not(feature = "sandbox"), expect(dead_code, reason = "the service has it"))]
    pub(crate) journal: Arc<Journal>,
}

/// Why a service cannot begin, and with what the process ends then.
pub(crate) type Unready = (String, Exit);

impl<S: Source> Station<S> {
    /// Takes the state directory and the port that `config` names for a service that lives by `source`.
    pub(crate) async fn open(config: &Config, source: S, clock: Clock) -> Result<Self, Unready> {
        let failed = |text: String| (text, Exit::Failed);
        let directory = &config.state.directory;
        // Before anybody is asked anything: two that hold the same names would fight.
        let lock = Lock::take(directory).map_err(|error| failed(told(error)))?;
        let journal = Journal::begin(directory).map_err(|error| failed(error.chain()))?.guarded_by(lock);
        let (server, address) =
            Server::bind(config.http.listen).await.map_err(|error| failed(told(error)))?;
        let server = server.known_as(config.http.names.clone());
        tracing::info!(%address, directory = %directory.display(), version = env!("CARGO_PKG_VERSION"), "service");
        let journal = Arc::new(journal);
        let made = Service::new(source, Arc::clone(&journal), clock.clone());
        let (service, snapshots) = made.map_err(|text| (text, Exit::Usage))?;
        Ok(Self { service, server, clock, address, snapshots, journal })
    }

    /// Works and shows itself until it is told to stop; what was in flight then, in words.
    pub(crate) async fn run(self, orders: &mut mpsc::Receiver<Order>) -> Vec<String> {
        let mut shown = self.snapshots.clone();
        let showing = tokio::spawn(self.server.serve(self.snapshots, self.clock, async move {
            // Their sender goes with the service, however that ends.
            while shown.changed().await.is_ok() {}
        }));
        let in_flight = self.service.run(orders).await;
        let _ = showing.await;
        in_flight
    }
}

/// The configuration file, read whenever it is asked for.
pub(crate) struct File {
    global: Global,
    last: Option<(Config, Arc<Http>)>,
    /// What is at work, for where its secrets cannot be read anew.
    doors: Doors,
    /// What the service has taken at its start, and holds to its end.
    held: Option<(HttpConfig, StateConfig)>,
}

impl File {
    pub(crate) fn of(global: &Global) -> Self {
        Self { global: global.clone(), last: None, doors: Doors::default(), held: None }
    }

    /// Puts `config` to work, also where a secret cannot be read, if that is `spared`. See [`Unreadable`].
    fn setup(&mut self, config: Config, spared: bool) -> Result<Setup, String> {
        let environment = Environment::process();
        let before = self.last.as_ref().map(|(_, http)| http);
        let unreadable = if spared { Unreadable::LeavesWhatWas(&self.doors) } else { Unreadable::IsAnError };
        let composition = Composition::for_service(before, config, &environment, unreadable);
        let Composition { config, reconciler, http, doors, unread } = composition?;
        let subscribers = subscribers(&config, &environment, &http);
        let pace = Pace { interval: config.watch.interval, label_interval: config.watch.label_interval };
        let desired = config.desired(Consents::default());
        // These are only ever compared.
        let place = |account: &AccountConfig| (account.name.clone(), format!("{:?}", account.kind));
        let places = config.accounts.iter().map(place).collect();
        self.last = Some((config, http));
        self.doors = doors;
        let unread = unread.into_iter().collect();
        Ok(Setup { desired, reconciler, pace, chance: Chance::default(), places, subscribers, unread })
    }
}

impl Source for File {
    fn load(&mut self) -> Result<Setup, String> {
        let config = Config::load(&self.global.config).map_err(|mistakes| mistakes.to_string())?;
        for warning in &config.warnings {
            tracing::warn!(%warning, "configuration");
        }
        // What is at work holds its secrets: a new one that cannot be read leaves it so. At first there is nothing to lose.
        let spared = self.last.is_none();
        let asked = (config.http.clone(), config.state.clone());
        let setup = self.setup(config, spared)?;
        let (http, state) = self.held.get_or_insert_with(|| asked.clone());
        for (setting, differs) in [
            ("http.listen", http.listen != asked.0.listen),
            ("http.names", http.names != asked.0.names),
            ("state.directory", state.directory != asked.1.directory),
        ] {
            if differs {
                tracing::warn!(setting, "takes effect at the next start only");
            }
        }
        Ok(setup)
    }

    fn renew(&mut self) -> Result<Setup, String> {
        match self.last.as_ref().map(|(config, _)| config.clone()) {
            Some(config) => self.setup(config, true),
            None => self.load(),
        }
    }

    fn count(&self, counts: &mut Counts) {
        let Some((_, http)) = &self.last else { return };
        counts.requests.extend(attempts(http));
        counts.quota.extend(http.metered().into_iter().filter_map(|it| Some((it.budget, it.left?))));
    }
}

/// What was sent through `http`, by budget and by how it ended.
fn attempts(http: &Http) -> Vec<((String, RequestOutcome), u64)> {
    let ended = |budget: &str| Ended::ALL.map(|ended| (budget.to_owned(), outcome(ended)));
    let metered = http.metered();
    metered.iter().flat_map(|one| ended(&one.budget).into_iter().zip(one.attempts)).collect()
}

fn outcome(ended: Ended) -> RequestOutcome {
    match ended {
        Ended::Ok => RequestOutcome::Ok,
        Ended::Refused => RequestOutcome::Refused,
        Ended::Throttled => RequestOutcome::Throttled,
        Ended::Failed => RequestOutcome::Failed,
        Ended::Broken => RequestOutcome::Broken,
        Ended::Abandoned => RequestOutcome::Abandoned,
    }
}
