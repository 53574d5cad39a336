//! A chain from a name to a port, link by link.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Round, SubjectKind};
use crate::model::endpoint::Handle;
use crate::model::greeting::Service;
use crate::model::name::Fqdn;

/// The chain of one record, from the name to the port.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Chain {
    /// The name.
    pub name: Fqdn,
    /// The account.
    pub account: Handle,
    /// The endpoint that it follows.
    pub endpoint: Handle,
    /// Its links, in order.
    pub links: Vec<Link>,
    /// What to type to connect by this name, a line for each port that something is known of.
    pub connect: Vec<String>,
}

/// One port that shall lead to a machine.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WayIn {
    /// The endpoint.
    pub endpoint: Handle,
    /// The NAT rule's name in the configuration.
    pub rule: String,
    /// The port that clients use.
    pub frontend_port: u16,
    /// The port on the machine.
    pub backend_port: u16,
    /// Whether it holds.
    pub port: Link,
}

impl WayIn {
    /// What to type to connect by `name`, where the service is known.
    pub(crate) fn line(&self, name: &Fqdn) -> Option<String> {
        let port = self.frontend_port;
        match Service::of(self.backend_port) {
            Service::Rdp => Some(format!("mstsc /v:{name}:{port}")),
            Service::Ssh => Some(format!("ssh -p {port} {name}")),
            Service::Tcp => None,
        }
    }
}

impl Chain {
    /// The first link that does not hold; only where all hold that could be seen, the first that could not.
    #[must_use]
    pub fn broken(&self) -> Option<&Link> {
        let fails = |link: &&Link| matches!(link.state, LinkState::Broken | LinkState::Pending);
        let unseen = |link: &&Link| link.state == LinkState::Unknown;
        self.links.iter().find(fails).or_else(|| self.links.iter().find(unseen))
    }
}

/// One link of a chain.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Link {
    /// What it leads from.
    pub from: Cow<'static, str>,
    /// Whether it holds.
    pub state: LinkState,
    /// What was seen.
    pub detail: String,
}

impl Link {
    pub(in crate::reconcile) fn new(
        from: impl Into<Cow<'static, str>>,
        state: LinkState,
        detail: String,
    ) -> Self {
        Self { from: from.into(), state, detail }
    }

    /// Whether authoritative servers were asked about it and did not say. What resolvers do not say decides nothing.
    fn is_unanswered(&self) -> bool {
        self.state == LinkState::Unknown && self.from != ADDRESS
    }
}

impl Round {
    /// The links that leave a round unverified: those that are broken, unless their record waits for something, which is
    /// told of itself, and those that nobody answered for.
    pub(crate) fn loose(&self) -> impl Iterator<Item = (&Chain, &Link)> {
        let links = self.chains.iter().flat_map(|chain| chain.links.iter().map(move |link| (chain, link)));
        links.filter(|(chain, link)| {
            let severed = link.state == LinkState::Broken && !self.waits(chain);
            severed || self.authoritative && link.is_unanswered()
        })
    }

    fn waits(&self, chain: &Chain) -> bool {
        self.blocked.iter().any(|blocked| {
            blocked.kind == SubjectKind::Record
                && blocked.name == chain.name.as_str()
                && blocked.account.as_ref() == Some(&chain.account)
        })
    }
}

/// Whether a link holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// It leads where it should.
    Whole,
    /// It does not yet.
    Pending,
    /// It leads elsewhere, or nowhere.
    Broken,
    /// It could not be seen.
    Unknown,
}

/// What the link is called that resolvers are asked about: the address that a name leads to for somebody elsewhere.
const ADDRESS: &str = "address";
