//! What is promised, as one binary: every extra one links the world again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy spares test functions only, and what they share fails a test in the same way"
)]

mod name_laws;
mod resolver;
mod support {
    pub(crate) mod dns;
}
mod verdicts;
