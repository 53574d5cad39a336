//! `cnamed doctor`: what stands in the way, with the next step for each.

use schemars::JsonSchema;
use serde::Serialize;

use super::args::Global;
use super::compose::Examination;
use super::exit::Exit;
use super::output::{Output, Tone};
use super::progress::Progress;
use super::table::Table;
use crate::doctor::host;
use crate::model::checkup::{Check, Conclusion, Health, conclude};
use crate::model::plan::counted;
use crate::reconcile::round::VERSION;

pub(crate) async fn run(global: &Global, output: &Output) -> Exit {
    let examination = match Examination::load(global, output) {
        Ok(examination) => examination,
        Err(exit) => return exit,
    };
    let progress = Progress::new(output);
    progress.say("asking after credentials, permissions, zones and name servers");
    let checks = examine(&examination).await;
    drop(progress);
    tell(&checks, output)
}

async fn examine(examination: &Examination) -> Vec<Check> {
    let directory = examination.config.state.directory.clone();
    let listen = examination.config.http.listen;
    // Disks and sockets of this host may keep one waiting, and nobody else waits for them.
    let here = tokio::task::spawn_blocking(move || vec![host::state(&directory), host::listen(listen)]);
    let (mut checks, here) = futures::join!(examination.doctor.examine(), here);
    checks.extend(here.unwrap_or_default());
    checks.extend(examination.http.clocks().iter().map(|skew| host::clock(&skew.service, skew.ahead)));
    checks.sort_by_key(|check| check.topic);
    checks
}

/// How everything stands, as a script reads it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Report<'c> {
    /// The contract's version.
    version: u32,
    /// What the checks come to.
    outcome: Conclusion,
    /// Each question and what came of it.
    checks: &'c [Check],
}

fn tell(checks: &[Check], output: &Output) -> Exit {
    let conclusion = conclude(checks);
    if output.is_json() {
        let _ = output.json(&Report { version: VERSION, outcome: conclusion, checks });
    } else {
        output.text(&text(checks, conclusion, output.columns()));
    }
    match conclusion {
        Conclusion::Well => Exit::InSync,
        Conclusion::Partial => Exit::Partial,
        Conclusion::Failed => Exit::Failed,
    }
}

/// One line with the outcome, then every check, and below each that is not well its next step.
fn text(checks: &[Check], conclusion: Conclusion, columns: Option<usize>) -> String {
    let count = |health| checks.iter().filter(|check| check.health == health).count();
    let (failed, warnings, unasked) =
        (count(Health::Failed), count(Health::Warning), count(Health::NotAsked));
    let all = counted(checks.len(), "check");
    let mut told = match conclusion {
        Conclusion::Well => format!("{}: {all}, none failed", Tone::Good.paint("Well")),
        Conclusion::Partial => {
            format!("{}: {all}, none failed, {unasked} could not be asked", Tone::Warn.paint("Not certain"))
        }
        Conclusion::Failed => format!("{}: {failed} of {all} failed", Tone::Bad.paint("Failed")),
    };
    if conclusion == Conclusion::Failed && unasked > 0 {
        told.push_str(&format!(", {unasked} could not be asked"));
    }
    if warnings > 0 {
        told.push_str(&format!(", {}", counted(warnings, "warning")));
    }
    told.push_str(".\n\n");
    let mut table = Table::default();
    for check in checks {
        let tone = match check.health {
            Health::Ok => Tone::Good,
            Health::Warning | Health::NotAsked => Tone::Warn,
            Health::Failed => Tone::Bad,
        };
        table.row([
            (check.health.to_string(), tone),
            (check.topic.to_string(), Tone::Plain),
            (check.subject.clone(), Tone::Strong),
            (check.detail.clone(), Tone::Plain),
        ]);
        if let Some(step) = &check.next_step {
            let blank = || (String::new(), Tone::Plain);
            table.row([blank(), blank(), blank(), (format!("next: {step}"), Tone::Faint)]);
        }
    }
    told + &table.render_within(columns)
}
