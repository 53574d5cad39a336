//! Many lives under many skies: seeded schedules of faults, kills and meddling, and the three promises kept in each.
//!
//! Every request and every answer takes its time, and a life may end at any moment of it. What was asked for by one that
//! is dead may come to pass all the same.

mod fate;

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::Entry;
use cnamed::model::endpoint::Intent;
use cnamed::model::state::Desired;
use cnamed::reconcile::round::Outcome;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use self::fate::{Meddling, desired, foreign, meddle};
use super::deaths::{Book, Doom, Toll, applied, entries};
use super::sim::{INTERVAL, Sim, Weather};
use super::witness::differs;
use super::{Life, told};
use crate::laws::world::handle;

/// How many schedules are lived through.
const SCHEDULES: u64 = 500;
/// Of how many turns each.
const TURNS: u32 = 8;
/// Names of others in both accounts: one that somebody made by hand, and one of another installation of this program.
const FOREIGN: [(&str, Option<&str>); 2] = [("www.example.com", None), ("mail.example.com", Some("others"))];
/// No provider is down for longer, so that every life comes to an end.
const LONGEST: Duration = Duration::from_secs(400);

/// A world, and one service in it after the other.
struct Lives {
    seed: u64,
    chance: SmallRng,
    sim: Sim,
    wanted: Desired,
    book: Book,
    life: Life,
    /// What was in the journal when this life began.
    inherited: usize,
    meddling: Meddling,
    story: Vec<String>,
    toll: Toll,
}

impl Lives {
    fn begin(seed: u64) -> Self {
        let mut chance = SmallRng::seed_from_u64(seed);
        let sim = Sim::of(seed);
        for account in ["azure", "cf"] {
            for (name, mark) in FOREIGN {
                fate::put(&sim, account, name, foreign(mark));
            }
        }
        let wanted = desired(&mut chance);
        let book = Book::new(seed.is_multiple_of(8));
        let life = Life::with(&sim, wanted.clone(), book.open());
        let mut lives = Self {
            seed,
            chance,
            meddling: Meddling::none(),
            story: Vec::new(),
            toll: Toll::default(),
            inherited: 0,
            sim,
            wanted,
            book,
            life,
        };
        lives.listen();
        lives
    }

    fn at(&self) -> String {
        format!("seed {}, {}", self.seed, self.story.join("; "))
    }

    /// Lets the witness hear how every round of this life ends.
    fn listen(&mut self) {
        let (sim, configuration) = (self.sim.clone(), self.life.configuration.clone());
        let mut snapshots = self.life.snapshots.clone();
        spawn_local(async move {
            let mut heard = 0;
            while snapshots.changed().await.is_ok() {
                let shown = snapshots.borrow_and_update().clone();
                let rounds = shown.counts.rounds.values().sum::<u64>();
                if let (Some(last), true) = (&shown.last, rounds > heard) {
                    sim.witness.told(&sim, &configuration.current(), last);
                }
                heard = rounds;
            }
        });
    }

    /// What must hold at every moment, whatever happens, and must have held at every moment until now.
    fn holds(&mut self) {
        assert!(!self.life.task.is_finished(), "{}: it has ended", self.at());
        let faults = self.sim.witness.faults(&self.sim);
        assert!(faults.is_empty(), "{}: {faults:#?}", self.at());
        if let Err(fault) = self.meddling.holds(&self.sim, &self.life) {
            panic!("{}: {fault}", self.at());
        }
    }

    /// One turn: something happens, and then time goes by, in which it may die.
    async fn turn(&mut self, turn: u32, doomed: bool) {
        let happened = meddle(&self.sim, &mut self.wanted, &mut self.chance, &mut self.meddling);
        if self.wanted != self.life.configuration.current() {
            self.life.configuration.exchange(Ok(self.wanted.clone()));
            self.life.orders.send(Order::Reload).await.unwrap();
        }
        self.meddling.disturb(&self.life);
        self.story.push(format!("{turn}: {happened}"));
        let within = Duration::from_millis(self.chance.random_range(1..60_000));
        let until = Instant::now() + within;
        let mut doom = Doom::draw(&mut self.chance, within, doomed);
        let mut dies = None;
        if let Doom::After(long) = doom {
            dies = Some(Instant::now() + long);
        }
        while Instant::now() < until {
            let pause = Duration::from_millis(self.chance.random_range(50..5000));
            let next = Instant::now() + pause;
            let next = dies.map_or(next, |dies| next.min(dies));
            tokio::select! {
                biased;
                write = self.sim.transit.write(), if matches!(doom, Doom::InAWrite(_)) => {
                    let Doom::InAWrite(part) = doom else { continue };
                    sleep(write.mul_f64(part)).await;
                    dies = Some(Instant::now());
                }
                () = tokio::time::sleep_until(next) => {}
            }
            if dies.is_some_and(|dies| dies <= Instant::now()) {
                (dies, doom) = (None, Doom::Never);
                self.die().await;
            }
            self.holds();
        }
        if doomed && self.toll.kills == 0 {
            self.die().await;
        }
        match self.chance.random_range(0..4) {
            0 => self.life.orders.send(Order::Round).await.unwrap(),
            1 => self.life.orders.send(Order::Reload).await.unwrap(),
            _ => {}
        }
    }

