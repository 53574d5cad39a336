//! Looks that overtake each other: what one has done the other neither does again nor tells as a failure.

use cnamed::daemon::Order;
use cnamed::model::record::{Data, Mode, RecordType};
use cnamed::notify::Topic;
use tokio::time::sleep;

use super::beside::SECOND;
use super::heard::Heard;
use super::sim::{INTERVAL, NAME, Weather};
use super::told;
use super::twofold::changes;
use super::witness::zone;
use crate::laws::world::fqdn;

/// A round, and a look beside it, that have read the account before the other has written, and the endpoint after.
#[tokio::test(start_paused = true)]
async fn what_two_looks_find_at_once_is_written_and_told_once() {
    for new in [true, false] {
        told(async {
            let life = Heard::begin(Mode::Cname);
            life.calm().await;
            let (known, heard) = (life.entries().len(), life.ear.of(Topic::Change).len());
            life.sim.weather("network", Weather::Slow(SECOND * 2));
            let (azure, at, name) = (&life.sim.azure, zone("azure"), fqdn(NAME));
            let mut held = azure.held(&at, &name, &RecordType::Cname).unwrap();
            azure.remove(&at, &name, &RecordType::Cname);
            if !new {
                held.content.data = Data::Cname(fqdn("elsewhere.example.net"));
                azure.put(&at, &name, held);
            }
            life.order(Order::Round).await;
            sleep(SECOND).await;
            life.order(Order::Round).await;
            sleep(INTERVAL).await;
            assert_eq!(
                changes(&life.entries(), known),
                [("azure".to_owned(), "applied".to_owned())],
                "{new}"
            );
            // That it was made has been told when the service began.
            let told = life.ear.of(Topic::Change).split_off(heard);
            assert_eq!(told.len(), usize::from(!new), "{told:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_overtaken_has_not_failed() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let known = life.entries().len();
        life.sim.weather("azure", Weather::Slow(SECOND * 3));
        life.sim.azure.remove(&zone("azure"), &fqdn(NAME), &RecordType::A);
        life.order(Order::Round).await;
        sleep(SECOND).await;
        life.sim.address(Some("203.0.113.1"));
        life.order(Order::Round).await;
        sleep(SECOND * 30).await;
        let changes = changes(&life.entries(), known);
        assert!(
            !changes.is_empty() && changes.iter().all(|(_, outcome)| outcome == "applied"),
            "{changes:?}"
        );
    })
    .await;
}
