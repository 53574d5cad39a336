//! When the next round begins, as a function of what the last one found.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::telemetry::beat::Beat;

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between rounds that change nothing, before jitter.
    pub interval: Duration,
    /// Between look-ups of the labels.
    pub label_interval: Duration,
}

/// How long ago something changed, counted in rounds: they come fast after a change, then settle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calm(u32);

impl Calm {
    /// Something has just changed.
    pub const NONE: Self = Self(0);
    /// Nothing has changed for a while.
    pub const FULL: Self = Self(u32::MAX);

    /// One round later: `changed` tells whether it changed or found changed anything.
    #[must_use]
    pub fn after(self, changed: bool) -> Self {
        if changed { Self::NONE } else { Self(self.0.saturating_add(1)) }
    }
}

/// What spreads waits: chance, which whoever simulates gives a seed, to live through the same once more.
#[derive(Clone, Debug)]
pub struct Chance(Arc<Mutex<SmallRng>>);

impl Chance {
    /// The same for the same `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))))
    }

    /// From 0 up to 1.
    pub(super) fn draw(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::seeded(rand::rng().random())
    }
}

impl Pace {
    /// How long to wait before the next round. `chance`, from 0 up to 1, spreads what began together: a tenth of
    /// the wait, either way.
    #[must_use]
    pub fn wait(&self, calm: Calm, chance: f64) -> Duration {
        let first = (self.interval / 16).clamp(LEAST, SOON);
        let wait = first.saturating_mul(2_u32.saturating_pow(calm.0));
        spread(wait.min(self.interval), chance)
    }
}

/// How long an account is left alone after so many `failures` in a row; `asked`, which the service asked for, is never
/// undercut.
#[must_use]
pub(super) fn rest(failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let own = (FIRST_REST * 2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(LONGEST_REST);
    let own = spread(own, chance);
    asked.map_or(own, |asked| asked.max(own.min(asked + FIRST_REST)))
}

/// How often to tell that the loop turns: twice within `watched`, after which silence is taken for death, and as often
/// as usual at least.
#[must_use]
pub(super) fn beat(watched: Option<Duration>) -> Duration {
    watched.map_or(Beat::EVERY, |limit| Beat::EVERY.min(limit / 2))
}

fn spread(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
}

/// No round follows another sooner, unless something happens.
const LEAST: Duration = Duration::from_secs(1);
/// How soon after a change to look again at the latest; the waits double from there to the interval.
const SOON: Duration = Duration::from_secs(5);
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { interval: Duration::from_secs(64), label_interval: Duration::from_secs(10) };

    #[test]
    fn rounds_come_fast_after_a_change_and_then_settle() {
        let mut calm = Calm::NONE;
        let mut waits = Vec::new();
        for _ in 0..6 {
            waits.push(PACE.wait(calm, 0.5).as_secs());
            calm = calm.after(false);
        }
        assert_eq!(waits, [4, 8, 16, 32, 64, 64]);
        assert_eq!(PACE.wait(Calm::FULL.after(true), 0.5).as_secs(), 4);
        let slow = Pace { interval: Duration::from_secs(3600), ..PACE };
        assert_eq!(slow.wait(Calm::NONE, 0.5).as_secs(), 5);
        assert_eq!(slow.wait(Calm::FULL, 0.5).as_secs(), 3600);
        assert_eq!(slow.wait(Calm::FULL.after(false), 0.5).as_secs(), 3600);
    }

    #[test]
    fn chance_moves_a_wait_by_a_tenth_and_an_interval_of_a_second_stays_one() {
        assert_eq!(PACE.wait(Calm::FULL, 0.0), Duration::from_millis(57_600));
        assert!(PACE.wait(Calm::FULL, 0.999) < Duration::from_millis(70_400));
        let fast = Pace { interval: Duration::from_millis(200), ..PACE };
        assert_eq!(fast.wait(Calm::NONE, 0.5), Duration::from_millis(200));
    }

    #[test]
    fn a_rest_doubles_up_to_five_minutes_and_never_undercuts_what_was_asked_for() {
        let rests: Vec<u64> = (1..=9).map(|failures| rest(failures, None, 0.5).as_secs()).collect();
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(rest(u32::MAX, None, 0.5).as_secs(), 300);
        for failures in 1..9 {
            let asked = Duration::from_secs(17);
            let rest = rest(failures, Some(asked), 0.0);
            assert!(rest >= asked && rest <= asked + FIRST_REST, "{rest:?}");
        }
        // Asked a little every time, by a service that does not come back: a little longer each time, and no more.
        let asked = |failures| rest(failures, Some(Duration::from_secs(17)), 0.5).as_secs();
        assert_eq!([1, 2, 3, 9].map(asked), [17, 17, 20, 22]);
        let long = rest(1, Some(Duration::from_secs(3600)), 0.5);
        assert_eq!(long.as_secs(), 3600);
    }

    #[test]
    fn who_is_watched_gives_two_signs_within_the_limit_and_no_fewer_than_usual() {
        assert_eq!(beat(None), Duration::from_secs(5));
        assert_eq!(beat(Some(Duration::from_millis(400))), Duration::from_millis(200));
        assert_eq!(beat(Some(Duration::from_secs(3600))), Duration::from_secs(5));
    }
}
