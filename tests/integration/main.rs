//! What is promised, as one binary: every extra one links the world again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod contract;
mod golden_plans;
mod laws;
mod names;
mod scene;
