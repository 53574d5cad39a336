//! The ports to what holds names and addresses, their contracts, and the errors that the loop acts on.
//!
//! Contract of every implementation, proved by one suite that runs against all of them:
//!
//! - Safe to call concurrently, and cancel-safe: a dropped future leaves nothing behind but a request that may
//!   have been received.
//! - Idempotent: applying what already stands is a success that writes nothing or writes the same.
//! - Names are absolute, lower case, Punycode, both ways.
//! - Every write carries the mark in the same request as the data, and depends on the version that the plan was
//!   made against; a lost precondition is [`Kind::Stale`], and nothing was changed. Where a service renews versions
//!   for reasons that the plan does not stand on, what it stands on is read again and compared, and the write depends
//!   on the version of that reading.
//! - What others put on a resource survives: metadata, comments, tags, settings.
//! - A write whose answer was lost is settled by reading: once what it was for stands there, it was made. Otherwise it
//!   is [`Kind::Unconfirmed`], also where all stands as before: whoever was still at it may make it a moment later.

pub mod azure;
pub mod cloudflare;
pub mod http;
pub mod memory;
pub mod shut;

mod haste;
mod remembered;
mod trail;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::model::endpoint::{Endpoint, Handle, PublicIp};
use crate::model::name::Fqdn;
use crate::model::permission::Grant;
use crate::model::plan::{GatewayChange, NetworkChange, RecordChange};
use crate::model::record::{Owner, RecordSet};
use crate::model::resource_id::ResourceId;
use crate::model::state::{EndpointState, Seen, Zone};
use crate::model::threats::{Platform, Reading, Spans};
pub use haste::Haste;
use remembered::Remembered;
pub use trail::{Footprint, Trail};

/// What to look for in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The names whose every record set is wanted.
    pub names: BTreeSet<Fqdn>,
    /// The owner whose marked records are wanted wherever they stand in the zone; `None` looks at the names alone.
    pub marked: Option<Owner>,
}

/// Why it is not known what stands at a name that is being written: nothing failed.
pub const BEING_WRITTEN: &str = "a change of it is under way";

/// What was found: an entry for every name asked for, and one for every other name with a marked record.
pub type Found = BTreeMap<Fqdn, Seen<Vec<RecordSet>>>;

/// An account at a DNS provider.
///
/// See the module for the contract that all methods share. None of them has a body here: whoever stands before another
/// provider could forget to pass it on, and nobody would be told.
#[async_trait]
pub trait DnsProvider: Send + Sync + fmt::Debug {
    /// The account's name in the configuration.
    fn account(&self) -> &Handle;

    /// The zones that this account can reach, every page of them, remembered until they are forgotten.
    ///
    /// # Errors
    /// When they could not be read; never an empty list in its place.
    async fn zones(&self) -> Result<Vec<Zone>, Error>;

    /// Has the next [`Self::zones`] read them anew: they come, go, and come back with another id or other servers.
    fn forget_zones(&self);

    /// The servers that the provider itself names for `zone`, whatever the operator wrote in their place: lower case,
    /// without a dot at the end.
    ///
    /// # Errors
    /// When they could not be read.
    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error>;

    /// What holds each name (every type, since a CNAME stands alone), and every record with the owner's mark,
    /// each with its version. Reads only, and no more than it must: a targeted read for each name while names
    /// are few, pages of the zone when they are many.
    ///
    /// # Errors
    /// When nothing could be read. A name that alone could not be read is [`Seen::Unknown`] in an `Ok`.
    async fn observe(&self, zone: &Zone, look: &Look) -> Result<Found, Error>;

    /// Makes one zone's changes, in the order given or at once as one transaction, each with the owner's mark.
    ///
    /// Answers for each of them, in the same order and number; one that fails does not hold back another that
    /// does not share its name. The value is what stands there afterwards (empty after a withdrawal).
    async fn apply(
        &self,
        zone: &Zone,
        owner: &Owner,
        changes: &[RecordChange],
    ) -> Vec<Result<Vec<RecordSet>, Error>>;
}

