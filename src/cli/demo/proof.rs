//! What the demo has shown.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::output::Tone;
use crate::cli::table::Table;
use crate::reconcile::round::VERSION;

/// Claims, and whether what was seen bears them out.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    proofs: Vec<(&'static str, bool, String)>,
}

impl Proofs {
    pub(super) fn add(&mut self, claim: &'static str, holds: bool, seen: String) {
        self.proofs.push((claim, holds, seen));
    }

    pub(super) fn all_hold(&self) -> bool {
        !self.proofs.is_empty() && self.proofs.iter().all(|(_, holds, _)| *holds)
    }

    /// The proofs as one value, with the contract's version and the outcome that the exit code says as well.
    pub(super) fn json(&self, exit: Exit, took: Duration) -> Value {
        let claim = |(claim, holds, seen): &(&str, bool, String)| json!({ "claim": claim, "holds": holds, "seen": seen });
        let proofs: Vec<Value> = self.proofs.iter().map(claim).collect();
        json!({
            "version": VERSION,
            "outcome": exit.outcome(),
            "proofs": proofs,
            "seconds": took.as_secs(),
        })
    }

    pub(super) fn table(&self, took: Duration) -> String {
        let mut table = Table::default();
        for (claim, holds, seen) in &self.proofs {
            let (word, tone) = if *holds { ("holds", Tone::Good) } else { ("FAILS", Tone::Bad) };
            table.row([
                (word.to_owned(), tone),
                ((*claim).to_owned(), Tone::Plain),
                (seen.clone(), Tone::Faint),
            ]);
        }
        let held = self.proofs.iter().filter(|(_, holds, _)| *holds).count();
        format!(
            "\n{}\n{}\n{} of {} claims held, in {:.0} s.\n",
            Tone::Strong.paint("What was proved"),
            table.render(),
            held,
            self.proofs.len(),
            took.as_secs_f64()
        )
    }
}
