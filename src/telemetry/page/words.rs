//! Times and spans, as a person reads them.

use std::time::Duration;

use time::OffsetDateTime;

/// A span in its two greatest units: `42 s`, `12 min`, `3 h 12 min`, `2 d 4 h`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |great: u64, unit: &str, less: u64, lesser: &str| match less {
        0 => format!("{great} {unit}"),
        less => format!("{great} {unit} {less} {lesser}"),
    };
    match () {
        () if seconds < 60 => format!("{seconds} s"),
        () if minutes < 60 => format!("{minutes} min"),
        () if hours < 24 => two(hours, "h", minutes % 60, "min"),
        () => two(days, "d", hours % 24, "h"),
    }
}

/// How long something took, as exactly as matters: `0.4 s`, `12 s`, `4 min 47 s`.
pub(super) fn brief(took: Duration) -> String {
    match (took.as_secs(), took.as_secs() % 60) {
        (..10, _) => format!("{:.1} s", took.as_secs_f64()),
        (60..3600, rest) if rest > 0 => format!("{} {rest} s", span(took)),
        _ => span(took),
    }
}

/// From `earlier` to `later`; nothing where the clock was set back between them.
pub(super) fn between(earlier: OffsetDateTime, later: OffsetDateTime) -> Duration {
    (later - earlier).try_into().unwrap_or_default()
}

/// `14:02:31`, in UTC.
pub(super) fn time(at: OffsetDateTime) -> String {
    let (hour, minute, second) = at.to_offset(time::UtcOffset::UTC).to_hms();
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// `22 November 2026`, in UTC.
pub(super) fn day(at: OffsetDateTime) -> String {
    let date = at.to_offset(time::UtcOffset::UTC).date();
    format!("{} {} {}", date.day(), date.month(), date.year())
}

/// The time alone today, with its day else.
pub(super) fn moment(at: OffsetDateTime, now: OffsetDateTime) -> String {
    if day(at) == day(now) { time(at) } else { format!("{}, {}", day(at), time(at)) }
}

/// `2026-11-22T14:02:31Z`, for machines.
pub(super) fn machine(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    format!("{}T{}Z", at.date(), time(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (11_520, "3 h 12 min"),
            (86_400, "1 d"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(brief(Duration::from_millis(430)), "0.4 s");
        assert_eq!(brief(Duration::from_secs(200)), "3 min 20 s");
    }

    #[test]
    fn moments_are_in_utc_and_a_clock_set_back_is_no_negative_span() {
        let noon = OffsetDateTime::from_unix_timestamp(1_795_262_400).unwrap();
        let later = noon.to_offset(time::UtcOffset::from_hms(5, 30, 0).unwrap());
        assert_eq!((time(later), day(later)), ("12:00:00".to_owned(), "21 November 2026".to_owned()));
        assert_eq!(machine(later), "2026-11-21T12:00:00Z");
        assert_eq!(moment(noon - Duration::from_secs(86_400), noon), "20 November 2026, 12:00:00");
        assert_eq!(between(noon + Duration::from_secs(5), noon), Duration::ZERO);
    }
}
