//! The derivation: what follows from what is wanted and what was seen.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::gateway::Shared;
use super::release::Leaving;
use super::text::reason;
use super::{Action, Blocked, NetworkChange, Note, Plan, RecordChange, Step, Subject};
use crate::model::endpoint::{Endpoint, Handle, Intent, Provisioning, PublicIp, same_region};
use crate::model::name::Fqdn;
use crate::model::record::{Content, Data, Mode, Policy, RecordSet, RecordType, Ttl};
use crate::model::state::{
    Desired, EndpointState, LabelHolder, NoZone, Observed, RecordKey, Seen, Wanted, Zone,
};
use crate::model::zone::ZoneIndex;

/// What follows from `desired` and `observed`.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let mut planner = Planner::new(desired, observed);
    for endpoint in planner.in_order() {
        planner.endpoint(endpoint);
    }
    planner.leaderless();
    if desired.prune {
        planner.strays();
    }
    planner.releases();
    planner.groups();
    planner.plan
}

/// A name in an account and what is wanted of it.
pub(super) type Follower<'p> = (&'p RecordKey, &'p Wanted);

pub(super) struct Planner<'p> {
    pub(super) desired: &'p Desired,
    pub(super) observed: &'p Observed,
    pub(super) zones: ZoneIndex<'p>,
    pub(super) plan: Plan,
    /// The labels to give up, once everything else is planned.
    pub(super) releases: Vec<Leaving<'p>>,
    /// The step that writes each name.
    pub(super) written: HashMap<&'p RecordKey, usize>,
    /// Every name of ours that points at a name, by that name. Only a release asks.
    pub(super) pointing: OnceCell<HashMap<&'p Fqdn, Vec<&'p RecordKey>>>,
    /// What the gateways of several endpoints share.
    pub(super) shared: Shared<'p>,
    /// The steps without which a name of the endpoint at hand would lead to a closed door, or nowhere; what it waits for
    /// where nobody knows them.
    behind: Result<Vec<usize>, &'static str>,
    followers: HashMap<&'p Handle, Vec<Follower<'p>>>,
}

impl<'p> Planner<'p> {
    fn new(desired: &'p Desired, observed: &'p Observed) -> Self {
        let mut followers: HashMap<&Handle, Vec<Follower<'_>>> = HashMap::new();
        for (key, wanted) in &desired.records {
            followers.entry(&wanted.endpoint).or_default().push((key, wanted));
        }
        let owner = desired.owner.clone();
        Self {
            desired,
            observed,
            zones: ZoneIndex::new(observed),
            plan: Plan { owner, steps: Vec::new(), blocked: Vec::new(), notes: Vec::new() },
            releases: Vec::new(),
            written: HashMap::new(),
            pointing: OnceCell::new(),
            shared: Shared::default(),
            behind: Ok(Vec::new()),
            followers,
        }
    }

    fn endpoint(&mut self, endpoint: &'p Endpoint) {
        let Some(state) = self.observed.endpoints.get(&endpoint.name) else {
            return self.freeze(endpoint, "the public IP, which was not read");
        };
        match (&state.public_ip, endpoint.intent) {
            (Seen::Unknown(reason), _) => {
                self.freeze(endpoint, &format!("the public IP, which could not be read: {reason}"));
            }
            (_, Intent::Remove) => self.take_down(endpoint, state.public_ip.present()),
            (Seen::Present(ip), _) => self.follow(endpoint, state, ip),
            (Seen::Absent, Intent::Hold) => self.create(endpoint, state),
            (Seen::Absent, Intent::Watch) => self.lost(endpoint, state),
        }
    }

    /// Nothing that depends on an unknown changes; a withdrawal that was asked for depends on nothing.
    fn freeze(&mut self, endpoint: &'p Endpoint, waits_for: &str) {
        self.miss(endpoint, waits_for);
        for (key, wanted) in self.followers_of(&endpoint.name) {
            if wanted.withdraw {
                self.withdraw(key, wanted, REMOVED);
            } else {
                self.block(Subject::Record(key.clone()), waits_for, false);
            }
        }
    }

