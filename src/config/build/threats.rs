//! `[threats]`: the workspace, and where it is asked.

use url::Url;

use super::Build;
use super::azure::audience;
use super::value::guid;
use crate::config::at::At;
use crate::config::diagnostic::listed;
use crate::config::file::ThreatsFile;
use crate::config::{AzureConfig, Cloud, ThreatsConfig};

impl Build<'_> {
    pub(super) fn threats(
        &mut self,
        file: &At<ThreatsFile>,
        azure: Option<&AzureConfig>,
    ) -> Option<ThreatsConfig> {
        let (table, file) = (&file.span, &file.value);
        let workspace = file.workspace.as_ref().and_then(|id| {
            let rule = |text: &str| match guid(text) {
                Err(_) if text.contains("/workspaces/") => {
                    Err("this is the workspace's resource id, and its customer id is wanted".to_owned())
                }
                Err(_) => Err(format!("\"{text}\" is not a workspace's customer id, which is a GUID")),
                Ok(id) => Ok(id),
            };
            self.parsed(id, rule, FIND)
        });
        let api = file.api.as_ref().map(|url| self.service(url));
        let audience = file.audience.as_ref().map(|text| self.parsed(text, audience, AUDIENCE));
        // Nothing can be said of what depends on a cloud that is not known.
        let kind = azure?.cloud.kind;
        let (usual_api, usual_audience) = usual(kind).unzip();
        let mut missing = Vec::new();
        for (key, absent) in [("api", api.is_none()), ("audience", audience.is_none())] {
            if kind == Cloud::Custom && absent && !self.report.dropped(table, key) {
                missing.push(key);
            }
        }
        if !missing.is_empty() {
            let problem = format!("a custom cloud needs {} too", listed(missing, "and"));
            self.report.mistake(table, problem, "add them to [threats]");
        }
        Some(ThreatsConfig {
            workspace: workspace?,
            api: api.unwrap_or_else(|| Url::parse(usual_api?).ok())?,
            audience: audience.unwrap_or_else(|| usual_audience.map(str::to_owned))?,
        })
    }
}

/// The query API of a cloud, and the audience of its tokens (azure-sdk-for-go, sdk/monitor/query/azlogs).
fn usual(kind: Cloud) -> Option<(&'static str, &'static str)> {
    match kind {
        Cloud::Public => Some(("https://api.loganalytics.azure.com", "https://api.loganalytics.io")),
        Cloud::UsGov => Some(("https://api.loganalytics.us", "https://api.loganalytics.us")),
        Cloud::China => Some(("https://api.loganalytics.azure.cn", "https://api.loganalytics.azure.cn")),
        Cloud::Custom => None,
    }
}

const FIND: &str = "write what `az monitor log-analytics workspace show --query customerId` prints, or the portal's workspace ID";
const AUDIENCE: &str = "write it as in audience = \"https://api.loganalytics.io\"";
