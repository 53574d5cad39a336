//! What an idle service asks for: counted to the last request, over rounds that nobody has to guess at.

use std::time::Duration;

use cnamed::sandbox::Service;
use tokio::time::{Instant, sleep};

use super::{PATIENCE, Run};
use crate::costs::write_zones_down;
use crate::support::Cloud;

/// The endpoint of the sandbox's configuration and one more, with five names each, all in both accounts.
async fn two_endpoints_and_ten_names() -> Cloud {
    let cloud = Cloud::start().await;
    let (resource_group, location) = (value(&cloud, "resource_group"), value(&cloud, "location"));
    let mut more = format!(
        "\n[[endpoint]]\nname = \"second\"\nresource_group = {resource_group}\nlocation = {location}\n\
         public_ip = \"pip-second\"\nlabel = \"contoso-second\"\n"
    );
    for number in 1..10 {
        let endpoint = if number < 5 { "jump" } else { "second" };
        more += &format!(
            "\n[[record]]\nname = \"n{number}.example.com\"\nendpoint = \"{endpoint}\"\n\
             accounts = [\"azure\", \"cf\"]\nttl = 30\n"
        );
    }
    cloud.append(&more);
    cloud
}

/// The first value of that key in the configuration, with its quotes.
fn value(cloud: &Cloud, key: &str) -> String {
    let text = std::fs::read_to_string(&cloud.config).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
    line.unwrap_or_else(|| panic!("no {key}")).to_owned()
}

impl Run {
    /// How many rounds have ended, once none is under way.
    async fn rounds(&self) -> u64 {
        self.shows("that no round is under way", |shown| shown["busy"] == false).await;
        let (_, metrics) = self.get("/metrics").await.expect("it answers");
        let rounds = metrics.lines().filter(|line| line.starts_with("cnamed_rounds_total{"));
        rounds.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }

    /// What a number of rounds ask for: the endpoints, Azure DNS and Cloudflare, each for one round.
    async fn costs(&self, cloud: &Cloud) -> [usize; 3] {
        self.in_sync().await;
        let before = self.rounds().await;
        cloud.sandbox.forget_requests();
        let mut ended = before;
        while ended < before + 4 {
            self.signal("-USR1").await;
            let deadline = Instant::now() + PATIENCE;
            let last = ended;
            while ended == last {
                assert!(Instant::now() < deadline, "no round follows a signal");
                sleep(Duration::from_millis(20)).await;
                ended = self.rounds().await;
            }
        }
        // Between rounds only the labels are looked at, which is no request at all.
        sleep(Duration::from_millis(600)).await;
        let rounds = usize::try_from(self.rounds().await - before).unwrap();
        let asked = cloud.requests();
        assert!(asked.iter().all(|request| request.method == "GET"), "{asked:#?}");
        assert!(asked.iter().all(|request| request.status == Some(200)), "{asked:#?}");
        let of = |service: Service, part: &str| {
            let is = |path: &str| path.to_ascii_lowercase().contains(part);
            asked.iter().filter(|request| request.service == service && is(&request.path)).count()
        };
        let (endpoints, azure) = (of(Service::Arm, "/publicipaddresses/"), of(Service::Arm, "/dnszones"));
        let cloudflare = of(Service::Cloudflare, "");
        assert_eq!(endpoints + azure + cloudflare, asked.len(), "nothing else is asked: {asked:#?}");
        [endpoints, azure, cloudflare].map(|count| {
            assert_eq!(count % rounds, 0, "{count} in {rounds} rounds: {asked:#?}");
            count / rounds
        })
    }
}

#[tokio::test]
async fn a_round_of_an_idle_service_costs_one_read_an_endpoint_and_one_a_zone() {
    let cloud = two_endpoints_and_ten_names().await;
    let run = Run::every(&cloud, "1h").await;
    // Two zones in Cloudflare: a mark of ours may stand in the other. Their list is known from the rounds before.
    assert_eq!(run.costs(&cloud).await, [2, 1, 2]);
    run.end().await;
}

#[tokio::test]
async fn a_round_of_an_idle_service_costs_one_read_a_provider_once_zones_are_written_down() {
    let cloud = two_endpoints_and_ten_names().await;
    cloud.run(&["sync"]).await.exits(0);
    write_zones_down(&cloud);
    let run = Run::every(&cloud, "1h").await;
    assert_eq!(run.costs(&cloud).await, [2, 1, 1]);
    run.end().await;
}
