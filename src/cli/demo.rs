//! `cnamed demo`: the whole story on a cloud of its own, through the same code as the real commands.
//!
//! Nothing is claimed that the name servers or the services' own logs do not show; a step that does not hold ends
//! the demo with a failure.

mod proof;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::proof::Proofs;
use super::args::{Allow, DemoArgs, Global, PlanArgs, SyncArgs, TeardownArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::{Output, Tone};
use super::{plan, sync, teardown};
use crate::model::endpoint::PublicIp;
use crate::model::name::Fqdn;
use crate::model::record::RecordType;
use crate::model::state::Consents;
use crate::model::verify::Said;
use crate::resolver::{Question, Via};
use crate::sandbox::{Options, RecordAtAzure, Sandbox};

pub(crate) async fn run(global: &Global, _: &DemoArgs, output: &Output) -> Exit {
    let folder = std::env::temp_dir().join(format!("cnamed-demo-{}", std::process::id()));
    let result = tell(global, &folder, output).await;
    let swept = std::fs::remove_dir_all(&folder);
    match result {
        Ok(exit) => exit,
        Err(error) => output.failure(&format!("the demo could not be set up: {error}"), Exit::Failed),
    }
    .after(swept, output)
}

impl Exit {
    /// A leftover folder is told, and changes nothing about how the demo ended.
    fn after(self, swept: std::io::Result<()>, output: &Output) -> Self {
        if let Err(error) = swept {
            output.aside(&format!("The demo's folder could not be removed: {error}\n"));
        }
        self
    }
}

async fn tell(global: &Global, folder: &Path, output: &Output) -> Result<Exit, Box<dyn std::error::Error>> {
    let began = Instant::now();
    std::fs::create_dir_all(folder)?;
    let sandbox = Sandbox::start(Options::default()).await?;
    let global = Global { config: sandbox.write_config(folder)?, ..global.clone() };
    let composition =
        Composition::load(&global, output).map_err(|_| "the sandbox's own configuration is not accepted")?;
    // A script gets the proofs alone, as one value: what the commands of the story would print is none of them.
    let told = if output.is_json() { output.muted() } else { *output };
    let story =
        Story { sandbox, global, composition, output: &told, name: Fqdn::parse("jumpstation.example.com")? };
    let mut proofs = Proofs::default();
    story.provision(&mut proofs).await;
    story.idle(&mut proofs).await;
    story.moved(&mut proofs).await;
    story.drift(&mut proofs).await;
    story.foreign(&mut proofs).await;
    story.take_down(&mut proofs).await;
    let exit = if proofs.all_hold() { Exit::InSync } else { Exit::Failed };
    if output.is_json() {
        let _ = output.json(&proofs.json(exit, began.elapsed()));
    } else {
        output.text(&proofs.table(began.elapsed()));
    }
    Ok(exit)
}

struct Story<'s> {
    sandbox: Sandbox,
    global: Global,
    composition: Composition,
    output: &'s Output,
    name: Fqdn,
}

