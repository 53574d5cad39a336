//! Begin a round, and make the most of what it found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::agreement::{Awaited, Word};
use super::beside::Watched;
use super::label::{Glimpse, Picture};
use super::pace::rest;
use super::standing::{line, seconds};
use super::watcher::{Done, Watcher};
use super::{Calm, Moment, Running, Service, Source};
use crate::journal::{Noticed, What};
use crate::model::endpoint::Handle;
use crate::model::sight::{Happening, Sight};
use crate::model::state::EndpointState;
use crate::notify::Pulse;
use crate::notify::words::{notice_of_happening, notices_of, notices_of_changes, unsettled};
use crate::reconcile::Glance;
use crate::reconcile::round::{ChangeOutcome, ChangeReport, Outcome, Round};
use crate::telemetry::snapshot::{Finished, Trigger};

impl<S: Source> Service<S> {
    /// Begins a round; none may be under way.
    pub(super) fn begin(&mut self, trigger: Trigger) {
        if !self.may_begin() {
            self.call_again(trigger);
            return;
        }
        if let Some(setup) = self.coming.take() {
            self.take_over(setup);
        }
        self.again = None;
        self.take_all_in();
        self.beside.forget();
        // Whoever asks for a round may have mended what kept an account away, a secret among it.
        if trigger == Trigger::Signal {
            if self.active.patiences.away.is_denied() {
                self.renew();
            }
            self.active.patiences.hurry();
        }
        self.try_journal();
        self.desk.pulse(&Pulse::Begun);
        let watcher = self.watcher();
        let (active, watch) = (Arc::clone(&self.active), Arc::clone(&watcher));
        let future = async move {
            let run = active.reconciler.run(&active.desired, None, watch.as_ref()).await;
            match run {
                Ok(round) => round,
                // Only what was reviewed can differ, and nothing was.
                Err(_) => active.reconciler.status(&active.desired, watch.as_ref()).await,
            }
        };
        let (future, began) = (future.boxed_local(), Instant::now());
        let watched = Watched { watcher, trigger, began };
        self.round = Some(Running { future, watched, happened: false, told: Vec::new() });
    }

    /// A round is to follow. What somebody asked for is more than a round.
    pub(super) fn call_again(&mut self, trigger: Trigger) {
        self.again = self.again.filter(|again| *again == Trigger::Signal).or(Some(trigger));
    }

    pub(super) fn watcher(&self) -> Arc<Watcher> {
        Watcher::new(Arc::clone(&self.journal), self.clock.clone(), Arc::clone(&self.news))
    }

    /// Takes in what was seen of endpoints by whatever still goes on: nobody has to wait for the rest of it. Gives
    /// whether anything has happened.
    pub(super) fn hear_news(&mut self) -> bool {
        let running = self.round.as_ref().map(|round| round.watched.clone());
        let mut any = false;
        for Watched { watcher, trigger, began } in running.into_iter().chain(self.beside.watched()) {
            let mut seen = watcher.seen();
            // The first that is known of an endpoint is all of it.
            seen.retain(|endpoint, _| self.sights.contains_key(endpoint));
            any |= self.seen(&seen, trigger, began, watcher.looked());
        }
        if any {
            self.calm = Calm::NONE;
            self.round.iter_mut().for_each(|round| round.happened = true);
        }
        any
    }

    /// Gives up the round that runs, if one does: what it has changed is told, and what was in flight given back.
    pub(super) fn abandon(&mut self, why: &str) -> Vec<String> {
        let Some(Running { future, watched, .. }) = self.round.take() else { return Vec::new() };
        drop(future);
        self.given_up(&watched.watcher, why)
    }

    /// What whoever was watched has changed is told, and what was in flight given back.
    pub(super) fn given_up(&mut self, watcher: &Watcher, why: &str) -> Vec<String> {
        watcher.give_up(why);
        let done = self.changed(watcher, Instant::now());
        let done: Vec<ChangeReport> = done.into_iter().map(|done| done.report).collect();
        self.tell_changes(&done);
        let unsure = done.iter().filter(|report| report.outcome == ChangeOutcome::Unconfirmed);
        unsure.map(ToString::to_string).collect()
    }

    pub(super) fn tell_changes(&mut self, changes: &[ChangeReport]) {
        for notice in notices_of_changes(changes, &self.active.desired.owner, self.clock.now()) {
            self.desk.tell(&notice);
        }
    }

