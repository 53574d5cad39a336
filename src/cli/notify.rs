//! `cnamed notify test`: whether those arrive who want to be told.

use futures::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::args::{Global, NotifyCommand};
use super::compose::{self, load_config};
use super::exit::Exit;
use super::output::{Output, Tone};
use super::table::Table;
use crate::config::{Config, Environment, NotifierKind};
use crate::model::plan::counted;
use crate::notify::desk::Subscriber;
use crate::notify::words::notice_of_test;
use crate::reconcile::round::VERSION;

pub(crate) async fn run(global: &Global, command: &NotifyCommand, output: &Output) -> Exit {
    let NotifyCommand::Test { only } = command;
    match test(global, only.as_deref(), output).await {
        Ok(report) => report.tell(output),
        Err(exit) => exit,
    }
}

/// How the test went, a contract for scripts.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Report {
    /// The contract's version.
    version: u32,
    /// Whether it arrived.
    outcome: Outcome,
    /// Each notifier that was tried.
    notifiers: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// Everywhere.
    Arrived,
    /// Not everywhere.
    Partial,
    /// Nowhere.
    Failed,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Line {
    /// Its name in the configuration.
    name: String,
    /// What it is.
    kind: NotifierKind,
    /// Whether the notice arrived.
    arrived: bool,
    /// How long that took, in milliseconds.
    ms: u64,
    /// Why it did not arrive.
    error: Option<String>,
}

async fn test(global: &Global, only: Option<&str>, output: &Output) -> Result<Report, Exit> {
    let config = load_config(global, output)?;
    let chosen = choose(&config, only).map_err(|text| output.failure(&text, Exit::Usage))?;
    let http =
        compose::http(&config, compose::DEADLINE).map_err(|text| output.failure(&text, Exit::Usage))?;
    let subscribers = compose::subscribers(&config, &Environment::process(), &http);
    let notice = &notice_of_test(&config.owner, OffsetDateTime::now_utc());
    let asked = chosen.into_iter().map(|at| (&config.notifiers[at], &subscribers[at]));
    let tried = asked.map(|(config, Subscriber { notifier, .. })| async move {
        let began = Instant::now();
        let outcome = notifier.tell(notice).await;
        Line {
            name: config.name.to_string(),
            kind: config.channel.kind(),
            arrived: outcome.is_ok(),
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            error: outcome.err().map(|undelivered| undelivered.to_string()),
        }
    });
    let notifiers = join_all(tried).await;
    let arrived = notifiers.iter().filter(|line| line.arrived).count();
    let outcome = match arrived {
        0 => Outcome::Failed,
        some if some < notifiers.len() => Outcome::Partial,
        _ => Outcome::Arrived,
    };
    Ok(Report { version: VERSION, outcome, notifiers })
}

/// The notifiers to try, by their place in the configuration.
fn choose(config: &Config, only: Option<&str>) -> Result<Vec<usize>, String> {
    if config.notifiers.is_empty() {
        return Err("nobody is configured to be told; name somebody in [[notify]]:\n\n  [[notify]]\n  name = \"ops\"\n  \
                    kind = \"slack\"\n  url = { file = \"/etc/cnamed/slack-url\" }"
            .to_owned());
    }
    let Some(only) = only else { return Ok((0..config.notifiers.len()).collect()) };
    match config.notifiers.iter().position(|one| one.name.as_str() == only) {
        Some(at) => Ok(vec![at]),
        None => {
            let known: Vec<&str> = config.notifiers.iter().map(|one| one.name.as_str()).collect();
            Err(format!("the configuration names no notifier \"{only}\"; there is {}", known.join(", ")))
        }
    }
}

impl Report {
    fn tell(&self, output: &Output) -> Exit {
        if output.is_json() {
            let _ = output.json(self);
        } else {
            output.text(&self.text());
        }
        match self.outcome {
            Outcome::Arrived => Exit::InSync,
            Outcome::Partial => Exit::Partial,
            Outcome::Failed => Exit::Failed,
        }
    }

    fn text(&self) -> String {
        let (all, arrived) =
            (self.notifiers.len(), self.notifiers.iter().filter(|line| line.arrived).count());
        let mut out = match self.outcome {
            Outcome::Arrived => {
                format!(
                    "{}: the test arrived at {}.\n\n",
                    Tone::Good.paint("Arrived"),
                    counted(all, "notifier")
                )
            }
            Outcome::Partial => {
                let word = Tone::Warn.paint("Partial");
                format!("{word}: the test arrived at {arrived} of {}.\n\n", counted(all, "notifier"))
            }
            Outcome::Failed => {
                format!(
                    "{}: the test arrived at none of {}.\n\n",
                    Tone::Bad.paint("Failed"),
                    counted(all, "notifier")
                )
            }
        };
        let mut table = Table::default();
        for line in &self.notifiers {
            let (word, tone) = if line.arrived { ("arrived", Tone::Good) } else { ("failed", Tone::Bad) };
            table.row([
                (line.name.clone(), Tone::Strong),
                (line.kind.as_str().to_owned(), Tone::Plain),
                (word.to_owned(), tone),
                (format!("{} ms", line.ms), Tone::Faint),
            ]);
        }
        out.push_str(&table.render());
        for line in &self.notifiers {
            if let Some(error) = &line.error {
                let name = Tone::Strong.paint(&line.name);
                out.push_str(&format!("\n{} {name}\n    {error}\n", Tone::Bad.paint("did not arrive:")));
            }
        }
        out
    }
}
