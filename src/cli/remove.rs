//! `cnamed remove NAME`: withdraws a name of ours, wherever it is held.

use super::adopt::reviewed;
use super::args::{Global, RemoveArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::Output;
use crate::model::name::Fqdn;
use crate::model::state::Consents;

pub(crate) async fn run(global: &Global, args: &RemoveArgs, output: &Output) -> Exit {
    let name = match Fqdn::parse(&args.name) {
        Ok(name) => name,
        Err(error) => return output.failure(&error.to_string(), Exit::Usage),
    };
    let composition = match Composition::load(global, output) {
        Ok(composition) => composition,
        Err(exit) => return exit,
    };
    let desired = composition.desired(Consents::default());
    let named = desired.records.keys().any(|key| key.name == name);
    let desired = desired.withdrawing(&name, composition.reconciler.accounts.keys());
    let exit = reviewed(&composition, &desired, args.yes, &format!("Withdraw {name}?"), output).await;
    if named && exit == Exit::InSync {
        output.aside(&format!("\nThe configuration still names {name}; take it out, or the next sync restores it.\n"));
    }
    exit
}
