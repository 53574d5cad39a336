//! The names that are being written: what stands there is known to nobody until the provider has answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::patience::locked;
use crate::model::name::Fqdn;

/// The names of one account that are being written, and by how many.
#[derive(Debug, Default)]
pub(super) struct Writing(Mutex<BTreeMap<Fqdn, usize>>);

/// Names that are being written for as long as this is kept.
pub(super) struct Begun {
    of: Arc<Writing>,
    names: Vec<Fqdn>,
}

impl Writing {
    /// Those that are being written now.
    pub(super) fn names(&self) -> Vec<Fqdn> {
        locked(&self.0).keys().cloned().collect()
    }

    /// A write to `names` begins.
    #[must_use]
    pub(super) fn begin<'n>(self: &Arc<Self>, names: impl Iterator<Item = &'n Fqdn>) -> Begun {
        let begun = Begun { of: Arc::clone(self), names: names.cloned().collect() };
        let mut writing = locked(&self.0);
        for name in &begun.names {
            *writing.entry(name.clone()).or_default() += 1;
        }
        begun
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut writing = locked(&self.of.0);
        for name in &self.names {
            if let Some(count) = writing.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    writing.remove(name);
                }
            }
        }
    }
}