/// A credential, as it and its service tell of it. Questions only: nothing is ever written.
#[async_trait]
pub trait Rights: Send + Sync + fmt::Debug {
    /// Whose it is and until when; obtains one where there is none yet.
    ///
    /// # Errors
    /// When there is none, or the service does not take it any more.
    async fn holder(&self) -> Result<Holder, Error>;

    /// What it may do at `scope`: an Azure resource id, or the id of a Cloudflare zone.
    ///
    /// # Errors
    /// When the service does not tell; [`Kind::Missing`] where there is no such scope.
    async fn grants(&self, scope: &str) -> Result<Vec<Grant>, Error>;
}

/// Whose a credential is, never the credential itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The way to it and whose it is, in one line.
    pub who: String,
    /// Until when it can be used, where that is known; an instant for what is renewed without anybody's doing.
    pub expires: Option<OffsetDateTime>,
    /// Whether it is renewed without anybody's doing.
    pub renewed: bool,
}

/// The account that holds endpoints' resources.
///
/// See the module for the contract that all methods share.
#[async_trait]
pub trait NetworkProvider: Send + Sync + fmt::Debug {
    /// What was seen of an endpoint, and the error itself where its public IP could not be read. One read when the
    /// public IP holds the wanted label; who holds the label is asked only when it does not. A failed read is
    /// [`Seen::Unknown`] with its reason.
    ///
    /// A public IP that is there is told to `ahead` as soon as it was read: all else may take several reads more.
    async fn look(&self, endpoint: &Endpoint, ahead: &Ahead) -> (EndpointState, Option<Error>);

    /// As [`look`](Self::look), for whoever waits for all of it and does nothing about the error.
    async fn observe(&self, endpoint: &Endpoint) -> EndpointState {
        self.look(endpoint, &Ahead::default()).await.0
    }

    /// Makes one change and follows it to its end, as Azure reports it.
    ///
    /// The value is the public IP as it was read afterwards; `None` after a deletion.
    ///
    /// # Errors
    /// As [`Kind`] tells.
    async fn apply(&self, owner: &Owner, change: &NetworkChange) -> Result<Option<PublicIp>, Error>;

    /// Makes one change to what stands behind a public IP, and follows it to its end. Whatever of others is in the
    /// resource stays: the write is the resource as it was read just before, with the change in it.
    ///
    /// # Errors
    /// As [`Kind`] tells; [`Kind::Stale`] when the part is neither as the change was planned against nor as it
    /// shall be.
    async fn build(&self, owner: &Owner, change: &GatewayChange) -> Result<(), Error>;

    /// Which port of the public IP Azure says that it leads to `machine`, a network interface, by the NAT rule
    /// called `rule` in the pool of that name; `None` when it leads nowhere, also for want of the pool.
    ///
    /// # Errors
    /// When it could not be read.
    async fn mapping(
        &self,
        pool: &ResourceId,
        machine: &ResourceId,
        rule: &str,
    ) -> Result<Option<Mapping>, Error>;
}

/// Whoever is told of an endpoint's public IP before the rest was read; by default nobody.
#[derive(Clone, Debug, Default)]
pub struct Ahead(Option<UnboundedSender<(Handle, PublicIp)>>);

impl Ahead {
    /// Whoever listens at the other end. A listener that is gone is told nothing.
    #[must_use]
    pub fn listening() -> (Self, UnboundedReceiver<(Handle, PublicIp)>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self(Some(tell)), told)
    }

    /// Tells of the public IP of `endpoint`, which was read just now.
    pub fn tell(&self, endpoint: &Handle, public_ip: &PublicIp) {
        if let Some(tell) = &self.0 {
            // Nobody listens any more to a look that goes on in the background.
            let _ = tell.send((endpoint.clone(), public_ip.clone()));
        }
    }
}

/// A port as Azure maps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The port that clients use.
    pub frontend_port: u16,
    /// The port on the machine.
    pub backend_port: u16,
}