    /// The public IP waits, unless it is only watched and every name that follows it goes away.
    fn miss(&mut self, endpoint: &Endpoint, waits_for: &str) {
        let followers = self.followers_of(&endpoint.name);
        let gone = !followers.is_empty() && followers.iter().all(|(_, wanted)| wanted.withdraw);
        if endpoint.intent != Intent::Watch || !gone {
            self.block(Subject::PublicIp(endpoint.name.clone()), waits_for, false);
        }
    }

    fn create(&mut self, endpoint: &'p Endpoint, state: &EndpointState) {
        if let Some(unknown) = unasked(endpoint, state) {
            return self.freeze(endpoint, &unknown);
        }
        let spec = &endpoint.public_ip;
        let name = endpoint.name.clone();
        let change = NetworkChange { endpoint: name, spec: spec.clone(), held: None, delete: false };
        let action = Action::Network(Box::new(change));
        let made = self.step(Some(&endpoint.name), action, Vec::new(), "does not exist yet".into());
        self.gateway(endpoint, Some(made));
        for (key, wanted) in self.followers_of(&endpoint.name) {
            if wanted.withdraw {
                self.withdraw(key, wanted, REMOVED);
            } else {
                self.block(Subject::Record(key.clone()), &self.new_name(key), true);
            }
        }
    }

    /// What `key` waits for until the label has a name, and what it then takes from others: whoever agrees to that
    /// agrees now.
    fn new_name(&self, key: &RecordKey) -> String {
        let others = |set: &&RecordSet| !set.is_ours(&self.desired.owner);
        let taken = self.desired.consents.adopt.contains_key(&key.name);
        match sorted(self.observed.sets(key).iter().filter(others)).first() {
            Some(first) if taken => format!("{NEW_NAME}, then takes over {first}"),
            _ => NEW_NAME.to_owned(),
        }
    }

    /// The watched public IP is gone: a name of ours whose label anybody may now claim is withdrawn.
    fn lost(&mut self, endpoint: &'p Endpoint, state: &EndpointState) {
        let waits_for = format!("the public IP {}, which does not exist", endpoint.public_ip.name);
        self.miss(endpoint, &waits_for);
        for (key, wanted) in self.followers_of(&endpoint.name) {
            if wanted.withdraw {
                self.withdraw(key, wanted, REMOVED);
            } else if self.claimable(endpoint, state, key) {
                self.withdraw(key, wanted, claimable_by(endpoint));
            } else {
                self.block(Subject::Record(key.clone()), &waits_for, false);
            }
        }
    }

    /// Whether a CNAME of ours at `key` points at the endpoint's label, and nobody holds that.
    fn claimable(&self, endpoint: &Endpoint, state: &EndpointState, key: &RecordKey) -> bool {
        matches!(state.label, Seen::Present(LabelHolder::Nobody))
            && self.ours(key).any(|set| points_at_label(&set.content, endpoint))
    }

