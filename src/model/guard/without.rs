//! What is left of a plan once something of it is refused.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::bond::{Bond, Bonds};
use super::{Refusal, Rule};
use crate::model::endpoint::{Endpoint, Handle, Intent};
use crate::model::gateway::{NatRule, SecurityGroup, marked};
use crate::model::plan::{Action, Blocked, Part, Piece, Plan, Step, Subject};
use crate::model::state::{Desired, Observed};

/// `plan` less what a refused endpoint builds, changes and takes down, and the same of any endpoint that waits for one of
/// those. Of a label that is refused alone nothing is in it to begin with.
///
/// Names stop for less than that: see [`Bond`]. So the same name in two accounts is held in one whatever the other
/// refuses, as it is while that does not answer. The way back from a change is about one name alone, with which it goes
/// or stops whole.
///
/// A security group stands before several endpoints: it goes with whichever of them may go on, unless what is in it or
/// behind it does not go.
pub(super) fn without(
    desired: &Desired,
    observed: &Observed,
    plan: Plan,
    refusals: &BTreeSet<Refusal>,
) -> Plan {
    if refusals.is_empty() {
        return plan;
    }
    let refused: HashSet<&Subject> = refusals.iter().map(|refusal| &refusal.subject).collect();
    let stopping: Vec<&Refusal> =
        refusals.iter().filter(|refusal| !is_of_label_alone(observed, &plan, refusal)).collect();
    // What a public IP shall become is no part of a door: a name follows it as it is.
    let is_of_door = |refusal: &&&Refusal| matches!(refusal.subject, Subject::Gateway(..));
    let stray = |refusal: &&Refusal| match &refusal.subject {
        Subject::Record(key) if refusal.endpoint.is_none() => Some(key.account.clone()),
        _ => None,
    };
    let mut stopped = Stopped {
        desired,
        observed,
        bonds: Bonds::of(desired, &plan),
        refused: &refused,
        endpoints: stopping.iter().filter_map(|refusal| refusal.endpoint.clone()).collect(),
        doors: stopping.iter().filter(is_of_door).filter_map(|refusal| refusal.endpoint.clone()).collect(),
        strays: stopping.iter().filter_map(stray).collect(),
        groups: HashSet::new(),
    };
    let mut held_back: Vec<Blocked> = stopped
        .spread(&plan)
        .into_iter()
        .map(|(subject, on)| Blocked {
            subject,
            waits_for: format!("the change of {on}, which was refused"),
            ours: false,
        })
        .collect();
    held_back.sort();
    // What a security rule would open is told with the rule.
    let unopened: HashSet<Subject> = (plan.steps.iter().enumerate())
        .filter(|(at, step)| stopped.holds(*at, step))
        .map(|(_, step)| step.subject())
        .filter(|subject| matches!(subject, Subject::Gateway(_, Piece::SecurityRule(_))))
        .collect();
    let mut moved = vec![None; plan.steps.len()];
    let mut steps = Vec::new();
    for (at, mut step) in plan.steps.into_iter().enumerate() {
        if !stopped.holds(at, &step) {
            step.after = step.after.iter().filter_map(|on| moved[*on]).collect();
            stopped.reassign(&mut step);
            moved[at] = Some(steps.len());
            steps.push(step);
        }
    }
    let mut blocked: Vec<Blocked> = (plan.blocked.into_iter())
        .filter(|blocked| !refused.contains(&blocked.subject))
        .map(|blocked| {
            let ours = blocked.ours && !stopped.stops(endpoint_of(desired, &blocked.subject));
            Blocked { ours, ..blocked }
        })
        .collect();
    blocked.append(&mut held_back);
    // What is refused for being somebody else's is told with that.
    let foreign = |subject: &Subject| {
        refusals.iter().any(|refusal| refusal.rule == Rule::Foreign && refusal.subject == *subject)
    };
    let notes = plan
        .notes
        .into_iter()
        .filter(|note| !foreign(&note.subject) && !unopened.contains(&note.subject))
        .collect();
    Plan { owner: plan.owner, steps, blocked, notes }
}

fn endpoint_of<'w>(desired: &'w Desired, subject: &'w Subject) -> Option<&'w Handle> {
    match subject {
        Subject::PublicIp(endpoint) | Subject::Gateway(endpoint, _) => Some(endpoint),
        Subject::Record(key) => desired.records.get(key).map(|wanted| &wanted.endpoint),
    }
}

/// Whether nothing is refused but the label that a public IP shall have instead of its own: names follow the one that it
/// has, and stopping them would leave them at one that is anybody's.
fn is_of_label_alone(observed: &Observed, plan: &Plan, refusal: &Refusal) -> bool {
    let (Rule::Relabel | Rule::Takeover, Subject::PublicIp(endpoint)) = (refusal.rule, &refusal.subject)
    else {
        return false;
    };
    let changes =
        |step: &Step| matches!(&step.action, Action::Network(change) if change.endpoint == *endpoint);
    observed.public_ip(endpoint).is_some_and(|ip| ip.label.is_some()) && !plan.steps.iter().any(changes)
}

