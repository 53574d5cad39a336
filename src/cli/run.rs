//! `cnamed run`: the service.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::args::Global;
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use crate::config::{Config, Environment};
use crate::daemon::{Orders, Pace, Service, Setup, Source};
use crate::journal::{Journal, Lock};
use crate::model::state::Consents;
use crate::telemetry::server::Server;
use crate::telemetry::snapshot::Counts;

pub(crate) async fn run(global: &Global, output: &Output) -> Exit {
    match work(global, output).await {
        Ok(in_flight) => {
            for change in in_flight {
                output.aside(&format!(
                    "ended while this was under way, and could not confirm it: {change}; the next round looks first\n"
                ));
            }
            Exit::InSync
        }
        Err(exit) => exit,
    }
}

async fn work(global: &Global, output: &Output) -> Result<Vec<String>, Exit> {
    let config = super::compose::load_config(global, output)?;
    let failed = |text: String| output.failure(&text, Exit::Failed);
    // Taken before anything is asked of anybody: two that write the same names would fight.
    let lock = Lock::take(&config.state.directory).map_err(|error| failed(error.to_string()))?;
    let (journal, mended) =
        Journal::open(&config.state.directory).map_err(|error| failed(error.to_string()))?;
    if let Some(mended) = mended {
        tracing::error!(%mended, "journal");
    }
    let mut orders = Orders::of_process().map_err(|error| failed(format!("could not listen to signals: {error}")))?;
    let server = Server::bind(config.http.listen).await.map_err(|error| failed(error.to_string()))?;
    tracing::info!(listen = %server.address(), state = %config.state.directory.display(), "service");
    let source = File { global: global.clone(), meter: None };
    let (service, snapshots) = Service::new(source, Arc::new(journal), Arc::new(OffsetDateTime::now_utc))
        .map_err(|text| output.failure(&text, Exit::Usage))?;
    let (sender, mut receiver) = mpsc::channel(ORDERS);
    let listening = async {
        while sender.send(orders.next().await).await.is_ok() {}
        std::future::pending().await
    };
    let in_flight = tokio::select! {
        in_flight = service.run(&mut receiver) => in_flight,
        () = server.serve(snapshots) => Vec::new(),
        () = listening => Vec::new(),
    };
    drop(lock);
    Ok(in_flight)
}

/// The configuration file, read whenever it is asked for.
struct File {
    global: Global,
    meter: Option<Arc<crate::provider::http::Meter>>,
}

impl Source for File {
    fn load(&mut self) -> Result<Setup, String> {
        let config = Config::load(&self.global.config).map_err(|mistakes| mistakes.to_string())?;
        for warning in &config.warnings {
            tracing::warn!(%warning, "configuration");
        }
        let Composition { config, reconciler, http } = Composition::build(config, &Environment::process())?;
        self.meter = Some(http.meter());
        let desk = super::compose::desk(&config, &http, &Environment::process())?;
        let pace = Pace { interval: config.watch.interval, label_interval: config.watch.label_interval };
        Ok(Setup { desired: config.desired(Consents::default()), reconciler, pace, desk })
    }

    fn count(&self, counts: &mut Counts) {
        if let Some(meter) = &self.meter {
            meter.count(counts);
        }
    }
}

/// Signals that wait while the loop is busy; more of one kind say nothing new.
const ORDERS: usize = 8;
