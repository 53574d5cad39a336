//! Why the journal could not be read or written.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ffi::ErrorCode;
use rustix::fs::{Access, access};
use rustix::io::Errno;

/// What went wrong with the journal, and where.
///
/// `Display` says what was attempted; the cause stands in `source` alone, and the operator's next step ends the
/// [`chain`](Self::chain).
#[derive(Debug)]
pub struct JournalError {
    trouble: Trouble,
    doing: &'static str,
    path: PathBuf,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of trouble, by what the operator does about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no room on the file system, or the quota is used up.
    Full,
    /// It may not be read or written.
    Denied,
    /// It is damaged: [`super::Journal::open`] moves it aside and begins anew.
    Damaged,
    /// A later version of the program wrote it.
    Newer,
    /// Somebody else was writing for longer than is waited.
    Busy,
    /// The disk fails, or a limit of the process is reached.
    Disk,
    /// Anything else: the path, the file system, the program.
    Other,
}

impl JournalError {
    pub(super) fn new(trouble: Trouble, doing: &'static str, path: &Path) -> Self {
        Self { trouble, doing, path: path.to_owned(), source: None }
    }

    pub(super) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(super) fn of_sqlite(doing: &'static str, path: &Path, error: rusqlite::Error) -> Self {
        let trouble = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Trouble::Full,
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Trouble::Denied,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Busy,
            // Whatever kept it from the file or from those beside it, which SQLite does not say.
            Some(ErrorCode::CannotOpen) if path.is_dir() => Trouble::Other,
            Some(ErrorCode::CannotOpen) if is_forbidden(path) => Trouble::Denied,
            Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => {
                Trouble::Disk
            }
            _ => Trouble::Other,
        };
        // SQLite says the same again in the next link of its chain.
        Self::new(trouble, doing, path).because(error.to_string())
    }

    pub(super) fn of_io(doing: &'static str, path: &Path, error: io::Error) -> Self {
        let trouble = match error.kind() {
            _ if is_for_want_of_room(&error) => Trouble::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Trouble::Denied,
            _ if is_of_the_disk(&error) => Trouble::Disk,
            _ => Trouble::Other,
        };
        Self::new(trouble, doing, path).because(error)
    }

    /// The kind of trouble.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        self.trouble
    }

    /// Whether it may pass without anybody's setting anything right: there may be room again, and there is a next try.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self.trouble, Trouble::Full | Trouble::Disk | Trouble::Busy)
    }

    /// The whole chain on one line, each link once, ending in the operator's next step.
    #[must_use]
    pub fn chain(&self) -> String {
        format!("{}; {}", self.causes(), self.step())
    }

    /// The whole chain on one line, without the next step.
    #[must_use]
    pub fn causes(&self) -> String {
        let mut text = self.to_string();
        let mut link = self.source();
        while let Some(cause) = link {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            link = cause.source();
        }
        text
    }

    /// The operator's next step.
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self.trouble {
            Trouble::Full => "make room there: what was written before is kept",
            Trouble::Denied => {
                "run as the user whose directory it is, or set [state] directory to one that you may write to"
            }
            Trouble::Damaged => {
                "restart the service, or run a `cnamed sync` that has something to do: it is moved aside and a new one begun"
            }
            Trouble::Newer => "update this program, or set [state] directory to another one",
            Trouble::Busy => "try again; if it stays so, see who else uses it",
            Trouble::Disk | Trouble::Other => "check the disk and the directory that [state] names",
        }
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} {}", self.doing, self.path.display())
    }
}

impl Error for JournalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Whether there is no room for anything new.
pub(super) fn is_for_want_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn is_of_the_disk(error: &io::Error) -> bool {
    let of_it = [Errno::IO, Errno::FBIG, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| of_it.contains(&errno))
}

/// Whether the file at `path` may not be used, or none be made beside it, by who runs this.
fn is_forbidden(path: &Path) -> bool {
    let forbidden = |path: &Path, wanted: Access| {
        matches!(access(path, wanted), Err(Errno::ACCESS | Errno::PERM | Errno::ROFS))
    };
    forbidden(path, Access::READ_OK | Access::WRITE_OK)
        || path.parent().is_some_and(|directory| forbidden(directory, Access::WRITE_OK | Access::EXEC_OK))
}
