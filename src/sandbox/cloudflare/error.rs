//! Refusals in the service's own words.
//!
//! Clients decide by `code`; the HTTP status is as reported by users. Where no report of a code was found, the
//! general validation code 1004 is given.

use serde_json::{Value, json};

use crate::sandbox::exchange::Response;

/// One refusal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: String,
    chain: Vec<(u32, String)>,
    headers: Vec<(String, String)>,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), chain: Vec::new(), headers: Vec::new() }
    }

    /// The same refusal with the cause that the service names in `error_chain`.
    pub(crate) fn because(mut self, code: u32, message: impl Into<String>) -> Self {
        self.chain.push((code, message.into()));
        self
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[cfg(test)]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A validation error without a code of its own in any report.
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, 1004, message)
    }

    /// A path that leads nowhere; a zone's name given in place of its id is the usual cause.
    pub(crate) fn no_route(path: &str) -> Self {
        Self::new(400, 7003, format!("Could not route to {path}, perhaps your object identifier is invalid?"))
    }

    pub(crate) fn no_method(method: &str) -> Self {
        Self::new(405, 7001, format!("Method {method} not available for that URI."))
    }

    pub(crate) fn no_record() -> Self {
        Self::new(404, 81044, "Record does not exist.")
    }

    /// The token is known but may not do this.
    pub(crate) fn not_permitted() -> Self {
        Self::new(403, 10000, "Authentication error")
    }

    pub(crate) fn quota() -> Self {
        Self::new(400, 81045, "Record quota exceeded.")
    }

    pub(crate) fn identical() -> Self {
        Self::new(400, 81058, "An identical record already exists.")
    }

    /// A CNAME meets an address or another CNAME.
    pub(crate) fn host_exists() -> Self {
        Self::new(
            400,
            81053,
            format!("An A, AAAA, or CNAME record with that host already exists. {SAME_NAME}"),
        )
    }

    /// An address meets a CNAME.
    pub(crate) fn cname_exists() -> Self {
        Self::new(400, 81054, format!("A CNAME record with that host already exists. {SAME_NAME}"))
    }

    /// Anything meets a delegation.
    pub(crate) fn ns_exists() -> Self {
        Self::new(400, 81056, format!("NS records with that host already exist. {SAME_NAME}"))
    }

    /// A delegation meets anything.
    pub(crate) fn record_exists() -> Self {
        Self::new(400, 81057, "The record already exists.")
    }

    /// The envelope of a failure.
    pub(crate) fn response(&self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if !self.chain.is_empty() {
            let chain: Vec<Value> = self
                .chain
                .iter()
                .map(|(code, message)| json!({ "code": code, "message": message }))
                .collect();
            error["error_chain"] = Value::Array(chain);
        }
        let mut errors = vec![error];
        if self.code == 7003 {
            errors.push(json!({ "code": 7000, "message": "No route for that URI" }));
        }
        let body = json!({ "success": false, "errors": errors, "messages": [], "result": null });
        let mut response = Response::json(self.status, body);
        response.headers.extend(self.headers.iter().cloned());
        response
    }
}

const SAME_NAME: &str = "For more details, refer to <https://developers.cloudflare.com/dns/manage-dns-records/troubleshooting/records-with-same-name/>.";
