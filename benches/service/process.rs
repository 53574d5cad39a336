//! The program that is measured, in a process of its own, and what the kernel knows of it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Killed when it is dropped, also by a failure.
pub(crate) struct Process(Child);

impl Process {
    /// Starts the service with the configuration in `folder`; it logs to `log` there.
    pub(crate) fn run(folder: &Path) -> Self {
        let log = fs::File::create(folder.join("log")).unwrap();
        Self(program(folder, "run").stderr(log).spawn().unwrap())
    }

    /// What it has spent on a processor, in the kernel too.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let spent = tasks.map(|task| {
            // The time on a processor in nanoseconds comes first (proc(5), schedstat).
            let text = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
        });
        spent.sum()
    }

    /// Its resident memory: all, and what is its own.
    pub(crate) fn memory(&mut self) -> String {
        assert!(self.0.try_wait().unwrap().is_none(), "the service has ended");
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
        };
        format!("RSS {:.2} MiB, of which {:.2} its own", of("VmRSS"), of("RssAnon"))
    }

    pub(crate) fn end(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes everything so that nothing is left to do.
pub(crate) fn sync(folder: &Path) {
    let status = program(folder, "sync").stderr(Stdio::inherit()).status().unwrap();
    assert!(status.success(), "cnamed sync: {status}");
}

fn program(folder: &Path, command: &str) -> Command {
    let path = std::env::var_os("CNAMED").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_cnamed")));
    let mut program = Command::new(path);
    program.arg("--config").arg(folder.join("cnamed.toml")).arg(command);
    program.stdin(Stdio::null()).stdout(Stdio::null());
    program
}
