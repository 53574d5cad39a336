//! `cnamed run`: the service.

use std::error::Error;

use tokio::sync::mpsc;

use super::args::Global;
use super::compose::{load_config, told};
use super::exit::Exit;
use super::output::Output;
use super::station::{File, Station};
use crate::daemon::Orders;
use crate::telemetry::clock::Clock;

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
    let config = load_config(global, output)?;
    let mut orders = Orders::of_process()
        .map_err(|error| output.failure(&cause("could not listen to signals", error), Exit::Failed))?;
    let station = Station::open(&config, File::of(global), Clock::system()).await;
    let station = station.map_err(|(text, exit)| output.failure(&text, exit))?;
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let listening = tokio::spawn(async move { while sender.send(orders.next().await).await.is_ok() {} });
    let in_flight = station.run(&mut receiver).await;
    listening.abort();
    Ok(in_flight)
}

fn cause(what: &str, error: impl Error) -> String {
    format!("{what}: {}", told(error))
}

/// Signals that wait while the loop is busy; more of them say nothing new.
const WAITING: usize = 8;
