//! Giving up a label: every name leaves it first, and every cache forgets, then it goes.
//!
//! A label is free for anybody the moment it is renamed or deleted, so what counts is every CNAME of ours that
//! points at it, whichever endpoint the configuration ties it to now, and whether it is named there at all.

use std::collections::{BTreeSet, HashMap};

use super::derive::{BUSY, Follower, MAY_NOT_WITHDRAW, NEW_NAME, Planner, content, mode, sorted};
use super::{Action, NetworkChange, Note, Settle, Subject};
use crate::model::endpoint::{Endpoint, Intent, Provisioning, PublicIp};
use crate::model::name::Fqdn;
use crate::model::record::{Data, Mode, Policy, RecordSet, RecordType, Ttl};
use crate::model::state::{RecordKey, Wanted, Zone};
use crate::model::verify::{either_address, shows_as};

/// A label to be given up.
pub(super) struct Release<'p> {
    endpoint: &'p Endpoint,
    ip: &'p PublicIp,
    /// With the whole public IP, or by renaming it.
    delete: bool,
}

/// What is taken down once no name leads to it any more.
pub(super) enum Leaving<'p> {
    /// A label, with the gateway behind it where the public IP goes too.
    Label(Release<'p>),
    /// A gateway alone: its public IP is not ours, or is gone.
    Gateway(&'p Endpoint),
}

impl<'p> Planner<'p> {
    /// Withdraw, rename, restore: a public IP has one label, so the old one is free the moment it is renamed.
    ///
    /// Either all of it is planned or nothing: a name that is withdrawn for a rename that cannot follow is an
    /// outage for nothing.
    pub(super) fn relabel(&mut self, endpoint: &'p Endpoint, ip: &'p PublicIp) {
        let obstacle = self.obstacle(endpoint, ip, false);
        if let Some(waits_for) = &obstacle {
            self.block(Subject::PublicIp(endpoint.name.clone()), waits_for, false);
        }
        for (key, wanted) in self.followers_of(&endpoint.name) {
            if obstacle.is_none() && !wanted.withdraw && self.by_label((key, wanted)) {
                self.withdraw(key, wanted, "its label is renamed");
                self.block(Subject::Record(key.clone()), NEW_NAME, true);
            } else {
                self.record(key, wanted, ip, false);
            }
        }
        if obstacle.is_none() {
            self.releases.push(Leaving::Label(Release { endpoint, ip, delete: false }));
        }
    }

    /// Names first, then the wait, then what we made; what was there before stays.
    pub(super) fn take_down(&mut self, endpoint: &'p Endpoint, ip: Option<&'p PublicIp>) {
        for (key, wanted) in self.followers_of(&endpoint.name) {
            self.withdraw(key, wanted, "its endpoint is taken down");
        }
        let subject = Subject::PublicIp(endpoint.name.clone());
        match ip {
            Some(ip) if ip.mark.as_ref() == Some(&self.desired.owner) => {
                match self.obstacle(endpoint, ip, true) {
                    Some(waits_for) => self.block(subject, &waits_for, false),
                    None => self.releases.push(Leaving::Label(Release { endpoint, ip, delete: true })),
                }
            }
            Some(_) => {
                self.plan.notes.push(Note { subject, text: "does not carry our mark, and stays".into() });
                self.releases.push(Leaving::Gateway(endpoint));
            }
            None => self.releases.push(Leaving::Gateway(endpoint)),
        }
    }

    /// What keeps the label from being given up, if anything does.
    fn obstacle(&self, endpoint: &Endpoint, ip: &PublicIp, delete: bool) -> Option<String> {
        if ip.provisioning == Provisioning::Busy {
            return Some(BUSY.into());
        }
        if let Some(unread) = self.unread() {
            return Some(unread);
        }
        for follower in self.followers_of(&endpoint.name) {
            let (key, wanted) = follower;
            let leaves = delete || wanted.withdraw || self.by_label(follower);
            if leaves && self.unreadable(key).is_some() {
                return Some(format!("{key} to be readable"));
            }
            if leaves && wanted.policy != Policy::Sync && self.ours(key).next().is_some() {
                return Some(format!("{key}: {MAY_NOT_WITHDRAW}"));
            }
        }
        let label = ip.fqdn.as_ref()?;
        let stays = |key: &&&RecordKey| !self.leaves(key, endpoint, label, delete);
        self.pointing(label).iter().find(stays).map(|key| format!("{key} to leave it"))
    }

    /// Whether this plan makes `key`, which points at `label`, say something else.
    fn leaves(&self, key: &RecordKey, endpoint: &Endpoint, label: &Fqdn, delete: bool) -> bool {
        let Some(wanted) = self.desired.records.get(key) else {
            return self.desired.prune && self.zones.of(key).is_ok();
        };
        let Some(leader) = self.desired.endpoints.get(&wanted.endpoint) else { return false };
        // What cannot be written does not leave, whoever wants it to.
        if self.unreadable(key).is_some() {
            return false;
        }
        // Nothing that depends on an unread public IP changes, but for what was to be withdrawn anyhow.
        if self.observed.endpoints.get(&leader.name).is_none_or(|state| state.public_ip.unknown().is_some()) {
            return wanted.withdraw && wanted.policy == Policy::Sync;
        }
        let its_own = leader.name == endpoint.name;
        if wanted.withdraw || leader.intent == Intent::Remove {
            return wanted.policy == Policy::Sync;
        }
        if its_own && (delete || self.by_label((key, wanted))) {
            return true;
        }
        let Ok(zone) = self.zones.of(key) else { return false };
        let ip = self.observed.public_ip(&leader.name);
        let content = ip.and_then(|ip| content(key, wanted, zone, ip));
        wanted.policy != Policy::CreateOnly
            && content.is_some_and(|content| content.data != Data::Cname(label.clone()))
    }

    /// The first thing that was not read, in any account: a name of ours could hide in it.
    fn unread(&self) -> Option<String> {
        let zones = self.observed.zones.iter().find_map(|(account, seen)| {
            let reason = seen.unknown()?;
            Some(format!("the zones of {account}, which could not be read: {reason}"))
        });
        zones.or_else(|| {
            self.observed.records.iter().find_map(|(key, seen)| {
                let reason = seen.unknown()?;
                Some(format!("{key}, which could not be read: {reason}"))
            })
        })
    }

    /// Whether what stands at the name is the label's name, rather than what the label leads to.
    fn by_label(&self, (key, wanted): Follower<'_>) -> bool {
        self.zones.of(key).is_ok_and(|zone| mode(key, wanted, zone) == Mode::Cname)
    }

    /// Every name of ours that points at `label`.
    fn pointing(&self, label: &Fqdn) -> &[&'p RecordKey] {
        let index = self.pointing.get_or_init(|| {
            let mut index: HashMap<&Fqdn, Vec<&RecordKey>> = HashMap::new();
            for (key, target) in self.observed.cnames_of(&self.desired.owner) {
                index.entry(target).or_default().push(key);
            }
            index
        });
        index.get(label).map_or(&[], Vec::as_slice)
    }

    /// The waits and the releases themselves, after every step that makes a name leave.
    pub(super) fn releases(&mut self) {
        for leaving in std::mem::take(&mut self.releases) {
            let Release { endpoint, ip, delete } = match leaving {
                Leaving::Label(release) => release,
                Leaving::Gateway(endpoint) => {
                    self.abandon(endpoint);
                    continue;
                }
            };
            let mut leaving: Vec<&'p RecordKey> = (self.followers_of(&endpoint.name).into_iter())
                .filter(|(key, wanted)| delete || wanted.withdraw || self.zones.of(key).is_ok())
                .map(|(key, _)| key)
                .collect();
            if let Some(label) = &ip.fqdn {
                leaving.extend(self.pointing(label));
            }
            leaving.sort();
            leaving.dedup();
            if let Some(key) = leaving.iter().find(|key| self.remains(key, ip)) {
                let waits_for = format!("{key} to leave it");
                self.block(Subject::PublicIp(endpoint.name.clone()), &waits_for, false);
                continue;
            }
            let settled: Vec<usize> =
                leaving.into_iter().filter_map(|key| self.settle(endpoint, key)).collect();
            let reason = match &ip.label {
                _ if delete && settled.is_empty() => "no name points at it".into(),
                _ if delete => "every name has left it".into(),
                Some(held) => format!("its label {held} becomes {}", endpoint.public_ip.label),
                None => format!("it gets the label {}", endpoint.public_ip.label),
            };
            let begun = self.plan.steps.len();
            let after = if delete { self.dismantle(endpoint, &settled) } else { Some(Vec::new()) };
            let Some(mut after) = after else {
                self.plan.steps.truncate(begun - settled.len());
                let subject = Subject::PublicIp(endpoint.name.clone());
                self.block(subject, "what stands behind it to be taken down", false);
                continue;
            };
            after.extend(settled);
            after.sort_unstable();
            after.dedup();
            let change = NetworkChange::of(endpoint, ip, delete);
            self.step(Some(&endpoint.name), Action::Network(Box::new(change)), after, reason);
        }
    }

    /// Takes down the gateway of a public IP that stays, or is gone.
    fn abandon(&mut self, endpoint: &'p Endpoint) {
        let names = self.followers_of(&endpoint.name);
        let stays = |(key, _): &&Follower<'_>| {
            self.unreadable(key).is_some()
                || (self.ours(key).next().is_some() && !self.written.contains_key(*key))
        };
        if let Some((key, _)) = names.iter().find(stays) {
            let waits_for = format!("{key} to leave it, before what stands behind it goes");
            return self.block(Subject::PublicIp(endpoint.name.clone()), &waits_for, false);
        }
        let settled: Vec<usize> =
            names.into_iter().filter_map(|(key, _)| self.settle(endpoint, key)).collect();
        let begun = self.plan.steps.len();
        self.dismantle(endpoint, &settled);
        if self.plan.steps.len() == begun {
            // Nothing goes, so nothing waits.
            self.plan.steps.truncate(begun - settled.len());
        }
    }

    /// Whether `key` points at `ip`'s label and nothing planned changes that.
    fn remains(&self, key: &RecordKey, ip: &PublicIp) -> bool {
        let at_label = |data: &Data| matches!(data, Data::Cname(target) if Some(target) == ip.fqdn.as_ref());
        !self.written.contains_key(key) && self.ours(key).any(|set| at_label(&set.content.data))
    }

    /// Plans the wait after `key` has left; `None` when it is somebody else's, whom nobody need wait for.
    ///
    /// A name that is already gone is waited for as well, and so is one that says something else by now: nothing says
    /// since when, and a cache may still give what it said before.
    fn settle(&mut self, endpoint: &Endpoint, key: &'p RecordKey) -> Option<usize> {
        let wanted = self.desired.records.get(key);
        let zone = self.zones.of(key).ok();
        let served = |ttl: Ttl| zone.map_or(ttl, |zone| zone.rules.served(ttl));
        let written = self.written.get(key).copied();
        let instead = match written.and_then(|step| self.plan.steps.get(step)).map(|step| &step.action) {
            Some(Action::Record(change)) => change.after.clone(),
            _ => {
                let answering = |set: &&RecordSet| answers(&set.content.data);
                let ours = sorted(self.ours(key).filter(answering)).into_iter().next();
                if ours.is_none() && self.observed.sets(key).iter().any(|set| answering(&set)) {
                    return None;
                }
                ours.map(|set| set.content)
            }
        };
        let held = self.ours(key).map(|set| set.content.ttl);
        let ttl = held.chain(wanted.map(|wanted| wanted.ttl)).map(served).max().unwrap_or(Ttl::DEFAULT);
        let reason = format!("a cache may give it for {ttl} more");
        let shows = |zone: &Zone| self.ours(key).flat_map(|set| shows_as(&set.content, zone)).collect();
        let shows_as: BTreeSet<RecordType> = match (zone, wanted) {
            (Some(zone), _) if self.ours(key).next().is_some() => shows(zone),
            (Some(zone), Some(wanted)) => would_show_as(key, wanted, zone),
            _ => either_address(),
        };
        let settle = Action::Settle(Settle { key: key.clone(), shows_as, instead, ttl });
        Some(self.step(Some(&endpoint.name), settle, written.into_iter().collect(), reason))
    }
}

impl NetworkChange {
    /// What makes `ip`, as it is held, into what `endpoint` wants, or takes it away.
    pub(super) fn of(endpoint: &Endpoint, ip: &PublicIp, delete: bool) -> Self {
        Self {
            endpoint: endpoint.name.clone(),
            spec: endpoint.public_ip.clone(),
            held: Some(ip.clone()),
            delete,
        }
    }
}

/// As [`shows_as`], of what stood there by its configuration, since nothing stands there any more.
fn would_show_as(key: &RecordKey, wanted: &Wanted, zone: &Zone) -> BTreeSet<RecordType> {
    let plain = mode(key, wanted, zone) == Mode::Cname && !zone.rules.flattens_apex;
    let proxied = wanted.proxied && zone.rules.proxying;
    if plain && !proxied { [RecordType::Cname].into() } else { either_address() }
}

/// Whether it is of a kind that we write, so that a client would be led somewhere by it.
fn answers(data: &Data) -> bool {
    matches!(data.rtype(), RecordType::Cname | RecordType::A | RecordType::Aaaa)
}
