//! The configuration as the program uses it.
