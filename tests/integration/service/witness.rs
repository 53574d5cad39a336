//! Whoever sees every change of the world at the moment at which it is made, and notes what must not have been.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use cnamed::model::endpoint::Intent;
use cnamed::model::name::Fqdn;
use cnamed::model::record::{Content, Data, Mode, RecordType};
use cnamed::model::state::{Desired, Zone};
use cnamed::provider::memory::{Held, MemoryDns};
use cnamed::reconcile::round::Outcome;
use cnamed::telemetry::snapshot::Finished;
use tokio::time::Instant;

use super::sim::{NAME, Sim, ZONE};
use super::transit::Asker;
use crate::laws::world::{self, AZURE, fqdn, handle, key, owner};

/// See the module.
#[derive(Debug)]
pub(crate) struct Witness {
    began: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// What is not ours, where it stands.
    others: BTreeMap<(&'static str, Fqdn), Held>,
    /// When the service last learnt how an account stands.
    looked: BTreeMap<&'static str, Instant>,
    /// When somebody else last changed it: a request whose sender is gone is nobody's.
    touched: BTreeMap<&'static str, Instant>,
    /// When a name of ours last stood in an account, by what it pointed at.
    stood: BTreeMap<(&'static str, Fqdn), Instant>,
    /// How many writes the service was told the good end of.
    answered: usize,
    faults: Vec<String>,
    trace: Vec<(u128, String)>,
}

/// What a name of ours points at that is not what its endpoint has.
type Astray = BTreeSet<(&'static str, String)>;

/// What the world was like before a write.
#[derive(Debug)]
pub(super) struct Before {
    astray: Astray,
    label: Option<Fqdn>,
}

/// What was known of the endpoint when a write began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known(Option<Instant>);

impl Witness {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), seen: Mutex::default() }
    }

    /// From here on this stands there, and is not ours; or nothing of others does.
    pub(super) fn others(&self, account: &'static str, name: &str, held: Option<Held>) {
        let mut seen = self.seen.lock().unwrap();
        match held {
            Some(held) => seen.others.insert((account, fqdn(name)), held),
            None => seen.others.remove(&(account, fqdn(name))),
        };
    }

    /// Somebody else changes something in `account`.
    pub(super) fn touches(&self, sim: &Sim, account: &'static str) {
        self.stands(sim);
        self.touched(account);
    }

    fn touched(&self, account: &'static str) {
        self.seen.lock().unwrap().touched.insert(account, Instant::now());
    }

    /// `account` is read, of which the service knows nothing before it has the answer.
    pub(super) fn reads(&self, account: &'static str) -> Instant {
        self.note(format!("{account} is read"));
        Instant::now()
    }

    /// The service learns how `account` stood at that moment. Several looks may be under way at once.
    pub(super) fn looked(&self, account: &'static str, at: Instant) {
        let mut seen = self.seen.lock().unwrap();
        let known = seen.looked.entry(account).or_insert(at);
        *known = at.max(*known);
    }

    pub(super) fn begins(&self, account: &'static str) -> Known {
        self.note(format!("a write in {account} begins"));
        Known(self.seen.lock().unwrap().looked.get("network").copied())
    }

    /// Something is about to be written.
    pub(super) fn before(&self, sim: &Sim) -> Before {
        self.stands(sim);
        Before { astray: astray(sim), label: label(sim) }
    }

    /// Notes where our names point at this moment.
    fn stands(&self, sim: &Sim) {
        for account in ["azure", "cf"] {
            for content in ours(sim, account) {
                if let Data::Cname(target) = content.data {
                    self.seen.lock().unwrap().stood.insert((account, target), Instant::now());
                }
            }
        }
    }

