use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Does {
    #[default]
    Well,
    Ill,
    Busy,
    Takes(Duration),
}

#[derive(Debug, Default)]
struct Provider {
    does: Mutex<BTreeMap<&'static str, Does>>,
    calls: AtomicU32,
}

impl Provider {
    fn does(&self, place: &'static str, does: Does) {
        locked(&self.does).insert(place, does);
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

struct At(&'static str, Arc<Provider>);

#[async_trait]
impl Errand for At {
    type Answer = Result<(), String>;

    fn place(&self) -> String {
        self.0.to_owned()
    }

    async fn ask(&self) -> Self::Answer {
        self.1.calls.fetch_add(1, Ordering::Relaxed);
        let does = locked(&self.1.does).get(self.0).copied().unwrap_or_default();
        match does {
            Does::Well => Ok(()),
            Does::Ill => Err("ill".into()),
            Does::Busy => Err("busy".into()),
            Does::Takes(long) => {
                sleep(long).await;
                Ok(())
            }
        }
    }

    fn late(&self, limit: Duration) -> Self::Answer {
        Err(format!("nothing within {} s", limit.as_secs()))
    }

    fn left_alone(&self, reason: &str) -> Self::Answer {
        Err(format!("left alone: {reason}"))
    }

    fn outage(answer: &Self::Answer) -> Option<Outage> {
        let reason = answer.as_ref().err()?.clone();
        let asked = (reason == "busy").then_some(SECOND * 100);
        Some(Outage { denied: reason == "ill", told: reason.clone(), reason, asked })
    }
}

fn patience() -> (Arc<Patience>, Arc<Away>, Arc<Provider>) {
    let away = Arc::new(Away::default());
    (Patience::with("account", Arc::clone(&away), Chance::default()), away, Arc::default())
}

fn failed(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_place_that_fails_is_left_alone_by_itself_until_it_answers() {
    let (patience, away, provider) = patience();
    provider.does("one", Does::Ill);
    assert_eq!(patience.read(At("one", Arc::clone(&provider))).await, failed("ill"));
    assert_eq!(patience.read(At("one", Arc::clone(&provider))).await, failed("left alone: ill"));
    assert_eq!(provider.calls(), 1, "nobody was asked again");
    assert_eq!(patience.read(At("other", Arc::clone(&provider))).await, Ok(()));
    let [absence] = away.absences().try_into().unwrap();
    assert_eq!((absence.account.as_str(), absence.reason.as_str()), ("account", "ill"));
    assert!(away.is_denied());
    provider.does("one", Does::Well);
    away.back().await;
    assert!(absence.until.elapsed() < SECOND, "when it was to be tried");
    assert_eq!((away.absences(), away.is_denied()), (Vec::new(), false));
    assert_eq!(patience.read(At("one", provider)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_was_forgiven_counts_no_more_and_of_several_the_worst_is_told() {
    let (patience, away, provider) = patience();
    for place in ["one", "other"] {
        provider.does(place, Does::Ill);
    }
    for place in ["one", "other"] {
        let _ = patience.read(At(place, Arc::clone(&provider))).await;
        sleep(SECOND * 100).await;
    }
    let [worst] = away.absences().try_into().unwrap();
    assert!(worst.failures > 5, "{worst:?}");
    assert!(locked(&away.absent).values().any(|absence| absence.failures < worst.failures));
    for place in ["one", "other"] {
        provider.does(place, Does::Well);
    }
    away.back().await;
    while !away.absences().is_empty() {
        sleep(SECOND).await;
    }
    provider.does("one", Does::Ill);
    let _ = patience.read(At("one", provider)).await;
    assert_eq!(away.absences()[0].failures, 1);
}

#[tokio::test(start_paused = true)]
async fn what_several_asked_at_once_has_failed_once() {
    let (patience, away, provider) = patience();
    provider.does("one", Does::Takes(FIRST_LIMIT * 2));
    let read = || patience.read(At("one", Arc::clone(&provider)));
    let late = failed("nothing within 15 s");
    assert_eq!(tokio::join!(read(), read()), (late.clone(), late));
    assert_eq!((away.absences()[0].failures, provider.calls()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_as_long_as_the_last_answer_makes_likely() {
    let (patience, away, provider) = patience();
    let hangs = Does::Takes(SECOND * 10_000);
    provider.does("new", hangs);
    let read = |place| patience.read(At(place, Arc::clone(&provider)));
    assert_eq!(read("new").await, failed("nothing within 15 s"));
    assert!(!away.is_denied(), "nobody has said no");
    for (place, took, waits) in [("quick", 0, 5), ("slow", 10, 40)] {
        provider.does(place, Does::Takes(SECOND * took));
        assert_eq!(read(place).await, Ok(()));
        provider.does(place, hangs);
        assert_eq!(read(place).await, failed(&format!("nothing within {waits} s")));
    }
    // In the background there is more time, and then it is known.
    provider.does("quick", Does::Takes(SECOND * 100));
    away.back().await;
    assert_eq!(read("quick").await, Ok(()));
    provider.does("quick", hangs);
    assert_eq!(read("quick").await, failed("nothing within 120 s"));
}

#[tokio::test(start_paused = true)]
async fn with_new_secrets_who_was_denied_is_asked_at_once_and_all_others_when_it_is_time() {
    let (patience, away, old) = patience();
    let new = Arc::<Provider>::default();
    old.does("denied", Does::Ill);
    old.does("hangs", Does::Takes(SECOND * 10_000));
    for place in ["hangs", "denied"] {
        let _ = patience.read(At(place, Arc::clone(&old))).await;
    }
    patience.renew();
    assert!(!away.is_denied());
    let began = Instant::now();
    assert_eq!(patience.read(At("denied", Arc::clone(&new))).await, Ok(()));
    let left_alone = failed("left alone: nothing within 15 s");
    assert_eq!(patience.read(At("hangs", Arc::clone(&new))).await, left_alone);
    assert_eq!((began.elapsed(), new.calls(), old.calls()), (Duration::ZERO, 1, 2));
    assert_eq!(away.absences()[0].failures, 1);
    away.back().await;
    assert_eq!((new.calls(), old.calls()), (2, 2), "whoever is there now has asked");
    assert_eq!(patience.read(At("hangs", new)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn in_a_hurry_all_are_asked_at_once_but_those_who_asked_to_be_left_alone() {
    let (patience, away, provider) = patience();
    provider.does("ill", Does::Ill);
    provider.does("busy", Does::Busy);
    for place in ["ill", "busy"] {
        let _ = patience.read(At(place, Arc::clone(&provider))).await;
        provider.does(place, Does::Well);
    }
    patience.hurry();
    assert_eq!(patience.read(At("ill", Arc::clone(&provider))).await, Ok(()));
    assert_eq!(patience.read(At("busy", Arc::clone(&provider))).await, failed("left alone: busy"));
    assert_eq!((provider.calls(), away.absences().len()), (3, 1));
    sleep(SECOND * 90).await;
    assert_eq!(provider.calls(), 3, "not sooner than it asked for, and the other not once more");
    away.back().await;
    assert_eq!(patience.read(At("busy", provider)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_patient_no_more_asks_no_more() {
    let (patience, _, provider) = patience();
    provider.does("one", Does::Ill);
    let _ = patience.read(At("one", Arc::clone(&provider))).await;
    sleep(SECOND * 60).await;
    let calls = provider.calls();
    assert!(calls > 2);
    drop(patience);
    sleep(SECOND * 10_000).await;
    assert_eq!(provider.calls(), calls);
    assert_eq!(Arc::strong_count(&provider), 1, "nothing of it is left");
}
