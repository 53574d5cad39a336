//! Which records a list call gives, in which order, and which page of them.
//!
//! All comparisons are without case. Source: Cloudflare API reference, "List DNS Records".

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::error::ApiError;
use super::record::{Record, folded};
use crate::sandbox::exchange::Request;

/// One page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// Reads `page` and `per_page`; a size above `largest` is cut to it.
    ///
    /// # Errors
    /// 1004 for anything but a number from 1.
    pub(crate) fn read(request: &Request, default: usize, largest: usize) -> Result<Self, ApiError> {
        let read = |key: &str, default: usize| match request.param(key) {
            None | Some("") => Ok(default),
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|n| *n >= 1)
                .ok_or_else(|| ApiError::validation(format!("{key} must be a number from 1."))),
        };
        Ok(Self { number: read("page", 1)?, size: read("per_page", default)?.min(largest) })
    }

    /// The members of `all` on this page, and `result_info`.
    pub(crate) fn cut<T>(&self, all: Vec<T>) -> (Vec<T>, Value) {
        let total = all.len();
        let skipped = (self.number - 1).saturating_mul(self.size);
        let shown: Vec<T> = all.into_iter().skip(skipped).take(self.size).collect();
        let info = json!({
            "page": self.number,
            "per_page": self.size,
            "count": shown.len(),
            "total_count": total,
            "total_pages": total.div_ceil(self.size),
        });
        (shown, info)
    }
}

/// The records that a request selects, sorted.
///
/// # Errors
/// 1004 for an unknown `match`, `tag_match`, `order` or `direction`.
pub(crate) fn select<'r>(records: &'r [Record], request: &Request) -> Result<Vec<&'r Record>, ApiError> {
    let any = is_any(request, "match")?;
    let any_tag = is_any(request, "tag_match")?;
    let order = choice(
        request,
        "order",
        &["type", "name", "content", "ttl", "proxied", "comment", "tags", "created_on", "modified_on"],
    )?;
    let descending = choice(request, "direction", &["asc", "desc"])? == Some("desc");
    let mut selected: Vec<&Record> =
        records.iter().filter(|record| is_selected(record, request, any, any_tag)).collect();
    selected.sort_by(|a, b| {
        let ordering = compare(a, b, order.unwrap_or("type"));
        if descending { ordering.reverse() } else { ordering }
    });
    Ok(selected)
}

fn is_selected(record: &Record, request: &Request, any: bool, any_tag: bool) -> bool {
    let (mut tests, mut tag_tests, mut found) = (Vec::new(), Vec::new(), true);
    for (key, value) in &request.pairs {
        let wanted = value.to_lowercase();
        let key = key.to_ascii_lowercase();
        match key.split_once('.').map_or((key.as_str(), "exact"), |(field, test)| (field, test)) {
            ("name", test) => {
                let wanted = wanted.strip_suffix('.').filter(|_| test == "exact").unwrap_or(&wanted);
                let wanted = folded(wanted).unwrap_or_else(|| wanted.to_owned());
                tests.extend(compares(&record.name, test, &wanted));
            }
            ("content", test) => tests.extend(compares(&record.content.to_lowercase(), test, &wanted)),
            ("comment", "present") => tests.push(record.comment.is_some()),
            ("comment", "absent") => tests.push(record.comment.is_none()),
            ("comment", test) => {
                let comment = record.comment.as_deref().map(str::to_lowercase);
                // A record without a comment satisfies no comparison.
                tests.extend(
                    compares(comment.as_deref().unwrap_or_default(), test, &wanted)
                        .map(|equal| equal && comment.is_some()),
                );
            }
            ("tag", test) => tag_tests.extend(tag_test(record, test, &wanted)),
            ("type", _) => tests.push(record.kind.eq_ignore_ascii_case(&wanted)),
            ("proxied", _) => tests.push((wanted == "true") == record.proxied),
            ("search", _) => found = is_found(record, &wanted),
            _ => {}
        }
    }
    if !tag_tests.is_empty() {
        tests.push(if any_tag { tag_tests.contains(&true) } else { !tag_tests.contains(&false) });
    }
    found && (tests.is_empty() || if any { tests.contains(&true) } else { !tests.contains(&false) })
}

fn compares(held: &str, test: &str, wanted: &str) -> Option<bool> {
    match test {
        "exact" => Some(held == wanted),
        "contains" => Some(held.contains(wanted)),
        "startswith" => Some(held.starts_with(wanted)),
        "endswith" => Some(held.ends_with(wanted)),
        _ => None,
    }
}

// `tag.present=owner` asks for the name alone; the others compare `name:value`.
fn tag_test(record: &Record, test: &str, wanted: &str) -> Option<bool> {
    let tags: Vec<String> = record.tags.iter().map(|tag| tag.to_lowercase()).collect();
    let name_of = |text: &str| text.split_once(':').map_or(text.to_owned(), |(name, _)| name.to_owned());
    match test {
        "present" => Some(tags.iter().any(|tag| name_of(tag) == wanted)),
        "absent" => Some(tags.iter().all(|tag| name_of(tag) != wanted)),
        "exact" => {
            Some(tags.iter().any(|tag| tag == wanted || (!wanted.contains(':') && name_of(tag) == wanted)))
        }
        _ => {
            let (name, value) = wanted.split_once(':')?;
            let values = tags.iter().filter_map(|tag| tag.split_once(':')).filter(|(key, _)| *key == name);
            Some(values.into_iter().any(|(_, held)| compares(held, test, value) == Some(true)))
        }
    }
}

fn is_found(record: &Record, wanted: &str) -> bool {
    let comment = record.comment.as_deref().unwrap_or_default();
    [&record.name, &record.content, comment, &record.kind]
        .iter()
        .any(|held| held.to_lowercase().contains(wanted))
}

fn compare(a: &Record, b: &Record, order: &str) -> Ordering {
    let first = match order {
        "name" => a.name.cmp(&b.name),
        "content" => a.content.cmp(&b.content),
        "ttl" => a.ttl.cmp(&b.ttl),
        "proxied" => a.proxied.cmp(&b.proxied),
        "comment" => a.comment.cmp(&b.comment),
        "tags" => a.tags.cmp(&b.tags),
        "created_on" => a.created.cmp(&b.created),
        "modified_on" => a.modified.cmp(&b.modified),
        _ => a.kind.cmp(&b.kind),
    };
    first.then_with(|| a.name.cmp(&b.name)).then_with(|| a.content.cmp(&b.content))
}

/// Whether `key` is `any` rather than `all`.
///
/// # Errors
/// 1004 for anything else.
pub(crate) fn is_any(request: &Request, key: &str) -> Result<bool, ApiError> {
    Ok(choice(request, key, &["all", "any"])? == Some("any"))
}

fn choice<'c>(request: &Request, key: &str, choices: &[&'c str]) -> Result<Option<&'c str>, ApiError> {
    let Some(given) = request.param(key) else {
        return Ok(None);
    };
    let found = choices.iter().find(|choice| **choice == given).copied();
    found
        .map(Some)
        .ok_or_else(|| ApiError::validation(format!("{key} must be one of {}.", choices.join(", "))))
}
