//! A write whose answer was lost, and of which nothing has come so far: not told as failed, waited for by nobody, and
//! nothing that stands on it goes on.

use std::time::Duration;

use cnamed::model::guard::Reviewed;
use cnamed::model::plan::{RecordChange, Undo};
use cnamed::model::record::{Content, Mode};
use cnamed::model::state::{Consents, Desired};
use cnamed::model::verify::Verdict;
use cnamed::provider::Kind;
use cnamed::provider::memory::{Fault as Lost, Operation};
use cnamed::reconcile::Reconciler;
use cnamed::reconcile::round::{ChangeOutcome, Outcome, Round};
use cnamed::sandbox::{Action, Fault, Service};
use tokio::time::Instant;

use crate::foreign::{NAME as JUMP, settled};
use crate::laws::world::{fqdn, handle, key, ttl};
use crate::service::sim::{NAME, Sim};
use crate::support::Cloud;

/// Less than any wait for name servers.
const AT_ONCE: Duration = Duration::from_secs(1);

/// One endpoint, and one name in one account that follows it.
fn alone() -> (Sim, Desired, Reconciler) {
    let sim = Sim::new();
    let mut desired = Sim::desired(Mode::Cname);
    desired.records.retain(|key, _| key.account.as_str() == "azure");
    let reconciler = sim.setup(desired.clone()).reconciler;
    (sim, desired, reconciler)
}

fn lose(sim: &Sim, fault: Lost) {
    sim.azure.script(Operation::Write(fqdn(NAME)), fault);
}

async fn sync(reconciler: &Reconciler, desired: &Desired) -> (Round, Duration) {
    let began = Instant::now();
    (reconciler.run(desired, None, &()).await.unwrap(), began.elapsed())
}

/// What was seen of the one record, where its change could not be confirmed and nobody waited for it.
#[track_caller]
fn unsure((round, took): (Round, Duration)) -> Verdict {
    assert!(took < AT_ONCE, "{took:?}");
    let last = round.changes.last().unwrap();
    assert_eq!((last.name.as_str(), last.outcome), (NAME, ChangeOutcome::Unconfirmed));
    assert_eq!(round.outcome, Outcome::Partial);
    let (word, rest) = round.headline();
    assert!(word == "Not confirmed" && rest.contains("may have been"), "{word}: {rest}");
    let [record] = round.records.as_slice() else { panic!("{:#?}", round.records) };
    record.verdict
}

