//! One change put back: the same guard, the same apply, and what stands afterwards verified.

use tokio::time::Instant;

use super::round::Round;
use super::{Event, Reconciler, Watch, decide, planned};
use crate::model::guard::{Cleared, Differs, Reviewed, check_undo};
use crate::model::plan::{Action, Step, Undo};
use crate::model::record::{Content, RecordSet};
use crate::model::state::{Desired, Seen};

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

    /// Whether a round that wants `desired` would write to the record of `undo` again, once that is put back.
    pub async fn would_do_again(&self, desired: &Desired, undo: &Undo) -> bool {
        let key = &undo.change.key;
        let mut observed = self.observe_at_rest(desired).await;
        let mark = Some(desired.owner.clone());
        let sets: Vec<RecordSet> =
            undo.change.before.iter().map(|set| RecordSet { mark: mark.clone(), ..set.clone() }).collect();
        let standing = if sets.is_empty() { Seen::Absent } else { Seen::Present(sets) };
        observed.records.insert(key.clone(), standing);
        let concerns = |step: &Step| matches!(&step.action, Action::Record(change) if change.key == *key);
        decide(desired, &observed).plan().steps.iter().any(concerns)
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
        let looked = Instant::now();
        let observed = self.observe(desired).await;
        let cleared = check_undo(desired, &observed, undo).confirmed(reviewed)?;
        watch.event(Event::Planned(cleared.plan().steps.len()));
        let done = self.apply((&observed, looked), &cleared, watch).await;
        let mut round = Round::of(desired, &observed);
        round.changes = done.changes.into_iter().map(|(_, report)| report).collect();
        round.take(cleared.plan(), cleared.refusals());
        round.authoritative = self.verification.authoritative;
        if let Some(touch) = done.touched.get(&undo.change.key) {
            let standing: Vec<&Content> = undo.contents().collect();
            let stands = (standing.as_slice(), *touch);
            let report = self.verify_standing(desired, &observed, &undo.change.key, stands, watch).await;
            round.records.extend(report);
        }
        let round = round.concluded();
        tracing::info!(outcome = round.outcome.as_str(), changes = round.changes.len(), "undo");
        Ok(round)
    }
}
