//! The zones of an account, remembered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::Error;
use crate::model::state::Zone;

/// What was last read, until it is forgotten; whoever asks while it is being read waits for the same reading.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Arc<OnceCell<Vec<Zone>>>>);

impl Remembered {
    /// The zones, by `read` where they are not known.
    ///
    /// # Errors
    /// As `read`; nothing is remembered then.
    pub(super) async fn or_read<R>(&self, read: impl FnOnce() -> R) -> Result<Vec<Zone>, Error>
    where
        R: Future<Output = Result<Vec<Zone>, Error>>,
    {
        let cell = Arc::clone(&self.cell());
        cell.get_or_try_init(read).await.cloned()
    }

    /// Has them read anew. A reading that is under way is nobody's memory.
    pub(super) fn forget(&self) {
        *self.cell() = Arc::default();
    }

    fn cell(&self) -> MutexGuard<'_, Arc<OnceCell<Vec<Zone>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
