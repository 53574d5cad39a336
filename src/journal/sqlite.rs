//! The journal in one SQLite file of the state directory.
//!
//! Every call is one short transaction, and one look-up where it reads: a few milliseconds, most of them the disk's.
//! Async code calls it as it is; a pool of threads for a write a minute would cost more than it saves. Only when
//! another process is writing at the same moment does a call wait, for a second at most.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use time::OffsetDateTime;

use super::error::{JournalError, Trouble};
use super::file::{Mended, OpenFile};
use super::{Agreed, Change, Entry, Lock, What};
use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::sight::Sight;

/// The journal of one state directory.
///
/// What was acknowledged is on the disk: a kill, a power cut or a full disk takes none of it back. It holds the newest
/// [`MOST_ENTRIES`] of the last [`LONGEST`], and gives the room of the others back.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<OpenFile>,
    mended: Mutex<Option<Mended>>,
    lock: Option<Lock>,
}

/// Which entries to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this moment.
    pub since: Option<OffsetDateTime>,
    /// Before this moment.
    pub until: Option<OffsetDateTime>,
    /// Of this record, of this resource, or of this endpoint and everything behind it.
    pub name: Option<String>,
    /// So many at most: the newest of those that match.
    pub limit: Option<usize>,
    /// Whether the newest comes first, rather than last.
    pub newest_first: bool,
}

/// How many entries are kept.
pub const MOST_ENTRIES: i64 = 10_000;
/// For how long entries are kept: a year, and a month to compare it with.
pub const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

impl Journal {
    /// Opens the journal in `directory`; both are made, for their owner alone, where they are missing.
    ///
    /// A damaged one is moved aside and a new one begun: the second value tells.
    ///
    /// # Errors
    /// When it cannot be written to, or a later version of the program wrote it; that one stays as it is.
    pub fn open(directory: &Path) -> Result<(Self, Option<Mended>), JournalError> {
        let path = directory.join(FILE);
        let (file, mended) = OpenFile::make(&path)?;
        Ok((Self::of(path, file), mended))
    }

    /// As [`Self::open`], for who cannot wait until it can be: where there is no room, or the disk fails, there is no file
    /// yet. Every call fails then, and begins by trying to open it.
    ///
    /// # Errors
    /// When somebody has to set something right first.
    pub fn begin(directory: &Path) -> Result<Self, JournalError> {
        match Self::open(directory) {
            Err(error) if error.may_pass() => Ok(Self::of(directory.join(FILE), OpenFile::none()?)),
            opened => opened.map(|(journal, mended)| {
                journal.moved_aside(mended);
                journal
            }),
        }
    }

    fn of(path: PathBuf, file: OpenFile) -> Self {
        Self { path, file: Mutex::new(file), mended: Mutex::default(), lock: None }
    }

    /// Holds `lock`, which is its directory's, for as long as it lives, also where that directory is made anew.
    #[must_use]
    pub fn guarded_by(self, lock: Lock) -> Self {
        Self { lock: Some(lock), ..self }
    }

