//! `cnamed status`: every chain, name → label → address, and the first link that is broken.

use super::args::{Global, StatusArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use super::plan::narrowed;
use super::progress::Progress;
use super::render;
use crate::model::state::Consents;

pub(crate) async fn run(global: &Global, args: &StatusArgs, output: &Output) -> Exit {
    let composition = match Composition::load(global, output) {
        Ok(composition) => composition,
        Err(exit) => return exit,
    };
    let desired = match narrowed(composition.desired(Consents::default()), args.only.as_deref(), output) {
        Ok(desired) => desired,
        Err(exit) => return exit,
    };
    let progress = Progress::new(output);
    let round = composition.reconciler.status(&desired, &progress).await;
    drop(progress);
    if output.is_json() {
        let _ = output.json(&round);
    } else {
        output.text(&render::round(&round));
    }
    Exit::from(round.outcome)
}
