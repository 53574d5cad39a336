//! What one notifier has been told, and so what it is told next: pure bookkeeping, with time as a value.
//!
//! Two kinds of things are told. An *event* happened: an address changed, something was written. The same event again
//! within `repeat` is counted instead, and told with the count when `repeat` is over. A *trouble* lasts: it is told when
//! it begins, again after each `repeat`, and once when it is over. What every ledger keeps to:
//!
//! - nothing is told twice within `repeat`, unless that it was over has been told in between;
//! - every trouble that was told is told to be over exactly once, and not before it was seen to be;
//! - an address that does not come to rest is told a few times, each change of it, and from then on now and then: what
//!   comes last of a number of changes, and how many they were;
//! - one that keeps coming back is not told to be over before it has stayed away for a while, longer each time, so that
//!   what flaps is told a few times within `repeat` and no more.

mod restless;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use time::OffsetDateTime;

use self::restless::Restless;
use super::text::moment;
use super::{Notice, Topic};
use crate::model::plan::counted;

/// What one notifier has been told.
///
/// `now` is always the time since any fixed moment on a clock that never runs backwards: a wall clock that jumps is no
/// reason to repeat anything, or to keep it back.
#[derive(Debug)]
pub struct Ledger {
    repeat: Duration,
    troubles: BTreeMap<Key, Trouble>,
    events: BTreeMap<(Key, Option<String>, Option<String>), Event>,
    restless: BTreeMap<(String, Option<String>), Restless>,
}

/// What makes two troubles the same.
type Key = (Topic, String, String);

/// What is known of one trouble.
#[derive(Debug)]
struct Trouble {
    state: State,
    /// As it was first told, but for what it is about, which is what it was found to be about last.
    first: Notice,
    began: Duration,
    told: Duration,
    /// How often it was noticed, and how often of that since it was told last.
    seen: u32,
    untold: u32,
    /// How often it has come back within `repeat`.
    returns: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Standing,
    /// Away since then; not long enough to be told.
    Away(Duration),
    /// Told to be over, then.
    Over(Duration),
}

#[derive(Debug)]
struct Event {
    last: Notice,
    told: Duration,
    untold: u32,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(repeat: Duration) -> Self {
        Self { repeat, troubles: BTreeMap::new(), events: BTreeMap::new(), restless: BTreeMap::new() }
    }

    /// Holds to another `repeat` from now on.
    pub fn set_repeat(&mut self, repeat: Duration) {
        self.repeat = repeat;
    }

    /// Something happened; what is to be told of it now.
    pub fn event(&mut self, now: Duration, notice: Notice) -> Option<Notice> {
        match notice.topic {
            Topic::Test => return Some(notice),
            Topic::Address => {}
            _ => return self.merged(now, notice),
        }
        // What asks for another step of the operator's never waits for what does not.
        let of = (notice.subject.clone(), notice.next_step.clone());
        self.restless.entry(of).or_default().take(now, self.repeat, notice)
    }

