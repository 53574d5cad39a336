//! What stands in the way: every credential, permission, zone, delegation, resolver and label is asked about, without
//! writing anything anywhere but a file for a moment in the state directory, or where that shall be.
//!
//! Like a round, it reaches the world through the ports alone. Everything is asked at once and bounded in time; what
//! cannot be asked because something before it failed is [`Health::NotAsked`], and never counts as well.

mod credential;
mod delegation;
pub mod host;
mod label;
mod logons;
mod zone;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use crate::model::checkup::{Check, Health, Topic};
use crate::model::endpoint::{Endpoint, Handle};
use crate::model::name::Fqdn;
use crate::model::permission::{self, Needs};
use crate::model::resource_id::ResourceId;
use crate::model::state::{Desired, EndpointState};
use crate::provider::{DnsProvider, Error, LogonProvider, NetworkProvider, Rights};
use crate::resolver::{Heard, Resolver, Survey};
use zone::Held;

/// Everything that is asked, and through what.
#[derive(Debug)]
pub struct Doctor {
    /// What the configuration wants.
    pub desired: Desired,
    /// The subscription of the endpoints.
    pub subscription: String,
    /// The Azure credential and what it reaches, or why there is none.
    pub azure: Result<Azure, String>,
    /// The DNS accounts, or why there is none: `None` where it is the Azure credential that is missing.
    pub accounts: BTreeMap<Handle, Result<Account, Option<String>>>,
    /// Where failed logons are collected, where anybody asks for them; or why it cannot be asked.
    pub logons: Option<Result<Arc<dyn LogonProvider>, String>>,
    /// DNS itself.
    pub resolver: Arc<dyn Resolver>,
    /// Who serves zones.
    pub survey: Arc<dyn Survey>,
    /// The servers that labels are asked at; empty finds them.
    pub label_servers: Vec<String>,
    /// A name that every resolver knows: what labels of this cloud end in.
    pub label_suffix: Fqdn,
}

/// What stands behind the Azure credential.
#[derive(Clone, Debug)]
pub struct Azure {
    /// The credential.
    pub rights: Arc<dyn Rights>,
    /// The endpoints.
    pub network: Arc<dyn NetworkProvider>,
}

/// A DNS account.
#[derive(Clone, Debug)]
pub struct Account {
    /// What it holds.
    pub provider: Arc<dyn DnsProvider>,
    /// Its own credential; `None` is the Azure one.
    pub rights: Option<Arc<dyn Rights>>,
}

impl Doctor {
    /// Asks everything; in the order of [`Topic`].
    pub async fn examine(&self) -> Vec<Check> {
        let resolvers = self.resolvers();
        let others = async {
            let credential = self.credential().await;
            let taken = credential.health != Health::Failed;
            let (endpoints, zones) = futures::join!(self.endpoints(taken), self.zones(taken));
            (credential, taken, endpoints, zones)
        };
        let (resolvers, (credential, taken, endpoints, zones)) = futures::join!(resolvers, others);
        let mut checks = vec![credential];
        let mut held = Vec::new();
        for (found, zones) in zones {
            checks.extend(found);
            held.extend(zones);
        }
        let permissions = async {
            let unasked = |why| vec![Check::new(Topic::Permissions, "azure", Health::NotAsked, why)];
            match &self.azure {
                Ok(azure) if taken => self.permissions(azure, &endpoints, &held).await,
                Ok(_) => unasked(NOT_TAKEN),
                Err(_) => unasked(NO_CREDENTIAL),
            }
        };
        let (permissions, delegations, labels, logons) =
            futures::join!(permissions, self.delegations(&held), self.labels(&endpoints), self.logons(taken));
        checks.extend(logons);
        checks.extend(permissions);
        checks.extend(delegations);
        checks.extend(resolvers);
        checks.extend(labels);
        checks.sort_by_key(|check| check.topic);
        checks
    }

    /// Whose the Azure credential is.
    async fn credential(&self) -> Check {
        match &self.azure {
            Ok(azure) => credential::check("azure", azure.rights.as_ref()).await,
            Err(why) => credential::unread("azure", why),
        }
    }

    /// What can be seen of every endpoint, where there is a credential that was `taken`.
    async fn endpoints(&self, taken: bool) -> Vec<Looked<'_>> {
        let Some(azure) = self.azure.as_ref().ok().filter(|_| taken) else { return Vec::new() };
        join_all(self.desired.endpoints.values().map(|endpoint| async move {
            let state = timeout(PATIENCE, azure.network.observe(endpoint)).await;
            (endpoint, state.ok())
        }))
        .await
    }

    /// What is needed at each scope of Azure's, against what was granted there.
    async fn permissions(&self, azure: &Azure, endpoints: &[Looked<'_>], held: &[Held<'_>]) -> Vec<Check> {
        let mut needs = Needs::default();
        for (endpoint, state) in endpoints {
            let gateway = state.as_ref().and_then(|state| state.gateway.as_ref());
            let subnets: Vec<ResourceId> =
                gateway.map(|gateway| gateway.subnets.keys().cloned().collect()).unwrap_or_default();
            needs.endpoint(&self.subscription, endpoint, &subnets);
            if let (Some(gateway), Some(_)) = (&endpoint.gateway, &self.logons) {
                needs.add(&permission::group_of(&gateway.load_balancer), &permission::CREATION);
            }
        }
        for held in held.iter().filter(|held| held.of_azure) {
            for (mode, endpoint) in &held.wishes {
                let endpoint = self.desired.endpoints.get(*endpoint);
                let name = endpoint.map_or("", |endpoint| endpoint.public_ip.resource_group.as_str());
                needs.record(&held.zone.id, *mode, &permission::group(&self.subscription, name));
            }
        }
        let rights = azure.rights.as_ref();
        let asked: Vec<_> =
            needs.iter().map(|(scope, needed)| credential::covers(rights, scope, needed)).collect();
        join_all(asked).await
    }

    /// Whether each configured resolver answers, and how quickly.
    async fn resolvers(&self) -> Vec<Check> {
        let heard = self.survey.name_servers(&self.label_suffix).await;
        if heard.is_empty() {
            let check = Check::new(Topic::Resolver, "system", Health::Failed, "this host names no resolver");
            return vec![check.next("write verify.resolvers, or give this host a resolver")];
        }
        let check = |heard: Heard| match heard.said {
            Ok(_) => {
                let detail = format!("answers in {} ms", heard.took.as_millis());
                if heard.took > SLOW {
                    let step = "look for a resolver nearer by; a round waits for it";
                    return Check::new(Topic::Resolver, heard.server, Health::Warning, detail).next(step);
                }
                Check::new(Topic::Resolver, heard.server, Health::Ok, detail)
            }
            Err(why) => Check::new(Topic::Resolver, heard.server, Health::Failed, why).next(
                "take it out of verify.resolvers, or let this host reach it by UDP and TCP on that port",
            ),
        };
        heard.into_iter().map(check).collect()
    }
}

/// An endpoint and what was seen of it; nothing where that took too long.
type Looked<'d> = (&'d Endpoint, Option<EndpointState>);

/// What an error of a provider's comes to.
fn failed(topic: Topic, subject: impl std::fmt::Display, error: &Error) -> Check {
    Check::new(topic, subject, Health::Failed, error.causes()).next(error.step())
}

const NO_CREDENTIAL: &str = "there is no credential to ask with";
const NOT_TAKEN: &str = "the credential to ask with was not accepted";
/// No question takes longer, whoever is silent.
const PATIENCE: Duration = Duration::from_secs(40);
/// A resolver that takes longer is a burden.
const SLOW: Duration = Duration::from_millis(500);
