//! The resolver over hickory against name servers on loopback.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cnamed::model::name::Fqdn;
use cnamed::model::record::{RecordType, Ttl};
use cnamed::model::verify::{Answer, Expected, Reply, Said, Verdict, judge, seen_by_resolvers};
use cnamed::resolver::hickory::{Hickory, Settings, SettingsError};
use cnamed::resolver::{Question, Resolver, Via};
use hickory_net::proto::op::ResponseCode;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::support::dns::{NameServer, Say, deaf, zone, zones};

const ZONE: &str = "
    example.com      3600 SOA   300
    example.com      3600 NS    ns1.example.com
    jump.example.com 300  CNAME contoso.westeurope.cloudapp.example.net
    txt.example.com  300  TXT   hello";

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

fn question(name: &str, rtype: &str) -> Question {
    Question { name: fqdn(name), rtype: RecordType::from(rtype) }
}

fn settings(resolvers: &[&NameServer]) -> Settings {
    let mut resolvers: Vec<String> = resolvers.iter().map(|server| server.text()).collect();
    if resolvers.is_empty() {
        resolvers.push("127.0.0.1:1".into());
    }
    Settings { resolvers, timeout: Duration::from_secs(5), attempts: 2, port: 53 }
}

fn impatient() -> Settings {
    Settings { timeout: Duration::from_secs(1), attempts: 1, ..settings(&[]) }
}

async fn ask(settings: &Settings, question: &Question, servers: &[String]) -> Vec<Answer> {
    Hickory::new(settings).unwrap().lookup(question, &Via::Servers(servers.to_vec())).await
}

async fn ask_one(server: &NameServer, name: &str, rtype: &str) -> Said {
    let answers = ask(&settings(&[]), &question(name, rtype), &[server.text()]).await;
    let [answer] = <[Answer; 1]>::try_from(answers).unwrap();
    assert_eq!(answer.server, server.text());
    answer.said
}

fn cname(target: &str) -> Expected {
    Expected::Cname { target: fqdn(target), flattened: false, address: None }
}

fn failed(said: &Said) -> &str {
    let Said::Failed(why) = said else { panic!("an answer: {said:?}") };
    why
}

const LABEL: &str = "contoso.westeurope.cloudapp.example.net";

#[tokio::test]
async fn two_servers_that_agree_are_each_asked_without_recursion() {
    let (one, two) = (NameServer::of_zone(ZONE).await, NameServer::of_zone(ZONE).await);
    let servers = [one.text(), two.text()];
    let answers = ask(&settings(&[]), &question("jump.example.com", "CNAME"), &servers).await;
    let names: Vec<_> = answers.iter().map(|a| a.server.clone()).collect();
    assert_eq!(names, servers);
    let reply = Reply { chain: vec![(fqdn(LABEL), 300)], addresses: vec![], ttl: 300 };
    assert!(answers.iter().all(|a| a.said == Said::Records(reply.clone())), "{answers:?}");
    assert_eq!(judge(&cname(LABEL), Ttl::new(300), &answers).verdict, Verdict::Agreed);
    for server in [one, two] {
        let [asked] = <[_; 1]>::try_from(server.asked()).unwrap();
        assert!(!asked.recursion_desired && asked.edns && !asked.tcp, "{asked:?}");
    }
}

#[tokio::test]
async fn a_stale_server_is_named() {
    let stale = ZONE.replace("contoso.", "fabrikam.");
    let (new, old) = (NameServer::of_zone(ZONE).await, NameServer::of_zone(&stale).await);
    let servers = [new.text(), old.text()];
    let answers = ask(&settings(&[]), &question("jump.example.com", "CNAME"), &servers).await;
    let finding = judge(&cname(LABEL), Ttl::new(300), &answers);
    assert_eq!(finding.verdict, Verdict::Contradicted);
    assert!(finding.detail.starts_with(&format!("{} says CNAME fabrikam", old.text())), "{finding:?}");
}

