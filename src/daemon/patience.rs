//! What is not answered is left alone for a while, and asked again apart from the rounds.
//!
//! A round ends when everybody has answered, so one provider that hangs would keep it from its end. Behind this, a read
//! that was answered slowly or not at all costs one round a bounded wait, once: from then on rounds are told at once that
//! nothing is known there, and freeze what depends on it, until a read in the background succeeds and [`Away::back`]
//! rings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::pace::{Chance, rest};
use crate::provider::Haste;

/// What is left alone at present, and a bell for its return.
#[derive(Debug, Default)]
pub(super) struct Away {
    ring: Notify,
    absent: Mutex<BTreeMap<String, Absence>>,
}

/// See [`Away::absences`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Absence {
    /// The account; `endpoints` stands for the endpoints' own.
    pub(super) account: String,
    /// When it is tried next.
    pub(super) until: Instant,
    /// Why.
    pub(super) reason: String,
    /// How often it failed in a row.
    pub(super) failures: u32,
    /// Whether it was refused rather than not reached.
    pub(super) denied: bool,
}

impl Away {
    /// Waits until something that was away has answered.
    pub(super) async fn back(&self) {
        self.ring.notified().await;
    }

    /// What is away, an entry for each account: of several parts of one, that which failed most.
    #[must_use]
    pub(super) fn absences(&self) -> Vec<Absence> {
        let mut worst: BTreeMap<String, Absence> = BTreeMap::new();
        for absence in locked(&self.absent).values() {
            let known = worst.entry(absence.account.clone()).or_insert_with(|| absence.clone());
            if absence.failures > known.failures {
                *known = absence.clone();
            }
        }
        worst.into_values().collect()
    }

    /// Whether a credential was not accepted.
    pub(super) fn is_denied(&self) -> bool {
        locked(&self.absent).values().any(|absence| absence.denied)
    }

    fn note(&self, place: &str, absence: Option<Absence>) {
        let mut absent = locked(&self.absent);
        match absence {
            Some(absence) => absent.insert(place.to_owned(), absence),
            None => absent.remove(place),
        };
    }
}

/// One read of one place, which can be repeated.
#[async_trait]
pub(super) trait Errand: Send + Sync + 'static {
    /// What comes of it.
    type Answer: Send;

    /// What is read, among everything that the account holds.
    fn place(&self) -> String;

    /// Reads.
    async fn ask(&self) -> Self::Answer;

    /// What stands for an answer that did not come within `limit`.
    fn late(&self, limit: Duration) -> Self::Answer;

    /// What stands for the answer of a place that is left alone, for this reason.
    fn left_alone(&self, reason: &str) -> Self::Answer;

    /// Why `answer` says that nobody is there, or that nobody may come in; `None` for every other, a refusal of what
    /// was asked among them, which a round tells better.
    fn outage(answer: &Self::Answer) -> Option<Outage>;
}

/// See [`Errand::outage`].
pub(super) struct Outage {
    /// Why, as whoever asks meanwhile is told.
    pub(super) reason: String,
    /// Why, and the operator's next step.
    pub(super) told: String,
    /// See [`Absence::denied`].
    pub(super) denied: bool,
    /// How long the service asked to be left alone.
    pub(super) asked: Option<Duration>,
}

/// The patience that is had with one account: with each of its places for itself.
#[derive(Debug)]
pub(super) struct Patience {
    account: String,
    away: Arc<Away>,
    chance: Chance,
    places: Mutex<BTreeMap<String, Place>>,
}

/// Everything that is known of one place.
#[derive(Debug, Default)]
struct Place {
    /// How long the last answer took.
    took: Option<Duration>,
    failures: u32,
    /// `None` while it answers.
    rest: Option<Rest>,
    /// The reads in the background.
    retry: Option<AbortHandle>,
    /// Whether those are still made by a provider that has been replaced.
    inherited: bool,
}

/// How a place is left alone.
#[derive(Clone, Debug)]
struct Rest {
    reason: String,
    until: Instant,
    denied: bool,
    /// Whether the service itself asked for it.
    asked: bool,
}

impl Patience {
    /// Patience with `account`, which is told of to `away`; `chance` spreads its waits.
    #[must_use]
    pub(super) fn with(account: impl Into<String>, away: Arc<Away>, chance: Chance) -> Arc<Self> {
        Arc::new(Self { account: account.into(), away, chance, places: Mutex::default() })
    }

    /// Runs the errand, unless its place is left alone. Where it fails, it is run again in the background until there
    /// is an answer, whoever waits for it.
    pub(super) async fn read<E: Errand>(self: &Arc<Self>, errand: E) -> E::Answer {
        let limit = {
            let mut places = locked(&self.places);
            let place = places.entry(errand.place()).or_default();
            if let Some(Rest { reason, until, .. }) = place.rest.clone() {
                let answer = errand.left_alone(&reason);
                if std::mem::take(&mut place.inherited) {
                    self.try_again(place, errand, until.saturating_duration_since(Instant::now()));
                }
                return answer;
            }
            place.limit()
        };
        let (answer, took) = asked(&errand, limit).await;
        match E::outage(&answer) {
            None => self.well(&errand.place(), took),
            // Several may have asked at once: that is one failure.
            Some(_) if self.rests(&errand.place()) => {}
            Some(outage) => self.ill(errand, outage),
        }
        answer
    }

