//! What others do, and what may come of it.

use std::time::Duration;

use cnamed::model::endpoint::{Intent, PublicIp};
use cnamed::model::record::{Content, Data, Mode, RecordType};
use cnamed::model::state::Desired;
use cnamed::provider::Kind;
use cnamed::provider::memory::{Fault, Held, Operation};
use rand::Rng;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::super::Life;
use super::super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Sim, Weather};
use super::super::witness::{is_well, provider, zone};
use crate::laws::world::{self, fqdn, handle, key, owner, ttl};

/// What a round takes at most while everybody does fine.
const ROUND: Duration = Duration::from_secs(20);
/// What one takes that waits for caches.
const LONG_ROUND: Duration = Duration::from_secs(240);

/// What somebody else did to what our names point at, and for how long nothing has kept the service from mending it.
#[derive(Debug)]
pub(super) struct Meddling {
    /// Somebody deleted the public IP.
    deleted: bool,
    /// Somebody renamed its label: names follow it, or leave it for it to be put back where the operator allows that.
    renamed: bool,
    /// The operator has changed the configuration: a round may wait for caches.
    reconfigured: bool,
    /// Writes that may yet be lost, each of which costs a round.
    lost: u32,
    /// The last moment at which something was amiss, or happened, and the rounds that had ended by then.
    disturbed: (Instant, u64),
    /// How often a name was seen to dangle that somebody else had cut off.
    pub(super) seen: u32,
}

impl Meddling {
    pub(super) fn none() -> Self {
        let disturbed = (Instant::now(), 0);
        Self { deleted: false, renamed: false, reconfigured: false, lost: 0, disturbed, seen: 0 }
    }

    /// Something happens, or a service begins: from here on everything has to be seen anew.
    pub(super) fn disturb(&mut self, life: &Life) {
        self.disturbed = (Instant::now(), rounds(life));
    }

    /// What our names point at was ours when it was written, and none of us gave it up before they were gone. Where
    /// somebody else did, it is mended by the round that the next look calls for, and no round says before that all is
    /// well.
    ///
    /// # Errors
    /// How it is otherwise.
    pub(super) fn holds(&mut self, sim: &Sim, life: &Life) -> Result<(), String> {
        if !sim.is_fine() || !life.shown().resting.is_empty() || is_taken(sim) {
            self.disturb(life);
        }
        let Some(account) = dangles(sim) else { return Ok(()) };
        if !self.deleted && !self.renamed {
            return Err(format!("the name in {account} dangles"));
        }
        self.seen += 1;
        // The first round that ends may have looked before it happened.
        let looked = rounds(life) >= self.disturbed.1 + 2;
        let claims = life.shown().last.as_ref().is_some_and(|last| is_well(last.round.outcome));
        if looked && claims {
            return Err(format!("the name in {account} dangles, and all is said to be well"));
        }
        let round = if self.reconfigured || self.renamed { LONG_ROUND } else { ROUND };
        let bound = LABEL_INTERVAL * 2 + round + (INTERVAL * 2) * self.lost;
        if self.disturbed.0.elapsed() > bound {
            return Err(format!("the name in {account} dangles for longer than {bound:?}"));
        }
        Ok(())
    }
}

fn rounds(life: &Life) -> u64 {
    life.shown().counts.rounds.values().sum()
}

/// The account whose name points at what is not ours.
fn dangles(sim: &Sim) -> Option<&'static str> {
    let label = sim.public_ip().and_then(|ip| ip.fqdn);
    let dangling = |account: &&str| {
        let held = provider(sim, account).held(&zone(account), &fqdn(NAME), &RecordType::Cname);
        held.filter(|held| held.mark == Some(owner("ops"))).is_some_and(|held| match held.content.data {
            Data::Cname(target) => Some(target) != label,
            _ => false,
        })
    };
    ["azure", "cf"].into_iter().find(dangling)
}

/// What stands at the name in `account`.
fn standing(sim: &Sim, account: &str) -> Option<Held> {
    let held = |rtype| provider(sim, account).held(&zone(account), &fqdn(NAME), &rtype);
    [RecordType::Cname, RecordType::A].into_iter().find_map(held)
}

/// Whether somebody else has our name.
fn is_taken(sim: &Sim) -> bool {
    let is_theirs = |held: Held| held.mark != Some(owner("ops"));
    ["azure", "cf"].into_iter().any(|account| standing(sim, account).is_some_and(is_theirs))
}

pub(super) fn foreign(mark: Option<&str>) -> Held {
    let data = Data::Cname(fqdn("somewhere.example.net"));
    let content = Content { data, ttl: ttl(300), proxied: false };
    Held { content, mark: mark.map(owner), note: "by hand".into() }
}

/// Somebody else writes there, and it is theirs.
pub(super) fn put(sim: &Sim, account: &'static str, name: &str, held: Held) {
    sim.witness.touches(sim, account);
    provider(sim, account).put(&zone(account), &fqdn(name), held.clone());
    sim.witness.others(account, name, Some(held));
}

/// Somebody else takes whatever is there off our name.
fn clear(sim: &Sim, account: &'static str) {
    sim.witness.touches(sim, account);
    for rtype in [RecordType::Cname, RecordType::A] {
        provider(sim, account).remove(&zone(account), &fqdn(NAME), &rtype);
    }
    sim.witness.others(account, NAME, None);
}

