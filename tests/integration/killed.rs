//! Killed at any request and run again: what is promised holds at that very moment, and is reached in the end.
//!
//! Every story is told once for each request that its command sends, killed with that request on the way there and,
//! again, with its answer on the way back.

use std::collections::BTreeSet;
use std::time::Duration;

use cnamed::sandbox::{HoldPoint, LoggedRequest, RecordAtAzure, Service};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::gateway::stage::{bare, crowded_by, foreign, unchanged, writes};
use crate::support::Cloud;

mod gateway;

const NAME: &str = "jumpstation.example.com";
const OLD: &str = "old.example.net";
const WORDS: &str = "ring the network team first";

/// A command, and what holds whenever it is killed.
struct Story<P> {
    /// Where it is told.
    stage: Stage,
    /// Brings a cloud to where the command begins.
    prepare: P,
    command: &'static [&'static str],
    /// What holds at the moment of the kill, beyond the promises.
    moment: fn(&Cloud, &str),
    /// What holds once the command has been run again, seen in the log of both runs too.
    end: fn(&Cloud, &[LoggedRequest], &str),
    /// What is run last, to write nothing.
    idle: &'static [&'static str],
    /// The command sends at least so many requests: a story that ended sooner would prove little.
    least: u32,
}

/// A cloud, and what is in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The main job's: no gateway is wanted.
    Names,
    /// A gateway is wanted, and nothing of it is there.
    Bare,
    /// A gateway is wanted in between what others have there.
    Crowded,
}

impl<P: AsyncFn(&Cloud)> Story<P> {
    /// Tells the story, killed on either way.
    async fn killed_at_every_request(&self) {
        for point in [HoldPoint::Before, HoldPoint::After] {
            self.killed_at_each(point).await;
        }
    }

    /// Tells the story until a run needs fewer requests than the one at which it was to be killed.
    async fn killed_at_each(&self, point: HoldPoint) {
        let at_once = if self.stage == Stage::Names { AT_ONCE } else { 2 * AT_ONCE };
        let mut runs = stream::iter(1..=MOST).map(|n| self.killed_at(n, point)).buffered(at_once);
        let mut kills = 0;
        while runs.next().await.expect("the story ends") {
            kills += 1;
        }
        assert!(kills >= self.least, "{kills} requests were sent, and {} expected", self.least);
    }

    /// Whether there was an `n`-th request to be killed at.
    async fn killed_at(&self, n: u32, point: HoldPoint) -> bool {
        let cloud = match self.stage {
            Stage::Names => Cloud::start().await,
            Stage::Bare => bare().await,
            Stage::Crowded => crowded_by(20).await,
        };
        (self.prepare)(&cloud).await;
        let control = cloud.sandbox.control();
        let others = (control.records_without(NAME), foreign(&cloud));
        // Long enough to be still under way when the command is run again.
        control.operation_delay(if self.stage == Stage::Names { DELAY } else { DELAY / 4 });
        cloud.sandbox.forget_requests();

        // A gateway takes many requests, and one that only reads leaves the same behind on either way. Among others it
        // takes long as well, and what was killed at a read left what the write before it did.
        let writes_alone =
            self.stage == Stage::Crowded || (self.stage == Stage::Bare && point == HoldPoint::After);
        control.hold_at(n, writes_alone, point);
        let mut child = cloud.spawn(self.command);
        let outcome = tokio::time::timeout(PATIENCE, async {
            tokio::select! {
                held = control.wait_until_held() => Ok(held),
                status = child.wait() => Err(status.unwrap()),
            }
        });
        let held = match outcome.await.expect("it is held or ends") {
            Ok(held) => held,
            Err(status) => {
                assert!(status.success(), "{:?} undisturbed: {status}", self.command);
                return false;
            }
        };
        child.kill().await.unwrap();
        let log = cloud.sandbox.requests();
        let request = log.iter().find(|request| request.number == held).unwrap();
        let at = format!("killed at request {n} ({point:?}): {} {}", request.method, request.path);
        self.holds(&cloud, &others, &at);
        control.release();
        self.holds(&cloud, &others, &at);
        // Every other run is left alone until what was begun has ended: an operation goes on without its client.
        if n.is_multiple_of(2) {
            at_rest(&cloud).await;
            self.holds(&cloud, &others, &format!("{at}, and left alone"));
        }

        let again = cloud.run(self.command).await;
        assert_eq!(again.code, 0, "{at}, and run again:\n{}\n{}", again.out, again.err);
        self.holds(&cloud, &others, &format!("{at}, and run again"));
        (self.end)(&cloud, &cloud.sandbox.requests(), &at);

        cloud.sandbox.forget_requests();
        let idle = cloud.run(self.idle).await;
        assert_eq!(idle.code, 0, "{at}, and idle:\n{}\n{}", idle.out, idle.err);
        assert!(writes(&cloud).is_empty(), "{at}: an idle run writes {:#?}", writes(&cloud));
        true
    }

