//! The state of the whole cloud, behind one lock that is never held across an `await`.

use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::Instant;

use super::azure;
use super::clock::Clock;
use super::cloudflare;
use super::dns;
use super::fault::Faults;
use super::log::Log;
use super::{Addresses, Options};

/// Everything that the services know.
#[derive(Debug)]
pub(crate) struct World {
    /// Entra, Resource Manager and Azure DNS.
    pub(crate) azure: azure::State,
    /// Cloudflare's zones and tokens.
    pub(crate) cloudflare: cloudflare::State,
    /// Which servers answer for what, and the recursive cache.
    pub(crate) dns: dns::State,
    /// The time in here.
    pub(crate) clock: Clock,
    /// What was asked.
    pub(crate) log: Log,
    /// What goes wrong.
    pub(crate) faults: Faults,
    /// How this sandbox was started.
    pub(crate) options: Options,
    /// Where the services listen; empty until they do.
    pub(crate) addresses: Addresses,
    /// Multiplies every throttling period: 1 is the services' own pace, 0.01 a hundred times faster than that.
    pub(crate) throttle_scale: f64,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let clock = Clock::new(options.dawn.unwrap_or_else(OffsetDateTime::now_utc), options.speed);
        Self::at(clock, options)
    }

    /// As new, while its time goes on.
    pub(crate) fn at(clock: Clock, options: Options) -> Self {
        let throttle_scale = options.throttle_scale;
        Self {
            azure: azure::State::seeded(&options, clock),
            cloudflare: cloudflare::State::seeded(options.plan, clock.calendar()),
            clock,
            dns: dns::State::default(),
            log: Log::default(),
            faults: Faults::default(),
            options,
            addresses: Addresses::default(),
            throttle_scale,
        }
    }

    /// The present.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The calendar's present.
    pub(crate) fn calendar(&self) -> OffsetDateTime {
        self.clock.calendar()
    }
}

/// A handle on the world, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cloud(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    world: Mutex<World>,
    // Counts what happened, so that those who wait for a condition look again.
    happened: watch::Sender<u64>,
}

impl Cloud {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Inner { world: Mutex::new(world), happened: watch::Sender::new(0) }))
    }

    /// Looks at the world or changes it. Whatever was due by now has happened before `act` runs.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.0.world.lock().unwrap_or_else(PoisonError::into_inner);
        azure::settle(&mut world);
        act(&mut world)
    }

    /// Wakes everyone in [`Cloud::until`].
    pub(crate) fn announce(&self) {
        self.0.happened.send_modify(|count| *count += 1);
    }

    /// Waits until `look` finds something; asked again at each announcement.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut(&mut World) -> Option<T>) -> T {
        let mut happened = self.0.happened.subscribe();
        loop {
            if let Some(found) = self.with(&mut look) {
                return found;
            }
            // The sender lives as long as `self`; a closed channel cannot be seen here.
            let _ = happened.changed().await;
        }
    }
}

/// A moment as the services print it, UTC with seven decimals left out.
pub(crate) fn timestamp(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}
