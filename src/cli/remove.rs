//! `cnamed remove NAME`: withdraws a name of ours, wherever it is held.

use super::adopt::reviewed;
use super::args::{Global, RemoveArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::{Output, Tone};
use super::render;
use crate::model::name::{Apexes, Fqdn};
use crate::model::record::Policy;
use crate::model::state::{Consents, RecordKey, Wanted};
use crate::reconcile::round::Outcome;

pub(crate) async fn run(global: &Global, args: &RemoveArgs, output: &Output) -> Exit {
    let name = match Fqdn::parse(&args.name) {
        Ok(name) => name,
        Err(error) => return output.failure(&error.to_string(), Exit::Usage),
    };
    let composition = match Composition::load(global, output) {
        Ok(composition) => composition,
        Err(exit) => return exit,
    };
    let mut desired = composition.desired(Consents::default());
    let named = desired.records.keys().any(|key| key.name == name);
    let Some(endpoint) = desired.endpoints.keys().next().cloned() else {
        return output.failure("the configuration names no endpoint", Exit::Usage);
    };
    // Wherever it is held, and also when the configuration does not name it any more. An account without a zone
    // for it cannot hold it; one whose zones could not be read is looked at again by the round, which tells why.
    let mut holders = 0;
    for (account, provider) in &composition.reconciler.accounts {
        if let Ok(zones) = provider.zones().await
            && Apexes::new(&zones, |zone| &zone.name).nearest(&name).is_empty()
        {
            continue;
        }
        holders += 1;
        let key = RecordKey { name: name.clone(), account: account.clone() };
        desired.records.entry(key).or_insert_with(|| Wanted::stray(endpoint.clone())).policy = Policy::Sync;
    }
    if holders == 0 {
        let text = format!(
            "no account holds a zone for {name}; check the name, what the tables of the accounts limit them to, and what their credentials reach"
        );
        return output.failure(&text, Exit::Usage);
    }
    let desired = desired.withdrawing(&name);
    let round = match reviewed(&composition, &desired, args.yes, &format!("Withdraw {name}?"), output).await {
        Ok(round) => round,
        Err(exit) => return exit,
    };
    let nothing = round.outcome == Outcome::InSync && round.notes.is_empty();
    let exit = if nothing && !output.is_json() {
        output.text(&format!("{}: nothing of ours stands at {name}.\n", Tone::Good.paint("Unchanged")));
        Exit::InSync
    } else {
        render::tell(&round, &format!("cnamed remove {name}"), output)
    };
    if named && exit == Exit::InSync {
        output.aside(&format!(
            "\nThe configuration still names {name}; take it out, or the next sync restores it.\n"
        ));
    }
    exit
}
