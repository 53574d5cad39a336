//! What the demo has shown.

use std::time::Duration;

use crate::cli::output::Tone;
use crate::cli::table::Table;

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
