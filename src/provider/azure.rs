//! Azure Resource Manager: one client for everything of Azure's that we read and write.
//!
//! Reads go through the generated clients and keep the whole JSON, so that an update can be the JSON that was read
//! with our change in it: what others set, and what this program does not know, survives. Writes go through
//! `Arm::write` alone, which knows preconditions, operations that take their time, and lost answers.

mod auth;
mod cloud;
mod dns;
mod error;
mod log_analytics;
mod network;
mod operation;
mod question;
mod resources;
mod rights;
mod transport;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core_legacy::{RetryOptions, TransportOptions};
use azure_mgmt_dns::package_2018_05 as dns_api;
use azure_mgmt_network::package_2024_03 as network_api;
use serde_json::Value;

pub use auth::{ClientCertificate, ClientSecret, CredentialSettings};
pub use cloud::Cloud;
pub use dns::AzureDns;
pub use log_analytics::{LogAnalytics, Workspace};
pub use network::AzureNetwork;
pub use resources::Origin;

use self::auth::Credential;
use self::transport::{StandIn, Transport, Trouble};
use super::http::{Budget, Http};
use super::{Error, Kind};

/// Where and as whom to work.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The subscription's id, a UUID.
    pub subscription: String,
    /// The cloud that it is in.
    pub cloud: Cloud,
    /// The credential.
    pub credential: CredentialSettings,
}

/// Azure Resource Manager, as one credential sees it.
pub struct Arm {
    transport: Arc<Transport>,
    network: network_api::Client,
    dns: dns_api::Client,
    subscription: String,
    cloud: Cloud,
    operation: Duration,
}

impl Arm {
    /// A client for `settings`; asks for nothing yet.
    ///
    /// # Errors
    /// When the credential cannot be used in this process at all.
    pub fn new(http: &Arc<Http>, settings: &Settings) -> Result<Self, Error> {
        let unusable = |trouble: Trouble| trouble.into_error("use", "the Azure credential");
        let Settings { subscription, cloud, credential } = settings;
        let budget = http.budget("azure", &credential.fingerprint(), &[]);
        let source = Credential::new(http, cloud, credential, cloud.scope());
        let source = source.map_err(|error| unusable(error.into()))?;
        let transport = Transport::new(Arc::clone(http), budget, source, cloud.resource_manager.clone());
        let stand_in = Arc::new(StandIn);
        let options = TransportOptions::new(Arc::clone(&transport) as Arc<dyn azure_core_legacy::HttpClient>);
        let scope = cloud.scope();
        let network = network_api::Client::builder(Arc::clone(&stand_in) as _)
            .endpoint(cloud.resource_manager.clone())
            .scopes(&[&scope])
            .retry(RetryOptions::none())
            .transport(options.clone())
            .build();
        let dns = dns_api::Client::builder(stand_in)
            .endpoint(cloud.resource_manager.clone())
            .scopes(&[&scope])
            .retry(RetryOptions::none())
            .transport(options)
            .build();
        let odd = |error: azure_core_legacy::Error| unusable(Trouble::Pipeline(error.to_string()));
        Ok(Self {
            transport,
            network: network.map_err(odd)?,
            dns: dns.map_err(odd)?,
            subscription: subscription.clone(),
            cloud: cloud.clone(),
            operation: OPERATION,
        })
    }

    /// With another limit for an operation of Azure's, waits included; ten minutes unless told.
    #[must_use]
    pub fn with_operation_deadline(mut self, deadline: Duration) -> Self {
        self.operation = deadline;
        self
    }

    /// The subscription that endpoints are in.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// The cloud that it is in.
    #[must_use]
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// What its credential may send.
    fn budget(&self) -> &Arc<Budget> {
        self.transport.budget()
    }

    /// The JSON of a generated client's answer, whole; `None` when Azure says that there is no such thing.
    async fn json<R>(
        &self,
        operation: &'static str,
        resource: &str,
        sent: azure_core_legacy::Result<R>,
    ) -> Result<Option<Value>, Error>
    where
        R: Into<azure_core_legacy::Response>,
    {
        let response: azure_core_legacy::Response = match sent {
            Ok(response) => response.into(),
            Err(error) => return absent_or(trouble(error), operation, resource),
        };
        let odd = |error| trouble(error).into_error(operation, resource);
        let body = response.into_body().collect().await.map_err(odd)?;
        parse(&body, operation, resource).map(Some)
    }

    /// Reads the resource `id`; `None` when Azure says that there is none.
    async fn get(
        &self,
        operation: &'static str,
        id: &str,
        api_version: &str,
    ) -> Result<Option<Value>, Error> {
        let at = |trouble: Trouble| trouble.into_error(operation, shown(id));
        let url = self.transport.url(&format!("{id}?api-version={api_version}")).map_err(at)?;
        match self.transport.read(self.budget(), url).await {
            Ok(response) => parse(&response.body, operation, shown(id)).map(Some),
            Err(trouble) => absent_or(trouble, operation, shown(id)),
        }
    }

