//! Desired × observed → plan: ordered, printable, serialisable; and what is blocked on what.
//!
//! Planning is synchronous and deterministic, and reaches a fixpoint: the plan for the state that a plan leaves
//! behind is empty. Order is safety: a name is written after the label that it points at was seen to be held, and
//! a label is given up only after every name has been withdrawn and its TTL has run out.
//!
//! A plan may propose what must not be done; [`super::guard`] holds it against the rules before anything can be
//! applied.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::endpoint::{Endpoint, Handle, Intent, Provisioning, PublicIp, PublicIpSpec};
use super::record::{Content, Data, Mode, Owner, Policy, RecordSet, RecordType, Ttl};
use super::state::{Desired, EndpointState, NoZone, Observed, RecordKey, Seen, Wanted, Zone};

/// What a step, a refusal or a blocked piece of work concerns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The public IP of an endpoint.
    PublicIp(Handle),
    /// A name in an account.
    Record(RecordKey),
}

/// An ordered list of steps, and what cannot be planned yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The instance id that every write carries.
    pub owner: Owner,
    /// What to do, in an order in which every prefix is safe.
    pub steps: Vec<Step>,
    /// What waits for something.
    pub blocked: Vec<Blocked>,
    /// What differs from the configuration and is left as it is.
    pub notes: Vec<Note>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// The endpoint that it belongs to: the unit that stops at its first failure. `None` for a withdrawn stray.
    pub endpoint: Option<Handle>,
    /// The steps, by position in the plan, that must have succeeded before.
    pub after: Vec<usize>,
    /// Why, in a few words.
    pub reason: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Writes one resource of an endpoint.
    Network(NetworkChange),
    /// Writes one name in one account.
    Record(RecordChange),
    /// Waits until a withdrawn name is gone from every authoritative server and from every cache.
    Settle(Settle),
}

/// A change to an endpoint's public IP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkChange {
    /// The endpoint.
    pub endpoint: Handle,
    /// What is wanted.
    pub spec: PublicIpSpec,
    /// What is held, with the version that the write depends on; `None` creates.
    pub held: Option<PublicIp>,
    /// Whether it is deleted.
    pub delete: bool,
}

/// A change to one name in one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordChange {
    /// The name and the account.
    pub key: RecordKey,
    /// What is replaced or withdrawn, with the versions that the write depends on; empty creates.
    pub before: Vec<RecordSet>,
    /// What shall stand there; `None` withdraws.
    pub after: Option<Content>,
}

/// The wait between a withdrawal and what it makes safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// The withdrawn name.
    pub key: RecordKey,
    /// How long a cache may still give it, once no authoritative server does.
    pub ttl: Ttl,
}

/// A piece of work that cannot be planned yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Blocked {
    /// What waits.
    pub subject: Subject,
    /// For what, in a phrase.
    pub waits_for: String,
    /// Whether that is something this very round brings about, rather than somebody else.
    pub ours: bool,
}

/// Something that differs and is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// What differs.
    pub subject: Subject,
    /// How, in a sentence.
    pub text: String,
}

/// The verb of a change, as in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Makes what is missing.
    Create,
    /// Changes what is there.
    Update,
    /// Takes away what is there.
    Delete,
}

/// What follows from `desired` and `observed`.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let mut planner = Planner {
        desired,
        observed,
        plan: Plan {
            owner: desired.owner.clone(),
            steps: Vec::new(),
            blocked: Vec::new(),
            notes: Vec::new(),
        },
    };
    for endpoint in desired.endpoints.values() {
        planner.endpoint(endpoint);
    }
    if desired.prune {
        planner.strays();
    }
    planner.plan
}

struct Planner<'p> {
    desired: &'p Desired,
    observed: &'p Observed,
    plan: Plan,
}

impl<'p> Planner<'p> {
    fn endpoint(&mut self, endpoint: &'p Endpoint) {
        let subject = Subject::PublicIp(endpoint.name.clone());
        let Some(state) = self.observed.endpoints.get(&endpoint.name) else {
            return self.freeze(endpoint, &subject, "the public IP, which was not read");
        };
        match (&state.public_ip, endpoint.intent) {
            (Seen::Unknown(reason), _) => {
                self.freeze(endpoint, &subject, &format!("the public IP, which could not be read: {reason}"));
            }
            (_, Intent::Remove) => self.take_down(endpoint, state),
            (Seen::Present(ip), intent) => self.follow(endpoint, ip, intent),
            (Seen::Absent, Intent::Hold) => self.create(endpoint, state, &subject),
            (Seen::Absent, Intent::Watch) => self.orphaned(endpoint, state, &subject),
        }
    }