#[tokio::test]
async fn a_silent_server_is_an_answer_and_no_agreement() {
    let good = NameServer::of_zone(ZONE).await;
    let (silent, _held) = deaf().await;
    let servers = [good.text(), silent.to_string()];
    let answers = ask(&impatient(), &question("jump.example.com", "CNAME"), &servers).await;
    assert!(matches!(answers[0].said, Said::Records(_)), "{answers:?}");
    assert_eq!(failed(&answers[1].said), "no answer within 1s");
    let finding = judge(&cname(LABEL), Ttl::new(300), &answers);
    assert_eq!(finding.verdict, Verdict::Unanswered);
    assert_eq!(finding.detail, format!("{silent}: no answer within 1s; 1 of 2 agree"));
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let times = AtomicU32::new(0);
    let server = NameServer::start(move |_| {
        (times.fetch_add(1, Ordering::Relaxed) > 0).then(|| Say::records("jump.example.com 60 A 203.0.113.7"))
    })
    .await;
    let settings = Settings { timeout: Duration::from_millis(500), attempts: 10, ..settings(&[]) };
    let answers = ask(&settings, &question("jump.example.com", "A"), &[server.text()]).await;
    assert!(matches!(&answers[0].said, Said::Records(_)), "{answers:?}");
    assert!(server.asked().len() >= 2);
}

#[tokio::test]
async fn refusals_and_faults_are_told_in_words() {
    for (code, word) in [
        (ResponseCode::Refused, "REFUSED"),
        (ResponseCode::ServFail, "SERVFAIL"),
        (ResponseCode::FormErr, "FORMERR"),
        (ResponseCode::NotImp, "NOTIMP"),
        (ResponseCode::NotAuth, "response code 9"),
    ] {
        let server = NameServer::start(move |_| Some(Say::code(code))).await;
        let said = ask_one(&server, "jump.example.com", "CNAME").await;
        assert!(failed(&said).contains(word), "{said:?}");
    }
}

