//! What a round is doing at this moment, and the journal's hand while it does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::agreement::Awaited;
use crate::journal::{Journal, What};
use crate::model::endpoint::Handle;
use crate::model::plan::{Action, RecordChange};
use crate::model::record::Ttl;
use crate::model::state::{EndpointState, RecordKey};
use crate::reconcile::round::{ChangeOutcome, ChangeReport};
use crate::reconcile::{Event, Watch};
use crate::telemetry::clock::Clock;
use crate::telemetry::scribe;

/// Watches one round. Every change is in the journal before the round goes on.
pub(super) struct Watcher {
    journal: Arc<Journal>,
    clock: Clock,
    news: Arc<Notify>,
    state: Mutex<State>,
}

struct State {
    /// When it last began to look.
    looked: Instant,
    /// What it has seen of endpoints, until somebody takes that in.
    seen: BTreeMap<Handle, EndpointState>,
    /// Writes that have begun and not ended, why, and since when.
    in_flight: Vec<(Action, String, Instant)>,
    /// Whether it has come to waiting for caches, or to asking name servers, since it last looked.
    waits: bool,
    done: Vec<Done>,
    trouble: Option<String>,
}

/// A change that was made, or was begun.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// Its entry in the journal, where that could be written.
    pub(super) entry: Option<i64>,
    /// What it was.
    pub(super) report: ChangeReport,
    /// The record that it concerns, if it concerns one, the longest that caches may keep of it, and what shall come to be
    /// seen of it.
    pub(super) key: Option<(RecordKey, Ttl, Awaited)>,
    /// When it was over.
    pub(super) ended: Instant,
}

impl Done {
    /// Whether it was made, or may have been.
    pub(super) fn may_stand(&self) -> bool {
        matches!(self.report.outcome, ChangeOutcome::Applied | ChangeOutcome::Unconfirmed)
    }
}

impl Watcher {
    /// Rings `news` when there is something to take in.
    pub(super) fn new(journal: Arc<Journal>, clock: Clock, news: Arc<Notify>) -> Arc<Self> {
        let state = State {
            looked: Instant::now(),
            seen: BTreeMap::new(),
            in_flight: Vec::new(),
            waits: false,
            done: Vec::new(),
            trouble: None,
        };
        Arc::new(Self { journal, clock, news, state: Mutex::new(state) })
    }

    /// When what it found was begun to be looked at.
    pub(super) fn looked(&self) -> Instant {
        self.state().looked
    }

    /// What it has seen of endpoints since this was last asked.
    pub(super) fn seen(&self) -> BTreeMap<Handle, EndpointState> {
        std::mem::take(&mut self.state().seen)
    }

    /// The names that are being written.
    pub(super) fn writing(&self) -> Vec<RecordKey> {
        let state = self.state();
        let key = |(action, ..): &(Action, String, Instant)| match action {
            Action::Record(change) => Some(change.key.clone()),
            _ => None,
        };
        state.in_flight.iter().filter_map(key).collect()
    }

    /// Whether nothing is being written.
    pub(super) fn is_idle(&self) -> bool {
        self.state().in_flight.is_empty()
    }

    /// Whether the round only waits: giving it up leaves nothing half-done.
    pub(super) fn only_waits(&self) -> bool {
        let state = self.state();
        state.in_flight.is_empty() && state.waits
    }

    /// Whether the round waits for nothing but accounts that do not answer for what is written there. Changes of a
    /// network are none of this: those take minutes in good health. Many records of a zone are answered for at once, and
    /// within what the zone takes in a minute.
    pub(super) fn hangs(&self) -> bool {
        let state = self.state();
        let many = u32::try_from(state.in_flight.len()).unwrap_or(u32::MAX);
        let limit = UNANSWERED.saturating_add(EACH.saturating_mul(many));
        let hangs = |(action, _, since): &(Action, String, Instant)| {
            matches!(action, Action::Record(_)) && since.elapsed() >= limit
        };
        !state.in_flight.is_empty() && state.in_flight.iter().all(hangs)
    }

    /// What the round has changed, and why the journal could not be written, if it could not.
    pub(super) fn take(&self) -> (Vec<Done>, Option<String>) {
        let mut state = self.state();
        (std::mem::take(&mut state.done), state.trouble.take())
    }

