//! Moments as programs are told them: UTC, to the millisecond, always as many digits.

use serde::Serializer;
use time::{OffsetDateTime, UtcOffset};

/// `at` by RFC 3339: `2026-11-22T12:31:00.580Z`.
#[must_use]
pub fn text(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second, millisecond) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// [`text`], for serde.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*at))
}

/// The same where there may be none.
pub mod option {
    use serde::Serializer;
    use time::OffsetDateTime;

    /// [`super::text`], for serde.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(at: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => super::serialize(at, serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_as_many_digits_as_every_other() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_795_348_800_080_999_999).unwrap();
        assert_eq!(text(at.to_offset(UtcOffset::from_hms(2, 0, 0).unwrap())), "2026-11-22T12:00:00.080Z");
        assert_eq!(text(at.replace_nanosecond(0).unwrap()), "2026-11-22T12:00:00.000Z");
    }
}
