//! The port to the way in: whether a port is open, and whether the right service greets behind it.

pub mod tcp;

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::greeting::{Greeting, Service, Unexpected};

/// Asks a service for its greeting.
///
/// Contract: always a finding, within the prober's limit of time; never an error in place of one. No credentials are
/// sent and nothing is asked for but the greeting; the connection is closed as soon as the finding is known. Nothing
/// is tried twice. Safe to call concurrently; cancel-safe.
#[async_trait]
pub trait Prober: Send + Sync + fmt::Debug {
    /// What is behind the address, held against what is expected there.
    ///
    /// A [`Service::Tcp`] that never speaks first is [`Finding::Failed`] through a proxy, since nothing but the
    /// proxy's word would say that there was a connection.
    async fn greet(&self, address: SocketAddr, service: Service) -> Finding;
}

/// What a probe has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// The service greeted: the way in is open to its end.
    Greeted(Greeting),
    /// The connection was refused: nothing listens on the machine's port, or somebody refuses in its place.
    Refused,
    /// No answer to the connect in time: the usual sign of a firewall, of a network security group, or of a rule
    /// that leads nowhere.
    Silent {
        /// What the proxy said of it, if one was asked.
        proxy: Option<String>,
    },
    /// A connection, and not one byte of a greeting.
    Mute(Quiet),
    /// A connection, and something else than the service.
    Other(Unexpected),
    /// The probe itself came to nothing, in words. The way in is unknown, not broken.
    Failed(String),
}

impl Finding {
    /// Whether the way in is known to be open or to be broken; `None` where the probe cannot say.
    #[must_use]
    pub const fn is_open(&self) -> Option<bool> {
        match self {
            Self::Greeted(_) => Some(true),
            Self::Refused | Self::Silent { .. } | Self::Mute(_) | Self::Other(_) => Some(false),
            Self::Failed(_) => None,
        }
    }
}

/// One line, the outcome first.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greeted(greeting) => write!(f, "greeted by {greeting}"),
            Self::Refused => f.write_str("refused: nothing listens there, or the connection is turned away"),
            Self::Silent { proxy: None } => {
                f.write_str("no answer in time, as when a firewall or a wrong rule is in the way")
            }
            Self::Silent { proxy: Some(words) } => write!(f, "no answer: {words}"),
            Self::Mute(quiet) => write!(f, "connected, but no greeting: {quiet}"),
            Self::Other(stranger) => write!(f, "something else answered: {stranger}"),
            Self::Failed(reason) => write!(f, "could not find out: {reason}"),
        }
    }
}

/// How a connection stayed without a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quiet {
    /// It stayed open, and nothing came in time.
    Waited,
    /// It was closed from the other side.
    Closed,
    /// As [`Quiet::Waited`], behind a proxy that said that it had connected. Some say so before they have, and then
    /// nobody knows whether there was a connection.
    Proxied,
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waited => "nothing came in time",
            Self::Closed => "it was closed without a word",
            Self::Proxied => "nothing came in time, or the proxy had not connected when it said so",
        })
    }
}
