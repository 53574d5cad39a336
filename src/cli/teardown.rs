//! `cnamed teardown`: names first, then the wait, then what we made.

use super::adopt::reviewed;
use super::args::{Global, TeardownArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use super::plan::narrowed;
use crate::model::state::Consents;

pub(crate) async fn run(global: &Global, args: &TeardownArgs, output: &Output) -> Exit {
    let composition = match Composition::load(global, output) {
        Ok(composition) => composition,
        Err(exit) => return exit,
    };
    let desired = composition.desired(Consents::default());
    if let Some(name) = &args.only
        && !desired.endpoints.keys().any(|endpoint| endpoint.as_str() == name)
    {
        let text = format!("the configuration names no endpoint \"{name}\"; `cnamed config show` lists them");
        return output.failure(&text, Exit::Usage);
    }
    let question = match &args.only {
        Some(name) => format!("Take down {name}?"),
        None => "Take down everything?".to_owned(),
    };
    match narrowed(desired, args.only.as_deref(), output) {
        Ok(desired) => reviewed(&composition, &desired.torn_down(), args.yes, &question, output).await,
        Err(exit) => exit,
    }
}
