//! The calls: a value for each, with the `cloudflare` crate's [`EndpointSpec`], and what their answers are.

use cloudflare::framework::endpoint::RequestBody;
use cloudflare::framework::endpoint::spec::EndpointSpec;
use cloudflare::framework::response::ApiResult;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::api::Answer;
use super::record::{Draft, Record};

macro_rules! endpoint {
    ($endpoint:ty, $method:ident, $response:ty, $path:expr $(, query $query:expr)? $(, body $body:expr)?) => {
        impl EndpointSpec for $endpoint {
            type JsonResponse = $response;
            type ResponseType = Answer<$response>;

            fn method(&self) -> Method {
                Method::$method
            }

            fn path(&self) -> String {
                let path: fn(&Self) -> String = $path;
                path(self)
            }
            $(
                fn query(&self) -> Option<String> {
                    let query: fn(&Self) -> String = $query;
                    Some(query(self))
                }
            )?
            $(
                fn body(&self) -> Option<RequestBody<'_>> {
                    let body: fn(&Self) -> String = $body;
                    Some(RequestBody::Json(body(self)))
                }
            )?
        }
    };
}

/// `GET /zones`: the zones that the token can see.
pub(super) struct ListZones {
    pub(super) page: u64,
}

endpoint!(
    ListZones,
    GET,
    Zones,
    |_| "zones".into(),
    query | call | { query(&[("page", &call.page.to_string()), ("per_page", &ZONES_PER_PAGE.to_string())]) }
);

/// `GET /zones/{zone}`.
pub(super) struct GetZone<'c> {
    pub(super) zone: &'c str,
}

endpoint!(GetZone<'_>, GET, ZoneEntry, |call| format!("zones/{}", call.zone));

/// `GET /user/tokens/verify`, and `GET /accounts/{account}/tokens/verify` for a token that an account owns.
pub(super) struct VerifyToken<'c> {
    pub(super) account: Option<&'c str>,
}

endpoint!(VerifyToken<'_>, GET, Verified, |call| match call.account {
    Some(account) => format!("accounts/{account}/tokens/verify"),
    None => "user/tokens/verify".into(),
});

/// `GET /zones/{zone}/dns_records`, filtered.
pub(super) struct ListRecords<'c> {
    pub(super) zone: &'c str,
    /// `name.exact`.
    pub(super) name: Option<&'c str>,
    /// `comment.endswith`; with a name as well, either is enough.
    pub(super) comment: Option<&'c str>,
    pub(super) page: u64,
}

endpoint!(
    ListRecords<'_>,
    GET,
    Records,
    |call| format!("zones/{}/dns_records", call.zone),
    query | call | {
        let (page, per_page) = (call.page.to_string(), PER_PAGE.to_string());
        let mut pairs = Vec::new();
        pairs.extend(call.name.map(|name| ("name.exact", name)));
        pairs.extend(call.comment.map(|comment| ("comment.endswith", comment)));
        if pairs.len() > 1 {
            pairs.push(("match", "any"));
        }
        // A fixed order, so that pages do not overlap.
        pairs.extend([("order", "name"), ("direction", "asc"), ("page", &page), ("per_page", &per_page)]);
        query(&pairs)
    }
);

/// `POST /zones/{zone}/dns_records`.
pub(super) struct CreateRecord<'c> {
    pub(super) zone: &'c str,
    pub(super) record: &'c Draft,
}

endpoint!(
    CreateRecord<'_>,
    POST,
    Record,
    |call| format!("zones/{}/dns_records", call.zone),
    body | call | json(call.record)
);

/// `PATCH /zones/{zone}/dns_records/{id}`: what is left out stays as it is.
pub(super) struct PatchRecord<'c> {
    pub(super) zone: &'c str,
    pub(super) id: &'c str,
    pub(super) record: &'c Draft,
}

endpoint!(
    PatchRecord<'_>,
    PATCH,
    Record,
    |call| format!("zones/{}/dns_records/{}", call.zone, call.id),
    body | call | json(call.record)
);

/// `DELETE /zones/{zone}/dns_records/{id}`.
pub(super) struct DeleteRecord<'c> {
    pub(super) zone: &'c str,
    pub(super) id: &'c str,
}

endpoint!(DeleteRecord<'_>, DELETE, Deleted, |call| format!("zones/{}/dns_records/{}", call.zone, call.id));

/// `POST /zones/{zone}/dns_records/batch`: one transaction, in the order deletes, patches, posts.
pub(super) struct Batch<'c> {
    pub(super) zone: &'c str,
    pub(super) operations: &'c Operations,
}

endpoint!(
    Batch<'_>,
    POST,
    Outcome,
    |call| format!("zones/{}/dns_records/batch", call.zone),
    body | call | json(call.operations)
);

/// What a batch does.
#[derive(Debug, Default, Serialize)]
pub(super) struct Operations {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) deletes: Vec<Id>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) patches: Vec<Draft>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) posts: Vec<Draft>,
}

/// A record to delete.
#[derive(Debug, Serialize)]
pub(super) struct Id {
    pub(super) id: String,
}

/// The zones on one page.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Zones(pub(super) Vec<ZoneEntry>);

/// A zone as it is listed.
#[derive(Debug, Deserialize)]
pub(super) struct ZoneEntry {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) name_servers: Option<Vec<String>>,
    #[serde(default)]
    pub(super) plan: Option<Plan>,
    #[serde(default)]
    pub(super) permissions: Option<Vec<String>>,
    #[serde(default)]
    pub(super) account: Option<Holding>,
}

/// The account that holds a zone.
#[derive(Debug, Deserialize)]
pub(super) struct Holding {
    #[serde(default)]
    pub(super) id: Option<String>,
}

/// What is told of a token.
#[derive(Debug, Deserialize)]
pub(super) struct Verified {
    #[serde(default)]
    pub(super) id: Option<String>,
    /// `active`, `disabled` or `expired`.
    pub(super) status: String,
    #[serde(default)]
    pub(super) expires_on: Option<String>,
}

/// A zone's plan.
#[derive(Debug, Deserialize)]
pub(super) struct Plan {
    #[serde(default)]
    pub(super) legacy_id: Option<String>,
}

/// The records on one page.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Records(pub(super) Vec<Record>);

/// A deletion's answer, which has nothing of interest.
#[derive(Debug, Deserialize)]
pub(super) struct Deleted {}

/// A batch's answer: the records as they are now.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome {
    #[serde(default)]
    pub(super) patches: Option<Vec<Record>>,
    #[serde(default)]
    pub(super) posts: Option<Vec<Record>>,
}

impl ApiResult for Zones {}
impl ApiResult for ZoneEntry {}
impl ApiResult for Verified {}
impl ApiResult for Records {}
impl ApiResult for Record {}
impl ApiResult for Deleted {}
impl ApiResult for Outcome {}

fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Texts and numbers always serialise.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Records on a page. The hard maximum is undocumented; this many are known to be given.
pub(super) const PER_PAGE: u64 = 1000;
/// The most zones that a page may have.
pub(super) const ZONES_PER_PAGE: u64 = 50;