    /// Ends with the round in the middle of what it does: each write under way is told as one that may have happened.
    pub(super) fn give_up(&self, why: &str) {
        let in_flight = std::mem::take(&mut self.state().in_flight);
        for (action, reason, _) in in_flight {
            if let Some(mut report) = ChangeReport::begun(&action, &reason) {
                report.outcome = ChangeOutcome::Unconfirmed;
                report.error = Some(why.to_owned());
                log(&report);
                self.ended(&action, &report);
            }
        }
    }

    fn ended(&self, action: &Action, report: &ChangeReport) {
        let key = match action {
            Action::Record(change @ RecordChange { key, before, after }) => {
                let ttls = before.iter().map(|set| set.content.ttl).chain(after.as_ref().map(|set| set.ttl));
                Some((key.clone(), ttls.max().unwrap_or(Ttl::DEFAULT), change.into()))
            }
            Action::Network(_) | Action::Gateway(_) | Action::Settle(_) => None,
        };
        let entry = self.keep(action, report);
        let mut state = self.state();
        state.in_flight.retain(|(begun, ..)| begun != action);
        state.done.push(Done { entry, report: report.clone(), key, ended: Instant::now() });
    }

    /// A change that was not begun is no change.
    fn keep(&self, action: &Action, report: &ChangeReport) -> Option<i64> {
        if matches!(report.outcome, ChangeOutcome::Skipped | ChangeOutcome::Planned) {
            return None;
        }
        let now = self.clock.now();
        match self.journal.record(now, &What::Change(scribe::change(action, report))) {
            Ok(entry) => Some(entry),
            Err(error) => {
                self.state().trouble = Some(error.chain());
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the round that was given up would have logged it. This is the last that is heard of it before somebody looks.
fn log(report: &ChangeReport) {
    let ChangeReport { verb, name, outcome, error, .. } = report;
    let account = report.account.as_ref().map(Handle::as_str);
    tracing::error!(%verb, %name, account, outcome = outcome.as_str(), error, "change");
}

impl Watch for Watcher {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Observing => {
                let mut state = self.state();
                (state.waits, state.looked) = (false, Instant::now());
            }
            Event::Seen(endpoint, state) => {
                self.state().seen.insert(endpoint.clone(), state.clone());
                self.news.notify_one();
            }
            Event::Begun(Action::Settle(_), _) => self.state().waits = true,
            Event::Begun(action, reason) => {
                self.state().in_flight.push((action.clone(), reason.to_owned(), Instant::now()));
            }
            Event::Ended(action, report) => {
                self.ended(action, report);
                if self.is_idle() {
                    self.news.notify_one();
                }
            }
            Event::Verifying(_) | Event::Probing(..) => self.state().waits = true,
            // Who has come to agree is asked from round to round, not only in this one.
            Event::Planned(_) | Event::Settling(..) | Event::Agreed(..) => {}
        }
    }
}

/// An account that takes longer to answer for a record does not do well.
const UNANSWERED: Duration = Duration::from_secs(10);
/// What each record more may take: no provider takes fewer than 200 a minute.
const EACH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::journal::Filter;
    use crate::model::endpoint::PublicIpSpec;
    use crate::model::name::Fqdn;
    use crate::model::plan::{NetworkChange, Settle};

    fn watcher() -> (Arc<Watcher>, Arc<Journal>) {
        let journal = Arc::new(Journal::in_memory().unwrap());
        let clock = Clock::system();
        (Watcher::new(Arc::clone(&journal), clock, Arc::default()), journal)
    }

    fn key() -> RecordKey {
        RecordKey { name: Fqdn::parse("jump.example.com").unwrap(), account: Handle::parse("cf").unwrap() }
    }

    fn withdrawal() -> Action {
        Action::Record(RecordChange { key: key(), before: Vec::new(), after: None })
    }

    fn public_ip() -> Action {
        let endpoint = Handle::parse("jump").unwrap();
        Action::Network(Box::new(NetworkChange {
            endpoint,
            spec: PublicIpSpec::any(),
            held: None,
            delete: false,
        }))
    }

    /// Why anything is done here.
    const WHY: &str = "nobody wants it any more";

    fn wait() -> Action {
        let (key, ttl) = (key(), Ttl::DEFAULT);
        Action::Settle(Settle { key, shows_as: [].into(), instead: None, ttl })
    }

    fn ended(watcher: &Watcher, outcome: ChangeOutcome) {
        let report = ChangeReport { outcome, ..ChangeReport::begun(&withdrawal(), WHY).unwrap() };
        watcher.event(Event::Ended(&withdrawal(), &report));
    }

    #[test]
    fn a_round_only_waits_while_nothing_is_being_written() {
        let (watcher, _) = watcher();
        watcher.event(Event::Observing);
        assert!(!watcher.only_waits(), "it reads");
        watcher.event(Event::Begun(&withdrawal(), WHY));
        watcher.event(Event::Begun(&wait(), WHY));
        assert!(!watcher.only_waits(), "it writes beside the wait");
        ended(&watcher, ChangeOutcome::Applied);
        assert!(watcher.only_waits());
        watcher.event(Event::Observing);
        assert!(!watcher.only_waits(), "it reads again");
        watcher.event(Event::Verifying(&key()));
        assert!(watcher.only_waits(), "it asks name servers");
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_hangs_once_every_write_under_way_is_one_of_a_record_and_was_not_answered_for_long() {
        let (watcher, _) = watcher();
        assert!(!watcher.hangs(), "nothing is written");
        watcher.event(Event::Begun(&withdrawal(), WHY));
        sleep(UNANSWERED / 2 + EACH).await;
        let other = RecordKey { account: Handle::parse("azure").unwrap(), ..key() };
        let other = Action::Record(RecordChange { key: other, before: Vec::new(), after: None });
        watcher.event(Event::Begun(&other, WHY));
        sleep(UNANSWERED / 2 + EACH).await;
        assert!(!watcher.hangs(), "the second may be answered yet");
        sleep(UNANSWERED / 2 + EACH).await;
        assert!(watcher.hangs());
        watcher.event(Event::Begun(&public_ip(), WHY));
        sleep(UNANSWERED * 60).await;
        assert!(!watcher.hangs(), "what is done to a network takes its time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_records_of_a_zone_do_not_hang_while_the_zone_takes_its_two_hundred_a_minute() {
        let (watcher, _) = watcher();
        for number in 0..1_000 {
            let name = format!("n{number}.example.com").parse().unwrap();
            let change = RecordChange { key: RecordKey { name, ..key() }, before: Vec::new(), after: None };
            watcher.event(Event::Begun(&Action::Record(change), WHY));
        }
        sleep(Duration::from_secs(5 * 60)).await;
        assert!(!watcher.hangs());
        sleep(Duration::from_secs(15 * 60)).await;
        assert!(watcher.hangs(), "that long nobody takes");
    }

    #[test]
    fn what_was_not_begun_is_not_written_down_and_what_may_have_happened_is() {
        let (watcher, journal) = watcher();
        let outcomes = || -> Vec<String> {
            let entries = journal.entries(&Filter::default()).unwrap();
            let outcome = |entry: crate::journal::Entry| match entry.what {
                What::Change(change) => Some(change.outcome),
                What::Happening { .. } => None,
            };
            entries.into_iter().filter_map(outcome).collect()
        };
        for outcome in [ChangeOutcome::Skipped, ChangeOutcome::Planned, ChangeOutcome::Applied] {
            ended(&watcher, outcome);
        }
        assert_eq!(outcomes(), ["applied"]);
        watcher.event(Event::Begun(&withdrawal(), WHY));
        watcher.give_up("it ended");
        watcher.give_up("and is told once");
        assert_eq!(outcomes(), ["applied", "unconfirmed"]);
        let (done, trouble) = watcher.take();
        assert_eq!((done.len(), trouble), (4, None));
        let last = done.last().unwrap();
        assert_eq!(
            (last.report.error.as_deref(), last.key.as_ref().map(|(key, ttl, _)| (key, *ttl))),
            (Some("it ended"), Some((&key(), Ttl::DEFAULT)))
        );
        assert_eq!(last.report.reason, WHY, "as it would have been told at its end");
        assert!(watcher.take().0.is_empty());
    }
}
