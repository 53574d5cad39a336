//! `cnamed status`: every chain, name → label → address → port, and the first link that is broken.

use super::args::{Global, StatusArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use super::plan::narrowed;
use super::progress::Progress;
use super::{render, typed};
use crate::model::state::Consents;
use crate::reconcile::round::Round;

pub(crate) async fn run(global: &Global, args: &StatusArgs, output: &Output) -> Exit {
    match look(global, args, output).await {
        Ok(round) => render::tell(&round, &typed::sync(args.only.as_deref(), &Consents::default()), output),
        Err(exit) => exit,
    }
}

/// How things stand, not yet told; why it could not be looked at is.
pub(super) async fn look(global: &Global, args: &StatusArgs, output: &Output) -> Result<Round, Exit> {
    let composition = Composition::load(global, output)?;
    let desired = narrowed(composition.desired(Consents::default()), args.only.as_deref(), output)?;
    let progress = Progress::new(output);
    Ok(composition.reconciler.status(&desired, &progress).await)
}
