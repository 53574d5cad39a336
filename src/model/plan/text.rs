//! A plan as an operator reads it.

use std::fmt;

mod gateway;

use super::{Action, NetworkChange, Plan, RecordChange, Settle, Step, Subject, Verb};
use crate::model::endpoint::{Handle, PublicIp};
use crate::model::record::{Content, Owner, RecordSet};
use crate::model::state::Zone;

impl fmt::Display for Plan {
    /// A count, the steps in their order, what is blocked, what is left as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_work(f)?;
        self.write_notes(f)
    }
}

impl Plan {
    /// All but [`Self::write_notes`].
    pub(in crate::model) fn write_work(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = self.steps.iter().filter(|step| step.verb().is_none()).count();
        let changes = self.steps.len() - waits;
        if changes == 0 {
            f.write_str("nothing to change")?;
        } else {
            write!(f, "{}", counted(changes, "change"))?;
        }
        for (count, what) in [(waits, "wait"), (self.notes.len(), "note")] {
            if count > 0 {
                write!(f, ", {}", counted(count, what))?;
            }
        }
        if !self.blocked.is_empty() {
            write!(f, ", {} blocked", self.blocked.len())?;
        }
        writeln!(f)?;
        self.write_steps(f)?;
        for blocked in &self.blocked {
            writeln!(f, "\nblocked  {}\n         waits for {}", blocked.subject, blocked.waits_for)?;
            if blocked.ours {
                writeln!(f, "         which this plan brings about")?;
            }
        }
        Ok(())
    }

    /// What is left as it is.
    pub(in crate::model) fn write_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "\nnote     {}\n         {}", note.subject, note.text)?;
        }
        Ok(())
    }

    fn write_steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subjects: Vec<String> = self.steps.iter().map(|step| step.subject().to_string()).collect();
        let digits = self.steps.len().to_string().len();
        let width = subjects.iter().map(|subject| subject.chars().count()).max().unwrap_or(0).min(WIDEST);
        for (at, (step, subject)) in self.steps.iter().zip(&subjects).enumerate() {
            let verb = step.verb().map_or_else(|| "wait".to_owned(), |verb| verb.to_string());
            let number = at + 1;
            // The number, the verb and the gaps beside them.
            let indent = digits + 2 + 6 + 2 + 2;
            let mut lines = step.details();
            lines.extend(self.waits_for(step));
            write!(f, "\n{number:>digits$}  {verb:<6}  {subject:<width$}")?;
            let mut lines = lines.into_iter();
            if subject.chars().count() <= width
                && let Some(first) = lines.next()
            {
                write!(f, "  {first}")?;
            }
            writeln!(f)?;
            for line in lines {
                writeln!(f, "{:indent$}{:width$}{line}", "", "")?;
            }
        }
        Ok(())
    }

    fn waits_for(&self, step: &Step) -> Option<String> {
        let numbers: Vec<String> = step.after.iter().map(|at| (at + 1).to_string()).collect();
        (!numbers.is_empty()).then(|| format!("  waits for {}", numbers.join(", ")))
    }
}

impl Step {
    /// Before, after, why: a line each, with two characters for the arrow.
    fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Action::Settle(settle) = &self.action {
            lines.push(format!("  {settle}"));
            return lines;
        }
        let (before, after) = (self.before_text(), self.after_text());
        lines.extend(before.map(|before| format!("  {before}")));
        lines.push(format!("→ {}", after.as_deref().unwrap_or("nothing")));
        lines.push(format!("  {}", self.reason));
        lines
    }

    /// What stands there before, on one line; `None` for nothing, and for a wait.
    #[must_use]
    pub fn before_text(&self) -> Option<String> {
        match &self.action {
            Action::Network(change) => change.before(),
            Action::Gateway(change) => change.before(),
            Action::Record(change) => change.before_text(),
            Action::Settle(_) => None,
        }
    }

    /// What stands there afterwards, on one line; `None` for nothing, and for a wait.
    #[must_use]
    pub fn after_text(&self) -> Option<String> {
        match &self.action {
            Action::Network(change) => change.after(),
            Action::Gateway(change) => change.after(),
            Action::Record(change) => change.after.as_ref().map(ToString::to_string),
            Action::Settle(_) => None,
        }
    }
}

impl NetworkChange {
    fn before(&self) -> Option<String> {
        let PublicIp { label, allocation, fqdn, .. } = self.held.as_ref()?;
        let name = match (fqdn, label) {
            (Some(fqdn), _) => fqdn.to_string(),
            (None, Some(label)) => format!("label {label}"),
            (None, None) => "no label".into(),
        };
        Some(format!("{name}, {allocation} address"))
    }

    fn after(&self) -> Option<String> {
        let spec = &self.spec;
        let allocation = self.held.as_ref().map_or(spec.allocation, |held| held.allocation);
        let location = self.held.as_ref().map_or(&spec.location, |held| &held.location);
        (!self.delete).then(|| format!("label {} in {location}, {allocation} address", spec.label))
    }
}

impl RecordChange {
    fn before_text(&self) -> Option<String> {
        let sets: Vec<String> = self.before.iter().map(RecordSet::to_string).collect();
        (!sets.is_empty()).then(|| sets.join("; "))
    }
}

impl fmt::Display for Settle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instead {
            Some(content) => write!(f, "until every authoritative server gives {}", content.data)?,
            None => f.write_str("until no authoritative server gives it")?,
        }
        write!(f, ", and {} more for caches", self.ttl)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicIp(endpoint) => write!(f, "public IP of {endpoint}"),
            Self::Gateway(endpoint, piece) => write!(f, "{piece} of {endpoint}"),
            Self::Record(key) => key.fmt(f),
        }
    }
}

/// Why what stands `before` becomes `after`.
pub(super) fn reason(
    before: &[RecordSet],
    after: &Content,
    owner: &Owner,
    (endpoint, zone): (&Handle, &Zone),
) -> String {
    let Some(first) = before.first() else { return format!("follows {endpoint}") };
    let held = &first.content;
    let mut why = Vec::new();
    if before.len() > 1 || held.data.rtype() != after.data.rtype() {
        let types: Vec<String> = before.iter().map(|set| set.content.data.rtype().to_string()).collect();
        why.push(format!("{} becomes {}", types.join(" and "), after.data.rtype()));
    } else if !held.data.same(&after.data) {
        why.push(format!("{endpoint} is elsewhere"));
    }
    // Cloudflare decides the TTL of a proxied record: that it differs says nothing.
    if held.ttl != after.ttl && held.proxied == after.proxied {
        why.push(format!("TTL {} becomes {}", held.ttl, after.ttl));
    }
    if held.proxied != after.proxied {
        why.push(if after.proxied { "the proxy is wanted".into() } else { "the proxy is not wanted".into() });
    }
    if !before.iter().all(|set| set.is_ours(owner)) {
        why.push("taken over".into());
    }
    let stays = |set: &RecordSet| set.content.data.rtype() == after.data.rtype();
    if !zone.rules.exchanges && !before.iter().any(stays) {
        why.push("and nothing stands there for a moment".into());
    }
    why.join(", ")
}

/// `count` of what is called `what` in the singular.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Beyond this a subject has a line of its own.
const WIDEST: usize = 44;