    /// Nothing that depends on an unknown changes.
    fn freeze(&mut self, endpoint: &Endpoint, subject: &Subject, waits_for: &str) {
        self.block(subject.clone(), waits_for, false);
        for (key, _) in self.desired.records_of(&endpoint.name) {
            self.block(Subject::Record(key.clone()), waits_for, false);
        }
    }

    fn create(&mut self, endpoint: &'p Endpoint, state: &EndpointState, subject: &Subject) {
        if let Seen::Unknown(reason) = &state.label {
            let waits_for =
                format!("the label {}, whose holder could not be read: {reason}", endpoint.public_ip.label);
            return self.freeze(endpoint, subject, &waits_for);
        }
        let spec = &endpoint.public_ip;
        let change =
            NetworkChange { endpoint: endpoint.name.clone(), spec: spec.clone(), held: None, delete: false };
        let reason = format!("label {} in {}", spec.label, spec.location);
        self.step(Some(&endpoint.name), Action::Network(change), Vec::new(), reason);
        for (key, wanted) in self.desired.records_of(&endpoint.name) {
            if wanted.withdraw {
                self.withdraw(key, wanted);
            } else {
                self.block(Subject::Record(key.clone()), "the name that Azure gives the new label", true);
            }
        }
    }

    /// The watched public IP is gone: a name of ours whose label anybody may now claim is withdrawn.
    fn orphaned(&mut self, endpoint: &'p Endpoint, state: &EndpointState, subject: &Subject) {
        let waits_for = format!("the public IP {}, which does not exist", endpoint.public_ip.name);
        self.block(subject.clone(), &waits_for, false);
        let claimable = matches!(state.label, Seen::Present(super::state::LabelHolder::Nobody));
        for (key, wanted) in self.desired.records_of(&endpoint.name) {
            let dangling = self.observed.sets(key).iter().any(|set| {
                set.is_ours(&self.desired.owner)
                    && matches!(&set.content.data, Data::Cname(target) if target.labels().next() == Some(endpoint.public_ip.label.as_str()))
            });
            if wanted.withdraw || (claimable && dangling) {
                self.withdraw(key, wanted);
            } else {
                self.block(Subject::Record(key.clone()), &waits_for, false);
            }
        }
    }

    fn follow(&mut self, endpoint: &'p Endpoint, ip: &'p PublicIp, intent: Intent) {
        let spec = &endpoint.public_ip;
        self.differences(endpoint, ip);
        let subject = || Subject::PublicIp(endpoint.name.clone());
        let labelled = ip.label.as_ref() == Some(&spec.label);
        if intent == Intent::Hold && ip.provisioning == Provisioning::Busy {
            self.block(subject(), "another operation on the public IP to end", false);
        } else if intent == Intent::Hold && !labelled && ip.label.is_some() {
            return self.relabel(endpoint, ip);
        } else if intent == Intent::Hold && (!labelled || ip.provisioning == Provisioning::Failed) {
            let reason = if labelled {
                "its last operation failed".into()
            } else {
                format!("give it the label {}", spec.label)
            };
            self.step(
                Some(&endpoint.name),
                Action::Network(NetworkChange::keep(endpoint, ip)),
                Vec::new(),
                reason,
            );
        } else if ip.label.is_some() && !labelled {
            let text = format!(
                "its label is {}, not {}; names follow it as it is",
                shown(ip.label.as_ref()),
                spec.label
            );
            self.plan.notes.push(Note { subject: subject(), text });
        }
        for (key, wanted) in self.desired.records_of(&endpoint.name) {
            self.record(key, wanted, ip, intent == Intent::Hold && !labelled);
        }
    }

    /// What only a new resource could change is told, and left.
    fn differences(&mut self, endpoint: &Endpoint, ip: &PublicIp) {
        let spec = &endpoint.public_ip;
        let mut differ = Vec::new();
        if !ip.location.eq_ignore_ascii_case(&spec.location) {
            differ.push(format!("it is in {}, not in {}", ip.location, spec.location));
        }
        if ip.allocation != spec.allocation {
            differ.push(format!(
                "its allocation is {}, not {}",
                shown(Some(&ip.allocation)),
                shown(Some(&spec.allocation))
            ));
        }
        if spec.label_scope.is_some() && ip.label_scope != spec.label_scope {
            differ.push("its label has another scope, which is settable only at creation".into());
        }
        for text in differ {
            self.plan.notes.push(Note { subject: Subject::PublicIp(endpoint.name.clone()), text });
        }
    }

