//! What is under way on an endpoint has everything read twice in one pass.

use std::sync::Arc;

use cnamed::model::endpoint::{Provisioning, PublicIp};
use cnamed::model::record::{Content, Data, Mode, RecordType};
use cnamed::provider::memory::{Fault, Held, MemoryDns, Operation};
use cnamed::provider::{DnsProvider, Kind};
use cnamed::reconcile::Reconciler;
use cnamed::reconcile::round::Outcome;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::stage::{STEP, Stage, changes, told};
use super::{LED, NEW, elsewhere, right};
use crate::laws::world::{AZURE, fqdn, handle, owner, ttl, zone};

fn busy(stage: &Stage) {
    stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Busy, ..ip });
}

fn rested(stage: &Stage) {
    stage.network.edit(|ip| PublicIp { provisioning: Provisioning::Succeeded, ..ip });
}

/// What is under way may be its deletion, and then its label is anybody's in a moment.
#[tokio::test(start_paused = true)]
async fn no_new_name_leads_to_what_may_be_on_its_way_out() {
    told(async {
        let stage = Stage::new().wants_in("cf", NEW, Mode::Cname);
        busy(&stage);
        let round = stage.begin();
        sleep(STEP * 20).await;
        assert_eq!(stage.cf.written(), Vec::<String>::new());
        rested(&stage);
        round.await.unwrap();
        assert_eq!(stage.cf.data(NEW), right());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_made_at_the_second_look_has_not_failed() {
    told(async {
        let stage = Stage::new().wants_in("cf", LED, Mode::Cname);
        stage.cf.put(LED, elsewhere());
        busy(&stage);
        stage.cf.dns.script(Operation::Write(fqdn(LED)), Fault::Refused(Kind::Rejected));
        let round = stage.begin();
        sleep(STEP * 20).await;
        rested(&stage);
        let round = round.await.unwrap();
        assert_eq!(changes(&round), ["update led.example.com in cf: applied"]);
        assert_eq!(round.outcome, Outcome::Changed);
    })
    .await;
}

/// A zone that could not be searched at the first look is searched at the second.
#[tokio::test(start_paused = true)]
async fn no_more_goes_than_an_account_may_lose_in_one_round() {
    told(async {
        let stage = Stage::new().wants_in("cf", LED, Mode::Cname);
        let zones = [zone("example.com", "z-com", AZURE), zone("example.net", "z-net", AZURE)];
        let cf = Arc::new(MemoryDns::new(handle("cf"), zones.to_vec()));
        let put = |at: usize, name: &str, data: Data| {
            let content = Content { data, ttl: ttl(60), proxied: false };
            cf.put(&zones[at], &fqdn(name), Held { content, mark: Some(owner("ops")), note: String::new() });
        };
        put(0, LED, right().unwrap());
        let strays: Vec<(usize, String)> = ["com", "net"]
            .iter()
            .enumerate()
            .flat_map(|(at, tld)| (0..3).map(move |nth| (at, format!("stray{nth}.example.{tld}"))))
            .collect();
        for (at, name) in &strays {
            put(*at, name, elsewhere());
        }
        let Reconciler { network, resolver, prober, verification, .. } = stage.reconciler.as_ref();
        let reconciler = Reconciler {
            accounts: [(handle("cf"), Arc::clone(&cf) as Arc<dyn DnsProvider>)].into(),
            network: Arc::clone(network),
            resolver: Arc::clone(resolver),
            prober: Arc::clone(prober),
            verification: verification.clone(),
            newest: Arc::default(),
        };
        busy(&stage);
        cf.script(Operation::Observe, Fault::Refused(Kind::Unreachable));
        let desired = stage.desired.clone();
        let round = spawn_local(async move { reconciler.run(&desired, None, &()).await.unwrap() });
        sleep(STEP * 20).await;
        rested(&stage);
        let round = round.await.unwrap();
        let stands =
            |(at, name): &&(usize, String)| cf.held(&zones[*at], &fqdn(name), &RecordType::Cname).is_some();
        assert_eq!((strays.iter().filter(stands).count(), round.outcome), (6, Outcome::Refused));
    })
    .await;
}
