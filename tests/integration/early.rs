//! What is done while others have not answered yet, and what is not.

mod again;
mod overtaken;
mod stage;

use std::time::Duration;

use cnamed::model::endpoint::{Endpoint, Intent, Provisioning, PublicIp};
use cnamed::model::guard::Reviewed;
use cnamed::model::record::{Data, Mode};
use cnamed::provider::Kind;
use cnamed::provider::memory::{Fault, Operation};
use cnamed::reconcile::round::{Outcome, Round};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::laws::world::{fqdn, handle, spec};
use stage::{SILENCE, STEP, Stage, changes, told, until};

const LED: &str = "led.example.com";
const NEW: &str = "new.example.com";
const STRAY: &str = "stray.example.com";

fn elsewhere() -> Data {
    Data::Cname(fqdn("gone.example.net"))
}

fn right() -> Option<Data> {
    Some(Data::Cname(fqdn("alpha.westeurope.cloudapp.azure.com")))
}

/// In both accounts a name that leads elsewhere, one that does not stand yet, and one that nobody wants any more.
fn stage() -> Stage {
    with(Stage::new())
}

fn with(stage: Stage) -> Stage {
    let stage = stage.wants(LED, Mode::Cname).wants(NEW, Mode::Cname);
    for account in [&stage.azure, &stage.cf] {
        account.put(LED, elsewhere());
        account.put(STRAY, elsewhere());
    }
    stage
}

