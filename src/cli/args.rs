//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::model::name::Fqdn;

/// Keeps friendly names pointed at Azure: a public IP with its DNS label, and the CNAMEs on it in Azure DNS and
/// Cloudflare.
///
/// Exit codes: 0 in sync, or made so and verified; 1 failed; 2 usage or configuration; 3 changes pending;
/// 4 refused by a guard; 5 applied, not verified in time; 6 partly failed, or
/// not confirmed.
#[derive(Debug, Parser)]
#[command(name = "cnamed", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The configuration file.
    #[arg(
        long,
        short,
        global = true,
        env = "CNAMED_CONFIG",
        default_value = "/etc/cnamed/cnamed.toml",
        value_name = "FILE"
    )]
    pub(crate) config: PathBuf,
    /// How results are written to stdout.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
    /// What is logged to stderr: a level, or targets such as `cnamed::provider=debug`.
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Log more: once what is changed, twice every request.
    #[arg(long, short, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Show no progress, and log errors only.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Cli {
    /// The filter that the options ask for; `None` leaves it at warnings. A service tells of each round and each change
    /// by itself.
    #[must_use]
    pub(crate) fn log_filter(&self) -> Option<String> {
        let Global { quiet, verbose, log, .. } = &self.global;
        let level = match (quiet, verbose) {
            (true, _) => "error",
            (false, 0) if matches!(self.command, Command::Run) => "info",
            // What its service would warn of is what the day is told by.
            #[cfg(feature = "sandbox")]
            (false, 0) if matches!(self.command, Command::Demo(DemoArgs { day: true, .. })) => "error",
            (false, 0) => return log.clone(),
            (false, 1) => "info",
            (false, _) => "debug",
        };
        Some(log.clone().unwrap_or_else(|| level.to_owned()))
    }
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    Text,
    /// For a script: one JSON value, with a `version` field; of `run`, its log, as lines of JSON on stderr.
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows what `sync` would do, and changes nothing.
    Plan(PlanArgs),
    /// Brings everything in sync, once, and verifies it.
    Sync(SyncArgs),
    /// Watches, heals and tells, until it is told to stop.
    ///
    /// Its log goes to stderr, with a line for every change and every round: in the form of systemd's journal where that
    /// reads it, and as lines of JSON with `--format json`. `--log`, `-v` and `-q` say how much of it.
    ///
    /// SIGHUP reads the configuration anew, SIGUSR1 begins a round now, SIGTERM and SIGINT end it within two seconds.
    Run,
    /// Shows every chain, from the name to the port, and the first link that is broken.
    Status(StatusArgs),
    /// Takes over a record that is not ours, by name.
    Adopt(AdoptArgs),
    /// Withdraws a name of ours, wherever it is held.
    Remove(RemoveArgs),
    /// Withdraws every name, waits until it is forgotten, then takes down what we made.
    Teardown(TeardownArgs),
    /// Shows what was changed and what happened, when and why, and how long name servers took to say so.
    History(HistoryArgs),
    /// Puts the last write to a record back, under the same rules as any other change.
    Undo(UndoArgs),
    /// Shows failed logons before and after the gateway went up: by account, and from where.
    Threats(ThreatsArgs),
    /// Looks after those who are told what happens.
    Notify {
        /// What to do.
        #[command(subcommand)]
        command: NotifyCommand,
    },
    /// Asks after every credential, permission, zone, delegation, resolver, clock and directory, and writes nothing.
    ///
    /// Exit codes: 0 nothing failed; 1 something did; 6 nothing failed, and something could not be asked;
    /// 2 configuration.
    Doctor,
    /// Writes a configuration, from answers at a terminal or from flags.
    Init(Box<super::init::InitArgs>),
    /// Looks at the configuration itself.
    Config {
        /// What to look at.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Tells the whole story on a cloud of its own on loopback, in under a minute.
    #[cfg(feature = "sandbox")]
    Demo(DemoArgs),
    /// Runs that cloud alone, to rehearse against, and writes a configuration for it.
    #[cfg(feature = "sandbox")]
    Sandbox(SandboxArgs),
    /// Writes a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Writes the manual page, or the whole manual into a directory.
    Man(ManArgs),
}

/// `cnamed plan`
#[derive(Debug, Default, Args)]
pub(crate) struct PlanArgs {
    /// Keeps the plan in FILE, for `sync --plan FILE`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Only this record or this endpoint.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// What to allow beyond the configuration.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) allow: Vec<Allow>,
}

/// `cnamed sync`
#[derive(Debug, Default, Args)]
pub(crate) struct SyncArgs {
    /// Runs exactly the plan in FILE, as `plan --out` wrote it, or refuses.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "allow"])]
    pub(crate) plan: Option<PathBuf>,
    /// Ends by walking every chain to its port, as `status` does.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Only this record or this endpoint.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// What to allow beyond the configuration.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) allow: Vec<Allow>,
}

/// What can be allowed by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allow {
    /// Renaming a label: its names are withdrawn for as long as their TTL, then restored.
    Relabel,
    /// More withdrawals from an account in one round than `limits.deletes_per_round`, and all that follow from a file
    /// without any record, or from a load balancer without any `nat_rule`.
    Deletes,
    /// Opening a port to the whole internet, as `allow_from = ["internet"]` asks for.
    Internet,
}

