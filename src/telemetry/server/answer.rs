//! Answers, and the headers that every one of them has.

use hyper::StatusCode;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::json;

/// What goes onto the wire.
pub(super) type Response = hyper::Response<String>;

/// An answer to one request.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
    allow: Option<&'static str>,
    close: bool,
}

impl Answer {
    pub(super) fn new(content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, content_type, body: body.into(), allow: None, close: false }
    }

    pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, ..Self::new("text/plain; charset=utf-8", text) }
    }

    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_string_pretty(value) {
            Ok(text) => Self { status, ..Self::new("application/json", text + "\n") },
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, format!("no JSON of it: {error}\n")),
        }
    }

    /// 200, or 503 with the reason: as JSON for whoever asks for that, else as text.
    pub(super) fn probe(finding: Result<(), String>, accept: &str) -> Self {
        let status = if finding.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if accept.contains("json") {
            return Self::json(
                status,
                &json!({"version": 1, "ok": finding.is_ok(), "reason": finding.err()}),
            );
        }
        Self::text(status, finding.map_or_else(|reason| reason + "\n", |()| "ok\n".to_owned()))
    }

    pub(super) fn allowing(self, methods: &'static str) -> Self {
        Self { allow: Some(methods), ..self }
    }

    pub(super) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        secure(headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Nothing from elsewhere, nothing within a line, no frame, no memory, and nobody of another origin reads along.
const SECURITY: [(&str, &str); 9] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cache-control", "no-store"),
    (
        "permissions-policy",
        "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
         magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
    ),
];
