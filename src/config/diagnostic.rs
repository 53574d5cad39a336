//! Mistakes and warnings: where, what is wrong, what to do, and the line in question.
//!
//! A line is shown as it was written except for two things: whatever may be a secret is blotted out, and control
//! characters never reach a terminal.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// Everything that is wrong with a configuration file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Mistakes(Vec<Diagnostic>);

impl Mistakes {
    pub(super) fn of(mistakes: Vec<Diagnostic>) -> Self {
        Self(mistakes)
    }

    /// The mistakes, at least one.
    #[must_use]
    pub fn all(&self) -> &[Diagnostic] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    /// One paragraph for each, and a count where there are several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 mistake"),
            count => write!(f, "{count} mistakes"),
        }
    }
}

impl std::error::Error for Mistakes {}

/// One mistake or one warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file, as it was named to us.
    pub file: String,
    /// Where in it; `None` when the whole file is meant.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What is wrong, in one sentence without a full stop.
    pub problem: String,
    /// What to do about it, likewise.
    pub remedy: String,
}

/// A place in a file, and the text that stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1, in characters.
    pub column: usize,
    /// The line's text, secrets blotted out; at most [`WIDTH`] characters of it.
    pub excerpt: String,
    /// Where in the excerpt the offending text begins, in characters from 0.
    pub caret: usize,
    /// How many characters of the excerpt it takes, at least 1.
    pub width: usize,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, problem, remedy } = self;
        let Some(Place { line, column, excerpt, caret, width }) = place else {
            writeln!(f, "{file}: {problem}")?;
            return writeln!(f, "  = {remedy}");
        };
        let gutter = line.to_string().len();
        writeln!(f, "{file}:{line}:{column}: {problem}")?;
        writeln!(f, "  {line} | {excerpt}")?;
        writeln!(f, "  {:gutter$} | {:caret$}{}", "", "", "^".repeat(*width))?;
        writeln!(f, "  {:gutter$} = {remedy}", "")
    }
}

/// Collects what is found wrong while a file is read; places are spans of bytes until the end.
#[derive(Debug, Default)]
pub(super) struct Report {
    mistakes: Vec<Finding>,
    warnings: Vec<Finding>,
    blotted: Vec<Range<usize>>,
    dropped: BTreeSet<(usize, String)>,
}

#[derive(Debug)]
struct Finding {
    span: Range<usize>,
    problem: String,
    remedy: String,
}

impl Report {
    pub(super) fn mistake(
        &mut self,
        span: &Range<usize>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.mistakes.push(Finding { span: span.clone(), problem: problem.into(), remedy: remedy.into() });
    }

    pub(super) fn warning(
        &mut self,
        span: &Range<usize>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warnings.push(Finding { span: span.clone(), problem: problem.into(), remedy: remedy.into() });
    }

    /// Keeps the text at `span` out of every excerpt.
    pub(super) fn blot(&mut self, span: &Range<usize>) {
        self.blotted.push(span.clone());
    }

    /// Remembers that `key` of the table at `table` was written, reported and left out.
    pub(super) fn drop_key(&mut self, table: &Range<usize>, key: impl Into<String>) {
        self.dropped.insert((table.start, key.into()));
    }

    /// Whether `key` is absent only because what was written has been reported.
    pub(super) fn dropped(&self, table: &Range<usize>, key: &str) -> bool {
        self.dropped.contains(&(table.start, key.to_owned()))
    }

    /// The mistakes and the warnings, each in the order of the file.
    pub(super) fn finish(self, source: &Source<'_>) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let Self { mistakes, warnings, blotted, dropped: _ } = self;
        let place = |mut findings: Vec<Finding>| {
            findings.sort_by_key(|finding| finding.span.start);
            findings.into_iter().map(|finding| source.diagnostic(finding, &blotted)).collect()
        };
        (place(mistakes), place(warnings))
    }
}

/// A file's name and text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
}

impl Source<'_> {
    /// The line of a byte, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        let at = floor(self.text, at);
        self.text[..at].matches('\n').count() + 1
    }

    /// A complaint about the file as a whole.
    pub(super) fn whole(file: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Mistakes {
        Mistakes(vec![Diagnostic {
            file: file.into(),
            place: None,
            problem: problem.into(),
            remedy: remedy.into(),
        }])
    }

    fn diagnostic(&self, finding: Finding, blotted: &[Range<usize>]) -> Diagnostic {
        let place = Some(self.place(&finding.span, blotted));
        let (problem, remedy) = (printable(&finding.problem), printable(&finding.remedy));
        Diagnostic { file: self.file.into(), place, problem, remedy }
    }

    fn place(&self, span: &Range<usize>, blotted: &[Range<usize>]) -> Place {
        let start = floor(self.text, span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let end = floor(self.text, span.end).clamp(start, line_end);

        // A blot keeps nothing of what it covers, not even its length.
        let (mut shown, mut caret, mut until) = (String::new(), None, None);
        for (offset, c) in self.text[line_start..line_end].char_indices() {
            let at = line_start + offset;
            let length = shown.chars().count();
            if at >= start {
                caret.get_or_insert(length);
            }
            if at >= end {
                until.get_or_insert(length);
            }
            match blotted.iter().find(|blot| blot.contains(&at)) {
                Some(blot) if at == blot.start.max(line_start) => shown.push_str(BLOT),
                Some(_) => {}
                None if c == '\r' => {}
                None => shown.push(if c == '\t' { ' ' } else { c }),
            }
        }
        let length = shown.chars().count();
        let caret = caret.unwrap_or(length);
        let width = until.unwrap_or(length).saturating_sub(caret).max(1);
        let column = self.text[line_start..start].chars().count() + 1;
        let (excerpt, caret, width) = window(&printable(&shown), caret, width);
        Place { line: self.line(start), column, excerpt, caret, width }
    }
}

/// The one of `known` that was probably meant by `written`.
pub(super) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase();
    let allowed = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `a`, `a and b`, `a, b and c`, each in backquotes.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., end] => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// The part of a long line around the offending text.
fn window(line: &str, caret: usize, width: usize) -> (String, usize, usize) {
    let length = line.chars().count();
    if length <= WIDTH {
        return (line.to_owned(), caret, width.min(WIDTH));
    }
    let from = caret.saturating_sub(WIDTH / 2).min(length - WIDTH);
    let part: String = line.chars().skip(from).take(WIDTH).collect();
    (part, caret - from, width.min(WIDTH - (caret - from)).max(1))
}

/// The text without anything that a terminal would act on.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// `at`, or the character boundary before it.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The longest excerpt, in characters: a line of a terminal with room for the line number.
pub const WIDTH: usize = 110;

/// What stands in an excerpt where a secret may be.
const BLOT: &str = "[withheld]";
