//! A dead man's switch, by the convention of healthchecks.io: `URL/start`, `URL`, `URL/fail`, each by POST.
//!
//! Whoever listens raises the alarm when the signs of life stay away, which covers what no notice can: a service, a
//! machine or a network that is gone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::address::Address;
use super::hook::Hook;
use super::text::clip;
use super::{Fate, Notice, Notifier, Pulse, Topic, Undelivered};
use crate::model::endpoint::Handle;
use crate::provider::http::Http;

/// Posts a sign of life when a round begins and when it ends, and nothing else.
#[derive(Debug)]
pub struct Heartbeat {
    name: Handle,
    hook: Hook,
}

impl Heartbeat {
    /// Posts to `address` and below it.
    #[must_use]
    pub fn new(name: Handle, http: Arc<Http>, address: Address, timeout: Duration) -> Self {
        Self { name, hook: Hook::new(http, address, timeout) }
    }
}

#[async_trait]
impl Notifier for Heartbeat {
    fn name(&self) -> &Handle {
        &self.name
    }

    fn wants(&self, topic: Topic) -> bool {
        topic == Topic::Test
    }

    /// A test is a sign of life like any other: every service of this kind knows that one.
    async fn tell(&self, _notice: &Notice) -> Result<(), Undelivered> {
        self.pulse(&Pulse::Well).await
    }

    fn listens_for_a_pulse(&self) -> bool {
        true
    }

    async fn pulse(&self, pulse: &Pulse) -> Result<(), Undelivered> {
        let (step, reason) = match pulse {
            Pulse::Begun => (Some("start"), ""),
            Pulse::Well => (None, ""),
            Pulse::Ill(reason) => (Some("fail"), reason.as_str()),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let body = clip(reason, LARGEST).into_bytes();
        let response = self.hook.post(step, headers, body).await.map_err(|undelivered| {
            // A sign of life that comes twice is one.
            let lost = undelivered.fate == Fate::Lost;
            Undelivered { fate: if lost { Fate::Later(None) } else { undelivered.fate }, ..undelivered }
        })?;
        match response.body.trim_ascii() {
            b"OK (not found)" => Err(Undelivered::refused(
                "it answered that it knows no such check; the check was removed, or the URL is wrong: put the right one \
                 where `url` says",
            )),
            b"OK (rate limited)" => Err(Undelivered::later("it answered that it is asked too often")),
            _ => Ok(()),
        }
    }
}

/// Characters of a body; every version of the service keeps 10 KB at least.
const LARGEST: usize = 2_500;