    fn follow(&mut self, endpoint: &'p Endpoint, state: &EndpointState, ip: &'p PublicIp) {
        let spec = &endpoint.public_ip;
        self.differences(endpoint, ip);
        self.unwatched(endpoint, ip);
        let subject = || Subject::PublicIp(endpoint.name.clone());
        let hold = endpoint.intent == Intent::Hold;
        let labelled = ip.label.as_ref() == Some(&spec.label);
        let mut coming = None;
        self.behind = Ok(Vec::new());
        if !hold {
            if let (false, Some(label)) = (labelled, &ip.label) {
                let text = format!("its label is {label}, not {}; names follow it as it is", spec.label);
                self.plan.notes.push(Note { subject: subject(), text });
            }
        } else if ip.provisioning == Provisioning::Busy {
            self.block(subject(), BUSY, false);
        } else if !labelled {
            if let Some(unknown) = unasked(endpoint, state) {
                self.block(subject(), &unknown, false);
                self.behind = self.gateway(endpoint, None).ok_or(BEHIND);
            } else if ip.label.is_some() {
                self.behind = self.gateway(endpoint, None).ok_or(BEHIND);
                // Until it may be renamed, names follow it as it is: the label that they point at is anybody's.
                if self.desired.consents.relabel && state.label == Seen::Present(LabelHolder::Nobody) {
                    self.relabel(endpoint, ip);
                    self.behind = Ok(Vec::new());
                    return;
                }
            } else {
                let reason = format!("it has no label, and {} is wanted", spec.label);
                coming = Some(self.keep(endpoint, ip, reason));
                self.behind = self.gateway(endpoint, coming).ok_or(BEHIND);
            }
        } else {
            let failed = ip.provisioning == Provisioning::Failed;
            let repair = failed.then(|| self.keep(endpoint, ip, "its last operation failed".into()));
            self.behind = self.gateway(endpoint, repair).ok_or(BEHIND);
        }
        // It may be on its way out, and its label with it.
        if ip.provisioning == Provisioning::Busy {
            self.behind = Err(BUSY);
        }
        for (key, wanted) in self.followers_of(&endpoint.name) {
            // Whoever shall have the address has nothing to wait for: its name is mended, not taken away.
            let left = ip.fqdn.is_none()
                && !self.zones.of(key).is_ok_and(|zone| content(key, wanted, zone, ip).is_some());
            if !hold && left && !wanted.withdraw && self.claimable(endpoint, state, key) {
                self.withdraw(key, wanted, claimable_by(endpoint));
            } else {
                self.record(key, wanted, ip, coming.is_some());
            }
        }
        self.behind = Ok(Vec::new());
    }

    fn keep(&mut self, endpoint: &'p Endpoint, ip: &PublicIp, reason: String) -> usize {
        let change = NetworkChange::of(endpoint, ip, false);
        self.step(Some(&endpoint.name), Action::Network(Box::new(change)), Vec::new(), reason)
    }

    /// What only a new resource could change is told, and left.
    fn differences(&mut self, endpoint: &Endpoint, ip: &PublicIp) {
        let spec = &endpoint.public_ip;
        let mut differ = Vec::new();
        if !same_region(&ip.location, &spec.location) {
            differ.push(format!("it is in {}, not in {}", ip.location, spec.location));
        }
        if ip.allocation != spec.allocation {
            differ.push(format!("its address is {}, not {}", ip.allocation, spec.allocation));
        }
        match (spec.label_scope, ip.label_scope) {
            (Some(wanted), Some(held)) if wanted != held => {
                differ
                    .push(format!("its label's scope is {held}, not {wanted}, and is set at creation only"));
            }
            (Some(wanted), None) => {
                differ.push(format!("its label has no scope, not {wanted}, and gets one at creation only"));
            }
            _ => {}
        }
        for text in differ {
            self.plan.notes.push(Note { subject: Subject::PublicIp(endpoint.name.clone()), text });
        }
    }

    /// Plans the withdrawal of what is ours at `key`, if there is something and it may be.
    pub(super) fn withdraw(&mut self, key: &'p RecordKey, wanted: &'p Wanted, reason: &str) {
        if let Some(unreadable) = self.unreadable(key) {
            return self.block(Subject::Record(key.clone()), &unreadable, false);
        }
        let before = sorted(self.ours(key));
        if before.is_empty() {
            return self.others_stay(key);
        }
        if wanted.policy != Policy::Sync {
            return self.block(Subject::Record(key.clone()), MAY_NOT_WITHDRAW, false);
        }
        let change = RecordChange { key: key.clone(), before, after: None };
        self.write(key, Some(&wanted.endpoint), change, reason.to_owned());
    }

    /// What stands at a name to be withdrawn, and is not ours, is told, and left.
    fn others_stay(&mut self, key: &RecordKey) {
        if let Some(first) = sorted(self.observed.sets(key).iter()).first() {
            let mark = first.mark.as_ref().map_or_else(
                || "does not carry our mark".to_owned(),
                |owner| format!("carries the mark of {owner}"),
            );
            let text = format!("is {}, {mark}, and stays", first.content.data);
            self.plan.notes.push(Note { subject: Subject::Record(key.clone()), text });
        }
    }

