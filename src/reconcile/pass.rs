//! The passes of a round: what one of them did may unblock more.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use super::apply::{Applied, Touch};
use super::round::{ChangeOutcome, ChangeReport};
use super::{Event, Reconciler, Watch, decide, planned};
use crate::model::guard::{Cleared, Differs, Reviewed};
use crate::model::plan::{Action, Plan, Subject};
use crate::model::state::{Desired, Observed, RecordKey};

/// A round observes anew while what it did unblocks more, and no oftener than this.
const MOST: usize = 3;

/// One round while it works.
pub(super) struct Passes<'a> {
    reconciler: &'a Reconciler,
    desired: &'a Desired,
    reviewed: Option<&'a Reviewed>,
    watch: &'a dyn Watch,
    begun: usize,
    changes: Vec<ChangeReport>,
    /// Those of the last pass that met another state than they were planned for.
    lost: Vec<ChangeReport>,
    touched: BTreeMap<RecordKey, Touch>,
    /// What the plan that was reviewed says will follow from it.
    announced: BTreeSet<Subject>,
}

/// What the last pass leaves.
pub(super) struct Left {
    pub(super) observed: Observed,
    /// What would still be done about it.
    pub(super) cleared: Cleared,
    /// Whether that is not this round's to do.
    pub(super) undone: bool,
}

/// What all of them did.
pub(super) struct Did {
    pub(super) changes: Vec<ChangeReport>,
    pub(super) touched: BTreeMap<RecordKey, Touch>,
    pub(super) passes: usize,
}

impl<'a> Passes<'a> {
    /// None yet; with `reviewed`, exactly that plan shall be run, and what it says will follow from it.
    pub(super) fn of(
        reconciler: &'a Reconciler,
        desired: &'a Desired,
        reviewed: Option<&'a Reviewed>,
        watch: &'a dyn Watch,
    ) -> Self {
        Self {
            reconciler,
            desired,
            reviewed,
            watch,
            begun: 0,
            changes: Vec::new(),
            lost: Vec::new(),
            touched: BTreeMap::new(),
            announced: BTreeSet::new(),
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// When the reviewed plan is not what would be done now; nothing was done then.
    pub(super) async fn run(mut self) -> Result<(Left, Did), Differs> {
        loop {
            if let Some(left) = self.next().await? {
                let Self { changes, touched, begun, .. } = self;
                return Ok((left, Did { changes, touched, passes: begun }));
            }
        }
    }

    /// The next one; gives what it leaves, if no other is to follow.
    async fn next(&mut self) -> Result<Option<Left>, Differs> {
        let (reconciler, desired, watch) = (self.reconciler, self.desired, self.watch);
        self.begun += 1;
        // What was reviewed is done as it was reviewed, and what comes too late for this round is not begun.
        let may = self.reviewed.is_none() && self.begun <= MOST;
        let silence = if may { reconciler.silence() } else { Duration::MAX };
        let mut mending = reconciler.mending(desired, may, watch);
        let (observed, whole) = mending.until_decided(silence).await;
        self.forget_lost_races(whole.plan(), &observed);
        let mut cleared = whole.apart_from(mending.begun());
        match self.reviewed {
            Some(reviewed) if self.begun == 1 => cleared = cleared.confirmed(reviewed)?,
            Some(_) if !within(cleared.plan(), &self.announced) => {
                return Ok(Some(Left { observed, cleared, undone: true }));
            }
            _ => {}
        }
        let plan = cleared.plan();
        let idle = mending.is_over() && mending.is_idle();
        if (plan.steps.is_empty() && idle) || self.begun > MOST {
            let undone = !plan.steps.is_empty();
            return Ok(Some(Left { observed, cleared, undone }));
        }
        // What waits for somebody else was not reviewed as work of ours.
        let ours = plan.blocked.iter().filter(|blocked| blocked.ours);
        self.announced.extend(ours.map(|blocked| blocked.subject.clone()));
        if !plan.steps.is_empty() {
            watch.event(Event::Planned(plan.steps.len()));
        }
        let late = !mending.is_over();
        let done = {
            let seen = (&observed, mending.looked());
            mending.beside(reconciler.apply(seen, &cleared, watch)).await
        };
        let (all, mended) = mending.finish().await;
        let later = late.then(|| decide(desired, &all));
        let done = done.after(mended, [Some(&whole), later.as_ref()].into_iter().flatten());
        // Unblocked by this very pass: look again. Otherwise what was read and written is what stands. So does whoever
        // lost a race: what stands there now decides what is to be done.
        let again =
            done.unblocks(plan, later.as_ref().map(Cleared::plan)) || (done.stale && self.reviewed.is_none());
        // What is told is what was read in the end.
        let (mut observed, cleared) = later.map_or((observed, cleared), |later| (all, later));
        self.take(done, &mut observed).await;
        Ok((!again).then_some(Left { observed, cleared, undone: false }))
    }

    /// A race that was lost to somebody who did the same left nothing to do, which is no failure.
    fn forget_lost_races(&mut self, plan: &Plan, observed: &Observed) {
        let rest = planned(plan);
        let lost = &self.lost;
        self.changes.retain(|report| {
            let open = |lost: &ChangeReport| lost.outcome == report.outcome && lost.concerns_what(report);
            // Nor is it known of what could not be read.
            let again = || rest.iter().any(|step| step.concerns_what(report));
            !lost.iter().any(open) || again() || report.is_unread(observed)
        });
    }

    /// Takes in what one did, into what it has `observed` as well.
    async fn take(&mut self, done: Applied, observed: &mut Observed) {
        // What failed in an earlier pass and was tried again is told once, as it ended. What was done stays told.
        self.changes.retain(|earlier| {
            let again = done.changes.iter().any(|(_, later)| later.concerns_what(earlier));
            earlier.outcome == ChangeOutcome::Applied || !again
        });
        self.changes.extend(done.changes.into_iter().map(|(_, report)| report));
        self.lost = done.lost;
        self.touched.extend(done.touched);
        for (endpoint, public_ip) in done.public_ips {
            if let Some(state) = observed.endpoints.get_mut(&endpoint) {
                state.public_ip = public_ip;
            }
        }
        // What became of a public IP whose change failed is not known before it is looked at.
        for endpoint in done.uncertain {
            if let Some(wanted) = self.desired.endpoints.get(&endpoint) {
                let state = self.reconciler.network.observe(wanted).await;
                observed.endpoints.insert(endpoint, state);
            }
        }
    }
}

impl Applied {
    /// Whether this leaves something to do that could not be done before: what `plan` had waiting, or what is in the one that
    /// was made `later`.
    fn unblocks(&self, plan: &Plan, later: Option<&Plan>) -> bool {
        let built = !self.public_ips.is_empty() || self.changes.iter().any(|(_, report)| report.opens());
        let known: HashSet<&Subject> = self.changes.iter().map(|(subject, _)| subject).collect();
        let new = |plan: &Plan| plan.steps.iter().any(|step| !known.contains(&step.subject()));
        (built && plan.blocked.iter().any(|blocked| blocked.ours)) || later.is_some_and(new)
    }
}

fn within(plan: &Plan, announced: &BTreeSet<Subject>) -> bool {
    plan.steps.iter().all(|step| match &step.action {
        Action::Network(change) => announced.contains(&Subject::PublicIp(change.endpoint.clone())),
        Action::Gateway(_) => announced.contains(&step.subject()),
        Action::Record(change) => announced.contains(&Subject::Record(change.key.clone())),
        Action::Settle(_) => true,
    })
}
