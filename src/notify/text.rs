//! What all renderings share: short lines, without anything that a terminal or a phone would act on.

use time::OffsetDateTime;

use super::Notice;

/// `text` on one line, cut at `most` characters.
pub(super) fn clip(text: &str, most: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(most) {
        None => line,
        Some(_) => {
            let cut: String = line.chars().take(most.saturating_sub(1)).collect();
            format!("{}…", cut.trim_end())
        }
    }
}

/// What stood there and what stands there now, unless the title says both.
pub(super) fn change(notice: &Notice) -> Option<String> {
    let told = |value: &Option<String>| value.as_deref().is_none_or(|value| notice.title.contains(value));
    let none = notice.before.is_none() && notice.after.is_none();
    if none || (told(&notice.before) && told(&notice.after)) {
        return None;
    }
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    Some(format!("{} → {}", shown(&notice.before), shown(&notice.after)))
}

/// How often it was kept back.
pub(super) fn repeats(notice: &Notice) -> Option<String> {
    match notice.repeats {
        0 => None,
        1 => Some("noticed once more since it was told last".to_owned()),
        times => Some(format!("noticed {times} more times since it was told last")),
    }
}

/// Who tells it, about what, and when.
pub(super) fn footer(notice: &Notice) -> String {
    format!("{} · {} · {}", notice.owner, notice.topic, moment(notice.at))
}

/// To the minute, in UTC.
pub(super) fn moment(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", at.hour(), at.minute())
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn a_long_line_is_cut_between_characters_and_stays_one_line() {
        assert_eq!(clip("a\nb\u{1b}[2J", 99), "a b [2J");
        assert_eq!(clip("äöüäöü", 4), "äöü…");
        assert_eq!(clip("äöüä", 4), "äöüä");
    }
}
