//! Commands in hints, so that they do what they say when typed as they stand.

use std::borrow::Cow;

use crate::model::state::Consents;

/// The sync that does what was shown: for `only`, with what was allowed beyond the configuration.
pub(crate) fn sync(only: Option<&str>, consents: &Consents) -> String {
    let mut command = "cnamed sync".to_owned();
    if let Some(name) = only {
        command.push_str(&format!(" --only {}", word(name)));
    }
    let Consents { relabel, deletes, internet, adopt: _ } = consents;
    for (allowed, what) in [(relabel, "relabel"), (deletes, "deletes"), (internet, "internet")] {
        if *allowed {
            command.push_str(&format!(" --allow {what}"));
        }
    }
    command
}

/// `text` as one word of a POSIX shell (POSIX.1-2017, Shell Command Language, 2.2.2).
pub(crate) fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', "'\\''")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_to_a_shell() {
        assert_eq!(word("/etc/cnamed/plan-1.json"), "/etc/cnamed/plan-1.json");
        assert_eq!(word("brücke.example.com"), "brücke.example.com");
        assert_eq!(word("my plan.json"), "'my plan.json'");
        assert_eq!(word("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(word("~"), "'~'");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn a_sync_is_that_which_was_shown() {
        assert_eq!(sync(None, &Consents::default()), "cnamed sync");
        let consents = Consents { relabel: true, internet: true, ..Consents::default() };
        assert_eq!(sync(Some("jump"), &consents), "cnamed sync --only jump --allow relabel --allow internet");
    }
}
