//! What whole-binary tests stand on: a cloud of their own and the real binary.

pub(crate) mod dns;
pub(crate) mod golden;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cnamed::sandbox::{LoggedRequest, Options, Sandbox, Service};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// No command of a test takes this long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// A sandbox with its configuration on disk.
pub(crate) struct Cloud {
    pub(crate) sandbox: Sandbox,
    pub(crate) folder: TempDir,
    pub(crate) config: PathBuf,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(options: impl FnOnce(&mut Options)) -> Self {
        let mut chosen = Options { operation_delay: Duration::from_millis(50), ..Options::default() };
        options(&mut chosen);
        let sandbox = Sandbox::start(chosen).await.unwrap();
        let folder = TempDir::new().unwrap();
        let config = sandbox.write_config(folder.path()).unwrap();
        Self { sandbox, folder, config }
    }

    /// Rewrites the configuration.
    pub(crate) fn configure(&self, edit: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, edit(text)).unwrap();
    }

    /// Replaces `from`, which must be there, in the configuration.
    pub(crate) fn replace(&self, from: &str, to: &str) {
        self.configure(|text| {
            assert!(text.contains(from), "the configuration has no {from:?}:\n{text}");
            text.replace(from, to)
        });
    }

    pub(crate) fn append(&self, more: &str) {
        self.configure(|text| text + more);
    }

    /// Begins a command and leaves it running.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        command(&self.config, arguments).spawn().unwrap()
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        let output = tokio::time::timeout(PATIENCE, command(&self.config, arguments).output());
        let output = output.await.unwrap_or_else(|_| panic!("cnamed {arguments:?} hangs")).unwrap();
        Run {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The requests that reached the cloud since the log was last emptied, tokens left out.
    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        self.sandbox.requests().into_iter().filter(|request| request.service != Service::Authority).collect()
    }

    pub(crate) fn writes(&self) -> Vec<LoggedRequest> {
        self.requests().into_iter().filter(|request| request.method != "GET").collect()
    }

    pub(crate) fn asked(&self, service: Service) -> Vec<String> {
        let asked = self.requests().into_iter().filter(|request| request.service == service);
        asked.map(|request| format!("{} {}?{}", request.method, request.path, request.query)).collect()
    }
}

fn command(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnamed"));
    command
        .arg("--config")
        .arg(config)
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        // What one test leaves behind is no other test's business.
        .envs(config.parent().map(|folder| ("TMPDIR", folder)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        let both = format!("{}\n{}", self.out, self.err);
        assert!(both.contains(text), "nothing says {text:?}\nstdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}
