//! What an idle `cnamed sync` costs: CPU time and peak resident memory of the process, against a sandbox.
//!
//! `cargo bench --bench idle`. The targets are 60 ms and 20 MiB.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark tells its figures, and stops where it stands"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

const RUNS: u32 = 20;

fn main() {
    // Test runners start every benchmark to ask what is in it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    // In a process of its own: a child's peak counts from the process that it was forked from, and a cloud is large.
    let sandbox = Sandbox(cnamed().arg("sandbox").arg("--directory").arg(folder.path()).spawn().unwrap());
    let config = folder.path().join("cnamed.toml");
    for _ in 0..100 {
        if config.exists() && exit(&config, "sync") == Some(0) {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    assert_eq!(exit(&config, "plan"), Some(0), "it is not idle");

    let before = cpu();
    for _ in 0..RUNS {
        assert_eq!(exit(&config, "sync"), Some(0));
    }
    let spent = (cpu() - before) / RUNS;
    // Of the largest child, which the first one, that was not idle, may be.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!("idle sync, mean of {RUNS}: {spent:.1?} of CPU; peak RSS {peak} KiB");
    drop(sandbox);
}

/// Ended when it is dropped, also by a failure.
struct Sandbox(Child);

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cnamed() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnamed"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn exit(config: &Path, command: &str) -> Option<i32> {
    cnamed().arg("--config").arg(config).arg(command).status().unwrap().code()
}

/// What every child that has ended has spent, in the kernel too.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let spent = [usage.user_time(), usage.system_time()].map(|spent| {
        Duration::from_secs(spent.tv_sec().unsigned_abs())
            + Duration::from_micros(spent.tv_usec().unsigned_abs())
    });
    spent.iter().sum()
}
