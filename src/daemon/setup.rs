//! A configuration, read and put to work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::CLOSE;
use super::pace::{Chance, Pace};
use super::patient::{Patiences, PatientDns, PatientNetwork};
use crate::model::common::Common;
use crate::model::endpoint::Handle;
use crate::model::name::Apexes;
use crate::model::state::{Desired, Observed, Seen};
use crate::notify::desk::Subscriber;
use crate::reconcile::Reconciler;
use crate::telemetry::snapshot::Counts;

/// What a configuration makes of the service; made anew whenever it is read anew.
#[derive(Debug)]
pub struct Setup {
    /// What is wanted.
    pub desired: Desired,
    /// What a round reaches the world through.
    pub reconciler: Reconciler,
    /// How often to look.
    pub pace: Pace,
    /// What spreads the waits.
    pub chance: Chance,
    /// Where the zones of each account are: those of one that moves hold other names.
    pub places: BTreeMap<Handle, String>,
    /// Who is told.
    pub subscribers: Vec<Subscriber>,
    /// Which secrets could not be read anew, and why: what they were before serves on.
    pub unread: Vec<String>,
}

/// Where a [`Setup`] comes from.
pub trait Source {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it, in words; the service goes on with what it has.
    fn load(&mut self) -> Result<Setup, String>;

    /// The same configuration as last loaded, its secrets read anew: one may have been rotated. Those who are told are
    /// not taken from it. One that cannot be read keeps no other from being taken, and its account goes on with what it
    /// was before, if it was ever read.
    ///
    /// # Errors
    /// When it cannot be put to work at all.
    fn renew(&mut self) -> Result<Setup, String>;

    /// Adds to what was counted what the transport knows: requests and quotas.
    fn count(&self, counts: &mut Counts);
}

/// A configuration at work.
pub(super) struct Active {
    pub(super) desired: Desired,
    pub(super) reconciler: Reconciler,
    pub(super) pace: Pace,
    pub(super) chance: Chance,
    pub(super) patiences: Patiences,
    places: BTreeMap<Handle, String>,
}

impl Active {
    pub(super) fn of(setup: Setup, mut patiences: Patiences) -> Self {
        let Setup { desired, mut reconciler, pace, chance, places, .. } = setup;
        patiences.chance = chance.clone();
        let network = PatientNetwork::new(Arc::clone(&reconciler.network), &mut patiences);
        reconciler.network = Arc::new(network);
        reconciler.newest = Arc::clone(&patiences.newest);
        for provider in reconciler.accounts.values_mut() {
            *provider = Arc::new(PatientDns::new(Arc::clone(provider), &mut patiences));
        }
        // The next rounds see whether name servers have come to agree; none waits for it.
        reconciler.verification.agreement = reconciler.verification.agreement.min(CLOSE);
        reconciler.verification.way_in = true;
        Self { desired, reconciler, pace, chance, patiences, places }
    }

    /// Leaves to the configuration that comes what it wants otherwise, also in what is under way.
    pub(super) fn leave_to(&self, coming: &Setup) {
        let moved: BTreeSet<Handle> = (self.places.iter())
            .filter(|(account, place)| coming.places.get(*account) != Some(place))
            .map(|(account, _)| account.clone())
            .collect();
        self.reconciler.newest.lasts(Common::of(&self.desired, &coming.desired, &moved));
    }

    /// Has an account's zones read anew before the next round, where they left open which of them a wanted name is in:
    /// one may be made, or one of two deleted.
    pub(super) fn doubt_zones(&self, observed: &Observed) {
        for (account, provider) in &self.reconciler.accounts {
            let zones = match observed.zones.get(account) {
                Some(Seen::Present(zones)) => zones.as_slice(),
                Some(Seen::Absent) => &[],
                Some(Seen::Unknown(_)) | None => continue,
            };
            let apexes = Apexes::new(zones, |zone| &zone.name);
            let mut names = self.desired.records.keys().filter(|key| key.account == *account);
            if names.any(|key| apexes.nearest(&key.name).len() != 1) {
                provider.forget_zones();
            }
        }
    }
}