/// The place where machines' logons are collected. Safe to call concurrently; nothing is ever written.
#[async_trait]
pub trait LogonProvider: Send + Sync + fmt::Debug {
    /// The failed logons at machines of one kind in `spans`, which share their middle moment.
    ///
    /// A place that collects none of them is [`Reading::NotCollected`]; a read that failed is [`Reading::Unread`]
    /// with its reason and the operator's next step; what the service says that it left out goes with the figures.
    async fn failed_logons(&self, platform: Platform, spans: &Spans) -> Reading;
}

/// What the loop does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Credentials or permissions: wrong, expired, missing, or for another scope.
    Denied,
    /// The thing, or what it stands in, is not there.
    Missing,
    /// It changed since it was read: plan again.
    Stale,
    /// Asked to wait, this long.
    Throttled(Duration),
    /// No usable answer to a read, or to a write that surely did not happen: try again next round.
    Unreachable,
    /// Understood and refused: trying the same again is useless.
    Rejected,
    /// A write may have happened, or may yet, and reading could not settle it.
    Unconfirmed,
}

impl Kind {
    /// What the operator does next when nothing better is known, a sentence without a full stop.
    fn usual_step(self) -> Cow<'static, str> {
        match self {
            Self::Denied => "check the credential and what it may do".into(),
            Self::Missing => "check the name, and where the configuration says that it stands".into(),
            Self::Stale => "run again to plan with what stands there now".into(),
            Self::Throttled(delay) => format!("run again in {}s", whole_seconds(delay)).into(),
            Self::Unreachable => {
                "run again; if it stays so, check the network and any proxy between here and there".into()
            }
            Self::Rejected => "correct what it refuses, and run again".into(),
            Self::Unconfirmed => "run again: it looks at what stands there first".into(),
        }
    }
}

/// Rounded up, so that what is said is never less than what is asked.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs() + u64::from(delay.subsec_nanos() > 0)
}

/// What went wrong in one operation on one resource.
///
/// `Display` says what was attempted and, where known, what the operator does next; the cause stands in `source`
/// alone, so that a printed chain says each link once.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    operation: &'static str,
    resource: String,
    remedy: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` while doing `operation` (a verb phrase such as "read") on `resource`.
    pub fn new(kind: Kind, operation: &'static str, resource: impl Into<String>) -> Self {
        Self { kind, operation, resource: resource.into(), remedy: None, source: None }
    }

    /// With what brought it about.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With what became of a write whose answer was lost for that reason, where all stands as before: nothing so far.
    #[must_use]
    pub(crate) fn so_far_nothing(self, lost: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.because(NothingSoFar(lost.into()))
    }

    /// With the operator's next step, a sentence without a full stop.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// What the loop does about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The operator's next step, where one is known.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// What the operator does next: as it is known, or as it usually is for this kind.
    #[must_use]
    pub fn step(&self) -> Cow<'_, str> {
        match &self.remedy {
            Some(remedy) => remedy.into(),
            None => self.kind.usual_step(),
        }
    }

    /// The whole chain on one line, each link once, ending in the next step.
    #[must_use]
    pub fn chain(&self) -> String {
        format!("{}; {}", self.causes(), self.step())
    }

    /// The whole chain on one line, each link once, without the next step.
    #[must_use]
    pub fn causes(&self) -> String {
        let mut text = self.to_string();
        let mut link: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(self);
        while let Some(cause) = link {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            link = cause.source();
        }
        text
    }
}

/// What was seen of a write that nobody answered.
#[derive(Debug, thiserror::Error)]
#[error("nothing has come of it so far")]
struct NothingSoFar(#[source] Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, resource, .. } = self;
        match self.kind {
            Kind::Unconfirmed => write!(f, "could not confirm: {operation} {resource}"),
            Kind::Stale => write!(f, "{resource} changed since it was read, so nothing was written"),
            Kind::Throttled(delay) => {
                write!(f, "could not {operation} {resource}: throttled for {}s", whole_seconds(delay))
            }
            Kind::Denied | Kind::Missing | Kind::Unreachable | Kind::Rejected => {
                write!(f, "could not {operation} {resource}")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
    }
}
