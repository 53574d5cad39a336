//! What is promised, as one binary: every extra one links the world again.

mod laws;
