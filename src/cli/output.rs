//! Where text goes, and whether it has colour.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use terminal_size::{Height, Width, terminal_size_of};

use super::args::{Colour, Format, Global};
use super::exit::Exit;
use super::fold::fold;
use super::hidden::{escaped, shown};
use crate::reconcile::round::VERSION;
use crate::telemetry::prioritised;

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

    /// How long the sequence is that `text` begins with, where it is one of [`Self::paint`]; otherwise 0.
    pub(crate) fn sequence(text: &str) -> usize {
        let begins = |sequence: String| text.starts_with(&sequence).then_some(sequence.len());
        let tones = [Self::Good, Self::Warn, Self::Bad, Self::Faint, Self::Strong];
        if !text.starts_with('\u{1b}') {
            return 0;
        }
        let mut found = tones.into_iter().filter_map(|tone| {
            let style = tone.style();
            begins(style.render().to_string()).or_else(|| begins(style.render_reset().to_string()))
        });
        found.next().unwrap_or_default()
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

    /// How wide the terminal is that results are read at, where they are; one too narrow for columns counts as none.
    pub(crate) fn columns(&self) -> Option<usize> {
        wide(terminal_size_of(io::stdout())).filter(|_| self.is_seen())
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
        written(write(&mut stdout.lock(), &fitted(&shown(text), columns), colour));
    }

    /// A result, for a script.
    pub(crate) fn json(&self, value: &impl Serialize) -> Exit {
        match serde_json::to_string_pretty(value) {
            Ok(_) if self.muted => Exit::InSync,
            Ok(mut text) => {
                text.push('\n');
                written(write(&mut io::stdout().lock(), &escaped(&text), true))
            }
            Err(error) => self.failure(&format!("could not write JSON: {error}"), Exit::Failed),
        }
    }

    /// A result as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Exit {
        if self.muted {
            return Exit::InSync;
        }
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    }

    /// Something for the person at the terminal that is no result.
    pub(crate) fn aside(&self, text: &str) {
        if !self.quiet {
            self.ask(text);
        }
    }

    /// What somebody is asked to agree to, and the question: also for those who want no asides, since they would be
    /// asked about nothing.
    pub(crate) fn ask(&self, text: &str) {
        let stderr = io::stderr();
        let columns = terminal_size_of(&stderr);
        let _ = write(&mut stderr.lock(), &fitted(&shown(text), columns), self.colour_on_stderr());
    }

    /// Why nothing came of it. A script that asked for JSON gets JSON here too.
    pub(crate) fn failure(&self, text: &str, exit: Exit) -> Exit {
        self.refusal(text, exit);
        self.complain(text);
        exit
    }

    /// The part of [`Self::failure`] that a script reads.
    pub(crate) fn refusal(&self, text: &str, exit: Exit) {
        if self.is_json() {
            let value = serde_json::json!({ "version": VERSION, "outcome": exit.outcome(), "error": text });
            let _ = self.json(&value);
        }
    }

    /// What the process ends with: a result that could not be written is no success.
    pub(crate) fn end(&self, exit: Exit) -> Exit {
        let Some(error) = UNWRITTEN.get() else { return exit };
        self.complain(&format!("could not write the result: {error}; what was done is done"));
        if exit == Exit::InSync { Exit::Failed } else { exit }
    }

    fn complain(&self, text: &str) {
        let text = format!("{} {}\n", Tone::Bad.paint("error:"), text.trim_end());
        // There is nowhere left to tell it.
        let _ = if is_journalled() {
            write(&mut io::stderr().lock(), &prioritised(3, &shown(&text)), false)
        } else {
            write(&mut io::stderr().lock(), &shown(&text), self.colour_on_stderr())
        };
    }

    fn choice(&self, terminal: bool) -> bool {
        match self.colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

/// Whether stderr is the journal's (systemd.exec(5)).
pub(crate) fn is_journalled() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some() && !io::stderr().is_terminal()
}

/// `text` as wide as the terminal; as it is where there is none, since programs read lines.
fn fitted(text: &str, terminal: Option<(Width, Height)>) -> Cow<'_, str> {
    wide(terminal).map_or(text.into(), |columns| fold(text, columns).into())
}

fn wide(terminal: Option<(Width, Height)>) -> Option<usize> {
    terminal.map(|(Width(columns), _)| columns).filter(|columns| *columns >= NARROWEST).map(usize::from)
}

fn write(stream: &mut impl Write, text: &str, colour: bool) -> io::Result<()> {
    match colour {
        true => stream.write_all(text.as_bytes())?,
        false => stream.write_all(anstream::adapter::strip_str(text).to_string().as_bytes())?,
    }
    stream.flush()
}

/// Remembers a result that could not be written. A closed pipe is the reader's decision, and no error of ours.
fn written(result: io::Result<()>) -> Exit {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = UNWRITTEN.set(error.to_string());
            Exit::Failed
        }
        Ok(()) | Err(_) => Exit::InSync,
    }
}

/// Why the first result that could not be written was not, for [`Output::end`]: results are told from many places, and
/// each goes on to end with what it found.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Terminals that tell less mean nothing by it, or have no room for columns.
const NARROWEST: u16 = 40;
