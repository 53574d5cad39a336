//! Changes of one thing that follow each other too fast to be told one by one.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::Notice;
use super::{calm, since};

/// What was told of something that changes, and the last of what was not.
#[derive(Debug, Default)]
pub(super) struct Restless {
    /// When it was told, within the last `repeat`; the latest last.
    told: VecDeque<Duration>,
    /// The last that was held back, and how many they are.
    held: Option<(Notice, u32)>,
}

impl Restless {
    /// It has changed again; what is to be told of it now.
    pub(super) fn take(&mut self, now: Duration, repeat: Duration, notice: Notice) -> Option<Notice> {
        let earlier = self.held.take().map_or(0, |(held, count)| count.saturating_add(held.repeats));
        self.held = Some((notice, earlier.saturating_add(1)));
        self.due(now, repeat)
    }

    /// What was held back for long enough: the first few not at all, the next a sixteenth of `repeat`, and twice as
    /// long each time.
    pub(super) fn due(&mut self, now: Duration, repeat: Duration) -> Option<Notice> {
        while self.told.front().is_some_and(|told| since(*told, now) >= repeat) {
            self.told.pop_front();
        }
        let many = u32::try_from(self.told.len() + 1).unwrap_or(u32::MAX).saturating_sub(FEW);
        let wait = calm(repeat, many);
        if self.told.back().is_some_and(|told| since(*told, now) < wait) {
            return None;
        }
        let (notice, count) = self.held.take()?;
        self.told.push_back(now);
        let repeats = notice.repeats.saturating_add(count.saturating_sub(1));
        Some(Notice { repeats, ..notice })
    }

    /// Whether there is anything to be remembered of it.
    pub(super) fn is_fresh(&self, now: Duration, repeat: Duration) -> bool {
        self.held.is_some() || self.told.back().is_some_and(|told| since(*told, now) < repeat)
    }
}

/// Changes within `repeat` that are told as they come.
const FEW: u32 = 3;
