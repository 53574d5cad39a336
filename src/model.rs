//! The pure core: what is wanted, what was seen, what follows from the two.
//!
//! Nothing below this line performs I/O, reads a clock or the environment, logs, or is `async`. Every function
//! takes values and returns values.

pub mod checkup;
pub mod common;
pub mod effect;
pub mod endpoint;
pub mod gateway;
pub mod greeting;
pub mod guard;
pub mod moment;
pub mod name;
pub mod permission;
pub mod plan;
pub mod record;
pub mod resource_id;
pub mod sight;
pub mod state;
pub mod threats;
pub mod verify;
pub mod zone;
