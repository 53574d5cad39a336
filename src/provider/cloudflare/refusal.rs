//! What Cloudflare refuses, and what the operator does about it.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::provider::Kind;

/// An answer that says no, with everything it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) errors: Vec<ApiError>,
    /// `cf-ray`, for Cloudflare's support.
    pub(super) request_id: Option<String>,
}

/// One member of `errors` or of an `error_chain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    /// Codes exceed 65,535 (81053), and nothing bounds them.
    #[serde(default, deserialize_with = "number")]
    pub(super) code: u64,
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) error_chain: Option<Vec<ApiError>>,
}

impl Refusal {
    /// What the loop does about it.
    pub(super) fn kind(&self) -> Kind {
        if let Some(entry) = self.entry() {
            return entry.kind;
        }
        match self.status.as_u16() {
            401 | 403 => Kind::Denied,
            404 => Kind::Missing,
            500.. => Kind::Unreachable,
            _ => Kind::Rejected,
        }
    }

    /// What the operator does about it.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match (self.entry(), self.kind()) {
            // One code for a token that does not work at all and for one that may not see this.
            (Some(entry), _) if entry.code == 9109 && self.says("unauthorized") => Some(TOKEN),
            (Some(entry), _) => Some(entry.remedy),
            (None, Kind::Denied) => Some(TOKEN),
            (None, _) => self.is_about_quota().then_some("delete records or raise the zone's plan"),
        }
    }

    /// Whether it says that a record of that name or id stands, or does not stand, against our expectation.
    pub(super) fn is_about_presence(&self) -> bool {
        self.flat().iter().any(|error| PRESENCE.contains(&error.code))
    }

    /// Whether one operation of a batch may have brought it about, so that the others deserve a try of their own.
    pub(super) fn is_about_one(&self) -> bool {
        !self.is_about_quota() && matches!(self.kind(), Kind::Rejected | Kind::Stale)
            || (self.kind() == Kind::Missing && self.is_about_presence())
    }

    /// The table's word on the most telling code: a wrapper's own code says less than what it wraps.
    fn entry(&self) -> Option<&'static Entry> {
        let known: Vec<&Entry> = (self.flat().iter())
            .filter_map(|error| TABLE.iter().find(|entry| entry.code == error.code))
            .collect();
        known.iter().find(|entry| !WRAPPERS.contains(&entry.code)).or(known.first()).copied()
    }

    /// Whether the zone is full. The code of that is not published, so the text decides.
    fn is_about_quota(&self) -> bool {
        self.entry().is_none() && self.says("quota")
    }

    fn says(&self, word: &str) -> bool {
        let texts = self.flat().into_iter().filter_map(|error| error.message.as_deref());
        texts.map(str::to_ascii_lowercase).any(|text| text.contains(word))
    }

    fn flat(&self) -> Vec<&ApiError> {
        fn walk<'e>(errors: &'e [ApiError], flat: &mut Vec<&'e ApiError>) {
            for error in errors {
                flat.push(error);
                walk(error.error_chain.as_deref().unwrap_or_default(), flat);
            }
        }
        let mut flat = Vec::new();
        walk(&self.errors, &mut flat);
        flat
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cloudflare answered {}", self.status.as_u16())?;
        let flat = self.flat();
        for (place, error) in flat.iter().enumerate() {
            let text = error.message.as_deref().unwrap_or("no message").trim_end_matches('.');
            write!(f, "{} {text} ({})", if place == 0 { "," } else { ";" }, error.code)?;
        }
        if flat.is_empty() {
            f.write_str(" without an error")?;
        }
        match &self.request_id {
            Some(id) => write!(f, ", cf-ray {id}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

struct Entry {
    code: u64,
    kind: Kind,
    remedy: &'static str,
}

const fn entry(code: u64, kind: Kind, remedy: &'static str) -> Entry {
    Entry { code, kind, remedy }
}

/// The codes whose meaning is known. HTTP statuses are not contractual: the code decides.
const TABLE: [Entry; 21] = [
    entry(81053, Kind::Rejected, "an A, AAAA or CNAME record holds the name; delete it, or adopt it by name"),
    entry(81054, Kind::Rejected, "a CNAME record holds the name; delete it, or adopt it by name"),
    entry(81057, Kind::Rejected, "the record exists; delete it, or adopt it by name"),
    entry(81058, Kind::Rejected, "an identical record exists without our mark; adopt it by name"),
    entry(81044, Kind::Missing, "the record is gone; run again to plan with what is there now"),
    entry(9005, Kind::Rejected, "an A record takes an IPv4 address; check the record's mode"),
    entry(
        9007,
        Kind::Rejected,
        "a CNAME record takes a host name; check the record's mode and the endpoint's label",
    ),
    entry(
        9021,
        Kind::Rejected,
        "set ttl to 1 (automatic) or to 60 to 86400 seconds; Enterprise zones take 30 and more",
    ),
    entry(
        9039,
        Kind::Rejected,
        "a CNAME cannot point at itself; check the endpoint's label and the record's name",
    ),
    entry(9041, Kind::Rejected, "this record cannot be proxied; set proxied = false"),
    entry(9300, Kind::Rejected, "the zone's plan has no tags; remove them from the record"),
    entry(1004, Kind::Rejected, "correct the record as the message says"),
    entry(7003, Kind::Rejected, ZONE_ID),
    entry(7000, Kind::Rejected, ZONE_ID),
    // What verifies tokens says it of one that nobody has, and of no permission.
    entry(1000, Kind::Denied, WRONG),
    entry(9109, Kind::Denied, WRONG),
    entry(10000, Kind::Denied, TOKEN),
    entry(6003, Kind::Denied, MALFORMED),
    entry(6111, Kind::Denied, MALFORMED),
    entry(6103, Kind::Denied, "use an API token; keys with an e-mail address are not supported"),
    entry(
        9106,
        Kind::Denied,
        "no token arrived; check where the account's token comes from, and any proxy in between",
    ),
];

/// Codes that introduce others.
const WRAPPERS: [u64; 2] = [1004, 6003];
/// Codes that contradict what was read just before.
const PRESENCE: [u64; 5] = [81044, 81053, 81054, 81057, 81058];
const ZONE_ID: &str =
    "write the zone's id, 32 hexadecimal digits from the zone's overview page, not its name";
pub(super) const TOKEN: &str =
    "give the token the permissions Zone > DNS > Edit and Zone > Zone > Read for this zone";
const WRONG: &str =
    "the token is wrong, expired or revoked; make a new one and put it where the account's token comes from";
const MALFORMED: &str =
    "the token is not one that Cloudflare could have issued; look for a stray newline, quote or missing part";

fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, json: &str) -> Refusal {
        let errors = serde_json::from_str(json).unwrap();
        Refusal { status: StatusCode::from_u16(status).unwrap(), errors, request_id: None }
    }

    #[test]
    fn every_known_code_has_a_kind_and_a_next_step() {
        let expected = [
            (81053, Kind::Rejected, "adopt"),
            (81054, Kind::Rejected, "adopt"),
            (81057, Kind::Rejected, "adopt"),
            (81058, Kind::Rejected, "adopt"),
            (81044, Kind::Missing, "run again"),
            (9005, Kind::Rejected, "IPv4"),
            (9007, Kind::Rejected, "host name"),
            (9021, Kind::Rejected, "60 to 86400"),
            (9039, Kind::Rejected, "itself"),
            (9041, Kind::Rejected, "proxied = false"),
            (9300, Kind::Rejected, "tags"),
            (1004, Kind::Rejected, "message"),
            (7003, Kind::Rejected, "32 hexadecimal"),
            (7000, Kind::Rejected, "32 hexadecimal"),
            (1000, Kind::Denied, "make a new one"),
            (9109, Kind::Denied, "expired"),
            (10000, Kind::Denied, "Zone > DNS > Edit"),
            (6003, Kind::Denied, "newline"),
            (6111, Kind::Denied, "newline"),
            (6103, Kind::Denied, "API token"),
            (9106, Kind::Denied, "no token"),
        ];
        assert_eq!(expected.len(), TABLE.len());
        for (code, kind, word) in expected {
            // The status misleads on purpose.
            let refusal = refusal(500, &format!("[{{\"code\":{code},\"message\":\"text.\"}}]"));
            assert_eq!(refusal.kind(), kind, "{code}");
            let remedy = refusal.remedy().unwrap();
            assert!(remedy.contains(word) && !remedy.ends_with('.'), "{code}: {remedy}");
            assert_eq!(refusal.to_string(), format!("Cloudflare answered 500, text ({code})"));
        }
    }

    #[test]
    fn what_a_wrapper_wraps_decides() {
        let wrapped = r#"[{"code":1004,"message":"DNS Validation Error","error_chain":[{"code":9021,"message":"Invalid TTL."}]}]"#;
        let refusal = refusal(400, wrapped);
        assert!(refusal.remedy().unwrap().contains("ttl"), "{refusal}");
        assert_eq!(
            refusal.to_string(),
            "Cloudflare answered 400, DNS Validation Error (1004); Invalid TTL (9021)"
        );
    }

    #[test]
    fn an_unknown_code_is_judged_by_status() {
        for (status, kind) in [
            (400, Kind::Rejected),
            (401, Kind::Denied),
            (403, Kind::Denied),
            (404, Kind::Missing),
            (503, Kind::Unreachable),
            (200, Kind::Rejected),
        ] {
            assert_eq!(refusal(status, r#"[{"code":4294967999,"message":"new"}]"#).kind(), kind, "{status}");
        }
        let other_zone =
            refusal(403, r#"[{"code":9109,"message":"Unauthorized to access requested resource"}]"#);
        assert_eq!(other_zone.remedy(), Some(TOKEN));
        let quota = refusal(400, r#"[{"code":"81045","message":"Record quota exceeded."}]"#);
        assert!(quota.remedy().unwrap().contains("plan"), "{quota}");
    }
}