    /// Opens the journal in `directory` to read what is there; `None` when there is none. Nothing is made or moved.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look(directory: &Path) -> Result<Option<Self>, JournalError> {
        let path = directory.join(FILE);
        let file = OpenFile::is_there(&path)?.then(|| OpenFile::open(&path)).transpose()?;
        Ok(file.map(|file| Self::of(path, file)))
    }

    /// Whether there is a journal in `directory`, which then is one that can be read and written. Nothing is made, moved
    /// or changed.
    ///
    /// # Errors
    /// When it is damaged, a later version of the program wrote it, or it cannot be read or written.
    pub fn check(directory: &Path) -> Result<bool, JournalError> {
        let path = directory.join(FILE);
        let there = OpenFile::is_there(&path)?;
        if there { OpenFile::check(&path).map(|()| true) } else { Ok(false) }
    }

    /// A journal that lives as long as the value, for tests.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn in_memory() -> Result<Self, JournalError> {
        Ok(Self::of(":memory:".into(), OpenFile::in_memory()?))
    }

    /// The damaged one that was last moved aside since it was begun, once.
    pub fn take_mended(&self) -> Option<Mended> {
        self.mended.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes that `what` was done or happened `at` that moment; gives the entry's number.
    ///
    /// A failure that only repeats the last entry of the same thing is not written again: it has that entry's number.
    ///
    /// # Errors
    /// When it could not be written; what was written before stands, and the next call may succeed.
    pub fn record(&self, at: OffsetDateTime, what: &What) -> Result<i64, JournalError> {
        self.write(|transaction| match repeated(transaction, what)? {
            Some(id) => Ok(id),
            None => insert(transaction, at, what, is_undoable(what)),
        })
    }

    /// Writes `what`, by which the change of the entry `undone` was put back: neither is offered again.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn record_undo(&self, at: OffsetDateTime, what: &What, undone: i64) -> Result<i64, JournalError> {
        self.write(|transaction| {
            let id = insert(transaction, at, what, false)?;
            if is_undoable(what) {
                transaction.execute("UPDATE entries SET undone = ?1 WHERE id = ?2", params![id, undone])?;
            }
            Ok(id)
        })
    }

    /// Writes who has agreed to the entry `id` since, and how long after. Who has already stays as first written; an
    /// entry that is gone is not missed.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn agreed(&self, id: i64, agreed: &Agreed) -> Result<(), JournalError> {
        const INSERT: &str = "INSERT OR IGNORE INTO agreed (entry, who, after_ms)
            SELECT id, ?2, ?3 FROM entries WHERE id = ?1";
        let after = i64::try_from(agreed.after.as_millis()).unwrap_or(i64::MAX);
        self.write(|transaction| transaction.execute(INSERT, params![id, agreed.who, after]).map(drop))
    }

    /// The entries that match.
    ///
    /// # Errors
    /// When they could not be read.
    pub fn entries(&self, filter: &Filter) -> Result<Vec<Entry>, JournalError> {
        let mut entries = self.read(|connection| matching(connection, filter))?;
        if !filter.newest_first {
            entries.reverse();
        }
        Ok(entries)
    }

    /// How many entries there are, and when the oldest was written.
    ///
    /// # Errors
    /// When they could not be read.
    pub fn extent(&self) -> Result<(usize, Option<OffsetDateTime>), JournalError> {
        let extent = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?));
        let (count, oldest) = self
            .read(|connection| connection.query_row("SELECT count(*), min(at) FROM entries", [], extent))?;
        Ok((usize::try_from(count).unwrap_or_default(), oldest.map(moment)))
    }

    /// The last write to a record that was confirmed and was not put back since.
    ///
    /// # Errors
    /// When it could not be read.
    pub fn last_undoable(&self) -> Result<Option<Entry>, JournalError> {
        const SELECT: &str = "SELECT id, at, what FROM entries
            WHERE undoable AND undone IS NULL ORDER BY id DESC LIMIT 1";
        self.read(|connection| {
            let found = connection.query_row(SELECT, [], entry).optional()?.flatten();
            found.map(|entry| with_agreed(connection, entry)).transpose()
        })
    }

    /// The last certain look at each endpoint.
    ///
    /// # Errors
    /// When they could not be read.
    pub fn sights(&self) -> Result<BTreeMap<Handle, Sight>, JournalError> {
        self.read(|connection| {
            let mut select = connection.prepare("SELECT endpoint, sight FROM sights")?;
            let rows =
                select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            let mut sights = BTreeMap::new();
            for row in rows {
                let (endpoint, sight) = row?;
                if let (Ok(endpoint), Ok(sight)) = (Handle::parse(&endpoint), serde_json::from_str(&sight)) {
                    sights.insert(endpoint, sight);
                }
            }
            Ok(sights)
        })
    }

    /// Keeps the last certain look at `endpoint`; nothing is written where it is the same as before.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn remember(&self, endpoint: &Handle, sight: &Sight) -> Result<(), JournalError> {
        const UPSERT: &str = "INSERT INTO sights (endpoint, sight) VALUES (?1, ?2)
            ON CONFLICT DO UPDATE SET sight = excluded.sight WHERE sight <> excluded.sight";
        let sight = json(sight);
        self.write(|transaction| transaction.execute(UPSERT, params![endpoint.as_str(), sight?]).map(drop))
    }

    /// Writes as much as several entries take, and takes it back: whether there is room again, and not just for the
    /// smallest of them.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn touch(&self) -> Result<(), JournalError> {
        const INSERT: &str = "INSERT INTO sights (endpoint, sight) VALUES ('', ?1) ON CONFLICT DO UPDATE SET sight = excluded.sight";
        // What no endpoint is called is no sight of any, should it be left behind.
        self.write(|transaction| transaction.execute(INSERT, [" ".repeat(ROOM)]).map(drop))?;
        self.write(|transaction| transaction.execute("DELETE FROM sights WHERE endpoint = ''", []).map(drop))
    }

    /// Begins it anew where somebody took it away, as the next entry would.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn keep(&self) -> Result<(), JournalError> {
        self.standing().map(drop)
    }

    /// Forgets the looks at every endpoint but `configured`: one that comes back later begins anew.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn forget_all_but<'h>(
        &self,
        configured: impl IntoIterator<Item = &'h Handle>,
    ) -> Result<(), JournalError> {
        let configured: BTreeSet<&Handle> = configured.into_iter().collect();
        let known = self.sights()?;
        let gone: Vec<&Handle> = known.keys().filter(|endpoint| !configured.contains(endpoint)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            for endpoint in gone {
                transaction.execute("DELETE FROM sights WHERE endpoint = ?1", [endpoint.as_str()])?;
            }
            Ok(())
        })
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let mut file = self.file();
        if file.is_none() {
            self.reopen(&mut file)?;
        }
        work(&file.connection).map_err(|error| JournalError::of_sqlite("read the journal", &self.path, error))
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let mut file = self.standing()?;
        let done = transact(&mut file.connection, work)
            .map_err(|error| JournalError::of_sqlite("write to the journal", &self.path, error));
        match &done {
            // The entry stands either way.
            Ok(_) => drop(file.shrink()),
            // This one is lost, and the next one need not be.
            Err(error) if error.trouble() == Trouble::Damaged => self.reopen(&mut file)?,
            Err(_) => {}
        }
        done
    }

    fn standing(&self) -> Result<MutexGuard<'_, OpenFile>, JournalError> {
        if let Some(lock) = &self.lock {
            lock.keep();
        }
        let mut file = self.file();
        // Moved or deleted by somebody, it would take every entry with it into nowhere.
        if !file.is_at(&self.path) {
            if !file.is_none() {
                tracing::warn!(path = %self.path.display(), "the journal was taken away; another one is begun");
            }
            self.reopen(&mut file)?;
        }
        Ok(file)
    }

    fn reopen(&self, file: &mut OpenFile) -> Result<(), JournalError> {
        let (fresh, mended) = OpenFile::make(&self.path)?;
        self.moved_aside(mended);
        std::mem::replace(file, fresh).abandon();
        Ok(())
    }

    fn moved_aside(&self, mended: Option<Mended>) {
        if let Some(mended) = mended {
            tracing::error!(%mended, "journal");
            *self.mended.lock().unwrap_or_else(PoisonError::into_inner) = Some(mended);
        }
    }

    fn file(&self) -> MutexGuard<'_, OpenFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