    pub(super) fn record(&mut self, key: &'p RecordKey, wanted: &'p Wanted, ip: &PublicIp, coming: bool) {
        if wanted.withdraw {
            return self.withdraw(key, wanted, REMOVED);
        }
        if let Some(unreadable) = self.unreadable(key) {
            return self.block(Subject::Record(key.clone()), &unreadable, false);
        }
        // A name without exactly one zone is refused by the guard.
        let Ok(zone) = self.zones.of(key) else { return };
        let Some(content) = content(key, wanted, zone, ip) else {
            let waits_for = match mode(key, wanted, zone) {
                Mode::Address => "the endpoint's address, which is released",
                _ if coming => NEW_NAME,
                _ => "a DNS label on the public IP",
            };
            return self.block(Subject::Record(key.clone()), waits_for, coming);
        };
        let owner = &self.desired.owner;
        let apex = zone.name.apex() == &key.name;
        let rtype = content.data.rtype();
        let displaced = |set: &&RecordSet| set.is_ours(owner) || displaced(&rtype, set, apex);
        let before = sorted(self.observed.sets(key).iter().filter(displaced));
        let settled = |set: &RecordSet| set.is_ours(owner) && set.content.same(&content);
        if matches!(before.as_slice(), [set] if settled(set)) {
            return;
        }
        if let (Policy::CreateOnly, Some(first)) = (wanted.policy, before.first()) {
            let held = &first.content;
            let text = if held.data.same(&content.data) {
                "differs, and stays: its policy is create-only".into()
            } else {
                format!("is {}, not {}, and stays: its policy is create-only", held.data, content.data)
            };
            return self.plan.notes.push(Note { subject: Subject::Record(key.clone()), text });
        }
        let reason = reason(&before, &content, owner, (&wanted.endpoint, zone));
        let change = RecordChange { key: key.clone(), before, after: Some(content) };
        self.write(key, Some(&wanted.endpoint), change, reason);
    }

    /// Records that follow an endpoint that is not wanted at all.
    fn leaderless(&mut self) {
        for (key, wanted) in &self.desired.records {
            if !self.desired.endpoints.contains_key(&wanted.endpoint) {
                let waits_for =
                    format!("the endpoint {}, which the configuration does not name", wanted.endpoint);
                self.block(Subject::Record(key.clone()), &waits_for, false);
            }
        }
    }

    pub(super) fn write(
        &mut self,
        key: &'p RecordKey,
        endpoint: Option<&Handle>,
        change: RecordChange,
        reason: String,
    ) {
        // A new name comes last, so that whoever tries it finds the door open; one that is mended waits for nothing.
        let new = change.before.is_empty() && change.after.is_some();
        let after = match &self.behind {
            Ok(behind) if new => behind.clone(),
            Err(waits_for) if new => return self.block(Subject::Record(key.clone()), waits_for, false),
            _ => Vec::new(),
        };
        let step = self.step(endpoint, Action::Record(change), after, reason);
        self.written.insert(key, step);
    }

    pub(super) fn step(
        &mut self,
        endpoint: Option<&Handle>,
        action: Action,
        after: Vec<usize>,
        reason: String,
    ) -> usize {
        self.plan.steps.push(Step { action, endpoint: endpoint.cloned(), after, reason });
        self.plan.steps.len() - 1
    }

    pub(super) fn block(&mut self, subject: Subject, waits_for: &str, ours: bool) {
        self.plan.blocked.push(Blocked { subject, waits_for: waits_for.to_owned(), ours });
    }