#[tokio::test(start_paused = true)]
async fn a_new_record_that_has_not_come_is_asked_for_once_and_told_as_seen() {
    for (fault, seen) in [(Lost::RequestLost, Verdict::Contradicted), (Lost::Silent, Verdict::Agreed)] {
        let (sim, desired, reconciler) = alone();
        lose(&sim, fault);
        assert_eq!(unsure(sync(&reconciler, &desired).await), seen);
        let (round, _) = sync(&reconciler, &desired).await;
        let made = if fault == Lost::RequestLost { Outcome::Changed } else { Outcome::InSync };
        assert_eq!(round.outcome, made, "{:#?}", round.changes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_may_not_have_been_withdrawn_is_asked_for_once() {
    for prune in [false, true] {
        let (sim, mut desired, reconciler) = alone();
        sync(&reconciler, &desired).await;
        let wanted = desired.records.get_mut(&key(NAME, "azure")).unwrap();
        wanted.withdraw = true;
        if prune {
            // Another name takes its place, so that not all that is wanted is gone.
            let other = key("other.example.com", "azure");
            desired.records = [(other, desired.records[&key(NAME, "azure")].clone())].into();
            desired.records.values_mut().for_each(|wanted| wanted.withdraw = false);
            sync(&reconciler, &Desired { prune: false, ..desired.clone() }).await;
        }
        lose(&sim, Lost::RequestLost);
        let (round, took) = sync(&reconciler, &desired).await;
        assert!(took < AT_ONCE, "{took:?}");
        assert_eq!(round.changes[0].outcome, ChangeOutcome::Unconfirmed, "{:#?}", round.changes);
        let seen: Vec<_> = round.records.iter().filter(|it| it.name == fqdn(NAME)).collect();
        assert!(matches!(seen.as_slice(), [one] if one.verdict == Verdict::Contradicted), "{seen:#?}");
        let (round, _) = sync(&reconciler, &desired).await;
        assert_eq!(round.outcome, Outcome::Changed);
        assert_eq!(sim.data("azure", NAME), None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_have_been_put_back_is_asked_for_once() {
    let (sim, desired, reconciler) = alone();
    sync(&reconciler, &desired).await;
    let data = sim.data("azure", NAME).unwrap();
    let after = Some(Content { data, ttl: ttl(60), proxied: false });
    let change = RecordChange { key: key(NAME, "azure"), before: Vec::new(), after };
    let undo = Undo { change, reason: "it was made".into() };
    let desired = undo.desired(Desired { consents: Consents::default(), ..desired }).unwrap();
    let (cleared, _) = reconciler.preview_undo(&desired, &undo, &()).await;
    lose(&sim, Lost::RequestLost);
    let began = Instant::now();
    let round = reconciler.undo(&desired, &undo, &Reviewed::from(&cleared), &()).await.unwrap();
    assert_eq!(unsure((round, began.elapsed())), Verdict::Contradicted);
    assert!(sim.data("azure", NAME).is_some());
}

/// Not even where nothing else stands: that it failed is not known.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_alone_and_could_not_be_confirmed_is_no_failure() {
    for (fault, outcome, word) in [
        (Lost::RequestLost, Outcome::Partial, "Not confirmed"),
        (Lost::Refused(Kind::Denied), Outcome::Failed, "Failed"),
    ] {
        let (sim, mut desired, reconciler) = alone();
        desired.records.clear();
        sim.network.script(Operation::Provision(handle("jump")), fault);
        let (round, _) = sync(&reconciler, &desired).await;
        assert_eq!((round.outcome, round.headline().0), (outcome, word), "{:#?}", round.changes);
    }
}

/// The second promise: what may still stand holds the label, and so does what may be gone a moment later.
#[tokio::test(start_paused = true)]
async fn a_label_is_kept_while_a_withdrawal_is_not_confirmed() {
    for fault in [Lost::RequestLost, Lost::Silent] {
        let (sim, desired, reconciler) = alone();
        sync(&reconciler, &desired).await;
        let gone = desired.clone().torn_down();
        lose(&sim, fault);
        let (round, took) = sync(&reconciler, &gone).await;
        assert!(took < AT_ONCE, "{took:?}");
        let told: Vec<_> = round.changes.iter().map(|change| change.outcome).collect();
        assert_eq!(told, [ChangeOutcome::Unconfirmed, ChangeOutcome::Skipped], "{:#?}", round.changes);
        assert_eq!(round.outcome, Outcome::Partial);
        assert!(sim.public_ip().is_some(), "a name may lead to it yet");
        let (round, took) = sync(&reconciler, &gone).await;
        assert_eq!(round.outcome, Outcome::Changed, "{:#?}", round.changes);
        assert!(took >= Duration::from_secs(60), "no cache leads there any more: {took:?}");
        assert_eq!((sim.public_ip(), sim.data("azure", NAME)), (None, None));
    }
}

#[tokio::test]
async fn a_public_ip_that_nobody_answers_for_is_told_once_and_has_no_names() {
    let cloud = Cloud::start().await;
    let control = cloud.sandbox.control();
    control.fault(Fault::on(Service::Arm, Action::Reset).method("PUT").path("publicIPAddresses").always());
    let round = cloud.run(&["--format", "json", "sync"]).await.exits(6).json();
    let told: Vec<_> = round["changes"].as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
    assert_eq!(told, ["unconfirmed"], "{round:#}");
    assert_eq!(control.record_azure(JUMP, "CNAME"), None);
    control.clear_faults();
    cloud.run(&["sync"]).await.exits(0).says("Done: 3 changes made");
    settled(&cloud).await;
}
