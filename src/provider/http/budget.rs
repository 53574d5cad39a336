//! The requests that one credential may send, paced by configured windows and by what the service says is left.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::meter::{Meter, Metered};
use super::quota::{self, Class, Quota};

/// So many requests in any stretch of so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many.
    pub requests: usize,
    /// How long.
    pub per: Duration,
}

/// The requests that one credential may send.
///
/// A send waits its turn, in order of arrival, while a window is full or nothing is left. What is counted is the
/// time at which an answer came, not the one at which the request left, so that the service's own count, which
/// lies between the two, can never exceed the window. A 429 stops the whole budget, sub-budgets included.
pub struct Budget {
    name: String,
    /// What the whole credential is held to.
    credential: Arc<Lane>,
    /// What this part of it is held to besides.
    parts: Vec<Arc<Lane>>,
    /// What the whole credential was used for.
    pub(super) meter: Arc<Meter>,
    within: Mutex<BTreeMap<String, Arc<Budget>>>,
}

impl Budget {
    /// The budget of one credential; `name` is for logs.
    #[must_use]
    pub fn new(name: impl Into<String>, windows: &[Window]) -> Arc<Self> {
        let (name, credential) = (name.into(), Lane::new(windows));
        let meter = Arc::new(Meter::named(&name));
        Arc::new(Self { name, credential, parts: Vec::new(), meter, within: Mutex::default() })
    }

    /// The part of this budget that `key` (a zone, a kind of call) is held to besides; the same for the same key.
    #[must_use]
    pub fn within(&self, key: &str, windows: &[Window]) -> Arc<Self> {
        let mut within = lock(&self.within);
        let make = || {
            let parts = std::iter::once(Lane::new(windows)).chain(self.parts.iter().cloned()).collect();
            let (name, credential) = (format!("{}/{key}", self.name), Arc::clone(&self.credential));
            Arc::new(Self {
                name,
                credential,
                parts,
                meter: Arc::clone(&self.meter),
                within: Mutex::default(),
            })
        };
        Arc::clone(within.entry(key.to_owned()).or_insert_with(make))
    }

    /// Keeps every request of the credential waiting until `until`.
    pub fn block(&self, until: Instant) {
        let mut state = self.credential.state();
        if state.blocked.is_none_or(|blocked| blocked < until) {
            let seconds = until.saturating_duration_since(Instant::now()).as_secs_f64();
            tracing::debug!(budget = %self.name, seconds, "the service asks to wait");
            state.blocked = Some(until);
        }
    }

    fn is_asked_to_wait(&self) -> bool {
        self.credential.state().blocked.is_some_and(|until| until > Instant::now())
    }

    /// Waits for a turn; the error is how long the service asks to wait, when that is beyond `deadline`, which moves
    /// on while others are waited for: that queue is of our own making.
    pub(super) async fn acquire(&self, method: &Method, deadline: Instant) -> Result<Turn<'_>, Duration> {
        let (class, began) = (Class::of(method), Instant::now());
        let mut turn = Turn { admitted: Vec::new(), asked: Duration::ZERO, sent: false };
        for lane in self.parts.iter().chain([&self.credential]) {
            let _first_in_line = lane.line.lock().await;
            loop {
                let now = Instant::now();
                let deadline = deadline + (now - began).saturating_sub(turn.asked);
                match lane.admit(class, now) {
                    Admission::Granted => break,
                    Admission::Asked(until) if until > deadline => return Err(until - now),
                    Admission::Asked(until) => {
                        turn.asked += until - now;
                        sleep_until(until).await;
                    }
                    Admission::Full(Some(until)) => sleep_until(until).await,
                    Admission::Full(None) => lane.answered.notified().await,
                }
            }
            turn.admitted.push(lane);
        }
        turn.sent = true;
        Ok(turn)
    }

    /// Takes note of the quota headers of an answer to a request that still holds its turn.
    pub(super) fn learn(&self, method: &Method, headers: &HeaderMap) {
        let mut state = self.credential.state();
        let others = state.in_flight.saturating_sub(1);
        let stated = quota::stated(headers, Instant::now());
        if let Some(left) = stated.iter().map(|(_, quota)| quota.left).min() {
            self.meter.left(left as u64);
        }
        for (class, quota) in stated {
            if class.is_none_or(|class| class == Class::of(method)) {
                let left = quota.left.saturating_sub(others);
                state.quotas.insert(class, Quota { left, ..quota });
            }
        }
        if let Some(windows) = quota::policies(headers) {
            state.stated = windows;
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({})", self.name)
    }
}

/// The leave to send one request. Counted from when it is dropped, which is when the answer has come.
pub(super) struct Turn<'b> {
    admitted: Vec<&'b Lane>,
    asked: Duration,
    sent: bool,
}

