//! One round as one value: text, JSON, logs and the exit code are renderings of it.

mod headline;
mod link;
mod standing;
mod words;

use std::collections::BTreeSet;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

pub use link::{Chain, Link, LinkState, WayIn};
use standing::{Standing, endpoints, unknown};

use crate::model::endpoint::Handle;
use crate::model::guard::{Refusal, Rule};
use crate::model::name::Fqdn;
use crate::model::plan::{Action, Blocked, NetworkChange, Note, Piece, Plan, RecordChange, Subject, Verb};
use crate::model::record::RecordSet;
use crate::model::state::{Desired, Observed, RecordKey};
use crate::model::verify::{Finding, Verdict};

/// The contract's version: fields may be added under one version, never renamed.
pub const VERSION: u32 = 1;

/// A finished round, a preview of one, or a look at how things stand.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Round {
    /// The contract's version.
    pub version: u32,
    /// What came of it, in one word.
    pub outcome: Outcome,
    /// The endpoints as last read.
    pub endpoints: Vec<EndpointReport>,
    /// What was or would be changed, in order.
    pub changes: Vec<ChangeReport>,
    /// What waits for something.
    pub blocked: Vec<BlockedReport>,
    /// What will not be done.
    pub refused: Vec<RefusalReport>,
    /// Whether name servers were asked what they serve. False in a preview, which asks none, and where
    /// `verify.authoritative` is false.
    pub authoritative: bool,
    /// What name servers say of each record.
    pub records: Vec<RecordReport>,
    /// Every chain from name to port, when they were walked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<Chain>,
    /// Every port that shall lead to a machine, when they were tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ways_in: Vec<WayIn>,
    /// What could not be read, and why.
    pub unknown: Vec<UnknownReport>,
    /// What differs and is left as it is.
    pub notes: Vec<NoteReport>,
    /// What was read, as far as it decides the outcome.
    #[serde(skip)]
    standing: Standing,
    /// What was read.
    #[serde(skip)]
    pub(crate) observed: Observed,
}

/// The outcome of a round, worst first where several hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing that is wanted could be seen to stand, or nothing of what was begun succeeded.
    Failed,
    /// Some of it failed, or could not be confirmed.
    Partial,
    /// A guard refused something.
    Refused,
    /// Applied, and not every authoritative server says so yet.
    Unverified,
    /// Changes are waiting to be made, or wait for somebody else.
    Pending,
    /// Changed and, where asked for, verified.
    Changed,
    /// Nothing to do, and every authoritative server says so, where they were asked: `authoritative` tells.
    InSync,
}

/// One endpoint.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EndpointReport {
    /// Its name in the configuration.
    pub name: Handle,
    /// Its label's name as Azure reports it.
    pub fqdn: Option<Fqdn>,
    /// Its address; none while released.
    pub address: Option<IpAddr>,
    /// How it stands.
    pub state: EndpointStatus,
}

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointStatus {
    /// It has an address.
    Ready,
    /// It exists and has no address now.
    Released,
    /// It does not exist.
    Absent,
    /// It could not be read.
    Unknown,
}

/// The kind of thing that a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A public IP, named by its endpoint.
    PublicIp,
    /// A load balancer.
    LoadBalancer,
    /// An inbound NAT rule.
    NatRule,
    /// A network security group.
    NetworkSecurityGroup,
    /// A rule of a network security group.
    NsgRule,
    /// A network interface.
    NetworkInterface,
    /// A record.
    Record,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChangeReport {
    /// What kind of thing.
    pub kind: SubjectKind,
    /// The record's name, or the endpoint's.
    pub name: String,
    /// The account, for a record.
    pub account: Option<Handle>,
    /// What is done to it.
    pub verb: Verb,
    /// What came of it.
    pub outcome: ChangeOutcome,
    /// What stood there.
    pub before: Option<String>,
    /// What shall stand there.
    pub after: Option<String>,
    /// Why.
    pub reason: String,
    /// What went wrong, as a whole chain, ending in the next step.
    pub error: Option<String>,
    /// What the services call the requests that were to write it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<String>,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeOutcome {
    /// Not begun: this is a preview.
    Planned,
    /// The provider confirmed it.
    Applied,
    /// It did not happen.
    Failed,
    /// Not begun, since something before it failed.
    Skipped,
    /// It may have happened, or may yet.
    Unconfirmed,
}

/// One piece of work that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BlockedReport {
    /// What kind of thing.
    pub kind: SubjectKind,
    /// The record's name, or the endpoint's.
    pub name: String,
    /// The account, for a record.
    pub account: Option<Handle>,
    /// What it waits for.
    pub waits_for: String,
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusalReport {
    /// What kind of thing.
    pub kind: SubjectKind,
    /// The record's name, or the endpoint's.
    pub name: String,
    /// The account, for a record.
    pub account: Option<Handle>,
    /// The rule that it would break.
    pub rule: Rule,
    /// Why.
    pub reason: String,
    /// What would allow it.
    pub allow: String,
}

