//! What is promised, as one binary: every extra one links the world again.

mod architecture;
mod story;
mod support;
