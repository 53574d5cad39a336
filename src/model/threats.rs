//! Failed logons: how many there were before and after a moment, by whom, from where, and what the counts are worth.
//!
//! A count of zero is worth something only where records of any kind arrived: a machine whose agent stopped reports
//! no failed logon either. Each span therefore carries both figures.

use std::cmp::Reverse;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;

use super::moment;

/// What kind of machine a logon was tried at, and with it the table that tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// Security event 4625, "an account failed to log on".
    Windows,
    /// What sshd says of passwords and users that it does not take.
    Linux,
}

impl Platform {
    /// Both, in the order in which they are told.
    pub const ALL: [Self; 2] = [Self::Windows, Self::Linux];

    /// The table of Azure Monitor Logs.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Windows => "SecurityEvent",
            Self::Linux => "Syslog",
        }
    }
}

/// A stretch of time: its first moment, and the first that is no longer in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Span {
    /// The first moment.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub from: OffsetDateTime,
    /// The first moment after it.
    #[serde(serialize_with = "moment::serialize")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: OffsetDateTime,
}

impl Span {
    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::try_from(self.until - self.from).unwrap_or_default()
    }
}

/// The spans that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Spans {
    /// Before the gateway went up; before now, where that is unknown.
    pub before: Span,
    /// After it, as far as that has passed.
    pub after: Option<Span>,
}

impl Spans {
    /// The `length` before `up`, and as much of the `length` after it as has passed by `now`. To the millisecond.
    ///
    /// `None` when `up` is yet to come, or the calendar does not reach back so far.
    #[must_use]
    pub fn around(up: OffsetDateTime, length: Duration, now: OffsetDateTime) -> Option<Self> {
        let (up, now) = (whole(up), whole(now));
        if up > now {
            return None;
        }
        let before = Span { from: up.checked_sub(signed(length)?)?, until: up };
        let until = up.checked_add(signed(length)?).map_or(now, |end| end.min(now));
        let after = (until > up).then_some(Span { from: up, until });
        Some(Self { before, after })
    }

    /// The `length` before `now`, where nobody knows when the gateway went up.
    #[must_use]
    pub fn until(now: OffsetDateTime, length: Duration) -> Option<Self> {
        let now = whole(now);
        Some(Self { before: Span { from: now.checked_sub(signed(length)?)?, until: now }, after: None })
    }

    /// The first moment that is in neither.
    #[must_use]
    pub fn end(&self) -> OffsetDateTime {
        self.after.map_or(self.before.until, |after| after.until)
    }
}

/// What was seen in one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Records of any kind; with none, the number of failed logons says nothing.
    pub records: u64,
    /// Failed logons.
    pub failed: u64,
}

/// An account or an address, with the failed logons that are its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Share {
    /// The account or the address, as whoever tried to log on wrote it: not to be shown as it is.
    pub name: String,
    /// Failed logons before.
    pub before: u64,
    /// Failed logons after.
    pub after: u64,
}

impl Share {
    /// Both spans together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.before.saturating_add(self.after)
    }
}

/// What one table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Before.
    pub before: Count,
    /// After; nothing where that is not asked.
    pub after: Count,
    /// The accounts with the most failed logons, most first.
    pub accounts: Vec<Share>,
    /// The addresses with the most failed logons, most first.
    pub addresses: Vec<Share>,
    /// What the service says that it left out, if it does.
    pub partial: Option<String>,
}

impl Figures {
    /// The same with its shares in order: most first, and by name where they are equal.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        for shares in [&mut self.accounts, &mut self.addresses] {
            shares.sort_by(|a, b| (Reverse(a.total()), &a.name).cmp(&(Reverse(b.total()), &b.name)));
            shares.truncate(TOP);
        }
        self
    }
}

/// What became of asking one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It was read.
    Collected(Figures),
    /// The workspace has no such table: nobody sends it what it would hold.
    NotCollected,
    /// It could not be read, for the reason given.
    Unread(String),
}

impl Reading {
    /// The figures, where there are any.
    #[must_use]
    pub fn figures(&self) -> Option<&Figures> {
        match self {
            Self::Collected(figures) => Some(figures),
            Self::NotCollected | Self::Unread(_) => None,
        }
    }
}

/// How asking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every table answered, be it that it is not there.
    Answered,
    /// Something could not be read, or not all of it.
    Partial,
    /// Nothing could be read.
    Failed,
}

/// What every table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The spans that were asked for.
    pub spans: Spans,
    /// The tables.
    pub readings: Vec<(Platform, Reading)>,
}

