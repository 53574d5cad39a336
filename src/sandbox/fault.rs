//! What can go wrong on the way: chosen by service, method, path and count, and played once, so often, or always.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::exchange::{Request, Service};

/// A fault and the requests that it strikes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Only requests to this service; `None` for all.
    pub service: Option<Service>,
    /// Only this method; `None` for all.
    pub method: Option<String>,
    /// Only paths that contain this, compared without case.
    pub path: String,
    /// The first matching request that is struck, from 1.
    pub nth: u32,
    /// How many are struck from there on; `None` for all.
    pub times: Option<u32>,
    /// What happens to them.
    pub action: Action,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            service: None,
            method: None,
            path: String::new(),
            nth: 1,
            times: Some(1),
            action: Action::Reset,
        }
    }
}

impl Fault {
    /// `action` on the next request to `service`; narrow it with the other methods.
    #[must_use]
    pub fn on(service: Service, action: Action) -> Self {
        Self { service: Some(service), action, ..Self::default() }
    }

    /// Only this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only paths that contain `part`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        part.clone_into(&mut self.path);
        self
    }

    /// From the `n`-th matching request on.
    #[must_use]
    pub fn nth(mut self, n: u32) -> Self {
        self.nth = n;
        self
    }

    /// So many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Until the faults are cleared.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    fn matches(&self, request: &Request) -> bool {
        self.service.is_none_or(|service| service == request.service)
            && self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(&request.method))
            && request.path.to_ascii_lowercase().contains(&self.path.to_ascii_lowercase())
    }
}

/// What happens to a request that is struck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// Answered so, without being processed.
    Status {
        /// The status code.
        status: u16,
        /// More headers. The seconds of a `Retry-After` are the sandbox's, and told as the client's, rounded up.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The JSON body; `Null` for none.
        #[serde(default)]
        body: Value,
    },
    /// Answered with a page of HTML, without being processed.
    Html {
        /// The status code.
        status: u16,
        /// More headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Processed; half of the answer's body arrives, then the connection ends.
    Truncated,
    /// The connection ends before the request is processed.
    Reset,
    /// Processed; the connection ends without an answer.
    LostAnswer,
    /// Neither processed nor answered; the connection stays open.
    Hang,
    /// Processed after a wait of this many of the sandbox's milliseconds.
    Latency {
        /// The wait.
        milliseconds: u64,
    },
    /// Processed; the answer's `Date` is off by this many seconds, as if the caller's clock went wrong the other way.
    Date {
        /// Seconds; more than zero is ahead.
        ahead: i64,
    },
    /// Accepted with 202 or 201; the operation then fails so (Resource Manager's writes only).
    OperationFails {
        /// `error.code`.
        code: String,
        /// `error.message`.
        message: String,
        /// `error.details[]`, each with `code` and `message`.
        #[serde(default)]
        details: Vec<(String, String)>,
    },
    /// Accepted with 202 or 201; then somebody else's newer write replaces it. The operation ends in `Canceled`
    /// with `CanceledAndSupersededDueToAnotherOperation` among its details, and what stands is what the other one
    /// wrote, which knew nothing of this write (Resource Manager's writes only).
    OperationSuperseded {
        /// What the other write changed (RFC 7396) in the resource as it was before this one.
        #[serde(default)]
        changes: Map<String, Value>,
    },
}

/// A DNS server of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameServer {
    /// The first of Azure DNS's two.
    Azure1,
    /// The second of Azure DNS's two.
    Azure2,
    /// The first of Cloudflare's two.
    Cloudflare1,
    /// The second of Cloudflare's two.
    Cloudflare2,
    /// The one of the label zones.
    Label,
    /// The recursive resolver.
    Recursive,
}

impl NameServer {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Azure1, Self::Azure2, Self::Cloudflare1, Self::Cloudflare2, Self::Label, Self::Recursive];
}

/// How a DNS server misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsFault {
    /// No answer at all.
    Silent,
    /// SERVFAIL to everything.
    ServFail,
    /// REFUSED to everything.
    Refused,
    /// Keeps serving what it served when the fault was set.
    Stale,
}

/// Where a held request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldPoint {
    /// Before the service has processed it.
    Before,
    /// After it was processed, before it is answered.
    After,
}

/// Everything that is set to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<(Fault, u32)>,
    dns: HashMap<NameServer, DnsFault>,
    hold: Option<Hold>,
}

#[derive(Debug)]
struct Hold {
    remaining: u32,
    mutations_only: bool,
    point: HoldPoint,
    // The request that stands still, by its number in the log.
    held: Option<usize>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.armed.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
        self.dns.clear();
        self.hold = None;
    }

    /// The faults that strike `request`, in the order in which they were set. Counts it for every fault.
    pub(crate) fn strike(&mut self, request: &Request) -> Vec<Action> {
        let mut struck = Vec::new();
        for (fault, seen) in &mut self.armed {
            if !fault.matches(request) {
                continue;
            }
            *seen += 1;
            let first = fault.nth.max(1);
            if *seen >= first && fault.times.is_none_or(|times| *seen - first < times) {
                struck.push(fault.action.clone());
            }
        }
        struck
    }

    /// How `server` misbehaves at present.
    pub(crate) fn dns(&self, server: NameServer) -> Option<DnsFault> {
        self.dns.get(&server).copied()
    }

    pub(crate) fn set_dns(&mut self, server: NameServer, fault: Option<DnsFault>) {
        match fault {
            Some(fault) => self.dns.insert(server, fault),
            None => self.dns.remove(&server),
        };
    }

    pub(crate) fn hold(&mut self, n: u32, mutations_only: bool, point: HoldPoint) {
        self.hold = Some(Hold { remaining: n.max(1), mutations_only, point, held: None });
    }

    /// Counts a request toward the hold; whether it is the one to stand still, and where.
    pub(crate) fn holds(&mut self, request: &Request, number: usize) -> Option<HoldPoint> {
        let hold = self.hold.as_mut()?;
        if hold.remaining == 0 || (hold.mutations_only && !request.is_mutation()) {
            return None;
        }
        hold.remaining -= 1;
        if hold.remaining > 0 {
            return None;
        }
        if hold.point == HoldPoint::Before {
            hold.held = Some(number);
        }
        Some(hold.point)
    }

    /// Notes that the held request has been processed.
    pub(crate) fn processed(&mut self, number: usize) {
        if let Some(hold) = &mut self.hold {
            hold.held = Some(number);
        }
    }

    /// The number of the request that stands still.
    pub(crate) fn held(&self) -> Option<usize> {
        self.hold.as_ref().and_then(|hold| hold.held)
    }

    pub(crate) fn release(&mut self) {
        self.hold = None;
    }
}

/// What the faults amount to for one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) latency: Duration,
    pub(crate) actions: Vec<Action>,
}

impl From<Vec<Action>> for Verdict {
    fn from(actions: Vec<Action>) -> Self {
        let mut verdict = Self::default();
        for action in actions {
            match action {
                Action::Latency { milliseconds } => verdict.latency += Duration::from_millis(milliseconds),
                other => verdict.actions.push(other),
            }
        }
        verdict
    }
}