fn insert(
    transaction: &Transaction<'_>,
    at: OffsetDateTime,
    what: &What,
    undoable: bool,
) -> rusqlite::Result<i64> {
    const INSERT: &str =
        "INSERT INTO entries (at, name, account, endpoint, what, undoable) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let at = milliseconds(at);
    let (name, account) = subject(what);
    transaction.execute(INSERT, params![at, name, account, endpoint(what), json(what)?, undoable])?;
    let id = transaction.last_insert_rowid();
    transaction.execute("DELETE FROM entries WHERE id <= ?1", [id - MOST_ENTRIES])?;
    // A few at a time, so that one wrong clock does not take the past with it.
    const AGED: &str =
        "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE id < ?1 ORDER BY id LIMIT 16)
        AND at < ?2";
    let longest = i64::try_from(LONGEST.as_millis()).unwrap_or(i64::MAX);
    transaction.execute(AGED, params![id, at.saturating_sub(longest)])?;
    Ok(id)
}

/// The entry that `what` only repeats: a failure like the last one of the same thing. What differs in the words of an
/// error, such as a request's id, is no difference.
fn repeated(transaction: &Transaction<'_>, what: &What) -> rusqlite::Result<Option<i64>> {
    const LAST: &str = "SELECT id, at, what FROM entries WHERE name = ?1 AND account IS ?2
        ORDER BY id DESC LIMIT 1";
    let What::Change(change) = what else { return Ok(None) };
    if change.outcome != FAILED {
        return Ok(None);
    }
    let (name, account) = subject(what);
    let last = transaction.query_row(LAST, params![name, account], entry).optional()?.flatten();
    Ok(last.and_then(|last| match last.what {
        What::Change(earlier) if is_same(&earlier, change) => Some(last.id),
        _ => None,
    }))
}

