//! What an idle `cnamed sync` costs: CPU time and peak resident memory of the process, against a sandbox.
//!
//! `cargo bench --bench idle`. The targets are 60 ms and 20 MiB.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark tells its figures, and stops where it stands"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cnamed::sandbox::{Options, Sandbox};
use nix::sys::resource::{UsageWho, getrusage};
use tokio::time::Instant;

const RUNS: u32 = 20;

fn main() {
    // Test runners start every benchmark to ask what is in it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let sandbox = runtime.block_on(Sandbox::start(Options::default())).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let config = sandbox.write_config(folder.path()).unwrap();
    sync(&config);

    sandbox.forget_requests();
    let (before, began) = (cpu(), Instant::now());
    for _ in 0..RUNS {
        sync(&config);
    }
    let (spent, took) = ((cpu() - before) / RUNS, began.elapsed() / RUNS);
    let writes = sandbox.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(writes, 0, "it is not idle");
    // Of the largest child, which the first one, that was not idle, may be.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!("idle sync, mean of {RUNS}: {spent:.1?} of CPU, {took:.1?} in all; peak RSS {} KiB", peak);
}

fn sync(config: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnamed"));
    command.arg("--config").arg(config).arg("sync").stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{status}");
}

/// What every child that has ended has spent, in the kernel too.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    [usage.user_time(), usage.system_time()]
        .map(|spent| {
            Duration::from_secs(spent.tv_sec().unsigned_abs())
                + Duration::from_micros(spent.tv_usec().unsigned_abs())
        })
        .iter()
        .sum()
}
