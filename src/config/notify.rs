//! Who wants to be told, as configured.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretRef;
use crate::model::endpoint::Handle;
use crate::notify::Topic;

/// Somebody who wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyConfig {
    /// The operator's name for it.
    pub name: Handle,
    /// How it is told.
    pub channel: Channel,
    /// What it wants to hear of; empty for a heartbeat, which hears of rounds.
    pub events: BTreeSet<Topic>,
    /// The same is told again after this long.
    pub repeat: Duration,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a way of telling is called in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum NotifierKind {
    /// A webhook of your own: a POST of JSON.
    Webhook,
    /// Slack's incoming webhook.
    Slack,
    /// A webhook of Microsoft Teams' Workflows.
    Teams,
    /// A command, run for each notice.
    Command,
    /// A dead man's switch, by the convention of healthchecks.io.
    Heartbeat,
}

/// A way of telling, and what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A webhook of the operator's own.
    Webhook {
        /// Its URL, which is a secret.
        url: SecretRef,
        /// What signs each body.
        secret: Option<SecretRef>,
    },
    /// Slack.
    Slack {
        /// The webhook's URL.
        url: SecretRef,
    },
    /// Microsoft Teams.
    Teams {
        /// The webhook's URL.
        url: SecretRef,
    },
    /// A command.
    Command {
        /// The program's absolute path, and its arguments.
        command: Vec<String>,
    },
    /// A dead man's switch.
    Heartbeat {
        /// The check's URL.
        url: SecretRef,
    },
}

impl Channel {
    /// What it is called in the file.
    #[must_use]
    pub fn kind(&self) -> NotifierKind {
        match self {
            Self::Webhook { .. } => NotifierKind::Webhook,
            Self::Slack { .. } => NotifierKind::Slack,
            Self::Teams { .. } => NotifierKind::Teams,
            Self::Command { .. } => NotifierKind::Command,
            Self::Heartbeat { .. } => NotifierKind::Heartbeat,
        }
    }

    /// The URL, where it has one.
    #[must_use]
    pub fn url(&self) -> Option<&SecretRef> {
        match self {
            Self::Webhook { url, .. }
            | Self::Slack { url }
            | Self::Teams { url }
            | Self::Heartbeat { url } => Some(url),
            Self::Command { .. } => None,
        }
    }

    /// What signs each body, where something does.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Webhook { secret, .. } => secret.as_ref(),
            _ => None,
        }
    }
}

impl NotifierKind {
    /// As the file writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Command => "command",
            Self::Heartbeat => "heartbeat",
        }
    }
}
