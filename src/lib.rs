//! `cnamed` keeps friendly names pointed at Azure: a public IP with its DNS label, the gateway behind it that leads a
//! high port to one machine, and the CNAMEs on it in Azure DNS and Cloudflare.
//!
//! # Layers
//!
//! Imports point downward, and a test holds every `use` against this picture:
//!
//! ```text
//! shell       cli  daemon  telemetry  config         process, arguments, files, signals, output
//! adapters    provider/* resolver/* probe/* notify/*  the network; beside them, through the ports alone: reconcile, doctor
//! ports       provider  resolver  probe  notify      traits, their contracts, the kinds of errors
//! core        model                                  values and functions over values: no I/O, no clock, no async fn
//! ```
//!
//! Beside the adapters stands `journal`, which knows the core alone.
//!
//! `sandbox` stands apart: a whole cloud, written from the services' documentation, that knows nothing of the
//! product but how a name is parsed.
//!
//! # Modules
//!
//! - [`model`]: what is wanted, what was seen, and what follows: the plan, the guard that holds it against the
//!   rules, and the verdict over what name servers say. Start with [`model::state::Seen`] and [`model::plan::Plan`];
//!   what stands behind a public IP is in [`model::gateway`], and what failed logons tell in [`model::threats`].
//! - [`provider`]: the ports to what holds names and addresses; below it Azure, Cloudflare, an in-memory provider for
//!   tests and previews, and the one transport policy that all of them share.
//! - [`resolver`]: the port to DNS itself; below it hickory, asking each authoritative server without a cache.
//! - [`probe`]: the port to the way in: whether the right service greets behind a port, by its own first words, which
//!   [`model::greeting`] reads; below it TCP, directly or through a SOCKS5 proxy.
//! - [`reconcile`]: one round through the ports: observe, plan, guard, apply, verify, and where it is asked for the walk
//!   from each name to its port. One value describes it whole.
//! - [`notify`]: the port to whoever wants to be told; below it Slack, Teams, webhooks, commands and dead man's
//!   switches, the ledger of what each was told, and the desk that delivers behind everybody's back.
//! - [`journal`]: what was changed and what happened, in one file that survives a kill and a full disk; what a round
//!   changes is written by [`telemetry::scribe`].
//! - [`doctor`]: what stands in the way of a round, through the ports too: questions alone, each with its outcome and the
//!   operator's next step; what is needed and whether it was granted is [`model::permission`].
//! - [`daemon`]: the service: when to run the next round, what happened in between, whom to tell, and how to end.
//! - [`config`]: the file as written, and the configuration as used; every mistake at once.
//! - [`cli`]: the commands, one file each, and the composition root.
//! - [`telemetry`] writes the logs, and lets no library below us write any; the page, the metrics and the probes are
//!   renderings of its [`telemetry::snapshot`].
//!
//! # The three promises
//!
//! Never touch what is not ours: [`model::guard`] refuses. Never leave a name dangling: the order of
//! [`model::plan`]. Never claim what was not seen: [`model::verify`] and [`provider::Kind::Unconfirmed`].

pub mod cli;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod journal;
pub mod model;
pub mod notify;
pub mod probe;
pub mod provider;
pub mod reconcile;
pub mod resolver;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod telemetry;
