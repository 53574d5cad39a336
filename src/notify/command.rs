//! A command of the operator's own, run for each notice.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::text::clip;
use super::{Notice, Notifier, Subscription, Topic, Undelivered, webhook};
use crate::model::endpoint::Handle;
use crate::model::moment;

/// Runs a command, never through a shell: what a notice says comes from outside as well.
///
/// Its environment is [`variables`] and those that were handed to [`Hooked::new`], nothing else; on its standard input
/// is the notice as webhooks get it. Exit code 0 is arrival; 75 (`EX_TEMPFAIL` of sysexits.h) asks to be run again
/// later. At its time limit it is killed with its whole process group.
#[derive(Debug)]
pub struct Hooked {
    subscription: Subscription,
    command: Vec<String>,
    inherited: Vec<(String, OsString)>,
    limit: Duration,
}

impl Hooked {
    /// Runs `command`, a program's path and its arguments, with the variables in `inherited`.
    #[must_use]
    pub fn new(
        subscription: Subscription,
        command: Vec<String>,
        inherited: Vec<(String, OsString)>,
        limit: Duration,
    ) -> Self {
        Self { subscription, command, inherited, limit }
    }

    fn spawn(&self, notice: &Notice) -> Result<Group, Undelivered> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Undelivered::refused("it names no command"));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.inherited.iter().map(|(name, value)| (name, value)))
            .envs(variables(notice))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map(Group).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Undelivered::refused(format!("there is no {program}; correct `command`")),
            ErrorKind::PermissionDenied => Undelivered::refused(format!(
                "{program} cannot be run: {error}; let the user that runs cnamed run it"
            )),
            // No memory or no more processes: both pass.
            _ => Undelivered::later(format!("{program} could not be started: {error}")),
        })
    }
}

#[async_trait]
impl Notifier for Hooked {
    fn name(&self) -> &Handle {
        &self.subscription.name
    }

    fn wants(&self, topic: Topic) -> bool {
        self.subscription.wants(topic)
    }

    async fn tell(&self, notice: &Notice) -> Result<(), Undelivered> {
        let mut group = self.spawn(notice)?;
        let (stdin, stderr) = (group.0.stdin.take(), group.0.stderr.take());
        let mut said = Tail::default();
        let ended = timeout(self.limit, async {
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A command that does not read what it is given has not failed for it.
                    let _ = stdin.write_all(&webhook::body(notice)).await;
                    drop(stdin);
                }
            };
            let run = async {
                let mut listening = stderr;
                let status = tokio::select! {
                    status = group.0.wait() => status,
                    () = said.listen(&mut listening) => group.0.wait().await,
                };
                // What it leaves running may keep the pipe open; what was written before its end is there at once.
                let _ = timeout(REST, said.listen(&mut listening)).await;
                status
            };
            // Who ends without reading has ended.
            tokio::pin!(feed, run);
            tokio::select! {
                status = &mut run => status,
                () = &mut feed => run.await,
            }
        })
        .await;
        let words = said.last_line();
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) if status.code() == Some(TEMPORARY) => {
                Err(Undelivered::later(format!("it asked to be run again later{words}")))
            }
            Ok(Ok(status)) => Err(Undelivered::refused(format!("it {}{words}", shown(status)))),
            Ok(Err(error)) => Err(Undelivered::lost(format!("could not confirm how it ended: {error}"))),
            Err(_) => {
                group.end().await;
                let limit = humantime::format_duration(self.limit);
                Err(Undelivered::lost(format!(
                    "it was killed, with everything that it had begun, since it took longer than {limit}{words}"
                )))
            }
        }
    }
}

/// What a command is told in its environment, `CNAMED_…` before each name; what a notice has not is empty.
#[must_use]
pub fn variables(notice: &Notice) -> [(&'static str, String); 10] {
    let plain = |text: &str| clip(text, LONGEST);
    let optional = |text: &Option<String>| text.as_deref().map(plain).unwrap_or_default();
    [
        ("CNAMED_TOPIC", notice.topic.to_string()),
        ("CNAMED_SUBJECT", plain(&notice.subject)),
        ("CNAMED_TITLE", plain(&notice.title)),
        ("CNAMED_DETAILS", details(&notice.details)),
        ("CNAMED_BEFORE", optional(&notice.before)),
        ("CNAMED_AFTER", optional(&notice.after)),
        ("CNAMED_OWNER", plain(&notice.owner)),
        ("CNAMED_AT", moment::text(notice.at)),
        ("CNAMED_REPEATS", notice.repeats.to_string()),
        ("CNAMED_NEXT_STEP", optional(&notice.next_step)),
    ]
}

/// The details, a line each.
fn details(details: &[String]) -> String {
    let lines: Vec<String> = details.iter().map(|detail| clip(detail, LONGEST)).collect();
    lines.join("\n")
}

/// A child and whatever it starts. Dropped before its end, also when whoever waits gives up, it is killed as a whole.
struct Group(Child);

impl Group {
    fn kill(&mut self) {
        // No id is left once it was waited for, so that this never reaches a group that is no longer ours.
        #[cfg(unix)]
        if let Some(group) = self.0.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.start_kill();
    }

    async fn end(&mut self) {
        self.kill();
        let _ = self.0.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of what a command writes.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// Reads to the end, keeping little of it.
    async fn listen(&mut self, from: &mut Option<ChildStderr>) {
        let Some(stream) = from else { return };
        let mut chunk = [0; 512];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            self.0.extend_from_slice(&chunk[..count]);
            let excess = self.0.len().saturating_sub(KEPT);
            self.0.drain(..excess);
        }
        *from = None;
    }

    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        line.map(|line| format!(": {}", clip(line, SHOWN))).unwrap_or_default()
    }
}

fn shown(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("was ended from outside ({status})"),
    }
}

/// `EX_TEMPFAIL`.
const TEMPORARY: i32 = 75;
/// How long a pipe that stays open after the command's end is listened to.
const REST: Duration = Duration::from_millis(100);
/// The most bytes that are kept of what a command writes, and the most characters that are shown.
const KEPT: usize = 2048;
const SHOWN: usize = 200;
/// The most characters of one variable, far below what the kernel takes.
const LONGEST: usize = 4000;