    /// Tells what the round that runs has changed so far.
    pub(super) fn tell_so_far(&mut self) {
        let Some(Watched { watcher, began, .. }) = self.round.as_ref().map(|round| round.watched.clone())
        else {
            return;
        };
        let done = self.changed(&watcher, began).into_iter().filter(Done::may_stand);
        let reports: Vec<ChangeReport> = done.map(|done| done.report).collect();
        self.tell_changes(&reports);
        if let Some(round) = &mut self.round {
            round.happened |= !reports.is_empty();
            round.told.extend(reports);
        }
    }

    /// Takes in what a round found and did.
    pub(super) fn finish(&mut self, round: Round) {
        self.take_all_in();
        let Some(Running { watched, happened, told, .. }) = self.round.take() else { return };
        let Watched { watcher, trigger, began } = watched;
        let looked = watcher.looked();
        let overtaken = self.beside.written_since(looked);
        let mut round = round.overtaken_at(&overtaken);
        // In this order: whatever comes between the two makes the round longer than it was, and nothing that it asked
        // falls outside of it.
        let at = self.clock.now();
        let now = Instant::now();
        *self.counts.rounds.entry(round.outcome).or_default() += 1;
        self.spared = Duration::ZERO;
        let done = self.changed(&watcher, began);
        let happened = self.seen(&round.observed.endpoints, trigger, began, looked) || happened;
        self.agree(Word::of(&round), looked, now);
        self.active.doubt_zones(&round.observed);
        let well = is_well(round.outcome);
        let was_well = self.last.as_ref().map(|last| is_well(last.round.outcome));
        if was_well != Some(well) {
            self.since = Some(Moment { at, instant: now });
        }
        if well {
            self.converged = Some(Moment { at, instant: now });
        }
        // In the order in which it came to pass, some of it was told before.
        let all = round.changes.clone();
        round.changes.retain(|change| !told.contains(change));
        let notices = notices_of(&round, &self.active.desired.owner, at);
        round.changes = all;
        self.desk.round(at, &notices, &unsettled(&round, self.agreement.served()));
        self.desk.pulse(&if well { Pulse::Well } else { Pulse::Ill(line(&round)) });
        if !self.active.patiences.away.is_denied() && self.troubles.secrets.is_none() {
            (self.denied, self.renewal) = (0, None);
        } else if self.renewal.is_none() {
            self.denied = self.denied.saturating_add(1);
            self.renewal = Some(now + rest(self.denied, None, self.active.chance.draw()));
        }
        let took = self.clock.span(now.saturating_duration_since(began));
        log(&round, trigger, took);
        self.mind_absences();
        let any = |outcome| done.iter().any(|done| done.report.outcome == outcome);
        // What may have been made is looked at soon; while nobody confirms anything, less and less often.
        let unsure =
            any(ChangeOutcome::Unconfirmed) && !self.last.as_ref().is_some_and(|last| is_unsure(&last.round));
        let changed = happened || any(ChangeOutcome::Applied) || unsure;
        self.calm = self.calm.after(changed);
        self.next_round = now + self.active.pace.wait(self.calm, self.active.chance.draw());
        self.last = Some(Arc::new(Finished { round, at, took, trigger }));
        self.fresh = overtaken.is_empty() && self.happened_at.is_none_or(|at| at <= looked);
        // A look that takes long is about what this round may have changed.
        self.names = None;
        self.next_names = now + self.agreement.pause(now);
        if !self.announced {
            self.announce();
        }
        self.supervisor.status(&self.status_line());
        if let Some(trigger) = self.again.take() {
            self.begin(trigger);
        }
    }

    /// Takes in what name servers say of what the last round has left.
    pub(super) fn heard(&mut self, names: &Glance) {
        self.names = None;
        let now = Instant::now();
        self.agree(Word::from(names), now, now);
    }

    /// Takes in what the servers of a label say.
    pub(super) fn looked(&mut self, endpoint: &Handle, picture: Picture) {
        self.asked.remove(endpoint);
        let now = Instant::now();
        let sight = self.sights.get(endpoint).filter(|_| !picture.is_empty()).cloned();
        let glimpse = sight.map(|sight| {
            let outside = self.outside.entry(endpoint.clone()).or_default();
            (outside.take(picture, &sight), sight)
        });
        let wanted = glimpse.as_ref().is_some_and(|(glimpse, _)| glimpse.round);
        if let Some((Glimpse { happening: Some(happening), .. }, sight)) = glimpse {
            let shown = happening.after.as_deref().and_then(|text| text.parse().ok());
            self.remember(endpoint, Sight { shown, ..sight });
            self.known.insert(endpoint.clone(), now);
            self.happened(endpoint, happening, Noticed::Label, now);
            // The round that follows finds nothing new in it, and it may not be the last of it.
            self.calm = Calm::NONE;
        }
        if wanted {
            self.want(Trigger::Label);
        } else if let Some(trigger) = self.again {
            // The round that was busy then may only wait by now.
            self.begin_instead(trigger);
        }
    }

