//! `cnamed demo --day`: a day of outages, deallocations and helpful hands, passed in little more than a minute before
//! the real service.
//!
//! The cloud's clock runs fast, and the service tells the time by it; its own waits stay as they are. So an hour of the
//! day is no promise, and nothing happens before what happened last was seen to be right again.

mod claims;
mod ear;
mod page;
mod telling;
mod witness;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use self::ear::{Ear, Overheard};
use self::page::Visits;
use self::witness::Witness;
use crate::cli::args::{DemoArgs, Global};
use crate::cli::compose::Composition;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Tone};
use crate::cli::station::{File, Station};
use crate::daemon::Order;
use crate::journal::Journal;
use crate::reconcile::round::Outcome;
use crate::sandbox::day::{Day, Happening};
use crate::sandbox::{Clock, LoggedRequest, Options, Sandbox, Service};
use crate::telemetry::snapshot::{RequestOutcome, Snapshot};

pub(super) async fn tell(
    global: &Global,
    args: &DemoArgs,
    folder: &Path,
    output: &Output,
) -> Result<Exit, Box<dyn Error>> {
    let began = Instant::now();
    let midnight = OffsetDateTime::now_utc().replace_time(time::Time::MIDNIGHT);
    let options = Options {
        gateway: true,
        speed: args.speed,
        dawn: Some(midnight),
        operation_delay: OPERATION,
        label_reservation: RESERVATION,
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await?;
    Day::furnish(&sandbox.control())?;
    let config = sandbox.write_config(folder)?;
    std::fs::write(&config, furnished(&std::fs::read_to_string(&config)?))?;
    let global = Global { config, ..global.clone() };
    let Composition { config, reconciler, .. } =
        Composition::load(&global, output).map_err(|_| "the sandbox's own configuration is not accepted")?;

    let clock = sandbox.clock();
    let time_of_day = crate::telemetry::clock::Clock::new(move || clock.calendar()).running(clock.speed());
    let ear = Arc::new(Ear::new()?);
    let source = Overheard { file: File::of(&global), ear: Arc::clone(&ear) };
    let station = Station::open(&config, source, time_of_day).await.map_err(|(text, _)| text)?;
    let told = if output.is_json() { output.muted() } else { *output };
    let address = station.address;
    told.text(&format!(
        "{}  http://{address}/\nA day passes there, {} times as fast as outside.\n",
        Tone::Strong.paint("The status page:"),
        clock.speed()
    ));
    let story = Story {
        witness: Witness::new(&sandbox, &config, reconciler),
        foreign: sandbox.control().records_without(""),
        snapshots: station.snapshots.clone(),
        journal: Arc::clone(&station.journal),
        visits: RefCell::default(),
        told: Cell::default(),
        output: &told,
        midnight,
        address,
        clock,
        sandbox,
        ear,
    };
    let (sender, mut orders) = mpsc::channel(1);
    let (ending, ended) = watch::channel(false);
    let lived = async {
        let passed = story.pass(&Day::long()?).await;
        let proofs = story.prove(&passed).await;
        let exit = if proofs.all_hold() { Exit::InSync } else { Exit::Failed };
        if output.is_json() {
            let _ = output.json(&proofs.json(exit, began.elapsed()));
        } else {
            output.text(&proofs.table(began.elapsed()));
            story.hold(args.hold).await;
        }
        let _ = ending.send(true);
        let _ = sender.send(Order::Stop).await;
        Ok(exit)
    };
    let (_, (), exit) = futures::join!(station.run(&mut orders), story.visit(ended), lived);
    exit
}

/// What the sandbox's configuration lacks: a second endpoint, which is only watched, its names, and a page of its own.
fn furnished(text: &str) -> String {
    let verify = format!("[verify]\ntimeout = \"{}ms\"\n", PATIENCE.as_millis());
    format!("{}{MORE}", text.replace("[verify]\n", &verify))
}

/// Everybody who watches the day, and the day itself.
struct Story<'s> {
    sandbox: Sandbox,
    clock: Clock,
    midnight: OffsetDateTime,
    witness: Witness,
    foreign: Vec<serde_json::Value>,
    address: std::net::SocketAddr,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    journal: Arc<Journal>,
    ear: Arc<Ear>,
    visits: RefCell<Visits>,
    /// How far has been told: the last entry of the journal, and how many notices.
    told: Cell<(i64, usize)>,
    output: &'s Output,
}

