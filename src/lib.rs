//! `cnamed` keeps friendly names pointed at Azure.

pub mod cli;
pub mod config;
pub mod model;
pub mod provider;
pub mod reconcile;
pub mod resolver;
pub mod telemetry;
#[cfg(feature = "sandbox")]
pub mod sandbox;
