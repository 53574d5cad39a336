//! The journal's file: opened, made, brought up to this version, and moved aside where it is damaged.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags, TransactionBehavior};
use time::OffsetDateTime;

use super::error::{JournalError, Trouble};
use super::lock;

/// A damaged journal that was moved aside. What it held is lost to `cnamed history`, and to nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Where it is now.
    pub moved_to: PathBuf,
    /// How it is damaged.
    pub reason: String,
    /// How many of those that were moved aside before are deleted for it.
    pub deleted: usize,
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved_to, reason, deleted } = self;
        write!(
            f,
            "the journal was damaged ({reason}) and is kept as {}; a new one begins here",
            moved_to.display()
        )?;
        match deleted {
            0 => Ok(()),
            _ => write!(f, "; of the damaged ones the latest {KEPT} are kept, and {deleted} deleted"),
        }
    }
}

/// An open file, and which one it is: the name may come to stand for another one.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) connection: Connection,
    inode: Option<(u64, u64)>,
}

impl OpenFile {
    /// One that lives as long as the value, for tests.
    pub(super) fn in_memory() -> Result<Self, JournalError> {
        let path = Path::new(":memory:");
        let of = |error| JournalError::of_sqlite(OPEN, path, error);
        let mut connection = Connection::open_in_memory().map_err(of)?;
        prepare(&mut connection).map_err(|error| error.at(path))?;
        Ok(Self { connection, inode: None })
    }

    /// None: what stands in for one that cannot be opened yet. Nothing is ever written to it.
    pub(super) fn none() -> Result<Self, JournalError> {
        Ok(Self { inode: Some(NOWHERE), ..Self::in_memory()? })
    }

    /// Opens the journal at `path`; makes it, and its directory, where they are missing.
    pub(super) fn make(path: &Path) -> Result<(Self, Option<Mended>), JournalError> {
        let directory = path.parent().unwrap_or(path);
        lock::made(directory).map_err(|error| JournalError::of_io("make", directory, error))?;
        // SQLite gives its other files the same mode, and where root runs it the same owner.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => lock::hand_over(&file, directory),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(JournalError::of_io(OPEN, path, error));
            }
            _ => {}
        }
        match Self::open(path) {
            Err(error) if error.trouble() == Trouble::Damaged => {
                let moved_to = move_aside(path)?;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let deleted = thin_out(path, &moved_to);
                let mended = Mended { moved_to, reason: cause.unwrap_or_default(), deleted };
                // Whoever tries again finds nothing that was damaged.
                let made = Self::make(path).inspect_err(|_| tracing::error!(%mended, "journal"));
                made.map(|(file, _)| (file, Some(mended)))
            }
            opened => opened.map(|file| (file, None)),
        }
    }

    /// Whether there is one at `path`.
    pub(super) fn is_there(path: &Path) -> Result<bool, JournalError> {
        path.try_exists().map_err(|error| JournalError::of_io(OPEN, path, error))
    }

    /// Opens the journal at `path`, which is there.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        Self::opened(path, prepare)
    }

    /// Opens the journal at `path`, which is there, and leaves it at once as it is: whether [`open`](Self::open) would
    /// take it, and write to it.
    pub(super) fn check(path: &Path) -> Result<(), JournalError> {
        // One that is opened for reading alone leaves the files beside it behind.
        Self::opened(path, |connection| {
            connection.pragma_update(None, "query_only", true)?;
            fit(connection)?;
            if connection.is_readonly(MAIN_DB)? { Err(Unfit::Unwritable) } else { Ok(()) }
        })
        .map(drop)
    }

    fn opened(
        path: &Path,
        with: impl FnOnce(&mut Connection) -> Result<(), Unfit>,
    ) -> Result<Self, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags);
        let connection = connection.map_err(|error| JournalError::of_sqlite(OPEN, path, error))?;
        let mut file = Self { connection, inode: inode(path) };
        match with(&mut file.connection) {
            Ok(()) => Ok(file),
            Err(error) => {
                file.abandon();
                Err(error.at(path))
            }
        }
    }

    /// Whether it is [`none`](Self::none).
    pub(super) fn is_none(&self) -> bool {
        self.inode == Some(NOWHERE)
    }

    /// Whether `path` still names this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.inode.is_none() || self.inode == inode(path)
    }

    /// Closes it as it is: in what is damaged, or bears another name by now, nothing is to be tidied up.
    pub(super) fn abandon(self) {
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Gives room back to the file system, once enough of it is free to be worth the writing.
    pub(super) fn shrink(&self) -> rusqlite::Result<()> {
        let free: i64 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free < FREE_PAGES {
            return Ok(());
        }
        // A row for each page: all of them have to be asked for.
        let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        Ok(())
    }
}