/// What does not go on: endpoints, what leads to doors, what an account has too much of, and security groups by their steps.
struct Stopped<'s> {
    desired: &'s Desired,
    observed: &'s Observed,
    bonds: Bonds<'s>,
    refused: &'s HashSet<&'s Subject>,
    endpoints: HashSet<Handle>,
    /// The endpoints of which something is refused that a name would lead to.
    doors: HashSet<Handle>,
    /// The accounts that keep what the configuration does not name any more.
    strays: HashSet<Handle>,
    groups: HashSet<usize>,
}

impl Stopped<'_> {
    fn stops(&self, endpoint: Option<&Handle>) -> bool {
        endpoint.is_some_and(|endpoint| self.endpoints.contains(endpoint))
    }

    fn holds(&self, at: usize, step: &Step) -> bool {
        if going(step).is_some() {
            return self.groups.contains(&at);
        }
        let is_refused = || self.refused.contains(&step.subject());
        match self.bonds.bond(step) {
            Bond::Name => is_refused(),
            Bond::Door => {
                let shut = |endpoint| self.doors.contains(endpoint);
                step.endpoint.as_ref().is_some_and(shut) || is_refused()
            }
            Bond::Stray => {
                matches!(&step.action, Action::Record(change) if self.strays.contains(&change.key.account))
            }
            Bond::Endpoint => self.stops(step.endpoint.as_ref()),
        }
    }

    /// The first step that `step` waits for and that does not go on.
    fn on<'p>(&self, plan: &'p Plan, step: &Step) -> Option<&'p Step> {
        let mut waited = step.after.iter().filter_map(|at| Some((*at, plan.steps.get(*at)?)));
        waited.find(|(at, on)| self.holds(*at, on)).map(|(_, on)| on)
    }

    /// Stops whatever waits for what is stopped; gives what that is, and what it waits for.
    fn spread(&mut self, plan: &Plan) -> HashMap<Subject, Subject> {
        let mut held_back = HashMap::new();
        loop {
            let mut going_on = (plan.steps.iter())
                .filter(|step| going(step).is_none() && !self.stops(step.endpoint.as_ref()));
            let waiting = going_on.find_map(|step| Some((step.endpoint.clone()?, self.on(plan, step)?)));
            let Some((endpoint, on)) = waiting else { break };
            held_back.insert(Subject::PublicIp(endpoint.clone()), on.subject());
            self.endpoints.insert(endpoint);
        }
        // Nothing waits for a security group to go, so these come last.
        for (at, step) in plan.steps.iter().enumerate() {
            let Some(group) = going(step) else { continue };
            let on = self.on(plan, step);
            if on.is_none() && self.with(group).is_some() {
                continue;
            }
            self.groups.insert(at);
            let told = self.stops(step.endpoint.as_ref());
            held_back.extend(on.filter(|_| !told).map(|on| (step.subject(), on.subject())));
        }
        held_back
    }

    /// Has what `step` takes away go with an endpoint that goes on.
    fn reassign(&self, step: &mut Step) {
        let Some(endpoint) = going(step).and_then(|group| self.with(group)).cloned() else { return };
        if let (true, Action::Gateway(change)) = (self.stops(step.endpoint.as_ref()), &mut step.action) {
            change.endpoint = endpoint.clone();
            step.endpoint = Some(endpoint);
        }
    }

    /// The endpoint that `group` goes with: one that sees it and goes on, unless a rule of one that is stopped is in it.
    fn with(&self, group: &SecurityGroup) -> Option<&Handle> {
        let goes_on = |endpoint: &&Endpoint| !self.endpoints.contains(&endpoint.name);
        let sees = |endpoint: &&Endpoint| {
            let state = self.observed.endpoints.get(&endpoint.name);
            state.and_then(|state| state.gateway.as_ref()?.group(&group.id)).is_some()
        };
        let within = |endpoint: &Endpoint| {
            let rules = endpoint.gateway.iter().flat_map(|gateway| &gateway.nat_rules);
            let stands_there = |rule: &&NatRule| {
                rule.access.as_ref().is_some_and(|access| access.network_security_group == group.id)
            };
            let mut names = rules.filter(stands_there).map(|rule| marked(&self.desired.owner, &rule.name));
            names.any(|name| group.rule(&name).is_some())
        };
        let endpoints = self.desired.endpoints.values().filter(|endpoint| endpoint.intent != Intent::Watch);
        let kept = endpoints.clone().any(|endpoint| !goes_on(&endpoint) && within(endpoint));
        endpoints.filter(sees).find(goes_on).filter(|_| !kept).map(|endpoint| &endpoint.name)
    }
}

/// The security group that `step` takes away, if it does.
fn going(step: &Step) -> Option<&SecurityGroup> {
    match &step.action {
        Action::Gateway(change) => match &change.part {
            Part::SecurityGroup(change) => change.held.as_ref(),
            _ => None,
        },
        Action::Network(_) | Action::Record(_) | Action::Settle(_) => None,
    }
}
