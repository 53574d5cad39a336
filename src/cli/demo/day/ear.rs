//! Somebody who is told what happens, as whoever is on call would be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;

use crate::cli::station::File;
use crate::daemon::{Setup, Source};
use crate::model::endpoint::Handle;
use crate::notify::desk::Subscriber;
use crate::notify::{Notice, Notifier, Topic, Undelivered};
use crate::telemetry::snapshot::Counts;

/// Remembers every notice.
#[derive(Debug)]
pub(super) struct Ear {
    name: Handle,
    heard: Mutex<Vec<Notice>>,
}

impl Ear {
    pub(super) fn new() -> Result<Self, String> {
        let name = Handle::parse("demo").map_err(|error| error.to_string())?;
        Ok(Self { name, heard: Mutex::default() })
    }

    /// What was told of what came after `at`, in order.
    pub(super) fn since(&self, at: OffsetDateTime) -> Vec<Notice> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|notice| notice.at >= at).cloned().collect()
    }

    /// Whether it was told since that something is not as it should be.
    pub(super) fn heard_of_trouble(&self, at: OffsetDateTime) -> bool {
        let trouble = [Topic::Failure, Topic::Refusal, Topic::Unverified];
        self.since(at).iter().any(|notice| trouble.contains(&notice.topic))
    }

    /// Whether it was told in between that something is well again.
    pub(super) fn heard_of_recovery(&self, from: OffsetDateTime, to: OffsetDateTime) -> bool {
        self.since(from).iter().any(|notice| notice.topic == Topic::Recovery && notice.at <= to)
    }
}

#[async_trait]
impl Notifier for Ear {
    fn name(&self) -> &Handle {
        &self.name
    }

    fn wants(&self, topic: Topic) -> bool {
        topic != Topic::Change
    }

    async fn tell(&self, notice: &Notice) -> Result<(), Undelivered> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(notice.clone());
        Ok(())
    }
}

/// A configuration file, and one more who is told than it names.
pub(super) struct Overheard {
    pub(super) file: File,
    pub(super) ear: Arc<Ear>,
}

impl Overheard {
    fn listening(&self, mut setup: Setup) -> Setup {
        let notifier: Arc<dyn Notifier> = Arc::clone(&self.ear) as Arc<dyn Notifier>;
        setup.subscribers.push(Subscriber { notifier, repeat: REPEAT });
        setup
    }
}

impl Source for Overheard {
    fn load(&mut self) -> Result<Setup, String> {
        self.file.load().map(|setup| self.listening(setup))
    }

    fn renew(&mut self) -> Result<Setup, String> {
        self.file.renew().map(|setup| self.listening(setup))
    }

    fn count(&self, counts: &mut Counts) {
        self.file.count(counts);
    }
}

/// Once in a shift of the day.
const REPEAT: Duration = Duration::from_secs(6 * 60 * 60);
