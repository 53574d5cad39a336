//! A notifier that could not be made, say because its URL is not where the configuration says. The work goes on
//! without it, and it is told of like one that has died.

use async_trait::async_trait;

use super::{Notice, Notifier, Pulse, Subscription, Topic, Undelivered};
use crate::model::endpoint::Handle;

/// Delivers nothing, and says why.
#[derive(Debug)]
pub struct Mute {
    subscription: Subscription,
    heartbeat: bool,
    reason: String,
}

impl Mute {
    /// Stands in for a notifier that is mute for `reason`; `heartbeat` tells whether it would listen for a pulse.
    #[must_use]
    pub fn new(subscription: Subscription, heartbeat: bool, reason: String) -> Self {
        Self { subscription, heartbeat, reason }
    }
}

#[async_trait]
impl Notifier for Mute {
    fn name(&self) -> &Handle {
        &self.subscription.name
    }

    fn wants(&self, topic: Topic) -> bool {
        self.subscription.wants(topic)
    }

    async fn tell(&self, _notice: &Notice) -> Result<(), Undelivered> {
        Err(Undelivered::refused(self.reason.clone()))
    }

    fn listens_for_a_pulse(&self) -> bool {
        self.heartbeat
    }

    async fn pulse(&self, _pulse: &Pulse) -> Result<(), Undelivered> {
        Err(Undelivered::refused(self.reason.clone()))
    }
}
