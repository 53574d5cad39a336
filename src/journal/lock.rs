//! One service to a state directory.

use std::error::Error;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::is_for_want_of_room;

/// The right to run as a service on a state directory: held as long as the value, and let go of by the kernel at the
/// holder's death, however that comes.
///
/// It guards services against each other. Commands that run once take none.
#[derive(Debug)]
pub struct Lock {
    directory: PathBuf,
    held: Mutex<Held>,
}

/// The directory and the file in it, as far as they could be locked.
type Held = [Option<File>; 2];

/// Whoever works as a service on a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, as far as it can be read.
    pub pid: Option<u32>,
}

/// Why there is no [`Lock`] to be had.
#[derive(Debug, thiserror::Error)]
pub enum Locked {
    /// Somebody else holds it.
    #[error(
        "another service{} works on {}; stop it first, or give this one a [state] directory of its own",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), .directory.display()
    )]
    Held {
        /// The directory.
        directory: PathBuf,
        /// The holder's process id, as far as it can be read.
        pid: Option<u32>,
    },
    /// It could not be asked for.
    #[error(
        "could not lock {}; run as the user whose directory it is, or set [state] directory to one that you may write to",
        .path.display()
    )]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of `directory`, which is made, for its owner alone, where it is missing.
    ///
    /// # Errors
    /// When somebody else holds it, or it could not be asked for.
    pub fn take(directory: &Path) -> Result<Self, Locked> {
        Ok(Self { directory: directory.to_owned(), held: Mutex::new(taken(directory)?) })
    }

    /// Who holds the lock of `directory` now. Nothing is made there.
    #[must_use]
    pub fn holder(directory: &Path) -> Option<Holder> {
        let path = directory.join(FILE);
        // Shared, so that two who look do not take each other for a service.
        let is_held = |path: &Path| {
            let lock = |file: File| flock(&file, FlockOperation::NonBlockingLockShared);
            File::open(path).is_ok_and(|file| lock(file) == Err(Errno::WOULDBLOCK))
        };
        let held = is_held(directory) || is_held(&path);
        held.then(|| Holder { pid: File::open(&path).ok().as_mut().and_then(noted) })
    }

    /// Takes it again where somebody took away what is locked: what is made anew in its place is held by nobody.
    pub(super) fn keep(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let was_held = held.iter().any(Option::is_some);
        if was_held && is_at(&held, &self.directory) {
            return;
        }
        // One half that is still there would refuse the whole to ourselves.
        *held = [None, None];
        match taken(&self.directory) {
            Ok(taken) => *held = taken,
            // Told once, and tried again whenever something is written.
            Err(error) if was_held => {
                let cause = error.source().map(ToString::to_string);
                tracing::error!(%error, cause, "the lock of the state directory was taken away, and could not be taken again");
                return;
            }
            Err(_) => return,
        }
        tracing::warn!(directory = %self.directory.display(), "the lock of the state directory was taken away; it is held again");
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service")?;
        self.pid.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

/// Both, of `directory`, which is made where it is missing.
fn taken(directory: &Path) -> Result<Held, Locked> {
    let path = directory.join(FILE);
    let unavailable = |source| Locked::Unavailable { path: path.clone(), source };
    let held =
        |file: Option<&mut File>| Locked::Held { directory: directory.to_owned(), pid: file.and_then(noted) };
    made(directory).map_err(unavailable)?;
    // The directory itself is there where there is no room for a file. Not every file system can lock one.
    let whole = File::open(directory).map_err(unavailable)?;
    let whole = match flock(&whole, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Some(whole),
        Err(Errno::WOULDBLOCK) => return Err(held(File::open(&path).ok().as_mut())),
        Err(_) => None,
    };
    let mut file = match opened(&path, directory) {
        Err(error) if whole.is_some() && is_for_want_of_room(&error) => {
            return Ok([whole, None]);
        }
        opened => opened.map_err(unavailable)?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(held(Some(&mut file))),
        Err(errno) => return Err(unavailable(errno.into())),
    }
    // Only for whoever is refused to read. A full disk does not keep the lock from being one.
    let _ = note(&mut file);
    Ok([whole, Some(file)])
}

/// Whether what is held is what stands there.
fn is_at(held: &Held, directory: &Path) -> bool {
    let same = |file: &File, path: &Path| {
        let (Ok(held), Ok(there)) = (file.metadata(), path.metadata()) else { return false };
        (held.dev(), held.ino()) == (there.dev(), there.ino())
    };
    let places = [directory.to_owned(), directory.join(FILE)];
    held.iter().zip(&places).all(|(file, path)| file.as_ref().is_none_or(|file| same(file, path)))
}

/// Opens the file at `path` in `directory`, and makes it where it is missing.
fn opened(path: &Path, directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    loop {
        match options.clone().create_new(true).open(path) {
            Ok(file) => {
                hand_over(&file, directory);
                return Ok(file);
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
        }
        match options.open(path) {
            // Somebody took it away in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
    }
}

/// Gives `file`, which was just made, to whoever owns `directory`: what root makes there while it runs a command beside the
/// service, that service could not open. Nobody else may give files away, and nobody else has to.
pub(super) fn hand_over(file: &File, directory: &Path) {
    let (Ok(file_is), Ok(directory_is)) = (file.metadata(), directory.metadata()) else { return };
    if file_is.uid() != directory_is.uid() {
        let _ = fchown(file, Some(directory_is.uid()), Some(directory_is.gid()));
    }
}

/// Makes `directory` for its owner alone, where it is missing.
pub(super) fn made(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn note(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn noted(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

const FILE: &str = "lock";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_other_is_told_who() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/state");
        assert_eq!(Lock::holder(&directory), None);
        let lock = Lock::take(&directory).unwrap();
        assert_eq!(Lock::holder(&directory), Some(Holder { pid: Some(std::process::id()) }));
        assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let refused = Lock::take(&directory).unwrap_err();
        assert!(matches!(refused, Locked::Held { pid: Some(pid), .. } if pid == std::process::id()));
        let text = refused.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(lock);
        assert_eq!(Lock::holder(&directory), None);
        let again = Lock::take(&directory);
        assert!(again.is_ok(), "{again:?}");
    }

    #[test]
    fn who_holds_the_directory_for_want_of_room_for_a_file_holds_it_against_all() {
        let folder = tempfile::tempdir().unwrap();
        let whole = File::open(folder.path()).unwrap();
        flock(&whole, FlockOperation::NonBlockingLockExclusive).unwrap();
        let refused = Lock::take(folder.path()).unwrap_err();
        assert!(matches!(refused, Locked::Held { pid: None, .. }), "{refused:?}");
        drop(whole);
        let again = Lock::take(folder.path());
        assert!(again.is_ok(), "{again:?}");
    }

    #[test]
    fn what_is_taken_away_is_taken_again_or_belongs_to_whoever_was_quicker() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("state");
        let lock = Lock::take(&directory).unwrap();
        let holder = || Lock::holder(&directory).map(|holder| holder.to_string());
        let ours = format!("the service (process {})", std::process::id());
        assert_eq!(holder(), Some(ours.clone()));
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(holder(), None);
        assert!(!directory.exists(), "looking makes nothing");
        lock.keep();
        assert_eq!(holder(), Some(ours.clone()));
        std::fs::remove_file(directory.join(FILE)).unwrap();
        lock.keep();
        assert_eq!(holder(), Some(ours));

        std::fs::remove_dir_all(&directory).unwrap();
        let other = Lock::take(&directory).unwrap();
        lock.keep();
        drop(other);
        assert_eq!(holder(), None);
        lock.keep();
        assert!(matches!(Lock::take(&directory), Err(Locked::Held { .. })));
        drop(lock);
        assert_eq!(holder(), None);
    }

    #[test]
    fn where_no_directory_can_be_it_says_which() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let refused = Lock::take(&folder.path().join("file/state")).unwrap_err();
        assert!(matches!(refused, Locked::Unavailable { .. }), "{refused:?}");
        assert!(refused.to_string().contains("file/state/lock"), "{refused}");
    }
}
