//! The desk: takes notices from whoever has them, at once, and delivers them behind their back.
//!
//! Every notifier has a ledger, a bounded queue and a task of its own, so that one that hangs or has died holds up
//! nobody: not the work, and not the others, who are told of it instead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::digest::digest;
use super::ledger::Ledger;
use super::{Fate, Notice, Notifier, Pulse, Topic, Undelivered};
use crate::model::plan::counted;

/// A notifier, and how often it hears of the same.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// The notifier.
    pub notifier: Arc<dyn Notifier>,
    /// The same is told again after this long.
    pub repeat: Duration,
}

/// Takes notices and delivers them. No method but [`Desk::shutdown`] waits for anything.
#[derive(Debug)]
pub struct Desk {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    owner: Mutex<String>,
    began: Instant,
    /// How fast the time of those who are told goes.
    speed: u32,
    posts: Mutex<Vec<Arc<Post>>>,
}

/// One notifier's place at the desk.
#[derive(Debug)]
struct Post {
    notifier: Arc<dyn Notifier>,
    bell: Notify,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    ledger: Ledger,
    queue: VecDeque<(Instant, Notice)>,
    pulses: VecDeque<Pulse>,
    closing: bool,
    delivered: u64,
    undelivered: u64,
    /// Attempts that failed and were not the last.
    retried: u64,
    /// Failures since the last success.
    failures: u32,
    /// Why it counts as dead, and what the others were told of it.
    outage: Option<(String, Notice)>,
}

/// What is delivered next.
enum Letter {
    Notice(Instant, Box<Notice>),
    Pulse(Pulse),
}

impl Desk {
    /// A desk for `subscribers`, within a Tokio runtime; `owner` signs what the desk itself has to tell.
    #[must_use]
    pub fn new(owner: &str, subscribers: Vec<Subscriber>) -> Self {
        Self::at_speed(1, owner, subscribers)
    }

    /// As [`Desk::new`], where the time of day goes `speed` times as fast: what was told an hour of it ago was told an
    /// hour ago.
    #[must_use]
    pub fn at_speed(speed: u32, owner: &str, subscribers: Vec<Subscriber>) -> Self {
        let shared =
            Shared { owner: Mutex::default(), began: Instant::now(), speed, posts: Mutex::new(Vec::new()) };
        let desk = Self { shared: Arc::new(shared), tasks: Mutex::new(Vec::new()) };
        desk.replace(owner, subscribers);
        desk
    }

    /// Takes other subscribers from now on, and another `owner` to sign with. One of the same name keeps what it has been
    /// told and what it waits for; what the others have in their queues they still deliver, each notice tried once more at most.
    pub fn replace(&self, owner: &str, subscribers: Vec<Subscriber>) {
        owner.clone_into(&mut locked(&self.shared.owner));
        let mut posts = locked(&self.shared.posts);
        let mut earlier = std::mem::take(&mut *posts);
        let mut tasks = locked(&self.tasks);
        tasks.retain(|task| !task.is_finished());
        for Subscriber { notifier, repeat } in subscribers {
            let mut inside = Inside::new(repeat);
            if let Some(at) = earlier.iter().position(|post| post.notifier.name() == notifier.name()) {
                let mut before = earlier[at].inside();
                inside.ledger = std::mem::replace(&mut before.ledger, Ledger::new(repeat));
                inside.ledger.set_repeat(repeat);
                (inside.delivered, inside.undelivered) = (before.delivered, before.undelivered);
                inside.retried = before.retried;
                inside.outage = before.outage.take();
                inside.queue = std::mem::take(&mut before.queue);
                inside.queue.retain(|(_, notice)| notifier.wants(notice.topic));
            }
            let post = Arc::new(Post { notifier, bell: Notify::new(), inside: Mutex::new(inside) });
            posts.push(Arc::clone(&post));
            tasks.push(tokio::spawn(post.work(Arc::downgrade(&self.shared))));
        }
        earlier.drain(..).for_each(|post| post.close());
    }

