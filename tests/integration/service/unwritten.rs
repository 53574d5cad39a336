//! A journal that cannot be read, or not be written, while the service works.

use std::time::Duration;

use cnamed::journal::{Journal, What};
use cnamed::model::record::Mode;
use cnamed::notify::Topic;
use cnamed::reconcile::round::Outcome;
use rusqlite::Connection;
use tokio::time::sleep;

use super::heard::{Heard, Mood};
use super::sim::INTERVAL;
use super::told;
use crate::laws::world::handle;

const UNWRITTEN: &str = "the journal could not be written; the work goes on without it";

fn troubles(life: &Heard) -> Vec<String> {
    life.shown().troubles.clone()
}

/// Takes a table away under its service, as a damaged file does.
struct Thief(Connection);

impl Thief {
    fn takes(&self, table: &str) {
        self.0.execute_batch(&format!("ALTER TABLE {table} RENAME TO stolen")).unwrap();
    }

    fn gives_back(&self, table: &str) {
        self.0.execute_batch(&format!("ALTER TABLE stolen RENAME TO {table}")).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_used_is_told_once_and_used_again_as_soon_as_it_can_be() {
    told(async {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        let thief = Thief(Connection::open(journal.path()).unwrap());
        thief.takes("sights");
        let life = Heard::with(Mode::Address, Mood::default(), journal);
        let begun = life.until("the trouble", |shown| !shown.troubles.is_empty()).await.troubles.clone();
        assert!(matches!(begun.as_slice(), [one] if one.starts_with("the journal: ")), "{begun:?}");
        life.calm().await;
        sleep(INTERVAL * 5).await;
        assert_eq!(troubles(&life).len(), 1, "{:?}", troubles(&life));
        assert_eq!(life.ear.of(Topic::Service), [UNWRITTEN], "it is the same trouble all the while");
        assert!(!life.entries().is_empty(), "what can be written is written");

        thief.gives_back("sights");
        life.until("that it is over", |shown| shown.troubles.is_empty()).await;
        sleep(Duration::from_secs(1)).await;
        let over = life.ear.of(Topic::Service);
        let told = |title: &String| title.starts_with("recovered after ") && title.ends_with(UNWRITTEN);
        assert!(over.len() == 2 && told(&over[1]), "{over:?}");
        // What it sees from now on is remembered.
        life.sim.address(Some("203.0.113.99"));
        life.until("the new address", |_| {
            let sights = life.journal.sights().unwrap();
            sights.get(&handle("jump")).is_some_and(|sight| sight.address == "203.0.113.99".parse().ok())
        })
        .await;

        // Who agreed cannot be written down, and neither the round nor what follows is any the worse.
        life.calm().await;
        thief.takes("agreed");
        life.sim.address(Some("203.0.113.98"));
        life.until("the trouble", |shown| !shown.troubles.is_empty()).await;
        life.outcome(Outcome::InSync).await;
        thief.gives_back("agreed");
        life.until("that it is over", |shown| shown.troubles.is_empty()).await;
        life.sim.address(Some("203.0.113.97"));
        life.until("what happens from then on", |shown| {
            shown.history.iter().any(|entry| {
                matches!(&entry.what, What::Happening { happening, .. } if happening.after.as_deref() == Some("203.0.113.97"))
                    && !entry.agreed.is_empty()
            })
        })
        .await;
    })
    .await;
}
