//! `cnamed adopt NAME`: takes over a foreign record, by name.

use super::args::{AdoptArgs, Global};
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use super::{render, sync};
use crate::model::guard::Reviewed;
use crate::model::name::Fqdn;
use crate::model::record::Owner;
use crate::model::state::{Consents, Desired};
use crate::reconcile::round::Round;

pub(crate) async fn run(global: &Global, args: &AdoptArgs, output: &Output) -> Exit {
    let name = match Fqdn::parse(&args.name) {
        Ok(name) => name,
        Err(error) => return output.failure(&error.to_string(), Exit::Usage),
    };
    let from = match args.from.as_deref().map(Owner::parse).transpose() {
        Ok(from) => from,
        Err(error) => return output.failure(&error.to_string(), Exit::Usage),
    };
    let composition = match Composition::load(global, output) {
        Ok(composition) => composition,
        Err(exit) => return exit,
    };
    let consents = Consents { adopt: [(name.clone(), from)].into(), ..Consents::default() };
    let Some(desired) = composition.desired(consents).only_record(&name) else {
        let text = format!(
            "the configuration names no record \"{name}\"; add a [[record]] first, which says where it shall lead"
        );
        return output.failure(&text, Exit::Usage);
    };
    match reviewed(&composition, &desired, args.yes, &format!("Take over {name}?"), output).await {
        Ok(round) => render::tell(&round, &format!("cnamed adopt {name}"), output),
        Err(exit) => exit,
    }
}

/// Shows the plan for `desired`, asks, and runs exactly that plan; the round is not yet told, why there was none is.
pub(crate) async fn reviewed(
    composition: &Composition,
    desired: &Desired,
    yes: bool,
    question: &str,
    output: &Output,
) -> Result<Round, Exit> {
    let progress = super::progress::Progress::new(output);
    let (cleared, round) = composition.reconciler.preview(desired, &progress).await;
    drop(progress);
    let agreed = Reviewed::from(&cleared);
    // Without a step there is nothing to ask about: the round says why, and verifies what stands. What it may find
    // beyond that, since a read that failed succeeds now, was shown to nobody.
    if !cleared.plan().steps.is_empty() {
        let plan = format!("{}\n", render::preview(&cleared, &round));
        // Whoever has agreed already may go without.
        if yes {
            output.aside(&plan)
        } else {
            output.ask(&plan)
        }
        super::confirm::confirm(output, yes, question)?;
    }
    sync::round(composition, desired, Some(&agreed), output).await
}