    /// Tells of something that happened.
    pub fn tell(&self, notice: &Notice) {
        self.shared.each(notice.topic, |ledger, now| ledger.event(now, notice.clone()).into_iter().collect());
    }

    /// Tells of a round that has ended with `notices`, as [`super::words::notices_of`] gives them, and left `unsettled`
    /// what [`super::words::unsettled()`] gives. Every failure, refusal and unverified thing that is not among the notices
    /// any more, and about nothing unsettled, is over.
    pub fn round(&self, at: OffsetDateTime, notices: &[Notice], unsettled: &BTreeSet<String>) {
        let now = self.shared.now();
        for post in &*locked(&self.shared.posts) {
            let wanted: Vec<Notice> =
                notices.iter().filter(|notice| post.notifier.wants(notice.topic)).cloned().collect();
            let mut inside = post.inside();
            let told = inside.ledger.round(now, at, &wanted, unsettled);
            post.deliver(&mut inside, digest(told));
        }
    }

    /// Tells of a trouble that lasts until [`Desk::over`], such as a configuration that was not taken.
    pub fn trouble(&self, notice: &Notice) {
        self.shared
            .each(notice.topic, |ledger, now| ledger.trouble(now, notice.clone()).into_iter().collect());
    }

    /// Tells that the trouble of this topic, subject and title is over, if it was told.
    pub fn over(&self, at: OffsetDateTime, topic: Topic, subject: &str, title: &str) {
        self.shared
            .each(topic, |ledger, now| ledger.over(now, at, topic, subject, title).into_iter().collect());
    }

    /// Passes a sign of life on to those that wait for one. One that has not been sent when the next round begins
    /// never is: it would say something else by then.
    pub fn pulse(&self, pulse: &Pulse) {
        for post in &*locked(&self.shared.posts) {
            if post.notifier.listens_for_a_pulse() {
                let mut inside = post.inside();
                if *pulse == Pulse::Begun {
                    inside.pulses.clear();
                }
                inside.pulses.push_back(pulse.clone());
                drop(inside);
                post.bell.notify_one();
            }
        }
    }

    /// The notifiers that are dead at present, a line each.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let line = |post: &Arc<Post>| {
            let inside = post.inside();
            let (reason, _) = inside.outage.as_ref()?;
            let waiting = match inside.queue.len() {
                0 => String::new(),
                count => format!(" ({} waiting)", counted(count, "notice")),
            };
            Some(format!("notifier {}: {reason}{waiting}", post.notifier.name()))
        };
        locked(&self.shared.posts).iter().filter_map(line).collect()
    }

    /// How many notices and signs of life arrived at each notifier, and how many were given up.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(String, bool), u64> {
        let mut counts = BTreeMap::new();
        for post in &*locked(&self.shared.posts) {
            let (name, inside) = (post.notifier.name().to_string(), post.inside());
            counts.insert((name.clone(), true), inside.delivered);
            counts.insert((name, false), inside.undelivered);
        }
        counts
    }

    /// How many attempts failed at each notifier and were made again.
    #[must_use]
    pub fn retried(&self) -> BTreeMap<String, u64> {
        let retried = |post: &Arc<Post>| (post.notifier.name().to_string(), post.inside().retried);
        locked(&self.shared.posts).iter().map(retried).collect()
    }

    /// Delivers what is in the queues, each notice tried once more at most, until `deadline`; gives how many were left.
    pub async fn shutdown(self, deadline: Instant) -> usize {
        let posts = std::mem::take(&mut *locked(&self.shared.posts));
        posts.iter().for_each(|post| post.close());
        let tasks = std::mem::take(&mut *locked(&self.tasks));
        for mut task in tasks {
            if timeout_at(deadline, &mut task).await.is_err() {
                // Cancel-safe: a command is killed, a request is given up.
                task.abort();
                let _ = task.await;
            }
        }
        posts.iter().map(|post| post.inside().queue.len()).sum()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        locked(&self.tasks).iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    /// How long ago it began, as those count who are told.
    fn now(&self) -> Duration {
        self.began.elapsed().saturating_mul(self.speed)
    }

    /// Lets every ledger decide whose notifier wants to hear of `topic`.
    fn each(&self, topic: Topic, decide: impl Fn(&mut Ledger, Duration) -> Vec<Notice>) {
        let now = self.now();
        for post in locked(&self.posts).iter().filter(|post| post.notifier.wants(topic)) {
            let mut inside = post.inside();
            let told = decide(&mut inside.ledger, now);
            post.deliver(&mut inside, told);
        }
    }

    /// Tells all but `of` that it is dead, or works again.
    fn announce(&self, of: &Post, change: Announcement<'_>) {
        let now = self.now();
        let name = of.notifier.name();
        let others: Vec<Arc<Post>> =
            locked(&self.posts).iter().filter(|post| post.notifier.name() != name).cloned().collect();
        for post in others.iter().filter(|post| post.notifier.wants(Topic::Service)) {
            let mut inside = post.inside();
            let told = match &change {
                Announcement::Dead(notice) => inside.ledger.trouble(now, (*notice).clone()),
                Announcement::Alive(notice) => {
                    let Notice { topic, subject, title, .. } = notice;
                    inside.ledger.over(now, OffsetDateTime::now_utc(), *topic, subject, title)
                }
            };
            post.deliver(&mut inside, told.into_iter().collect());
        }
    }
}

