//! A line on stderr for whatever takes longer than a second.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;
use crate::model::plan::Action;
use crate::reconcile::{Agreement, Event, Watch};

/// Draws what a round is doing, when somebody watches.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new(output: &Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        if output.is_watched() {
            let late = bar.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                late.set_draw_target(ProgressDrawTarget::stderr());
                late.enable_steady_tick(Duration::from_millis(120));
            });
        }
        Self { bar }
    }

    /// Shows `what` is being done, in one line.
    pub(crate) fn say(&self, what: &'static str) {
        self.bar.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Watch for Progress {
    fn event(&self, event: Event<'_>) {
        self.bar.set_message(message(&event));
    }
}

/// What is being done, in one line.
fn message(event: &Event<'_>) -> String {
    match event {
        Event::Observing => "reading Azure and the DNS accounts".to_owned(),
        Event::Planned(steps) => format!("{steps} steps to take"),
        Event::Begun(Action::Network(change)) => {
            format!("{} public IP of {}", change.verb(), change.endpoint)
        }
        Event::Begun(Action::Gateway(change)) => {
            format!("{} {} of {}", change.verb(), change.piece(), change.endpoint)
        }
        Event::Begun(Action::Record(change)) => format!("{} {}", change.verb(), change.key),
        Event::Begun(Action::Settle(settle)) => format!("waiting until nobody gives {}", settle.key),
        Event::Ended(_, report) => format!("{} {}: {}", report.verb, report.name, report.outcome),
        Event::Settling(key, left) => format!("caches may give {key} for {}s more", left.as_secs()),
        Event::Probing(endpoint, rule) => {
            format!("knocking at port {} of {}", rule.frontend_port, endpoint.name)
        }
        Event::Verifying(key) => format!("asking every name server for {key}"),
        Event::Agreed(key, Agreement::Account) => format!("every name server agrees on {key}"),
        Event::Agreed(key, Agreement::Resolvers) => format!("resolvers agree on {key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoint::Handle;
    use crate::model::name::Fqdn;
    use crate::model::plan::{RecordChange, Verb};
    use crate::model::state::RecordKey;
    use crate::reconcile::round::{ChangeOutcome, ChangeReport, SubjectKind};

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
            message(&Event::Ended(&action, &report))
        };
        assert_eq!(ended(ChangeOutcome::Applied), "create jump.example.com: done");
        assert_eq!(ended(ChangeOutcome::Failed), "create jump.example.com: failed");
        assert_eq!(ended(ChangeOutcome::Unconfirmed), "create jump.example.com: could not confirm");
    }
}
