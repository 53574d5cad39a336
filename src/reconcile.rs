//! One round.