enum Announcement<'n> {
    Dead(&'n Notice),
    Alive(&'n Notice),
}

impl Post {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        locked(&self.inside)
    }

    fn close(&self) {
        self.inside().closing = true;
        self.bell.notify_one();
    }

    /// Queues what its notifier wants; the oldest make room.
    fn deliver(&self, inside: &mut Inside, notices: Vec<Notice>) {
        let now = Instant::now();
        for notice in notices.into_iter().filter(|notice| self.notifier.wants(notice.topic)) {
            if inside.queue.len() >= ROOM {
                inside.queue.pop_front();
                inside.undelivered += 1;
            }
            inside.queue.push_back((now, notice));
        }
        self.bell.notify_one();
    }

    /// Delivers one after the other, until it is closed and nothing is left.
    async fn work(self: Arc<Self>, desk: Weak<Shared>) {
        loop {
            let Some(letter) = self.inside().next() else {
                if self.inside().closing {
                    return;
                }
                self.bell.notified().await;
                continue;
            };
            let outcome = match &letter {
                Letter::Notice(_, notice) => self.notifier.tell(notice).await,
                Letter::Pulse(pulse) => self.notifier.pulse(pulse).await,
            };
            let pause = match outcome {
                Ok(()) => self.arrived(&desk),
                Err(undelivered) => self.failed(&desk, letter, &undelivered),
            };
            if let Some(pause) = pause {
                self.rest(pause).await;
            }
        }
    }

    /// Waits, unless it is closed meanwhile: then what is left is tried once more at once.
    async fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.inside().closing && timeout_at(until, self.bell.notified()).await.is_ok() {}
    }

    fn arrived(&self, desk: &Weak<Shared>) -> Option<Duration> {
        let mut inside = self.inside();
        inside.delivered += 1;
        inside.failures = 0;
        let over = inside.outage.take();
        drop(inside);
        if let (Some((_, notice)), Some(desk)) = (over, desk.upgrade()) {
            tracing::info!(notifier = %self.notifier.name(), "works again");
            desk.announce(self, Announcement::Alive(&notice));
        }
        None
    }

    /// Whoever has its place now: a letter that was under way while that was taken is not lost for it.
    fn heir(&self, desk: &Weak<Shared>) -> Option<Arc<Self>> {
        let desk = desk.upgrade().filter(|_| self.inside().closing)?;
        let posts = locked(&desk.posts);
        posts.iter().find(|post| post.notifier.name() == self.notifier.name()).cloned()
    }

    /// Notes that a letter did not arrive; gives how long to wait before the next attempt.
    fn failed(&self, desk: &Weak<Shared>, letter: Letter, undelivered: &Undelivered) -> Option<Duration> {
        let name = self.notifier.name();
        tracing::debug!(notifier = %name, error = %undelivered, "undelivered");
        if let (Letter::Notice(since, notice), Fate::Later(_), Some(heir)) =
            (&letter, &undelivered.fate, self.heir(desk))
            && heir.notifier.wants(notice.topic)
        {
            heir.inside().queue.push_front((*since, (**notice).clone()));
            heir.bell.notify_one();
            return None;
        }
        let mut inside = self.inside();
        inside.failures = inside.failures.saturating_add(1);
        let later = match undelivered.fate {
            Fate::Later(asked) => {
                Some(asked.unwrap_or_default().max(back_off(inside.failures)).min(LONGEST_PAUSE))
            }
            Fate::Lost | Fate::Refused => None,
        };
        match (letter, later) {
            (Letter::Notice(since, notice), Some(_)) if !inside.closing && since.elapsed() < STALE => {
                inside.queue.push_front((since, *notice));
                inside.retried += 1;
            }
            // Only as long as there is no later one.
            (Letter::Pulse(pulse), Some(_)) if !inside.closing && inside.pulses.is_empty() => {
                inside.pulses.push_front(pulse);
                inside.retried += 1;
            }
            _ => inside.undelivered += 1,
        }
        let dead = later.is_none() || inside.failures >= PATIENCE;
        if !dead {
            return later;
        }
        if let Some((reason, _)) = &mut inside.outage {
            undelivered.reason.clone_into(reason);
            return later;
        }
        let Some(desk) = desk.upgrade() else { return later };
        let notice = dead_notice(&locked(&desk.owner), name.as_str(), &undelivered.reason);
        inside.outage = Some((undelivered.reason.clone(), notice.clone()));
        drop(inside);
        tracing::warn!(notifier = %name, error = %undelivered, "cannot be told anything");
        desk.announce(self, Announcement::Dead(&notice));
        later
    }
}