fn is_same(earlier: &Change, later: &Change) -> bool {
    let essence = |change: &Change| {
        let Change { kind, verb, outcome, before, after, .. } = change.clone();
        (kind, verb, outcome, before, after)
    };
    essence(earlier) == essence(later)
}

/// The newest first.
fn matching(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Entry>> {
    let mut select = "SELECT id, at, what FROM entries WHERE TRUE".to_owned();
    let mut values: Vec<Value> = Vec::new();
    if let Some(since) = filter.since {
        select.push_str(" AND at >= ?");
        values.push(milliseconds(since).into());
    }
    if let Some(until) = filter.until {
        select.push_str(" AND at < ?");
        values.push(milliseconds(until).into());
    }
    if let Some(name) = &filter.name {
        // As typed, or as it is once it is a name: `Jump.example.com.` is one that we know.
        select.push_str(" AND (name IN (?, ?) OR endpoint = ?)");
        let parsed = Fqdn::parse(name).map_or_else(|_| name.clone(), |parsed| parsed.to_string());
        values.extend([name.clone().into(), parsed.into(), name.clone().into()]);
    }
    select.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(filter.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1).into());
    let mut select = connection.prepare(&select)?;
    let found = select.query_map(rusqlite::params_from_iter(values), entry)?;
    let mut entries = Vec::new();
    for found in found {
        if let Some(entry) = found? {
            entries.push(with_agreed(connection, entry)?);
        }
    }
    Ok(entries)
}

/// One row; `None`, told in the log, for one that is not in our words.
fn entry(row: &Row<'_>) -> rusqlite::Result<Option<Entry>> {
    let (id, at, what): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    match serde_json::from_str(&what) {
        Ok(what) => Ok(Some(Entry { id, at: moment(at), what, agreed: Vec::new() })),
        Err(error) => {
            tracing::warn!(id, %error, "an entry of the journal cannot be read");
            Ok(None)
        }
    }
}

fn with_agreed(connection: &Connection, mut entry: Entry) -> rusqlite::Result<Entry> {
    let mut select =
        connection.prepare("SELECT who, after_ms FROM agreed WHERE entry = ?1 ORDER BY after_ms, who")?;
    let rows = select.query_map([entry.id], |row| {
        let after: i64 = row.get(1)?;
        Ok(Agreed {
            who: row.get(0)?,
            after: Duration::from_millis(u64::try_from(after).unwrap_or_default()),
        })
    })?;
    entry.agreed = rows.collect::<rusqlite::Result<_>>()?;
    Ok(entry)
}

/// The name that an entry is found by, and the account.
fn subject(what: &What) -> (&str, Option<&str>) {
    match what {
        What::Change(change) => (&change.name, change.account.as_ref().map(Handle::as_str)),
        What::Happening { endpoint, .. } => (endpoint.as_str(), None),
    }
}

/// The endpoint that it is found by as well.
fn endpoint(what: &What) -> Option<&str> {
    match what {
        What::Change(change) => change.endpoint.as_ref().map(Handle::as_str),
        What::Happening { endpoint, .. } => Some(endpoint.as_str()),
    }
}

fn is_undoable(what: &What) -> bool {
    matches!(what, What::Change(change) if change.outcome == APPLIED && change.record.is_some())
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn milliseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / NANOS).unwrap_or_default()
}

fn moment(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * NANOS)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

const FILE: &str = "journal.sqlite3";
/// In octets: eight pages, and an entry takes one to four.
const ROOM: usize = 32 << 10;
const APPLIED: &str = "applied";
const FAILED: &str = "failed";
const NANOS: i128 = 1_000_000;

#[cfg(test)]
mod tests;
