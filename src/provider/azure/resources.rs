//! What Resource Manager itself knows of any resource, whatever its type.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::form_urlencoded::byte_serialize;

use super::error::Refusal;
use super::network::public_ip::marked;
use super::{Arm, implausible};
use crate::model::record::Owner;
use crate::provider::Error;

/// How a resource came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// When it was made.
    pub made: OffsetDateTime,
    /// Whose mark its tags carry.
    pub mark: Option<Owner>,
}

impl Arm {
    /// When the resource `name` of the type `kind`, such as `Microsoft.Network/loadBalancers`, was made, and by whom;
    /// `None` when the group, or such a resource in it, is not there or not to be seen by this identity.
    ///
    /// Resources - List By Resource Group, 2021-04-01, with `$expand=createdTime`: no other call tells it for every
    /// type. Needs `Microsoft.Resources/subscriptions/resourceGroups/resources/read`.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn origin(&self, group: &str, kind: &str, name: &str) -> Result<Option<Origin>, Error> {
        let operation = "read the creation time of";
        // OData doubles an apostrophe within a text.
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let filter = format!("resourceType eq {} and name eq {}", quoted(kind), quoted(name));
        let filter: String = byte_serialize(filter.as_bytes()).collect();
        let path = format!(
            "/subscriptions/{}/resourceGroups/{group}/resources?$filter={filter}&$expand=createdTime&api-version={API}",
            self.subscription
        );
        let listed = match self.list(operation, name, &path, self.budget()).await {
            Ok(listed) => listed,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = |resource: &Value, member: &str| resource.get(member)?.as_str().map(str::to_owned);
        let is = |resource: &&Value, member: &str, value: &str| {
            text(resource, member).is_some_and(|text| text.eq_ignore_ascii_case(value))
        };
        let Some(resource) = listed.iter().find(|one| is(one, "name", name) && is(one, "type", kind)) else {
            return Ok(None);
        };
        let created =
            text(resource, "createdTime").and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok());
        let made = created.ok_or_else(|| implausible(operation, name, "the answer has no creation time"))?;
        Ok(Some(Origin { made, mark: marked(resource.get("tags")) }))
    }
}

/// Whether Azure itself says that there is no such group; a 404 of a proxy says nothing of the kind.
fn is_absence(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    cause.and_then(|cause| cause.downcast_ref::<Refusal>()).is_some_and(Refusal::is_absence)
}

const API: &str = "2021-04-01";
