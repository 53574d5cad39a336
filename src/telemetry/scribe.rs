//! Writes the journal while a round goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::journal::{Agreed, Change, Journal, JournalError, Mended, What};
use crate::model::plan::Action;
use crate::model::state::RecordKey;
use crate::reconcile::round::{ChangeOutcome, ChangeReport};
use crate::reconcile::{Agreement, Event, Watch};

/// A watch that writes every change to the journal as it ends, and when its name servers agreed.
///
/// A journal that cannot be written to never stops a round: what went wrong is in [`Scribe::finish`]. Each entry is one
/// short write to the disk, made where the event is told.
pub struct Scribe<'s> {
    onward: &'s dyn Watch,
    undone: Option<i64>,
    state: Mutex<State>,
}

/// What came of the writing.
#[derive(Debug, Default)]
pub struct Written {
    /// The entries, in their order, with the name that was changed where it was a record.
    pub entries: Vec<(i64, Option<RecordKey>)>,
    /// The first thing that went wrong. What came after it was tried all the same.
    pub trouble: Option<JournalError>,
    /// The damaged journal that was moved aside.
    pub mended: Option<Mended>,
}

struct State {
    pen: Pen,
    written: Written,
    /// When each name was last changed, and the entry that says so.
    changed: BTreeMap<RecordKey, (Instant, i64)>,
}

/// What is written with.
enum Pen {
    /// The journal in this directory, once there is something to write.
    Shut(PathBuf),
    Open(Arc<Journal>),
    /// It could not be opened, which was told.
    Broken,
}

impl<'s> Scribe<'s> {
    /// Writes to `journal`, and tells `onward` everything that it is told.
    #[must_use]
    pub fn new(journal: Arc<Journal>, onward: &'s dyn Watch) -> Self {
        Self::with(Pen::Open(journal), onward)
    }

    /// As [`Self::new`], to the journal in `directory`; that is opened, and made, only when there is a change to write.
    #[must_use]
    pub fn at(directory: &Path, onward: &'s dyn Watch) -> Self {
        Self::with(Pen::Shut(directory.to_owned()), onward)
    }

    fn with(pen: Pen, onward: &'s dyn Watch) -> Self {
        let state = State { pen, written: Written::default(), changed: BTreeMap::new() };
        Self { onward, undone: None, state: Mutex::new(state) }
    }

    /// What is written puts back the change of the entry `id`.
    #[must_use]
    pub fn undoing(self, id: i64) -> Self {
        Self { undone: Some(id), ..self }
    }

    /// What came of it.
    #[must_use]
    pub fn finish(self) -> Written {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).written
    }

    fn ended(&self, action: &Action, report: &ChangeReport) {
        let mut state = self.state();
        let Some(journal) = state.journal() else { return };
        let (at, what) = (OffsetDateTime::now_utc(), What::Change(change(action, report)));
        let result = match self.undone {
            Some(undone) => journal.record_undo(at, &what, undone),
            None => journal.record(at, &what),
        };
        let Some(id) = state.kept(result) else { return };
        let key = match action {
            Action::Record(change) => Some(change.key.clone()),
            Action::Network(_) | Action::Gateway(_) | Action::Settle(_) => None,
        };
        if let (Some(key), ChangeOutcome::Applied) = (&key, report.outcome) {
            state.changed.insert(key.clone(), (Instant::now(), id));
        }
        state.written.entries.push((id, key));
    }

    fn agreed(&self, key: &RecordKey, agreement: Agreement) {
        let mut state = self.state();
        let Some((changed, id)) = state.changed.get(key).copied() else { return };
        let who = match agreement {
            Agreement::Account => key.account.to_string(),
            Agreement::Resolvers => RESOLVERS.to_owned(),
        };
        let agreed = Agreed { who, after: changed.elapsed() };
        if let Some(journal) = state.journal() {
            state.kept(journal.agreed(id, &agreed));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn journal(&mut self) -> Option<Arc<Journal>> {
        if let Pen::Shut(directory) = &self.pen {
            let opened = Journal::open(directory);
            self.pen = match self.kept(opened) {
                Some((journal, mended)) => {
                    self.written.mended = mended;
                    Pen::Open(Arc::new(journal))
                }
                None => Pen::Broken,
            };
        }
        match &self.pen {
            Pen::Open(journal) => Some(journal.clone()),
            Pen::Shut(_) | Pen::Broken => None,
        }
    }

    fn kept<T>(&mut self, result: Result<T, JournalError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.written.trouble.get_or_insert(error);
                None
            }
        }
    }
}

impl Watch for Scribe<'_> {
    fn event(&self, event: Event<'_>) {
        match &event {
            Event::Ended(action, report) => self.ended(action, report),
            Event::Agreed(key, agreement) => self.agreed(key, *agreement),
            _ => {}
        }
        self.onward.event(event);
    }
}

impl fmt::Debug for Scribe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scribe").field("undone", &self.undone).finish_non_exhaustive()
    }
}

/// What the journal keeps of a change.
#[must_use]
pub fn change(action: &Action, report: &ChangeReport) -> Change {
    Change {
        kind: report.kind.as_str().to_owned(),
        name: report.name.clone(),
        account: report.account.clone(),
        endpoint: match action {
            Action::Network(change) => Some(change.endpoint.clone()),
            Action::Gateway(change) => Some(change.endpoint.clone()),
            Action::Record(_) | Action::Settle(_) => None,
        },
        verb: report.verb,
        outcome: report.outcome.as_str().to_owned(),
        before: report.before.clone(),
        after: report.after.clone(),
        reason: report.reason.clone(),
        error: report.error.as_deref().map(shortened),
        requests: report.requests.iter().take(MOST_REQUESTS).cloned().collect(),
        record: match action {
            Action::Record(change) => Some(change.clone()),
            Action::Network(_) | Action::Gateway(_) | Action::Settle(_) => None,
        },
    }
}

/// A service's error may quote whatever it was sent.
fn shortened(error: &str) -> String {
    match error.char_indices().nth(LONGEST_ERROR) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error.to_owned(),
    }
}

/// How the journal calls the configured resolvers: see [`Agreed::who`].
pub const RESOLVERS: &str = "resolvers";
/// In characters.
const LONGEST_ERROR: usize = 4000;
/// One write takes one, or a few where it was refused at first.
const MOST_REQUESTS: usize = 16;