impl Turn<'_> {
    /// How much of the waiting was at the service's request.
    pub(super) fn asked_to_wait(&self) -> Duration {
        self.asked
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        for lane in &self.admitted {
            lane.finish(self.sent);
        }
    }
}

/// The budgets of a process, one for each credential.
#[derive(Default)]
pub(super) struct Registry {
    seed: RandomState,
    budgets: Mutex<HashMap<(String, u64), Arc<Budget>>>,
    /// What those were used for that nobody has any more, a sum for each name.
    former: Mutex<BTreeMap<String, Metered>>,
}

impl Registry {
    /// What each was used for, by name.
    pub(super) fn metered(&self) -> Vec<Metered> {
        let mut by_name = lock(&self.former).clone();
        lock(&self.budgets).values().for_each(|budget| add(&mut by_name, budget.meter.read()));
        by_name.into_values().collect()
    }

    pub(super) fn of(&self, name: &str, credential: &str, windows: &[Window]) -> Arc<Budget> {
        let key = (name.to_owned(), self.seed.hash_one(credential));
        let mut budgets = lock(&self.budgets);
        if !budgets.contains_key(&key) {
            // Tokens come and go for as long as a service lives.
            budgets.retain(|_, budget| {
                let used = Arc::strong_count(budget) > 1 || budget.is_asked_to_wait();
                if !used {
                    add(&mut lock(&self.former), Metered { left: None, ..budget.meter.read() });
                }
                used
            });
        }
        Arc::clone(budgets.entry(key).or_insert_with(|| Budget::new(name, windows)))
    }
}

fn add(sums: &mut BTreeMap<String, Metered>, one: Metered) {
    let sum = match sums.remove(&one.budget) {
        Some(sum) => sum.and(&one),
        None => one,
    };
    sums.insert(sum.budget.clone(), sum);
}

/// One limit and those who wait for it.
struct Lane {
    windows: Vec<Window>,
    /// Held by the first in line while it waits; fair, so the line is in order of arrival.
    line: tokio::sync::Mutex<()>,
    answered: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    /// When answers came, oldest first, as far back as the longest window.
    finished: VecDeque<Instant>,
    blocked: Option<Instant>,
    quotas: HashMap<Option<Class>, Quota>,
    /// Windows that the service stated.
    stated: Vec<Window>,
}

enum Admission {
    Granted,
    /// The service asks to wait.
    Asked(Instant),
    /// A window is full; until then, or until an answer comes.
    Full(Option<Instant>),
}

