//! A write that could not be confirmed: told as such, looked at soon, and told to be over once the record stands.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::What;
use cnamed::model::record::{Mode, RecordType};
use cnamed::notify::Topic;
use cnamed::provider::memory::{Fault, Operation};
use cnamed::reconcile::round::Outcome;
use cnamed::telemetry::page::render;
use tokio::time::{Instant, sleep};

use super::heard::Heard;
use super::sim::{INTERVAL, NAME};
use super::told;
use crate::laws::world::{self, AZURE, fqdn};

const SECOND: Duration = Duration::from_secs(1);
const TITLE: &str = "could not confirm changes in cf";

/// A service in sync, whose record in one account somebody deletes; so many writes that make it again end so.
async fn astray(faults: usize, fault: Fault) -> Heard {
    let life = Heard::begin(Mode::Cname);
    life.calm().await;
    let zone = world::zone(super::sim::ZONE, "z-cf", AZURE);
    life.sim.cf.remove(&zone, &fqdn(NAME), &RecordType::Cname);
    for _ in 0..faults {
        life.sim.cf.script(Operation::Write(fqdn(NAME)), fault);
    }
    life.order(Order::Round).await;
    life.outcome(Outcome::Partial).await;
    life
}

/// How often a write was written down as one that may have happened.
fn tries(life: &Heard) -> usize {
    let unsure = |what: &What| matches!(what, What::Change(change) if change.outcome == "unconfirmed");
    life.entries().iter().filter(|entry| unsure(&entry.what)).count()
}

#[tokio::test(start_paused = true)]
async fn it_is_told_as_such_looked_at_soon_and_told_to_be_over() {
    for (fault, made) in [(Fault::RequestLost, 1), (Fault::Silent, 0)] {
        told(async {
            let life = astray(1, fault).await;
            let before = life.entries().len();
            let shown = life.shown();
            let line = shown.last.as_ref().unwrap().round.headline();
            assert_eq!(
                line,
                ("Not confirmed", "1 change may have been made, or not; it is told below".into())
            );
            let page = render(&shown, shown.last.as_ref().unwrap().at);
            assert!(
                page.contains(
                    "Not confirmed. 1 change may have been made, or not; the next round looks first"
                )
            );
            let unsure = Instant::now();
            // One that made it says so, and one that found it in place has nothing to do.
            life.until("well", |shown| {
                let well = [Outcome::InSync, Outcome::Changed];
                shown.last.as_ref().is_some_and(|last| well.contains(&last.round.outcome))
            })
            .await;
            assert!(unsure.elapsed() < INTERVAL / 10, "{fault:?}: {:?}", unsure.elapsed());
            sleep(SECOND).await;
            assert_eq!(life.ear.of(Topic::Failure), [TITLE]);
            let over = life.ear.of(Topic::Recovery);
            assert_eq!(over, [format!("recovered after 1 failure: {TITLE}")]);
            assert_eq!(life.entries().len() - before, made, "{fault:?}");
            assert!(life.sim.data("cf", NAME).is_some());
            assert_eq!(tries(&life), 1);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_nobody_confirms_anything_it_is_tried_less_and_less_often() {
    told(async {
        let life = astray(100, Fault::RequestLost).await;
        sleep(INTERVAL * 3).await;
        let first = tries(&life);
        assert!((5..=8).contains(&first), "{first} times in three intervals");
        sleep(INTERVAL * 10).await;
        let more = tries(&life) - first;
        assert!((8..=12).contains(&more), "{more} times in ten more");
        assert_eq!(life.ear.of(Topic::Failure), [TITLE], "once");
    })
    .await;
}
