//! Logs, to stderr; and what the service shows and writes of itself: a page, metrics, probes, the journal.

pub mod beat;
pub mod clock;
pub mod metrics;
pub mod page;
pub mod scribe;
pub mod server;
pub mod snapshot;

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// A filter that asks for nothing that could be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log filter \"{filter}\" is neither a level (error, warn, info, debug, trace, off) nor targets of cnamed, \
     such as cnamed::provider=debug"
)]
pub struct FilterError {
    filter: String,
}

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person, or a file that a person reads.
    Person {
        /// Whether colours help.
        colour: bool,
    },
    /// The journal of systemd, which knows the time, and takes each line's priority from its beginning (sd-daemon(3)).
    Journal,
    /// A program: an object a line.
    Program,
}

/// Begins logging what `filter` asks for: a level, or targets below `cnamed`, or both, separated by commas; warnings
/// without one.
///
/// Only our own targets are ever heard: libraries below us log whole requests at their finer levels, headers
/// included, and a credential must not reach a log at any verbosity.
///
/// # Errors
/// When `filter` is no filter, or names a target that is not ours; nothing is logged then.
pub fn init(filter: Option<&str>, reader: Reader) -> Result<(), FilterError> {
    let targets = filter.map_or_else(|| Ok(ours(LevelFilter::WARN)), targets)?;
    let plain = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match reader {
        Reader::Person { colour } => plain.with_ansi(colour).boxed(),
        Reader::Journal => plain.with_ansi(false).event_format(Prioritised).boxed(),
        Reader::Program => plain.json().flatten_event(true).boxed(),
    };
    // A second call, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(targets).with(layer).try_init();
    Ok(())
}

/// A line with its priority before it, and no time.
struct Prioritised;

impl<S, N> FormatEvent<S, N> for Prioritised
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // syslog(3): err, warning, info, debug.
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        writer.write_str(&prioritised(priority, &text))
    }
}

/// `text` with its priority before each line: the journal takes every line for a message.
pub(crate) fn prioritised(priority: u8, text: &str) -> String {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| format!("<{priority}>{line}\n")).collect()
}

fn targets(filter: &str) -> Result<Targets, FilterError> {
    if let Ok(level) = filter.parse::<LevelFilter>() {
        return Ok(ours(level));
    }
    let wrong = || FilterError { filter: filter.to_owned() };
    let asked: Targets = filter.parse().map_err(|_| wrong())?;
    // A bare word is a target to the parser, and a misspelt level to whoever typed it.
    let is_ours = |target: &str| target == "cnamed" || target.starts_with("cnamed::");
    if !asked.iter().all(|(target, _)| is_ours(target)) {
        return Err(wrong());
    }
    let level = asked.default_level().unwrap_or(LevelFilter::WARN);
    Ok(ours(level).with_targets(asked.iter().map(|(target, level)| (target.to_owned(), level))))
}

fn ours(level: LevelFilter) -> Targets {
    Targets::new().with_target("cnamed", level)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_level_and_targets_of_ours_are_taken_and_nothing_else() {
        for filter in ["debug", "OFF", "cnamed=info", "cnamed::provider=debug", "info,cnamed::provider=trace"]
        {
            assert!(targets(filter).is_ok(), "{filter}");
        }
        for filter in ["nonsense", "hyper=trace", "cnamed=loud", "info,hyper=trace", "cnamedly=info"] {
            let error = targets(filter).unwrap_err().to_string();
            assert!(error.contains(filter), "{error}");
        }
    }

    /// What is written for the journal.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_has_its_priority_in_the_journal() {
        let pipe = Pipe::default();
        let writer = pipe.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let layer = layer.with_ansi(false).event_format(Prioritised);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!(mistakes = %"one\n\n  two\n", "not taken");
            tracing::info!("well");
        });
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<3>not taken mistakes=one\n<3>  two\n<6>well\n");
    }

    #[test]
    fn a_level_beside_targets_holds_for_the_rest_of_ours() {
        let targets = targets("info,cnamed::provider=trace").unwrap();
        assert!(targets.would_enable("cnamed::reconcile", &Level::INFO));
        assert!(!targets.would_enable("cnamed::reconcile", &Level::DEBUG));
        assert!(targets.would_enable("cnamed::provider", &Level::TRACE));
        assert!(!targets.would_enable("hyper", &Level::ERROR));
    }
}
