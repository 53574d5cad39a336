//! Writes: conditional, followed to their end, settled by reading when their answer was lost.
//!
//! After "Track asynchronous Azure operations" of the Resource Manager documentation. A generated client's own
//! polling keeps neither the error of a failed operation nor any limit.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::error::{Meaning, Refusal};
use super::transport::Trouble;
use super::{Arm, parse, text_at};
use crate::provider::http::{Budget, Failure, Request, Response};
use crate::provider::{Error, Kind};

/// What must hold for a write to be made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'w> {
    /// The resource is as it was read: it has this etag (RFC 9110, 13.1.1).
    Unchanged(&'w str),
    /// There is no such resource (RFC 9110, 13.1.2).
    Absent,
}

/// One write.
pub(super) struct Write<'w> {
    /// A verb phrase, such as "create".
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// What a person calls the resource.
    pub(super) name: &'w str,
    /// The resource id.
    pub(super) id: &'w str,
    pub(super) api_version: &'static str,
    /// The whole resource; `None` for a DELETE.
    pub(super) body: Option<&'w Value>,
    pub(super) condition: Condition<'w>,
    /// What paces it.
    pub(super) budget: &'w Budget,
    /// Whether a resource that was read is what this write was to make of it.
    pub(super) holds: &'w (dyn Fn(&Value) -> bool + Send + Sync),
}

impl Arm {
    /// Makes `write` and follows it to its end. The value is the resource as it then stands, `None` when there is
    /// none: read again unless the answer itself is the final state.
    ///
    /// While something else is under way on the resource it is tried again, until the operation's deadline. A lost
    /// answer is settled by reading.
    pub(super) async fn write(&self, write: &Write<'_>) -> Result<Option<Value>, Error> {
        let deadline = Instant::now() + self.operation;
        let at = |trouble: Trouble| trouble.into_error(write.operation, write.name);
        let request = self.request(write).map_err(at)?;
        let mut tries = 0;
        let response = loop {
            tries += 1;
            let response = match self.transport.send(write.budget, request.clone()).await {
                Ok(response) => response,
                Err(Trouble::Transport(lost @ Failure::Lost { .. })) => {
                    return self.settle(write, deadline, lost.into()).await;
                }
                Err(trouble) => return Err(at(trouble)),
            };
            if response.status.is_success() {
                break response;
            }
            let refused = Refusal::of(&response);
            match refused.meaning() {
                Meaning::Busy => {
                    let delay = refused.retry_after().unwrap_or(Duration::ZERO).max(pause(tries));
                    if Instant::now() + delay > deadline {
                        return Err(refused.into_error(write.operation, write.name));
                    }
                    sleep(delay).await;
                }
                Meaning::Broken => return self.settle(write, deadline, refused.into()).await,
                // A page of somebody in between, or of a front end that does not know the path, is no absence.
                Meaning::Missing if write.method == Method::DELETE && !refused.is_absence() => {
                    return self.settle(write, deadline, refused.into()).await;
                }
                Meaning::Missing if write.method == Method::DELETE => return Ok(None),
                _ => return Err(refused.into_error(write.operation, write.name)),
            }
        };
        self.conclude(write, &response, deadline).await
    }

