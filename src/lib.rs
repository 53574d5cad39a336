//! `cnamed` keeps friendly names pointed at Azure.

pub mod cli;
pub mod config;
pub mod model;
pub mod provider;
pub mod reconcile;
pub mod resolver;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod telemetry;
