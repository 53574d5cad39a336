//! Texts that are kept: compared, or written anew with `UPDATE_GOLDEN=1` in the environment.

use std::path::PathBuf;

/// Holds `text` against `tests/golden/NAME.txt`.
#[track_caller]
pub(crate) fn same(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{} differs:\n{text}", path.display());
}
