//! Who serves a zone, by the word of the resolvers and of the zone above, against name servers on loopback.

use std::time::Duration;

use cnamed::model::name::Fqdn;
use cnamed::resolver::Survey;
use cnamed::resolver::hickory::{Hickory, Settings};

use crate::support::dns::{NameServer, zone, zones};

/// What the resolver knows: the servers of `test`, and where they are; and its own idea of who serves a zone.
const KNOWN: [&str; 2] = [
    "test 3600 SOA 300\n test 3600 NS a.nic.example",
    "nic.example 3600 SOA 300\n a.nic.example 3600 A 127.0.0.2",
];
/// The zone above, which delegates one zone and knows of no other.
const ABOVE: &str = "
    test          3600 SOA 300
    test          3600 NS  a.nic.example
    held.test     3600 NS  ns1.one.example
    held.test     3600 NS  NS2.two.example";

#[tokio::test]
async fn the_zone_above_is_asked_itself() {
    let servers = NameServer::start_on_one_port(vec![zones(&KNOWN), zone(ABOVE)]).await;
    let settings = Settings {
        resolvers: vec![servers[0].text()],
        timeout: Duration::from_secs(5),
        attempts: 2,
        port: servers[0].address.port(),
    };
    let hickory = Hickory::new(&settings).unwrap();
    let fqdn = |text: &str| Fqdn::parse(text).unwrap();
    let held = hickory.delegated_to(&fqdn("held.test")).await;
    assert_eq!(held, Some(vec!["ns1.one.example".to_owned(), "ns2.two.example".to_owned()]));
    assert_eq!(hickory.delegated_to(&fqdn("gone.test")).await, Some(vec![]));
    // A resolver would remember that a zone is not there yet (RFC 2308, 5).
    assert!(
        servers[0].asked().iter().all(|asked| !asked.name.contains("held") && !asked.name.contains("gone"))
    );
    assert_eq!(hickory.delegated_to(&fqdn("held.elsewhere")).await, None);
    let heard = hickory.name_servers(&fqdn("nic.example")).await;
    assert_eq!((heard.len(), heard[0].said.clone()), (1, Ok(vec![])));
    let heard = hickory.name_servers(&fqdn("refused.elsewhere")).await;
    assert!(heard[0].said.as_ref().unwrap_err().contains("REFUSED"), "{heard:?}");
}
