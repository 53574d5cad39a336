//! A few lives of the real process, killed at any request, in a cloud where anything may happen: what is promised holds
//! whenever anybody looks.

use std::time::Duration;

use cnamed::sandbox::{
    Action, DnsFault, Fault, HoldPoint, LoggedRequest, NameServer, RecordAtAzure, Service,
};
use futures::future::join_all;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep, timeout};

use super::{NAME, PATIENCE, Run, impatient, watched};
use crate::killed::{BOTH, Standing, label, on_the_label, ours};
use crate::support::Cloud;

const TURNS: u32 = 20;
/// Names of others in both accounts: one that somebody made by hand, and one of another installation of this program.
const FOREIGN: [(&str, Option<&str>); 2] =
    [("payroll.example.com", None), ("wiki.example.com", Some("others"))];
const OLD: &str = "old.example.net";

/// A cloud, a service in it, and chance.
struct Life {
    seed: u64,
    cloud: Cloud,
    run: Run,
    chance: SmallRng,
    /// What others hold.
    others: Vec<Value>,
    /// The sandbox began between these two, and counts its time from then.
    began: (OffsetDateTime, OffsetDateTime),
    story: Vec<String>,
    claims: u32,
    kills: u32,
}

impl Life {
    async fn begin(seed: u64) -> Self {
        let before = OffsetDateTime::now_utc();
        let cloud = Cloud::with(|options| options.operation_delay = Duration::from_millis(100)).await;
        let began = (before, OffsetDateTime::now_utc());
        let chance = SmallRng::seed_from_u64(seed);
        impatient(&cloud);
        let control = cloud.sandbox.control();
        for (name, owner) in FOREIGN {
            let mut theirs = RecordAtAzure::new(name, "CNAME", OLD);
            let mut comment = "by hand".to_owned();
            if let Some(owner) = owner {
                theirs.metadata = [("managed-by", "cnamed"), ("owner", owner)]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into();
                comment += &format!(" managed-by=cnamed owner={owner}");
            }
            control.set_record_azure(&theirs).unwrap();
            let theirs =
                json!({"type": "CNAME", "name": name, "content": OLD, "ttl": 300, "comment": comment});
            control.set_record_cloudflare(&theirs).unwrap();
        }
        let others = control.records_without(NAME);
        watched(&cloud, "1s");
        let run = Run::again(&cloud, &[]);
        Self { seed, cloud, run, chance, others, began, story: Vec::new(), claims: 0, kills: 0 }
    }

    fn at(&self) -> String {
        format!("seed {}, {}", self.seed, self.story.join("; "))
    }

    /// What must hold at every moment, whatever happens.
    fn holds(&self) {
        assert_eq!(self.cloud.sandbox.control().records_without(NAME), self.others, "{}: others'", self.at());
        // In this order: what is written meanwhile is written for a label that is held.
        let (held, ours) = (label(&self.cloud), ours(&self.cloud));
        for target in
            ours.iter().filter_map(Standing::target).filter(|it| it.ends_with(".cloudapp.azure.com"))
        {
            assert_eq!(held.as_deref(), Some(target), "{}: it dangles", self.at());
        }
    }

    /// Looks on for a while.
    async fn look_on(&mut self, milliseconds: std::ops::Range<u64>) {
        let until = Instant::now() + Duration::from_millis(self.chance.random_range(milliseconds));
        while Instant::now() < until {
            self.holds();
            sleep(Duration::from_millis(15)).await;
        }
    }

    /// Whoever says that all is well has asked everybody since the round began, and was answered.
    async fn claims_what_it_saw(&mut self) {
        let Some((200, body)) = self.run.get("/status.json").await else { return };
        let last = &serde_json::from_str::<Value>(&body).unwrap()["last"];
        if !matches!(last["outcome"].as_str(), Some("in-sync" | "changed")) {
            return;
        }
        self.claims += 1;
        let ended = OffsetDateTime::parse(last["at"].as_str().unwrap(), &Rfc3339).unwrap();
        let took = time::Duration::seconds_f64(last["took_s"].as_f64().unwrap());
        let slack = 0.05;
        let from = (ended - took - self.began.1).as_seconds_f64() - slack;
        let to = (ended - self.began.0).as_seconds_f64() + slack;
        let log = self.cloud.sandbox.requests();
        for part in ["/publicipaddresses/pip-jump", "/dnszones", "/client/v4/zones"] {
            let answered = |one: &&LoggedRequest| {
                let is_it = one.path.to_ascii_lowercase().contains(part) && one.status == Some(200);
                is_it && one.method == "GET" && !one.faulted && (from..to).contains(&one.at)
            };
            assert!(log.iter().any(|one| answered(&one)), "{}: {part} was not asked: {last:#}", self.at());
        }
    }

