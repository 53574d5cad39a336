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

use super::sim::{INTERVAL, NAME, Sim, Weather, ZONE};
use super::{Life, told};
use crate::laws::world::{self, AZURE, fqdn, handle, ttl};

/// How many schedules are lived through.
const SCHEDULES: u64 = 500;
/// Of how many turns each.
const TURNS: u32 = 8;
/// A name of somebody else's, in both accounts.
const FOREIGN: &str = "www.example.com";
/// No provider is down for longer, so that every life comes to an end.
const LONGEST: Duration = Duration::from_secs(400);

fn zone(account: &str) -> Zone {
    Zone { id: format!("z-{account}"), ..world::zone(ZONE, "", AZURE) }
}

fn foreign() -> Held {
    let data = Data::Cname(fqdn("somewhere.example.net"));
    Held { content: Content { data, ttl: ttl(300), proxied: false }, mark: None, note: "by hand".into() }
}

fn accounts(sim: &Sim) -> [(&'static str, &Arc<MemoryDns>); 2] {
    [("azure", &sim.azure), ("cf", &sim.cf)]
}

/// What must hold at every moment, whatever happens.
fn promises(sim: &Sim, seed: u64, turn: &str) {
    for (account, provider) in accounts(sim) {
        let held = provider.held(&zone(account), &fqdn(FOREIGN), &RecordType::Cname);
        assert_eq!(held, Some(foreign()), "seed {seed}, {turn}: the foreign name in {account}");
    }
}

/// What our names point at was ours when it was written, and nobody's of ours gave it up before they were gone.
fn dangling(sim: &Sim, taken_away: bool, seed: u64, turn: &str) {
    if taken_away {
        // Somebody else deleted or renamed it: what then dangles is found and mended, and was not our doing.
        return;
    }
    let label = sim.public_ip().and_then(|ip| ip.fqdn);
    for (account, _) in accounts(sim) {
        if let Some(Data::Cname(target)) = sim.data(account, NAME) {
            assert_eq!(Some(target), label, "seed {seed}, {turn}: the name in {account} dangles");
        }
    }
}

/// One turn of fate.
fn meddle(sim: &Sim, chance: &mut SmallRng, taken_away: &mut bool) -> String {
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
            *taken_away = true;
            "the public IP is deleted".to_owned()
        }
        5 if sim.public_ip().is_some() => {
            sim.edit(|ip: PublicIp| PublicIp {
                fqdn: Some(fqdn("moved.westeurope.cloudapp.azure.com")),
                label: Some("moved".parse().unwrap()),
                ..ip
            });
            *taken_away = true;
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
            format!("{name} loses a write: {fault:?}")
        }
        9 => {
            let fault = [Fault::RequestLost, Fault::AnswerLost, Fault::Silent][chance.random_range(0..3)];
            sim.network.script(Operation::Provision(handle("jump")), fault);
            format!("the network loses a write: {fault:?}")
        }
        _ => "nothing".to_owned(),
    }
}

fn desired(chance: &mut SmallRng) -> Desired {
    let mode = if chance.random_bool(0.5) { Mode::Cname } else { Mode::Address };
    Sim::desired(mode)
}

async fn live(seed: u64) {
    let mut chance = SmallRng::seed_from_u64(seed);
    let sim = Sim::new();
    for (account, provider) in accounts(&sim) {
        provider.put(&zone(account), &fqdn(FOREIGN), foreign());
    }
    let journal = Arc::new(Journal::in_memory().unwrap());
    let wanted = desired(&mut chance);
    let mut taken_away = false;
    let mut story = Vec::new();
    let mut life = Life::with(&sim, wanted.clone(), Arc::clone(&journal));
    for turn in 0..TURNS {
        let happened = meddle(&sim, &mut chance, &mut taken_away);
        story.push(format!("{turn}: {happened}"));
        let until = Instant::now() + Duration::from_millis(chance.random_range(1..60_000));
        while Instant::now() < until {
            sleep(Duration::from_millis(chance.random_range(50..5000))).await;
            promises(&sim, seed, &story.join("; "));
            dangling(&sim, taken_away, seed, &story.join("; "));
        }
        match chance.random_range(0..4) {
            // SIGKILL: nothing of it runs on, and nobody is told.
            0 => {
                life.task.abort();
                story.push("killed".to_owned());
                life = Life::with(&sim, wanted.clone(), Arc::clone(&journal));
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
    dangling(&sim, false, seed, &story);
    for (account, _) in accounts(&sim) {
        assert!(sim.data(account, NAME).is_some(), "seed {seed}: the name in {account} after {story}");
    }
    life.end().await;
}

/// One test for each hundred, so that they run beside each other.
macro_rules! schedules {
    ($($name:ident: $from:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            for seed in $from..$from + SCHEDULES / 5 {
                told(live(seed)).await;
            }
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
