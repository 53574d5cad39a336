//! A whole cloud on loopback.
