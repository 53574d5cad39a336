//! `cnamed demo`: the whole story on a cloud of its own, through the same code as the real commands.
//!
//! Nothing is claimed that the name servers, the machine's own greetings or the services' own logs do not show; a step
//! that does not hold ends the demo with a failure.

mod day;
mod gateway;
mod history;
mod names;
mod proof;
mod scene;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use self::proof::Proofs;
use super::args::{DemoArgs, Global, PlanArgs, StatusArgs, SyncArgs, ThreatsArgs};
use super::compose::Composition;
use super::exit::Exit;
use super::output::{Output, Tone};
use super::{plan, render, status, sync, threats};
use crate::model::endpoint::PublicIp;
use crate::model::greeting::Service as Greeter;
use crate::model::name::Fqdn;
use crate::model::record::RecordType;
use crate::model::state::Consents;
use crate::model::verify::Said;
use crate::probe::Finding;
use crate::reconcile::round::Round;
use crate::resolver::{Question, Via};
use crate::sandbox::{Options, Sandbox, Service};

pub(crate) async fn run(global: &Global, args: &DemoArgs, output: &Output) -> Exit {
    // A name that nobody can have laid out before: what is there already is neither used nor swept away.
    let moment = OffsetDateTime::now_utc().unix_timestamp_nanos();
    let folder = std::env::temp_dir().join(format!("cnamed-demo-{}-{moment:x}", std::process::id()));
    if let Err(error) = private(&folder) {
        let text = format!("the demo could not be set up: could not make {}: {error}", folder.display());
        return output.failure(&text, Exit::Failed);
    }
    let result = match args.day {
        true => day::tell(global, args, &folder, output).await,
        false => tell(global, &folder, output).await,
    };
    let swept = std::fs::remove_dir_all(&folder);
    match result {
        Ok(exit) => exit,
        Err(error) => output.failure(&format!("the demo could not be set up: {error}"), Exit::Failed),
    }
    .after(swept, output)
}

/// Makes a folder that was not there, for this user alone.
fn private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
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
    let sandbox = Sandbox::start(Options { gateway: true, ..Options::default() }).await?;
    let config = sandbox.write_config(folder)?;
    // On loopback whoever answers does so at once; a closed port need not be listened at for longer.
    let text = std::fs::read_to_string(&config)?.replace("[verify]\n", &format!("[verify]\n{PATIENCE}\n"));
    std::fs::write(&config, text)?;
    let global = Global { config, ..global.clone() };
    let composition =
        Composition::load(&global, output).map_err(|_| "the sandbox's own configuration is not accepted")?;
    // A script gets the proofs alone, as one value: what the commands of the story would print is none of them.
    let told = if output.is_json() { output.muted() } else { *output };
    let story =
        Story { sandbox, global, composition, output: &told, name: Fqdn::parse("jumpstation.example.com")? };
    let mut proofs = Proofs::default();
    story.exposed(&mut proofs).await?;
    story.furnish()?;
    let before = story.resources();
    story.provision(&mut proofs).await;
    story.idle(&mut proofs).await;
    story.elsewhere(&mut proofs).await;
    story.moved(&mut proofs).await;
    story.drift(&mut proofs).await;
    story.doubted(&mut proofs).await;
    story.closed(&mut proofs).await;
    story.foreign(&mut proofs).await;
    story.a_day_later(&mut proofs).await?;
    story.take_down(&before, &mut proofs).await;
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
    fn chapter(&self, title: &str, text: &str, command: &str) {
        let title = Tone::Strong.paint(title);
        self.output.text(&format!("\n{title}\n{text}\n{}\n\n", Tone::Faint.paint(&format!("$ {command}"))));
    }

    /// A second command in one chapter.
    fn then(&self, command: &str) {
        self.output.text(&format!("\n{}\n\n", Tone::Faint.paint(&format!("$ {command}"))));
    }

    async fn plan(&self) -> Exit {
        plan::run(&self.global, &PlanArgs::default(), self.output).await
    }

    async fn sync(&self) -> Exit {
        sync::run(&self.global, &SyncArgs::default(), self.output).await
    }

    /// `sync --verify`, as far as there was a round.
    async fn verified(&self) -> (Exit, Option<Round>) {
        let args = SyncArgs { verify: true, ..SyncArgs::default() };
        self.told(sync::once(&self.global, &args, self.output).await)
    }

    async fn status(&self) -> (Exit, Option<Round>) {
        self.told(status::look(&self.global, &StatusArgs { only: None }, self.output).await)
    }

    /// Tells a round as its command does.
    fn told(&self, round: Result<Round, Exit>) -> (Exit, Option<Round>) {
        match round {
            Ok(round) => (render::tell(&round, "cnamed sync", self.output), Some(round)),
            Err(exit) => (exit, None),
        }
    }

    async fn threats(&self) -> Result<threats::Survey, Exit> {
        let args = ThreatsArgs { span: history::DAY, at: None };
        let survey = threats::survey(&self.global, &args, self.output).await?;
        survey.tell(self.output);
        Ok(survey)
    }

    /// Writes that reached the cloud since the log was last emptied.
    fn writes(&self) -> usize {
        // A token, the failed logons and a rule's ports are asked for with POST, and nothing changes.
        let asks = |path: &str| path.contains("/oauth2/") || path.contains("/queryInboundNatRulePortMapping");
        let asked = self.sandbox.requests();
        let writes = asked.iter().filter(|request| {
            !["GET", "HEAD", "OPTIONS"].contains(&request.method.as_str())
                && request.service != Service::LogAnalytics
                && !asks(&request.path)
        });
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

    /// Who greets behind a port of `address`, for somebody on the internet.
    async fn knock(&self, address: Option<IpAddr>, port: u16, greeter: Greeter) -> Finding {
        match address {
            Some(address) => {
                self.composition.reconciler.prober.greet(SocketAddr::new(address, port), greeter).await
            }
            None => Finding::Failed("there is no address to knock at".into()),
        }
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

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "nothing".to_owned(), |address| address.to_string())
}

const PATIENCE: &str = "timeout = \"4s\"";
