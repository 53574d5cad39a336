//! From a label that moves to the first write that follows it, with every hop as long as between continents.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnamed::sandbox::{Action, Control, Fault, Options, Service};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};

use super::process::Process;
use super::{cloud, is_read};

/// Moves the label so many times, and tells how long the service took each time, as a multiple of three hops: the
/// look-up that shows it, the read of the public IP, and the read of the record. Once of a public IP that is watched, and
/// once of one that is kept, with all that is kept behind it.
pub(crate) async fn reaction(times: usize) {
    for gateway in [false, true] {
        println!("{}", if gateway { "kept, with a gateway:" } else { "watched:" });
        moved(times, gateway).await;
    }
}

async fn moved(times: usize, gateway: bool) {
    let options = Options { gateway, ..Options::default() };
    let (sandbox, folder) = cloud("interval = \"1h\"\nlabel_interval = \"1s\"", 1, options).await;
    let asked = Arc::default();
    let relay = relay(sandbox.addresses().label_dns.unwrap(), Arc::clone(&asked)).await;
    let path = folder.path().join("cnamed.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let servers = format!("label_servers = [\"{}\"]", sandbox.addresses().label_dns.unwrap());
    assert!(text.contains(&servers), "{text}");
    let mut text = text.replace(&servers, &format!("label_servers = [\"{relay}\"]"));
    if !gateway {
        text = text.replace("label = \"contoso-jump\"", "label = \"contoso-jump\"\nmanage = false");
    }
    std::fs::write(&path, text).unwrap();
    let control = sandbox.control();
    slow(&control);
    let service = Process::run(folder.path());
    let mut ratios = Vec::new();
    for time in 0..times {
        // Long enough for what follows a change to be over.
        sleep(Duration::from_secs(20)).await;
        sandbox.forget_requests();
        let label = format!("contoso-{time}");
        let moved = Instant::now();
        control.relabel("pip-jump", Some(&label)).unwrap();
        let mut read = None;
        let written = loop {
            if read.is_none() && !sandbox.requests().is_empty() {
                read = Some(Instant::now());
            }
            if sandbox.requests().iter().any(|request| !is_read(request)) {
                break Instant::now();
            }
            assert!(moved.elapsed() < Duration::from_secs(30), "nothing was written");
            sleep(Duration::from_millis(1)).await;
        };
        // Others ask the label's servers too: whether resolvers have come to agree.
        let of_it = |at: &Instant| *at >= moved && read.is_some_and(|read| *at <= read);
        let Some(looked) = asked.lock().unwrap().iter().copied().rfind(of_it) else {
            println!("{label}: a round came of itself");
            continue;
        };
        let (took, wait) = (written - looked, looked - moved);
        ratios.push(took.as_secs_f64() / (3.0 * HOP.as_secs_f64()));
        println!("{label}: looked at after {wait:.0?}, first write {took:.0?} later");
        for request in sandbox.requests() {
            println!("    {:>9.3} s  {:<4} {}", request.at, request.method, request.path);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let hops = 3 * HOP;
    let (median, most) = (ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    println!("first write after a look-up: {median:.2} times three hops ({hops:?}), at most {most:.2} times");
    service.end();
}

/// Every request takes as long as a hop, from now on.
fn slow(control: &Control) {
    for service in [Service::Authority, Service::Arm, Service::Cloudflare] {
        let latency = Action::Latency { milliseconds: HOP.as_millis().try_into().unwrap() };
        control.fault(Fault::on(service, latency).always());
    }
}

/// Passes questions on to `server` and its answers back, a hop later, and notes when each was asked.
async fn relay(server: SocketAddr, asked: Arc<Mutex<Vec<Instant>>>) -> SocketAddr {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let mut question = vec![0; 4096];
            let (length, client) = socket.recv_from(&mut question).await.unwrap();
            asked.lock().unwrap().push(Instant::now());
            let socket = Arc::clone(&socket);
            tokio::spawn(async move {
                sleep(HOP).await;
                let onward = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                onward.send_to(&question[..length], server).await.unwrap();
                let mut answer = vec![0; 4096];
                let (length, _) = onward.recv_from(&mut answer).await.unwrap();
                socket.send_to(&answer[..length], client).await.unwrap();
            });
        }
    });
    address
}

const HOP: Duration = Duration::from_millis(50);
