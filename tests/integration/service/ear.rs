//! Whoever is told.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cnamed::model::endpoint::Handle;
use cnamed::notify::{Notice, Notifier, Pulse, Topic, Undelivered};
use tokio::time::Instant;

use crate::laws::world::handle;

/// Hears everything.
#[derive(Debug)]
pub(crate) struct Ear {
    name: Handle,
    heard: Mutex<Vec<Notice>>,
    pulses: Mutex<Vec<(Instant, Pulse)>>,
    deaf: AtomicBool,
    unnamed: AtomicBool,
}

impl Ear {
    pub(super) fn new() -> Self {
        Self {
            name: handle("ear"),
            heard: Mutex::default(),
            pulses: Mutex::default(),
            deaf: AtomicBool::new(false),
            unnamed: AtomicBool::new(false),
        }
    }

    /// What was told of `topic`.
    pub(super) fn heard(&self, topic: Topic) -> Vec<Notice> {
        self.heard.lock().unwrap().iter().filter(|notice| notice.topic == topic).cloned().collect()
    }

    /// The titles of what was told of `topic`.
    pub(super) fn of(&self, topic: Topic) -> Vec<String> {
        self.heard(topic).into_iter().map(|notice| notice.title).collect()
    }

    /// Whether the next configuration that is read names it.
    pub(super) fn name_it(&self, named: bool) {
        self.unnamed.store(!named, Ordering::Relaxed);
    }

    pub(super) fn is_named(&self) -> bool {
        !self.unnamed.load(Ordering::Relaxed)
    }

    /// Hears nothing any more.
    pub(super) fn deafen(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// The signs of life since `then`, and when they came.
    pub(super) fn pulses_since(&self, then: Instant) -> Vec<(Instant, Pulse)> {
        let pulses = self.pulses.lock().unwrap();
        pulses.iter().filter(|(at, _)| *at >= then).cloned().collect()
    }

    fn hears(&self) -> Result<(), Undelivered> {
        match self.deaf.load(Ordering::Relaxed) {
            true => Err(Undelivered::refused("nobody is there")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Notifier for Ear {
    fn name(&self) -> &Handle {
        &self.name
    }

    fn wants(&self, _: Topic) -> bool {
        true
    }

    async fn tell(&self, notice: &Notice) -> Result<(), Undelivered> {
        self.hears()?;
        self.heard.lock().unwrap().push(notice.clone());
        Ok(())
    }

    fn listens_for_a_pulse(&self) -> bool {
        true
    }

    async fn pulse(&self, pulse: &Pulse) -> Result<(), Undelivered> {
        self.hears()?;
        self.pulses.lock().unwrap().push((Instant::now(), pulse.clone()));
        Ok(())
    }
}