#[tokio::test(start_paused = true)]
async fn a_name_is_mended_while_the_rest_of_its_endpoint_is_still_being_read() {
    told(async {
        let stage = Stage::new().wants_in("cf", LED, Mode::Cname);
        stage.cf.put(LED, elsewhere());
        let whole = stage.network.looks.hold();
        let round = stage.begin();
        assert!(until("mended", || stage.cf.data(LED) == right()).await <= STEP);
        sleep(SILENCE * 10).await;
        assert!(!round.is_finished(), "what is told is all of it");
        drop(whole);
        let round = round.await.unwrap();
        assert_eq!(changes(&round), ["update led.example.com in cf: applied"]);
        assert_eq!((round.outcome, round.unknown.len()), (Outcome::Changed, 0), "{:?}", round.unknown);
        assert_eq!((stage.network.looks.came(), stage.cf.reads.came(), stage.azure.reads.came()), (1, 1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_holds_no_name_of_another_account() {
    told(async {
        let stage = stage();
        let answer = stage.cf.reads.hold();
        let round = stage.begin();
        let done = || [LED, NEW, STRAY].map(|name| stage.azure.data(name)) == [right(), right(), None];
        assert!(until("done", done).await <= STEP);
        sleep(SILENCE * 10).await;
        assert!(!round.is_finished());
        assert_eq!(stage.cf.written(), Vec::<String>::new());
        drop(answer);
        let round = round.await.unwrap();
        assert_eq!((stage.azure.written().len(), stage.azure.writes.came()), (3, 1), "in one call");
        assert_eq!((stage.cf.written().len(), round.outcome), (3, Outcome::Changed));
    })
    .await;
}

/// A label that is to be given is built, for names that may yet turn out to be refused.
#[tokio::test(start_paused = true)]
async fn what_has_to_be_built_waits_a_moment_for_who_is_silent() {
    told(async {
        for agreement in [Duration::ZERO, SILENCE] {
            let stage = with(Stage::agreeing_within(agreement));
            stage.network.edit(|ip| PublicIp { label: None, fqdn: None, ..ip });
            let silence = agreement.max(Duration::from_secs(1));
            let answer = stage.cf.reads.hold();
            let (began, round) = (Instant::now(), stage.begin());
            sleep(silence - STEP * 5).await;
            assert_eq!(stage.network.changes.came(), 0, "it may answer yet");
            until("labelled", || stage.network.changes.came() == 1).await;
            assert!(began.elapsed() <= silence + STEP * 2, "{:?}", began.elapsed());
            drop(answer);
            let round = round.await.unwrap();
            for account in [&stage.azure, &stage.cf] {
                assert_eq!([LED, NEW, STRAY].map(|name| account.data(name)), [right(), right(), None]);
            }
            assert_eq!((round.changes.len(), round.outcome), (7, Outcome::Changed), "{:#?}", changes(&round));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_was_silent_has_everything_done_in_the_same_round_which_tells_all_of_it_once() {
    told(async {
        let stage = stage();
        let (preview, planned) = stage.reconciler.preview(&stage.desired, &()).await;
        let answer = stage.cf.reads.hold();
        let round = stage.begin();
        until("named", || stage.azure.data(NEW) == right()).await;
        drop(answer);
        let round = round.await.unwrap();
        for account in [&stage.azure, &stage.cf] {
            let stands = [LED, NEW, STRAY].map(|name| account.data(name));
            assert_eq!(stands, [right(), right(), None]);
            assert_eq!(account.written().len(), 3, "{:?}", account.written());
            assert_eq!(account.reads.came(), 2, "the preview, and this round");
        }
        assert_eq!((round.outcome, round.unknown.len()), (Outcome::Changed, 0), "{:?}", round.unknown);
        let told = changes(&round);
        assert_eq!(told.len(), planned.changes.len(), "{told:#?}");
        let of =
            |name: &str, account: &str| told.iter().any(|one| one.contains(name) && one.contains(account));
        for name in [LED, NEW, STRAY] {
            assert!(of(name, "in azure: applied") && of(name, "in cf: applied"), "{told:#?}");
        }
        assert!(preview.refusals().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_in_the_order_of_the_plan_whoever_answers_first() {
    told(async {
        for late in 0..3 {
            let stage = stage();
            let (_, planned) = stage.reconciler.preview(&stage.desired, &()).await;
            let expected: Vec<String> =
                changes(&planned).iter().map(|line| line.replace(": planned", ": applied")).collect();
            let gates = [&stage.azure.reads, &stage.cf.reads, &stage.network.looks];
            let answer = gates[late].hold();
            let round = stage.begin();
            sleep(SILENCE / 3).await;
            drop(answer);
            let round = round.await.unwrap();
            assert_eq!(changes(&round), expected, "{late} is late");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_to_be_done_without_whoever_is_silent_it_is_waited_for_and_nobody_is_asked_twice() {
    told(async {
        let stage = Stage::new().wants(LED, Mode::Cname).wants_in("cf", NEW, Mode::Cname);
        stage.azure.put(LED, right().unwrap());
        stage.cf.put(LED, elsewhere());
        let answer = stage.cf.reads.hold();
        let round = stage.begin();
        sleep(SILENCE * 20).await;
        assert!(!round.is_finished());
        drop(answer);
        let round = round.await.unwrap();
        assert_eq!([LED, NEW].map(|name| stage.cf.data(name)), [right(), right()]);
        assert_eq!(stage.cf.writes.came(), 1, "both together");
        assert_eq!((round.changes.len(), round.outcome), (2, Outcome::Changed));
        assert_eq!((stage.network.looks.came(), stage.cf.reads.came(), stage.azure.reads.came()), (1, 1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn in_sync_everybody_is_asked_once() {
    told(async {
        let stage = Stage::new().wants(LED, Mode::Cname);
        for account in [&stage.azure, &stage.cf] {
            account.put(LED, right().unwrap());
        }
        for rounds in 1..=3 {
            let round = stage.begin().await.unwrap();
            assert_eq!(round.outcome, Outcome::InSync);
            let came = (stage.network.looks.came(), stage.cf.reads.came(), stage.azure.reads.came());
            assert_eq!(came, (rounds, rounds, rounds));
        }
        assert_eq!((stage.azure.written(), stage.cf.written()), (Vec::new(), Vec::new()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_a_label_may_be_given_up_no_name_is_mended_before_the_rest_is_known() {
    told(async {
        for removes in [false, true] {
            let mut stage = stage();
            if removes {
                let old = Endpoint {
                    name: handle("old"),
                    public_ip: spec(1),
                    gateway: None,
                    intent: Intent::Remove,
                };
                stage.desired.endpoints.insert(handle("old"), old);
            } else {
                stage.desired.consents.relabel = true;
            }
            let answer = stage.cf.reads.hold();
            let round = stage.begin();
            sleep(SILENCE - STEP).await;
            assert_eq!(stage.azure.written(), Vec::<String>::new());
            let mended = stage.reconciler.mend(&stage.desired, &()).await;
            assert!(mended.changes.is_empty(), "nor beside a round");
            drop(answer);
            round.await.unwrap();
            assert_eq!(stage.azure.data(LED), right());
            assert_eq!(stage.cf.data(LED), right());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_reviewed_is_done_as_it_was_reviewed_and_nothing_of_it_before_all_is_known() {
    told(async {
        let stage = stage();
        let run = async || {
            let (cleared, _) = stage.reconciler.preview(&stage.desired, &()).await;
            let (reconciler, desired) = (stage.reconciler.clone(), stage.desired.clone());
            let reviewed = Reviewed::from(&cleared);
            let answer = stage.cf.reads.hold();
            let run = async move { reconciler.run(&desired, Some(&reviewed), &()).await };
            (spawn_local(run), answer)
        };
        // Once with something else there by then: nothing at all is done.
        let (differs, answer) = run().await;
        sleep(SILENCE * 10).await;
        stage.cf.put(LED, Data::Cname(fqdn("other.example.net")));
        drop(answer);
        differs.await.unwrap().unwrap_err();
        assert_eq!((stage.azure.written(), stage.cf.written()), (Vec::new(), Vec::new()));

        let (round, answer) = run().await;
        sleep(SILENCE * 10).await;
        assert_eq!(stage.azure.written(), Vec::<String>::new());
        drop(answer);
        let round = round.await.unwrap().unwrap();
        assert_eq!((round.changes.len(), round.outcome), (6, Outcome::Changed));
    })
    .await;
}

/// A race for a name that somebody else has won, and what happens `then`, before the one that was lost is known to be.
async fn beaten(then: impl FnOnce(&Stage)) -> (Stage, Round) {
    let stage = Stage::new().wants_in("cf", LED, Mode::Cname);
    stage.cf.put(LED, elsewhere());
    let write = stage.cf.writes.hold();
    let round = stage.begin();
    until("written", || stage.cf.writes.came() == 1).await;
    stage.cf.put(LED, Data::Cname(fqdn("other.example.net")));
    then(&stage);
    drop(write);
    let round = round.await.unwrap();
    (stage, round)
}

#[tokio::test(start_paused = true)]
async fn a_mended_name_that_somebody_else_has_changed_is_looked_at_again_in_the_same_round() {
    told(async {
        let (stage, round) = beaten(|_| ()).await;
        assert_eq!(stage.cf.data(LED), right());
        assert_eq!(changes(&round), ["update led.example.com in cf: applied"]);
        assert_eq!((stage.cf.reads.came(), stage.cf.writes.came()), (2, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_race_that_is_lost_in_every_pass_ends_with_the_last_of_them() {
    told(async {
        let stage = Stage::new().wants_in("cf", LED, Mode::Cname);
        stage.cf.put(LED, elsewhere());
        let writes = [(); 3].map(|()| stage.cf.writes.hold());
        let round = stage.begin();
        let mut last = None;
        for (at, write) in (1..).zip(writes) {
            until("written", || stage.cf.writes.came() == at).await;
            stage.cf.put(LED, Data::Cname(fqdn(&format!("other{at}.example.net"))));
            last = (at == 3).then(|| stage.network.looks.hold());
            drop(write);
        }
        until("looked at", || stage.cf.reads.came() == 4).await;
        sleep(SILENCE * 2).await;
        assert_eq!(stage.cf.writes.came(), 3, "nothing is begun in the last look");
        drop(last);
        let round = round.await.unwrap();
        assert_eq!(changes(&round), ["update led.example.com in cf: failed"]);
        assert_eq!((stage.cf.reads.came(), stage.cf.writes.came()), (4, 3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_race_that_was_lost_is_told_where_nobody_sees_how_it_ended() {
    told(async {
        let hide = |stage: &Stage| {
            stage.cf.dns.script(Operation::Observe, Fault::Refused(Kind::Unreachable));
        };
        let (stage, round) = beaten(hide).await;
        assert_eq!(changes(&round), ["update led.example.com in cf: failed"]);
        assert_eq!((stage.cf.reads.came(), round.unknown.len()), (2, 1), "{:?}", round.unknown);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn beside_a_round_names_are_mended_and_nothing_else_is_done() {
    told(async {
        let stage = stage();
        stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Failed, ..ip });
        let began = Instant::now();
        let answer = stage.cf.reads.hold();
        let (reconciler, desired) = (stage.reconciler.clone(), stage.desired.clone());
        let mending = spawn_local(async move { reconciler.mend(&desired, &()).await });
        assert!(until("mended", || stage.azure.data(LED) == right()).await <= STEP);
        sleep(SILENCE * 10).await;
        drop(answer);
        let mended = mending.await.unwrap();
        assert!(began.elapsed() >= SILENCE * 10);
        assert_eq!(mended.changes.len(), 6, "{:#?}", mended.changes);
        assert_eq!((stage.azure.written().len(), stage.cf.written().len()), (3, 3));
        assert_eq!(stage.network.changes.came(), 0, "its last operation failed, and is a round's to repeat");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_on_an_endpoint_holds_no_name_that_stands() {
    told(async {
        let stage = stage();
        stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Busy, ..ip });
        let answer = stage.cf.reads.hold();
        let round = stage.begin();
        assert!(until("mended", || stage.azure.data(LED) == right()).await <= STEP);
        drop(answer);
        assert!(until("mended", || stage.cf.data(LED) == right()).await <= STEP);
        let looks = stage.network.looks.came();
        until("looked at again", || stage.network.looks.came() > looks).await;
        stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Succeeded, ..ip });
        let round = round.await.unwrap();
        assert_eq!((round.outcome, round.blocked.len()), (Outcome::Changed, 0), "{:?}", round.blocked);
        for account in [&stage.azure, &stage.cf] {
            assert_eq!([LED, NEW, STRAY].map(|name| account.data(name)), [right(), right(), None]);
        }
    })
    .await;
}

/// A read that goes on after it was given up may still tell.
#[tokio::test(start_paused = true)]
async fn what_is_told_ahead_of_the_rest_and_comes_after_it_is_no_news() {
    told(async {
        let stage = stage();
        stage.network.edit(|ip| PublicIp { label: None, fqdn: None, ..ip });
        stage.network.tells_late();
        let answer = stage.cf.reads.hold();
        let round = stage.begin();
        sleep(SILENCE / 2).await;
        drop(answer);
        let round = round.await.unwrap();
        assert_eq!((round.outcome, round.unknown.len()), (Outcome::Changed, 0), "{:?}", round.unknown);
        assert_eq!((stage.azure.data(NEW), stage.cf.data(NEW)), (right(), right()));
        assert_eq!(stage.network.looks.came(), 2, "two passes, or {:?}", changes(&round));
    })
    .await;
}
