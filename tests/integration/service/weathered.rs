//! Many lives under many skies: seeded schedules of faults, kills and meddling, and the three promises kept in each.

use std::sync::Arc;
use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::Journal;
use cnamed::model::endpoint::PublicIp;
use cnamed::model::record::{Content, Data, Mode, RecordType};
use cnamed::model::state::{Desired, Zone};
use cnamed::provider::Kind;
use cnamed::provider::memory::{Fault, Held, MemoryDns, Operation};
use cnamed::reconcile::round::Outcome;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, timeout};

use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Sim, Weather, ZONE};
use super::{Life, told};
use crate::laws::world::{self, AZURE, fqdn, handle, owner, ttl};

/// How many schedules are lived through.
const SCHEDULES: u64 = 500;
/// Of how many turns each.
const TURNS: u32 = 8;
/// Names of others in both accounts: one that somebody made by hand, and one of another installation of this program.
const FOREIGN: [(&str, Option<&str>); 2] = [("www.example.com", None), ("mail.example.com", Some("others"))];
/// What a round takes at most while everybody does fine.
const ROUND: Duration = Duration::from_secs(5);
/// No provider is down for longer, so that every life comes to an end.
const LONGEST: Duration = Duration::from_secs(400);

fn zone(account: &str) -> Zone {
    Zone { id: format!("z-{account}"), ..world::zone(ZONE, "", AZURE) }
}

fn foreign(mark: Option<&str>) -> Held {
    let data = Data::Cname(fqdn("somewhere.example.net"));
    let content = Content { data, ttl: ttl(300), proxied: false };
    Held { content, mark: mark.map(owner), note: "by hand".into() }
}

fn accounts(sim: &Sim) -> [(&'static str, &Arc<MemoryDns>); 2] {
    [("azure", &sim.azure), ("cf", &sim.cf)]
}

/// What must hold at every moment, whatever happens.
fn promises(sim: &Sim, seed: u64, turn: &str) {
    for (account, provider) in accounts(sim) {
        for (name, mark) in FOREIGN {
            let held = provider.held(&zone(account), &fqdn(name), &RecordType::Cname);
            assert_eq!(held, Some(foreign(mark)), "seed {seed}, {turn}: {name} of others in {account}");
        }
    }
}

/// The account whose name points at what is not ours.
fn dangles(sim: &Sim) -> Option<&'static str> {
    let label = sim.public_ip().and_then(|ip| ip.fqdn);
    let dangling = |account: &str| match sim.data(account, NAME) {
        Some(Data::Cname(target)) => Some(target) != label,
        _ => false,
    };
    accounts(sim).into_iter().map(|(account, _)| account).find(|account| dangling(account))
}

/// What somebody else did to what our names point at, and for how long nothing has kept the service from mending it.
#[derive(Debug)]
struct Meddling {
    /// Somebody deleted the public IP.
    deleted: bool,
    /// Somebody renamed its label: to put that back is the operator's to allow.
    renamed: bool,
    /// Writes that may yet be lost, each of which costs a round.
    lost: u32,
    /// The last moment at which something was amiss, or happened, and the rounds that had ended by then.
    disturbed: (Instant, u64),
    /// How often a name was seen to dangle that somebody else had cut off.
    seen: u32,
}

impl Meddling {
    fn none() -> Self {
        let disturbed = (Instant::now(), 0);
        Self { deleted: false, renamed: false, lost: 0, disturbed, seen: 0 }
    }

    /// Something happens, or a service begins: from here on everything has to be seen anew.
    fn disturb(&mut self, life: &Life) {
        self.disturbed = (Instant::now(), rounds(life));
    }

    /// What our names point at was ours when it was written, and none of us gave it up before they were gone. Where
    /// somebody else did, it is mended by the round that the next look calls for, and no round says before that all is
    /// well.
    fn holds(&mut self, sim: &Sim, life: &Life, seed: u64, turn: &str) {
        if !sim.is_fine() || !life.shown().resting.is_empty() {
            self.disturb(life);
        }
        let Some(account) = dangles(sim) else { return };
        assert!(self.deleted || self.renamed, "seed {seed}, {turn}: the name in {account} dangles");
        self.seen += 1;
        // The first round that ends may have looked before it happened.
        let looked = rounds(life) >= self.disturbed.1 + 2;
        let claims = life.shown().last.as_ref().is_some_and(|last| is_well(last.round.outcome));
        assert!(
            !looked || !claims,
            "seed {seed}, {turn}: the name in {account} dangles, and all is said to be well"
        );
        let bound = LABEL_INTERVAL * 2 + ROUND + (INTERVAL * 2) * self.lost;
        if !self.renamed && self.disturbed.0.elapsed() > bound {
            panic!("seed {seed}, {turn}: the name in {account} dangles for longer than {bound:?}");
        }
    }
}

fn rounds(life: &Life) -> u64 {
    life.shown().counts.rounds.values().sum()
}

fn is_well(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::InSync | Outcome::Changed)
}