/// What became of a happening, all of it seen.
struct Passed {
    what: String,
    /// When it happened.
    at: OffsetDateTime,
    /// When the service was first seen to know.
    noticed: Option<OffsetDateTime>,
    /// When every name was right again; for what lasts, when somebody had been told of it.
    right: Option<OffsetDateTime>,
    lasts: bool,
    /// Whether the service was to be unready meanwhile, and whether it was.
    unready: Option<bool>,
    /// How the service stood when it went on.
    well: bool,
}

impl Story<'_> {
    /// Lets the day pass, and tells it. The first of what passed is how the service began.
    async fn pass(&self, day: &Day) -> Vec<Passed> {
        let mut passed = vec![self.begin().await];
        for happening in &day.happenings {
            self.wait_until(self.midnight + happening.at).await;
            self.witness.look().await;
            passed.push(self.happen(happening).await);
        }
        self.wait_until(self.midnight + Day::LENGTH).await;
        // On a busy host the last thing is right at the day's very end, and the next visit sees it.
        self.until(Instant::now(), || async { self.visits.borrow().is_ready() }).await;
        passed
    }

    /// Tells what there is to tell, until it is that late.
    async fn wait_until(&self, at: OffsetDateTime) {
        let pause = self.clock.inside(GLANCE);
        while self.clock.calendar() < at {
            self.clock.wait_until(at.min(self.clock.calendar() + pause)).await;
            self.recount();
        }
    }

    /// The service has just begun, and nothing of what it keeps is there.
    async fn begin(&self) -> Passed {
        let (at, began) = (self.midnight, Instant::now());
        let what = "the service begins, and nothing is there".to_owned();
        self.announce(at, &what);
        let right = self.until(began, || async { self.is_well_since(at) && self.witness.look().await }).await;
        self.righted(at, right);
        Passed { what, at, noticed: right, right, lasts: false, unready: None, well: self.is_well_since(at) }
    }

    async fn happen(&self, happening: &Happening) -> Passed {
        let (at, began) = (self.clock.calendar(), Instant::now());
        self.announce(at, &happening.what);
        let throttled = self.throttled(happening);
        let played = happening.play(&self.sandbox.control()).await;
        if let Err(error) = &played {
            self.note(at, "failed", &error.to_string());
        }
        let noticed = self.until(began, || async {
            self.witness.look().await;
            played.is_ok() && self.is_noticed(happening, at, throttled)
        });
        let noticed = noticed.await;
        let waits = self.throttled(happening) - throttled;
        if let (Some(noticed), 1..) = (noticed, waits) {
            self.note(noticed, "noticed", &format!("asked to wait {waits} times; it waits"));
        }
        let mut unready = None;
        if happening.unready {
            let seen = self.until(began, || async { !self.visits.borrow().is_ready() }).await;
            unready = Some(seen.is_some());
        }
        let right = if happening.lasts {
            // It does not end before somebody was told of it.
            self.until(began, || async { self.ear.heard_of_trouble(at) }).await
        } else {
            self.until(began, || async { self.witness.look().await && self.is_well_since(at) }).await
        };
        self.righted(at, right.filter(|_| !happening.lasts));
        Passed {
            what: happening.what.clone(),
            well: self.is_well_since(at),
            lasts: happening.lasts,
            at,
            noticed,
            right,
            unready,
        }
    }

    /// Looks again and again until it holds, and tells when that was; never, once that is beyond all patience.
    async fn until<F: Future<Output = bool>>(
        &self,
        began: Instant,
        mut holds: impl FnMut() -> F,
    ) -> Option<OffsetDateTime> {
        loop {
            let held = holds().await;
            self.recount();
            if held {
                return Some(self.clock.calendar());
            }
            if began.elapsed() > NEVER {
                return None;
            }
            sleep(GLANCE).await;
        }
    }

    /// Whether a round that began after `at` found everything well.
    fn is_well_since(&self, at: OffsetDateTime) -> bool {
        let shown = self.snapshots.borrow();
        shown.last.as_ref().is_some_and(|last| {
            last.at - last.took >= at && matches!(last.round.outcome, Outcome::InSync | Outcome::Changed)
        })
    }

    /// Whether the service knows of what happened at that moment: by its history, by what it shows or by what it told.
    fn is_noticed(&self, happening: &Happening, at: OffsetDateTime, throttled: u64) -> bool {
        let concerned = |name: &str| happening.concerns.iter().any(|one| one == name);
        let shown = self.snapshots.borrow();
        let last = shown.last.as_ref().filter(|last| last.at - last.took >= at);
        let unverified = last.is_some_and(|last| {
            last.round.records.iter().any(|one| concerned(one.name.as_str()) && !one.verdict.is_verified())
        });
        let resting = |account: &str| shown.resting.iter().any(|resting| resting.account == account);
        let recovered = !happening.lasts
            && happening.concerns.iter().all(|one| !resting(one))
            && self.ear.heard_of_recovery(at, self.clock.calendar());
        let is_away = happening.lasts && happening.concerns.iter().any(|one| resting(one));
        let in_history = self.entries_since(at).iter().any(|entry| concerned(telling::subject(&entry.what)));
        in_history || unverified || is_away || recovered || self.throttled(happening) > throttled
    }

    /// How often those who are concerned have asked the service to wait.
    fn throttled(&self, happening: &Happening) -> u64 {
        let shown = self.snapshots.borrow();
        let counts = &shown.counts.requests;
        let of = |budget: &String| counts.get(&(budget.clone(), RequestOutcome::Throttled));
        happening.concerns.iter().filter_map(of).sum()
    }

    /// Keeps the page up for whoever looks, if that was asked for at a terminal.
    async fn hold(&self, wanted: bool) {
        if !self.output.is_seen() {
            return;
        }
        if !wanted {
            let text = "\nTo look at the page yourself, keep it up: cnamed demo --day --hold\n";
            return self.output.text(text);
        }
        self.output.text(&format!("\nThe page stays at http://{}/ until Ctrl-C.\n", self.address));
        // Whoever cannot be waited for is not.
        let _ = tokio::signal::ctrl_c().await;
    }

    /// What reached the services, without what changes nothing there.
    fn writes(&self) -> Vec<LoggedRequest> {
        let asks = |path: &str| path.contains("/queryInboundNatRulePortMapping");
        let mut requests = self.sandbox.requests();
        requests.retain(|request| {
            matches!(request.service, Service::Arm | Service::Cloudflare)
                && request.method != "GET"
                && !asks(&request.path)
        });
        requests
    }

    fn entries_since(&self, at: OffsetDateTime) -> Vec<crate::journal::Entry> {
        let since = crate::journal::Filter { since: Some(at), ..Default::default() };
        self.journal.entries(&since).unwrap_or_default()
    }
}

/// How long an operation of Azure's takes, in the day's time: as long as one often does.
const OPERATION: Duration = Duration::from_secs(20);
/// Azure keeps a label that was given up from others for a while, and does not say how long.
const RESERVATION: Duration = Duration::from_secs(4 * 60 * 60);
/// On loopback whoever answers does so at once; a door that is closed need not be knocked at for longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often to look.
const GLANCE: Duration = Duration::from_millis(100);
/// What has not been noticed or healed by then never will be: longer than any pause of the service's after a failure.
const NEVER: Duration = Duration::from_secs(40);
const MORE: &str = r#"
[[endpoint]]
name = "old"
resource_group = "rg-mgmt"
location = "westeurope"
public_ip = "pip-old"
label = "contoso-old"
allocation = "dynamic"
manage = false

[[record]]
name = "old.example.com"
endpoint = "old"
accounts = ["azure", "cf"]
ttl = 30

[[record]]
name = "files.example.com"
endpoint = "old"
accounts = ["azure", "cf"]
mode = "address"
ttl = 30

[http]
listen = "127.0.0.1:0"
"#;
