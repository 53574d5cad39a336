//! Azure's clouds: where each is administered, where its tokens come from, and how its labels end.

use azure_core_legacy::{authority_hosts, resource_manager_endpoint};
use reqwest::Url;

/// One of Azure's clouds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// Azure Resource Manager.
    pub resource_manager: Url,
    /// Microsoft Entra ID's login service.
    pub authority: Url,
    /// What a token must be for, such as `https://management.azure.com`.
    pub audience: String,
    /// What the names of labels end in, after the region, such as `cloudapp.azure.com`.
    pub label_suffix: String,
}

impl Cloud {
    /// The public cloud.
    #[must_use]
    pub fn public() -> Self {
        Self::known(
            &resource_manager_endpoint::AZURE_PUBLIC_CLOUD,
            &authority_hosts::AZURE_PUBLIC_CLOUD,
            "cloudapp.azure.com",
        )
    }

    /// Azure Government (United States).
    #[must_use]
    pub fn usgov() -> Self {
        Self::known(
            &resource_manager_endpoint::AZURE_US_GOVERNMENT_CLOUD,
            &authority_hosts::AZURE_US_GOVERNMENT_CLOUD,
            "cloudapp.usgovcloudapi.net",
        )
    }

    /// Azure in China, operated by 21Vianet.
    #[must_use]
    pub fn china() -> Self {
        Self::known(
            &resource_manager_endpoint::AZURE_CHINA_CLOUD,
            &authority_hosts::AZURE_CHINA_CLOUD,
            "cloudapp.chinacloudapi.cn",
        )
    }

    /// Any other cloud, such as Azure Stack or a rehearsal.
    #[must_use]
    pub fn custom(resource_manager: Url, authority: Url, audience: String, label_suffix: String) -> Self {
        Self { resource_manager, authority, audience, label_suffix }
    }

    /// The scope of a token for Resource Manager here: the audience's `.default`.
    pub(super) fn scope(&self) -> String {
        scope(&self.audience)
    }

    fn known(resource_manager: &Url, authority: &Url, label_suffix: &str) -> Self {
        Self {
            audience: resource_manager.as_str().trim_end_matches('/').to_owned(),
            resource_manager: resource_manager.clone(),
            authority: authority.clone(),
            label_suffix: label_suffix.to_owned(),
        }
    }
}

/// The scope of a token for `audience`.
pub(super) fn scope(audience: &str) -> String {
    format!("{}/.default", audience.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_one_slash() {
        assert_eq!(Cloud::public().scope(), "https://management.azure.com/.default");
        assert_eq!(Cloud::china().scope(), "https://management.chinacloudapi.cn/.default");
        let mut cloud = Cloud::usgov();
        cloud.audience.push('/');
        assert_eq!(cloud.scope(), "https://management.usgovcloudapi.net/.default");
    }
}
