//! The resolver over hickory.