    /// Withdraw, rename, restore: a public IP has one label, so the old one is free the moment it is renamed.
    fn relabel(&mut self, endpoint: &'p Endpoint, ip: &'p PublicIp) {
        let mut settled = Vec::new();
        let mut frozen = false;
        for (key, wanted) in self.desired.records_of(&endpoint.name) {
            let by_label = self.observed.zone(key).is_ok_and(|zone| mode(key, wanted, zone) == Mode::Cname);
            if by_label || wanted.withdraw {
                frozen |= !self.withdraw_and_settle(endpoint, key, wanted, &mut settled);
                if !wanted.withdraw {
                    self.block(Subject::Record(key.clone()), "the name that Azure gives the new label", true);
                }
            } else {
                self.record(key, wanted, ip, false);
                frozen |= self.observed.zone(key).is_err();
            }
        }
        if frozen {
            let waits_for = "every name on its label to be readable and withdrawn";
            return self.block(Subject::PublicIp(endpoint.name.clone()), waits_for, false);
        }
        let reason = format!("rename its label {} to {}", shown(ip.label.as_ref()), endpoint.public_ip.label);
        self.step(Some(&endpoint.name), Action::Network(NetworkChange::keep(endpoint, ip)), settled, reason);
    }

    /// Names first, then the wait, then what we made; what was there before stays.
    fn take_down(&mut self, endpoint: &'p Endpoint, state: &EndpointState) {
        let ip = state.public_ip.present();
        let ours = ip.is_some_and(|ip| ip.mark.as_ref() == Some(&self.desired.owner));
        let mut settled = Vec::new();
        let mut frozen = false;
        for (key, wanted) in self.desired.records_of(&endpoint.name) {
            if ours {
                frozen |= !self.withdraw_and_settle(endpoint, key, wanted, &mut settled);
            } else {
                self.withdraw(key, wanted);
            }
        }
        let subject = Subject::PublicIp(endpoint.name.clone());
        match ip {
            Some(ip) if ours && frozen => {
                let waits_for =
                    format!("every name on {} to be readable and withdrawn", shown(ip.fqdn.as_ref()));
                self.block(subject, &waits_for, false);
            }
            Some(ip) if ours => {
                let change = NetworkChange { delete: true, ..NetworkChange::keep(endpoint, ip) };
                self.step(
                    Some(&endpoint.name),
                    Action::Network(change),
                    settled,
                    "every name has been withdrawn".into(),
                );
            }
            Some(_) => self.plan.notes.push(Note { subject, text: "was there before and stays".into() }),
            None => {}
        }
    }

    /// Plans the withdrawal of `key` and the wait after it; `false` when the name cannot be vouched for.
    ///
    /// A name that is already gone is waited for as well: nothing says when it went, and a cache may still give it.
    fn withdraw_and_settle(
        &mut self,
        endpoint: &Endpoint,
        key: &RecordKey,
        wanted: &Wanted,
        settled: &mut Vec<usize>,
    ) -> bool {
        let zoned = !matches!(self.observed.zone(key), Err(NoZone::Unknown(_)));
        let readable = matches!(self.observed.records.get(key), Some(Seen::Present(_) | Seen::Absent));
        if !zoned || !readable {
            self.block(Subject::Record(key.clone()), &self.unreadable(key), false);
            return false;
        }
        let held = self.observed.sets(key).iter().filter(|set| set.is_ours(&self.desired.owner));
        let ttl = held.map(|set| set.content.ttl).chain([wanted.ttl]).max().unwrap_or(wanted.ttl);
        let ours = self.observed.sets(key).iter().any(|set| set.is_ours(&self.desired.owner));
        let withdrawal = self.withdraw(key, wanted);
        if ours && withdrawal.is_none() {
            return false;
        }
        let settle = Action::Settle(Settle { key: key.clone(), ttl });
        let reason = format!("a cache may give it for {ttl} more");
        settled.push(self.step(Some(&endpoint.name), settle, withdrawal.into_iter().collect(), reason));
        true
    }

