//! The id of a resource in Azure Resource Manager.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// A resource id: `/subscriptions/…/resourceGroups/…/providers/…/TYPE/NAME`, and below it `/TYPE/NAME` again for what
/// is part of a resource. Azure compares ids without case, and so do these.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(String);

impl ResourceId {
    /// The id as Azure writes it, or as it is put together.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id of a resource of Azure's network provider, as in `loadBalancers`.
    #[must_use]
    pub fn network(subscription: &str, group: &str, kind: &str, name: &str) -> Self {
        Self(format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/{kind}/{name}"
        ))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The resource's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The id of a part, as in `backendAddressPools`.
    #[must_use]
    pub fn part(&self, collection: &str, name: &str) -> Self {
        Self(format!("{self}/{collection}/{name}"))
    }

    /// The id of what this is a part of, two segments up.
    #[must_use]
    pub fn whole(&self) -> Self {
        let mut cut = self.0.rsplitn(3, '/');
        Self(cut.nth(2).unwrap_or(&self.0).to_owned())
    }

    /// The subscription that it is in.
    #[must_use]
    pub fn subscription(&self) -> &str {
        self.0.split('/').nth(2).unwrap_or_default()
    }

    /// Whether both are in one resource group of one subscription.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        let place = |id: &Self| {
            let mut parts = id.0.split('/').skip(2);
            (parts.next().map(str::to_ascii_lowercase), parts.nth(1).map(str::to_ascii_lowercase))
        };
        place(self) == place(other)
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ResourceId {}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| byte.hash(state));
    }
}

impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_no_case() {
        let id = ResourceId::network("s", "rg", "loadBalancers", "lb");
        let other = ResourceId::new(
            "/subscriptions/S/resourcegroups/RG/providers/microsoft.network/loadbalancers/LB",
        );
        assert_eq!(id, other);
        assert_eq!(id.cmp(&other), Ordering::Equal);
        let set: std::collections::HashSet<_> = [id.clone(), other].into();
        assert_eq!(set.len(), 1);
        let pool = id.part("backendAddressPools", "all");
        assert!(pool.is_beside(&set.into_iter().next().unwrap()));
        assert!(!id.is_beside(&ResourceId::network("s", "rg-net", "loadBalancers", "lb")));
        assert!(!id.is_beside(&ResourceId::network("t", "rg", "loadBalancers", "lb")));
        assert_eq!((pool.name(), pool.whole(), pool.subscription()), ("all", id, "s"));
    }
}
