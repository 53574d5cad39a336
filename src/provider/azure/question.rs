//! Questions that Azure takes as a POST and may answer later.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::transport::Trouble;
use super::{Arm, absent_or, implausible, parse};
use crate::provider::Error;
use crate::provider::http::{Effect, Request};

impl Arm {
    /// The answer to `body` posted at `path`, followed to its end; `None` when Azure says that there is no such thing.
    ///
    /// It changes nothing, so it is asked again at will.
    pub(super) async fn ask(
        &self,
        operation: &'static str,
        resource: &str,
        path: &str,
        api_version: &str,
        body: &Value,
    ) -> Result<Option<Value>, Error> {
        let at = |trouble: Trouble| trouble.into_error(operation, resource);
        let deadline = Instant::now() + self.operation.min(PATIENCE);
        let url = self.transport.url(&format!("{path}?api-version={api_version}")).map_err(at)?;
        let mut request = Request::write(Method::POST, url, body.to_string());
        request.effect = Effect::Read;
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        loop {
            let response = match self.transport.read_by(self.budget(), request).await {
                Ok(response) => response,
                Err(trouble) => return absent_or(trouble, operation, resource),
            };
            if response.status != 202 {
                return parse(&response.body, operation, resource).map(Some);
            }
            let later = response.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            let Some(later) = later.and_then(|to| to.parse().ok()) else {
                return Err(implausible(operation, resource, "it answers later, and does not say where"));
            };
            let delay = response.retry_after().unwrap_or(AGAIN).max(LEAST);
            if Instant::now() + delay > deadline {
                return Err(implausible(operation, resource, "it was not answered in time"));
            }
            sleep(delay).await;
            request = Request::get(self.transport.own(later).map_err(at)?);
        }
    }
}

/// A question is answered within this, or never.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_millis(100);