    /// Plans the withdrawal of what is ours at `key`; `None` when there is nothing to withdraw or it may not be.
    fn withdraw(&mut self, key: &RecordKey, wanted: &Wanted) -> Option<usize> {
        if let Some(Seen::Unknown(_)) | None = self.observed.records.get(key) {
            self.block(Subject::Record(key.clone()), &self.unreadable(key), false);
            return None;
        }
        let ours: Vec<RecordSet> =
            self.observed.sets(key).iter().filter(|set| set.is_ours(&self.desired.owner)).cloned().collect();
        if ours.is_empty() {
            return None;
        }
        if wanted.policy != Policy::Sync {
            let waits_for = "its policy to be \"sync\", which alone may withdraw";
            self.block(Subject::Record(key.clone()), waits_for, false);
            return None;
        }
        let change = RecordChange { key: key.clone(), before: ours, after: None };
        Some(self.step(Some(&wanted.endpoint), Action::Record(change), Vec::new(), "withdrawn".into()))
    }

    fn record(&mut self, key: &RecordKey, wanted: &Wanted, ip: &PublicIp, label_comes: bool) {
        if wanted.withdraw {
            self.withdraw(key, wanted);
            return;
        }
        let Ok(zone) = self.observed.zone(key) else {
            // A name without one zone is refused by the guard; an unread account is waited for here.
            if let Err(NoZone::Unknown(reason)) = self.observed.zone(key) {
                let waits_for = format!("the zones of {}, which could not be read: {reason}", key.account);
                self.block(Subject::Record(key.clone()), &waits_for, false);
            }
            return;
        };
        let sets = match self.observed.records.get(key) {
            Some(Seen::Present(sets)) => sets.as_slice(),
            Some(Seen::Absent) => &[],
            Some(Seen::Unknown(_)) | None => {
                return self.block(Subject::Record(key.clone()), &self.unreadable(key), false);
            }
        };
        let Some(content) = content(key, wanted, zone, ip) else {
            let waits_for = match mode(key, wanted, zone) {
                Mode::Address => "the endpoint's address, which is released",
                _ if label_comes => "the name that Azure gives the new label",
                _ => "a DNS label on the public IP",
            };
            return self.block(Subject::Record(key.clone()), waits_for, label_comes);
        };
        let apex = zone.name.apex() == &key.name;
        let before: Vec<RecordSet> =
            sets.iter().filter(|set| displaced(&content.data, &set.content.data, apex)).cloned().collect();
        let settled = |set: &RecordSet| set.is_ours(&self.desired.owner) && same(&set.content, &content);
        if matches!(before.as_slice(), [set] if settled(set))
            || (wanted.policy == Policy::CreateOnly && !before.is_empty())
        {
            return;
        }
        let reason = reason(&before, &content, &self.desired.owner, &wanted.endpoint);
        let change = RecordChange { key: key.clone(), before, after: Some(content) };
        self.step(Some(&wanted.endpoint), Action::Record(change), Vec::new(), reason);
    }

    /// Marked records that the configuration no longer names.
    fn strays(&mut self) {
        for (key, seen) in &self.observed.records {
            if self.desired.records.contains_key(key) {
                continue;
            }
            let sets = seen.present().map_or(&[][..], Vec::as_slice);
            let ours: Vec<RecordSet> =
                sets.iter().filter(|set| set.is_ours(&self.desired.owner)).cloned().collect();
            if !ours.is_empty() {
                let change = RecordChange { key: key.clone(), before: ours, after: None };
                self.step(
                    None,
                    Action::Record(change),
                    Vec::new(),
                    "carries our mark, and the configuration does not name it".into(),
                );
            }
        }
    }

    fn step(
        &mut self,
        endpoint: Option<&Handle>,
        action: Action,
        after: Vec<usize>,
        reason: String,
    ) -> usize {
        self.plan.steps.push(Step { action, endpoint: endpoint.cloned(), after, reason });
        self.plan.steps.len() - 1
    }

    fn block(&mut self, subject: Subject, waits_for: &str, ours: bool) {
        self.plan.blocked.push(Blocked { subject, waits_for: waits_for.to_owned(), ours });
    }

