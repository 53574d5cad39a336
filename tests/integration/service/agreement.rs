//! Who has come to agree to what has changed, and who asks them.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::What;
use cnamed::model::endpoint::Intent;
use cnamed::model::plan::Verb;
use cnamed::model::record::{Data, Mode, RecordType};
use cnamed::model::sight::HappeningKind;
use cnamed::reconcile::round::ChangeOutcome;
use cnamed::resolver::{Question, Resolver, Via};
use tokio::time::{Instant, sleep};

use super::heard::{Heard, Mood, only};
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Sim, Weather};
use super::told;
use crate::laws::world::{self, fqdn, handle};

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
async fn an_address_is_agreed_to_by_those_who_give_it_and_that_it_is_gone_by_those_who_give_it_no_more() {
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
        assert_eq!(of(HappeningKind::Released), [["azure", "cf", "resolvers"]]);
        assert_eq!(of(HappeningKind::Assigned), [["azure", "cf", "resolvers"]]);
    })
    .await;
}

/// Who agreed to what happened of that kind, and after how long.
fn after(life: &Heard, kind: HappeningKind) -> Vec<(String, Duration)> {
    let of_kind = |what: &What| matches!(what, What::Happening { happening, .. } if happening.kind == kind);
    let entries = life.entries().into_iter().filter(|entry| of_kind(&entry.what));
    entries.flat_map(|entry| entry.agreed.into_iter().map(|agreed| (agreed.who, agreed.after))).collect()
}

fn whom(agreed: &[(String, Duration)]) -> Vec<&str> {
    agreed.iter().map(|(who, _)| who.as_str()).collect()
}

/// Everybody has agreed: the accounts that long after it was noticed and the resolvers that long, and no later than
/// the next time that they are asked.
fn assert_after(life: &Heard, kind: HappeningKind, accounts: Duration, resolvers: Duration) {
    let agreed = after(life, kind);
    assert_eq!(whom(&agreed), ["azure", "cf", "resolvers"], "{kind:?}");
    for ((who, after), least) in agreed.iter().zip([accounts, accounts, resolvers]) {
        let most = least + SECOND * 3 + least / 20;
        assert!((least..=most).contains(after), "{kind:?}: {who} after {after:?}, not {least:?} to {most:?}");
    }
}

/// Only looks at its public IP, which somebody else makes and removes.
async fn watching(life: &Heard) {
    let mut desired = Sim::desired(Mode::Cname);
    desired.endpoints.values_mut().for_each(|endpoint| endpoint.intent = Intent::Watch);
    life.configuration.exchange(Ok(desired));
    life.order(Order::Reload).await;
    life.calm().await;
}

