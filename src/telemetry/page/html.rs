//! HTML that text cannot break out of: markup is what stands in this program's source, and all else is escaped.

use std::fmt::{self, Write as _};

/// HTML, well-formed as far as its markup was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Html(String);

/// Writes HTML: a literal is markup, `(value)` is text or an attribute's value, `{html}` is HTML that was made so.
///
/// There is no other way to make markup, and this takes literals alone: what came from outside cannot be one.
macro_rules! put {
    ($html:expr $(,)?) => {};
    ($html:expr, $markup:literal $($rest:tt)*) => {{
        $html.markup(concat!($markup));
        put!($html, $($rest)*);
    }};
    ($html:expr, ($text:expr) $($rest:tt)*) => {{
        $html.text(&$text);
        put!($html, $($rest)*);
    }};
    ($html:expr, {$part:expr} $($rest:tt)*) => {{
        $html.append(&$part);
        put!($html, $($rest)*);
    }};
}
pub(super) use put;

impl Html {
    /// Markup as it is; for `put!`, which takes literals alone.
    pub(super) fn markup(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Text, between tags or within a quoted attribute.
    pub(super) fn text(&mut self, text: &(impl fmt::Display + ?Sized)) {
        let _ = write!(Escaping(&mut self.0), "{text}");
    }

    pub(super) fn append(&mut self, html: &Self) {
        self.0.push_str(&html.0);
    }

    /// A DNS name or an address, which may be broken after each of its dots and colons and nowhere else.
    pub(super) fn name(&mut self, name: &(impl fmt::Display + ?Sized)) {
        let text = name.to_string();
        for part in text.split_inclusive(['.', ':']) {
            self.text(part);
            if part.ends_with(['.', ':']) {
                self.markup("<wbr>");
            }
        }
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

struct Escaping<'h>(&'h mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // Control characters have no place in HTML, and those that turn the direction of writing could
                // make an address read as another.
                c if c.is_control() => self.0.push(char::REPLACEMENT_CHARACTER),
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    self.0.push(char::REPLACEMENT_CHARACTER);
                }
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut html = Html::default();
        let hostile = "</p><script>alert('x')</script>\" onload=\"y & z";
        put!(html, "<p title=\"" (hostile) "\">" (hostile) "</p>");
        let escaped =
            "&lt;/p&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;y &amp; z";
        assert_eq!(html.into_string(), format!("<p title=\"{escaped}\">{escaped}</p>"));
    }

    #[test]
    fn what_would_turn_or_end_the_text_is_replaced() {
        let mut html = Html::default();
        put!(html, ("a\u{0}b\u{202e}c\u{1b}[31md\ne"));
        assert_eq!(html.into_string(), "a\u{fffd}b\u{fffd}c\u{fffd}[31md\ne");
    }

    #[test]
    fn html_is_taken_as_it_is_and_names_are_broken_at_their_dots() {
        let (mut inner, mut html) = (Html::default(), Html::default());
        inner.name("a<b.c");
        put!(html, "<b>" {inner} "</b>");
        assert_eq!(html.into_string(), "<b>a&lt;b.<wbr>c</b>");
    }
}