    /// A label of ours is free for anybody from here on: every cache has forgotten the names that pointed at it.
    fn freed(&self, label: &Fqdn, desired: &Desired) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let of_it = seen.stood.iter().filter(|((_, target), _)| target == label);
        // Of a name that is not wanted any more nobody knows when it went.
        let kept = of_it.filter_map(|((account, _), last)| {
            let wanted = desired.records.get(&key(NAME, account))?;
            let ttl = Duration::from_secs(wanted.ttl.seconds().into());
            let ago = last.elapsed();
            (ago < ttl).then(|| format!("{label} is given up {ago:?} after the name in {account} left it"))
        });
        kept.collect()
    }

    /// A write was made in `account`, by who knew as much of the endpoint, and wants `desired`: no name of ours leads to
    /// what is not ours by it, unless somebody else took that away since it was looked at.
    pub(super) fn wrote(
        &self,
        sim: &Sim,
        account: &'static str,
        known: Known,
        before: &Before,
        desired: &Desired,
        asker: &Asker,
    ) {
        self.note(format!("{account} is written"));
        let touched = self.seen.lock().unwrap().touched.get("network").copied();
        let taken = touched.is_some_and(|touched| known.0.is_none_or(|known| touched >= known));
        match asker.is_gone() {
            true => self.touched(account),
            false if account == "network" => self.looked(account, Instant::now()),
            false => {}
        }
        let mut faults = self.unlike(sim);
        let astray = astray(sim);
        let new: Vec<_> = astray.difference(&before.astray).collect();
        if !new.is_empty() && !taken {
            faults.push(format!("a write in {account} lets names lead to what is not ours: {new:?}"));
        }
        if let Some(freed) = before.label.as_ref().filter(|held| label(sim).as_ref() != Some(held)) {
            faults.extend(self.freed(freed, desired));
        }
        self.seen.lock().unwrap().faults.extend(faults);
    }

    /// The service is told that so many writes were made.
    pub(super) fn answered(&self, writes: usize) {
        self.note(format!("{writes} answered"));
        self.seen.lock().unwrap().answered += writes;
    }

    /// How many writes were answered since this was last asked.
    pub(super) fn take_answered(&self) -> usize {
        std::mem::take(&mut self.seen.lock().unwrap().answered)
    }

    /// A service that wants `desired` says how a round ended.
    pub(super) fn told(&self, sim: &Sim, desired: &Desired, last: &Finished) {
        let outcome = last.round.outcome;
        self.note(format!("{outcome:?}"));
        let began = Instant::now().checked_sub(last.took).unwrap_or(self.began);
        let unseen = |account| {
            let seen = self.seen.lock().unwrap();
            ["network", account].iter().any(|of| seen.touched.get(of).is_some_and(|at| *at >= began))
        };
        if !is_well(outcome) {
            return;
        }
        for account in ["azure", "cf"] {
            if let (Some(differs), false) = (differs(sim, desired, account), unseen(account)) {
                let fault = format!("told to be {outcome:?}, and in {account} {differs}");
                self.seen.lock().unwrap().faults.push(fault);
            }
        }
    }

    pub(super) fn note(&self, what: String) {
        self.seen.lock().unwrap().trace.push((self.began.elapsed().as_millis(), what));
    }

    /// Everything that must not have been.
    pub(super) fn faults(&self, sim: &Sim) -> Vec<String> {
        let now = self.unlike(sim);
        self.seen.lock().unwrap().faults.iter().cloned().chain(now).collect()
    }

    /// Everything that came to pass, and when.
    pub(super) fn trace(&self) -> Vec<(u128, String)> {
        self.seen.lock().unwrap().trace.clone()
    }

    /// What is not as others left it.
    fn unlike(&self, sim: &Sim) -> Vec<String> {
        let others = &self.seen.lock().unwrap().others;
        let unlike = |((account, name), theirs): (&(&'static str, Fqdn), &Held)| {
            let there = provider(sim, account).held(&zone(account), name, &theirs.content.data.rtype());
            (there.as_ref() != Some(theirs)).then(|| format!("{name} of others in {account} is {there:?}"))
        };
        others.iter().filter_map(unlike).collect()
    }
}

/// Whether everything is said to be as it should be.
pub(super) fn is_well(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::InSync | Outcome::Changed)
}

pub(super) fn zone(account: &str) -> Zone {
    Zone { id: format!("z-{account}"), ..world::zone(ZONE, "", AZURE) }
}

pub(super) fn provider<'s>(sim: &'s Sim, account: &str) -> &'s MemoryDns {
    if account == "cf" { &sim.cf } else { &sim.azure }
}

fn label(sim: &Sim) -> Option<Fqdn> {
    sim.public_ip().and_then(|ip| ip.fqdn)
}

/// What stands at the name and bears our mark.
fn ours(sim: &Sim, account: &str) -> Vec<Content> {
    let held = |rtype| provider(sim, account).held(&zone(account), &fqdn(NAME), &rtype);
    let ours = [RecordType::Cname, RecordType::A].into_iter().filter_map(held);
    ours.filter(|held| held.mark == Some(owner("ops"))).map(|held| held.content).collect()
}

/// See [`Astray`].
fn astray(sim: &Sim) -> Astray {
    let ip = sim.public_ip();
    let leads_to_ours = |data: &Data| match (data, &ip) {
        (Data::Cname(target), Some(ip)) => ip.fqdn.as_ref() == Some(target),
        (Data::A(held), Some(ip)) => held.iter().all(|address| ip.address == Some((*address).into())),
        _ => false,
    };
    let mut astray = Astray::new();
    for account in ["azure", "cf"] {
        let ours = ours(sim, account).into_iter().filter(|content| !leads_to_ours(&content.data));
        astray.extend(ours.map(|content| (account, format!("{:?}", content.data))));
    }
    astray
}

/// How `account` is not as `desired` wants it.
pub(super) fn differs(sim: &Sim, desired: &Desired, account: &'static str) -> Option<String> {
    let ours = ours(sim, account);
    let endpoint = &desired.endpoints[&handle("jump")];
    let ip = sim.public_ip();
    let wanted = desired.records.get(&key(NAME, account));
    let (Some(wanted), Intent::Hold) = (wanted, endpoint.intent) else {
        return (!ours.is_empty()).then(|| format!("there stands {ours:?}"));
    };
    let Some(ip) = ip.filter(|ip| ip.label.as_ref() == Some(&endpoint.public_ip.label)) else {
        return Some("the label is not held".to_owned());
    };
    let right = |content: &Content| match (&content.data, wanted.mode) {
        (Data::Cname(target), Mode::Cname) => ip.fqdn.as_ref() == Some(target),
        (Data::A(held), Mode::Address) => held.iter().all(|address| ip.address == Some((*address).into())),
        _ => false,
    };
    let is = matches!(ours.as_slice(), [one] if right(one) && one.ttl == wanted.ttl);
    (!is).then(|| format!("there stands {ours:?}, before {:?} at {:?}", ip.fqdn, ip.address))
}
