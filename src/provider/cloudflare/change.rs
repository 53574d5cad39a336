//! One change against what stands: done already, stale, or these operations.

use std::collections::BTreeSet;

use super::record::{Draft, Held, Record, hold};
use crate::model::name::Fqdn;
use crate::model::plan::{RecordChange, Verb};
use crate::model::record::{Content, Data, Owner, RecordSet, RecordType, mark};
use crate::provider::{Error, Kind};

/// One change and whom it is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task<'a> {
    pub(super) change: &'a RecordChange,
    pub(super) owner: &'a Owner,
    /// Whether the name is its zone's apex, where a CNAME is flattened and stands beside other types.
    pub(super) apex: bool,
    /// Its place among the changes that were asked for.
    pub(super) place: usize,
}

/// What has to be sent for one change; never split between transactions.
#[derive(Clone, Debug)]
pub(super) struct Unit<'a> {
    pub(super) task: Task<'a>,
    pub(super) deletes: Vec<String>,
    /// Each with its id.
    pub(super) patches: Vec<Draft>,
    pub(super) posts: Vec<Draft>,
    /// Records of the wanted set that are right as they are.
    kept: Vec<Record>,
}

/// What follows from a change and what stands at its name.
pub(super) enum Decision<'a> {
    /// Nothing has to be sent.
    Done(Vec<RecordSet>),
    Send(Unit<'a>),
    Refuse(Error),
}

impl<'a> Task<'a> {
    pub(super) fn name(&self) -> &'a Fqdn {
        &self.change.key.name
    }

    /// What is done, as a verb phrase of an error.
    pub(super) fn operation(&self) -> &'static str {
        match self.change.verb() {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Delete => "withdraw",
        }
    }

    /// What it is done to.
    pub(super) fn resource(&self) -> String {
        self.change.key.to_string()
    }

    pub(super) fn error(&self, kind: Kind) -> Error {
        Error::new(kind, self.operation(), self.resource())
    }

    /// What has to be done while `held` stands at the name.
    pub(super) fn decide(self, held: &[Held]) -> Decision<'a> {
        if let Some(sets) = self.satisfied(held) {
            return Decision::Done(sets);
        }
        if !self.is_fresh(held) {
            return Decision::Refuse(self.error(Kind::Stale));
        }
        match &self.change.after {
            Some(content) => self.write(content, held),
            None => Decision::Send(Unit {
                deletes: self
                    .displaced(held)
                    .flat_map(|held| &held.records)
                    .map(|one| one.id.clone())
                    .collect(),
                ..Unit::empty(self)
            }),
        }
    }

    /// What stands at the name, if that is what the change is for.
    pub(super) fn satisfied(&self, held: &[Held]) -> Option<Vec<RecordSet>> {
        let Some(content) = &self.change.after else {
            let gone = |set: &RecordSet| held.iter().all(|held| held.rtype() != set.content.data.rtype());
            return self.change.before.iter().all(gone).then(Vec::new);
        };
        let mut conflicting = held.iter().filter(|held| self.conflicts(content, held));
        let (only, others) = (conflicting.next()?, conflicting.count());
        let right = only.set.is_ours(self.owner) && only.set.content.same(content);
        (right && others == 0).then(|| vec![only.set.clone()])
    }

    /// Whether what the plan was made against stands unchanged, and nothing has come that it would clash with.
    pub(super) fn is_fresh(&self, held: &[Held]) -> bool {
        let before = &self.change.before;
        let unchanged = |set: &RecordSet| held.iter().any(|held| is_version_of(held, set));
        let expected = |held: &Held| before.iter().any(|set| is_version_of(held, set));
        let welcome = |held: &&Held| match &self.change.after {
            Some(content) => !self.conflicts(content, held),
            None => true,
        };
        before.iter().all(unchanged) && held.iter().all(|held| expected(held) || welcome(&held))
    }

    /// Whether `held` is the set to write, or cannot stand beside it (RFC 1034, 3.6.2).
    fn conflicts(&self, content: &Content, held: &Held) -> bool {
        match (content.data.rtype(), held.rtype()) {
            (wanted, held) if wanted == held => true,
            (_, RecordType::Cname) | (RecordType::Cname, RecordType::A | RecordType::Aaaa) => true,
            (RecordType::Cname, _) => !self.apex,
            _ => false,
        }
    }

    fn displaced<'h>(&self, held: &'h [Held]) -> impl Iterator<Item = &'h Held> + use<'h, 'a> {
        let before = &self.change.before;
        held.iter().filter(move |held| before.iter().any(|set| is_version_of(held, set)))
    }

    fn write(self, content: &Content, held: &[Held]) -> Decision<'a> {
        let rtype = content.data.rtype();
        let texts: BTreeSet<String> = match &content.data {
            Data::Cname(target) => [target.to_string()].into(),
            Data::A(addresses) => addresses.iter().map(ToString::to_string).collect(),
            Data::Aaaa(addresses) => addresses.iter().map(ToString::to_string).collect(),
            Data::Alias { .. } | Data::Opaque { .. } => {
                let error = self.error(Kind::Rejected);
                return Decision::Refuse(error.remedy("Cloudflare takes the modes cname and address"));
            }
        };
        let displaced = || self.displaced(held);
        let mut free: Vec<&Record> =
            displaced().filter(|held| held.rtype() == rtype).flat_map(|held| &held.records).collect();
        let others = displaced().filter(|held| held.rtype() != rtype).flat_map(|held| &held.records);
        let others: Vec<&Record> = others.collect();
        // What a person wrote, and the tags, outlive the record that carried them.
        let heir = free.first().or(others.first()).copied();
        let mut unit = Unit::empty(self);
        // Records that already say one of the texts first, so that no two ever say the same.
        let mut missing = Vec::new();
        for text in texts {
            let found = free.iter().position(|record| says(record, &rtype, &text));
            match found.map(|at| free.remove(at)) {
                Some(record) => match self.patch(content, record, text) {
                    Ok(None) => unit.kept.push(record.clone()),
                    Ok(Some(draft)) => unit.patches.push(draft),
                    Err(error) => return Decision::Refuse(error),
                },
                None => missing.push(text),
            }
        }
        for text in missing {
            let draft = match free.pop() {
                Some(record) => self.patch(content, record, text).map(|draft| (draft, true)),
                None => self.draft(content, text, heir).map(|draft| (Some(draft), false)),
            };
            match draft {
                Ok((draft, true)) => unit.patches.extend(draft),
                Ok((draft, false)) => unit.posts.extend(draft),
                Err(error) => return Decision::Refuse(error),
            }
        }
        unit.deletes = free.into_iter().chain(others).map(|record| record.id.clone()).collect();
        Decision::Send(unit)
    }

    /// How `record` comes to say `text`; `None` when it is right as it is.
    fn patch(&self, content: &Content, record: &Record, text: String) -> Result<Option<Draft>, Error> {
        let right = says(record, &content.data.rtype(), &text)
            && record.ttl == Some(content.ttl.seconds())
            && record.proxied.unwrap_or(false) == content.proxied
            && record.mark().as_ref() == Some(self.owner);
        if right {
            return Ok(None);
        }
        let draft = self.draft(content, text, Some(record))?;
        Ok(Some(Draft { id: Some(record.id.clone()), tags: Vec::new(), ..draft }))
    }

    fn draft(&self, content: &Content, text: String, heir: Option<&Record>) -> Result<Draft, Error> {
        let human = heir.map(Record::human).unwrap_or_default();
        let Some(comment) = mark::join(human, self.owner, LONGEST_COMMENT) else {
            let room = mark::room(self.owner, LONGEST_COMMENT);
            let remedy = format!(
                "its comment leaves no room for our mark within {LONGEST_COMMENT} characters; shorten it to {room}"
            );
            return Err(self.error(Kind::Rejected).remedy(remedy));
        };
        Ok(Draft {
            id: None,
            rtype: content.data.rtype().to_string(),
            name: self.name().to_string(),
            content: text,
            ttl: content.ttl.seconds(),
            proxied: content.proxied,
            comment,
            tags: heir.and_then(|heir| heir.tags.clone()).unwrap_or_default(),
        })
    }
}

