//! One round: observe, derive, plan, guard, apply, verify, once.
//!
//! Names are mended as soon as what they depend on was read; what has to be built or taken down is done once everybody
//! has answered, or has been silent for a while.
//!
//! There is one code path for a timer, a signal, an event and a one-shot command, and it takes no hint of what
//! changed: the next round is the retry. `plan` is the same path, stopped before the first write because the
//! writing half is never called.

mod apply;
mod chain;
mod mend;
mod newest;
mod observe;
mod pass;
pub mod round;
mod undo;
mod verify;
mod way_in;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::model::endpoint::{Endpoint, Handle};
use crate::model::gateway::NatRule;
use crate::model::guard::{self, Cleared, Differs, Reviewed};
use crate::model::name::Fqdn;
use crate::model::plan::{self, Action, Plan, Step};
use crate::model::state::{Desired, EndpointState, Observed, RecordKey};
use crate::model::verify::Answer;
use crate::probe::Prober;
use crate::provider::{DnsProvider, NetworkProvider};
use crate::resolver::{Question, Resolver};
use apply::ASK_AGAIN;
pub use mend::Mended;
pub(crate) use mend::until;
pub use newest::Newest;
use pass::{Left, Passes};
use round::{Chain, ChangeOutcome, ChangeReport, LinkState, RecordReport, Round, WayIn};

/// Everything that a round reaches the world through.
#[derive(Debug)]
pub struct Reconciler {
    /// The DNS accounts, by name.
    pub accounts: BTreeMap<Handle, Arc<dyn DnsProvider>>,
    /// The endpoints' account.
    pub network: Arc<dyn NetworkProvider>,
    /// DNS itself.
    pub resolver: Arc<dyn Resolver>,
    /// What knocks at ports.
    pub prober: Arc<dyn Prober>,
    /// How closely to look afterwards.
    pub verification: Verification,
    /// What is known of the endpoints by whatever goes on at the same time; empty to begin with.
    pub newest: Arc<Newest>,
}

/// How closely to look at what name servers say.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Whether to ask every authoritative server.
    pub authoritative: bool,
    /// Whether to ask the configured resolvers as well.
    pub recursive: bool,
    /// The servers of the label's zone; empty finds them by asking for its NS records.
    pub label_servers: Vec<String>,
    /// How long to wait for withdrawn names to go.
    pub patience: Duration,
    /// How long to wait for what is under way to end, for whoever is silent while others have answered, and for agreement
    /// on what was changed. Whoever comes again soon need not wait for any of them.
    pub agreement: Duration,
    /// Whether a round ends by walking every chain to its port.
    pub way_in: bool,
}

/// What name servers say between two rounds: see [`Reconciler::glance`].
#[derive(Clone, Debug)]
pub struct Glance {
    /// What every authoritative server says of every record that stands as wanted.
    pub records: Vec<RecordReport>,
    /// Whether every one of them says that there is nothing at a name that is left, where nothing shall stand.
    pub left: Vec<RecordReport>,
    /// The chain of every wanted record, without its ports.
    pub chains: Vec<Chain>,
    /// What each configured resolver gives for a name that is left, once an account says what is right there.
    pub given: Vec<(Question, Vec<Answer>)>,
}

/// What shall no longer lead where it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// What shows whether the names do.
    pub questions: Vec<Question>,
    /// The records among it that were withdrawn.
    pub withdrawn: BTreeSet<RecordKey>,
}

