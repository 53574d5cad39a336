//! The gateway on a real wire: the built binary against a whole cloud on loopback, from an empty resource group with
//! one machine to a service that greets, and back.

mod adopted;
mod adverse;
mod built;
pub(crate) mod drift;
pub(crate) mod machines;
mod refused;
pub(crate) mod stage;
