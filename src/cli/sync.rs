//! `cnamed sync`: one round.

use std::path::Path;

use super::args::{Global, SyncArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use super::plan::{Kept, consents, narrowed};
use super::progress::Progress;
use super::{journal, render, typed};
use crate::model::guard::Reviewed;
use crate::model::state::Desired;
use crate::reconcile::round::{Round, VERSION};
use crate::telemetry::scribe::Scribe;

pub(crate) async fn run(global: &Global, args: &SyncArgs, output: &Output) -> Exit {
    // What a kept plan left is looked at again before it is done.
    let next = match &args.plan {
        Some(_) => "cnamed plan".to_owned(),
        None => typed::sync(args.only.as_deref(), &consents(&args.allow)),
    };
    match once(global, args, output).await {
        Ok(round) => render::tell(&round, &next, output),
        Err(exit) => exit,
    }
}

/// Runs one round, not yet told; why there was none is.
pub(super) async fn once(global: &Global, args: &SyncArgs, output: &Output) -> Result<Round, Exit> {
    let mut composition = Composition::load(global, output)?;
    composition.reconciler.verification.way_in = args.verify;
    let kept = args.plan.as_deref().map(|file| read(file, output)).transpose()?;
    let (allowed, only) = match &kept {
        Some(kept) => (kept.consents.clone(), kept.only.clone()),
        None => (consents(&args.allow), args.only.clone()),
    };
    let desired = narrowed(composition.desired(allowed), only.as_deref(), output)?;
    round(&composition, &desired, kept.as_ref().map(|kept| &kept.reviewed), output).await
}

/// The one way in which any command changes anything.
pub(super) async fn round(
    composition: &Composition,
    desired: &Desired,
    reviewed: Option<&Reviewed>,
    output: &Output,
) -> Result<Round, Exit> {
    let progress = Progress::new(output);
    let scribe = Scribe::at(&composition.config.state.directory, &progress);
    let result = composition.reconciler.run(desired, reviewed, &scribe).await;
    let written = scribe.finish();
    drop(progress);
    journal::tell(&written, output);
    result.map_err(|differs| {
        let text = format!("{differs}; nothing was done. Plan again, and look at it again");
        output.failure(&text, Exit::Refused)
    })
}

fn read(file: &Path, output: &Output) -> Result<Kept, Exit> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        output.failure(&format!("could not read the plan {}: {error}", file.display()), Exit::Usage)
    })?;
    let kept: Kept = serde_json::from_str(&text).map_err(|error| {
        let text = format!("{} is not a plan that `cnamed plan --out` wrote: {error}", file.display());
        output.failure(&text, Exit::Usage)
    })?;
    if kept.version != VERSION {
        let text = format!(
            "{} is a plan of version {}; this is version {VERSION}. Plan again",
            file.display(),
            kept.version
        );
        return Err(output.failure(&text, Exit::Usage));
    }
    Ok(kept)
}
