//! `cnamed threats`: failed logons before and after the gateway went up.

pub(super) mod json;
mod text;

use futures::future::join_all;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::args::{Global, ThreatsArgs};
use super::compose::{Watchtower, load_config};
use super::exit::Exit;
use super::output::Output;
use crate::config::{Config, Environment};
use crate::model::threats::{Outcome, Platform, Report, Spans};
use crate::provider::LogonProvider;
use crate::provider::azure::{Arm, Origin};
use json::Document;

/// When the gateway went up, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Up {
    /// `--at`.
    Told(OffsetDateTime),
    /// Azure made this load balancer then, and it is ours: it is the gateway.
    Made(String, OffsetDateTime),
    /// Azure made this load balancer then, for somebody else: the gateway may have come to it later.
    MadeForOthers(String, OffsetDateTime),
    /// There is none yet, or none is configured.
    NotYet(String),
    /// It could not be found out.
    Unknown(String),
}

impl Up {
    fn moment(&self) -> Option<OffsetDateTime> {
        match self {
            Self::Told(at) | Self::Made(_, at) | Self::MadeForOthers(_, at) => Some(*at),
            Self::NotYet(_) | Self::Unknown(_) => None,
        }
    }
}

pub(crate) async fn run(global: &Global, args: &ThreatsArgs, output: &Output) -> Exit {
    match survey(global, args, output).await {
        Ok(survey) => survey.tell(output),
        Err(exit) => exit,
    }
}

/// What was found out.
#[derive(Debug)]
pub(super) struct Survey {
    workspace: String,
    up: Up,
    /// What the tables say.
    pub(super) report: Report,
}

impl Survey {
    /// Tells it in the format that was asked for, and gives what the command ends with.
    pub(super) fn tell(&self, output: &Output) -> Exit {
        let Self { workspace, up, report } = self;
        if output.is_json() {
            let _ = output.json(&Document::of(workspace, up, report));
        } else {
            output.text(&text::render(up, report, output.is_seen()));
        }
        match outcome(up, report) {
            Outcome::Failed => Exit::Failed,
            Outcome::Partial => Exit::Partial,
            Outcome::Answered => Exit::InSync,
        }
    }
}

/// Finds out what there is to tell; why it could not is told.
pub(super) async fn survey(global: &Global, args: &ThreatsArgs, output: &Output) -> Result<Survey, Exit> {
    let config = load_config(global, output)?;
    let Some(threats) = &config.threats else {
        let text = "no Log Analytics workspace is configured; name it in threats.workspace:\n\n  [threats]\n  \
                    workspace = \"00000000-0000-0000-0000-000000000000\"";
        return Err(output.failure(text, Exit::Usage));
    };
    let tower = Watchtower::build(&config, threats, &Environment::process());
    let tower = tower.map_err(|text| output.failure(&text, Exit::Usage))?;
    let now = OffsetDateTime::now_utc();
    let up = match args.at {
        Some(at) => Up::Told(at),
        None => went_up(&tower.arm, &config).await,
    };
    let spans = match up.moment() {
        Some(moment) => Spans::around(moment, args.span, now),
        None => Spans::until(now, args.span),
    };
    let Some(spans) = spans else {
        let at = up.moment().map(rfc3339).unwrap_or_default();
        let text =
            format!("the gateway cannot have gone up at {at}: that is yet to come; check --at and the clock");
        return Err(output.failure(&text, Exit::Usage));
    };
    let report = ask(&tower.logons, spans).await;
    Ok(Survey { workspace: threats.workspace.clone(), up, report })
}

/// How it ended; when the gateway went up is part of what was asked.
fn outcome(up: &Up, report: &Report) -> Outcome {
    match report.outcome() {
        Outcome::Answered if matches!(up, Up::Unknown(_)) => Outcome::Partial,
        outcome => outcome,
    }
}

/// Asks every table at once.
async fn ask(logons: &dyn LogonProvider, spans: Spans) -> Report {
    let spans = &spans;
    let asked =
        Platform::ALL.map(|platform| async move { (platform, logons.failed_logons(platform, spans).await) });
    Report { spans: *spans, readings: join_all(asked).await }
}

/// When the first of the configured gateways went up.
async fn went_up(arm: &Arm, config: &Config) -> Up {
    let mut first: Option<(String, Origin)> = None;
    let mut missing = None;
    for one in &config.endpoints {
        let Some(gateway) = &one.gateway else { continue };
        let (group, name) = (&one.public_ip.resource_group, gateway.load_balancer.name());
        match arm.origin(group, LOAD_BALANCER, name).await {
            Ok(Some(origin)) if first.as_ref().is_none_or(|(_, first)| origin.made < first.made) => {
                first = Some((name.to_owned(), origin));
            }
            Ok(Some(_)) => {}
            Ok(None) => missing = Some(format!("there is no load balancer {name} in {group} yet")),
            Err(error) => return Up::Unknown(error.chain()),
        }
    }
    match first {
        Some((name, origin)) if origin.mark.as_ref() == Some(&config.owner) => Up::Made(name, origin.made),
        Some((name, origin)) => Up::MadeForOthers(name, origin.made),
        None => Up::NotYet(
            missing.unwrap_or_else(|| "no endpoint has a load balancer in the configuration".into()),
        ),
    }
}

fn rfc3339(at: OffsetDateTime) -> String {
    at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

const LOAD_BALANCER: &str = "Microsoft.Network/loadBalancers";