/// `cnamed status`
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this record or this endpoint.
    #[arg(value_name = "NAME")]
    pub(crate) only: Option<String>,
}

/// `cnamed adopt`
#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    /// The record's name.
    pub(crate) name: String,
    /// Takes it from this owner, when it carries another instance's mark.
    #[arg(long, value_name = "OWNER")]
    pub(crate) from: Option<String>,
    /// Does not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `cnamed remove`
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The record's name.
    pub(crate) name: String,
    /// Does not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `cnamed teardown`
#[derive(Debug, Args)]
pub(crate) struct TeardownArgs {
    /// Only this endpoint.
    #[arg(value_name = "ENDPOINT")]
    pub(crate) only: Option<String>,
    /// Does not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `cnamed history`
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only what is not older: a span such as 7d, a day (from its midnight in UTC) such as 2026-11-22, or a time such as
    /// 2026-11-22T10:00:00Z.
    #[arg(long, value_name = "SPAN|TIME", value_parser = since)]
    pub(crate) since: Option<Since>,
    /// Only of this record, of this resource, or of this endpoint and everything behind it.
    #[arg(long, value_name = "NAME", value_parser = subject)]
    pub(crate) name: Option<String>,
    /// How many entries at most: the newest.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = many)]
    pub(crate) limit: usize,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Duration),
    /// That moment.
    At(OffsetDateTime),
}

impl Since {
    /// The moment, as of `now`.
    #[must_use]
    pub(crate) fn moment(self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            // What began before time did has no beginning.
            Self::Ago(span) => now.checked_sub(span.try_into().unwrap_or(time::Duration::MAX)),
            Self::At(at) => Some(at),
        }
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

fn since(text: &str) -> Result<Since, String> {
    let day = format!("{text}T00:00:00Z");
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(&day, &Rfc3339)) {
        return Ok(Since::At(at));
    }
    let wrong = "write a span, as in 7d, a day, as in 2026-11-22, or a time, as in 2026-11-22T10:00:00Z";
    humantime::parse_duration(text).map(Since::Ago).map_err(|_| wrong.into())
}

/// What a record, a resource of Azure's or an endpoint can be called; nothing would ever be found under another name.
fn subject(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_alphanumeric() || "-_.()/".contains(c);
    if (!text.is_empty() && text.chars().all(fits)) || Fqdn::parse(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err("write the name of a record, of a resource or of an endpoint, as cnamed history shows it".into())
}

fn many(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it is a number from 1 on".into())
}

/// `cnamed undo`
#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// Does not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `cnamed threats`
#[derive(Debug, Args)]
pub(crate) struct ThreatsArgs {
    /// How far to look back from that moment, and ahead: 1m to 366d.
    #[arg(long, default_value = "24h", value_parser = span)]
    pub(crate) span: Duration,
    /// When the gateway went up, such as 2026-11-22T10:00:00Z; else when Azure made its load balancer.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) at: Option<OffsetDateTime>,
}

fn span(text: &str) -> Result<Duration, String> {
    let span =
        humantime::parse_duration(text).map_err(|error| format!("{error}; write it as in 24h or 7d"))?;
    if (MINUTE..=366 * 24 * 60 * MINUTE).contains(&span) {
        return Ok(span);
    }
    Err("it is from 1m to 366d".into())
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "write a time with its offset from UTC, as in 2026-11-22T10:00:00Z")?;
    // At either end of the calendar there is no such moment in UTC, or no day before it.
    let at = at.checked_to_offset(UtcOffset::UTC).filter(|at| (1970..=9999).contains(&at.year()));
    at.ok_or_else(|| "the year is from 1970 to 9999".into())
}

const MINUTE: Duration = Duration::from_secs(60);

/// `cnamed notify`
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Sends a test to every notifier, or to one, and shows whether it arrived.
    Test {
        /// Only this notifier.
        #[arg(value_name = "NAME")]
        only: Option<String>,
    },
}

/// `cnamed config`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Reads it and reports every mistake at once.
    Check,
    /// Prints it as it takes effect, every default written out, secrets as references.
    Show,
    /// Prints its JSON Schema.
    Schema,
}

/// `cnamed man`
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Writes a page for each command, cnamed.toml(5) and cnamed-json(5) into DIRECTORY.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) out: Option<PathBuf>,
}

/// `cnamed demo`
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Lets a day of outages, deallocations and helpful hands pass before the service and its status page.
    #[arg(long)]
    pub(crate) day: bool,
    /// How many times as fast as usual the day passes.
    #[arg(long, requires = "day", value_name = "N", default_value_t = 1200,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) speed: u32,
    /// At a terminal, keeps the page up after the day, until Ctrl-C.
    #[arg(long, requires = "day")]
    pub(crate) hold: bool,
}

/// `cnamed sandbox`
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    /// Where the configuration, the CA and the secrets are written.
    #[arg(long, default_value = "cnamed-sandbox", value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
    /// How many times as fast as usual its time runs: operations, quotas and what resolvers remember.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) speed: u32,
    /// Writes every exchange with the services to DIRECTORY, as JSON, credentials left out.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) record: Option<PathBuf>,
}
