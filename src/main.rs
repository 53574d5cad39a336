//! The `cnamed` command: calls [`cnamed::cli`] and turns its result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    cnamed::cli::main().into()
}
