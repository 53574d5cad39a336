//! What was sent, and what came of it.

use std::sync::Mutex;

use super::budget::lock;

/// What one budget has been used for since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metered {
    /// The budget's name, such as `azure`.
    pub budget: String,
    /// Attempts by how they ended, in the order of [`Ended::ALL`].
    pub attempts: [u64; Ended::ALL.len()],
    /// How many requests are left, as the service last said; none where it never did.
    pub left: Option<u64>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ended {
    /// 2xx or 3xx.
    Ok,
    /// 4xx but 429.
    Refused,
    /// 429.
    Throttled,
    /// 5xx.
    Failed,
    /// No whole answer.
    Broken,
    /// Nobody waited for the answer any more; whether the request arrived is not known.
    Abandoned,
}

impl Ended {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Refused, Self::Throttled, Self::Failed, Self::Broken, Self::Abandoned];

    pub(super) fn with(status: Option<u16>) -> Self {
        match status {
            None => Self::Broken,
            Some(429) => Self::Throttled,
            Some(400..=499) => Self::Refused,
            Some(500..) => Self::Failed,
            Some(_) => Self::Ok,
        }
    }
}

/// Counts for one credential.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Metered>);

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt<'m> {
    meter: &'m Meter,
    ended: Ended,
}

impl Meter {
    pub(super) fn named(budget: &str) -> Self {
        Self(Mutex::new(Metered { budget: budget.to_owned(), ..Metered::default() }))
    }

    pub(super) fn count(&self, ended: Ended) {
        lock(&self.0).attempts[ended as usize] += 1;
    }

    /// An attempt begins, and is counted at its end, whichever that is.
    pub(super) fn attempt(&self) -> Attempt<'_> {
        Attempt { meter: self, ended: Ended::Abandoned }
    }

    pub(super) fn left(&self, left: u64) {
        lock(&self.0).left = Some(left);
    }

    pub(super) fn read(&self) -> Metered {
        lock(&self.0).clone()
    }
}

impl Attempt<'_> {
    pub(super) fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.meter.count(self.ended);
    }
}

impl Metered {
    /// Both together: two credentials may go by one name.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (sum, more) in self.attempts.iter_mut().zip(other.attempts) {
            *sum += more;
        }
        self.left = [self.left, other.left].into_iter().flatten().min();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_ends_somehow() {
        for (status, ended) in [
            (Some(200), Ended::Ok),
            (Some(304), Ended::Ok),
            (Some(404), Ended::Refused),
            (Some(412), Ended::Refused),
            (Some(429), Ended::Throttled),
            (Some(503), Ended::Failed),
            (None, Ended::Broken),
        ] {
            assert_eq!(Ended::with(status), ended);
        }
        for (at, ended) in Ended::ALL.into_iter().enumerate() {
            assert_eq!(ended as usize, at, "counted in the place that is read");
        }
    }

    #[test]
    fn an_attempt_that_nobody_sees_to_its_end_is_counted_too() {
        let meter = Meter::named("b");
        meter.attempt().end(Ended::Ok);
        drop(meter.attempt());
        assert_eq!(meter.read().attempts, [1, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn two_credentials_of_one_name_are_counted_together_and_the_lesser_rest_counts() {
        let metered = |attempts, left| Metered { budget: "b".to_owned(), attempts, left };
        let (spent, fresh) = (metered([1, 0, 2, 0, 0, 2], Some(3)), metered([4, 0, 0, 0, 1, 0], Some(90)));
        for sum in [spent.clone().and(&fresh), fresh.and(&spent)] {
            assert_eq!(sum, metered([5, 0, 2, 0, 1, 2], Some(3)));
        }
        assert_eq!(metered([0; 6], None).and(&spent), spent);
    }
}
