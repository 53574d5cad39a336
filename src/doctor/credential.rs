//! Whose a credential is, until when, and what it may do.

use time::{Duration, OffsetDateTime};
use tokio::time::timeout;

use super::{PATIENCE, failed};
use crate::model::checkup::{Check, Health, Topic};
use crate::model::permission::{PERMISSIONS, lacking};
use crate::provider::{Holder, Kind, Rights};

/// Whose the credential of `subject` is.
pub(super) async fn check(subject: &str, rights: &dyn Rights) -> Check {
    match timeout(PATIENCE, rights.holder()).await {
        Ok(Ok(holder)) => standing(subject, &holder, OffsetDateTime::now_utc()),
        Ok(Err(error)) => failed(Topic::Credential, subject, &error),
        Err(_) => late(Topic::Credential, subject),
    }
}

/// There is none, since what it is made of could not be read.
pub(super) fn unread(subject: &str, why: &str) -> Check {
    Check::new(Topic::Credential, subject, Health::Failed, why)
        .next("put the secret where the configuration says that it is, or correct where it says so")
}

/// How it stands with a credential at `now`.
fn standing(subject: &str, holder: &Holder, now: OffsetDateTime) -> Check {
    let check = |health, detail: String| Check::new(Topic::Credential, subject, health, detail);
    let who = &holder.who;
    let Some(expires) = holder.expires.filter(|_| !holder.renewed) else {
        let renewed = if holder.renewed { "; renewed by itself" } else { "; it does not say until when" };
        return check(Health::Ok, format!("{who}{renewed}"));
    };
    let left = expires - now;
    let at = expires.replace_nanosecond(0).unwrap_or(expires);
    let at = at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
    let renew = "get a new one and put it where the configuration says that it is";
    if left <= Duration::ZERO {
        return check(Health::Failed, format!("{who}; expired at {at}")).next(renew);
    }
    if left < SOON {
        return check(Health::Warning, format!("{who}; expires at {at}, and nobody renews it"))
            .next(format!("{renew} before then"));
    }
    check(Health::Ok, format!("{who}; until {at}"))
}

/// What is missing of `needed` at a scope.
pub(super) async fn covers(rights: &dyn Rights, scope: &str, needed: Vec<&'static str>) -> Check {
    let subject = shown(scope);
    let check = |health, detail: String| Check::new(Topic::Permissions, &subject, health, detail);
    let grants = match timeout(PATIENCE, rights.grants(scope)).await {
        Ok(Ok(grants)) => grants,
        Ok(Err(error)) if error.kind() == Kind::Denied && error.causes().contains(PERMISSIONS) => {
            let detail = format!("what is granted there cannot be read without {PERMISSIONS}");
            return check(Health::NotAsked, detail).next(grant(scope));
        }
        Ok(Err(error)) => return failed(Topic::Permissions, subject, &error),
        Err(_) => return late(Topic::Permissions, &subject),
    };
    let missing = lacking(&grants, &needed);
    if missing.is_empty() {
        return check(Health::Ok, format!("all {} that are needed", needed.len()));
    }
    let detail = format!("lacks {} at {scope}", missing.join(", "));
    check(Health::Failed, detail).next(grant(scope))
}

fn grant(scope: &str) -> String {
    format!(
        "assign the role of config/azure-role.json to this identity at {scope}; a new role takes some minutes"
    )
}

/// A scope as a person knows it.
fn shown(scope: &str) -> String {
    let parts: Vec<&str> = scope.split('/').collect();
    match parts.as_slice() {
        ["", _, _, _, group] => (*group).to_owned(),
        // Its first group tells it from another; what fails has the whole scope in its detail.
        ["", _, subscription] => {
            format!("subscription {}", subscription.split('-').next().unwrap_or_default())
        }
        ["", _, _, _, group, .., name] => format!("{name} of {group}"),
        [.., name] => (*name).to_owned(),
        [] => String::new(),
    }
}

/// Nobody answered in time.
pub(super) fn late(topic: Topic, subject: impl std::fmt::Display) -> Check {
    let detail = format!("no answer within {} s", PATIENCE.as_secs());
    Check::new(topic, subject, Health::Failed, detail).next("run again; if it stays so, check the network")
}

/// What nobody renews is told of this early.
const SOON: Duration = Duration::days(14);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_expires_is_told_of_before_it_does() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let health = |expires: Option<i64>, renewed| {
            let expires = expires.map(|hours| now + Duration::hours(hours));
            standing("azure", &Holder { who: "w".into(), expires, renewed }, now).health
        };
        assert_eq!(health(Some(-1), false), Health::Failed);
        assert_eq!(health(Some(24), false), Health::Warning);
        assert_eq!(health(Some(24 * 30), false), Health::Ok);
        assert_eq!(health(Some(1), true), Health::Ok);
        assert_eq!(health(None, false), Health::Ok);
    }
}
