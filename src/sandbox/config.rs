//! The ready configuration.

use std::io;
use std::path::{Path, PathBuf};

use super::Addresses;

/// The configuration's text.
pub(crate) fn text(_addresses: &Addresses, _directory: &Path) -> String {
    String::new()
}

/// Writes the configuration and the files that it names.
pub(crate) fn write(addresses: &Addresses, ca_pem: &str, directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join("cnamed.toml");
    std::fs::write(directory.join("ca.pem"), ca_pem)?;
    std::fs::write(&path, text(addresses, directory))?;
    Ok(path)
}