impl Inside {
    fn new(repeat: Duration) -> Self {
        Self {
            ledger: Ledger::new(repeat),
            queue: VecDeque::new(),
            pulses: VecDeque::new(),
            closing: false,
            delivered: 0,
            undelivered: 0,
            retried: 0,
            failures: 0,
            outage: None,
        }
    }

    /// Signs of life first: they are only worth something while they are fresh.
    fn next(&mut self) -> Option<Letter> {
        if let Some(pulse) = self.pulses.pop_front() {
            return Some(Letter::Pulse(pulse));
        }
        self.queue.pop_front().map(|(since, notice)| Letter::Notice(since, Box::new(notice)))
    }
}

fn dead_notice(owner: &str, name: &str, reason: &str) -> Notice {
    Notice {
        at: OffsetDateTime::now_utc(),
        topic: Topic::Service,
        owner: owner.to_owned(),
        subject: name.to_owned(),
        title: format!("the notifier {name} cannot be told anything"),
        before: None,
        after: None,
        details: vec![reason.to_owned()],
        next_step: Some(format!("cnamed notify test {name}")),
        repeats: 0,
        of: BTreeSet::new(),
    }
}

fn back_off(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10))
}

/// A poisoned lock is a test that failed elsewhere; what it holds is counters and queues.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notices that wait for one notifier at most: what a night of one that is down may bring, merged.
const ROOM: usize = 64;
/// Failures in a row that may pass before a notifier counts as dead, where it may yet work.
const PATIENCE: u32 = 3;
/// The pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A notice that could not be delivered for so long is given up.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
