//! Characters that a terminal obeys or hides: whoever chose a text of others does not steer the reader's terminal.

use std::borrow::Cow;

use super::output::Tone;

/// Whether a terminal obeys `c`, or shows nothing where it stands: control characters (C0, DEL, C1), line and
/// paragraph separators, and the marks that turn the direction of text or join it (Unicode Technical Report 36).
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` with what is hidden shown as an escape, but for line feeds and the colours of [`Tone`].
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_hidden(c)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let painted = Tone::sequence(rest);
        if painted > 0 || c == '\n' || !is_hidden(c) {
            let (kept, after) = rest.split_at(painted.max(c.len_utf8()));
            out.push_str(kept);
            rest = after;
        } else {
            out.extend(c.escape_unicode());
            rest = &rest[c.len_utf8()..];
        }
    }
    out.into()
}

/// JSON (RFC 8259, 7) lets any character be escaped; serde_json escapes those below U+0020 alone, and JSON is read at
/// terminals too.
pub(super) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_hidden(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_and_our_colours_stay() {
        assert_eq!(shown("plain\ntext, and Überschrift"), "plain\ntext, and Überschrift");
        let painted = format!("{}\n", Tone::Bad.paint("error"));
        assert_eq!(shown(&painted), painted);
        // A title, a hidden text, a line that is overwritten, an eight-bit control, a turned direction.
        let evil = "\u{1b}]0;owned\u{7}\u{1b}[8mgone\rnew\u{9b}2J\u{202e}txt";
        let safe = "\\u{1b}]0;owned\\u{7}\\u{1b}[8mgone\\u{d}new\\u{9b}2J\\u{202e}txt";
        assert_eq!(shown(evil), safe);
        assert_eq!(shown(&Tone::Good.paint(evil)), Tone::Good.paint(safe));
        let json = escaped(&serde_json::to_string(evil).unwrap());
        assert!(!json.chars().any(is_hidden), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), evil);
    }
}
