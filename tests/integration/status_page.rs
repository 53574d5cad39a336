//! What the service shows of itself, over real HTTP, and to the letter.

mod browser;
mod golden;
mod limits;
mod metrics;
mod scenes;
mod wire;