#[tokio::test]
async fn a_server_without_authority_is_lame() {
    let answer = "jump.example.com 300 CNAME contoso.example.net";
    let cached = NameServer::start(|_| Some(Say::records(answer).unauthoritative())).await;
    let said = ask_one(&cached, "jump.example.com", "CNAME").await;
    assert_eq!(failed(&said), "is not authoritative: its answer lacks the AA bit");

    let parent = NameServer::of_zone("com 60 SOA 60\nexample.com 60 NS ns1.example.com").await;
    let said = ask_one(&parent, "jump.example.com", "CNAME").await;
    assert_eq!(failed(&said), "is not authoritative: it refers to the servers of example.com");
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    let server = NameServer::start(|asked| {
        let whole = Say::records("jump.example.com 300 A 203.0.113.7\njump.example.com 300 A 203.0.113.8");
        let cut = Say { truncated: true, ..Say::records("jump.example.com 300 A 203.0.113.7") };
        Some(if asked.tcp { whole } else { cut })
    })
    .await;
    let said = ask_one(&server, "jump.example.com", "A").await;
    let Said::Records(reply) = said else { panic!("no records: {said:?}") };
    let both: Vec<IpAddr> = vec!["203.0.113.7".parse().unwrap(), "203.0.113.8".parse().unwrap()];
    assert_eq!(reply.addresses, both);
    assert_eq!(server.asked().iter().map(|asked| asked.tcp).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn nxdomain_and_nodata_are_nothing_with_the_negative_ttl() {
    let server = NameServer::of_zone(ZONE).await;
    let nothing = Said::Nothing { negative_ttl: Some(300) };
    assert_eq!(ask_one(&server, "absent.example.com", "CNAME").await, nothing);
    assert_eq!(ask_one(&server, "txt.example.com", "A").await, nothing);
    // The SOA's own TTL is the other bound (RFC 2308, 5).
    let server = NameServer::of_zone("example.com 30 SOA 300").await;
    assert_eq!(ask_one(&server, "absent.example.com", "A").await, Said::Nothing { negative_ttl: Some(30) });
    let bare = NameServer::start(|_| Some(Say::code(ResponseCode::NXDomain))).await;
    assert_eq!(ask_one(&bare, "absent.example.com", "A").await, Said::Nothing { negative_ttl: None });
}

#[tokio::test]
async fn a_chain_is_followed_to_its_addresses_and_strangers_in_the_answer_are_not() {
    let server = NameServer::start(|_| {
        Some(Say::records(
            "contoso.example.net 10 A 203.0.113.7
             JUMP.example.com 300 CNAME mid.Example.com
             mid.example.com 60 CNAME contoso.example.net
             stranger.example.net 10 A 198.51.100.1",
        ))
    })
    .await;
    let expected = Reply {
        chain: vec![(fqdn("mid.example.com"), 300), (fqdn("contoso.example.net"), 60)],
        addresses: vec!["203.0.113.7".parse().unwrap()],
        ttl: 300,
    };
    assert_eq!(ask_one(&server, "jump.example.com", "A").await, Said::Records(expected));
}

#[tokio::test]
async fn a_chain_that_ends_in_nxdomain_still_exists() {
    let server = NameServer::start(|_| {
        let chain =
            Say::records("jump.example.com 300 CNAME gone.example.net").authority("example.net 60 SOA 60");
        Some(Say { code: ResponseCode::NXDomain, ..chain })
    })
    .await;
    let reply = Reply { chain: vec![(fqdn("gone.example.net"), 300)], addresses: vec![], ttl: 300 };
    assert_eq!(ask_one(&server, "jump.example.com", "A").await, Said::Records(reply));
}

#[tokio::test]
async fn a_loop_of_aliases_ends() {
    let server = NameServer::start(|_| {
        Some(Say::records("a.example.com 9 CNAME b.example.com\nb.example.com 9 CNAME a.example.com"))
    })
    .await;
    assert!(failed(&ask_one(&server, "a.example.com", "A").await).contains("more than 16 aliases"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_no_answer() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let liar = tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        // The question itself, declared an answer of one record that is not there.
        buffer[2] |= 0x80;
        buffer[7] = 1;
        socket.send_to(&buffer[..length.min(20)], from).await.unwrap();
    });
    let answers = ask(&settings(&[]), &question("jump.example.com", "A"), &[address]).await;
    assert!(failed(&answers[0].said).starts_with("its answer cannot be read"), "{answers:?}");
    liar.await.unwrap();
}

#[tokio::test]
async fn servers_known_by_name_are_asked_at_all_their_addresses() {
    let serves = vec![zone(ZONE), zone(ZONE), zone(ZONE)];
    let servers = NameServer::start_on_one_port(serves).await;
    let port = servers[0].address.port();
    let resolver = NameServer::of_zone(
        "example.net     60 SOA  60
         ns1.example.net 60 A    127.0.0.1
         ns1.example.net 60 A    127.0.0.2
         ns1.example.net 60 AAAA fe80::1
         ns2.example.net 60 A    127.0.0.3
         ns3.example.net 60 TXT  homeless",
    )
    .await;
    let names: Vec<String> =
        ["ns1.example.net", "NS2.example.net.", "ns3.example.net", "ns4.example.net", "no name"]
            .map(String::from)
            .into();
    let settings = Settings { port, ..settings(&[&resolver]) };
    let answers = ask(&settings, &question("jump.example.com", "CNAME"), &names).await;
    let told: Vec<(String, bool)> =
        answers.iter().map(|a| (a.server.clone(), matches!(a.said, Said::Records(_)))).collect();
    // The link-local address has no route without a zone: it is left out, since the server has others.
    let expected = [
        (format!("ns1.example.net (127.0.0.1:{port})"), true),
        (format!("ns1.example.net (127.0.0.2:{port})"), true),
        (format!("ns2.example.net (127.0.0.3:{port})"), true),
        ("ns3.example.net".into(), false),
        ("ns4.example.net".into(), false),
        ("no name".into(), false),
    ];
    assert_eq!(told, expected);
    assert_eq!(failed(&answers[3].said), "ns3.example.net has no address");
    assert!(failed(&answers[5].said).starts_with("names no server"), "{answers:?}");
    assert!(resolver.asked().iter().all(|asked| asked.recursion_desired));
}

#[tokio::test]
async fn a_server_may_be_named_with_its_port_and_counts_once() {
    let server = NameServer::of_zone(ZONE).await;
    let resolver = NameServer::of_zone("example.net 60 SOA 60\nns1.example.net 60 A 127.0.0.1").await;
    let port = server.address.port();
    let names = [format!("ns1.example.net:{port}"), server.text()];
    let answers = ask(&settings(&[&resolver]), &question("jump.example.com", "CNAME"), &names).await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].server, format!("ns1.example.net (127.0.0.1:{port})"));
}

