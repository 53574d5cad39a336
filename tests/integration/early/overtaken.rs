//! Two that look at the same time: what the older look has found is not written over what the newer one has.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use cnamed::model::common::Common;
use cnamed::model::endpoint::{Intent, Provisioning, PublicIp};
use cnamed::model::record::{Data, Mode, Policy};
use cnamed::reconcile::round::Outcome;
use tokio::time::sleep;

use super::stage::{STEP, Stage, changes, told, until};
use super::{LED, right};

const BEFORE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 0);
const AFTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

fn address(ip: Ipv4Addr) -> Data {
    Data::A([ip].into())
}

fn stage() -> Stage {
    let stage = Stage::new().wants_in("cf", LED, Mode::Address);
    stage.cf.put(LED, address(BEFORE));
    stage
}

/// Has a name mended by a newer look while an older one of the address waits for its account.
async fn overtaken(whole_comes_late: bool) {
    let stage = stage();
    let whole = whole_comes_late.then(|| stage.network.looks.hold());
    let answer = stage.cf.reads.hold();
    let round = stage.begin();
    until("asked", || stage.cf.reads.came() == 1 && stage.network.looks.came() == 1).await;
    stage.network.moves(&AFTER.to_string());
    stage.reconciler.mend(&stage.desired, &()).await;
    assert_eq!(stage.cf.data(LED), Some(address(AFTER)));
    // What the older look has seen comes in after what the newer one has.
    drop(whole);
    until("read", || stage.network.looks.came() == 2).await;
    drop(answer);
    let round = round.await.unwrap();
    let written = [(LED.to_owned(), Some(address(AFTER)))];
    assert_eq!(stage.cf.asked(), written, "it never led back");
    assert_eq!((changes(&round), round.outcome), (Vec::new(), Outcome::InSync));
    assert_eq!(stage.network.looks.came(), 3, "the round has looked again");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_not_written_by_a_look_that_another_has_overtaken() {
    told(async {
        overtaken(false).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_last_is_not_what_was_seen_last() {
    told(async {
        overtaken(true).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_lead_to_where_an_endpoint_is_once_what_is_under_way_on_it_has_ended() {
    told(async {
        let stage = stage();
        stage.cf.put(LED, address([198, 51, 100, 9].into()));
        stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Busy, ..ip });
        let round = stage.begin();
        until("mended", || stage.cf.data(LED) == Some(address(BEFORE))).await;
        stage.network.moves(&AFTER.to_string());
        stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Succeeded, ..ip });
        let round = round.await.unwrap();
        assert_eq!(stage.cf.data(LED), Some(address(AFTER)));
        assert_eq!((changes(&round).len(), round.outcome), (2, Outcome::Changed), "{:?}", changes(&round));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_mended_while_an_operation_was_waited_for_is_told() {
    told(async {
        let stage = stage();
        stage.cf.put(LED, address([198, 51, 100, 9].into()));
        stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Busy, ..ip });
        let round = stage.begin();
        until("mended", || stage.cf.data(LED) == Some(address(BEFORE))).await;
        stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Succeeded, ..ip });
        assert_eq!(changes(&round.await.unwrap()), ["update led.example.com in cf: applied"]);
    })
    .await;
}

/// It is watched, had lost its label for a moment, and has it again.
#[tokio::test(start_paused = true)]
async fn a_name_is_not_withdrawn_by_a_look_that_another_has_overtaken() {
    told(async {
        let mut stage = Stage::new().wants_in("cf", LED, Mode::Cname);
        stage.desired.endpoints.values_mut().for_each(|endpoint| endpoint.intent = Intent::Watch);
        stage.cf.put(LED, right().unwrap());
        let held = stage.network.held();
        let answer = stage.cf.reads.hold();
        stage.network.edit(|ip| PublicIp { label: None, fqdn: None, ..ip });
        let round = stage.begin();
        until("asked", || stage.cf.reads.came() == 1 && stage.network.looks.came() == 1).await;
        sleep(STEP).await;
        stage.network.edit(|_| held);
        assert!(stage.reconciler.mend(&stage.desired, &()).await.changes.is_empty());
        drop(answer);
        let round = round.await.unwrap();
        assert_eq!((stage.cf.written(), changes(&round)), (vec![], vec![]));
        assert_eq!(round.outcome, Outcome::InSync);
    })
    .await;
}

/// A withdrawal that was asked for leads nowhere: nothing that was seen since makes it wrong.
#[tokio::test(start_paused = true)]
async fn a_name_is_withdrawn_wherever_its_endpoint_is_by_now() {
    told(async {
        let mut stage = stage();
        stage.desired.records.values_mut().for_each(|wanted| wanted.withdraw = true);
        let answer = stage.cf.reads.hold();
        let round = stage.begin();
        until("asked", || stage.cf.reads.came() == 1 && stage.network.looks.came() == 1).await;
        stage.network.moves(&AFTER.to_string());
        let mended = stage.reconciler.mend(&stage.desired, &()).await;
        assert!(mended.changes.is_empty());
        drop(answer);
        let round = round.await.unwrap();
        assert_eq!(changes(&round), ["delete led.example.com in cf: applied"]);
        assert_eq!(stage.network.looks.came(), 2, "the round had no need to look again");
    })
    .await;
}

/// Everything is to be taken down, but the next wants no name withdrawn.
#[tokio::test(start_paused = true)]
async fn what_is_left_to_a_configuration_that_comes_is_told_as_still_to_be_done() {
    told(async {
        let mut stage = Stage::new().wants_in("cf", LED, Mode::Cname);
        stage.cf.put(LED, right().unwrap());
        stage.desired = stage.desired.torn_down();
        let mut next = stage.desired.clone();
        next.records.values_mut().for_each(|wanted| wanted.policy = Policy::UpsertOnly);
        stage.reconciler.newest.lasts(Common::of(&stage.desired, &next, &BTreeSet::new()));
        let round = stage.begin().await.unwrap();
        let expected = ["delete led.example.com in cf: planned", "delete jump in nobody: planned"];
        assert_eq!(changes(&round), expected);
        assert_eq!((round.outcome, stage.cf.written()), (Outcome::Pending, vec![]));
    })
    .await;
}
