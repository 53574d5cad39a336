//! What it costs: requests counted at the services, through the real binary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use cnamed::model::record::{Content, Data};
use cnamed::provider::DnsProvider;
use cnamed::sandbox::{Action, Fault, LoggedRequest, RecordAtAzure, Service};
use serde_json::json;
use tokio::time::Instant;

use crate::azure_cloud::Rehearsal;
use crate::azure_dns;
use crate::foreign::settled;
use crate::support::Cloud;

const OLD: &str = "contoso-old.westeurope.cloudapp.azure.com";
const NEW: &str = "contoso-other.westeurope.cloudapp.azure.com";

#[tokio::test]
async fn an_idle_sync_costs_one_read_of_the_endpoint_and_one_more_than_its_zones_of_each_provider() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let (endpoint, azure, cloudflare) = idle(&cloud).await;
    // Their list, and each of them: one in Azure, two in Cloudflare, where a record of ours may stand in the other.
    assert_eq!((endpoint, azure, cloudflare), (1, 2, 3));
    cloud.replace("owner = \"demo\"", "owner = \"demo\"\nprune = false");
    assert_eq!(idle(&cloud).await, (1, 2, 2));
}

/// Writes down the zone in both accounts, after a sync has told Cloudflare's id of it.
pub(crate) fn write_zones_down(cloud: &Cloud) {
    let paths = cloud.requests().into_iter().map(|request| request.path);
    let id = |path: String| Some(path.split_once("/zones/")?.1.split('/').next()?.to_owned());
    let id = paths.filter_map(id).find(|id| id.len() == 32).expect("Cloudflare's id of the zone");
    cloud.replace("provider = \"azure-dns\"", "provider = \"azure-dns\"\nzones = [\"example.com\"]");
    let zones = format!("provider = \"cloudflare\"\nzones = {{ \"example.com\" = \"{id}\" }}");
    cloud.replace("provider = \"cloudflare\"", &zones);
}

#[tokio::test]
async fn an_idle_sync_costs_one_read_of_each_provider_once_zones_are_written_down() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    write_zones_down(&cloud);
    assert_eq!(idle(&cloud).await, (1, 1, 1));
    // Each zone is searched for our mark, also where no name is wanted, so that none is left behind.
    let second = "\"example.net\" = \"353c0d2738a13da9cfe8ecf4e501e320\"";
    cloud.replace("zones = { ", &format!("zones = {{ {second}, "));
    assert_eq!(idle(&cloud).await, (1, 1, 2));
}

#[tokio::test]
async fn an_idle_sync_of_a_gateway_reads_each_of_its_resources_once() {
    let cloud = Cloud::with(|options| options.gateway = true).await;
    cloud.run(&["sync"]).await.exits(0);
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0).says("In sync");
    let arm = cloud.asked(Service::Arm);
    let count = |part: &str| {
        arm.iter()
            .filter(|asked| asked.starts_with("GET ") && asked.to_ascii_lowercase().contains(part))
            .count()
    };
    let parts =
        ["publicipaddresses", "loadbalancers", "networkinterfaces", "subnets", "networksecuritygroups"];
    assert_eq!(parts.map(count), [1; 5], "{arm:#?}");
    let zones = count("/dnszones");
    assert_eq!(zones, 2, "{arm:#?}");
    assert_eq!(arm.len(), parts.len() + zones, "{arm:#?}");
    assert_eq!(cloud.asked(Service::Cloudflare).len(), 3, "their list, and two zones");
    assert!(cloud.writes().is_empty());
}