impl Report {
    /// How asking ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let unread =
            self.readings.iter().filter(|(_, reading)| matches!(reading, Reading::Unread(_))).count();
        let cut = self.figures().any(|figures| figures.partial.is_some());
        match unread {
            0 if cut => Outcome::Partial,
            0 => Outcome::Answered,
            all if all == self.readings.len() => Outcome::Failed,
            _ => Outcome::Partial,
        }
    }

    /// Failed logons before, over all tables; `None` where no record of any kind arrived.
    #[must_use]
    pub fn before(&self) -> Option<u64> {
        sum(self.figures().map(|figures| figures.before))
    }

    /// Failed logons after, over all tables; `None` where no record of any kind arrived, or nothing was asked.
    #[must_use]
    pub fn after(&self) -> Option<u64> {
        self.spans.after?;
        sum(self.figures().map(|figures| figures.after))
    }

    fn figures(&self) -> impl Iterator<Item = &Figures> {
        self.readings.iter().filter_map(|(_, reading)| reading.figures())
    }
}

fn sum(counts: impl Iterator<Item = Count>) -> Option<u64> {
    counts
        .filter(|count| count.records > 0)
        .fold(None, |sum, count| Some(sum.unwrap_or(0_u64).saturating_add(count.failed)))
}

/// To the millisecond: every service can say that much.
fn whole(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_millisecond(at.millisecond()).unwrap_or(at)
}

fn signed(length: Duration) -> Option<time::Duration> {
    time::Duration::try_from(length).ok()
}

/// How many accounts and how many addresses are told of.
pub const TOP: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).unwrap()
    }

    fn read(before: (u64, u64), after: (u64, u64)) -> Reading {
        let count = |(records, failed)| Count { records, failed };
        Reading::Collected(Figures { before: count(before), after: count(after), ..Figures::default() })
    }

    fn report(windows: Reading, linux: Reading) -> Report {
        let spans = Spans::around(at(0), HOUR, at(7200)).unwrap();
        Report { spans, readings: vec![(Platform::Windows, windows), (Platform::Linux, linux)] }
    }

    #[test]
    fn the_span_after_ends_with_the_present_and_a_moment_to_come_has_none() {
        let long = Spans::around(at(0), HOUR, at(9000)).unwrap();
        assert_eq!((long.before.from, long.end()), (at(-3600), at(3600)));
        let short = Spans::around(at(0), HOUR, at(60)).unwrap();
        assert_eq!(short.after.unwrap().length(), Duration::from_secs(60));
        assert_eq!(Spans::around(at(0), HOUR, at(0)).unwrap().after, None);
        assert_eq!(Spans::around(at(1), HOUR, at(0)), None);
        let odd = at(0) + Duration::from_nanos(1_234_567);
        assert_eq!(Spans::until(odd, HOUR).unwrap().end(), at(0) + Duration::from_millis(1));
    }

    #[test]
    fn nothing_recorded_is_not_none() {
        let silent = report(read((9, 4), (0, 0)), Reading::NotCollected);
        assert_eq!((silent.before(), silent.after()), (Some(4), None));
        let quiet = report(read((9, 4), (7, 0)), read((2, 1), (0, 0)));
        assert_eq!((quiet.before(), quiet.after()), (Some(5), Some(0)));
    }

    #[test]
    fn the_outcome_counts_what_could_not_be_read() {
        let unread = || Reading::Unread("so".into());
        assert_eq!(report(Reading::NotCollected, Reading::NotCollected).outcome(), Outcome::Answered);
        assert_eq!(report(read((1, 1), (1, 1)), unread()).outcome(), Outcome::Partial);
        assert_eq!(report(Reading::NotCollected, unread()).outcome(), Outcome::Partial);
        assert_eq!(report(unread(), unread()).outcome(), Outcome::Failed);
        let cut = Figures { partial: Some("cut".into()), ..Figures::default() };
        assert_eq!(report(Reading::Collected(cut), Reading::NotCollected).outcome(), Outcome::Partial);
    }

    #[test]
    fn shares_come_most_first_and_no_more_than_ten() {
        let share = |name: &str, before, after| Share { name: name.into(), before, after };
        let mut accounts: Vec<Share> = (0..12).map(|n| share(&format!("n{n:02}"), 1, 0)).collect();
        accounts.push(share("most", u64::MAX, 1));
        let ordered = Figures { accounts, ..Figures::default() }.ordered().accounts;
        assert_eq!(ordered.len(), TOP);
        assert_eq!((ordered[0].name.as_str(), ordered[1].name.as_str()), ("most", "n00"));
    }
}
