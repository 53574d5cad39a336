//! How the service stands: what it shows, what it remembers, what it says of itself.

use std::sync::Arc;
use std::time::Duration;

use time::{Duration as Span, OffsetDateTime};
use tokio::time::Instant;

use super::agreement::Word;
use super::patience::Absence;
use super::{Moment, Service, Source};
use crate::journal::{Entry, Filter, Journal, JournalError, What};
use crate::model::endpoint::Handle;
use crate::model::moment;
use crate::model::sight::Sight;
use crate::notify::words::notice_of_service;
use crate::notify::{Notice, Topic};
use crate::reconcile::round::Round;
use crate::telemetry::beat::Beat;
use crate::telemetry::clock::Clock;
use crate::telemetry::snapshot::{Counts, Resting, Snapshot};

impl<S: Source> Service<S> {
    /// Takes up what an earlier life of the service has written down.
    pub(super) fn recall(&mut self) {
        let endpoints = &self.active.desired.endpoints;
        match self.journal.sights() {
            Ok(sights) => {
                self.sights =
                    sights.into_iter().filter(|(endpoint, _)| endpoints.contains_key(endpoint)).collect();
            }
            Err(error) => self.unwritten(error.chain()),
        }
        let journal = Arc::clone(&self.journal);
        let known = Arc::clone(&self.active);
        self.write(|_| journal.forget_all_but(known.desired.endpoints.keys()));
        self.refresh_history();
    }

    pub(super) fn remember(&mut self, endpoint: &Handle, sight: Sight) {
        self.write(|journal| journal.remember(endpoint, &sight));
        self.agreement.stays(endpoint, &sight);
        self.sights.insert(endpoint.clone(), sight);
    }

    /// Who has come to agree, written down and counted.
    pub(super) fn agree(&mut self, word: Word<'_>, looked: Instant, now: Instant) {
        let mut agreed = self.agreement.take(word, looked, now);
        for (_, agreed) in &mut agreed {
            agreed.after = self.clock.span(agreed.after);
        }
        for (entry, agreed) in &agreed {
            self.counts
                .convergence
                .entry(agreed.who.clone())
                .or_default()
                .observe(agreed.after.as_secs_f64());
            self.write(|journal| journal.agreed(*entry, agreed));
        }
        if !agreed.is_empty() {
            self.refresh_history();
        }
        for (id, agreed) in &agreed {
            let about = self.history.iter().find(|entry| entry.id == *id).map(|entry| match &entry.what {
                What::Change(change) => &*change.name,
                What::Happening { endpoint, .. } => endpoint.as_str(),
            });
            tracing::info!(entry = id, about, who = agreed.who, after_s = seconds(agreed.after), "agreed");
        }
    }

    /// Says once that an account is left alone, and once that it answers again: as a round has found it, which asks all
    /// whom it may.
    pub(super) fn mind_absences(&mut self) {
        let (now, instant) = (self.clock.now(), Instant::now());
        let absences = self.active.patiences.away.absences();
        for Absence { account, until, reason, .. } in &absences {
            if !self.left.contains(account) {
                let until = now + span(&self.clock, until.saturating_duration_since(instant));
                tracing::warn!(account, until = moment::text(until), reason, "left alone for a while");
            }
        }
        let left = absences.into_iter().map(|absence| absence.account).collect();
        for account in self.left.difference(&left) {
            tracing::info!(account, "answers again");
        }
        self.left = left;
    }

    /// Writes to the journal. That it cannot be written is a trouble, and no reason to stop the work.
    pub(super) fn write<T>(&mut self, write: impl FnOnce(&Journal) -> Result<T, JournalError>) -> Option<T> {
        match write(&self.journal) {
            Ok(written) => Some(written),
            Err(error) => {
                self.unwritten(error.chain());
                None
            }
        }
    }

    /// Whether the journal, which could not be written, can be again: not before there is room for more than what
    /// happens to be small. Also tells of one that was damaged.
    pub(super) fn try_journal(&mut self) {
        if self.troubles.journal.is_none() {
            // Where nothing happens, nothing else would show that somebody took it away, and the lock with it.
            self.write(Journal::keep);
        } else if self.write(Journal::touch).is_some() {
            self.troubles.journal = None;
            tracing::info!("the journal can be written again");
            self.refresh_history();
            self.desk.over(self.clock.now(), Topic::Service, "", UNWRITTEN);
        }
        if let Some(mended) = self.journal.take_mended() {
            self.desk.tell(&self.notice(MENDED, vec![mended.to_string()]));
        }
    }

    /// The journal could not be written.
    pub(super) fn unwritten(&mut self, error: String) {
        if self.troubles.journal.is_none() {
            tracing::error!(error, "journal");
        }
        self.desk.trouble(&self.notice(UNWRITTEN, vec![error.clone()]));
        self.troubles.journal = Some(error);
    }

