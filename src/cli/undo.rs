//! `cnamed undo`: puts the last write to a record back.

use super::args::{Global, UndoArgs};
use super::compose::Composition;
use super::confirm::confirm;
use super::exit::Exit;
use super::history::when;
use super::output::Output;
use super::progress::Progress;
use super::{journal, render};
use crate::journal::{Change, Entry, Lock, What};
use crate::model::guard::Reviewed;
use crate::model::plan::Undo;
use crate::model::state::{Consents, Desired, RecordKey};
use crate::telemetry::scribe::Scribe;

pub(crate) async fn run(global: &Global, args: &UndoArgs, output: &Output) -> Exit {
    let composition = match Composition::load(global, output) {
        Ok(composition) => composition,
        Err(exit) => return exit,
    };
    match last(&composition, output) {
        Ok(last) => put_back(&composition, &last, args, output).await,
        Err(exit) => exit,
    }
}

/// The write to put back.
struct Last {
    entry: Entry,
    undo: Undo,
    /// What it is held against.
    desired: Desired,
}

impl Last {
    fn key(&self) -> &RecordKey {
        &self.undo.change.key
    }
}

fn last(composition: &Composition, output: &Output) -> Result<Last, Exit> {
    let directory = &composition.config.state.directory;
    let journal = journal::look(directory, output)?;
    let entry = match journal.map(|journal| journal.last_undoable()) {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => return Err(output.failure(&error.chain(), Exit::Failed)),
        None => None,
    };
    let change = entry.as_ref().and_then(|entry| match &entry.what {
        What::Change(Change { record, .. }) => record.clone(),
        What::Happening { .. } => None,
    });
    let (Some(entry), Some(change)) = (entry, change) else {
        let text = format!(
            "there is nothing to put back: the journal in {} has no write to a record that was not put back already; \
             see `cnamed history`",
            directory.display()
        );
        return Err(output.failure(&text, Exit::Failed));
    };
    let account = &change.key.account;
    if !composition.reconciler.accounts.contains_key(account) {
        let text = format!(
            "the last write was to {}, and the configuration names no account {account}; put it there again",
            change.key
        );
        return Err(output.failure(&text, Exit::Usage));
    }
    let reason = format!("puts back what stood there before change {}", entry.id);
    let undo = Undo { change, reason };
    let Some(desired) = undo.desired(composition.desired(Consents::default())) else {
        return Err(output.failure("the configuration names no endpoint", Exit::Usage));
    };
    Ok(Last { entry, undo, desired })
}

/// Shows the way back, asks, and goes exactly that way.
async fn put_back(composition: &Composition, last: &Last, args: &UndoArgs, output: &Output) -> Exit {
    let reconciler = &composition.reconciler;
    let progress = Progress::new(output);
    let (cleared, round) = reconciler.preview_undo(&last.desired, &last.undo, &progress).await;
    drop(progress);
    if cleared.plan().steps.is_empty() {
        return render::tell(&round, "cnamed plan", output);
    }
    output.aside(&format!("{}\n\n", summary(&last.entry)));
    output.aside(&render::preview(&cleared, &round));
    output.aside("\n");
    // Whoever agrees knows how long it lasts.
    if let Some(next) = afterwards(composition, last).await {
        output.aside(&format!("{next}\n\n"));
    }
    if let Err(exit) = confirm(output, args.yes, &format!("Put {} back?", last.key())) {
        return exit;
    }
    let progress = Progress::new(output);
    let scribe = Scribe::at(&composition.config.state.directory, &progress).undoing(last.entry.id);
    let agreed = Reviewed::from(&cleared);
    let result = reconciler.undo(&last.desired, &last.undo, &agreed, &scribe).await;
    let written = scribe.finish();
    drop(progress);
    journal::tell(&written, output);
    match result {
        Ok(round) => render::tell(&round, "cnamed plan", output),
        Err(differs) => {
            let text = format!("{differs}; nothing was done. Run it again, and look at it again");
            output.failure(&text, Exit::Refused)
        }
    }
}

/// The write, in a line.
fn summary(entry: &Entry) -> String {
    let (id, at) = (entry.id, when(entry.at));
    match &entry.what {
        What::Change(Change { verb, name, account, reason, .. }) => {
            let place =
                account.as_ref().map_or_else(|| name.clone(), |account| format!("{name} in {account}"));
            format!("The last write to a record is change {id}, of {at}: {verb} {place}, since: {reason}.")
        }
        What::Happening { .. } => format!("Entry {id}, of {at}."),
    }
}

/// What the next sync makes of it, and when, where that is something else.
async fn afterwards(composition: &Composition, last: &Last) -> Option<String> {
    let key = last.key();
    let name = &key.name;
    let desired = composition.desired(Consents::default());
    let (why, does, instead) = if desired.records.contains_key(key) {
        let again = composition.reconciler.would_do_again(&desired.only_record(name)?, &last.undo).await;
        let instead = format!("Take {name} out of it, or change it there");
        again.then_some((
            "The configuration still wants it otherwise".to_owned(),
            "does it again",
            instead,
        ))?
    } else {
        let stands = !last.undo.change.before.is_empty();
        let why = format!("The configuration does not name {key}, and it carries our mark");
        let instead = "Name it there, or take the mark off".to_owned();
        (stands && desired.prune).then_some((why, "withdraws it", instead))?
    };
    let state = &composition.config.state.directory;
    Some(match Lock::holder(state) {
        None => format!("{why}: the next sync {does}. {instead}."),
        Some(service) => {
            let within = humantime::format_duration(composition.config.watch.interval);
            format!(
                "{why}: {service} {does} within about {within}. {instead} first, and let the service read that (SIGHUP)."
            )
        }
    })
}