/// Syncs once more, and counts the requests for the endpoint, to Azure DNS and to Cloudflare. There may be others
/// to nobody, and no write.
async fn idle(cloud: &Cloud) -> (usize, usize, usize) {
    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0);
    assert!(cloud.writes().is_empty(), "{:#?}", cloud.writes());
    let arm = cloud.asked(Service::Arm);
    let of = |part: &str| arm.iter().filter(|asked| asked.to_ascii_lowercase().contains(part)).count();
    let (endpoint, azure) = (of("publicipaddresses"), of("/dnszones"));
    assert_eq!(endpoint + azure, arm.len(), "{arm:#?}");
    (endpoint, azure, cloud.asked(Service::Cloudflare).len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_names_of_one_cloudflare_zone_follow_in_twenty_requests() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let control = cloud.sandbox.control();
    for name in names(1000) {
        let mark = "managed-by=cnamed owner=demo";
        let held = json!({"type": "CNAME", "name": name, "content": OLD, "ttl": 60, "comment": mark});
        control.set_record_cloudflare(&held).unwrap();
    }
    elsewhere(&cloud, 1000, "cf");
    cloud.sandbox.forget_requests();
    let began = Instant::now();
    let round = cloud.run(&["--format", "json", "sync"]).await.exits(0).json();
    assert!(began.elapsed() < PATIENCE, "{:?} for a thousand names", began.elapsed());

    let sent = cloud.asked(Service::Cloudflare);
    assert!(sent.len() <= 20, "{} requests: {sent:#?}", sent.len());
    let there = json!({"changes": 1000, "agreed": 1002});
    let agreed = round["records"].as_array().unwrap().iter().filter(|one| one["verdict"] == "agreed").count();
    let changed = round["changes"].as_array().unwrap().iter().filter(|one| one["account"] == "cf").count();
    // The seeded name is in Azure DNS as well, and follows with the others.
    assert_eq!(json!({"changes": changed - 1, "agreed": agreed}), there);

    cloud.sandbox.forget_requests();
    cloud.run(&["sync"]).await.exits(0);
    assert!(cloud.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_one_azure_zone_follow_with_one_put_each_side_by_side() {
    const NAMES: usize = 150;
    const LATENCY: Duration = Duration::from_millis(100);
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    plant_in_azure(&cloud, NAMES);
    elsewhere(&cloud, NAMES, "azure");
    cloud.sandbox.forget_requests();
    let latency = Action::Latency { milliseconds: 100 };
    let slow = Fault::on(Service::Arm, latency).method("PUT").path("/dnszones/").always();
    cloud.sandbox.control().fault(slow);
    cloud.run(&["sync"]).await.exits(0);

    let puts = puts(&cloud.requests());
    assert_eq!(puts.len(), NAMES + 1, "one PUT for each name, the seeded one included");
    assert!(puts.values().all(|times| times.len() == 1), "{puts:#?}");
    let times = puts.values().flatten().map(|put| put.at);
    let span = times.clone().fold(0.0, f64::max) - times.fold(f64::MAX, f64::min);
    let one_by_one = (LATENCY * 150).as_secs_f64();
    assert!(span < one_by_one / 3.0, "{span} s, and {one_by_one} s if they were made one by one");
    settled(&cloud).await;
}

/// Another process may have used up the quota, which nobody can know who was not told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_is_throttled_is_left_alone_for_as_long_as_it_says() {
    const NAMES: usize = 60;
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    plant_in_azure(&cloud, NAMES);
    elsewhere(&cloud, NAMES, "azure");
    cloud.sandbox.forget_requests();
    let body = json!({"code": "TooManyRequests", "message": "The request was throttled."});
    let headers = vec![("retry-after".to_owned(), "2".to_owned())];
    let throttled = Fault::on(Service::Arm, Action::Status { status: 429, headers, body });
    cloud.sandbox.control().fault(throttled.method("PUT").path("/dnszones/").nth(20));
    cloud.run(&["sync"]).await.exits(0);

    let puts = puts(&cloud.requests());
    let refused = puts.values().flatten().find(|put| put.status == Some(429)).expect("one was throttled").at;
    let meanwhile = puts.values().flatten().filter(|put| put.at > refused && put.at < refused + 2.0).count();
    assert!(meanwhile < CONCURRENT, "{meanwhile} came meanwhile, more than were under way");
    assert_eq!(puts.len(), NAMES + 1);
    let written = |puts: &Vec<LoggedRequest>| puts.iter().filter(|put| put.status == Some(200)).count() == 1;
    assert!(puts.values().all(written), "{puts:#?}");
    settled(&cloud).await;
}

/// The real pace, on a clock that jumps whenever everybody waits.
#[tokio::test(start_paused = true)]
async fn a_thousand_names_of_one_azure_zone_are_written_at_its_quota_and_never_beyond() {
    let rehearsal = Rehearsal::start().await;
    let control = rehearsal.sandbox.control();
    for name in names(1000) {
        control.set_record_azure(&marked(&name)).unwrap();
    }
    let dns = azure_dns::dns(&rehearsal);
    let zone = azure_dns::zone(&dns).await;
    let all: Vec<String> = names(1000).collect();
    let look = azure_dns::named(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let found = dns.observe(&zone, &look).await.expect("read");
    rehearsal.asked();

    let target = azure_dns::cname(NEW, 60);
    let changes: Vec<_> = found
        .iter()
        .map(|(name, seen)| {
            let before = seen.present().expect("planted").clone();
            azure_dns::change(name.as_str(), before, Some(target.clone()))
        })
        .collect();
    assert_eq!(changes.len(), 1000);
    for outcome in dns.apply(&zone, &crate::azure_cloud::owner(), &changes).await {
        let sets = outcome.unwrap_or_else(|error| panic!("{}", error.chain()));
        assert!(matches!(&sets[0].content, Content { data: Data::Cname(to), .. } if to.as_str() == NEW));
    }

    let log = rehearsal.asked();
    assert!(log.iter().all(|request| request.status == Some(200)), "nothing was refused");
    assert_eq!(log.len(), 1000, "one PUT for each name, and nothing else");
    assert!(puts(&log).values().all(|times| times.len() == 1));
    let mut times: Vec<f64> = log.iter().map(|request| request.at).collect();
    times.sort_by(f64::total_cmp);
    for minute in times.windows(201) {
        assert!(minute[200] - minute[0] >= 60.0, "201 writes within {} s", minute[200] - minute[0]);
    }
    // Five minutes' quota: four waits for the next minute, and nearly nothing between.
    let span = times[999] - times[0];
    assert!((240.0..250.0).contains(&span), "{span} s");
}

/// Every PUT of a record set, by its path.
fn puts(log: &[LoggedRequest]) -> BTreeMap<String, Vec<LoggedRequest>> {
    let mut puts: BTreeMap<String, Vec<LoggedRequest>> = BTreeMap::new();
    for request in log {
        if request.method == "PUT" && request.path.to_ascii_lowercase().contains("/dnszones/") {
            puts.entry(request.path.clone()).or_default().push(request.clone());
        }
    }
    puts
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|at| format!("n{at:04}.example.com"))
}

fn marked(name: &str) -> RecordAtAzure {
    let mut held = RecordAtAzure::new(name, "CNAME", OLD);
    held.ttl = 60;
    held.metadata = [("managed-by", "cnamed"), ("owner", "demo")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    held
}

fn plant_in_azure(cloud: &Cloud, count: usize) {
    for name in names(count) {
        cloud.sandbox.control().set_record_azure(&marked(&name)).unwrap();
    }
}

/// The endpoint becomes another public IP with another label, and `count` more names follow it in `account`.
fn elsewhere(cloud: &Cloud, count: usize, account: &str) {
    cloud.replace("pip-jump", "pip-other");
    cloud.replace("contoso-jump", "contoso-other");
    let mut records = String::new();
    for name in names(count) {
        let _ = write!(
            records,
            "\n[[record]]\nname = \"{name}\"\nendpoint = \"jump\"\naccounts = [\"{account}\"]\nttl = 60\n"
        );
    }
    cloud.append(&records);
}

/// Writes to one Azure zone that are under way at once, at most.
const CONCURRENT: usize = 12;
/// Nothing here takes so long, unless something is quadratic.
const PATIENCE: Duration = Duration::from_secs(20);