#[tokio::test(start_paused = true)]
async fn a_released_address_is_gone_once_no_resolver_gives_it_and_the_record_that_stays_is_right_at_once() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.sim.address(Some("203.0.113.5"));
        sleep(INTERVAL * 5).await;
        let until = Instant::now() + SECOND * 200;
        life.servers.are(Mood { cached_until: Some(until), ..Mood::default() });
        life.sim.address(None);
        life.until("an event", |shown| shown.counts.happenings.contains_key("released")).await;
        let left = until - Instant::now();
        sleep(left - SECOND).await;
        let agreed = after(&life, HappeningKind::Released);
        assert_eq!(whom(&agreed), ["azure", "cf"], "{agreed:?}");
        sleep(INTERVAL).await;
        assert_after(&life, HappeningKind::Released, Duration::ZERO, left);
        let counted = &life.shown().counts.convergence["resolvers"];
        assert!(counted.sum >= left.as_secs_f64(), "{counted:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_something_is_waited_for_the_labels_are_asked_no_oftener() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.servers.are(Mood { cached_until: Some(Instant::now() + HOUR), ..Mood::default() });
        for (address, kind) in [(None, "released"), (Some("203.0.113.5"), "assigned")] {
            life.sim.address(address);
            life.until("an event", |shown| shown.counts.happenings.contains_key(kind)).await;
            let (looks, asked) = (life.shown().counts.label_lookups, life.servers.asked());
            sleep(LABEL_INTERVAL * 3).await;
            let looks = life.shown().counts.label_lookups - looks;
            assert!((2..=4).contains(&looks), "{kind}: {looks} looks");
            assert!(life.servers.asked() - asked >= 40, "{kind}: two accounts, each second");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silent_resolvers_have_not_forgotten_an_address() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        life.servers.are(Mood { resolvers_are_silent: true, ..Mood::default() });
        life.sim.address(None);
        sleep(INTERVAL * 5).await;
        assert_eq!(whom(&after(&life, HappeningKind::Released)), ["azure", "cf"]);
        life.servers.are(Mood::default());
        sleep(INTERVAL).await;
        assert_eq!(whom(&after(&life, HappeningKind::Released)), ["azure", "cf", "resolvers"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_keeps_a_released_address_is_not_waited_for_to_leave_it() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        life.sim.address(None);
        life.until("an event", |shown| shown.counts.happenings.contains_key("released")).await;
        life.until("a round's end", |shown| !shown.busy).await;
        let asked = life.servers.asked();
        sleep(INTERVAL / 4).await;
        assert_eq!(life.servers.asked(), asked, "nobody could say anything new");
        sleep(INTERVAL * 5).await;
        assert_eq!(after(&life, HappeningKind::Released), []);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_deleted_public_ip_accounts_agree_once_the_names_are_gone_and_resolvers_once_its_address_is() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        watching(&life).await;
        lag(&life, INTERVAL * 2, INTERVAL * 4).await;
        life.sim.network.remove("rg", "pip-0");
        life.order(Order::Round).await;
        life.until("an event", |shown| shown.counts.happenings.contains_key("deleted")).await;
        assert_eq!((life.sim.data("cf", NAME), life.sim.data("azure", NAME)), (None, None));
        assert_eq!(after(&life, HappeningKind::Deleted), []);
        let asked = life.servers.resolvers_asked();
        sleep(INTERVAL).await;
        assert_eq!(life.servers.resolvers_asked(), asked, "they would remember a name that is served still");
        sleep(INTERVAL * 2).await;
        assert_eq!(whom(&after(&life, HappeningKind::Deleted)), ["azure", "cf"]);
        sleep(INTERVAL * 2).await;
        assert_after(&life, HappeningKind::Deleted, INTERVAL * 2, INTERVAL * 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_label_that_was_taken_everybody_agrees_once_no_name_leads_to_it() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        watching(&life).await;
        // The names have left it before a stranger came.
        life.sim.network.remove("rg", "pip-0");
        life.order(Order::Round).await;
        sleep(INTERVAL * 2).await;
        life.sim.network.take(world::spec(0).label, "westeurope");
        sleep(INTERVAL * 2).await;
        assert_after(&life, HappeningKind::LabelTaken, Duration::ZERO, Duration::ZERO);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_that_lead_to_a_stranger_are_agreed_to_by_nobody_until_they_leave() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        watching(&life).await;
        life.sim.network.remove("rg", "pip-0");
        life.sim.network.take(world::spec(0).label, "westeurope");
        life.order(Order::Round).await;
        sleep(INTERVAL * 5).await;
        for kind in [HappeningKind::LabelTaken, HappeningKind::Deleted] {
            assert_eq!(after(&life, kind), [], "{kind:?}: the names stay, and lead to a stranger");
        }
        let mut desired = Sim::desired(Mode::Cname);
        desired.endpoints.values_mut().for_each(|endpoint| endpoint.public_ip.label = world::spec(1).label);
        life.configuration.exchange(Ok(desired));
        life.servers.are(Mood { cached_until: Some(Instant::now() + INTERVAL), ..Mood::default() });
        life.order(Order::Reload).await;
        life.until("names that leave", |shown| shown.counts.happenings.contains_key("recreated")).await;
        sleep(INTERVAL / 2).await;
        assert_eq!(whom(&after(&life, HappeningKind::LabelTaken)), ["azure", "cf"]);
        sleep(INTERVAL).await;
        for kind in [HappeningKind::LabelTaken, HappeningKind::Deleted, HappeningKind::Recreated] {
            assert_eq!(whom(&after(&life, kind)), ["azure", "cf", "resolvers"], "{kind:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_released_address_that_is_overtaken_is_gone_once_it_is_and_never_where_it_comes_back() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        for (address, agreed) in
            [("203.0.113.6", &["azure", "cf", "resolvers"][..]), ("203.0.113.5", &["azure", "cf"])]
        {
            life.sim.address(Some("203.0.113.5"));
            sleep(INTERVAL * 5).await;
            life.servers.are(Mood { cached_until: Some(Instant::now() + INTERVAL * 2), ..Mood::default() });
            life.sim.address(None);
            sleep(SECOND * 20).await;
            life.sim.address(Some(address));
            sleep(INTERVAL).await;
            let of = |kind: HappeningKind| {
                let last = life.agreed(
                    |what| matches!(what, What::Happening { happening, .. } if happening.kind == kind),
                );
                last.last().unwrap().clone()
            };
            assert_eq!(of(HappeningKind::Released), ["azure", "cf"], "resolvers give the one before");
            sleep(INTERVAL * 5).await;
            assert_eq!(of(HappeningKind::Released), agreed, "{address}");
            assert_eq!(of(HappeningKind::Assigned), ["azure", "cf", "resolvers"], "{address}");
            let asked = life.servers.asked();
            let rounds = life.finished();
            sleep(INTERVAL / 4).await;
            assert!(life.finished() > rounds || life.servers.asked() == asked, "it is waited for still");
        }
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
async fn to_a_withdrawal_accounts_agree_once_they_give_nothing_there_and_resolvers_once_they_give_it_no_more()
{
    const OTHER: &str = "other.example.com";
    for mode in [Mode::Cname, Mode::Address] {
        told(async {
            let life = Heard::begin(mode);
            let mut desired = Sim::desired(mode);
            let wanted = desired.records[&world::key(NAME, "azure")].clone();
            desired.records.insert(world::key(OTHER, "azure"), wanted);
            life.configuration.exchange(Ok(desired.clone()));
            life.order(Order::Reload).await;
            life.calm().await;
            lag(&life, INTERVAL * 2, INTERVAL * 4).await;
            desired.records.retain(|key, _| key.name.as_str() == OTHER);
            life.configuration.exchange(Ok(desired.clone()));
            life.order(Order::Reload).await;
            let withdrawals = || {
                let all = life.agreed(|what| matches!(what, What::Change(it) if it.verb == Verb::Delete));
                all.into_iter().flatten().collect::<Vec<_>>()
            };
            sleep(INTERVAL).await;
            assert_eq!((life.sim.data("cf", NAME), life.sim.data("azure", NAME)), (None, None));
            assert_eq!(withdrawals(), [""; 0], "{mode:?}");
            sleep(INTERVAL * 2).await;
            assert_eq!(withdrawals(), ["azure", "cf"], "{mode:?}: the resolvers remember it");
            sleep(INTERVAL * 2).await;
            assert_eq!(withdrawals(), ["azure", "resolvers", "cf", "resolvers"], "{mode:?}");
            let (asked, rounds) = (life.servers.resolvers_asked(), life.finished());
            sleep(INTERVAL / 4).await;
            let still = life.finished() == rounds && life.servers.resolvers_asked() > asked;
            assert!(!still, "{mode:?}: it is waited for no more");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_name_that_stays_in_one_account_its_withdrawal_from_another_is_agreed_to_as_it_stands() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        lag(&life, INTERVAL * 2, Duration::ZERO).await;
        life.configuration.exchange(Ok(only("azure", Mode::Cname)));
        life.order(Order::Reload).await;
        let withdrawn = || life.agreed(|what| matches!(what, What::Change(it) if it.verb == Verb::Delete));
        sleep(INTERVAL).await;
        assert_eq!(withdrawn(), [[""; 0]]);
        sleep(INTERVAL * 2).await;
        assert_eq!(withdrawn(), [["cf", "resolvers"]]);
    })
    .await;
}

/// Lets the accounts' servers say for so long what they said before, and the resolvers for so long.
async fn lag(life: &Heard, accounts: Duration, resolvers: Duration) {
    // They are not asked for addresses before something is withdrawn.
    for account in ["azure", "cf"] {
        let servers = Via::Servers([1, 2].map(|number| format!("ns{number}.{account}.test")).into());
        for rtype in [RecordType::A, RecordType::Aaaa] {
            life.servers.lookup(&Question { name: fqdn(NAME), rtype }, &servers).await;
        }
    }
    life.servers.are(Mood {
        old_until: Some(Instant::now() + accounts),
        cached_until: Some(Instant::now() + resolvers),
        ..Mood::default()
    });
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