    /// The secrets were read anew: who was denied is asked with them at once. All others are left alone for as long as
    /// before, and then it is the provider of the next read that asks.
    pub(super) fn renew(&self) {
        for (name, place) in locked(&self.places).iter_mut() {
            match &place.rest {
                Some(rest) if rest.denied => {
                    place.stop();
                    place.rest = None;
                    self.away.note(&self.whole(name), None);
                }
                Some(_) => place.inherited = true,
                None => {}
            }
        }
    }

    /// What kept it away may have been mended: the next read asks, but for whoever asked to be left alone.
    pub(super) fn hurry(&self) {
        for (name, place) in locked(&self.places).iter_mut() {
            if place.rest.as_ref().is_some_and(|rest| !rest.asked) {
                place.stop();
                place.rest = None;
                self.away.note(&self.whole(name), None);
            }
        }
    }

    /// How long the slowest of its places took to answer.
    pub(super) fn takes(&self) -> Duration {
        locked(&self.places).values().filter_map(|place| place.took).max().unwrap_or_default()
    }

    fn well(&self, place: &str, took: Duration) {
        let mut places = locked(&self.places);
        let known = places.entry(place.to_owned()).or_default();
        (known.rest, known.failures, known.took) = (None, 0, Some(took));
        self.away.note(&self.whole(place), None);
    }

    fn rests(&self, place: &str) -> bool {
        locked(&self.places).get(place).is_some_and(|place| place.rest.is_some())
    }

    /// Leaves the place alone, and tries it in the background until it answers.
    fn ill<E: Errand>(self: &Arc<Self>, errand: E, outage: Outage) {
        let place = errand.place();
        let pause = self.leave_alone(&place, outage);
        let mut places = locked(&self.places);
        let known = places.entry(place).or_default();
        if known.retry.as_ref().is_none_or(AbortHandle::is_finished) {
            self.try_again(known, errand, pause);
        }
    }

    /// Tries the place in the background, after `pause` and from then on, in the stead of whoever did so before.
    fn try_again<E: Errand>(self: &Arc<Self>, place: &mut Place, errand: E, pause: Duration) {
        place.stop();
        place.retry = Some(tokio::spawn(again(Arc::downgrade(self), errand, pause)).abort_handle());
    }

    /// Notes that it failed once more; gives how long it is left alone.
    fn leave_alone(&self, place: &str, outage: Outage) -> Duration {
        let Outage { reason, told, denied, asked } = outage;
        let mut places = locked(&self.places);
        let known = places.entry(place.to_owned()).or_default();
        known.failures = known.failures.saturating_add(1);
        let pause = rest(known.failures, asked, self.chance.draw());
        let until = Instant::now() + pause;
        known.rest = Some(Rest { reason, until, denied, asked: asked.is_some() });
        let absence =
            Absence { account: self.account.clone(), until, reason: told, failures: known.failures, denied };
        self.away.note(&self.whole(place), Some(absence));
        pause
    }

    fn whole(&self, place: &str) -> String {
        format!("{}/{place}", self.account)
    }
}

impl Place {
    /// How long a round waits for an answer.
    fn limit(&self) -> Duration {
        self.took.map_or(FIRST_LIMIT, |took| (took * 4).clamp(LEAST_LIMIT, MOST_LIMIT))
    }

    /// Ends the reads in the background.
    fn stop(&mut self) {
        if let Some(retry) = self.retry.take() {
            retry.abort();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs `errand` until there is an answer, or nobody has this patience any more.
async fn again<E: Errand>(patience: Weak<Patience>, errand: E, mut pause: Duration) {
    loop {
        sleep(pause).await;
        let (answer, took) = asked(&errand, MOST_LIMIT).await;
        let Some(patience) = patience.upgrade() else { return };
        match E::outage(&answer) {
            Some(outage) => pause = patience.leave_alone(&errand.place(), outage),
            None => {
                patience.well(&errand.place(), took);
                patience.away.ring.notify_one();
                return;
            }
        }
    }
}

/// The answer that there is within `limit`, and how long it took. That a service asks to wait is an answer: it is left
/// alone for as long, and who looks can see until when.
async fn asked<E: Errand>(errand: &E, limit: Duration) -> (E::Answer, Duration) {
    let began = Instant::now();
    let answer = timeout(limit, Haste::within(limit, LEAST_LIMIT, errand.ask()))
        .await
        .unwrap_or_else(|_| errand.late(limit));
    (answer, began.elapsed())
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Before anything is known of how long it takes.
const FIRST_LIMIT: Duration = Duration::from_secs(15);
const LEAST_LIMIT: Duration = Duration::from_secs(5);
pub(super) const MOST_LIMIT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests;