    pub(super) fn followers_of(&self, endpoint: &Handle) -> Vec<Follower<'p>> {
        self.followers.get(endpoint).cloned().unwrap_or_default()
    }

    /// The sets at `key` that are ours.
    pub(super) fn ours(&self, key: &RecordKey) -> impl Iterator<Item = &'p RecordSet> {
        self.observed.sets(key).iter().filter(|set| set.is_ours(&self.desired.owner))
    }

    /// What `key` waits for when it was not read: its account's zones, or itself.
    pub(super) fn unreadable(&self, key: &RecordKey) -> Option<String> {
        let reason = match (self.zones.of(key), self.observed.records.get(key)) {
            (Err(NoZone::Unknown(reason)), _) => {
                return Some(format!("the zones of {}, which could not be read: {reason}", key.account));
            }
            // The guard refuses it with what there is to say.
            (Err(NoZone::None | NoZone::Several(..)), None) => return None,
            (_, Some(Seen::Present(_) | Seen::Absent)) => return None,
            (_, Some(Seen::Unknown(reason))) => reason,
            (_, None) => "it was not looked at",
        };
        Some(format!("what {} holds there, which could not be read: {reason}", key.account))
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
        Mode::Alias => Data::Alias { rtype: RecordType::of(ip.address), target: ip.id.clone() },
    };
    let proxied = wanted.proxied && zone.rules.proxying;
    // Cloudflare keeps every proxied record on automatic, whatever was asked for.
    let ttl = if proxied { Ttl::AUTOMATIC } else { wanted.ttl };
    Some(Content { data, ttl, proxied })
}

/// Whether `held` cannot stay as it is when a set of type `wanted` comes: it is the set to change, or one that
/// cannot stand beside it.
///
/// A CNAME stands alone (RFC 1034, 3.6.2), but for an apex, where it is flattened and clashes with addresses only.
/// Below a delegation nothing is served (RFC 1034, 4.2.1).
pub(in crate::model) fn displaced(wanted: &RecordType, held: &RecordSet, apex: bool) -> bool {
    let held = held.content.data.rtype();
    match (wanted, &held) {
        (wanted, held) if wanted == held => true,
        (RecordType::Cname, RecordType::A | RecordType::Aaaa) | (_, RecordType::Cname) => true,
        (RecordType::Cname, _) => !apex,
        (_, RecordType::Other(other)) => !apex && other == "NS",
        _ => false,
    }
}

/// Whether `content` is a CNAME at a name that begins with the endpoint's label, as only Azure's names of it do.
pub(in crate::model) fn points_at_label(content: &Content, endpoint: &Endpoint) -> bool {
    let spec = &endpoint.public_ip;
    let Data::Cname(target) = &content.data else { return false };
    let mut labels = target.labels();
    labels.next() == Some(spec.label.as_str()) && labels.any(|label| same_region(label, &spec.location))
}

/// What the label waits for when its holder is not known.
fn unasked(endpoint: &Endpoint, state: &EndpointState) -> Option<String> {
    let reason = match &state.label {
        Seen::Present(_) => return None,
        Seen::Absent => "nobody was asked",
        Seen::Unknown(reason) => reason,
    };
    Some(format!("the label {}, whose holder could not be read: {reason}", endpoint.public_ip.label))
}

/// In an order of their own, so that a provider's does not show.
pub(super) fn sorted<'s>(sets: impl Iterator<Item = &'s RecordSet>) -> Vec<RecordSet> {
    let mut sets: Vec<RecordSet> = sets.cloned().collect();
    sets.sort_by(|a, b| (a.content.data.rtype(), &a.version).cmp(&(b.content.data.rtype(), &b.version)));
    sets
}

pub(super) const NEW_NAME: &str = "the name that Azure gives the new label";
pub(super) const MAY_NOT_WITHDRAW: &str = "its policy to be \"sync\", which alone may withdraw";
/// What a new name waits for where that could not be looked at.
const BEHIND: &str = "what stands behind the public IP";
pub(super) const BUSY: &str = "another operation on the public IP to end";
pub(super) const REMOVED: &str = "its removal was asked for";
/// Why a name whose label is held by nobody is withdrawn: with a scope, only some could claim it.
fn claimable_by(endpoint: &Endpoint) -> &'static str {
    match endpoint.public_ip.label_scope {
        None => "nobody holds the label that it points at, so anybody could claim it",
        Some(_) => "nobody holds the label that it points at",
    }
}
