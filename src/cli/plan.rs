//! `cnamed plan`: what `sync` would do.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::args::{Allow, Global, PlanArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use super::progress::Progress;
use super::{render, typed};
use crate::model::guard::Reviewed;
use crate::model::state::{Consents, Desired};
use crate::reconcile::round::VERSION;

/// A plan as it is kept in a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The format's version.
    pub(crate) version: u32,
    /// What was allowed beyond the configuration.
    pub(crate) consents: Consents,
    /// The name that it was narrowed to.
    pub(crate) only: Option<String>,
    /// The plan as it passed the guard, with the versions that its writes depend on.
    pub(crate) reviewed: Reviewed,
}

pub(crate) async fn run(global: &Global, args: &PlanArgs, output: &Output) -> Exit {
    let composition = match Composition::load(global, output) {
        Ok(composition) => composition,
        Err(exit) => return exit,
    };
    let consents = consents(&args.allow);
    let desired = match narrowed(composition.desired(consents.clone()), args.only.as_deref(), output) {
        Ok(desired) => desired,
        Err(exit) => return exit,
    };
    let progress = Progress::new(output);
    let (cleared, round) = composition.reconciler.preview(&desired, &progress).await;
    drop(progress);
    if let Some(file) = &args.out {
        let reviewed = Reviewed::from(&cleared);
        let kept = Kept { version: VERSION, consents, only: args.only.clone(), reviewed };
        if let Err(exit) = keep(file, &kept, output) {
            return exit;
        }
    }
    if output.is_json() {
        let _ = output.json(&round);
    } else {
        output.text(&render::preview(&cleared, &round));
        if let Some(file) = &args.out {
            output.text(&format!(
                "\nThe plan is kept in {}; run it with: cnamed sync --plan {}\n",
                file.display(),
                typed::word(&file.display().to_string())
            ));
        } else if !cleared.plan().steps.is_empty() && cleared.refusals().is_empty() {
            let sync = typed::sync(args.only.as_deref(), &desired.consents);
            output.text(&format!("\nNothing was changed. Make it so with: {sync}\n"));
        }
    }
    Exit::from(round.outcome)
}

/// What the options allow beyond the configuration.
pub(crate) fn consents(allow: &[Allow]) -> Consents {
    Consents {
        relabel: allow.contains(&Allow::Relabel),
        deletes: allow.contains(&Allow::Deletes),
        internet: allow.contains(&Allow::Internet),
        ..Consents::default()
    }
}

/// `desired`, or the part of it that `only` names.
pub(crate) fn narrowed(desired: Desired, only: Option<&str>, output: &Output) -> Result<Desired, Exit> {
    let Some(name) = only else { return Ok(desired) };
    desired.only(name).ok_or_else(|| {
        let text = format!(
            "the configuration names no record and no endpoint \"{name}\"; `cnamed config show` lists them"
        );
        output.failure(&text, Exit::Usage)
    })
}

fn keep(file: &Path, kept: &Kept, output: &Output) -> Result<(), Exit> {
    let failed = |error: &dyn std::fmt::Display| {
        output.failure(&format!("could not keep the plan in {}: {error}", file.display()), Exit::Failed)
    };
    let text = serde_json::to_string_pretty(kept).map_err(|error| failed(&error))?;
    std::fs::write(file, text + "\n").map_err(|error| failed(&error))
}
