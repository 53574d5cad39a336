//! Long-running operations: accepted now, done later, and only then true.
//!
//! After "Track asynchronous Azure operations" of the Resource Manager documentation: an accepted write answers
//! 201, 200 or 202 with `Azure-AsyncOperation` or `Location`; the status document ends in `Succeeded`, `Failed` or
//! `Canceled`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::arm::{self, Id};
use crate::sandbox::Options;
use crate::sandbox::clock::Clock;
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::{World, timestamp};

/// What an operation does when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A resource's PUT.
    Write,
    /// A resource's DELETE.
    Remove,
    /// `virtualMachines/start`.
    Start,
    /// `virtualMachines/deallocate`.
    Deallocate,
    /// A question; the answer, as it was when it was asked. It holds nothing busy.
    Answer(Value),
    /// Another write came after this one, and what stands in the end is what that one wrote.
    Superseded(Map<String, Value>),
    /// Somebody else's work, which changes nothing that we see.
    Elsewhere,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The resource it works on.
    pub(crate) target: Id,
    pub(crate) effect: Effect,
    pub(crate) due: Instant,
    pub(crate) failure: Option<Failure>,
    pub(crate) done: bool,
    began: String,
    ended: Option<String>,
}

impl Operation {
    fn holds(&self, target: &Id) -> bool {
        self.target == *target && !matches!(self.effect, Effect::Answer(_))
    }
}

/// How an operation fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Vec<(String, String)>,
}

/// How an operation shall end.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// In `Failed`, or in `Canceled` where the code says so.
    Fails(Failure),
    /// In `Canceled`: a newer write replaced it, which merged this (RFC 7396) into what was there before.
    Superseded(Map<String, Value>),
}

impl Failure {
    /// What cloud-provider-azure meets and retries (its `pkg/azclient` and the older `pkg/retry` quote it).
    fn superseded(operation: &str) -> Self {
        let by = Uuid::new_v4();
        Self {
            code: "Canceled".into(),
            message: "Operation was canceled.".into(),
            details: vec![(
                "CanceledAndSupersededDueToAnotherOperation".into(),
                format!("Operation {operation} was canceled and superseded by operation {by}."),
            )],
        }
    }

    fn json(&self) -> Value {
        let details: Vec<_> =
            self.details.iter().map(|(code, text)| json!({"code": code, "message": text})).collect();
        json!({"code": self.code, "message": self.message, "details": details})
    }
}

/// Every operation of the subscription.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operations {
    all: BTreeMap<String, Operation>,
    /// Set for the length of one request: the operation that it starts ends so.
    pub(crate) next_end: Option<End>,
}

impl Operations {
    /// The operation that holds `target` busy.
    pub(crate) fn running_on(&self, target: &Id) -> Option<&str> {
        let found = self.all.iter().find(|(_, operation)| !operation.done && operation.holds(target));
        found.map(|(id, _)| id.as_str())
    }

    /// Ends every operation that is due, and gives them in the order in which they were due.
    pub(crate) fn take_due(&mut self, clock: Clock) -> Vec<Operation> {
        let (mut due, now) = (Vec::new(), clock.now());
        for operation in self.all.values_mut().filter(|o| !o.done && o.due <= now) {
            operation.done = true;
            operation.ended = Some(timestamp(clock.calendar()));
            due.push(operation.clone());
        }
        due.sort_by_key(|operation| operation.due);
        due
    }
}

/// Starts an operation and adds its headers to the answer of the request that asked for it.
pub(crate) fn start(
    world: &mut World,
    target: &Id,
    namespace: &'static str,
    location: &str,
    effect: Effect,
    response: Response,
) -> Response {
    let id = Uuid::new_v4().to_string();
    let (failure, effect) = match world.azure.operations.next_end.take() {
        None => (None, effect),
        Some(End::Fails(failure)) => (Some(failure), effect),
        Some(End::Superseded(changes)) => {
            (Some(Failure::superseded(&id)), Effect::Superseded(superseding(world, target, &changes)))
        }
    };
    let due = world.now() + world.options.operation_delay;
    // A PUT's end is told by its status document and by the resource itself.
    let with_location = response.status == 202;
    let operation = Operation {
        target: target.clone(),
        effect,
        due,
        failure,
        done: false,
        began: timestamp(world.calendar()),
        ended: None,
    };
    world.azure.operations.all.insert(id.clone(), operation);
    let base = format!(
        "{}/subscriptions/{}/providers/{namespace}/locations/{location}",
        world.addresses.resource_manager,
        super::seed::SUBSCRIPTION
    );
    let mut response = response
        .with("azure-asyncoperation", format!("{base}/operations/{id}?api-version=2024-01-01"))
        .with("retry-after", retry_after(world));
    if with_location {
        response = response.with("location", format!("{base}/operationResults/{id}?api-version=2024-01-01"));
    }
    response
}