/// What happens during a round, for whoever watches.
#[derive(Clone, Debug)]
pub enum Event<'e> {
    /// Reading begins.
    Observing,
    /// This much is known of an endpoint by now; the rest is still being read.
    Seen(&'e Handle, &'e EndpointState),
    /// A plan with this many steps is about to be applied.
    Planned(usize),
    /// A step begins, for this reason.
    Begun(&'e Action, &'e str),
    /// A step ended, well or not.
    Ended(&'e Action, &'e ChangeReport),
    /// A withdrawn name is gone from the authoritative servers, and caches have this long to forget it.
    Settling(&'e RecordKey, Duration),
    /// Name servers are being asked.
    Verifying(&'e RecordKey),
    /// What was changed in this round is what they serve now.
    Agreed(&'e RecordKey, Agreement),
    /// A service is being waited for to greet.
    Probing(&'e Endpoint, &'e NatRule),
}

/// Who serves it: see [`Event::Agreed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// Every authoritative server of the account.
    Account,
    /// The configured resolvers.
    Resolvers,
}

/// Whoever watches a round.
pub trait Watch: Send + Sync {
    /// Told of each event as it happens; must not block.
    fn event(&self, event: Event<'_>);
}

/// Nobody watches.
impl Watch for () {
    fn event(&self, _: Event<'_>) {}
}

impl Reconciler {
    /// What a round would do: everything up to the first write.
    pub async fn preview(&self, desired: &Desired, watch: &dyn Watch) -> (Cleared, Round) {
        watch.event(Event::Observing);
        let observed = self.observe_at_rest(desired).await;
        let (cleared, round) = foreseen(desired, &observed);
        (cleared, round.concluded())
    }

    /// How things stand: a preview, and what name servers say.
    pub async fn status(&self, desired: &Desired, watch: &dyn Watch) -> Round {
        watch.event(Event::Observing);
        let observed = self.observe(desired).await;
        let (_, mut round) = foreseen(desired, &observed);
        round.authoritative = self.verification.authoritative;
        round.records = self.verify(desired, &observed, &BTreeMap::new(), watch).await;
        (round.chains, round.ways_in) =
            self.walk(desired, &observed, &round.records, Instant::now(), watch).await;
        round.concluded()
    }

    /// What name servers say now of what `round` saw: no provider is asked, and nothing is waited for.
    ///
    pub async fn glance(&self, desired: &Desired, round: &Round, leaving: Leaving) -> Glance {
        let Leaving { questions, withdrawn } = leaving;
        let observed = &round.observed;
        let records = self.verify(desired, observed, &BTreeMap::new(), &()).await;
        let names: BTreeSet<&Fqdn> = questions.iter().map(|question| &question.name).collect();
        let left = self.verify_left(desired, observed, &names, &withdrawn).await;
        let chains = self.chains(desired, observed, &records).await;
        let verified = records.iter().chain(&left).filter(|report| report.verdict.is_verified());
        let served: BTreeSet<&Fqdn> = verified.map(|report| &report.name).collect();
        let given = self.given(questions, &served).await;
        Glance { records, left, chains, given }
    }

    /// Every chain from name to port, and every port; one that leads nowhere yet is tried again until `deadline`.
    async fn walk(
        &self,
        desired: &Desired,
        observed: &Observed,
        records: &[RecordReport],
        deadline: Instant,
        watch: &dyn Watch,
    ) -> (Vec<Chain>, Vec<WayIn>) {
        let mut ways_in = self.ways_in(desired, observed, watch).await;
        let closed = |way: &WayIn| matches!(way.port.state, LinkState::Broken | LinkState::Pending);
        while ways_in.iter().any(closed) && Instant::now() + ASK_AGAIN < deadline {
            sleep(ASK_AGAIN).await;
            ways_in = self.ways_in(desired, observed, watch).await;
        }
        let mut chains = self.chains(desired, observed, records).await;
        for chain in &mut chains {
            let key = RecordKey { name: chain.name.clone(), account: chain.account.clone() };
            let Some(wanted) = desired.records.get(&key) else { continue };
            for way in ways_in.iter().filter(|way| way.endpoint == wanted.endpoint) {
                chain.links.push(way.port.clone());
                // A line that cannot work now is not worth typing.
                let line = way.line(&chain.name).filter(|_| way.port.state == LinkState::Whole);
                chain.connect.extend(line);
            }
        }
        (chains, ways_in)
    }

    /// A whole round.
    ///
    /// With `reviewed`, exactly that plan is run, and what it says will follow from it; anything else is left.
    ///
    /// # Errors
    /// When the reviewed plan is not what would be done now; nothing was done then.
    pub async fn run(
        &self,
        desired: &Desired,
        reviewed: Option<&Reviewed>,
        watch: &dyn Watch,
    ) -> Result<Round, Differs> {
        let (left, did) = Passes::of(self, desired, reviewed, watch).run().await?;
        let Left { observed, cleared, undone } = left;
        let mut round = Round::of(desired, &observed);
        round.changes = did.changes;
        if undone {
            // Seen, and not this round's to do: whoever asked is told, and is not told that all is done. What was tried
            // and did not come about was told already.
            let mut rest = planned(cleared.plan());
            let undone = |report: &&ChangeReport| report.outcome != ChangeOutcome::Applied;
            rest.retain(|step| !round.changes.iter().filter(undone).any(|report| report.concerns_what(step)));
            round.changes.extend(rest);
        }
        round.take(cleared.plan(), cleared.refusals());
        round.authoritative = self.verification.authoritative;
        round.records = self.verify(desired, &observed, &did.touched, watch).await;
        if self.verification.way_in {
            // What was just written is looked at as it is now.
            let observed = if round.changes.is_empty() { observed } else { self.observe(desired).await };
            // Azure answers before its network has followed. What may not have been made is waited for in vain.
            let made = |report: &ChangeReport| report.outcome == ChangeOutcome::Applied && report.opens();
            let fresh = round.changes.iter().any(made);
            let patience = if fresh { self.verification.agreement } else { Duration::ZERO };
            let deadline = Instant::now() + patience;
            (round.chains, round.ways_in) =
                self.walk(desired, &observed, &round.records, deadline, watch).await;
        }
        let round = round.concluded();
        tracing::debug!(outcome = round.outcome.as_str(), passes = did.passes, "ended");
        Ok(round)
    }
}

impl Reconciler {
    /// How long others wait for whoever is silent; nobody is called silent sooner than after a moment.
    fn silence(&self) -> Duration {
        self.verification.agreement.max(Duration::from_secs(1))
    }
}

/// What would be done about `observed`, and how things stand while it is not.
fn foreseen(desired: &Desired, observed: &Observed) -> (Cleared, Round) {
    let cleared = decide(desired, observed);
    let mut round = Round::of(desired, observed);
    round.changes = planned(cleared.plan());
    round.take(cleared.plan(), cleared.refusals());
    (cleared, round)
}

fn planned(plan: &Plan) -> Vec<ChangeReport> {
    let report = |step: &Step| ChangeReport::of(&step.action, &step.reason, ChangeOutcome::Planned);
    plan.steps.iter().filter_map(report).collect()
}

fn decide(desired: &Desired, observed: &Observed) -> Cleared {
    guard::check(desired, observed, plan::plan(desired, observed))
}
