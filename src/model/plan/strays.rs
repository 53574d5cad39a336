//! Records of ours that the configuration does not name any more.

use std::collections::HashSet;

use super::derive::{Planner, sorted};
use super::{RecordChange, Subject};
use crate::model::endpoint::Handle;
use crate::model::state::RecordKey;

impl<'p> Planner<'p> {
    /// Marked records that the configuration no longer names.
    pub(super) fn strays(&mut self) {
        let hiding = self.hiding();
        // Both are in order, so one walk along the two finds every key that only one of them has.
        let mut named = self.desired.records.keys().peekable();
        for key in self.observed.records.keys() {
            while named.next_if(|name| *name < key).is_some() {}
            if named.peek() == Some(&key) {
                continue;
            }
            let before = sorted(self.ours(key));
            if before.is_empty() {
                continue;
            }
            if let Some(unreadable) = self.unreadable(key) {
                self.block(Subject::Record(key.clone()), &unreadable, false);
            } else if self.zones.of(key).is_err() {
                let waits_for = format!("one zone of {} to answer for it", key.account);
                self.block(Subject::Record(key.clone()), &waits_for, false);
            } else if hiding.contains(&key.account) {
                let waits_for =
                    format!("all of {} to be read: how many more would go is not known", key.account);
                self.block(Subject::Record(key.clone()), &waits_for, false);
            } else {
                let change = RecordChange { key: key.clone(), before, after: None };
                self.write(
                    key,
                    None,
                    change,
                    "carries our mark, and the configuration does not name it".into(),
                );
            }
        }
    }

    /// The accounts in which marked records may hide: the apex stands for a zone that could not be searched, and a name that
    /// nobody wants may be one.
    fn hiding(&self) -> HashSet<&'p Handle> {
        let hides = |key: &RecordKey| {
            !self.desired.records.contains_key(key)
                || self.zones.of(key).is_ok_and(|zone| zone.name.apex() == &key.name)
        };
        let unread =
            self.observed.records.iter().filter(|(key, seen)| seen.unknown().is_some() && hides(key));
        unread.map(|(key, _)| &key.account).collect()
    }
}
