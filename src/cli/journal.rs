//! The journal as the commands use it: opened, and told of where it cannot be.

use std::path::Path;

use super::exit::Exit;
use super::output::{Output, Tone};
use crate::journal::Journal;
use crate::telemetry::scribe::Written;

/// The journal in `directory`, if there is one.
///
/// # Errors
/// With the exit code, after telling why it cannot be read.
pub(super) fn look(directory: &Path, output: &Output) -> Result<Option<Journal>, Exit> {
    Journal::look(directory).map_err(|error| output.failure(&error.chain(), Exit::Failed))
}

/// Tells what went wrong with the journal while a command did its work, which it did not keep from it.
pub(super) fn tell(written: &Written, output: &Output) {
    let warning = |text: String| output.aside(&format!("{} {text}\n", Tone::Warn.paint("warning:")));
    if let Some(mended) = &written.mended {
        warning(mended.to_string());
    }
    if let Some(trouble) = &written.trouble {
        warning(format!("what was changed is not in the journal: {}", trouble.chain()));
    }
}