    fn request(&self, write: &Write<'_>) -> Result<Request, Trouble> {
        let url = self.transport.url(&format!("{}?api-version={}", write.id, write.api_version))?;
        let body = match write.body {
            Some(body) => serde_json::to_vec(body).map_err(|error| Trouble::Pipeline(error.to_string()))?,
            None => Vec::new(),
        };
        let mut request = Request::write(write.method.clone(), url, body);
        if write.body.is_some() {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let (name, value) = match write.condition {
            Condition::Unchanged(etag) => (IF_MATCH, etag),
            Condition::Absent => (IF_NONE_MATCH, "*"),
        };
        let value = HeaderValue::from_str(value).map_err(|error| Trouble::Pipeline(error.to_string()))?;
        request.headers.insert(name, value);
        Ok(request)
    }

    /// Follows a write that was accepted.
    async fn conclude(
        &self,
        write: &Write<'_>,
        accepted: &Response,
        deadline: Instant,
    ) -> Result<Option<Value>, Error> {
        match self.follow(write, accepted, deadline).await? {
            // Accepted is not done (RFC 9110, 15.3.3), and there is nothing to follow it by.
            End::Immediate if write.method == Method::DELETE && accepted.status == 202 => {
                self.settle(write, deadline, Lost::untold()).await
            }
            End::Immediate if write.method == Method::DELETE => Ok(None),
            End::Immediate => match parse(&accepted.body, write.operation, write.name) {
                Ok(resource) if !is_under_way(&resource) => Ok(Some(resource)),
                // The answer may be an early view, or none.
                _ => self.settle(write, deadline, Lost::untold()).await,
            },
            End::Succeeded if write.method == Method::DELETE => Ok(None),
            End::Succeeded | End::Untold => self.settle(write, deadline, Lost::untold()).await,
        }
    }

    /// Polls an operation until it has ended.
    async fn follow(&self, write: &Write<'_>, accepted: &Response, deadline: Instant) -> Result<End, Error> {
        let Some(mut poll) = Poll::of(&accepted.headers) else { return Ok(End::Immediate) };
        let mut response_wait = accepted.retry_after();
        let mut tries = 0;
        loop {
            tries += 1;
            let delay = response_wait.unwrap_or_else(|| pause(tries)).max(LEAST);
            if Instant::now() + delay > deadline {
                let what = format!("Azure has not ended it within {}s", self.operation.as_secs());
                return Err(Error::new(Kind::Unconfirmed, write.operation, write.name)
                    .because(what)
                    .remedy("it may still succeed; the next round looks at what stands there then"));
            }
            sleep(delay).await;
            let Ok(url) = self.transport.own(poll.url.clone()) else { return Ok(End::Untold) };
            let response = match self.transport.send(self.budget(), Request::get(url)).await {
                Ok(response) => response,
                // The operation goes on whether or not it can be watched: its resource tells in the end.
                Err(Trouble::Transport(_)) => {
                    response_wait = None;
                    continue;
                }
                Err(_) => return Ok(End::Untold),
            };
            response_wait = response.retry_after();
            if !response.status.is_success() {
                let refused = Refusal::of(&response);
                return match refused.meaning() {
                    Meaning::Busy | Meaning::Broken => continue,
                    // What `Location` answers when the operation itself has failed.
                    Meaning::Rejected | Meaning::Stale if !poll.by_status => {
                        Err(refused.into_error(write.operation, write.name))
                    }
                    _ => Ok(End::Untold),
                };
            }
            if !poll.by_status {
                if response.status == 202 {
                    poll = Poll::of(&response.headers).unwrap_or(poll);
                    continue;
                }
                return Ok(End::Succeeded);
            }
            let Ok(document) = serde_json::from_slice::<Value>(&response.body) else { continue };
            match text_at(&document, &["status"]) {
                Some(status) if status.eq_ignore_ascii_case("Succeeded") => return Ok(End::Succeeded),
                Some(status) if is_failure(status) => {
                    let failed = Refusal::of_operation(status, &document, response.request_id());
                    return Err(failed.into_error(write.operation, write.name));
                }
                Some(_) => {}
                None => return Ok(End::Untold),
            }
        }
    }

    /// Finds out by reading what has become of `write`, waiting while an operation is under way on the resource.
    async fn settle(&self, write: &Write<'_>, deadline: Instant, lost: Lost) -> Result<Option<Value>, Error> {
        let told = |kind, lost: Lost| Error::new(kind, write.operation, write.name).because(lost);
        let not_so_far = |lost: Lost| match lost.open {
            true => Error::new(Kind::Unconfirmed, write.operation, write.name).so_far_nothing(lost),
            false => told(Kind::Unreachable, lost),
        };
        let mut tries = 0;
        let seen = loop {
            tries += 1;
            match self.get(write.operation, write.id, write.api_version).await {
                Ok(Some(resource)) if is_under_way(&resource) && Instant::now() + pause(tries) < deadline => {
                    sleep(pause(tries)).await;
                }
                Ok(seen) => break seen,
                Err(error) => {
                    let text = format!("{lost}; nor could it be read: {}", error.chain());
                    let lost = Lost { text, ..lost };
                    return Err(told(Kind::Unconfirmed, lost).remedy(LATER));
                }
            }
        };
        match (seen, write.condition) {
            (None, _) if write.method == Method::DELETE => Ok(None),
            (None, Condition::Absent) => Err(not_so_far(lost)),
            (None, Condition::Unchanged(_)) => Err(told(Kind::Missing, lost)),
            (Some(resource), _) if is_under_way(&resource) => {
                Err(told(Kind::Unconfirmed, lost).remedy(LATER))
            }
            (Some(resource), _) if write.method != Method::DELETE && (write.holds)(&resource) => {
                let failed = text_at(&resource, &["properties", "provisioningState"]).is_some_and(is_failure);
                if failed {
                    return Err(told(Kind::Rejected, lost).remedy(
                        "Azure took the change and reports the resource as failed; the next round repairs it",
                    ));
                }
                Ok(Some(resource))
            }
            (Some(resource), Condition::Unchanged(etag)) if text_at(&resource, &["etag"]) == Some(etag) => {
                Err(not_so_far(lost))
            }
            // Changed, and not into what was asked for: somebody else wrote, before us or after.
            (Some(_), _) => Err(told(Kind::Unconfirmed, lost).remedy(LATER)),
        }
    }
}

/// How a followed operation ended.
enum End {
    /// There was nothing to follow.
    Immediate,
    Succeeded,
    /// It cannot be told from the operation.
    Untold,
}

/// Where an operation is polled.
struct Poll {
    url: Url,
    /// Whether the address gives a status document, rather than 202 until the operation has ended.
    by_status: bool,
}

impl Poll {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let named = |name: &HeaderName| Url::parse(headers.get(name)?.to_str().ok()?).ok();
        let status = named(&ASYNC_OPERATION).map(|url| Self { url, by_status: true });
        status.or_else(|| named(&reqwest::header::LOCATION).map(|url| Self { url, by_status: false }))
    }
}

