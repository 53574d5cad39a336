//! Changes into calls: single ones while they are few, transactions when they are many or must not come apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::api::{CallError, failed};
use super::calls::{Batch, CreateRecord, DeleteRecord, Id, Operations, PatchRecord};
use super::change::{Decision, Task, Unit};
use super::{Cloudflare, Reading};
use crate::model::name::Fqdn;
use crate::model::plan::RecordChange;
use crate::model::record::{Owner, RecordSet};
use crate::model::state::Zone;
use crate::provider::{Error, Kind, Trail};

/// What became of one change.
type Outcome = Result<Vec<RecordSet>, Error>;

/// The making of one zone's changes.
pub(super) struct Apply<'a> {
    provider: &'a Cloudflare,
    zone: &'a Zone,
    outcomes: Vec<Option<Outcome>>,
}

impl<'a> Apply<'a> {
    pub(super) async fn run(
        provider: &'a Cloudflare,
        zone: &'a Zone,
        owner: &'a Owner,
        changes: &'a [RecordChange],
    ) -> Vec<Outcome> {
        let mut apply = Self { provider, zone, outcomes: changes.iter().map(|_| None).collect() };
        let task = |(place, change): (usize, &'a RecordChange)| Task {
            change,
            owner,
            apex: zone.name.apex() == &change.key.name,
            place,
        };
        let mut waiting: Vec<Task<'a>> = changes.iter().enumerate().map(task).collect();
        // Changes that share a name are made one after the other, each against what the one before it left.
        while !waiting.is_empty() {
            let mut names = BTreeSet::new();
            let (now, later) = waiting.into_iter().partition(|task| names.insert(task.name()));
            apply.wave(now).await;
            waiting = later;
        }
        let lost = |(change, outcome): (&RecordChange, Option<Outcome>)| {
            let unconfirmed = || Err(Error::new(Kind::Unconfirmed, "change", change.key.to_string()));
            outcome.unwrap_or_else(unconfirmed)
        };
        changes.iter().zip(apply.outcomes).map(lost).collect()
    }

