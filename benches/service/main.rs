//! What `cnamed run` costs while nothing happens, and how soon it acts when something does, against a sandbox.
//!
//! ```text
//! cargo bench --bench service -- idle 10          ten minutes at the default intervals: CPU, memory, requests
//! cargo bench --bench service -- rounds 10000     so many rounds as fast as Cloudflare's quota lets them follow: memory
//! cargo bench --bench service -- reaction 15      so many labels that move, every hop 50 ms long: until the first write
//! ```
//!
//! Benchmarks are built with unwinding, which a release is not: `CNAMED` names another program to measure.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark tells its figures, and stops where it stands"
)]

mod hops;
mod process;

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use cnamed::sandbox::{LoggedRequest, Options, Sandbox, Service};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use self::process::Process;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["idle", minutes] => idle(minutes.parse().unwrap()).await,
        ["rounds", count] => rounds(count.parse().unwrap()).await,
        ["reaction", times] => hops::reaction(times.parse().unwrap()).await,
        // Test runners start every benchmark to ask what is in it.
        _ => println!("idle MINUTES, rounds COUNT, or reaction COUNT"),
    }
}

/// Two endpoints and ten records in two accounts, watched for a while at the default intervals.
async fn idle(minutes: u32) {
    let (sandbox, folder) = cloud("", TEN, Options::default()).await;
    let mut service = Process::run(folder.path());
    settled(&sandbox).await;
    // What begins fast after the start settles first.
    sleep(Duration::from_secs(150)).await;
    sandbox.forget_requests();
    let (before, from) = (service.cpu(), Instant::now());
    sleep(Duration::from_secs(60) * minutes).await;
    let (spent, passed) = (service.cpu() - before, from.elapsed());
    let share = 100.0 * spent.as_secs_f64() / passed.as_secs_f64();
    println!("idle for {passed:.0?}: {spent:.1?} of CPU, {share:.3} % of a core; {}", service.memory());
    let requests = sandbox.requests();
    let looks = reads(&requests).max(1);
    for service in [Service::Arm, Service::Cloudflare, Service::Authority] {
        let of = requests.iter().filter(|request| request.service == service).count();
        println!("  {service:?}: {of} requests in {looks} rounds");
    }
    assert!(requests.iter().all(is_read), "it wrote while nothing was wrong");
    service.end();
}

/// The same for many rounds, as fast as they may follow each other.
async fn rounds(count: usize) {
    let (sandbox, folder) =
        cloud("interval = \"200ms\"\nlabel_interval = \"100ms\"", TEN, Options::default()).await;
    let mut service = Process::run(folder.path());
    settled(&sandbox).await;
    let (mut done, mut next, from) = (0, 10, Instant::now());
    while done < count {
        sleep(Duration::from_millis(500)).await;
        done += reads(&sandbox.requests());
        sandbox.forget_requests();
        if done >= next.min(count) {
            println!("{done:>6} rounds, {:>5.0?}: {}", from.elapsed(), service.memory());
            next = if next < 1000 { next * 10 } else { next + 1000 };
        }
    }
    service.end();
}

/// A cloud on loopback with what the configuration wants, and the folder with that configuration.
async fn cloud(watch: &str, more: usize, options: Options) -> (Sandbox, TempDir) {
    let sandbox = Sandbox::start(options).await.unwrap();
    let folder = TempDir::new().unwrap();
    let path = sandbox.write_config(folder.path()).unwrap();
    let mut text = fs::read_to_string(&path).unwrap();
    // The metrics of every machine are at one address; here nobody looks at them.
    let _ = write!(text, "\n[http]\nlisten = \"127.0.0.1:0\"\n\n[watch]\n{watch}\n");
    if more > 1 {
        let _ = write!(
            text,
            "\n[[endpoint]]\nname = \"other\"\nresource_group = \"rg-mgmt\"\nlocation = \"westeurope\"\n\
             public_ip = \"pip-other\"\nlabel = \"contoso-other\"\n"
        );
    }
    for number in 1..more {
        let endpoint = if number % 2 == 0 { "jump" } else { "other" };
        let _ = write!(
            text,
            "\n[[record]]\nname = \"name-{number}.example.com\"\nendpoint = \"{endpoint}\"\n\
             accounts = [\"azure\", \"cf\"]\nttl = 60\n"
        );
    }
    fs::write(&path, text).unwrap();
    let at = folder.path().to_owned();
    // The cloud answers on this very thread.
    tokio::task::spawn_blocking(move || process::sync(&at)).await.unwrap();
    (sandbox, folder)
}

/// Waits for the first round.
async fn settled(sandbox: &Sandbox) {
    while reads(&sandbox.requests()) == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    sandbox.forget_requests();
}

/// How many rounds there were: each reads the first endpoint once.
fn reads(requests: &[LoggedRequest]) -> usize {
    requests.iter().filter(|request| request.method == "GET" && request.path.ends_with("/pip-jump")).count()
}

fn is_read(request: &LoggedRequest) -> bool {
    request.method == "GET" || request.service == Service::Authority
}

const TEN: usize = 10;
