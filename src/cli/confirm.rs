//! Ask before what cannot be taken back.

use std::io::{self, BufRead};

use super::exit::Exit;
use super::output::Output;
use crate::reconcile::round::VERSION;

/// Whether to go on; without a terminal only `--yes` says so.
///
/// # Errors
/// With the exit code, after telling why not.
pub(crate) fn confirm(output: &Output, yes: bool, question: &str) -> Result<(), Exit> {
    if yes {
        return Ok(());
    }
    if !output.can_ask() {
        let text = "nobody can be asked here, since this is no terminal; nothing was changed. \
                    Read the plan above, then run the same command with --yes";
        return Err(output.failure(text, Exit::Usage));
    }
    output.ask(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    output.aside("Nothing was changed.\n");
    if output.is_json() {
        let _ = output.json(&serde_json::json!({
            "version": VERSION,
            "outcome": Exit::Pending.outcome(),
            "error": "it was not agreed to; nothing was changed",
        }));
    }
    Err(Exit::Pending)
}