    /// SIGKILL: nothing of it runs on, nobody is told, and what it has written down is there.
    async fn die(&mut self) {
        let under_way = self.sim.transit.under_way();
        self.toll.count(under_way, self.book.is_in_files());
        self.story.push(format!("killed with {under_way:?}"));
        self.sim.witness.note("killed".to_owned());
        let known = self.written();
        self.book.killed();
        self.life.task.abort();
        let end = (&mut self.life.task).await;
        assert!(end.is_err_and(|end| end.is_cancelled()), "{}: it has ended", self.at());
        if self.chance.random_bool(0.5) {
            sleep(Duration::from_millis(self.chance.random_range(1..5000))).await;
        }
        let journal = self.book.open();
        assert_eq!(entries(&journal), known, "{}: what was written is not what is there", self.at());
        self.inherited = known.len();
        self.life = Life::with(&self.sim, self.wanted.clone(), journal);
        self.listen();
        self.meddling.disturb(&self.life);
    }

    /// What is in the journal: every write that the service was told the good end of.
    fn written(&self) -> Vec<Entry> {
        let entries = entries(&self.life.journal);
        let (written, answered) = (applied(&entries[self.inherited..]), self.sim.witness.take_answered());
        assert_eq!(written, answered, "{}: writes that are not in the journal, or never were", self.at());
        entries
    }

    /// The sky clears, everybody leaves it alone, and it comes to rest.
    async fn rest(mut self) -> (Toll, u32, Vec<(u128, String)>) {
        for account in ["azure", "cf", "network"] {
            self.sim.weather(account, Weather::Fine);
        }
        fate::leave(&self.sim);
        self.wanted.endpoints.get_mut(&handle("jump")).unwrap().intent = Intent::Hold;
        self.life.configuration.exchange(Ok(self.wanted.clone()));
        self.life.orders.send(Order::Reload).await.unwrap();
        // The label may have been renamed by hand, which the service must be allowed to put back; deleting it as well
        // gives it back by itself.
        let label = &self.wanted.endpoints[&handle("jump")].public_ip.label;
        let renamed = self.sim.public_ip().is_some_and(|ip| ip.label.as_ref() != Some(label));
        if renamed && !self.wanted.consents.relabel {
            self.sim.network.remove("rg", "pip-0");
            self.sim.witness.touches(&self.sim, "network");
        }
        // A released address is nothing that a service can end.
        if self.sim.public_ip().is_some_and(|ip| ip.address.is_none()) {
            self.sim.address(Some("203.0.113.1"));
            self.sim.witness.touches(&self.sim, "network");
        }
        sleep(LONGEST).await;
        let settled = timeout(Duration::from_secs(7200), async {
            loop {
                let shown = self.life.shown();
                if shown.last.as_ref().is_some_and(|last| last.round.outcome == Outcome::InSync) {
                    break;
                }
                sleep(INTERVAL).await;
            }
        });
        if settled.await.is_err() {
            panic!("{} and never comes to rest: {:#?}", self.at(), self.life.shown().last);
        }
        self.holds();
        for account in ["azure", "cf"] {
            assert_eq!(differs(&self.sim, &self.wanted, account), None, "{}: {account}", self.at());
        }
        self.written();
        self.life.end().await;
        (self.toll, self.meddling.seen, self.sim.witness.trace())
    }
}

/// Lives through it all; tells who died how, and how often a name was seen to dangle that somebody else had cut off, and
/// everything that came to pass.
async fn live(seed: u64) -> (Toll, u32, Vec<(u128, String)>) {
    let mut lives = Lives::begin(seed);
    let doomed = lives.chance.random_range(0..TURNS);
    for turn in 0..TURNS {
        lives.turn(turn, turn == doomed).await;
    }
    lives.rest().await
}

/// One test for each hundred, so that they run beside each other.
macro_rules! schedules {
    ($($name:ident: $from:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let (mut toll, mut seen) = (Toll::default(), 0);
            for seed in $from..$from + SCHEDULES / 5 {
                told(async {
                    let (died, saw, _) = live(seed).await;
                    toll.add(died);
                    seen += saw;
                })
                .await;
            }
            assert!(seen > 10, "what somebody else cuts off was seen {seen} times: the bounds prove little");
            let Toll { kills, asked, done, files } = toll;
            assert!(kills >= 100, "{toll:?}");
            assert!(asked >= 20 && done >= 20, "writes were hardly ever under way: {toll:?}");
            assert!(files >= 10, "{toll:?}");
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

#[tokio::test(start_paused = true)]
async fn a_seed_is_one_life_however_often_it_is_lived() {
    for seed in [8, 101, 202, 303] {
        let mut lived = Vec::new();
        for _ in 0..2 {
            told(async { lived.push(live(seed).await.2) }).await;
        }
        let other = lived[0].iter().zip(&lived[1]).find(|(one, other)| one != other);
        assert_eq!(other, None, "seed {seed}");
        assert!(lived[0].len() > 100 && lived[0].len() == lived[1].len(), "seed {seed}");
    }
}
