//! `cnamed run`: the service.

use std::error::Error;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};

use super::args::Global;
use super::compose::{Composition, load_config, subscribers, told};
use super::exit::Exit;
use super::output::Output;
use crate::config::{Config, Environment};
use crate::daemon::{Clock, Orders, Pace, Service, Setup, Source};
use crate::journal::{Journal, Lock};
use crate::model::state::Consents;
use crate::provider::http::{Ended, Http};
use crate::telemetry::server::Server;
use crate::telemetry::snapshot::{Counts, RequestOutcome};

pub(crate) async fn run(global: &Global, output: &Output) -> Exit {
    match work(global, output).await {
        Ok(in_flight) => {
            for change in in_flight {
                output.aside(&format!("could not confirm: {change}; it was under way at the end\n"));
            }
            Exit::InSync
        }
        Err(exit) => exit,
    }
}

async fn work(global: &Global, output: &Output) -> Result<Vec<String>, Exit> {
    let failed = |text: String| output.failure(&text, Exit::Failed);
    let config = load_config(global, output)?;
    let directory = &config.state.directory;
    // Before anybody is asked anything: two that hold the same names would fight.
    let _lock = Lock::take(directory).map_err(|error| failed(told(error)))?;
    let (journal, mended) = Journal::open(directory).map_err(|error| failed(error.chain()))?;
    if let Some(mended) = mended {
        tracing::error!(%mended, "journal");
    }
    let mut orders =
        Orders::of_process().map_err(|error| failed(cause("could not listen to signals", error)))?;
    let (server, address) = Server::bind(config.http.listen).await.map_err(|error| failed(told(error)))?;
    let server = server.known_as(config.http.names.clone());
    tracing::info!(%address, directory = %directory.display(), version = env!("CARGO_PKG_VERSION"), "service");
    let clock: Clock = Arc::new(OffsetDateTime::now_utc);
    let source = File { global: global.clone(), last: None };
    let (service, snapshots) = Service::new(source, Arc::new(journal), Arc::clone(&clock))
        .map_err(|text| output.failure(&text, Exit::Usage))?;
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let listening = tokio::spawn(async move { while sender.send(orders.next().await).await.is_ok() {} });
    let (ending, ended) = oneshot::channel::<()>();
    let showing = tokio::spawn(server.serve(snapshots, clock, async move {
        // The sender goes with the service, however that ends.
        let _ = ended.await;
    }));
    let in_flight = service.run(&mut receiver).await;
    listening.abort();
    drop(ending);
    let _ = showing.await;
    Ok(in_flight)
}

/// The configuration file, read whenever it is asked for.
struct File {
    global: Global,
    last: Option<(Config, Arc<Http>)>,
}

impl File {
    fn setup(&mut self, config: Config) -> Result<Setup, String> {
        let environment = Environment::process();
        let Composition { config, reconciler, http } = Composition::build(config, &environment)?;
        let subscribers = subscribers(&config, &environment, &http);
        let pace = Pace { interval: config.watch.interval, label_interval: config.watch.label_interval };
        let desired = config.desired(Consents::default());
        self.last = Some((config, http));
        Ok(Setup { desired, reconciler, pace, subscribers })
    }
}

impl Source for File {
    fn load(&mut self) -> Result<Setup, String> {
        let config = Config::load(&self.global.config).map_err(|mistakes| mistakes.to_string())?;
        for warning in &config.warnings {
            tracing::warn!(%warning, "configuration");
        }
        self.setup(config)
    }

    fn renew(&mut self) -> Result<Setup, String> {
        match self.last.as_ref().map(|(config, _)| config.clone()) {
            Some(config) => self.setup(config),
            None => self.load(),
        }
    }

    fn count(&self, counts: &mut Counts) {
        for metered in self.last.iter().flat_map(|(_, http)| http.metered()) {
            for (ended, count) in Ended::ALL.into_iter().zip(metered.attempts) {
                counts.requests.insert((metered.budget.clone(), outcome(ended)), count);
            }
            if let Some(left) = metered.left {
                counts.quota.insert(metered.budget, left);
            }
        }
    }
}

fn outcome(ended: Ended) -> RequestOutcome {
    match ended {
        Ended::Ok => RequestOutcome::Ok,
        Ended::Refused => RequestOutcome::Refused,
        Ended::Throttled => RequestOutcome::Throttled,
        Ended::Failed => RequestOutcome::Failed,
        Ended::Broken => RequestOutcome::Broken,
    }
}

fn cause(what: &str, error: impl Error) -> String {
    format!("{what}: {}", told(error))
}

/// Signals that wait while the loop is busy; more of them say nothing new.
const WAITING: usize = 8;