    /// These secrets could not be read anew, or none any more; they are read again soon.
    pub(super) fn unread(&mut self, reasons: Vec<String>) {
        if reasons.is_empty() {
            if self.troubles.secrets.take().is_some() {
                tracing::info!("every secret was read anew");
                self.desk.over(self.clock.now(), Topic::Service, "", UNREAD);
            }
            return;
        }
        let told = reasons.join("; ");
        if self.troubles.secrets.is_none() {
            tracing::warn!(reason = told, "{UNREAD}");
            // Somebody may be putting it there at this moment: however long others were denied, this begins anew.
            self.denied = 0;
        }
        self.desk.trouble(&self.notice(UNREAD, reasons));
        self.troubles.secrets = Some(told);
    }

    pub(super) fn refresh_history(&mut self) {
        let latest = Filter { limit: Some(SHOWN), newest_first: true, ..Filter::default() };
        if let Ok(latest) = self.journal.entries(&latest) {
            self.history = latest.into_iter().map(Entry::for_show).collect();
        }
    }

    /// How the service stands, in one line.
    pub(super) fn status_line(&self) -> String {
        let round = match &self.last {
            Some(last) => line(&last.round),
            None => "the first round is under way".to_owned(),
        };
        match self.active.patiences.away.absences().as_slice() {
            [] => round,
            absences => {
                let names: Vec<&str> = absences.iter().map(|absence| absence.account.as_str()).collect();
                format!("{round}; left alone for a while: {}", names.join(", "))
            }
        }
    }

    /// Something of the service itself, for whoever is told.
    pub(super) fn notice(&self, title: &str, details: Vec<String>) -> Notice {
        notice_of_service(&self.active.desired.owner, self.clock.now(), title, details)
    }

    /// Shows how things stand to whoever looks.
    pub(super) fn publish(&mut self) {
        let (now, instant) = (self.clock.now(), Instant::now());
        let clock = &self.clock;
        let at = |then: Instant| now + span(clock, then.saturating_duration_since(instant));
        let past = |then: Moment| then.seen_from(clock, now, instant);
        let resting = |Absence { account, until, reason, failures, .. }| Resting {
            account,
            until: at(until),
            reason,
            failures,
        };
        self.source.count(&mut self.counts);
        (self.counts.notices, self.counts.retried) = (self.desk.counts(), self.desk.retried());
        let journal = self.troubles.journal.iter().map(|error| format!("the journal: {error}"));
        let secrets = self.troubles.secrets.iter().map(|reasons| format!("{UNREAD}: {reasons}"));
        let troubles = journal.chain(self.troubles.configuration.clone()).chain(secrets);
        let troubles = troubles.chain(self.desk.troubles());
        let snapshot = Snapshot {
            owner: self.active.desired.owner.to_string(),
            program: env!("CARGO_PKG_VERSION"),
            started: past(self.started),
            last: self.last.clone(),
            converged: self.converged.map(past),
            since: self.since.map(past),
            // Two rounds may fail before anybody is woken.
            patience: clock
                .span(self.active.pace.interval * 3 + self.active.reconciler.verification.patience),
            next: self.round.is_none().then(|| at(self.next_round)),
            busy: self.round.is_some(),
            overtaken: self.last.is_some() && !self.fresh,
            resting: self.active.patiences.away.absences().into_iter().map(resting).collect(),
            history: self.history.clone(),
            troubles: troubles.collect(),
            counts: self.counts.clone(),
            beat: self.beat.clone(),
        };
        self.snapshots.send_replace(Arc::new(snapshot));
    }
}

impl Moment {
    /// The time of day that it has by the clock as it is `now`. Of a clock that was set back nothing stays in the
    /// future, where it would count as recent until then.
    fn seen_from(self, clock: &Clock, now: OffsetDateTime, instant: Instant) -> OffsetDateTime {
        let by_now = now - span(clock, instant.saturating_duration_since(self.instant));
        // Two clocks never agree to the millisecond.
        if self.at > by_now + SLACK { by_now } else { self.at }
    }
}

/// As the log says it: to the millisecond.
pub(super) fn seconds(span: Duration) -> f64 {
    span.as_millis() as f64 / 1e3
}

/// How far `clock` goes in so much steady time.
fn span(clock: &Clock, steady: Duration) -> Span {
    Span::try_from(clock.span(steady)).unwrap_or_default()
}

/// What came of a round, in one line.
pub(super) fn line(round: &Round) -> String {
    let (word, rest) = round.headline();
    format!("{word}: {rest}")
}

/// What a service shows that has just begun.
pub(super) fn nothing(started: OffsetDateTime, beat: Beat) -> Snapshot {
    Snapshot {
        owner: String::new(),
        program: env!("CARGO_PKG_VERSION"),
        started,
        last: None,
        converged: None,
        since: None,
        patience: Duration::ZERO,
        next: None,
        busy: true,
        overtaken: false,
        resting: Vec::new(),
        history: Vec::new(),
        troubles: Vec::new(),
        counts: Counts::default(),
        beat,
    }
}

/// The trouble with the journal, as it is told and known again.
const UNWRITTEN: &str = "the journal could not be written; the work goes on without it";
/// The trouble with secrets, likewise.
const UNREAD: &str = "a secret could not be read anew; the one from before is used";
const MENDED: &str =
    "the journal was damaged; what it held is lost to `cnamed history`, and a new one is begun";
/// How far two clocks may be apart for reasons of their own.
const SLACK: Span = Span::SECOND;
/// How many entries of the journal are shown.
const SHOWN: usize = 50;
