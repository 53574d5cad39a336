//! `cnamed run`: the service.

use std::error::Error;

use tokio::sync::mpsc;

use super::args::Global;
use super::compose::told;
use super::exit::Exit;
use super::output::Output;
use super::station::{File, Station, Unready};
use crate::config::Config;
use crate::daemon::Orders;
use crate::telemetry::clock::Clock;

pub(crate) async fn run(global: &Global, output: &Output) -> Exit {
    match work(global).await {
        Ok(()) => Exit::InSync,
        Err((text, exit)) => not_begun(&text, exit, output),
    }
}

/// Why there is no service. What a service has to tell is its log, also that: whoever reads that as JSON reads no text.
pub(crate) fn not_begun(text: &str, exit: Exit, output: &Output) -> Exit {
    if !output.is_json() {
        return output.failure(text, exit);
    }
    tracing::error!(error = text, "not begun");
    output.refusal(text, exit);
    exit
}

async fn work(global: &Global) -> Result<(), Unready> {
    // Its warnings are told where the service reads it.
    let config = Config::load(&global.config).map_err(|mistakes| (mistakes.to_string(), Exit::Usage))?;
    let orders = Orders::of_process();
    let mut orders = orders.map_err(|error| (cause("could not listen to signals", error), Exit::Failed))?;
    let station = Station::open(&config, File::of(global), Clock::system()).await?;
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let listening = tokio::spawn(async move { while sender.send(orders.next().await).await.is_ok() {} });
    station.run(&mut receiver).await;
    listening.abort();
    Ok(())
}

fn cause(what: &str, error: impl Error) -> String {
    format!("{what}: {}", told(error))
}

/// Signals that wait while the loop is busy; more of them say nothing new.
const WAITING: usize = 8;
