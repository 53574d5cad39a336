//! SIGKILL at any moment: what it meets, and what it leaves of the journal.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cnamed::journal::{Entry, Filter, Journal, What};
use rand::Rng;
use rand::rngs::SmallRng;
use tempfile::TempDir;

use super::transit::UnderWay;

/// When a service dies next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doom {
    Never,
    /// After so long.
    After(Duration),
    /// In the midst of the next write, after so much of the time that the way there and back takes.
    InAWrite(f64),
}

impl Doom {
    /// `surely` in a write, if there is one.
    pub(super) fn draw(chance: &mut SmallRng, within: Duration, surely: bool) -> Self {
        match chance.random_range(0..4) {
            _ if surely => Self::InAWrite(chance.random()),
            0 => Self::After(within.mul_f64(chance.random())),
            1 => Self::InAWrite(chance.random()),
            _ => Self::Never,
        }
    }
}

/// What those met who died.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Toll {
    pub(super) kills: usize,
    /// While a write was on its way.
    pub(super) asked: usize,
    /// While a write was done and its answer on its way.
    pub(super) done: usize,
    /// With a journal in a file.
    pub(super) files: usize,
}

impl Toll {
    pub(super) fn count(&mut self, under_way: UnderWay, file: bool) {
        self.kills += 1;
        self.asked += usize::from(under_way.asked > 0);
        self.done += usize::from(under_way.done > 0);
        self.files += usize::from(file);
    }

    pub(super) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.asked += other.asked;
        self.done += other.done;
        self.files += other.files;
    }
}

/// Where a service writes down what it does.
#[derive(Debug)]
pub(super) enum Book {
    InMemory(Arc<Journal>),
    /// In a directory of its own for each life: what the one before left behind when it was killed.
    InFiles {
        folder: TempDir,
        lives: u32,
    },
}

impl Book {
    pub(super) fn new(in_files: bool) -> Self {
        match in_files {
            true => Self::InFiles { folder: tempfile::tempdir().unwrap(), lives: 0 },
            false => Self::InMemory(Arc::new(Journal::in_memory().unwrap())),
        }
    }

    pub(super) fn is_in_files(&self) -> bool {
        matches!(self, Self::InFiles { .. })
    }

    pub(super) fn open(&self) -> Arc<Journal> {
        match self {
            Self::InMemory(journal) => Arc::clone(journal),
            Self::InFiles { .. } => {
                let (journal, mended) = Journal::open(&self.here()).unwrap();
                assert_eq!(mended, None);
                Arc::new(journal)
            }
        }
    }

    /// The service is killed at this moment: the files stay as they are. Whoever is only dropped closes them first.
    pub(super) fn killed(&mut self) {
        let before = self.here();
        let Self::InFiles { lives, .. } = self else { return };
        *lives += 1;
        let after = self.here();
        fs::create_dir(&after).unwrap();
        for file in fs::read_dir(before).unwrap().map(Result::unwrap) {
            // What was shared in memory alone is not there any more.
            if !file.file_name().to_str().unwrap().ends_with("-shm") {
                fs::copy(file.path(), after.join(file.file_name())).unwrap();
            }
        }
    }

    fn here(&self) -> PathBuf {
        match self {
            Self::InMemory(_) => PathBuf::new(),
            Self::InFiles { folder, lives } => folder.path().join(lives.to_string()),
        }
    }
}

pub(super) fn entries(journal: &Journal) -> Vec<Entry> {
    journal.entries(&Filter::default()).unwrap()
}

/// How many writes are in there as made.
pub(super) fn applied(entries: &[Entry]) -> usize {
    let is_applied =
        |entry: &&Entry| matches!(&entry.what, What::Change(change) if change.outcome == "applied");
    entries.iter().filter(is_applied).count()
}
