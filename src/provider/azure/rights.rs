//! What the credential may do, as Resource Manager itself tells.

use async_trait::async_trait;
use serde_json::Value;

use super::Arm;
use crate::model::permission::Grant;
use crate::provider::{Error, Holder, Rights};

#[async_trait]
impl Rights for Arm {
    async fn holder(&self) -> Result<Holder, Error> {
        self.transport.holder().await.map_err(|trouble| trouble.into_error("obtain", "a token for Azure"))
    }

    /// Permissions - List For Resource Group, and List For Resource, 2022-04-01. A subscription is answered for in the
    /// same way, which Microsoft's specification does not say. Needs `Microsoft.Authorization/permissions/read`.
    async fn grants(&self, scope: &str) -> Result<Vec<Grant>, Error> {
        let operation = "read the permissions at";
        let path = format!("{scope}/providers/Microsoft.Authorization/permissions?api-version={API}");
        let listed = self.list(operation, scope, &path, self.budget()).await?;
        let texts = |grant: &Value, member: &str| -> Vec<String> {
            let texts = grant.get(member).and_then(Value::as_array).into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let grants = listed
            .iter()
            .map(|grant| Grant { actions: texts(grant, "actions"), not_actions: texts(grant, "notActions") });
        Ok(grants.collect())
    }
}

const API: &str = "2022-04-01";