    fn holds(&self, cloud: &Cloud, others: &(Vec<Value>, Vec<Value>), at: &str) {
        assert_eq!(cloud.sandbox.control().records_without(NAME), others.0, "{at}: what is not ours changed");
        unchanged(&others.1, &foreign(cloud), at);
        let held = label(cloud);
        for target in ours(cloud).iter().filter_map(Standing::target) {
            let of_azure = target.ends_with(".cloudapp.azure.com");
            assert!(!of_azure || held.as_deref() == Some(target), "{at}: {target} dangles, {held:?} is held");
        }
        (self.moment)(cloud, at);
    }
}

/// Waits until no operation is under way.
async fn at_rest(cloud: &Cloud) {
    let busy = |one: &Value| {
        let state = one.pointer("/properties/provisioningState").and_then(Value::as_str);
        state.is_some_and(|state| !matches!(state, "Succeeded" | "Failed"))
    };
    let under_way = || cloud.sandbox.control().resources().iter().any(busy);
    let resting = async {
        while under_way() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, resting).await.expect("the operation ends");
}

/// A record at the name, whosesoever it is.
#[derive(Debug)]
pub(crate) struct Standing {
    account: Service,
    kind: String,
    /// The target of a CNAME, or the first address.
    data: String,
    mark: bool,
    words: bool,
}

impl Standing {
    pub(crate) fn target(&self) -> Option<&str> {
        (self.kind == "CNAME").then_some(self.data.as_str())
    }
}

pub(crate) fn standing(cloud: &Cloud) -> Vec<Standing> {
    let records = cloud.sandbox.control().records_without("");
    records.iter().filter_map(|record| at_azure(record).or_else(|| at_cloudflare(record))).collect()
}

fn at_azure(record: &Value) -> Option<Standing> {
    let properties = record.get("properties")?;
    (properties["fqdn"] == format!("{NAME}.")).then(|| {
        let text = |value: &Value| value.as_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let kind = record["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let data = match kind.as_str() {
            "CNAME" => text(&properties["CNAMERecord"]["cname"]),
            _ => text(&properties["ARecords"][0]["ipv4Address"]),
        };
        let metadata = &properties["metadata"];
        let mark = metadata["managed-by"] == "cnamed" && metadata["owner"] == "demo";
        Standing { account: Service::Arm, kind, data, mark, words: metadata["note"] == WORDS }
    })
}

fn at_cloudflare(record: &Value) -> Option<Standing> {
    (record["name"] == NAME).then(|| {
        let comment = record["comment"].as_str().unwrap_or_default();
        Standing {
            account: Service::Cloudflare,
            kind: record["type"].as_str().unwrap().to_owned(),
            data: record["content"].as_str().unwrap().to_owned(),
            mark: comment.ends_with("managed-by=cnamed owner=demo"),
            words: comment.starts_with(WORDS),
        }
    })
}

pub(crate) fn ours(cloud: &Cloud) -> Vec<Standing> {
    standing(cloud).into_iter().filter(|record| record.mark).collect()
}

/// The name that Azure gives our label, while a public IP of ours holds it.
pub(crate) fn label(cloud: &Cloud) -> Option<String> {
    let ip = cloud.sandbox.control().public_ip("pip-jump")?;
    ip["properties"]["dnsSettings"]["fqdn"].as_str().map(str::to_owned)
}

