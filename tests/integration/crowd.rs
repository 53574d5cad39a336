//! Many names at once: looking is held to a number of questions that a host and its servers bear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cnamed::model::endpoint::{Endpoint, Intent, PublicIpSpec};
use cnamed::model::greeting::Service;
use cnamed::model::name::DnsLabel;
use cnamed::model::record::{Mode, Policy};
use cnamed::model::state::{Consents, Desired, Wanted};
use cnamed::model::verify::{Answer, Reply, Said};
use cnamed::probe::{Finding, Prober};
use cnamed::provider::memory::{MemoryDns, MemoryNetwork};
use cnamed::reconcile::{Reconciler, Verification};
use cnamed::resolver::{Question, Resolver, Via};

use crate::laws::world::{AZURE, fqdn, handle, key, owner, spec, ttl, zone};

const CROWD: usize = 80;

/// Answers as the names are wanted, and counts how many questions are open at once.
#[derive(Debug, Default)]
struct Counting {
    open: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Resolver for Counting {
    async fn lookup(&self, question: &Question, _: &Via) -> Vec<Answer> {
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(open, Ordering::SeqCst);
        // Long enough for all that are begun together to be seen together.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.open.fetch_sub(1, Ordering::SeqCst);
        let at = question.name.as_str().trim_start_matches('n').split('.').next().unwrap_or_default();
        let target = fqdn(&format!("label{at}.westeurope.cloudapp.azure.com"));
        let reply = Reply { chain: vec![(target, 30)], addresses: Vec::new(), ttl: 30 };
        vec![Answer { server: "192.0.2.53:53".into(), said: Said::Records(reply) }]
    }
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Prober for Nobody {
    async fn greet(&self, _: std::net::SocketAddr, _: Service) -> Finding {
        Finding::Refused
    }
}

fn desired() -> Desired {
    let mut desired = Desired {
        owner: owner("ops"),
        endpoints: [].into(),
        records: [].into(),
        prune: false,
        deletes_per_round: 3,
        consents: Consents::default(),
    };
    for at in 0..CROWD {
        let name = handle(&format!("e{at}"));
        let label = DnsLabel::parse(&format!("label{at}")).unwrap();
        let public_ip = PublicIpSpec { name: format!("pip-{at}"), label, ..spec(0) };
        let endpoint = Endpoint { name: name.clone(), public_ip, intent: Intent::Hold, gateway: None };
        desired.endpoints.insert(name.clone(), endpoint);
        let wanted = Wanted {
            mode: Mode::Cname,
            ttl: ttl(30),
            policy: Policy::Sync,
            withdraw: false,
            ..Wanted::stray(name)
        };
        desired.records.insert(key(&format!("n{at}.example.com"), "azure"), wanted);
    }
    desired
}

#[tokio::test]
async fn status_of_many_names_asks_few_questions_at_once() {
    let resolver = Arc::new(Counting::default());
    let dns = MemoryDns::new(handle("azure"), vec![zone("example.com", "z1", AZURE)]);
    let reconciler = Reconciler {
        accounts: [(handle("azure"), Arc::new(dns) as Arc<_>)].into(),
        network: Arc::new(MemoryNetwork::default()),
        resolver: Arc::clone(&resolver) as Arc<_>,
        prober: Arc::new(Nobody),
        verification: Verification {
            authoritative: true,
            recursive: false,
            label_servers: vec!["192.0.2.53".into()],
            patience: Duration::from_secs(1),
            agreement: Duration::from_secs(1),
            way_in: false,
        },
        newest: Arc::default(),
    };
    let desired = desired();
    let round = reconciler.run(&desired, None, &()).await.unwrap();
    assert_eq!(round.changes.len(), 2 * CROWD, "{:?}", round.outcome);
    resolver.most.store(0, Ordering::SeqCst);
    let round = reconciler.status(&desired, &()).await;
    assert_eq!(round.chains.len(), CROWD);
    assert!(round.chains.iter().all(|chain| chain.links.len() == 4), "every link was asked for");
    assert_eq!(resolver.most.load(Ordering::SeqCst), 32);
}