impl<'a> Unit<'a> {
    fn empty(task: Task<'a>) -> Self {
        Self { task, deletes: Vec::new(), patches: Vec::new(), posts: Vec::new(), kept: Vec::new() }
    }

    /// How many operations it is.
    pub(super) fn operations(&self) -> usize {
        self.deletes.len() + self.patches.len() + self.posts.len()
    }

    /// What stands now that Cloudflare answered with `written`; an error when that is not what was asked for.
    pub(super) fn conclude(&self, written: &[Record]) -> Result<Vec<RecordSet>, Error> {
        let Some(content) = &self.task.change.after else { return Ok(Vec::new()) };
        let rtype = content.data.rtype();
        let of_this = |record: &&Record| {
            Fqdn::parse(&record.name).as_ref() == Ok(self.task.name())
                && RecordType::from(record.rtype.as_str()) == rtype
        };
        let now = written.iter().filter(of_this).chain(&self.kept).cloned();
        let sets: Vec<RecordSet> = hold(now).into_values().flatten().map(|held| held.set).collect();
        match sets.as_slice() {
            [set] if set.content.same(content) && set.is_ours(self.task.owner) => Ok(sets),
            [set] => {
                let remedy =
                    format!("Cloudflare keeps it as {}, not as {content}; wish for that", set.content);
                Err(self.task.error(Kind::Rejected).remedy(remedy))
            }
            _ => Err(self.task.error(Kind::Unconfirmed)),
        }
    }
}

impl Held {
    fn rtype(&self) -> RecordType {
        self.set.content.data.rtype()
    }
}

fn is_version_of(held: &Held, set: &RecordSet) -> bool {
    held.rtype() == set.content.data.rtype() && held.set.version == set.version
}

fn says(record: &Record, rtype: &RecordType, text: &str) -> bool {
    match record.datum() {
        Data::Cname(target) => *rtype == RecordType::Cname && target.as_str() == text,
        Data::A(addresses) => addresses.iter().any(|address| address.to_string() == text),
        Data::Aaaa(addresses) => addresses.iter().any(|address| address.to_string() == text),
        Data::Alias { .. } | Data::Opaque { .. } => false,
    }
}

/// On the Free plan; longer comments of paid plans are left to people.
pub(super) const LONGEST_COMMENT: usize = 100;