/// Why a file is not a journal of ours, before it is known where.
enum Unfit {
    Sqlite(rusqlite::Error),
    Damaged(String),
    Newer(i64),
    Unwritable,
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Unfit {
    fn at(self, path: &Path) -> JournalError {
        match self {
            Self::Sqlite(error) => JournalError::of_sqlite(OPEN, path, error),
            Self::Damaged(how) => JournalError::new(Trouble::Damaged, OPEN, path).because(how),
            Self::Newer(version) => JournalError::new(Trouble::Newer, OPEN, path)
                .because(format!("it is of version {version}, and this program knows {KNOWN}")),
            Self::Unwritable => JournalError::new(Trouble::Denied, "write to the journal", path),
        }
    }
}

/// Whether it is a journal of a version that we know, and whole.
fn fit(connection: &Connection) -> Result<(), Unfit> {
    connection.busy_timeout(PATIENCE)?;
    let version = version(connection)?;
    if version > KNOWN {
        return Err(Unfit::Newer(version));
    }
    let check: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check != "ok" {
        return Err(Unfit::Damaged(check.lines().last().unwrap_or_default().to_owned()));
    }
    Ok(())
}

fn prepare(connection: &mut Connection) -> Result<(), Unfit> {
    fit(connection)?;
    // Before anything is in the file: it cannot be chosen later.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // Two that begin at once may collide here; the one that comes second goes on as the first left it.
    let _ = connection.pragma_update(None, "journal_mode", "WAL");
    for (pragma, value) in [
        // What is acknowledged has reached the disk.
        ("synchronous", "FULL"),
        // In pages of 4 KiB. The defaults keep 2 MiB in memory and 4 MiB beside the file.
        ("cache_size", "64"),
        ("wal_autocheckpoint", "128"),
    ] {
        connection.pragma_update(None, pragma, value)?;
    }
    // Answers with what it is set to.
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES, |_| Ok(()))?;
    migrate(connection)?;
    Ok(())
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    if version(connection)? == KNOWN {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(version(&transaction)?).unwrap_or_default();
    for step in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Renames the file and what belongs to it; gives its new name.
fn move_aside(path: &Path) -> Result<PathBuf, JournalError> {
    let now = OffsetDateTime::now_utc();
    let (hour, minute, second) = now.to_hms();
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    let time = format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z");
    let named = |count: u32| match count {
        0 => beside(path, &format!("{ASIDE}{time}")),
        count => beside(path, &format!("{ASIDE}{time}-{count}")),
    };
    let free = (0..).map(named).find(|name| !name.exists());
    let aside = free.unwrap_or_else(|| named(0));
    fs::rename(path, &aside).map_err(|error| JournalError::of_io("move aside", path, error))?;
    for suffix in BELONGING {
        let belonging = beside(path, suffix);
        match fs::rename(&belonging, beside(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(JournalError::of_io("move aside", &belonging, error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// Deletes what was moved aside before `latest`, but for the last of it: on a disk that fails it would fill what is left.
/// Gives how many are gone. What cannot be deleted stays.
fn thin_out(path: &Path, latest: &Path) -> usize {
    let prefix = beside(path, ASIDE);
    let (Some(directory), Some(prefix)) = (path.parent(), prefix.file_name().and_then(OsStr::to_str)) else {
        return 0;
    };
    let found = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| {
            name.starts_with(prefix) && !BELONGING.iter().any(|suffix| name.ends_with(suffix))
        })
    };
    let mut earlier: Vec<PathBuf> = found.filter(|path| is_one(path) && path != latest).collect();
    // Their names are their times.
    earlier.sort();
    let surplus = (earlier.len() + 1).saturating_sub(KEPT);
    let delete = |one: &&PathBuf| {
        for suffix in BELONGING {
            let _ = fs::remove_file(beside(one, suffix));
        }
        fs::remove_file(one).is_ok()
    };
    earlier.iter().take(surplus).filter(delete).count()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

const OPEN: &str = "open the journal";
/// How long somebody else's write is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a damaged journal's name goes on with, before the time.
const ASIDE: &str = ".corrupt-";
/// How many damaged ones are kept.
const KEPT: usize = 3;
/// What SQLite calls the files beside one.
const BELONGING: [&str; 2] = ["-wal", "-shm"];
/// No file has this number.
const NOWHERE: (u64, u64) = (0, 0);
/// A quarter of a MiB.
const FREE_PAGES: i64 = 64;
const WAL_BYTES: i64 = 1 << 20;
/// The version that the last migration leads to.
const KNOWN: i64 = MIGRATIONS.len() as i64;
/// From each version to the next. One that was released is never edited.
pub(super) const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE entries (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Unix time in milliseconds.
    at       INTEGER NOT NULL,
    -- A record's name, a resource's or an endpoint's.
    name     TEXT NOT NULL COLLATE NOCASE,
    account  TEXT,
    what     TEXT NOT NULL,
    undoable INTEGER NOT NULL,
    -- The entry that put it back.
    undone   INTEGER
) STRICT;
CREATE INDEX entries_by_name ON entries (name, account);
CREATE TABLE agreed (
    entry    INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    who      TEXT NOT NULL,
    after_ms INTEGER NOT NULL,
    PRIMARY KEY (entry, who)
) STRICT, WITHOUT ROWID;
CREATE TABLE sights (
    endpoint TEXT PRIMARY KEY,
    sight    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    // What was written before is found by its own name alone.
    "ALTER TABLE entries ADD COLUMN endpoint TEXT COLLATE NOCASE;",
];