    /// What changed since the last certain look at each endpoint, and whether anything did.
    ///
    /// `looked` is when that began which was seen: of an endpoint of which something newer is known it tells nothing.
    pub(super) fn seen(
        &mut self,
        endpoints: &BTreeMap<Handle, EndpointState>,
        trigger: Trigger,
        began: Instant,
        looked: Instant,
    ) -> bool {
        let noticed = match trigger {
            Trigger::Start => Noticed::Start,
            Trigger::Label => Noticed::Label,
            Trigger::Timer | Trigger::Signal | Trigger::Reload | Trigger::Back => Noticed::Round,
        };
        let mut any = false;
        for (endpoint, state) in endpoints {
            let newer = self.known.get(endpoint).is_some_and(|known| *known > looked);
            let Some(sight) = Sight::of(state).filter(|_| !newer) else { continue };
            self.known.insert(endpoint.clone(), looked);
            let Some(earlier) = self.sights.get(endpoint) else {
                self.remember(endpoint, sight);
                continue;
            };
            let sight = sight.after(earlier);
            if &sight == earlier {
                continue;
            }
            let Some(wanted) = self.active.desired.endpoints.get(endpoint) else { continue };
            for happening in sight.since(earlier, &wanted.public_ip.label) {
                any = true;
                self.happened(endpoint, happening, noticed, began);
            }
            self.remember(endpoint, sight);
        }
        any
    }

    /// Writes down what happened to an endpoint, tells it, and waits for everybody to say so.
    fn happened(&mut self, endpoint: &Handle, happening: Happening, noticed: Noticed, since: Instant) {
        self.fresh = false;
        self.happened_at = Some(since);
        // What is still being asked was asked of what stood there before.
        self.names = None;
        let Happening { kind, before, after } = &happening;
        let (kind, noticed_by) = (kind.as_str(), noticed.as_str());
        tracing::warn!(%endpoint, kind, before, after, noticed = noticed_by, %happening, "address");
        let at = self.clock.now();
        *self.counts.happenings.entry(happening.kind.as_str()).or_default() += 1;
        self.desk.tell(&notice_of_happening(endpoint, &happening, noticed, &self.active.desired, at));
        let awaited = Awaited::of(endpoint, &happening, self.sights.get(endpoint));
        let what = What::Happening { endpoint: endpoint.clone(), happening, noticed };
        let entry = self.write(|journal| journal.record(at, &what));
        if let (Some(entry), Some(awaited)) = (entry, awaited) {
            self.agreement.expect_endpoint(entry, endpoint, awaited, &self.active.desired, since);
        }
    }

    /// What a round has changed, counted and waited for.
    pub(super) fn changed(&mut self, watcher: &Watcher, since: Instant) -> Vec<Done> {
        let (done, trouble) = watcher.take();
        if let Some(error) = trouble {
            self.unwritten(error);
        }
        for Done { entry, report, key, .. } in &done {
            self.counts.change(report);
            if let (Some(entry), Some((key, ttl, awaited)), ChangeOutcome::Applied) =
                (entry, key, report.outcome)
            {
                self.agreement.expect_record(*entry, awaited.clone(), (key, *ttl), since);
            }
        }
        if !done.is_empty() {
            self.refresh_history();
        }
        done
    }
}

fn is_unsure(round: &Round) -> bool {
    round.changes.iter().any(|change| change.outcome == ChangeOutcome::Unconfirmed)
}

/// The one line that is said of every round.
fn log(round: &Round, trigger: Trigger, took: Duration) {
    let (outcome, trigger, changes) = (round.outcome.as_str(), trigger.as_str(), round.changes.len());
    let (took_s, why) = (seconds(took), round.why());
    match round.outcome {
        Outcome::InSync | Outcome::Changed => {
            tracing::info!(outcome, trigger, changes, took_s, why, "round");
        }
        Outcome::Failed => tracing::error!(outcome, trigger, changes, took_s, why, "round"),
        Outcome::Partial | Outcome::Refused | Outcome::Unverified | Outcome::Pending => {
            tracing::warn!(outcome, trigger, changes, took_s, why, "round");
        }
    }
}

/// Whether everything is as it should be, and was seen to be.
fn is_well(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::InSync | Outcome::Changed)
}