    /// What is to be told of an event that may only repeat an earlier one.
    fn merged(&mut self, now: Duration, notice: Notice) -> Option<Notice> {
        let id = (key(&notice), notice.before.clone(), notice.after.clone());
        if let Some(event) = self.events.get_mut(&id) {
            if since(event.told, now) < self.repeat {
                event.untold = event.untold.saturating_add(1);
                event.last = notice;
                return None;
            }
            let told = Notice { repeats: event.untold, ..notice };
            *event = Event { last: told.clone(), told: now, untold: 0 };
            return Some(told);
        }
        if self.events.len() >= MOST {
            // What was told longest ago is forgotten: it may be told again a little early.
            let oldest = self.events.iter().min_by_key(|(_, event)| event.told).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.events.remove(&id));
        }
        self.events.insert(id, Event { last: notice.clone(), told: now, untold: 0 });
        Some(notice)
    }

    /// A round has ended with these notices: every trouble that it found, and what happened in it. What is to be told
    /// now: the troubles, those that are over, and what happened.
    ///
    /// A trouble with anything that the round left `unsettled` is not over because it was not found.
    pub fn round(
        &mut self,
        now: Duration,
        at: OffsetDateTime,
        notices: &[Notice],
        unsettled: &BTreeSet<String>,
    ) -> Vec<Notice> {
        let mut told = Vec::new();
        let (troubles, events): (Vec<&Notice>, Vec<&Notice>) =
            notices.iter().partition(|notice| is_found_by_rounds(notice.topic));
        let found: BTreeSet<Key> = troubles.iter().map(|notice| key(notice)).collect();
        for notice in troubles {
            told.extend(self.trouble(now, notice.clone()));
        }
        let mut gone: Vec<Key> = Vec::new();
        for (key, trouble) in &mut self.troubles {
            if !is_found_by_rounds(key.0) || found.contains(key) {
                continue;
            }
            if trouble.first.of.is_disjoint(unsettled) {
                gone.push(key.clone());
            } else if let State::Away(_) = trouble.state {
                // Whether it stayed away nobody knows.
                trouble.state = State::Standing;
            }
        }
        for key in gone {
            told.extend(self.away(now, at, &key));
        }
        for notice in events {
            told.extend(self.event(now, notice.clone()));
        }
        told.extend(self.due(now, at));
        told
    }

    /// A trouble was found; what is to be told of it now.
    pub fn trouble(&mut self, now: Duration, notice: Notice) -> Option<Notice> {
        let key = key(&notice);
        let returns = match self.troubles.get_mut(&key) {
            Some(trouble) if !matches!(trouble.state, State::Over(_)) => {
                trouble.state = State::Standing;
                trouble.first.of.clone_from(&notice.of);
                trouble.seen = trouble.seen.saturating_add(1);
                if since(trouble.told, now) < self.repeat {
                    trouble.untold = trouble.untold.saturating_add(1);
                    return None;
                }
                let told = Notice { repeats: trouble.untold, ..notice };
                (trouble.told, trouble.untold) = (now, 0);
                return Some(told);
            }
            Some(Trouble { state: State::Over(then), returns, .. }) if since(*then, now) < self.repeat => {
                *returns + 1
            }
            _ => 0,
        };
        let state = State::Standing;
        let first = notice.clone();
        self.troubles
            .insert(key, Trouble { state, first, began: now, told: now, seen: 1, untold: 0, returns });
        Some(notice)
    }

    /// The trouble of that topic, subject and title is over; what is to be told of it now.
    pub fn over(
        &mut self,
        now: Duration,
        at: OffsetDateTime,
        topic: Topic,
        subject: &str,
        title: &str,
    ) -> Option<Notice> {
        self.away(now, at, &(topic, subject.to_owned(), title.to_owned()))
    }

    /// What has waited for its time, and now is to be told.
    pub fn due(&mut self, now: Duration, at: OffsetDateTime) -> Vec<Notice> {
        let repeat = self.repeat;
        let away = |trouble: &Trouble| matches!(trouble.state, State::Away(_));
        let waiting: Vec<Key> =
            self.troubles.iter().filter(|(_, trouble)| away(trouble)).map(|(key, _)| key.clone()).collect();
        let mut told: Vec<Notice> = waiting.iter().filter_map(|key| self.away(now, at, key)).collect();
        self.troubles
            .retain(|_, trouble| !matches!(trouble.state, State::Over(then) if since(then, now) >= repeat));
        self.events.retain(|_, event| {
            if since(event.told, now) < repeat {
                return true;
            }
            if event.untold == 0 {
                return false;
            }
            // The last of them is the one that is told.
            event.last.repeats = event.untold - 1;
            told.push(event.last.clone());
            (event.told, event.untold) = (now, 0);
            true
        });
        told.extend(self.restless.values_mut().filter_map(|restless| restless.due(now, repeat)));
        self.restless.retain(|_, restless| restless.is_fresh(now, repeat));
        told
    }

    /// Whether it keeps anything at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.troubles.is_empty() && self.events.is_empty() && self.restless.is_empty()
    }

    fn away(&mut self, now: Duration, at: OffsetDateTime, key: &Key) -> Option<Notice> {
        let repeat = self.repeat;
        let trouble = self.troubles.get_mut(key)?;
        let gone = match trouble.state {
            State::Standing => now,
            State::Away(gone) => gone,
            State::Over(_) => return None,
        };
        if since(gone, now) < calm(repeat, trouble.returns) {
            trouble.state = State::Away(gone);
            return None;
        }
        trouble.state = State::Over(now);
        Some(recovery(trouble, gone, at))
    }
}

/// Whether a round that does not find it says that it is over.
fn is_found_by_rounds(topic: Topic) -> bool {
    matches!(topic, Topic::Failure | Topic::Refusal | Topic::Unverified)
}

fn key(notice: &Notice) -> Key {
    (notice.topic, notice.subject.clone(), notice.title.clone())
}

fn since(then: Duration, now: Duration) -> Duration {
    now.saturating_sub(then)
}

/// How long a trouble that has come back so often has to stay away until it is told to be over: not at all, then a
/// sixteenth of `repeat`, and twice as long each time.
fn calm(repeat: Duration, returns: u32) -> Duration {
    match returns {
        0 => Duration::ZERO,
        returns => (repeat / 16).saturating_mul(1 << (returns - 1).min(4)),
    }
}

fn recovery(trouble: &Trouble, gone: Duration, at: OffsetDateTime) -> Notice {
    let Trouble { first, began, seen, .. } = trouble;
    let times = counted(
        *seen as usize,
        match first.topic {
            Topic::Refusal => "refusal",
            Topic::Unverified => "failed check",
            _ => "failure",
        },
    );
    let lasted = Duration::from_secs(since(*began, gone).as_secs());
    let lasted = if lasted.is_zero() {
        "less than a second".into()
    } else {
        humantime::format_duration(lasted).to_string()
    };
    Notice {
        at,
        // What is wrong with the service itself is one topic from its beginning to its end.
        topic: if first.topic == Topic::Service { Topic::Service } else { Topic::Recovery },
        owner: first.owner.clone(),
        subject: first.subject.clone(),
        title: format!("recovered after {times}: {}", first.title),
        before: None,
        after: None,
        details: vec![format!("it began at {} and lasted {lasted}", moment(first.at))],
        next_step: None,
        repeats: 0,
        of: BTreeSet::new(),
    }
}

/// Events that are remembered at once.
const MOST: usize = 256;