/// Exactly one record stands in each of `accounts`: ours, and on the label.
pub(crate) fn on_the_label(cloud: &Cloud, accounts: &[Service], at: &str) {
    let (held, standing) = (label(cloud), standing(cloud));
    assert!(held.is_some(), "{at}");
    for account in accounts {
        let there: Vec<_> = standing.iter().filter(|record| record.account == *account).collect();
        let right = matches!(there.as_slice(), [one] if one.mark && one.target() == held.as_deref());
        assert!(right, "{at}: {there:#?}");
    }
    assert_eq!(standing.len(), accounts.len(), "{at}: {standing:#?}");
}

/// The public IP's last write that was let through came after every withdrawal of the name, and as much later as a
/// cache may keep the name; nothing wrote the name in between.
fn after_every_cache_forgot(log: &[LoggedRequest], method: &str, at: &str) {
    let is = |request: &LoggedRequest, part: &str| request.path.to_ascii_lowercase().contains(part);
    let done = |request: &LoggedRequest| request.status.is_none_or(|status| status < 400);
    let release = (log.iter()).find(|request| request.method == method && is(request, "/publicipaddresses/"));
    let release = release.unwrap_or_else(|| panic!("{at}: no {method} of the public IP in {log:#?}"));
    let named = log.iter().filter(|request| is(request, "/cname/") && request.method != "GET");
    let before: Vec<_> = named.filter(|request| request.at < release.at && done(request)).collect();
    let last = before.last().unwrap_or_else(|| panic!("{at}: no withdrawal in {log:#?}"));
    assert_eq!(last.method, "DELETE", "{at}");
    assert!(release.at - last.at >= TTL.as_secs_f64(), "{at}: {} then {}", last.at, release.at);
}

/// Azure DNS alone, and a TTL that a test can wait for.
async fn briefly_in_azure(cloud: &Cloud) {
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.replace("ttl = 30", "ttl = 1");
    cloud.run(&["sync"]).await.exits(0);
}

