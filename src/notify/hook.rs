//! One POST to a secret address, and what its answer means.
//!
//! What surely did not arrive may be sent again: no connection was made, or the service said that it did not take it
//! (429), or that it failed (5xx), where hearing an alarm twice is better than not at all. Silence after the request
//! left is neither: the notice may have arrived, and it is not repeated.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

use super::address::Address;
use super::webhook::JSON;
use super::{Fate, Undelivered};
use crate::provider::http::{Failure, Http, Request, Response};

/// Posts to one address.
pub(super) struct Hook {
    http: Arc<Http>,
    address: Address,
    /// How long an answer may take.
    timeout: Duration,
}

impl Hook {
    pub(super) fn new(http: Arc<Http>, address: Address, timeout: Duration) -> Self {
        Self { http, address, timeout }
    }

    /// Posts `message` as JSON.
    pub(super) async fn say(&self, message: &Value) -> Result<(), Undelivered> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
        self.post(None, headers, message.to_string().into_bytes()).await.map(drop)
    }

    /// Posts `body` to the address, or to the step of the path below it.
    pub(super) async fn post(
        &self,
        step: Option<&str>,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response, Undelivered> {
        let address = step.map_or_else(|| self.address.clone(), |step| self.address.below(step));
        let mut request = Request::write(Method::POST, address.url().clone(), body);
        request.headers = headers;
        request.private = true;
        let response = self.http.once(&request, self.timeout).await.map_err(|failure| untold(&failure))?;
        match response.status.as_u16() {
            200..=299 => Ok(response),
            _ => Err(self.refusal(&response)),
        }
    }

    fn refusal(&self, response: &Response) -> Undelivered {
        let status = response.status.as_u16();
        let said = self.word(&response.body).map(|word| format!(" ({word})")).unwrap_or_default();
        let answered = format!("it answered {status}{said}");
        match status {
            408 | 429 | 500.. => Undelivered { fate: Fate::Later(response.retry_after()), reason: answered },
            300..=399 => Undelivered::refused(format!(
                "{answered}, a redirect, which is never followed; write the URL that it leads to"
            )),
            401 | 403 | 404 | 410 => Undelivered::refused(format!(
                "{answered}; the webhook was removed, or the URL is wrong: put the right one where `url` says"
            )),
            _ => Undelivered::refused(format!("{answered}; check that `kind` is what the URL is for")),
        }
    }

    /// What the service says in one word or a few, as Slack does (`no_service`). Whatever else it says is kept out: an
    /// error page likes to repeat the path, which is the secret.
    fn word(&self, body: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(body).ok()?.trim();
        let plain = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ' ');
        let fits = (1..=60).contains(&text.len()) && text.chars().all(plain) && !self.address.shows_in(text);
        fits.then(|| text.to_owned())
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

fn untold(failure: &Failure) -> Undelivered {
    let mut reason = failure.to_string();
    let mut link = failure.source();
    while let Some(cause) = link {
        reason.push_str(&format!(": {cause}"));
        link = cause.source();
    }
    match failure {
        Failure::NotDone { .. } => Undelivered::later(reason),
        Failure::Throttled { delay, .. } => Undelivered { fate: Fate::Later(Some(*delay)), reason },
        Failure::Lost { .. } => Undelivered::lost(format!("could not confirm that it arrived: {reason}")),
    }
}