    fn unreadable(&self, key: &RecordKey) -> String {
        let reason = match (self.observed.zone(key), self.observed.records.get(key)) {
            (Err(NoZone::Unknown(reason)), _) => reason,
            (_, Some(Seen::Unknown(reason))) => reason.clone(),
            _ => "it was not read".into(),
        };
        format!("what {} holds, which could not be read: {reason}", key.account)
    }
}

/// The mode in force: `auto` decided by where the name stands.
#[must_use]
pub fn mode(key: &RecordKey, wanted: &Wanted, zone: &Zone) -> Mode {
    match wanted.mode {
        Mode::Auto if zone.name.apex() == &key.name && zone.rules.alias => Mode::Alias,
        Mode::Auto => Mode::Cname,
        chosen => chosen,
    }
}

/// What shall stand at `key` while its endpoint is `ip`; `None` while the endpoint does not have it to give.
#[must_use]
pub fn content(key: &RecordKey, wanted: &Wanted, zone: &Zone, ip: &PublicIp) -> Option<Content> {
    let data = match mode(key, wanted, zone) {
        Mode::Cname | Mode::Auto => Data::Cname(ip.fqdn.clone()?),
        Mode::Address => Data::address(ip.address?),
        Mode::Alias => {
            let v6 = ip.address.is_some_and(|address| address.is_ipv6());
            Data::Alias { rtype: if v6 { RecordType::Aaaa } else { RecordType::A }, target: ip.id.clone() }
        }
    };
    let proxied = wanted.proxied && zone.rules.proxying;
    // Cloudflare keeps every proxied record on automatic, whatever was asked for.
    let ttl = if proxied { Ttl::AUTOMATIC } else { wanted.ttl };
    Some(Content { data, ttl, proxied })
}

/// Whether `held` cannot stay as it is when `wanted` comes: it is the set to change, or one that cannot stand beside.
///
/// A CNAME stands alone (RFC 1034, 3.6.2), but for an apex, where it is flattened and clashes with addresses only.
fn displaced(wanted: &Data, held: &Data, apex: bool) -> bool {
    let (wanted, held) = (wanted.rtype(), held.rtype());
    match (&wanted, &held) {
        _ if wanted == held => true,
        (RecordType::Cname, RecordType::A | RecordType::Aaaa) | (_, RecordType::Cname) => true,
        (RecordType::Cname, _) => !apex,
        _ => false,
    }
}

fn same(held: &Content, wanted: &Content) -> bool {
    held.data.same(&wanted.data) && held.ttl == wanted.ttl && held.proxied == wanted.proxied
}

fn reason(before: &[RecordSet], after: &Content, owner: &Owner, endpoint: &Handle) -> String {
    let Some(first) = before.first() else { return format!("follows {endpoint}") };
    let held = &first.content;
    let mut why = Vec::new();
    if before.len() > 1 || held.data.rtype() != after.data.rtype() {
        why.push(format!("{} becomes {}", held.data.rtype(), after.data.rtype()));
    } else if !held.data.same(&after.data) {
        why.push(format!("{endpoint} is elsewhere now"));
    }
    if held.ttl != after.ttl {
        why.push(format!("TTL {} becomes {}", held.ttl, after.ttl));
    }
    if held.proxied != after.proxied {
        why.push(if after.proxied {
            "the proxy is wanted".into()
        } else {
            "somebody turned the proxy on".into()
        });
    }
    if !before.iter().all(|set| set.is_ours(owner)) {
        why.push("taken over".into());
    }
    why.join(", ")
}

fn shown<T: fmt::Debug>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}").to_lowercase())
}

impl NetworkChange {
    fn keep(endpoint: &Endpoint, ip: &PublicIp) -> Self {
        Self {
            endpoint: endpoint.name.clone(),
            spec: endpoint.public_ip.clone(),
            held: Some(ip.clone()),
            delete: false,
        }
    }

    /// What it does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match (&self.held, self.delete) {
            (_, true) => Verb::Delete,
            (None, false) => Verb::Create,
            (Some(_), false) => Verb::Update,
        }
    }
}

impl RecordChange {
    /// What it does.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match (self.before.is_empty(), &self.after) {
            (_, None) => Verb::Delete,
            (true, Some(_)) => Verb::Create,
            (false, Some(_)) => Verb::Update,
        }
    }
}

impl Plan {
    /// Whether there is nothing to do and nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.blocked.is_empty()
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicIp(endpoint) => write!(f, "public IP of {endpoint}"),
            Self::Record(key) => key.fmt(f),
        }
    }
}