/// Everybody else leaves our name.
pub(super) fn leave(sim: &Sim) {
    for account in ["azure", "cf"] {
        let theirs = standing(sim, account).is_some_and(|held| held.mark != Some(owner("ops")));
        if theirs {
            clear(sim, account);
        }
    }
}

/// One turn of fate.
pub(super) fn meddle(
    sim: &Sim,
    wanted: &mut Desired,
    chance: &mut SmallRng,
    meddling: &mut Meddling,
) -> String {
    let account = ["azure", "cf", "network"][chance.random_range(0..3)];
    let of_names = ["azure", "cf"][chance.random_range(0..2)];
    let fault = [Fault::RequestLost, Fault::AnswerLost, Fault::Silent][chance.random_range(0..3)];
    match chance.random_range(0..16) {
        0 => {
            let weather = [
                Weather::Refusing(Kind::Unreachable),
                Weather::Refusing(Kind::Denied),
                Weather::Refusing(Kind::Throttled(Duration::from_secs(chance.random_range(1..120)))),
                Weather::Hanging,
                Weather::Slow(Duration::from_secs(chance.random_range(1..20))),
            ];
            let weather = weather[chance.random_range(0..weather.len())];
            sim.weather(account, weather);
            format!("{account}: {weather:?}")
        }
        1 | 2 => {
            sim.weather(account, Weather::Fine);
            format!("{account}: fine")
        }
        3 if sim.public_ip().is_some() => {
            let last: u8 = chance.random_range(1..250);
            let address = (!last.is_multiple_of(5)).then(|| format!("203.0.113.{last}"));
            sim.address(address.as_deref());
            sim.witness.touches(sim, "network");
            format!("address {address:?}")
        }
        4 => {
            sim.network.remove("rg", "pip-0");
            sim.witness.touches(sim, "network");
            meddling.deleted = true;
            "the public IP is deleted".to_owned()
        }
        5 if sim.public_ip().is_some() => {
            sim.edit(|ip: PublicIp| PublicIp {
                fqdn: Some(fqdn("moved.westeurope.cloudapp.azure.com")),
                label: Some("moved".parse().unwrap()),
                ..ip
            });
            sim.witness.touches(sim, "network");
            meddling.renamed = true;
            "the label is renamed".to_owned()
        }
        6 => {
            clear(sim, of_names);
            format!("the name in {of_names} is deleted")
        }
        7 | 8 => {
            provider(sim, of_names).script(Operation::Write(fqdn(NAME)), fault);
            meddling.lost += 1;
            format!("{of_names} loses a write: {fault:?}")
        }
        9 => {
            sim.network.script(Operation::Provision(handle("jump")), fault);
            meddling.lost += 1;
            format!("the network loses a write: {fault:?}")
        }
        10 => {
            let theirs = match (standing(sim, of_names), chance.random_range(0..3)) {
                (_, 0) => foreign(None),
                (Some(held), 1) => Held { mark: None, ..held },
                (Some(held), 2) => Held { mark: Some(owner("others")), ..held },
                _ => {
                    let data = Data::A(["192.0.2.1".parse().unwrap()].into());
                    Held { content: Content { data, ..foreign(None).content }, ..foreign(None) }
                }
            };
            clear(sim, of_names);
            let told = format!("the name in {of_names} is taken: {theirs:?}");
            put(sim, of_names, NAME, theirs);
            told
        }
        11 => {
            leave(sim);
            "everybody leaves the name".to_owned()
        }
        12 | 13 => {
            meddling.reconfigured = true;
            for of in ["network", "azure", "cf"] {
                sim.witness.touches(sim, of);
            }
            reconfigure(wanted, chance)
        }
        _ => "nothing".to_owned(),
    }
}

/// The operator wants something else from now on.
fn reconfigure(wanted: &mut Desired, chance: &mut SmallRng) -> String {
    let endpoint = wanted.endpoints.get_mut(&handle("jump")).unwrap();
    match chance.random_range(0..4) {
        0 => {
            let spec = [world::spec(0), world::spec(1)].map(|spec| spec.label);
            let label = &mut endpoint.public_ip.label;
            *label = spec.into_iter().find(|other| other != label).unwrap();
            wanted.consents.relabel = true;
            format!("the label shall be {label}")
        }
        1 => {
            let intent = &mut endpoint.intent;
            *intent = if *intent == Intent::Hold { Intent::Remove } else { Intent::Hold };
            format!("{intent:?}")
        }
        2 => {
            let account = ["azure", "cf"][chance.random_range(0..2)];
            let record = wanted.records.values().next().cloned();
            if wanted.records.len() > 1 && wanted.records.remove(&key(NAME, account)).is_some() {
                return format!("no name in {account} any more");
            }
            wanted.records.extend(
                ["azure", "cf"]
                    .map(|account| key(NAME, account))
                    .into_iter()
                    .zip(std::iter::repeat_n(record.unwrap(), 2)),
            );
            "names in both accounts".to_owned()
        }
        _ => {
            for record in wanted.records.values_mut() {
                record.mode = if record.mode == Mode::Cname { Mode::Address } else { Mode::Cname };
            }
            "the other mode".to_owned()
        }
    }
}

pub(super) fn desired(chance: &mut SmallRng) -> Desired {
    let mode = if chance.random_bool(0.5) { Mode::Cname } else { Mode::Address };
    let mut desired = Sim::desired(mode);
    desired.consents.relabel = chance.random_bool(0.3);
    desired
}