fn nothing_more(_: &Cloud, _: &str) {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sync_may_be_killed_at_any_request() {
    let story = Story {
        stage: Stage::Names,
        prepare: async |_: &Cloud| {},
        command: &["sync"],
        moment: nothing_more,
        end: |cloud, _, at| on_the_label(cloud, &BOTH, at),
        idle: &["sync"],
        least: 12,
    };
    story.killed_at_every_request().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_teardown_may_be_killed_at_any_request() {
    let story = Story {
        stage: Stage::Names,
        prepare: briefly_in_azure,
        command: &["teardown", "--yes"],
        moment: |cloud, at| {
            // Stronger than what dangles: the public IP stands as long as the name does.
            assert!(ours(cloud).is_empty() || label(cloud).is_some(), "{at}");
        },
        end: |cloud, log, at| {
            assert!(standing(cloud).is_empty(), "{at}: {:#?}", standing(cloud));
            assert!(cloud.sandbox.control().public_ip("pip-jump").is_none(), "{at}");
            after_every_cache_forgot(log, "DELETE", at);
        },
        idle: &["teardown", "--yes"],
        least: 8,
    };
    story.killed_at_every_request().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relabel_may_be_killed_at_any_request() {
    let story = Story {
        stage: Stage::Names,
        prepare: async |cloud: &Cloud| {
            briefly_in_azure(cloud).await;
            cloud.replace("label = \"contoso-jump\"", "label = \"contoso-bastion\"");
        },
        command: &["sync", "--allow", "relabel"],
        moment: nothing_more,
        end: |cloud, log, at| {
            on_the_label(cloud, &[Service::Arm], at);
            assert!(label(cloud).unwrap().starts_with("contoso-bastion."), "{at}");
            after_every_cache_forgot(log, "PUT", at);
        },
        idle: &["sync"],
        least: 10,
    };
    story.killed_at_every_request().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_healing_of_drift_may_be_killed_at_any_request() {
    let story = Story {
        stage: Stage::Names,
        prepare: async |cloud: &Cloud| {
            cloud.run(&["sync"]).await.exits(0);
            let control = cloud.sandbox.control();
            let mut drifted = RecordAtAzure::new(NAME, "CNAME", OLD);
            let metadata = [("managed-by", "cnamed"), ("owner", "demo"), ("note", WORDS)];
            drifted.metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            control.set_record_azure(&drifted).unwrap();
            let comment = format!("{WORDS} managed-by=cnamed owner=demo");
            let drifted =
                json!({"type": "CNAME", "name": NAME, "content": OLD, "ttl": 300, "comment": comment});
            control.set_record_cloudflare(&drifted).unwrap();
        },
        command: &["sync"],
        moment: |cloud, at| {
            // Healing is one write in place: the name is there, and marked, and a person's words with it.
            let accounts: BTreeSet<String> =
                ours(cloud).iter().filter(|one| one.words).map(|one| format!("{:?}", one.account)).collect();
            assert_eq!(accounts.len(), 2, "{at}: {:#?}", standing(cloud));
        },
        end: |cloud, _, at| on_the_label(cloud, &BOTH, at),
        idle: &["sync"],
        least: 8,
    };
    story.killed_at_every_request().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_type_may_be_killed_at_any_request() {
    for (from, to) in [("address", "cname"), ("cname", "address")] {
        let story = Story {
            stage: Stage::Names,
            prepare: async |cloud: &Cloud| {
                cloud.replace("ttl = 30", &format!("ttl = 30\nmode = \"{from}\""));
                cloud.run(&["sync"]).await.exits(0);
                cloud.replace(&format!("mode = \"{from}\""), &format!("mode = \"{to}\""));
            },
            command: &["sync"],
            moment: |cloud, at| {
                let standing = standing(cloud);
                assert!(standing.iter().all(|record| record.mark), "{at}: {standing:#?}");
                let of = |account| standing.iter().filter(|record| record.account == account).count();
                // Cloudflare changes a type in one transaction. Azure has none and refuses the new set while the
                // old one stands, so that a kill between two of its requests leaves nothing, until the next round.
                assert_eq!(of(Service::Cloudflare), 1, "{at}: {standing:#?}");
                assert!(of(Service::Arm) <= 1, "{at}: {standing:#?}");
                let between = at.contains("PUT") || at.contains("DELETE") || at.contains("batch");
                assert!(of(Service::Arm) == 1 || between || at.contains("GET"), "{at}: {standing:#?}");
            },
            end: if to == "cname" {
                |cloud, _, at| on_the_label(cloud, &BOTH, at)
            } else {
                |cloud, _, at| {
                    let ip = cloud.sandbox.control().public_ip("pip-jump").unwrap();
                    let standing = standing(cloud);
                    let right = |one: &Standing| one.mark && ip["properties"]["ipAddress"] == one.data;
                    assert!(standing.len() == 2 && standing.iter().all(right), "{at}: {standing:#?}");
                }
            },
            idle: &["sync"],
            least: 8,
        };
        story.killed_at_every_request().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adoption_may_be_killed_at_any_request() {
    let story = Story {
        stage: Stage::Names,
        prepare: async |cloud: &Cloud| {
            let control = cloud.sandbox.control();
            let mut foreign = RecordAtAzure::new(NAME, "CNAME", OLD);
            foreign.metadata = [("note".to_owned(), WORDS.to_owned())].into();
            control.set_record_azure(&foreign).unwrap();
            let foreign =
                json!({"type": "CNAME", "name": NAME, "content": OLD, "ttl": 300, "comment": WORDS});
            control.set_record_cloudflare(&foreign).unwrap();
            cloud.run(&["sync"]).await.exits(4).says("adopt");
            assert!(cloud.writes().is_empty(), "{:?}", cloud.writes());
        },
        command: &["adopt", NAME, "--yes"],
        moment: |cloud, at| {
            let standing = standing(cloud);
            assert_eq!(standing.len(), 2, "{at}: {standing:#?}");
            // Mark and data are one write, so that nothing is half adopted.
            let whole = |one: &Standing| one.words && one.mark == (one.data != OLD);
            assert!(standing.iter().all(whole), "{at}: {standing:#?}");
        },
        end: |cloud, _, at| on_the_label(cloud, &BOTH, at),
        idle: &["sync"],
        least: 12,
    };
    story.killed_at_every_request().await;
}

pub(crate) const BOTH: [Service; 2] = [Service::Arm, Service::Cloudflare];
/// How long an operation of Azure's takes; there are many in a row where a gateway is built.
const DELAY: Duration = Duration::from_millis(400);
/// Runs side by side, each in a cloud of its own.
const AT_ONCE: usize = 4;
/// No story takes so many requests.
const MOST: u32 = 200;
/// The TTL of names that are waited for.
const TTL: Duration = Duration::from_secs(1);
/// Nothing here takes so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
