//! What is promised, as one binary: every extra one links the world again.

// Clippy spares `#[test]` functions of itself, not what they stand on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod architecture;
mod asking;
mod azure_auth;
mod azure_cloud;
mod azure_dns;
mod azure_network;
mod bad_days;
mod bad_input;
mod cli;
mod cloudflare;
mod config;
mod contract;
mod costs;
mod crowd;
mod day;
mod doctor;
mod early;
mod foreign;
mod gateway;
mod golden_plans;
mod init;
mod journal;
mod killed;
mod laws;
mod least_privilege;
mod lifecycle;
mod links;
mod lost_writes;
mod manual;
mod mending;
mod name_laws;
mod names;
mod notify;
mod packaging;
mod probe;
mod resolver;
mod run;
mod sandbox_azure;
mod sandbox_cloudflare;
mod sandbox_dns;
mod sandbox_internet;
mod sandbox_time;
mod scene;
mod service;
mod status_page;
mod story;
mod support;
mod survey;
mod telling;
mod threats;
mod transport;
mod verdicts;
mod withdrawal;