#[tokio::test]
async fn the_second_resolver_is_asked_when_the_first_fails() {
    let server = NameServer::of_zone(ZONE).await;
    let broken = NameServer::start(|_| Some(Say::code(ResponseCode::ServFail))).await;
    let resolver = NameServer::of_zone("example.net 60 SOA 60\nns1.example.net 60 A 127.0.0.1").await;
    let names = [format!("ns1.example.net:{}", server.address.port())];
    let answers = ask(&settings(&[&broken, &resolver]), &question("jump.example.com", "CNAME"), &names).await;
    assert!(matches!(answers[0].said, Said::Records(_)), "{answers:?}");
}

const PARENT: &str = "
    example.net               60 SOA 60
    example.net               60 NS  ns.example.net
    cloudapp.example.net      60 NS  child.example.net";
const CHILD: &str = "
    cloudapp.example.net                    60 SOA   60
    cloudapp.example.net                    60 NS    child.example.net
    cloudapp.example.net                    60 NS    second.example.net
    contoso.westeurope.cloudapp.example.net 10 A     203.0.113.7
    alias.westeurope.cloudapp.example.net   10 CNAME elsewhere.example.org";
const RESOLVED: &str = "
    example.net        60 SOA 60
    example.net        60 NS  ns.example.net
    ns.example.net     60 A   127.0.0.1
    child.example.net  60 A   127.0.0.2
    second.example.net 60 A   127.0.0.3";

async fn authority(settings: &Settings, name: &str) -> Vec<(String, Said)> {
    let hickory = Hickory::new(settings).unwrap();
    let answers = hickory.lookup(&question(name, "A"), &Via::Authority).await;
    answers.into_iter().map(|answer| (answer.server, answer.said)).collect()
}

#[tokio::test]
async fn the_authority_is_found_across_a_delegation_without_asking_a_resolver_for_the_name() {
    let servers = NameServer::start_on_one_port(vec![zone(PARENT), zone(CHILD), zone(CHILD)]).await;
    let resolver = NameServer::of_zone(RESOLVED).await;
    let settings = Settings { port: servers[0].address.port(), ..settings(&[&resolver]) };
    let hickory = Hickory::new(&settings).unwrap();
    let question = question(LABEL, "A");
    let answers = hickory.lookup(&question, &Via::Authority).await;
    // The parent names one server, the zone itself two: its own word counts.
    let names: Vec<_> = answers.iter().map(|a| a.server.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["child.example.net", "second.example.net"]);
    assert!(
        answers.iter().all(|a| matches!(&a.said, Said::Records(reply) if reply.ttl == 10)),
        "{answers:?}"
    );
    let asked = resolver.asked();
    assert!(asked.iter().all(|a| a.name != LABEL && !a.name.ends_with(".cloudapp.example.net")), "{asked:?}");

    // Who serves the zone is remembered; what they say is not.
    let before = (resolver.asked().len(), servers[0].asked().len(), servers[1].asked().len());
    hickory.lookup(&question, &Via::Authority).await;
    let after = (resolver.asked().len(), servers[0].asked().len(), servers[1].asked().len());
    assert_eq!(after, (before.0, before.1, before.2 + 1));
}

#[tokio::test]
async fn a_server_of_both_zones_does_not_hide_the_zone_below() {
    let both = zones(&[PARENT, CHILD]);
    let servers = NameServer::start_on_one_port(vec![both, zone(CHILD), zone(CHILD)]).await;
    let resolver = NameServer::of_zone(RESOLVED).await;
    let settings = Settings { port: servers[0].address.port(), ..settings(&[&resolver]) };
    for name in [LABEL, "alias.westeurope.cloudapp.example.net", "absent.westeurope.cloudapp.example.net"] {
        let answers = authority(&settings, name).await;
        let names: Vec<_> = answers.iter().map(|(server, _)| server.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["child.example.net", "second.example.net"], "{name}");
        assert!(answers.iter().all(|(_, said)| !matches!(said, Said::Failed(_))), "{answers:?}");
    }
}