    /// One turn of fate.
    async fn turn(&mut self) {
        let control = self.cloud.sandbox.control();
        let what = match self.chance.random_range(0..14) {
            0 | 1 => {
                let service =
                    [Service::Authority, Service::Arm, Service::Cloudflare][self.chance.random_range(0..3)];
                let action = self.mishap();
                let times = self.chance.random_range(1..4);
                let text = format!("{times} times {service:?}: {action:?}");
                control.fault(Fault::on(service, action).nth(self.chance.random_range(1..4)).times(times));
                text
            }
            2 => {
                control.expire_tokens();
                "tokens expire".to_owned()
            }
            3 => {
                let _ = control.delete_record_azure(NAME, "CNAME");
                "the name in Azure is deleted".to_owned()
            }
            4 => {
                let mut drifted = RecordAtAzure::new(NAME, "CNAME", OLD);
                let mark = [("managed-by", "cnamed"), ("owner", "demo")];
                drifted.metadata = mark.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
                let _ = control.set_record_azure(&drifted);
                "the name in Azure drifts".to_owned()
            }
            5 => {
                let _ = control.delete_record_cloudflare(NAME, "CNAME");
                "the name in Cloudflare is deleted".to_owned()
            }
            6 => {
                let _ = control.proxy(NAME, true);
                "the name in Cloudflare is proxied".to_owned()
            }
            7 => {
                let _ = control.recreate_public_ip("pip-jump");
                "the public IP is made anew".to_owned()
            }
            8 => {
                let server = NameServer::ALL[self.chance.random_range(0..6)];
                let faults = [DnsFault::Silent, DnsFault::ServFail, DnsFault::Refused, DnsFault::Stale];
                let fault = faults[self.chance.random_range(0..4)];
                control.dns_fault(server, Some(fault));
                format!("{server:?}: {fault:?}")
            }
            9 => {
                control.clear_faults();
                "all is fine".to_owned()
            }
            10 => {
                self.run.signal("-USR1").await;
                "a round is called for".to_owned()
            }
            _ => {
                let (nth, point) = (self.chance.random_range(1..9), HoldPoint::Before);
                let point = if self.chance.random_bool(0.5) { HoldPoint::After } else { point };
                self.kill(nth, point).await
            }
        };
        self.story.push(what);
    }

    fn mishap(&mut self) -> Action {
        let status = |status, headers: &[(&str, &str)]| Action::Status {
            status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Value::Null,
        };
        match self.chance.random_range(0..7) {
            0 => Action::Reset,
            1 => Action::LostAnswer,
            2 => Action::Truncated,
            3 => status(503, &[]),
            4 => status(429, &[("retry-after", "1")]),
            5 => Action::Html { status: 502, headers: Vec::new() },
            _ => Action::Latency { milliseconds: self.chance.random_range(20..400) },
        }
    }

    /// SIGKILL at the n-th request from now, or where none comes for a while, and another service after it.
    async fn kill(&mut self, nth: u32, point: HoldPoint) -> String {
        let control = self.cloud.sandbox.control();
        control.hold_at(nth, false, point);
        self.run.signal("-USR1").await;
        let held = timeout(Duration::from_millis(1500), control.wait_until_held()).await;
        self.run.child.kill().await.unwrap();
        self.holds();
        control.release();
        self.holds();
        self.kills += u32::from(held.is_ok());
        self.run = Run::again(&self.cloud, &[]);
        match held {
            Ok(_) => format!("killed at request {nth} ({point:?})"),
            Err(_) => "killed while it waited".to_owned(),
        }
    }

    /// In the end everybody behaves, and all is as it should be.
    async fn end(mut self) -> (u32, u32) {
        self.cloud.sandbox.control().clear_faults();
        let fine = OffsetDateTime::now_utc();
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.holds();
            let shown = self.run.get("/status.json").await;
            let shown: Value =
                shown.and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default();
            let last = &shown["last"];
            let ended = last["at"].as_str().and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
            let took = time::Duration::seconds_f64(last["took_s"].as_f64().unwrap_or_default());
            let since = ended.is_some_and(|ended| ended - took > fine);
            if since && last["outcome"] == "in-sync" {
                break;
            }
            assert!(Instant::now() < deadline, "{}: never in sync: {shown:#}", self.at());
            sleep(Duration::from_millis(50)).await;
        }
        self.claims_what_it_saw().await;
        on_the_label(&self.cloud, &BOTH, &self.at());
        let Self { cloud, run, story, seed, claims, kills, .. } = self;
        let (code, _, told) = run.end().await;
        assert_eq!(code, 0, "seed {seed}, {story:?}: {told:#?}");
        cloud.sandbox.forget_requests();
        let idle = cloud.run(&["sync"]).await;
        assert_eq!(idle.code, 0, "seed {seed}, {story:?}: {idle:?}");
        assert!(cloud.writes().is_empty(), "seed {seed}, {story:?}: {:#?}", cloud.writes());
        (claims, kills)
    }
}

async fn live(seed: u64) -> (u32, u32) {
    let mut life = Life::begin(seed).await;
    for _ in 0..TURNS {
        life.turn().await;
        life.look_on(50..500).await;
        life.claims_what_it_saw().await;
    }
    life.end().await
}

/// Lives some of them side by side.
async fn lives(seeds: std::ops::Range<u64>) {
    let lived = join_all(seeds.map(live)).await;
    let (claims, kills) = lived.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert!(claims >= 8 && kills >= 4, "{claims} claims and {kills} kills prove little");
}

/// Three tests, so that they run beside each other.
macro_rules! lives {
    ($($name:ident: $seeds:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            lives($seeds).await;
        }
    )*};
}

lives! {
    four_lives_of_the_process_end_in_sync: 0..4;
    four_more_lives_of_the_process_end_in_sync: 4..8;
    the_last_four_lives_of_the_process_end_in_sync: 8..12;
}