/// What name servers say of one record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RecordReport {
    /// The name.
    pub name: Fqdn,
    /// The account.
    pub account: Handle,
    /// The endpoint that it follows; none for one that was withdrawn and that the configuration does not name.
    pub endpoint: Option<Handle>,
    /// How far what was promised is what is served, by every authoritative server.
    pub verdict: Verdict,
    /// The evidence.
    pub detail: String,
    /// What the configured resolvers say, when they were asked.
    pub resolvers: Option<Finding>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnknownReport {
    /// What could not be read.
    pub what: String,
    /// Why, as a whole chain, ending in the next step.
    pub reason: String,
}

/// Something that differs and is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NoteReport {
    /// What kind of thing.
    pub kind: SubjectKind,
    /// The record's name, or the endpoint's.
    pub name: String,
    /// The account, for a record.
    pub account: Option<Handle>,
    /// How it differs.
    pub text: String,
}

impl Round {
    /// A round that saw nothing and did nothing, for whoever fills it in.
    #[must_use]
    pub fn empty(outcome: Outcome) -> Self {
        Self {
            version: VERSION,
            outcome,
            endpoints: Vec::new(),
            changes: Vec::new(),
            blocked: Vec::new(),
            refused: Vec::new(),
            authoritative: false,
            records: Vec::new(),
            chains: Vec::new(),
            ways_in: Vec::new(),
            unknown: Vec::new(),
            notes: Vec::new(),
            standing: Standing::default(),
            observed: Observed::default(),
        }
    }

    /// A round with nothing in it yet but what was seen.
    #[must_use]
    pub(super) fn of(desired: &Desired, observed: &Observed) -> Self {
        Self {
            endpoints: endpoints(desired, observed),
            unknown: unknown(observed),
            standing: Standing::of(desired, observed),
            observed: observed.clone(),
            ..Self::empty(Outcome::InSync)
        }
    }

    /// What waits, what is refused and what is left, from the last plan of the round.
    pub(super) fn take(&mut self, plan: &Plan, refusals: &[Refusal]) {
        self.blocked = plan.blocked.iter().map(BlockedReport::from).collect();
        // A reason is told once, with what could not be read, not once for everything that waits for it.
        for blocked in &mut self.blocked {
            let told =
                |unknown: &UnknownReport| blocked.waits_for.strip_suffix(&unknown.reason)?.strip_suffix(": ");
            if let Some(what) = self.unknown.iter().find_map(told) {
                blocked.waits_for = what.to_owned();
            }
        }
        self.refused = refusals.iter().map(RefusalReport::from).collect();
        self.notes = plan.notes.iter().map(NoteReport::from).collect();
    }

    /// What it says of names that were written beside it, after it looked, is what stood there before.
    #[must_use]
    pub(crate) fn overtaken_at(mut self, written: &BTreeSet<RecordKey>) -> Self {
        if written.is_empty() {
            return self;
        }
        let is_of = |name: &Fqdn, account: &Handle| {
            written.iter().any(|key| key.name == *name && key.account == *account)
        };
        for record in self.records.iter_mut().filter(|record| is_of(&record.name, &record.account)) {
            record.verdict = Verdict::Pending;
            "it was changed while this round was under way".clone_into(&mut record.detail);
            record.resolvers = None;
        }
        self.chains.retain(|chain| !is_of(&chain.name, &chain.account));
        self.concluded()
    }

    /// The outcome that everything in the round adds up to.
    #[must_use]
    pub(super) fn concluded(mut self) -> Self {
        use ChangeOutcome::{Applied, Failed, Planned, Skipped, Unconfirmed};
        let any = |outcomes: &[ChangeOutcome]| self.changes.iter().any(|c| outcomes.contains(&c.outcome));
        let undone = any(&[Failed, Skipped, Unconfirmed]);
        let failures = undone || !self.unknown.is_empty();
        let verified = |verdict| matches!(verdict, Verdict::Agreed | Verdict::Masked);
        // One account that is down is not all: what was read of the others counts, whoever asks name servers. And what
        // may have happened has not failed.
        let successes = any(&[Applied, Planned, Unconfirmed])
            || self.records.iter().any(|r| verified(r.verdict))
            || if undone { self.stands() } else { self.standing.anything };
        self.outcome = if failures && successes {
            Outcome::Partial
        } else if failures {
            Outcome::Failed
        } else if !self.refused.is_empty() {
            Outcome::Refused
        } else if any(&[Planned]) {
            // What shall change cannot be served yet: that it is not is no finding of its own.
            Outcome::Pending
        } else if self.records.iter().any(|record| !verified(record.verdict))
            || self.ways_in.iter().any(|way| way.port.state != LinkState::Whole)
            || self.loose().next().is_some()
        {
            Outcome::Unverified
        } else if !self.blocked.is_empty() {
            Outcome::Pending
        } else if any(&[Applied]) {
            Outcome::Changed
        } else {
            Outcome::InSync
        };
        self
    }
}