    /// Every entry of the list at `path`, all pages of it.
    ///
    /// By hand, since the generated pager turns each page into types that drop unknown members, and one unknown
    /// value of a closed enumeration fails the page.
    async fn list(
        &self,
        operation: &'static str,
        resource: &str,
        path: &str,
        budget: &Budget,
    ) -> Result<Vec<Value>, Error> {
        let at = |trouble: Trouble| trouble.into_error(operation, resource);
        let mut next = Some(self.transport.url(path).map_err(at)?);
        let mut seen = BTreeSet::new();
        let mut entries = Vec::new();
        while let Some(url) = next {
            if !seen.insert(url.to_string()) {
                return Err(implausible(operation, resource, "its pages lead in a circle"));
            }
            let response = self.transport.read(budget, url.clone()).await.map_err(at)?;
            let mut page = parse(&response.body, operation, resource)?;
            let Some(Value::Array(page_entries)) = page.get_mut("value").map(Value::take) else {
                return Err(implausible(operation, resource, "a page of it has no entries at all"));
            };
            entries.extend(page_entries);
            next = match page.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty()) {
                Some(link) => {
                    let odd = |_| implausible(operation, resource, "the next page's address is none");
                    Some(self.transport.own(url.join(link).map_err(odd)?).map_err(at)?)
                }
                None => None,
            };
        }
        Ok(entries)
    }
}

impl fmt::Debug for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arm").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}

/// What stopped a generated client's request.
fn trouble(error: azure_core_legacy::Error) -> Trouble {
    // Its own texts can hold whole answers: only ours are let through.
    error.into_downcast().unwrap_or_else(|error| Trouble::Pipeline(error.kind().to_string()))
}

fn absent_or(trouble: Trouble, operation: &'static str, resource: &str) -> Result<Option<Value>, Error> {
    match trouble {
        Trouble::Refused(refusal) if refusal.is_absence() => Ok(None),
        trouble => Err(trouble.into_error(operation, resource)),
    }
}

fn parse(body: &[u8], operation: &'static str, resource: &str) -> Result<Value, Error> {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(implausible(operation, resource, "the answer is not a JSON object")),
        Err(error) => {
            let what = match body.trim_ascii_start() {
                [b'<', ..] => "the answer is an HTML page instead of JSON".to_owned(),
                _ => format!("the answer is not the JSON that was promised: {error}"),
            };
            Err(implausible(operation, resource, &what)
                .remedy("check the cloud's resource_manager address and any proxy between here and Azure"))
        }
    }
}

/// An answer that cannot be true; acting on it could do harm.
fn implausible(operation: &'static str, resource: &str, what: &str) -> Error {
    Error::new(Kind::Unreachable, operation, resource).because(what.to_owned())
}

/// A resource id as a person knows it: what it is the id of.
fn shown(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// A member of a JSON document, by its path.
fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// `document` less the members that Azure alone sets, which its documents forbid in a request. Everything else
/// that was read is written back, known to us or not.
fn settable(document: &Value, read_only: &[&str]) -> Value {
    let mut settable = document.clone();
    for path in read_only {
        let (parents, last) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = match parents {
            "" => Some(&mut settable),
            parents => settable.pointer_mut(&format!("/{parents}")),
        };
        if let Some(members) = parent.and_then(Value::as_object_mut) {
            members.retain(|name, _| !name.eq_ignore_ascii_case(last));
        }
    }
    settable
}

/// A text in a JSON document, by its path; an empty one is none.
fn text_at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(value, path)?.as_str().filter(|text| !text.is_empty())
}

/// The limit of one operation: a load balancer may take minutes, nothing of ours takes ten.
const OPERATION: Duration = Duration::from_secs(600);

/// The examples in Microsoft's specification, where it is at hand.
#[cfg(test)]
mod examples {
    use std::path::{Path, PathBuf};

    use serde_json::Value;

    /// Every resource in the answers of the examples whose file name contains `part`, if it has all `members`.
    /// Nothing, and a word about it, where `CNAMED_AZURE_SPECS` does not name the specification's folder.
    pub(super) fn of(part: &str, members: &[&str]) -> Vec<(String, Value)> {
        let Some(root) = std::env::var_os("CNAMED_AZURE_SPECS") else {
            eprintln!("skipped: CNAMED_AZURE_SPECS is not set");
            return Vec::new();
        };
        let mut files = Vec::new();
        gather(Path::new(&root), part, &mut files);
        assert!(!files.is_empty(), "no example of {part} in {}", root.display());
        let mut found = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let example: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
            let answers = example["responses"].as_object().into_iter().flatten();
            for body in answers.map(|(_, answer)| &answer["body"]) {
                let resources = body["value"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
                let whole = |resource: &Value| members.iter().all(|member| resource.get(member).is_some());
                found.extend(resources.into_iter().filter(whole).map(|it| (file.display().to_string(), it)));
            }
        }
        found
    }

    fn gather(folder: &Path, part: &str, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                gather(&path, part, files);
            } else if path.parent().is_some_and(|parent| parent.ends_with("examples")) && name.contains(part)
            {
                files.push(path);
            }
        }
    }
}
