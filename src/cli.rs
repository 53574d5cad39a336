//! The commands: one file each, and the composition root that wires what they run on.
//!
//! Results go to stdout, everything else to stderr. Nothing outside this module prints.

mod args;
mod compose;
mod confirm;
mod exit;
mod fold;
mod hidden;
mod journal;
mod output;
mod progress;
mod render;
mod station;
mod table;
mod typed;

mod adopt;
mod config;
#[cfg(feature = "sandbox")]
mod demo;
mod doctor;
mod history;
mod init;
mod man;
mod notify;
mod plan;
mod remove;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox;
mod status;
mod sync;
mod teardown;
mod threats;
mod undo;

use clap::{CommandFactory, Parser};

use args::Cli;
use args::Command;
pub use exit::Exit;
use output::Output;

use crate::telemetry::Reader;

/// Reads the arguments, runs the command and says how it ended.
#[must_use]
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results; the rest is a mistake, and goes to stderr. Either way clap prints it.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::InSync };
        }
    };
    let output = Output::new(&cli.global);
    let reader = reader(&cli, &output);
    let failed = |text: String, exit| match cli.command {
        Command::Run => run::not_begun(&text, exit, &output),
        _ => output.failure(&text, exit),
    };
    if let Err(error) = crate::telemetry::init(cli.log_filter().as_deref(), reader) {
        // What is wrong with it is for the log to tell too, where that is all that is read.
        let _ = crate::telemetry::init(None, reader);
        return failed(error.to_string(), Exit::Usage);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("could not start: {error}"), Exit::Failed),
    };
    let exit = runtime.block_on(run(cli, &output));
    // A name that the system's resolver is still looking up is nobody's concern any more.
    runtime.shutdown_background();
    output.end(exit)
}

/// Who reads what is logged. What the service has to tell is its log, so its format is that of the log.
fn reader(cli: &Cli, output: &Output) -> Reader {
    if matches!(cli.command, Command::Run) && output.is_json() {
        return Reader::Program;
    }
    if output::is_journalled() {
        Reader::Journal
    } else {
        Reader::Person { colour: output.colour_on_stderr() }
    }
}

async fn run(cli: Cli, output: &Output) -> Exit {
    let global = &cli.global;
    match cli.command {
        Command::Plan(args) => plan::run(global, &args, output).await,
        Command::Sync(args) => sync::run(global, &args, output).await,
        Command::Run => run::run(global, output).await,
        Command::Status(args) => status::run(global, &args, output).await,
        Command::Adopt(args) => adopt::run(global, &args, output).await,
        Command::Remove(args) => remove::run(global, &args, output).await,
        Command::Teardown(args) => teardown::run(global, &args, output).await,
        Command::History(args) => history::run(global, &args, output),
        Command::Undo(args) => undo::run(global, &args, output).await,
        Command::Threats(args) => threats::run(global, &args, output).await,
        Command::Notify { command } => notify::run(global, &command, output).await,
        Command::Doctor => doctor::run(global, output).await,
        Command::Init(args) => init::run(global, &args, output),
        Command::Config { command } => config::run(global, command, output),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::run(global, &args, output).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(&args, output).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cnamed", &mut script);
            output.bytes(&script)
        }
        Command::Man(args) => man::run(&args, output),
    }
}