fn piece_named(piece: &Piece) -> (SubjectKind, String) {
    match piece {
        Piece::LoadBalancer(name) => (SubjectKind::LoadBalancer, name.clone()),
        Piece::NatRule(name) => (SubjectKind::NatRule, name.clone()),
        Piece::SecurityGroup(name) => (SubjectKind::NetworkSecurityGroup, name.clone()),
        Piece::SecurityRule(name) => (SubjectKind::NsgRule, name.clone()),
        Piece::Interface(name) => (SubjectKind::NetworkInterface, name.clone()),
    }
}

fn named(subject: &Subject) -> (SubjectKind, String, Option<Handle>) {
    match subject {
        Subject::PublicIp(endpoint) => (SubjectKind::PublicIp, endpoint.to_string(), None),
        Subject::Gateway(_, piece) => {
            let (kind, name) = piece_named(piece);
            (kind, name, None)
        }
        Subject::Record(RecordKey { name, account }) => {
            (SubjectKind::Record, name.to_string(), Some(account.clone()))
        }
    }
}

impl From<&Blocked> for BlockedReport {
    fn from(blocked: &Blocked) -> Self {
        let (kind, name, account) = named(&blocked.subject);
        Self { kind, name, account, waits_for: blocked.waits_for.clone() }
    }
}

impl From<&Note> for NoteReport {
    fn from(note: &Note) -> Self {
        let (kind, name, account) = named(&note.subject);
        Self { kind, name, account, text: note.text.clone() }
    }
}

impl From<&Refusal> for RefusalReport {
    fn from(refusal: &Refusal) -> Self {
        let (kind, name, account) = named(&refusal.subject);
        let Refusal { rule, reason, allow, .. } = refusal;
        Self { kind, name, account, rule: *rule, reason: reason.clone(), allow: allow.clone() }
    }
}

impl ChangeReport {
    /// Whether it may have opened a way in.
    pub(super) fn opens(&self) -> bool {
        self.kind != SubjectKind::Record
            && matches!(self.outcome, ChangeOutcome::Applied | ChangeOutcome::Unconfirmed)
    }

    /// Whether both concern one record or one resource.
    pub(super) fn concerns_what(&self, other: &Self) -> bool {
        (self.kind, &self.name, &self.account) == (other.kind, &other.name, &other.account)
    }

    /// Whether it concerns a record of which it could not be read what stands there.
    pub(super) fn is_unread(&self, observed: &Observed) -> bool {
        let unread = observed.records.iter().filter(|(_, seen)| seen.unknown().is_some());
        let is_it =
            |key: &RecordKey| self.name == key.name.as_str() && self.account.as_ref() == Some(&key.account);
        self.kind == SubjectKind::Record && unread.map(|(key, _)| key).any(is_it)
    }

    /// The report of a step that has begun for this reason, before anything came of it.
    #[must_use]
    pub(crate) fn begun(action: &Action, reason: &str) -> Option<Self> {
        Self::of(action, reason, ChangeOutcome::Planned)
    }

    /// The report of a step, or `None` for a wait, which changes nothing.
    #[must_use]
    pub(super) fn of(action: &Action, reason: &str, outcome: ChangeOutcome) -> Option<Self> {
        let (reason, error, requests) = (reason.to_owned(), None, Vec::new());
        match action {
            Action::Network(change) => {
                let (before, after) = public_ip(change);
                let (kind, name) = (SubjectKind::PublicIp, change.endpoint.to_string());
                let verb = change.verb();
                let account = None;
                Some(Self { kind, name, account, verb, outcome, before, after, reason, error, requests })
            }
            Action::Gateway(change) => {
                let (kind, name) = piece_named(&change.piece());
                let (verb, before, after) = (change.verb(), change.before(), change.after());
                let account = None;
                Some(Self { kind, name, account, verb, outcome, before, after, reason, error, requests })
            }
            Action::Record(RecordChange { key, before, after }) => Some(Self {
                kind: SubjectKind::Record,
                name: key.name.to_string(),
                account: Some(key.account.clone()),
                verb: RecordChange { key: key.clone(), before: before.clone(), after: after.clone() }.verb(),
                outcome,
                before: shown(before),
                after: after.as_ref().map(ToString::to_string),
                reason,
                error,
                requests,
            }),
            Action::Settle(_) => None,
        }
    }
}

fn shown(sets: &[RecordSet]) -> Option<String> {
    let texts: Vec<String> = sets.iter().map(|set| set.content.to_string()).collect();
    (!texts.is_empty()).then(|| texts.join(" + "))
}

fn public_ip(change: &NetworkChange) -> (Option<String>, Option<String>) {
    let before = change.held.as_ref().map(|ip| match (&ip.fqdn, &ip.label) {
        (Some(fqdn), _) => fqdn.to_string(),
        (None, Some(label)) => label.to_string(),
        (None, None) => "no label".to_owned(),
    });
    let spec = &change.spec;
    let after =
        (!change.delete).then(|| format!("{} with label {} in {}", spec.name, spec.label, spec.location));
    (before, after)
}
