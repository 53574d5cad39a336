//! One change put back: the same guard, the same apply, and what stands afterwards verified.

use super::round::Round;
use super::{Event, Reconciler, Watch, planned};
use crate::model::guard::{Cleared, Differs, Reviewed, check_undo};
use crate::model::plan::Undo;
use crate::model::record::Content;
use crate::model::state::Desired;

impl Reconciler {
    /// What [`Self::undo`] would do: everything up to the first write. `desired` is [`Undo::desired`].
    pub async fn preview_undo(&self, desired: &Desired, undo: &Undo, watch: &dyn Watch) -> (Cleared, Round) {
        watch.event(Event::Observing);
        let observed = self.observe(desired).await;
        let cleared = check_undo(desired, &observed, undo);
        let mut round = Round::of(desired, &observed);
        round.changes = planned(cleared.plan());
        round.take(cleared.plan(), cleared.refusals());
        (cleared, round.concluded())
    }

    /// Puts one change back, as it was reviewed.
    ///
    /// # Errors
    /// When that is not what would be done now; nothing was done then.
    pub async fn undo(
        &self,
        desired: &Desired,
        undo: &Undo,
        reviewed: &Reviewed,
        watch: &dyn Watch,
    ) -> Result<Round, Differs> {
        watch.event(Event::Observing);
        let observed = self.observe(desired).await;
        let cleared = check_undo(desired, &observed, undo).confirmed(reviewed)?;
        watch.event(Event::Planned(cleared.plan().steps.len()));
        let done = self.apply(&observed, &cleared, watch).await;
        let mut round = Round::of(desired, &observed);
        round.changes = done.changes;
        round.take(cleared.plan(), cleared.refusals());
        round.authoritative = self.verification.authoritative;
        if let Some(touch) = done.touched.get(&undo.change.key) {
            let standing: Vec<&Content> = undo.contents().collect();
            let stands = (standing.as_slice(), *touch);
            let report = self.verify_standing(desired, &observed, &undo.change.key, stands, watch).await;
            round.records.extend(report);
        }
        let round = round.concluded();
        tracing::info!(outcome = ?round.outcome, changes = round.changes.len(), "undo");
        Ok(round)
    }
}
