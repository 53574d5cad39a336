//! Whether the place where failed logons are collected lets itself be asked.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::timeout;

use super::{Doctor, NOT_TAKEN, PATIENCE, credential};
use crate::model::checkup::{Check, Health, Topic};
use crate::model::threats::{Platform, Reading, Spans};

impl Doctor {
    /// One check for each kind of machine; nothing where nobody asks for failed logons.
    pub(super) async fn logons(&self, taken: bool) -> Vec<Check> {
        let Some(logons) = &self.logons else { return Vec::new() };
        let logons = match logons {
            Ok(logons) if taken => logons,
            Ok(_) => return vec![Check::new(Topic::Logons, "threats", Health::NotAsked, NOT_TAKEN)],
            Err(why) => return vec![Check::new(Topic::Logons, "threats", Health::NotAsked, why)],
        };
        let Some(spans) = Spans::until(OffsetDateTime::now_utc(), MINUTE) else { return Vec::new() };
        let ask = async |platform: Platform| {
            let check = |health, detail: String| Check::new(Topic::Logons, platform.table(), health, detail);
            match timeout(PATIENCE, logons.failed_logons(platform, &spans)).await {
                Ok(Reading::Collected(_)) => check(Health::Ok, "can be asked".into()),
                Ok(Reading::NotCollected) => check(Health::Ok, "nothing is collected there".into()),
                Ok(Reading::Unread(why)) => check(Health::Failed, why),
                Err(_) => credential::late(Topic::Logons, platform.table()),
            }
        };
        let (windows, linux) = futures::join!(ask(Platform::Windows), ask(Platform::Linux));
        vec![windows, linux]
    }
}

/// The shortest span that shows whether a table can be asked at all.
const MINUTE: Duration = Duration::from_secs(60);
