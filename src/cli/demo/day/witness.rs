//! Somebody who believes nobody: asks every authoritative server, holds it against what Azure has, and tries to take
//! every label that a name points at.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::join_all;

use crate::config::Config;
use crate::model::name::Fqdn;
use crate::model::record::{Mode, RecordType};
use crate::model::state::Consents;
use crate::model::verify::{Answer, Said};
use crate::reconcile::Reconciler;
use crate::resolver::{Question, Resolver, Via};
use crate::sandbox::{Control, Sandbox};

pub(super) struct Witness {
    control: Control,
    resolver: Arc<dyn Resolver>,
    promises: Vec<Promise>,
    /// How often a stranger tried to take a label that a name pointed at.
    pub(super) attempts: Cell<usize>,
    /// How often that stranger got it.
    pub(super) taken: Cell<usize>,
}

/// What one account's servers shall say of one name.
struct Promise {
    name: Fqdn,
    mode: Mode,
    public_ip: String,
    servers: Vec<String>,
}

impl Witness {
    pub(super) fn new(sandbox: &Sandbox, config: &Config, reconciler: Reconciler) -> Self {
        let addresses = sandbox.addresses();
        let text = |servers: &[SocketAddr]| servers.iter().map(ToString::to_string).collect();
        let desired = config.desired(Consents::default());
        let promises = desired.records.iter().filter_map(|(key, wanted)| {
            let endpoint = desired.endpoints.get(&wanted.endpoint)?;
            Some(Promise {
                name: key.name.clone(),
                mode: wanted.mode,
                public_ip: endpoint.public_ip.name.clone(),
                servers: match key.account.as_str() {
                    "azure" => text(&addresses.azure_dns),
                    _ => text(&addresses.cloudflare_dns),
                },
            })
        });
        Self {
            promises: promises.collect(),
            control: sandbox.control(),
            resolver: reconciler.resolver,
            attempts: Cell::default(),
            taken: Cell::default(),
        }
    }

    /// Asks for every name at every server; whether every one of them says what it should at this moment.
    pub(super) async fn look(&self) -> bool {
        let all = join_all(self.promises.iter().map(|promise| self.holds(promise))).await;
        all.into_iter().all(|holds| holds)
    }

    async fn holds(&self, promise: &Promise) -> bool {
        let via = Via::Servers(promise.servers.clone());
        let rtype = if promise.mode == Mode::Address { RecordType::A } else { RecordType::Cname };
        let answers = self.resolver.lookup(&Question { name: promise.name.clone(), rtype }, &via).await;
        answers.iter().filter_map(target).for_each(|target| self.try_to_take(target));
        // Asked last, so that what is compared with is not older than the answers.
        let held = self.control.public_ip(&promise.public_ip).unwrap_or_default();
        let held = &held["properties"];
        if promise.mode == Mode::Address {
            // Nothing is promised of a name that follows an address while there is none.
            let Some(address) = held["ipAddress"].as_str() else { return true };
            return answers
                .iter()
                .all(|answer| addresses(answer) == Some(address.parse().into_iter().collect()));
        }
        let fqdn = held["dnsSettings"]["fqdn"].as_str();
        !answers.is_empty() && answers.iter().all(|answer| target(answer).map(Fqdn::as_str) == fqdn)
    }

    fn try_to_take(&self, target: &Fqdn) {
        if !target.as_str().ends_with(LABELS) {
            return;
        }
        self.attempts.set(self.attempts.get() + 1);
        if self.control.stranger_takes_label(target.as_str()).is_ok() {
            self.taken.set(self.taken.get() + 1);
            // It has shown what it was to show, and shall not spoil the day.
            let _ = self.control.stranger_releases_label(target.as_str());
        }
    }
}

/// The fully qualified name that an answer's CNAME leads to.
fn target(answer: &Answer) -> Option<&Fqdn> {
    match &answer.said {
        Said::Records(reply) => reply.chain.first().map(|(target, _)| target),
        Said::Nothing { .. } | Said::Failed(_) => None,
    }
}

fn addresses(answer: &Answer) -> Option<Vec<IpAddr>> {
    match &answer.said {
        Said::Records(reply) => Some(reply.addresses.clone()),
        Said::Nothing { .. } | Said::Failed(_) => None,
    }
}

/// What the names of labels end in.
const LABELS: &str = ".cloudapp.azure.com";
