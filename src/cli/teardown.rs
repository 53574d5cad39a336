//! `cnamed teardown`: names first, then the wait, then what we made.

use super::adopt::reviewed;
use super::args::{Global, TeardownArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use super::render;
use crate::model::state::Consents;

pub(crate) async fn run(global: &Global, args: &TeardownArgs, output: &Output) -> Exit {
    let composition = match Composition::load(global, output) {
        Ok(composition) => composition,
        Err(exit) => return exit,
    };
    let desired = composition.desired(Consents::default());
    let desired = match &args.only {
        None => desired,
        Some(name) => match desired.only_endpoint(name) {
            Some(desired) => desired,
            None => {
                let text = format!(
                    "the configuration names no endpoint \"{name}\"; `cnamed config show` lists them"
                );
                return output.failure(&text, Exit::Usage);
            }
        },
    };
    let question = match &args.only {
        Some(name) => format!("Take down {name}?"),
        None => "Take down everything?".to_owned(),
    };
    match reviewed(&composition, &desired.torn_down(), args.yes, &question, output).await {
        Ok(round) => {
            let only = args.only.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            render::tell(&round, &format!("cnamed teardown{only}"), output)
        }
        Err(exit) => exit,
    }
}
