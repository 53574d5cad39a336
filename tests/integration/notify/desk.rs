//! The desk: nobody waits for a notifier, and a dead one is told of.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cnamed::model::endpoint::Handle;
use cnamed::notify::desk::{Desk, Subscriber};
use cnamed::notify::{Notice, Notifier, Pulse, Subscription, Topic, Undelivered};
use tokio::time::{Instant, sleep};

use super::{everything, notice};

/// Notes what it is told, and answers as it is set.
#[derive(Debug)]
struct Fake {
    subscription: Subscription,
    heartbeat: bool,
    answer: Mutex<Answer>,
    told: Mutex<Vec<String>>,
    /// Who signed the last of it.
    signed: Mutex<String>,
}

#[derive(Clone, Debug)]
enum Answer {
    Arrived,
    Fails(Undelivered),
    FailsAfter(Duration, Undelivered),
    Hangs,
}

impl Fake {
    fn new(name: &str) -> Arc<Self> {
        Self::with(everything(name), false)
    }

    fn with(subscription: Subscription, heartbeat: bool) -> Arc<Self> {
        Arc::new(Self {
            subscription,
            heartbeat,
            answer: Mutex::new(Answer::Arrived),
            told: Mutex::default(),
            signed: Mutex::default(),
        })
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    async fn hear(&self, what: String) -> Result<(), Undelivered> {
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Answer::Hangs => std::future::pending().await,
            Answer::Fails(undelivered) => Err(undelivered),
            Answer::FailsAfter(delay, undelivered) => {
                sleep(delay).await;
                Err(undelivered)
            }
            Answer::Arrived => {
                self.told.lock().unwrap().push(what);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Notifier for Fake {
    fn name(&self) -> &Handle {
        &self.subscription.name
    }

    fn wants(&self, topic: Topic) -> bool {
        self.subscription.wants(topic)
    }

    async fn tell(&self, notice: &Notice) -> Result<(), Undelivered> {
        self.signed.lock().unwrap().clone_from(&notice.owner);
        self.hear(notice.title.clone()).await
    }

    fn listens_for_a_pulse(&self) -> bool {
        self.heartbeat
    }

    async fn pulse(&self, pulse: &Pulse) -> Result<(), Undelivered> {
        self.hear(format!("{pulse:?}")).await
    }
}

const REPEAT: Duration = Duration::from_secs(6 * 3600);

fn desk(fakes: &[&Arc<Fake>]) -> Desk {
    let subscriber =
        |fake: &&Arc<Fake>| Subscriber { notifier: Arc::clone(fake) as Arc<dyn Notifier>, repeat: REPEAT };
    Desk::new("ops", fakes.iter().map(subscriber).collect())
}

fn failure(title: &str) -> Notice {
    notice(Topic::Failure, "cf", title)
}

fn at() -> time::OffsetDateTime {
    failure("").at
}

/// Paused time passes only while nobody has anything to do.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_round_is_told_to_those_who_want_it_once_and_when_it_is_over() {
    let all = Fake::new("all");
    let some = Fake::with(
        Subscription { name: Handle::parse("some").unwrap(), topics: [Topic::Address].into() },
        false,
    );
    let desk = desk(&[&all, &some]);
    for _ in 0..3 {
        desk.round(at(), &[failure("cf cannot be read")], &BTreeSet::new());
        settle().await;
    }
    desk.round(at(), &[], &BTreeSet::new());
    settle().await;
    assert_eq!(all.told(), ["cf cannot be read", "recovered after 3 failures: cf cannot be read"]);
    assert_eq!(some.told(), Vec::<String>::new());
    assert_eq!(desk.counts()[&("all".to_owned(), true)], 2);
    assert_eq!(desk.counts()[&("some".to_owned(), false)], 0);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_is_told_to_those_alone_who_were_told_of_the_trouble() {
    let topics = [Topic::Recovery, Topic::Refusal].into();
    let some = Fake::with(Subscription { name: Handle::parse("some").unwrap(), topics }, false);
    let desk = desk(&[&some]);
    desk.round(at(), &[failure("x")], &BTreeSet::new());
    desk.round(at(), &[], &BTreeSet::new());
    settle().await;
    assert_eq!(some.told(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn many_troubles_at_once_are_one_notice_and_each_is_known_again() {
    let all = Fake::new("all");
    let desk = desk(&[&all]);
    let names = ["a", "b", "c", "d", "e"];
    let down: Vec<Notice> = names.iter().map(|name| failure(name)).collect();
    desk.round(at(), &down, &BTreeSet::new());
    desk.round(at(), &down[1..], &BTreeSet::new());
    desk.round(at(), &[], &BTreeSet::new());
    settle().await;
    assert_eq!(
        all.told(),
        [
            "5 failures at once, the first: a",
            "recovered after 1 failure: a",
            "4 recoveries at once, the first: recovered after 2 failures: b"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_holds_up_nobody_and_its_queue_is_bounded() {
    let (hung, well) = (Fake::new("hung"), Fake::new("well"));
    hung.answers(Answer::Hangs);
    let desk = desk(&[&hung, &well]);
    for number in 0..200 {
        desk.tell(&notice(Topic::Change, "x", &format!("updated {number}")));
        settle().await;
    }
    assert_eq!(well.told().len(), 200);
    // One is in its hands, 64 wait, the oldest of the others are given up.
    assert_eq!(desk.counts()[&("hung".to_owned(), false)], 200 - 65);
    let began = Instant::now();
    let left = desk.shutdown(began + Duration::from_secs(2)).await;
    assert_eq!((left, began.elapsed()), (64, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_dead_notifier_is_told_of_once_and_so_is_its_return() {
    let (dead, well) = (Fake::new("dead"), Fake::new("well"));
    dead.answers(Answer::Fails(Undelivered::refused("it answered 404")));
    let desk = desk(&[&dead, &well]);
    for title in ["one", "two", "three"] {
        desk.tell(&notice(Topic::Change, "x", title));
        settle().await;
    }
    let death = "the notifier dead cannot be told anything";
    assert_eq!(well.told(), ["one", death, "two", "three"]);
    assert_eq!(desk.troubles(), ["notifier dead: it answered 404"]);
    assert_eq!(desk.counts()[&("dead".to_owned(), false)], 3);
    dead.answers(Answer::Arrived);
    desk.tell(&notice(Topic::Change, "x", "four"));
    settle().await;
    assert_eq!(dead.told(), ["four"], "it is not told of itself");
    assert_eq!(well.told()[4..], ["four".to_owned(), format!("recovered after 1 failure: {death}")]);
    assert_eq!(desk.troubles(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_surely_did_not_arrive_is_sent_again_in_order_and_what_may_have_is_not() {
    let (flaky, well) = (Fake::new("flaky"), Fake::new("well"));
    flaky.answers(Answer::Fails(Undelivered::later("could not connect")));
    let desk = desk(&[&flaky, &well]);
    desk.tell(&notice(Topic::Change, "x", "one"));
    desk.tell(&notice(Topic::Change, "x", "two"));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(desk.troubles(), Vec::<String>::new(), "twice is no outage yet");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(desk.troubles(), ["notifier flaky: could not connect (2 notices waiting)"]);
    // Nothing is given up yet, and whoever watches sees that nothing arrives.
    assert_eq!((desk.counts()[&("flaky".to_owned(), false)], desk.retried()["flaky"]), (0, 3));
    flaky.answers(Answer::Arrived);
    sleep(Duration::from_secs(300)).await;
    assert_eq!(flaky.told(), ["one", "two"]);
    flaky.answers(Answer::Fails(Undelivered::lost("could not confirm that it arrived")));
    desk.tell(&notice(Topic::Change, "x", "three"));
    settle().await;
    flaky.answers(Answer::Arrived);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(flaky.told(), ["one", "two"], "it may have arrived");
    assert_eq!(desk.counts()[&("flaky".to_owned(), false)], 1);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_nobody_takes_for_a_day_is_given_up() {
    let flaky = Fake::new("flaky");
    flaky.answers(Answer::Fails(Undelivered::later("could not connect")));
    let desk = desk(&[&flaky]);
    desk.tell(&notice(Topic::Change, "x", "one"));
    sleep(Duration::from_secs(25 * 3600)).await;
    assert_eq!(desk.counts()[&("flaky".to_owned(), false)], 1);
    flaky.answers(Answer::Arrived);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(flaky.told(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_pulse_goes_to_hearts_alone_and_a_late_one_goes_nowhere() {
    let (heart, other) = (
        Fake::with(Subscription { name: Handle::parse("hc").unwrap(), topics: [].into() }, true),
        Fake::new("other"),
    );
    let desk = desk(&[&heart, &other]);
    desk.pulse(&Pulse::Begun);
    desk.pulse(&Pulse::Well);
    settle().await;
    assert_eq!(heart.told(), ["Begun", "Well"]);
    heart.answers(Answer::Fails(Undelivered::later("could not connect")));
    desk.pulse(&Pulse::Begun);
    settle().await;
    desk.pulse(&Pulse::Ill("x".into()));
    desk.pulse(&Pulse::Begun);
    desk.pulse(&Pulse::Well);
    heart.answers(Answer::Arrived);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(heart.told()[2..], ["Begun", "Well"]);
    assert_eq!(other.told(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_delivers_what_is_queued_and_does_not_wait_for_a_pause() {
    let flaky = Fake::new("flaky");
    flaky.answers(Answer::Fails(Undelivered::later("busy")));
    let desk = desk(&[&flaky]);
    desk.tell(&notice(Topic::Change, "x", "one"));
    desk.tell(&notice(Topic::Service, "", "cnamed ends"));
    settle().await;
    flaky.answers(Answer::Arrived);
    let began = Instant::now();
    assert_eq!(desk.shutdown(began + Duration::from_secs(2)).await, 0);
    assert_eq!(flaky.told(), ["one", "cnamed ends"]);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn other_subscribers_of_the_same_name_know_what_was_told() {
    let (before, after) = (Fake::new("ops"), Fake::new("ops"));
    let desk = desk(&[&before]);
    desk.round(at(), &[failure("cf cannot be read")], &BTreeSet::new());
    settle().await;
    desk.replace(
        "ops",
        vec![Subscriber { notifier: Arc::clone(&after) as Arc<dyn Notifier>, repeat: REPEAT }],
    );
    desk.round(at(), &[failure("cf cannot be read")], &BTreeSet::new());
    desk.round(at(), &[], &BTreeSet::new());
    settle().await;
    assert_eq!(before.told(), ["cf cannot be read"]);
    assert_eq!(after.told(), ["recovered after 2 failures: cf cannot be read"]);
    assert_eq!(desk.counts()[&("ops".to_owned(), true)], 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_to_other_subscribers_of_the_same_name_and_so_does_what_is_under_way() {
    let (before, after) = (Fake::new("ops"), Fake::new("ops"));
    before.answers(Answer::Fails(Undelivered::later("could not connect")));
    let desk = desk(&[&before]);
    for title in ["one", "two"] {
        desk.tell(&notice(Topic::Change, "x", title));
    }
    settle().await;
    let took =
        |fake: &Arc<Fake>| Subscriber { notifier: Arc::clone(fake) as Arc<dyn Notifier>, repeat: REPEAT };
    desk.replace("ops", vec![took(&after)]);
    settle().await;
    assert_eq!(after.told(), ["one", "two"]);
    assert_eq!(desk.counts()[&("ops".to_owned(), false)], 0);

    let slow = Fake::new("ops");
    slow.answers(Answer::FailsAfter(Duration::from_secs(8), Undelivered::later("no answer")));
    desk.replace("ops", vec![took(&slow)]);
    desk.tell(&notice(Topic::Change, "x", "three"));
    settle().await;
    desk.replace("ops", vec![took(&after)]);
    desk.tell(&notice(Topic::Change, "x", "four"));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(after.told(), ["one", "two", "four", "three"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_desk_itself_tells_is_signed_by_the_owner_of_the_present() {
    let (dead, other) = (Fake::new("dead"), Fake::new("other"));
    let desk = desk(&[&dead, &other]);
    let took =
        |fake: &Arc<Fake>| Subscriber { notifier: Arc::clone(fake) as Arc<dyn Notifier>, repeat: REPEAT };
    desk.replace("later", vec![took(&dead), took(&other)]);
    dead.answers(Answer::Fails(Undelivered::refused("410 Gone")));
    desk.tell(&notice(Topic::Change, "x", "one"));
    settle().await;
    assert_eq!(other.told(), ["one", "the notifier dead cannot be told anything"]);
    assert_eq!(*other.signed.lock().unwrap(), "later");
}