#[tokio::test]
async fn an_authority_that_nobody_knows_is_said_so() {
    let resolver = NameServer::start(|_| Some(Say::code(ResponseCode::ServFail))).await;
    let answers = authority(&settings(&[&resolver]), LABEL).await;
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, format!("authority of {LABEL}"));
    assert!(failed(&answers[0].1).contains("authoritative servers cannot be found"), "{answers:?}");
}

#[tokio::test]
async fn an_authority_that_refuses_is_heard_server_by_server() {
    let refusing = || Arc::new(|_: &_| Some(Say::code(ResponseCode::Refused)));
    let servers = NameServer::start_on_one_port(vec![refusing()]).await;
    let resolver = NameServer::of_zone(RESOLVED).await;
    let settings = Settings { port: servers[0].address.port(), ..settings(&[&resolver]) };
    let answers = authority(&settings, LABEL).await;
    assert_eq!(answers.len(), 1);
    assert!(answers[0].0.starts_with("ns.example.net ("), "{answers:?}");
    assert!(failed(&answers[0].1).starts_with("REFUSED"), "{answers:?}");
}

#[tokio::test]
async fn the_recursive_view_counts_down_and_is_never_cached_here() {
    let left = AtomicU32::new(300);
    let server = NameServer::start(move |_| {
        let ttl = left.fetch_sub(100, Ordering::Relaxed);
        let text = format!("jump.example.com {ttl} CNAME old.example.net\nold.example.net 5 A 203.0.113.1");
        Some(Say::records(&text).unauthoritative())
    })
    .await;
    let hickory = Hickory::new(&settings(&[&server])).unwrap();
    for ttl in [300, 200, 100] {
        let answers = hickory.lookup(&question("jump.example.com", "A"), &Via::Recursive).await;
        let finding = seen_by_resolvers(&cname(LABEL), None, &answers);
        assert_eq!(finding.verdict, Verdict::Pending);
        assert_eq!(finding.detail, format!("{} still says CNAME old.example.net for {ttl} s", server.text()));
    }
    assert!(server.asked().iter().all(|asked| asked.recursion_desired));
}

#[tokio::test]
async fn a_resolver_that_only_refers_does_not_say_that_there_is_nothing() {
    let server = NameServer::of_zone("com 60 SOA 60\nexample.com 60 NS ns1.example.com").await;
    let hickory = Hickory::new(&settings(&[&server])).unwrap();
    let answers = hickory.lookup(&question("jump.example.com", "A"), &Via::Recursive).await;
    assert_eq!(failed(&answers[0].said), "does not recurse: it refers to the servers of example.com");
}

#[tokio::test]
async fn many_silent_servers_take_no_longer_than_the_bound() {
    let (mut addresses, mut held) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        let (address, socket) = deaf().await;
        addresses.push(address.to_string());
        held.push(socket);
    }
    let settings = Settings { timeout: Duration::from_millis(100), attempts: 1, ..settings(&[]) };
    let begin = Instant::now();
    let answers = ask(&settings, &question("jump.example.com", "A"), &addresses).await;
    assert_eq!(answers.len(), addresses.len());
    assert!(answers.iter().all(|answer| matches!(answer.said, Said::Failed(_))));
    // One after the other would be 60 s, sixteen at a time 3.8 s; the bound is 0.8 s.
    assert!(begin.elapsed() < Duration::from_millis(2500), "{:?}", begin.elapsed());
}

#[test]
fn settings_that_reach_nobody_are_refused() {
    let refused = |settings: &Settings| Hickory::new(settings).unwrap_err();
    let with = |resolver: &str| Settings { resolvers: vec![resolver.into()], ..Settings::default() };
    for good in ["system", "192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:53"] {
        assert!(Hickory::new(&with(good)).is_ok(), "{good}");
    }
    for bad in ["", "dns.example.net", "192.0.2.53:", "192.0.2.53:99999", "System"] {
        assert_eq!(refused(&with(bad)), SettingsError::Resolver(bad.into()));
    }
    assert_eq!(refused(&Settings { resolvers: vec![], ..Settings::default() }), SettingsError::NoResolver);
    for timeout in [Duration::ZERO, Duration::MAX] {
        assert_eq!(refused(&Settings { timeout, ..Settings::default() }), SettingsError::Timeout(timeout));
    }
}
