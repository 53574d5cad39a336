//! Many changes in one transaction.
//!
//! Deletes, patches, puts and posts run in this order whatever the order in the body; the first refusal is the
//! answer, and then nothing is changed. Source: Cloudflare docs, "Batch record changes".

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::error::ApiError;
use super::record::{Record, mistyped, required};
use super::zone::Zone;

/// Runs a batch on `zone` and renders its result.
///
/// # Errors
/// The first refusal of any operation; more operations than the plan allows.
pub(crate) fn run(
    zone: &mut Zone,
    body: &Map<String, Value>,
    now: OffsetDateTime,
) -> Result<Value, ApiError> {
    let [deletes, patches, puts, posts] = [
        operations(body, "deletes")?,
        operations(body, "patches")?,
        operations(body, "puts")?,
        operations(body, "posts")?,
    ];
    let (count, limit) = (deletes.len() + patches.len() + puts.len() + posts.len(), zone.plan.batch());
    if count > limit {
        return Err(ApiError::validation(format!(
            "The batch has {count} operations, exceeding the limit of {limit}."
        )));
    }
    let mut after = zone.clone();
    let deleted = each(&deletes, |one| after.delete(id(one)?))?;
    let patched = each(&patches, |one| after.patch(id(one)?, one, now))?;
    let put = each(&puts, |one| after.put(id(one)?, one, now))?;
    let posted = each(&posts, |one| after.create(one, now))?;
    *zone = after;
    Ok(json!({ "deletes": deleted, "patches": patched, "puts": put, "posts": posted }))
}

fn operations<'b>(body: &'b Map<String, Value>, key: &str) -> Result<Vec<&'b Map<String, Value>>, ApiError> {
    let Some(list) = body.get(key).filter(|value| !value.is_null()) else {
        return Ok(Vec::new());
    };
    let list = list.as_array().ok_or_else(|| mistyped(key, "array"))?;
    list.iter().map(|one| one.as_object().ok_or_else(|| mistyped(key, "array of objects"))).collect()
}

fn each(
    operations: &[&Map<String, Value>],
    mut act: impl FnMut(&Map<String, Value>) -> Result<Record, ApiError>,
) -> Result<Vec<Value>, ApiError> {
    operations.iter().map(|one| act(one).map(|record| record.to_json(None))).collect()
}

fn id(operation: &Map<String, Value>) -> Result<&str, ApiError> {
    operation.get("id").and_then(Value::as_str).ok_or_else(|| required("id"))
}
