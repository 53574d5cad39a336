//! Whose the token is, and what it may do, as Cloudflare itself tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::api::{CallError, failed};
use super::calls::{GetZone, Verified, VerifyToken};
use super::{Cloudflare, is_id};
use crate::model::permission::Grant;
use crate::provider::{Error, Holder, Kind, Rights};

impl Cloudflare {
    /// A zone as the API shows it by its id.
    pub(super) async fn zone_details(&self, id: &str) -> Result<super::calls::ZoneEntry, Error> {
        let answer = self.client.call(&GetZone { zone: id }).await;
        let answer = answer.map_err(|cause| {
            let cause = Arc::new(cause);
            failed(&cause, cause.kind(), "read the zone", format!("{id} of {}", self.account))
        })?;
        Ok(answer.result)
    }

    /// The accounts that hold the zones that the token sees; none where it may not see zones.
    async fn owners(&self) -> BTreeSet<String> {
        let zones = super::DnsProvider::zones(self).await.unwrap_or_default();
        let mut owners = BTreeSet::new();
        for zone in zones.iter().take(ZONES) {
            let account = self.zone_details(&zone.id).await.ok().and_then(|zone| zone.account);
            owners.extend(account.and_then(|account| account.id).filter(|id| is_id(id)));
        }
        owners
    }

    fn held(&self, kind: &str, verified: &Verified) -> Result<Holder, Error> {
        let expires = verified.expires_on.as_deref().and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
        match verified.status.as_str() {
            "active" => {
                let who = match &verified.id {
                    Some(id) if is_id(id) => format!("{kind} {id}"),
                    _ => kind.to_owned(),
                };
                Ok(Holder { who, expires, renewed: false })
            }
            status => {
                let until = verified.expires_on.as_deref().filter(|_| status == "expired");
                let until = until.map(|at| format!(" since {at}")).unwrap_or_default();
                let error = Error::new(Kind::Denied, "use", format!("the token of {}", self.account));
                let error = error.because(format!("Cloudflare says that it is {status}{until}"));
                Err(error.remedy(match status {
                    "disabled" => {
                        "enable the token, or make a new one and put it where the account's token comes from"
                    }
                    _ => "make a new one and put it where the account's token comes from",
                }))
            }
        }
    }
}

#[async_trait]
impl Rights for Cloudflare {
    /// A user's token and an account's verify at different places, and neither place knows the other's: the account
    /// is known from its zones alone.
    async fn holder(&self) -> Result<Holder, Error> {
        let refused = match self.client.call(&VerifyToken { account: None }).await {
            Ok(answer) => return self.held("a user's token", &answer.result),
            Err(cause) => cause,
        };
        if matches!(refused, CallError::Refused(_)) {
            let owners = self.owners().await;
            for account in &owners {
                if let Ok(answer) = self.client.call(&VerifyToken { account: Some(account) }).await {
                    return self.held("an account's token", &answer.result);
                }
            }
            // What reads zones is a token, whatever the places say that verify tokens.
            if !owners.is_empty() {
                return Ok(Holder { who: "a token that works".into(), expires: None, renewed: false });
            }
        }
        let cause = Arc::new(refused);
        Err(failed(&cause, cause.kind(), "verify", format!("the token of {}", self.account)))
    }

    /// The zone's `permissions`. Cloudflare calls them legacy, and gives those of the token all the same.
    async fn grants(&self, scope: &str) -> Result<Vec<Grant>, Error> {
        let actions = self.zone_details(scope).await?.permissions.unwrap_or_default();
        if actions.is_empty() {
            let error = Error::new(Kind::Unreachable, "read the permissions at", scope);
            return Err(error.because("Cloudflare lists none, not even to read"));
        }
        Ok(vec![Grant { actions, not_actions: Vec::new() }])
    }
}

/// A token has one owner; more zones than this tell no more of it.
const ZONES: usize = 3;