/// One turn of fate.
fn meddle(sim: &Sim, chance: &mut SmallRng, meddling: &mut Meddling) -> String {
    let account = ["azure", "cf", "network"][chance.random_range(0..3)];
    match chance.random_range(0..11) {
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
            format!("address {address:?}")
        }
        4 => {
            sim.network.remove("rg", "pip-0");
            meddling.deleted = true;
            "the public IP is deleted".to_owned()
        }
        5 if sim.public_ip().is_some() => {
            sim.edit(|ip: PublicIp| PublicIp {
                fqdn: Some(fqdn("moved.westeurope.cloudapp.azure.com")),
                label: Some("moved".parse().unwrap()),
                ..ip
            });
            meddling.renamed = true;
            "the label is renamed".to_owned()
        }
        6 => {
            let (name, provider) = accounts(sim)[chance.random_range(0..2)];
            for rtype in [RecordType::Cname, RecordType::A] {
                provider.remove(&zone(name), &fqdn(NAME), &rtype);
            }
            format!("the name in {name} is deleted")
        }
        7 | 8 => {
            let (name, provider) = accounts(sim)[chance.random_range(0..2)];
            let fault = [Fault::RequestLost, Fault::AnswerLost, Fault::Silent][chance.random_range(0..3)];
            provider.script(Operation::Write(fqdn(NAME)), fault);
            meddling.lost += 1;
            format!("{name} loses a write: {fault:?}")
        }
        9 => {
            let fault = [Fault::RequestLost, Fault::AnswerLost, Fault::Silent][chance.random_range(0..3)];
            sim.network.script(Operation::Provision(handle("jump")), fault);
            meddling.lost += 1;
            format!("the network loses a write: {fault:?}")
        }
        _ => "nothing".to_owned(),
    }
}

fn desired(chance: &mut SmallRng) -> Desired {
    let mode = if chance.random_bool(0.5) { Mode::Cname } else { Mode::Address };
    Sim::desired(mode)
}

/// Lives it through, and tells how often a name was seen to dangle that somebody else had cut off.
async fn live(seed: u64) -> u32 {
    let mut chance = SmallRng::seed_from_u64(seed);
    let sim = Sim::new();
    for (account, provider) in accounts(&sim) {
        for (name, mark) in FOREIGN {
            provider.put(&zone(account), &fqdn(name), foreign(mark));
        }
    }
    let journal = Arc::new(Journal::in_memory().unwrap());
    let wanted = desired(&mut chance);
    let mut story = Vec::new();
    let mut life = Life::with(&sim, wanted.clone(), Arc::clone(&journal));
    let mut meddling = Meddling::none();
    for turn in 0..TURNS {
        let happened = meddle(&sim, &mut chance, &mut meddling);
        meddling.disturb(&life);
        story.push(format!("{turn}: {happened}"));
        let until = Instant::now() + Duration::from_millis(chance.random_range(1..60_000));
        while Instant::now() < until {
            sleep(Duration::from_millis(chance.random_range(50..5000))).await;
            promises(&sim, seed, &story.join("; "));
            meddling.holds(&sim, &life, seed, &story.join("; "));
        }
        match chance.random_range(0..4) {
            // SIGKILL: nothing of it runs on, and nobody is told.
            0 => {
                life.task.abort();
                story.push("killed".to_owned());
                life = Life::with(&sim, wanted.clone(), Arc::clone(&journal));
                meddling.disturb(&life);
            }
            1 => life.orders.send(Order::Round).await.unwrap(),
            2 => life.orders.send(Order::Reload).await.unwrap(),
            _ => {}
        }
    }
    for account in ["azure", "cf", "network"] {
        sim.weather(account, Weather::Fine);
    }
    let story = story.join("; ");
    // The label may have been renamed by hand, which the service must be allowed to put back; deleting it as well
    // gives it back by itself.
    if sim.public_ip().is_some_and(|ip| ip.label != Some(world::spec(0).label)) {
        sim.network.remove("rg", "pip-0");
    }
    // A released address is nothing that a service can end.
    if sim.public_ip().is_some_and(|ip| ip.address.is_none()) {
        sim.address(Some("203.0.113.1"));
    }
    sleep(LONGEST).await;
    let settled = timeout(Duration::from_secs(7200), async {
        loop {
            let shown = life.shown();
            if shown.last.as_ref().is_some_and(|last| last.round.outcome == Outcome::InSync) {
                break;
            }
            sleep(INTERVAL).await;
        }
    });
    if settled.await.is_err() {
        panic!("seed {seed} never comes to rest after {story}: {:#?}", life.shown().last);
    }
    promises(&sim, seed, &story);
    assert_eq!(dangles(&sim), None, "seed {seed}, after {story}");
    for (account, _) in accounts(&sim) {
        assert!(sim.data(account, NAME).is_some(), "seed {seed}: the name in {account} after {story}");
    }
    life.end().await;
    meddling.seen
}

/// One test for each hundred, so that they run beside each other.
macro_rules! schedules {
    ($($name:ident: $from:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let mut seen = 0;
            for seed in $from..$from + SCHEDULES / 5 {
                told(async { seen += live(seed).await }).await;
            }
            assert!(seen > 10, "what somebody else cuts off was seen {seen} times: the bounds prove little");
        }
    )*};
}

schedules! {
    the_first_hundred_lives_end_in_sync: 0;
    the_second_hundred_lives_end_in_sync: 100;
    the_third_hundred_lives_end_in_sync: 200;
    the_fourth_hundred_lives_end_in_sync: 300;
    the_fifth_hundred_lives_end_in_sync: 400;
}
