//! A webhook of the operator's own: the notice as JSON, a contract with a `version`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::address::Address;
use super::hook::Hook;
use super::{Notice, Notifier, Subscription, Topic, Undelivered};
use crate::model::endpoint::Handle;
use crate::provider::http::Http;

/// The contract's version: fields may be added under one version, never renamed.
pub const VERSION: u32 = 1;

/// Posts `{"version": 1, …}` with the notice's fields.
///
/// `X-Cnamed-Delivery` is the same whenever the same notice is sent again, so that a receiver can tell. With a secret,
/// `X-Cnamed-Signature` is `sha256=` and the HMAC-SHA256 (RFC 2104) of the body in hexadecimal; the body has the time,
/// so that an old one cannot be passed off as new.
#[derive(Debug)]
pub struct Webhook {
    subscription: Subscription,
    hook: Hook,
    key: Option<hmac::Key>,
}

impl Webhook {
    /// Posts to `address`; `secret` signs what is posted.
    #[must_use]
    pub fn new(
        subscription: Subscription,
        http: Arc<Http>,
        address: Address,
        timeout: Duration,
        secret: Option<&SecretString>,
    ) -> Self {
        let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()));
        Self { subscription, hook: Hook::new(http, address, timeout), key }
    }
}

/// The notice as webhooks and commands get it.
pub(super) fn body(notice: &Notice) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'n> {
        version: u32,
        #[serde(flatten)]
        notice: &'n Notice,
    }
    // Strings, numbers and a time between the years 0 and 9999: nothing that could fail.
    serde_json::to_vec(&Body { version: VERSION, notice }).unwrap_or_default()
}

#[async_trait]
impl Notifier for Webhook {
    fn name(&self) -> &Handle {
        &self.subscription.name
    }

    fn wants(&self, topic: Topic) -> bool {
        self.subscription.wants(topic)
    }

    async fn tell(&self, notice: &Notice) -> Result<(), Undelivered> {
        let body = body(notice);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, JSON);
        let mut put = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        };
        let id = digest::digest(&digest::SHA256, &body);
        put(DELIVERY, hexadecimal(&id.as_ref()[..16]));
        if let Some(key) = &self.key {
            put(SIGNATURE, format!("sha256={}", hexadecimal(hmac::sign(key, &body).as_ref())));
        }
        self.hook.post(None, headers, body).await.map(drop)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What all bodies are.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const DELIVERY: HeaderName = HeaderName::from_static("x-cnamed-delivery");
const SIGNATURE: HeaderName = HeaderName::from_static("x-cnamed-signature");