/// Why a write is settled by reading.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Lost {
    text: String,
    /// Whether it may yet be made, though all stands as before at this moment: nobody said that it is over.
    open: bool,
}

impl Lost {
    /// Azure took the write, and does not tell what came of it.
    fn untold() -> Self {
        Self { text: UNTOLD.to_owned(), open: true }
    }
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        let mut text = failure.to_string();
        let mut cause = std::error::Error::source(&failure);
        while let Some(link) = cause {
            text.push_str(": ");
            text.push_str(&link.to_string());
            cause = link.source();
        }
        Self { text, open: true }
    }
}

impl From<Refusal> for Lost {
    fn from(refusal: Refusal) -> Self {
        Self { text: refusal.to_string(), open: refusal.leaves_open() }
    }
}

/// Whether an operation is under way on `resource`. One that tells no state is at rest.
pub(super) fn is_under_way(resource: &Value) -> bool {
    text_at(resource, &["properties", "provisioningState"])
        .is_some_and(|state| !state.eq_ignore_ascii_case("Succeeded") && !is_failure(state))
}

/// Whether `state` is one of the two ends that are not success.
pub(super) fn is_failure(state: &str) -> bool {
    state.eq_ignore_ascii_case("Failed") || state.eq_ignore_ascii_case("Canceled")
}

/// The wait before try number `tries` plus one where Azure names none: a quarter of a second, doubled up to ten.
pub(super) fn pause(tries: u32) -> Duration {
    FIRST.saturating_mul(1 << tries.saturating_sub(1).min(8)).min(LONGEST)
}

const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);
/// The floor of a wait, also when Azure says zero.
const LEAST: Duration = Duration::from_millis(100);
const UNTOLD: &str = "Azure accepted it, and what stands there is something else";
const LATER: &str = "the next round looks at what stands there then";
