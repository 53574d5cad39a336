//! Who has come to agree to what has changed, and who asks them.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::What;
use cnamed::model::record::{Data, Mode};
use cnamed::model::sight::HappeningKind;
use cnamed::reconcile::round::ChangeOutcome;
use tokio::time::{Instant, sleep};

use super::heard::{Heard, Mood};
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Weather};
use super::told;
use crate::laws::world::handle;

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn agreement_is_seen_to_the_second_and_no_round_waits_for_it() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let old = |until| life.servers.are(Mood { old_until: Some(until), ..Mood::default() });
        old(Instant::now() + HOUR);
        life.sim.address(Some("203.0.113.99"));
        life.until("an event", |shown| shown.counts.happenings.contains_key("changed")).await;
        let (noticed, lag) = (Instant::now(), Duration::from_millis(7300));
        old(noticed + lag);
        let expected = Some(Data::A(["203.0.113.99".parse().unwrap()].into()));
        life.until("a round's end", |shown| !shown.busy && life.sim.data("cf", NAME) == expected).await;
        assert!(noticed.elapsed() <= SECOND * 3, "{:?}", noticed.elapsed());
        life.until("agreement", |shown| shown.history.iter().any(|entry| entry.agreed.len() == 3)).await;
        let agreed: Vec<Duration> = life
            .entries()
            .into_iter()
            .filter(|entry| matches!(entry.what, What::Happening { .. }))
            .flat_map(|entry| entry.agreed.into_iter().map(|agreed| agreed.after))
            .collect();
        assert_eq!(agreed.len(), 3);
        for after in agreed {
            assert!((lag..=lag + SECOND * 2).contains(&after), "{after:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_do_not_come_to_agree_are_asked_less_and_less_often() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        life.servers.are(Mood { old_until: Some(Instant::now() + HOUR * 2), ..Mood::default() });
        life.sim.address(Some("203.0.113.99"));
        life.until("an event", |shown| shown.counts.happenings.contains_key("changed")).await;
        let asked = life.servers.asked();
        sleep(SECOND * 20).await;
        let soon = life.servers.asked() - asked;
        assert!(soon >= 40, "two accounts, each second: {soon}");
        sleep(HOUR - SECOND * 60).await;
        let all = life.servers.asked() - asked;
        assert!(all <= 700, "{all} questions in an hour, those of 60 rounds among them");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_there_is_agreed_to_and_one_that_is_not_there_is_waited_for_by_nobody() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        for address in [None, Some("203.0.113.5")] {
            life.sim.address(address);
            sleep(INTERVAL * 2).await;
        }
        let of = |kind: HappeningKind| {
            life.agreed(|what| matches!(what, What::Happening { happening, .. } if happening.kind == kind))
        };
        assert_eq!(of(HappeningKind::Released), [[""; 0]]);
        assert_eq!(of(HappeningKind::Assigned), [["azure", "cf", "resolvers"]]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_counted_and_agreed_to_by_those_whom_it_concerns() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        for account in ["azure", "cf"] {
            let agreed = life.agreed(
                |what| matches!(what, What::Change(change) if change.account == Some(handle(account))),
            );
            assert_eq!(agreed, [[account, "resolvers"]]);
        }
        let agreed = life.agreed(|what| matches!(what, What::Change(change) if change.account.is_none()));
        assert_eq!(agreed, [[""; 0]], "nobody asks after the public IP itself");
        let soon = life.entries().into_iter().flat_map(|entry| entry.agreed);
        let soon: Vec<Duration> = soon.map(|agreed| agreed.after).collect();
        assert!(soon.iter().all(|after| after.is_zero()), "the round itself sees it: {soon:?}");
        let shown = life.shown();
        let last = &shown.last.as_ref().unwrap().round;
        assert_eq!(last.chains.len(), 2, "every round walks every chain");
        assert_eq!(shown.counts.quota["ear"], 1, "what the transport counts is shown");
        for account in ["azure", "cf", "endpoints"] {
            let count = shown.counts.changes[&("create", ChangeOutcome::Applied, account.to_owned())];
            assert_eq!(count, 1, "{account}");
        }
        assert_eq!(shown.counts.changes.len(), 3, "{:?}", shown.counts.changes);
        for who in ["azure", "cf", "resolvers"] {
            assert!(shown.counts.convergence[who].count >= 1, "{who}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_waited_for_only_rounds_ask_the_accounts_name_servers() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let (asked, rounds) = (life.servers.asked(), life.finished());
        sleep(INTERVAL * 10).await;
        let (asked, rounds) = (life.servers.asked() - asked, life.finished() - rounds);
        assert_eq!(u64::from(asked) % rounds, 0, "{asked} in {rounds} rounds");
        assert!(u64::from(asked) / rounds <= 2, "{asked} in {rounds} rounds");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_say_what_was_right_before_an_event_have_not_agreed_to_it() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        life.servers.are(Mood { old_until: Some(Instant::now() + HOUR), ..Mood::default() });
        // A round that takes longer than it is to the next look.
        for account in ["azure", "cf", "network"] {
            life.sim.weather(account, Weather::Slow(SECOND * 4));
        }
        let before = life.finished();
        life.sim.address(Some("203.0.113.2"));
        sleep(LABEL_INTERVAL * 2).await;
        assert_eq!(life.finished(), before, "it is under way");
        sleep(INTERVAL * 5).await;
        assert_eq!(life.agreed(|what| matches!(what, What::Happening { .. })), [[""; 0]]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_earlier_question_is_no_agreement() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let old = Mood { old_until: Some(Instant::now() + HOUR), ..Mood::default() };
        life.servers.are(old);
        life.sim.address(Some("203.0.113.2"));
        life.until("an event", |shown| shown.counts.happenings.contains_key("changed")).await;
        sleep(SECOND * 2).await;
        // They come to agree, and the look that sees it takes half a minute.
        life.servers.are(Mood { delay: SECOND * 30, ..Mood::default() });
        sleep(SECOND * 3 / 2).await;
        life.servers.are(old);
        life.sim.address(Some("203.0.113.3"));
        life.order(Order::Round).await;
        sleep(INTERVAL * 5).await;
        let agreed = life.agreed(|what| {
            matches!(what, What::Happening { happening, .. } if happening.after.as_deref() == Some("203.0.113.3"))
        });
        assert_eq!(agreed, [[""; 0]], "name servers still give the address before");
        life.servers.are(Mood::default());
        sleep(INTERVAL).await;
        let agreed = life.agreed(|what| {
            matches!(what, What::Happening { happening, .. } if happening.after.as_deref() == Some("203.0.113.3"))
        });
        assert_eq!(agreed[0].len(), 3);
    })
    .await;
}
