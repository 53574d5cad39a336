//! Where text goes, and whether it has colour.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use terminal_size::{Height, Width, terminal_size_of};

use super::args::{Colour, Format, Global};
use super::exit::Exit;
use super::fold::fold;
use crate::reconcile::round::VERSION;

/// Stdout for results, stderr for everything else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    colour: Colour,
    quiet: bool,
    muted: bool,
}

/// What a piece of text means; the colours follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Faint,
    Strong,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Faint => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }

    /// `text` in this tone, with escape sequences that [`Output`] strips where there is no colour.
    pub(crate) fn paint(self, text: &str) -> String {
        let style = self.style();
        if text.is_empty() || self == Self::Plain {
            text.to_owned()
        } else {
            format!("{style}{text}{style:#}")
        }
    }
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self { format: global.format, colour: global.color, quiet: global.quiet, muted: false }
    }

    /// The same without results: for commands that are only a part of the one whose result is printed.
    #[cfg(feature = "sandbox")]
    pub(crate) fn muted(&self) -> Self {
        Self { muted: true, ..*self }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether progress may be drawn: a person watches stderr, and wants to.
    pub(crate) fn is_watched(&self) -> bool {
        !self.quiet && self.format == Format::Text && io::stderr().is_terminal()
    }

    /// Whether results are read by a person, at a terminal.
    pub(crate) fn is_seen(&self) -> bool {
        self.format == Format::Text && io::stdout().is_terminal()
    }

    /// Whether somebody can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    pub(crate) fn colour_on_stderr(&self) -> bool {
        self.choice(io::stderr().is_terminal())
    }

    /// A result, for a person.
    pub(crate) fn text(&self, text: &str) {
        if self.muted {
            return;
        }
        let stdout = io::stdout();
        let colour = self.choice(stdout.is_terminal());
        let columns = terminal_size_of(&stdout);
        write(&mut stdout.lock(), &fitted(text, columns), colour);
    }

    /// A result, for a script.
    pub(crate) fn json(&self, value: &impl Serialize) -> Exit {
        match serde_json::to_string_pretty(value) {
            Ok(_) if self.muted => Exit::InSync,
            Ok(mut text) => {
                text.push('\n');
                write(&mut io::stdout().lock(), &text, true);
                Exit::InSync
            }
            Err(error) => self.failure(&format!("could not write JSON: {error}"), Exit::Failed),
        }
    }

    /// A result as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Exit {
        if self.muted {
            return Exit::InSync;
        }
        match io::stdout().lock().write_all(bytes) {
            Ok(()) => Exit::InSync,
            Err(_) => Exit::Failed,
        }
    }

    /// Something for the person at the terminal that is no result.
    pub(crate) fn aside(&self, text: &str) {
        if !self.quiet {
            let stderr = io::stderr();
            let columns = terminal_size_of(&stderr);
            write(&mut stderr.lock(), &fitted(text, columns), self.colour_on_stderr());
        }
    }

    /// A question for the person at the terminal, asked even of one who wants no progress.
    pub(crate) fn ask(&self, text: &str) {
        write(&mut io::stderr().lock(), text, self.colour_on_stderr());
    }

    /// Why nothing came of it. A script that asked for JSON gets JSON here too.
    pub(crate) fn failure(&self, text: &str, exit: Exit) -> Exit {
        if self.is_json() {
            let value = serde_json::json!({ "version": VERSION, "outcome": exit.outcome(), "error": text });
            let _ = self.json(&value);
        }
        let text = format!("{} {}\n", Tone::Bad.paint("error:"), text.trim_end());
        write(&mut io::stderr().lock(), &text, self.colour_on_stderr());
        exit
    }

    fn choice(&self, terminal: bool) -> bool {
        match self.colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

/// `text` as wide as the terminal; as it is where there is none, since programs read lines.
fn fitted(text: &str, terminal: Option<(Width, Height)>) -> Cow<'_, str> {
    match terminal {
        Some((Width(columns), _)) if columns >= NARROWEST => fold(text, columns.into()).into(),
        _ => text.into(),
    }
}

/// A closed pipe is the reader's decision, and no error of ours.
fn write(stream: &mut impl Write, text: &str, colour: bool) {
    let _ = match colour {
        true => stream.write_all(text.as_bytes()),
        false => stream.write_all(anstream::adapter::strip_str(text).to_string().as_bytes()),
    };
    let _ = stream.flush();
}

/// Terminals that tell less mean nothing by it, or have no room for columns.
const NARROWEST: u16 = 40;