impl Story<'_> {
    async fn provision(&self, proofs: &mut Proofs) {
        self.chapter(
            "An empty cloud",
            "Nothing of ours exists: no public IP, no label, no record.",
            "cnamed plan",
        );
        let exit = plan::run(&self.global, &plan_args(), self.output).await;
        proofs.add(
            "plan changes nothing",
            self.writes() == 0,
            format!("{} writes reached the cloud", self.writes()),
        );
        proofs.add(
            "plan exits 3 while changes are pending",
            exit == Exit::Pending,
            format!("exit {}", exit.code()),
        );
        self.chapter(
            "Make it so",
            "The public IP first, then the names on the label that Azure reports.",
            "cnamed sync",
        );
        let exit = self.sync().await;
        proofs.add(
            "one sync provisions and verifies everything",
            exit == Exit::InSync,
            format!("exit {}", exit.code()),
        );
        let address = self.held_address().await;
        let seen = self.resolved().await;
        proofs.add("the name leads to the address", address.is_some() && seen == address, shown(seen));
    }

    async fn idle(&self, proofs: &mut Proofs) {
        self.chapter("Once more", "Nothing changed, so nothing is written.", "cnamed sync");
        self.sandbox.forget_requests();
        let exit = self.sync().await;
        let requests = self.sandbox.requests().len();
        let held = exit == Exit::InSync && self.writes() == 0;
        proofs.add(
            "a second sync writes nothing",
            held,
            format!("{requests} reads, {} writes", self.writes()),
        );
    }

    async fn moved(&self, proofs: &mut Proofs) {
        let before = self.held_address().await;
        self.chapter(
            "The address changes",
            "Somebody deletes the public IP and makes it anew, with the same label: a new address.",
            "cnamed sync",
        );
        let done = self.sandbox.control().recreate_public_ip("pip-jump");
        self.sandbox.forget_requests();
        let exit = self.sync().await;
        let after = self.held_address().await;
        let changed = done.is_ok() && before != after && after.is_some();
        proofs.add("the address is another one", changed, format!("{} -> {}", shown(before), shown(after)));
        proofs.add(
            "no record had to be written",
            exit == Exit::InSync && self.writes() == 0,
            format!("{} writes", self.writes()),
        );
        let seen = self.wait_for(after).await;
        proofs.add("the name leads to the new address, once its TTL is over", seen == after, shown(seen));
    }

    async fn drift(&self, proofs: &mut Proofs) {
        self.chapter(
            "Somebody helps",
            "In Cloudflare the proxy is turned on; in Azure DNS the TTL is set to an hour by hand.",
            "cnamed plan, then cnamed sync",
        );
        let control = self.sandbox.control();
        // The portal keeps a record set's metadata when its TTL is edited, and so its mark.
        let target = self.held_name().await;
        let mut edited = RecordAtAzure::new(self.name.as_str(), "CNAME", &target);
        let owner = self.composition.config.owner.to_string();
        edited.metadata =
            [("managed-by".to_owned(), "cnamed".to_owned()), ("owner".to_owned(), owner)].into();
        let drifted =
            control.proxy(self.name.as_str(), true).is_ok() && control.set_record_azure(&edited).is_ok();
        let planned = plan::run(&self.global, &plan_args(), self.output).await;
        proofs.add(
            "plan names the drift",
            drifted && planned == Exit::Pending,
            format!("exit {}", planned.code()),
        );
        self.sandbox.forget_requests();
        let exit = self.sync().await;
        proofs.add(
            "sync heals it in place",
            exit == Exit::InSync && self.writes() == 2,
            format!("{} writes", self.writes()),
        );
    }

    async fn foreign(&self, proofs: &mut Proofs) {
        let strangers = self.sandbox.control().records_without(self.name.as_str());
        self.chapter(
            "A name that is not ours",
            "The configuration now also names www.example.com, which somebody else made.",
            "cnamed sync",
        );
        let text = std::fs::read_to_string(&self.global.config).unwrap_or_default();
        let more = "\n[[record]]\nname = \"www.example.com\"\nendpoint = \"jump\"\naccounts = [\"azure\"]\nttl = 30\n";
        let both = self.global.config.with_file_name("both.toml");
        let wrote = std::fs::write(&both, text + more);
        let global = Global { config: both, ..self.global.clone() };
        self.sandbox.forget_requests();
        let exit = sync::run(&global, &sync_args(), self.output).await;
        let refused = wrote.is_ok() && exit == Exit::Refused && self.writes() == 0;
        proofs.add(
            "a foreign record is refused, not touched",
            refused,
            format!("exit {}, {} writes", exit.code(), self.writes()),
        );
        let same = self.sandbox.control().records_without(self.name.as_str()) == strangers;
        proofs.add(
            "every foreign record is as it was",
            same,
            format!("{} records compared", strangers.len()),
        );
    }

    async fn take_down(&self, proofs: &mut Proofs) {
        self.chapter(
            "Take it down",
            "The names first; then the wait until no cache can give them; the label last.",
            "cnamed teardown --yes",
        );
        self.sandbox.forget_requests();
        let before = self.sandbox.control().records_without(self.name.as_str());
        let args = TeardownArgs { only: None, yes: true };
        let exit = teardown::run(&self.global, &args, self.output).await;
        proofs.add("teardown ends well", exit == Exit::InSync, format!("exit {}", exit.code()));
        let deletes: Vec<_> =
            self.sandbox.requests().into_iter().filter(|request| request.method == "DELETE").collect();
        let label =
            deletes.iter().find(|request| request.path.to_ascii_lowercase().contains("publicipaddresses"));
        let names: Vec<f64> = (deletes.iter())
            .filter(|request| !request.path.to_ascii_lowercase().contains("publicipaddresses"))
            .map(|request| request.at)
            .collect();
        let last = names.iter().copied().fold(0.0, f64::max);
        let gap = label.map(|request| request.at - last);
        let safe = names.len() == 2 && gap.is_some_and(|gap| gap >= 30.0);
        let detail = gap.map_or("the label was not given up".to_owned(), |gap| {
            format!("{gap:.1} s after the last name, TTL 30 s")
        });
        proofs.add("the label went last, after the TTL", safe, detail);
        let seen = self.resolved().await;
        proofs.add("nothing is left to resolve", seen.is_none(), shown(seen));
        let same = self.sandbox.control().records_without(self.name.as_str()) == before;
        proofs.add("what others made is all there", same, format!("{} records compared", before.len()));
    }

    fn chapter(&self, title: &str, text: &str, command: &str) {
        let title = Tone::Strong.paint(title);
        self.output.text(&format!("\n{title}\n{text}\n{}\n\n", Tone::Faint.paint(&format!("$ {command}"))));
    }

    async fn sync(&self) -> Exit {
        sync::run(&self.global, &sync_args(), self.output).await
    }

    /// Writes that reached the cloud since the log was last emptied.
    fn writes(&self) -> usize {
        let read = BTreeSet::from(["GET", "HEAD", "OPTIONS"]);
        let asked = self.sandbox.requests();
        // A token is asked for with POST, and changes nothing.
        let writes = asked
            .iter()
            .filter(|request| !read.contains(request.method.as_str()) && !request.path.contains("/oauth2/"));
        writes.count()
    }

    async fn held(&self) -> Option<PublicIp> {
        let desired = self.composition.desired(Consents::default());
        let endpoint = desired.endpoints.values().next()?;
        self.composition.reconciler.network.observe(endpoint).await.public_ip.present().cloned()
    }

    async fn held_address(&self) -> Option<IpAddr> {
        self.held().await?.address
    }

    async fn held_name(&self) -> String {
        self.held().await.and_then(|ip| ip.fqdn).map(|fqdn| fqdn.to_string()).unwrap_or_default()
    }

    /// Where the name leads for somebody who asks the resolver.
    async fn resolved(&self) -> Option<IpAddr> {
        let question = Question { name: self.name.clone(), rtype: RecordType::A };
        let answers = self.composition.reconciler.resolver.lookup(&question, &Via::Recursive).await;
        answers.into_iter().find_map(|answer| match answer.said {
            Said::Records(reply) => reply.addresses.first().copied(),
            Said::Nothing { .. } | Said::Failed(_) => None,
        })
    }

    /// The same, asked again until it is `address` or the label's TTL must be over.
    async fn wait_for(&self, address: Option<IpAddr>) -> Option<IpAddr> {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let seen = self.resolved().await;
            if seen == address || Instant::now() > deadline {
                return seen;
            }
            sleep(Duration::from_millis(250)).await;
        }
    }
}

fn plan_args() -> PlanArgs {
    PlanArgs { out: None, only: None, allow: Vec::<Allow>::new() }
}

fn sync_args() -> SyncArgs {
    SyncArgs { plan: None, only: None, allow: Vec::new(), verify: false }
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "nothing".to_owned(), |address| address.to_string())
}
