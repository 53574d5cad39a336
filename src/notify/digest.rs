//! Many notices at once, told as one: a provider that is down is one story, not one for each name.

use std::collections::BTreeSet;

use super::text::clip;
use super::{Notice, Topic};
use crate::model::plan::counted;

/// The same notices, where those of one topic are more than three as one.
pub(super) fn digest(notices: Vec<Notice>) -> Vec<Notice> {
    let mut told: Vec<Notice> = Vec::new();
    for topic in Topic::ALL {
        let of_it: Vec<&Notice> = notices.iter().filter(|notice| notice.topic == topic).collect();
        if of_it.len() > FEW {
            told.push(together(topic, &of_it));
        } else {
            told.extend(of_it.into_iter().cloned());
        }
    }
    told
}

/// The lines, as far as they are few, and how many more there are.
pub(super) fn few(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    let more = lines.len().saturating_sub(SHOWN);
    if more > 1 {
        lines.truncate(SHOWN);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn together(topic: Topic, notices: &[&Notice]) -> Notice {
    let what = match topic {
        Topic::Address => "address event",
        Topic::Change => "change",
        Topic::Failure => "failure",
        Topic::Refusal => "refusal",
        Topic::Unverified => "failed check",
        Topic::Recovery => "recovery",
        Topic::Service | Topic::Test => "notice",
    };
    let last = notices.iter().max_by_key(|notice| notice.at);
    let count = match topic {
        Topic::Recovery => format!("{} recoveries", notices.len()),
        _ => counted(notices.len(), what),
    };
    let first = notices.first().map(|notice| notice.title.as_str()).unwrap_or_default();
    let step = |notice: &&&Notice| notice.next_step.is_some();
    Notice {
        at: last.map_or(time::OffsetDateTime::UNIX_EPOCH, |notice| notice.at),
        topic,
        owner: last.map(|notice| notice.owner.clone()).unwrap_or_default(),
        subject: String::new(),
        title: format!("{count} at once, the first: {}", clip(first, 100)),
        before: None,
        after: None,
        details: few(notices.iter().map(|notice| notice.title.clone())),
        // Whoever has to act on many begins by looking at all of them.
        next_step: notices.iter().any(|notice| step(&notice)).then(|| "cnamed status".to_owned()),
        repeats: notices.iter().fold(0, |sum, notice| sum.saturating_add(notice.repeats)),
        of: BTreeSet::new(),
    }
}

/// So many notices of one topic are told one by one.
pub(super) const FEW: usize = 3;
/// So many lines are shown of many.
const SHOWN: usize = 10;