/// What stands after a newer write: that one knew what was there before ours, and nothing of ours.
fn superseding(world: &World, target: &Id, changes: &Map<String, Value>) -> Map<String, Value> {
    let Some(resource) = world.azure.network.get(&target.key()) else { return Map::new() };
    // A resource that was not there, or that holds a label by now, is written like ours.
    let from_ours = resource.in_force.is_empty() || super::public_ip::is_one(target);
    let mut document = if from_ours { resource.document.clone() } else { resource.in_force.clone() };
    super::resource::merge(&mut document, changes);
    document
}

/// Somebody else begins an operation on a resource, which holds it busy for so long.
pub(crate) fn elsewhere(world: &mut World, target: &Id, lasts: Duration) {
    let due = world.now() + lasts;
    let began = timestamp(world.calendar());
    let operation = Operation {
        target: target.clone(),
        effect: Effect::Elsewhere,
        due,
        failure: None,
        done: false,
        began,
        ended: None,
    };
    world.azure.operations.all.insert(Uuid::new_v4().to_string(), operation);
}

/// What somebody else does to `target` ends now.
pub(crate) fn elsewhere_ends(world: &mut World, target: &Id) {
    let (now, key) = (world.now(), target.key());
    for operation in world.azure.operations.all.values_mut() {
        if matches!(operation.effect, Effect::Elsewhere) && operation.target.key() == key {
            operation.due = operation.due.min(now);
        }
    }
}

fn retry_after(world: &World) -> String {
    let Options { retry_after, operation_delay, .. } = &world.options;
    retry_after.map_or_else(|| world.clock.outside(*operation_delay).as_secs(), u64::from).to_string()
}

/// `GET …/locations/{location}/operations/{id}`: the status document.
pub(crate) fn status(world: &World, id: &str) -> Response {
    let Some(operation) = find(world, id) else { return missing(id) };
    let mut body = json!({"startTime": operation.began, "name": id});
    let status = match (&operation.failure, operation.done) {
        (_, false) => "InProgress",
        (None, true) => "Succeeded",
        (Some(failure), true) => {
            body["error"] = failure.json();
            if failure.code.starts_with("Cancel") { "Canceled" } else { "Failed" }
        }
    };
    body["status"] = json!(status);
    if let Some(ended) = &operation.ended {
        body["endTime"] = json!(ended);
    }
    let response = Response::json(200, body);
    if operation.done { response } else { response.with("retry-after", retry_after(world)) }
}

/// `GET …/locations/{location}/operationResults/{id}`: 202 while it runs, then what the request would have
/// answered, had it been synchronous.
pub(crate) fn result(world: &World, request: &Request, id: &str) -> Response {
    let Some(operation) = find(world, id) else { return missing(id) };
    if !operation.done {
        let again = format!("{}{}?{}", world.addresses.resource_manager, request.path, request.query);
        return Response::empty(202).with("location", again).with("retry-after", retry_after(world));
    }
    if let Some(failure) = &operation.failure {
        return Response::json(409, json!({"error": failure.json()}));
    }
    match &operation.effect {
        Effect::Remove => Response::empty(204),
        Effect::Answer(answer) => Response::json(200, answer.clone()),
        _ => Response::empty(200),
    }
}

/// The refusal that a busy resource gives.
pub(crate) fn busy(world: &World, target: &Id) -> Option<Response> {
    let running = world.azure.operations.running_on(target)?;
    let message = format!(
        "Another operation on this or dependent resource is in progress. To retrieve status of the operation use \
         uri: {}/subscriptions/{}/providers/Microsoft.Network/locations/{}/operations/{running}?api-version=2024-01-01.",
        world.addresses.resource_manager,
        super::seed::SUBSCRIPTION,
        super::seed::LOCATION
    );
    Some(arm::error(409, "AnotherOperationInProgress", &message).with("retry-after", retry_after(world)))
}

fn find<'w>(world: &'w World, id: &str) -> Option<&'w Operation> {
    world.azure.operations.all.get(&id.to_ascii_lowercase())
}

fn missing(id: &str) -> Response {
    arm::error(404, "OperationNotFound", &format!("Operation with ID '{id}' is not found."))
}
