//! A line on stderr for whatever takes longer than a second.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

use super::hidden::shown;
use super::output::Output;
use crate::model::plan::Action;
use crate::reconcile::{Agreement, Event, Watch};

/// Draws what a round is doing, when somebody watches.
#[derive(Debug)]
pub(crate) struct Progress {
    line: Arc<Mutex<Line>>,
    drawing: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Line {
    text: String,
    drawn: bool,
}

impl Progress {
    pub(crate) fn new(output: &Output) -> Self {
        let line = Arc::<Mutex<Line>>::default();
        let drawing = output.is_watched().then(|| tokio::spawn(draw(Arc::clone(&line))));
        Self { line, drawing }
    }

    /// Shows `what` is being done, in one line.
    pub(crate) fn say(&self, what: impl Into<String>) {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).text = what.into();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(drawing) = &self.drawing {
            drawing.abort();
        }
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.drawn {
            let _ = io::stderr().write_all(CLEAR.as_bytes());
        }
    }
}

/// Draws the line over and over, for whatever is not done within a second.
async fn draw(line: Arc<Mutex<Line>>) {
    sleep(Duration::from_secs(1)).await;
    let mut ticks = interval(TICK);
    for frame in FRAMES.chars().cycle() {
        ticks.tick().await;
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        line.drawn = true;
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0.into());
        let text = format!("{CLEAR}{frame} {}", fitted(&line.text, width));
        // A terminal that is gone is looked at by nobody.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// What of `text` stands beside the spinner in one line: a second one would not be cleared.
fn fitted(text: &str, width: usize) -> String {
    shown(text).chars().take(width.saturating_sub(3)).collect()
}

impl Watch for Progress {
    fn event(&self, event: Event<'_>) {
        if let Some(what) = message(&event) {
            self.say(what);
        }
    }
}

/// What is being done, in one line.
fn message(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Observing => "reading Azure and the DNS accounts".to_owned(),
        // The reading goes on, and something may be written already.
        Event::Seen(..) => return None,
        Event::Planned(steps) => format!("{steps} steps to take"),
        Event::Begun(Action::Network(change), _) => {
            format!("{} public IP of {}", change.verb(), change.endpoint)
        }
        Event::Begun(Action::Gateway(change), _) => {
            format!("{} {} of {}", change.verb(), change.piece(), change.endpoint)
        }
        Event::Begun(Action::Record(change), _) => format!("{} {}", change.verb(), change.key),
        Event::Begun(Action::Settle(settle), _) => format!("waiting until nobody gives {}", settle.key),
        Event::Ended(_, report) => format!("{} {}: {}", report.verb, report.name, report.outcome),
        Event::Settling(key, left) => format!("caches may give {key} for {}s more", left.as_secs()),
        Event::Probing(endpoint, rule) => {
            format!("knocking at port {} of {}", rule.frontend_port, endpoint.name)
        }
        Event::Verifying(key) => format!("asking every name server for {key}"),
        Event::Agreed(key, Agreement::Account) => format!("every name server agrees on {key}"),
        Event::Agreed(key, Agreement::Resolvers) => format!("resolvers agree on {key}"),
    })
}

/// To the beginning of the line, and nothing in it (ECMA-48, EL 2).
const CLEAR: &str = "\r\u{1b}[2K";
const FRAMES: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
const TICK: Duration = Duration::from_millis(120);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoint::Handle;
    use crate::model::name::Fqdn;
    use crate::model::plan::{RecordChange, Verb};
    use crate::model::state::RecordKey;
    use crate::reconcile::round::{ChangeOutcome, ChangeReport, SubjectKind};

    #[test]
    fn a_line_does_not_run_into_the_next() {
        assert_eq!(fitted("asking every name server", 80), "asking every name server");
        assert_eq!(fitted("asking every name server", 10), "asking ");
        assert_eq!(fitted("asking", 0), "");
    }

    #[test]
    fn a_change_that_failed_is_not_called_done() {
        let name = Fqdn::parse("jump.example.com").unwrap();
        let key = RecordKey { name, account: Handle::parse("cf").unwrap() };
        let action = Action::Record(RecordChange { key, before: Vec::new(), after: None });
        let ended = |outcome| {
            let report = ChangeReport {
                kind: SubjectKind::Record,
                name: "jump.example.com".into(),
                account: None,
                verb: Verb::Create,
                outcome,
                before: None,
                after: None,
                reason: String::new(),
                error: None,
                requests: Vec::new(),
            };
            message(&Event::Ended(&action, &report)).unwrap()
        };
        assert_eq!(ended(ChangeOutcome::Applied), "create jump.example.com: done");
        assert_eq!(ended(ChangeOutcome::Failed), "create jump.example.com: failed");
        assert_eq!(ended(ChangeOutcome::Unconfirmed), "create jump.example.com: could not confirm");
    }
}