    /// Makes changes of different names.
    async fn wave(&mut self, tasks: Vec<Task<'a>>) {
        // Cloudflare would complete such a name with the zone's and create something that nobody asked for.
        let (tasks, outside): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| self.zone.name.holds(task.name()));
        for task in outside {
            self.settle(
                &task,
                Err(task.error(Kind::Rejected).remedy(format!("it is not in {}", self.zone.name))),
            );
        }
        let mut readings = self.read(tasks.iter().map(Task::name)).await;
        let mut units = Vec::new();
        for task in tasks {
            let decision = match readings.remove(task.name()) {
                Some(Ok(held)) => task.decide(&held),
                Some(Err(cause)) => {
                    let resource = task.resource();
                    Decision::Refuse(failed(&cause, cause.kind(), "read, before changing it,", resource))
                }
                None => Decision::Refuse(task.error(Kind::Unreachable)),
            };
            match decision {
                Decision::Done(sets) => self.settle(&task, Ok(sets)),
                Decision::Refuse(error) => self.settle(&task, Err(error)),
                Decision::Send(unit) => units.push(unit),
            }
        }
        self.send(units).await;
    }

    async fn send(&mut self, units: Vec<Unit<'a>>) {
        let few = units.len() <= FEW;
        let (single, together): (Vec<_>, Vec<_>) =
            units.into_iter().partition(|unit| few && unit.operations() == 1);
        let mut stopped = None;
        let mut queue: Vec<Vec<Unit<'a>>> = chunks(together);
        queue.extend(single.into_iter().map(|unit| vec![unit]));
        queue.reverse();
        let mut refusals = 0;
        while let Some(chunk) = queue.pop() {
            if let Some(cause) = &stopped {
                self.refuse(&chunk, cause);
                continue;
            }
            let sent = self.transact(&chunk);
            let sent = match chunk.as_slice() {
                [alone] => Trail::within(alone.task.place, sent).await,
                _ => sent.await,
            };
            match sent {
                Ok(written) => {
                    for unit in &chunk {
                        self.settle(&unit.task, unit.conclude(&written));
                    }
                }
                Err(CallError::Refused(refusal))
                    if chunk.len() > 1 && refusal.is_about_one() && refusals < PATIENCE =>
                {
                    refusals += 1;
                    // One bad record refuses the whole transaction: halve it until the bad one stands alone.
                    let mut first = chunk;
                    let second = first.split_off(first.len() / 2);
                    queue.extend([second, first]);
                }
                Err(cause) => stopped = self.failed(&chunk, Arc::new(cause)).await,
            }
        }
    }

    /// Sends `chunk` as one call: as a transaction, unless it is a single operation.
    async fn transact(&self, chunk: &[Unit<'a>]) -> Result<Vec<super::record::Record>, CallError> {
        let (client, zone) = (&self.provider.client, self.zone.id.as_str());
        if let [Unit { deletes, patches, posts, .. }] = chunk {
            match (deletes.as_slice(), patches.as_slice(), posts.as_slice()) {
                ([id], [], []) => {
                    return client.call(&DeleteRecord { zone, id }).await.map(|_| Vec::new());
                }
                ([], [draft], []) => {
                    let id = draft.id.as_deref().unwrap_or_default();
                    let answer = client.call(&PatchRecord { zone, id, record: &draft.unnumbered() }).await?;
                    return Ok(vec![answer.result]);
                }
                ([], [], [record]) => {
                    return client
                        .call(&CreateRecord { zone, record })
                        .await
                        .map(|answer| vec![answer.result]);
                }
                _ => {}
            }
        }
        let mut operations = Operations::default();
        for unit in chunk {
            operations.deletes.extend(unit.deletes.iter().map(|id| Id { id: id.clone() }));
            operations.patches.extend(unit.patches.iter().cloned());
            operations.posts.extend(unit.posts.iter().cloned());
        }
        let outcome = client.call(&Batch { zone, operations: &operations }).await?.result;
        Ok([outcome.patches, outcome.posts].into_iter().flatten().flatten().collect())
    }

    /// Judges a call without a usable answer; gives the cause back when nothing more should be sent.
    async fn failed(&mut self, chunk: &[Unit<'a>], cause: Arc<CallError>) -> Option<Arc<CallError>> {
        let contradicted = matches!(&*cause, CallError::Refused(refusal) if refusal.is_about_presence());
        if !cause.is_ambiguous() && !contradicted {
            self.refuse(chunk, &cause);
            let of_this_chunk = matches!(cause.kind(), Kind::Rejected | Kind::Stale | Kind::Missing);
            return (!of_this_chunk).then_some(cause);
        }
        let mut readings = self.read(chunk.iter().map(|unit| unit.task.name())).await;
        let mut unread = false;
        for unit in chunk {
            let task = &unit.task;
            let error = |kind| failed(&cause, kind, task.operation(), task.resource());
            let outcome = match readings.remove(task.name()) {
                Some(Ok(held)) => match task.satisfied(&held) {
                    Some(sets) => Ok(sets),
                    // It has not happened: what the plan was made against stands.
                    None if task.is_fresh(&held) && contradicted => Err(error(cause.kind())),
                    None if task.is_fresh(&held) && cause.may_yet_come() => {
                        Err(error(Kind::Unconfirmed).so_far_nothing(Arc::clone(&cause)))
                    }
                    None if task.is_fresh(&held) => Err(error(Kind::Unreachable)),
                    None if contradicted => Err(error(Kind::Stale)),
                    None => Err(error(Kind::Unconfirmed)),
                },
                Some(Err(_)) | None => {
                    unread = true;
                    Err(error(Kind::Unconfirmed))
                }
            };
            self.settle(task, outcome);
        }
        unread.then_some(cause)
    }

    /// None of `chunk` was made, for `cause`.
    fn refuse(&mut self, chunk: &[Unit<'a>], cause: &Arc<CallError>) {
        for unit in chunk {
            let task = &unit.task;
            let kind = if cause.is_ambiguous() { Kind::Unreachable } else { cause.kind() };
            self.settle(task, Err(failed(cause, kind, task.operation(), task.resource())));
        }
    }

    fn settle(&mut self, task: &Task<'a>, outcome: Outcome) {
        if let Some(place) = self.outcomes.get_mut(task.place) {
            *place = Some(outcome);
        }
    }

    async fn read(&self, names: impl Iterator<Item = &'a Fqdn>) -> BTreeMap<Fqdn, Reading> {
        self.provider.read(&self.zone.id, &names.cloned().collect()).await
    }
}

/// Groups of units within the limit of one transaction; a unit is never split.
fn chunks(units: Vec<Unit<'_>>) -> Vec<Vec<Unit<'_>>> {
    let mut chunks: Vec<Vec<Unit<'_>>> = Vec::new();
    let mut size = 0;
    for unit in units {
        let operations = unit.operations();
        match chunks.last_mut() {
            Some(chunk) if size + operations <= BATCH => {
                size += operations;
                chunk.push(unit);
            }
            _ => {
                size = operations;
                chunks.push(vec![unit]);
            }
        }
    }
    chunks
}

/// So many single operations are sent one by one, each keeping its own outcome.
const FEW: usize = 3;
/// So many refused transactions are halved in search of the bad record. When nearly all are bad, as with a TTL that
/// the zone does not take, looking at each would cost more requests than the token has.
const PATIENCE: u32 = 50;
/// Operations in one batch on the Free plan; paid plans take 3,500, and gain little by it.
const BATCH: usize = 200;
