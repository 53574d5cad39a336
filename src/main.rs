//! The `cnamed` command.

fn main() {}
