//! `cnamed` keeps friendly names pointed at Azure.

pub mod model;
#[cfg(feature = "sandbox")]
pub mod sandbox;
