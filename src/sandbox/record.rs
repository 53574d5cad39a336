//! Exchanges written down in the form that contract judges read.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::exchange::{Payload, Request, Response, Service};

/// Writes one exchange as a file of its own in `directory`, addressed as if to the real service.
pub(crate) fn write(
    directory: &Path,
    number: usize,
    request: &Request,
    response: &Response,
) -> io::Result<()> {
    let (name, host) = match request.service {
        Service::Arm => ("arm", "https://management.azure.com"),
        Service::Cloudflare => ("cloudflare", "https://api.cloudflare.com"),
        // Tokens are nobody's to judge, and the query API has no judge.
        Service::Authority | Service::LogAnalytics => return Ok(()),
    };
    let mark = if request.query.is_empty() { "" } else { "?" };
    let body = match &response.body {
        Payload::Json(value) => value.clone(),
        Payload::Text(_, text) => Value::String(text.clone()),
        Payload::Empty => Value::Null,
    };
    let mut answered: Map<String, Value> =
        response.headers.iter().map(|(key, value)| (key.to_ascii_lowercase(), json!(value))).collect();
    if let Payload::Json(_) = response.body {
        answered.insert("content-type".into(), json!("application/json; charset=utf-8"));
    }
    let asked: Map<String, Value> = request
        .headers
        .iter()
        .map(|(key, value)| {
            let secret = matches!(key.as_str(), "authorization" | "x-auth-key");
            (key.clone(), json!(if secret { "redacted" } else { value }))
        })
        .collect();
    let exchange = json!({
        "service": name,
        "liveRequest": {
            "headers": asked,
            "method": request.method,
            "url": format!("{host}{}{mark}{}", request.path, request.query),
            "body": request.json().unwrap_or(Value::Null),
        },
        "liveResponse": {
            "statusCode": response.status.to_string(),
            "headers": answered,
            "body": body,
        },
    });
    fs::create_dir_all(directory)?;
    // Several processes may record into one directory.
    let file = format!("{name}-{number:05}-{}.json", Uuid::new_v4().simple());
    fs::write(directory.join(file), serde_json::to_vec_pretty(&exchange)?)
}