impl Lane {
    fn new(windows: &[Window]) -> Arc<Self> {
        Arc::new(Self {
            windows: windows.to_vec(),
            line: tokio::sync::Mutex::default(),
            answered: Notify::new(),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn admit(&self, class: Class, now: Instant) -> Admission {
        let mut state = self.state();
        let state = &mut *state;
        if let Some(until) = state.blocked.filter(|until| *until > now) {
            return Admission::Asked(until);
        }
        state.quotas.retain(|_, quota| quota.until > now);
        let spent = |(kind, quota): (&Option<Class>, &Quota)| {
            (kind.is_none_or(|kind| kind == class) && quota.left == 0).then_some(quota.until)
        };
        if let Some(until) = state.quotas.iter().filter_map(spent).max() {
            return Admission::Asked(until);
        }
        let windows = || self.windows.iter().chain(&state.stated);
        if let Some(longest) = windows().map(|window| window.per).max() {
            while state.finished.front().is_some_and(|finished| *finished + longest <= now) {
                state.finished.pop_front();
            }
        } else {
            state.finished.clear();
        }
        for window in windows() {
            let mut recent = state.finished.iter().rev().take_while(|finished| **finished + window.per > now);
            let room = window.requests.max(1).saturating_sub(state.in_flight);
            if room == 0 {
                return Admission::Full(None);
            }
            // The `room`-th latest answer must have left the window.
            if let Some(finished) = recent.nth(room - 1) {
                return Admission::Full(Some(*finished + window.per));
            }
        }
        for (kind, quota) in &mut state.quotas {
            if kind.is_none_or(|kind| kind == class) {
                quota.left -= 1;
            }
        }
        state.in_flight += 1;
        Admission::Granted
    }

    fn finish(&self, sent: bool) {
        let mut state = self.state();
        state.in_flight -= 1;
        if sent {
            state.finished.push_back(Instant::now());
        }
        drop(state);
        self.answered.notify_one();
    }
}

/// A poisoned lock guards counters that are valid after any interruption.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn window(requests: usize, ms: u64) -> Window {
        Window { requests, per: Duration::from_millis(ms) }
    }

    #[tokio::test]
    async fn a_window_is_never_exceeded_however_many_wait() {
        let budget = Budget::new("test", &[window(5, 150)]);
        let finished = Mutex::new(Vec::new());
        let send = async || {
            let turn = budget.acquire(&Method::GET, far()).await.unwrap();
            let started = Instant::now();
            tokio::time::sleep(Duration::from_millis(3)).await;
            lock(&finished).push((started, Instant::now()));
            drop(turn);
        };
        futures::future::join_all((0..23).map(|_| send())).await;
        let times = finished.into_inner().unwrap();
        assert_eq!(times.len(), 23);
        for (_, since) in &times {
            // The service counts each request at some moment between its leaving and its answer: this many could
            // fall into the window that begins here.
            let until = *since + Duration::from_millis(150);
            let within = times.iter().filter(|(left, answered)| answered >= since && *left < until).count();
            assert!(within <= 5, "{within} requests may be counted within one window");
        }
    }

    #[tokio::test]
    async fn a_sub_budget_is_held_to_both_limits_and_is_the_same_for_the_same_key() {
        let budget = Budget::new("test", &[window(3, 200)]);
        let zone = budget.within("zone", &[window(2, 200)]);
        assert!(Arc::ptr_eq(&zone, &budget.within("zone", &[])));
        let started = Instant::now();
        for _ in 0..2 {
            drop(zone.acquire(&Method::PUT, far()).await.unwrap());
        }
        drop(budget.acquire(&Method::PUT, far()).await.unwrap());
        assert!(started.elapsed() < Duration::from_millis(150), "the budgets allow three at once");
        drop(budget.within("other", &[]).acquire(&Method::PUT, far()).await.unwrap());
        assert!(started.elapsed() >= Duration::from_millis(200), "the fourth of the credential waits");
    }

    #[tokio::test]
    async fn a_block_of_one_part_stops_the_whole_and_says_how_long() {
        let budget = Budget::new("test", &[]);
        let zone = budget.within("zone", &[]);
        zone.block(Instant::now() + Duration::from_secs(30));
        let refused = budget.acquire(&Method::GET, Instant::now() + Duration::from_secs(10)).await;
        let delay = refused.err().expect("thirty seconds are beyond ten");
        assert!(delay > Duration::from_secs(29) && delay <= Duration::from_secs(30), "{delay:?}");
    }

    #[tokio::test]
    async fn what_the_service_says_is_left_is_kept_to() {
        let budget = Budget::new("test", &[]);
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit", "\"default\";r=1;t=1".parse().unwrap());
        let turn = budget.acquire(&Method::GET, far()).await.unwrap();
        budget.learn(&Method::GET, &headers);
        drop(turn);
        let started = Instant::now();
        drop(budget.acquire(&Method::GET, far()).await.unwrap());
        assert!(started.elapsed() < Duration::from_millis(500), "one was left");
        drop(budget.acquire(&Method::GET, far()).await.unwrap());
        assert!(started.elapsed() >= Duration::from_millis(900), "then none, for a second");
    }

    /// The queue is of our own making, and what the service asks for after it is as long as ever.
    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_window_takes_nothing_from_the_time_that_the_service_may_ask_for() {
        let budget = Budget::new("test", &[]);
        let zone = budget.within("zone", &[window(1, 60_000)]);
        drop(zone.acquire(&Method::GET, far()).await.unwrap());
        budget.block(Instant::now() + Duration::from_secs(65));
        let deadline = Instant::now() + Duration::from_secs(10);
        let waited = zone.acquire(&Method::GET, deadline).await;
        assert!(waited.is_ok(), "five seconds were asked for, of ten");
    }

    #[tokio::test]
    async fn a_credential_that_nobody_has_any_more_is_forgotten_and_what_it_was_used_for_is_not() {
        let registry = Registry::default();
        let waits = registry.of("test", "waits", &[]);
        waits.block(far());
        drop(waits);
        for token in 0..3 {
            registry.of("test", &token.to_string(), &[]).meter.count(crate::provider::http::Ended::Ok);
        }
        assert_eq!(lock(&registry.budgets).len(), 2, "the last one, and who was asked to wait");
        assert!(registry.of("test", "waits", &[]).is_asked_to_wait());
        let [metered] = registry.metered().try_into().unwrap();
        assert_eq!(metered.attempts, [3, 0, 0, 0, 0, 0]);
    }

    #[tokio::test]
    async fn a_request_that_gives_up_gives_its_turn_back() {
        let budget = Budget::new("test", &[]);
        let zone = budget.within("zone", &[window(1, 60_000)]);
        budget.block(Instant::now() + Duration::from_millis(100));
        assert!(zone.acquire(&Method::GET, Instant::now()).await.is_err());
        tokio::time::sleep(Duration::from_millis(120)).await;
        let again = tokio::time::timeout(Duration::from_secs(1), zone.acquire(&Method::GET, far())).await;
        assert!(again.is_ok(), "the turn that was never used still counts");
    }
}
