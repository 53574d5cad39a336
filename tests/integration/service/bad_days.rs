//! Days on which the world lies, flaps or loses the time: the service says so, keeps its pace, and is fooled by none.

use std::sync::Arc;
use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::{Entry, What};
use cnamed::model::record::{Data, Mode};
use cnamed::model::verify::Verdict;
use cnamed::notify::Topic;
use cnamed::provider::Kind;
use cnamed::reconcile::round::Outcome;
use cnamed::telemetry::snapshot::Snapshot;
use tokio::time::{Instant, sleep};

use super::heard::{Heard, only};
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, REPEAT, Sim, Weather};
use super::{Life, told};
use crate::laws::world::fqdn;

fn a(address: &str) -> Data {
    Data::A([address.parse().unwrap()].into())
}

fn rounds(life: &Life) -> u64 {
    life.shown().counts.rounds.values().sum()
}

/// A service that has been in sync for a while.
async fn settled(sim: &Sim, mode: Mode) -> Life {
    let life = Life::begin(sim, Sim::desired(mode));
    life.outcome(Outcome::Changed).await;
    life.in_sync().await;
    sleep(INTERVAL * 5).await;
    life
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_lies_is_named_and_told_and_nothing_is_written_because_of_it() {
    let lies = [Some(Data::Cname(fqdn("old.example.net"))), Some(a("198.51.100.9")), None];
    for (mode, lie) in
        [Mode::Cname, Mode::Address].into_iter().flat_map(|mode| lies.clone().map(|lie| (mode, lie)))
    {
        told(async {
            let sim = Sim::new();
            let life = settled(&sim, mode).await;
            let writes = sim.writes();
            sim.lie("ns2.cf.test", lie.clone());
            let shown = life.outcome(Outcome::Unverified).await;
            let records = &shown.last.as_ref().unwrap().round.records;
            let of = |account: &str| records.iter().find(|it| it.account.as_str() == account).unwrap();
            assert_ne!(of("cf").verdict, Verdict::Agreed, "{lie:?}");
            assert!(of("cf").detail.contains("ns2.cf.test"), "{lie:?}: {}", of("cf").detail);
            assert_eq!(of("azure").verdict, Verdict::Agreed);

            sleep(shown.patience + INTERVAL * 30).await;
            let why = life.shown().readiness(sim.now()).unwrap_err();
            assert!(why.contains("last in sync") && why.contains("ns2.cf.test"), "{why}");
            let heard = sim.heard(Topic::Unverified);
            assert_eq!(heard.len(), 1, "{lie:?}: told once, however long: {heard:#?}");
            assert!(heard[0].details[0].contains("ns2.cf.test"), "{heard:#?}");
            assert_eq!(sim.writes(), writes, "{lie:?}: a lie is no reason to write");

            sim.repent();
            life.in_sync().await;
            sleep(INTERVAL).await;
            assert!(life.shown().readiness(sim.now()).is_ok());
            let over = sim.heard(Topic::Recovery);
            assert_eq!(over.len(), 1, "{over:#?}");
            assert!(over[0].title.starts_with("recovered after"), "{over:#?}");
            assert_eq!(sim.writes(), writes);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_of_the_label_that_lies_is_no_event_and_the_records_stay_with_what_azure_says() {
    told(async {
        let sim = Sim::new();
        let life = settled(&sim, Mode::Address).await;
        let (writes, happenings) = (sim.writes(), life.happenings());
        sim.lie("ns2.label.test", Some(a("198.51.100.9")));
        let shown = life.outcome(Outcome::Unverified).await;
        let why = shown.last.as_ref().unwrap().round.why();
        assert!(why.as_ref().is_some_and(|why| why.contains("198.51.100.9")), "{why:?}");
        let before = rounds(&life);
        sleep(INTERVAL * 10).await;
        assert!(rounds(&life) - before <= 12, "a lie that stays calls for one round");
        assert_eq!((sim.writes(), life.happenings()), (writes, happenings));
        let told = sim.heard(Topic::Unverified);
        assert_eq!(told.len(), 1, "once, however long it lasts: {told:#?}");
        assert!(told[0].details[0].contains("198.51.100.9"), "{told:#?}");
        sim.repent();
        life.in_sync().await;
        assert_eq!(sim.heard(Topic::Recovery).len(), 1);
        assert_eq!(sim.writes(), writes);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_look_at_has_not_recovered() {
    let down = Weather::Refusing(Kind::Unreachable);
    for (liar, hidden_by) in
        [("ns2.cf.test", "cf"), ("ns2.cf.test", "network"), ("ns2.label.test", "network")]
    {
        told(async {
            let sim = Sim::new();
            let life = settled(&sim, Mode::Address).await;
            sim.lie(liar, Some(a("198.51.100.9")));
            life.outcome(Outcome::Unverified).await;
            let troubles = sim.ear.of(Topic::Unverified);
            let [trouble] = &troubles[..] else { panic!("{liar}: {troubles:#?}") };
            let recoveries = || {
                let over = sim.ear.of(Topic::Recovery);
                over.into_iter().filter(|title| !title.ends_with("cannot be read")).collect::<Vec<_>>()
            };
            sim.weather(hidden_by, down);
            life.outcome(Outcome::Partial).await;
            sleep(INTERVAL * 10).await;
            assert_eq!(recoveries(), [""; 0], "{liar}, hidden by {hidden_by}");
            sim.weather(hidden_by, Weather::Fine);
            life.outcome(Outcome::Unverified).await;
            sleep(INTERVAL * 5).await;
            assert_eq!(recoveries(), [""; 0], "{liar}, hidden by {hidden_by}");
            assert_eq!(sim.ear.of(Topic::Unverified), troubles, "{hidden_by}: it was told, and is not over");
            sim.repent();
            life.in_sync().await;
            sleep(INTERVAL).await;
            let over = recoveries();
            let [over] = &over[..] else { panic!("{liar}, hidden by {hidden_by}: {over:#?}") };
            assert!(over.starts_with("recovered after") && over.ends_with(trouble), "{over}");
        })
        .await;
    }
}

/// The configuration does not name it any more, and no round looks at it but the one that took it away.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_still_served_after_its_withdrawal_has_not_recovered_before_it_is_gone() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.lie("ns2.cf.test", life.sim.data("cf", NAME));
        life.configuration.exchange(Ok(only("azure", Mode::Cname)));
        life.order(Order::Reload).await;
        life.outcome(Outcome::Unverified).await;
        let troubles = life.ear.of(Topic::Unverified);
        let [trouble] = &troubles[..] else { panic!("{troubles:#?}") };
        life.outcome(Outcome::InSync).await;
        sleep(INTERVAL * 5).await;
        assert_eq!(life.ear.of(Topic::Recovery), [""; 0]);
        life.sim.repent();
        sleep(INTERVAL * 3).await;
        let recoveries = life.ear.of(Topic::Recovery);
        let [over] = &recoveries[..] else { panic!("{recoveries:#?}") };
        assert!(over.starts_with("recovered after") && over.ends_with(trouble), "{over}");
        assert_eq!(life.ear.of(Topic::Unverified), troubles, "it was told once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_never_rests_is_told_a_few_times_and_costs_no_more_than_the_pace() {
    for mode in [Mode::Address, Mode::Cname] {
        told(flap(mode)).await;
    }
}

/// Deallocated and started again and again, at every look and between them, for a while.
async fn flap(mode: Mode) {
    const CHANGES: u32 = 1200;
    const PAUSE: Duration = Duration::from_secs(1);
    let sim = Sim::new();
    let life = settled(&sim, mode).await;
    let (began, heard) = (Instant::now(), sim.heard(Topic::Address).len());
    let before = (rounds(&life), sim.calls("azure"), sim.calls("cf"), sim.calls("network"));
    for number in 0..CHANGES {
        let address = format!("203.0.113.{}", number % 250 + 1);
        sim.address((number % 3 != 2).then_some(address.as_str()));
        sleep(PAUSE).await;
    }
    let (lasted, looks) = (began.elapsed(), began.elapsed().as_secs() / LABEL_INTERVAL.as_secs());
    let flapped = rounds(&life) - before.0;
    // After a round that changed something the next comes after a sixteenth of the interval, less a tenth.
    let timed = (lasted.as_secs_f64() / (INTERVAL.as_secs_f64() / 16.0 * 0.9)) as u64;
    let most = timed + looks + 2;
    assert!(flapped <= most, "{mode:?}: {flapped} rounds in {lasted:?}, {most} at most");
    assert!(flapped >= looks / 2, "it is followed all the same: {flapped} rounds in {looks} looks");
    for (account, earlier) in [("azure", before.1), ("cf", before.2), ("network", before.3)] {
        // A round reads an account twice at most, and again what it has written.
        let calls = u64::from(sim.calls(account) - earlier);
        assert!(calls <= flapped * 5, "{account}: {calls} calls in {flapped} rounds");
    }
    let told = sim.heard(Topic::Address).len() - heard;
    assert!(told <= 8, "{told} notices in {lasted:?}");
    let happened = life.happenings().len();
    assert!(happened >= 100, "all of it is in the journal: {happened}");

    sim.address(Some("203.0.113.254"));
    sleep(LABEL_INTERVAL * 3).await;
    for account in ["azure", "cf"].into_iter().filter(|_| mode == Mode::Address) {
        assert_eq!(sim.data(account, NAME), Some(a("203.0.113.254")), "{account}");
    }
    life.in_sync().await;
    sleep(INTERVAL * 10).await;
    let calm = rounds(&life);
    sleep(INTERVAL * 10).await;
    assert!(rounds(&life) - calm <= 12, "it settles");
    sleep(REPEAT * 2).await;
    let told = sim.heard(Topic::Address);
    let last = told.iter().rfind(|notice| notice.after.is_some()).unwrap();
    assert_eq!(last.after.as_deref(), Some("203.0.113.254"), "the last of it is told in the end");
    let merged: usize = told.iter().map(|notice| notice.repeats as usize + 1).sum();
    assert_eq!(merged, life.happenings().len(), "nothing is left uncounted");
    life.end().await;
}

/// What is shown lies in the past, however the clock is set, unless it is yet to come.
fn is_plausible(shown: &Snapshot, sim: &Sim) {
    let now = sim.now() + time::Duration::SECOND;
    for past in [Some(shown.started), shown.converged, shown.since].into_iter().flatten() {
        assert!(past <= now, "{past} is yet to come at {now}");
    }
    assert!(shown.next.is_none_or(|next| next >= now - INTERVAL), "{:?} at {now}", shown.next);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_stops_no_round_begins_none_and_fools_no_probe() {
    let day = time::Duration::DAY;
    for by in [day, -day, -day * 365, day * 500, time::Duration::minutes(-3)] {
        told(async {
            let sim = Sim::new();
            let life = settled(&sim, Mode::Address).await;
            let before = rounds(&life);
            sim.set_clock(by);
            sleep(INTERVAL * 10).await;
            let went = rounds(&life) - before;
            assert!((9..=12).contains(&went), "{by}: {went} rounds in ten intervals");
            assert!(
                life.shown().readiness(sim.now()).is_ok(),
                "{by}: {:?}",
                life.shown().readiness(sim.now())
            );
            is_plausible(&life.shown(), &sim);

            // Now it is set while nothing works: what was in sync before is not so for ever.
            sim.weather("cf", Weather::Refusing(Kind::Unreachable));
            life.outcome(Outcome::Partial).await;
            sim.set_clock(by);
            sim.address(Some("203.0.113.40"));
            sleep(life.shown().patience + INTERVAL * 2).await;
            let shown = life.shown();
            let why = shown.readiness(sim.now()).expect_err("nothing was in sync for long enough");
            assert!(!why.contains("sync -"), "{by}: {why}");
            is_plausible(&shown, &sim);
            sim.weather("cf", Weather::Fine);
            life.in_sync().await;
            sim.set_clock(-by);
            sleep(INTERVAL * 2).await;
            assert!(life.shown().readiness(sim.now()).is_ok());
            assert_eq!(sim.data("cf", NAME), Some(a("203.0.113.40")));
            is_readable(&life.entries(), by);
            assert!(sim.heard(Topic::Address).len() == 1, "{by}: told once, whatever day it is");
        })
        .await;
    }
}

/// The order is that of writing, and what took seconds took seconds.
fn is_readable(entries: &[Entry], by: time::Duration) {
    assert!(entries.is_sorted_by_key(|entry| entry.id), "{by}: {entries:#?}");
    assert!(entries.iter().any(|entry| matches!(entry.what, What::Happening { .. })), "{by}: {entries:#?}");
    let agreed: Vec<_> = entries.iter().flat_map(|entry| &entry.agreed).collect();
    assert!(
        !agreed.is_empty() && agreed.iter().all(|agreed| agreed.after < INTERVAL * 15),
        "{by}: {agreed:#?}"
    );
}

/// A clock may also be wrong when the service begins, and be right from then on.
#[tokio::test(start_paused = true)]
async fn what_an_earlier_life_wrote_in_the_future_is_no_obstacle() {
    told(async {
        let sim = Sim::new();
        let life = settled(&sim, Mode::Address).await;
        let journal = Arc::clone(&life.journal);
        life.end().await;
        sim.set_clock(-time::Duration::DAY * 365);
        sim.address(Some("203.0.113.41"));
        let life = Life::with(&sim, Sim::desired(Mode::Address), journal);
        life.outcome(Outcome::Changed).await;
        life.in_sync().await;
        assert!(life.shown().readiness(sim.now()).is_ok());
        is_plausible(&life.shown(), &sim);
        let entries = life.entries();
        assert!(
            entries.last().unwrap().at < entries[0].at,
            "the later one bears the earlier date: {entries:#?}"
        );
        assert!(entries.is_sorted_by_key(|entry| entry.id));
    })
    .await;
}
