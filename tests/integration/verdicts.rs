//! What a verdict is made of: a table of cases, and the law that agreement means every server.

use std::net::IpAddr;

use cnamed::model::name::Fqdn;
use cnamed::model::record::{RecordType, Ttl};
use cnamed::model::verify::{
    Answer, Expected, Finding, Reply, Said, Verdict, judge, seen_beside, seen_by_resolvers,
};
use proptest::prelude::*;

const NEW: &str = "new.example.net";
const OLD: &str = "old.example.net";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn cname(target: &str) -> Expected {
    Expected::Cname { target: Fqdn::parse(target).unwrap(), flattened: false, address: None }
}

fn flattened(address: Option<&str>) -> Expected {
    Expected::Cname { target: Fqdn::parse(NEW).unwrap(), flattened: true, address: address.map(ip) }
}

fn addresses(texts: &[&str]) -> Expected {
    Expected::Addresses(texts.iter().copied().map(ip).collect())
}

fn points_at(target: &str, ttl: u32) -> Said {
    Said::Records(Reply { chain: vec![(Fqdn::parse(target).unwrap(), ttl)], addresses: vec![], ttl })
}

fn gives(texts: &[&str], ttl: u32) -> Said {
    Said::Records(Reply { chain: vec![], addresses: texts.iter().copied().map(ip).collect(), ttl })
}

fn nothing(negative_ttl: Option<u32>) -> Said {
    Said::Nothing { negative_ttl }
}

fn silent() -> Said {
    Said::Failed("no answer within 4s".into())
}

/// Answers of `ns1.example.org`, `ns2.example.org` and so on.
fn answers(said: &[Said]) -> Vec<Answer> {
    let server = |n: usize| format!("ns{n}.example.org (192.0.2.{n}:53)");
    said.iter().zip(1..).map(|(said, n)| Answer { server: server(n), said: said.clone() }).collect()
}

#[track_caller]
fn judged(expected: &Expected, ttl: u32, said: &[Said], verdict: Verdict, detail: &str) {
    let finding = judge(expected, Ttl::new(ttl), &answers(said));
    assert_eq!(finding, Finding { verdict, detail: detail.into() });
}

#[track_caller]
fn seen(expected: &Expected, old: Option<&Expected>, said: &[Said], verdict: Verdict, detail: &str) {
    let finding = seen_by_resolvers(expected, old, &answers(said));
    assert_eq!(finding, Finding { verdict, detail: detail.into() });
}

#[test]
fn a_cname_is_agreed_when_every_server_gives_it() {
    let new = || points_at(NEW, 300);
    let agreed = "2 name servers say CNAME new.example.net (TTL 300)";
    judged(&cname(NEW), 300, &[new(), new()], Verdict::Agreed, agreed);
    judged(&cname(NEW), 300, &[new()], Verdict::Agreed, "1 name server says CNAME new.example.net (TTL 300)");
    let differs =
        "ns2.example.org says CNAME old.example.net (TTL 300), not CNAME new.example.net; 1 of 2 agree";
    judged(&cname(NEW), 300, &[new(), points_at(OLD, 300)], Verdict::Contradicted, differs);
    let absent = "ns1.example.org says that there is nothing, not CNAME new.example.net";
    judged(&cname(NEW), 300, &[nothing(None)], Verdict::Contradicted, absent);
    // Addresses in the place of a CNAME are another record, even if they are the endpoint's.
    let replaced = "ns1.example.org says 203.0.113.7 (TTL 60), not CNAME new.example.net";
    judged(&cname(NEW), 300, &[gives(&["203.0.113.7"], 60)], Verdict::Contradicted, replaced);
}

#[test]
fn only_the_first_link_of_a_chain_is_ours() {
    let mut chain = vec![(Fqdn::parse(NEW).unwrap(), 300), (Fqdn::parse(OLD).unwrap(), 10)];
    let said = |chain: &[(Fqdn, u32)]| {
        Said::Records(Reply { chain: chain.to_vec(), addresses: vec![ip("203.0.113.7")], ttl: 300 })
    };
    assert_eq!(judge(&cname(NEW), Ttl::new(300), &answers(&[said(&chain)])).verdict, Verdict::Agreed);
    chain.reverse();
    assert_eq!(judge(&cname(NEW), Ttl::new(300), &answers(&[said(&chain)])).verdict, Verdict::Contradicted);
}

#[test]
fn silence_among_agreement_is_not_agreement() {
    let detail = "ns2.example.org: no answer within 4s; 1 of 2 agree";
    judged(&cname(NEW), 300, &[points_at(NEW, 300), silent()], Verdict::Unanswered, detail);
    judged(&cname(NEW), 300, &[], Verdict::Unanswered, "no name server is known for it");
    // Contradiction is certain, silence is not: it comes first.
    let detail = "ns2.example.org says CNAME old.example.net (TTL 9), not CNAME new.example.net";
    judged(&cname(NEW), 300, &[silent(), points_at(OLD, 9)], Verdict::Contradicted, detail);
}

#[test]
fn another_ttl_is_an_older_record() {
    let detail = "ns2.example.org still says CNAME new.example.net (TTL 3600), not TTL 300";
    let said = [points_at(NEW, 300), points_at(NEW, 3600)];
    judged(&cname(NEW), 300, &said, Verdict::Pending, detail);
    // Cloudflare's automatic TTL is whatever it serves, and without a TTL none is compared.
    assert_eq!(judge(&cname(NEW), Some(Ttl::AUTOMATIC), &answers(&said)).verdict, Verdict::Agreed);
    assert_eq!(judge(&cname(NEW), None, &answers(&said)).verdict, Verdict::Agreed);
    // A silent server may be worse than late, but late is what was seen.
    let said = [silent(), points_at(NEW, 3600)];
    let detail = "ns2.example.org still says CNAME new.example.net (TTL 3600), not TTL 300";
    judged(&cname(NEW), 300, &said, Verdict::Pending, detail);
}

#[test]
fn flattened_records_are_masked_by_the_endpoints_address() {
    let ours = flattened(Some("203.0.113.7"));
    let detail = "flattened: 1 name server says 203.0.113.7";
    judged(&ours, 300, &[gives(&["203.0.113.7"], 10)], Verdict::Masked, detail);
    let detail = "ns1.example.org says 203.0.113.9 (TTL 10), not 203.0.113.7";
    judged(&ours, 300, &[gives(&["203.0.113.9"], 10)], Verdict::Contradicted, detail);
    let both = gives(&["203.0.113.7", "203.0.113.9"], 10);
    assert_eq!(judge(&ours, None, &answers(&[both])).verdict, Verdict::Contradicted);
    let detail = "ns1.example.org says that there is nothing, not 203.0.113.7";
    judged(&ours, 300, &[nothing(Some(60))], Verdict::Contradicted, detail);
    let detail = "flattened: 1 name server says nothing, as the endpoint has no address";
    judged(&flattened(None), 300, &[nothing(Some(60))], Verdict::Masked, detail);
    assert_eq!(
        judge(&flattened(None), None, &answers(&[gives(&["203.0.113.7"], 10)])).verdict,
        Verdict::Contradicted
    );
    // Below an apex a provider may give the CNAME itself; then it is seen.
    assert_eq!(judge(&ours, Ttl::new(300), &answers(&[points_at(NEW, 300)])).verdict, Verdict::Agreed);
}

#[test]
fn proxied_records_are_masked_by_anything_but_the_endpoint() {
    let proxied = Expected::Proxied { address: Some(ip("203.0.113.7")) };
    let detail = "proxied: 1 name server says 104.16.1.1 104.16.2.2";
    judged(&proxied, 300, &[gives(&["104.16.1.1", "104.16.2.2"], 300)], Verdict::Masked, detail);
    let detail = "ns1.example.org says 203.0.113.7 (TTL 300), not the provider's own addresses";
    judged(&proxied, 300, &[gives(&["203.0.113.7"], 300)], Verdict::Contradicted, detail);
    for said in [points_at(NEW, 300), nothing(None), gives(&[], 300)] {
        assert_eq!(judge(&proxied, None, &answers(&[said])).verdict, Verdict::Contradicted);
    }
    let detail = "ns2.example.org: no answer within 4s; 1 of 2 agree";
    judged(&proxied, 300, &[gives(&["104.16.1.1"], 300), silent()], Verdict::Unanswered, detail);
}

#[test]
fn addresses_are_compared_as_a_set() {
    let two = addresses(&["203.0.113.7", "203.0.113.8"]);
    let turned = gives(&["203.0.113.8", "203.0.113.7"], 300);
    let detail = "1 name server says 203.0.113.8 203.0.113.7 (TTL 300)";
    judged(&two, 300, &[turned], Verdict::Agreed, detail);
    for fewer_or_more in [&["203.0.113.7"][..], &["203.0.113.7", "203.0.113.8", "203.0.113.9"], &[]] {
        let said = answers(&[gives(fewer_or_more, 300)]);
        assert_eq!(judge(&two, None, &said).verdict, Verdict::Contradicted, "{fewer_or_more:?}");
    }
    assert_eq!(judge(&two, None, &answers(&[points_at(OLD, 300)])).verdict, Verdict::Contradicted);
}

#[test]
fn a_withdrawn_name_is_gone_from_every_server() {
    let gone = Expected::Gone;
    let detail = "2 name servers say that there is nothing";
    judged(&gone, 300, &[nothing(Some(300)), nothing(None)], Verdict::Agreed, detail);
    let detail = "ns2.example.org says CNAME old.example.net (TTL 300), not nothing; 1 of 2 agree";
    judged(&gone, 300, &[nothing(None), points_at(OLD, 300)], Verdict::Contradicted, detail);
}

#[test]
fn namesakes_are_told_apart_by_address() {
    let server = |address: &str| format!("ns1.example.org ({address}:53)");
    let said = [("192.0.2.1", points_at(NEW, 300)), ("192.0.2.2", points_at(OLD, 300))];
    let answers = said.map(|(address, said)| Answer { server: server(address), said });
    let finding = judge(&cname(NEW), None, &answers);
    assert!(finding.detail.starts_with("ns1.example.org (192.0.2.2:53) says "), "{finding:?}");
}

#[test]
fn a_cached_old_answer_is_pending_for_as_long_as_it_is_cached() {
    let (new, old) = (cname(NEW), cname(OLD));
    let said = [points_at(NEW, 300), points_at(OLD, 60), points_at(OLD, 120)];
    let detail = "ns3.example.org still says CNAME old.example.net for 120 s";
    seen(&new, Some(&old), &said, Verdict::Pending, detail);
    seen(&new, None, &said, Verdict::Pending, detail);
    let detail = "2 resolvers say CNAME new.example.net (TTL 7)";
    seen(&new, Some(&old), &[points_at(NEW, 7), points_at(NEW, 300)], Verdict::Agreed, detail);
    // The gone record too lives on in caches: that is what a withdrawal waits for.
    let detail = "ns1.example.org still says CNAME old.example.net for 60 s";
    seen(&Expected::Gone, Some(&old), &[points_at(OLD, 60)], Verdict::Pending, detail);
}

#[test]
fn a_remembered_absence_is_pending() {
    let detail = "ns1.example.org still remembers for 240 s that there is nothing";
    seen(&cname(NEW), Some(&cname(OLD)), &[nothing(Some(240))], Verdict::Pending, detail);
    let detail = "ns1.example.org still says that there is nothing";
    seen(&cname(NEW), None, &[nothing(None)], Verdict::Pending, detail);
}

#[test]
fn a_resolver_may_have_what_any_account_of_the_name_shall_say() {
    let (new, proxied) = (cname(NEW), Expected::Proxied { address: Some(ip("203.0.113.7")) });
    let beside = |said: &[Said], others: &[Expected]| {
        let Finding { verdict, detail } = seen_beside(&new, others, &answers(said));
        (verdict, detail)
    };
    // To a question for a CNAME a server that gives addresses in its place has nothing to say.
    let others = [proxied.for_question(&RecordType::A, &RecordType::Cname)];
    assert_eq!(others, [Expected::Gone]);
    let theirs = "1 resolver says that there is nothing, as another account of the name has it";
    assert_eq!(beside(&[nothing(Some(300))], &others), (Verdict::Agreed, theirs.to_owned()));
    assert_eq!(beside(&[nothing(Some(300))], &[]).0, Verdict::Pending);
    let own = "1 resolver says CNAME new.example.net (TTL 7)";
    assert_eq!(beside(&[points_at(NEW, 7)], &others), (Verdict::Agreed, own.to_owned()));
    let (verdict, detail) = beside(&[points_at(NEW, 7), nothing(None)], &others);
    assert_eq!((verdict, detail), (Verdict::Agreed, format!("{own}; {theirs}")));
    // What none of them says is no more right than before.
    let (verdict, detail) = beside(&[nothing(None), points_at(OLD, 60)], &others);
    assert_eq!(verdict, Verdict::Pending);
    assert!(detail.starts_with("ns2.example.org still says CNAME old.example.net for 60 s"), "{detail}");

    // And the other way round: a CNAME is given for every type.
    let others = [new.for_question(&RecordType::Cname, &RecordType::A)];
    let seen = |said| seen_beside(&proxied, &others, &answers(&[said])).verdict;
    assert_eq!(seen(points_at(NEW, 300)), Verdict::Agreed);
    assert_eq!(seen(gives(&["198.51.100.1"], 300)), Verdict::Masked);
    assert_eq!(seen(gives(&["203.0.113.7"], 300)), Verdict::Pending);
    let two = addresses(&["203.0.113.7"]);
    assert_eq!(two.for_question(&RecordType::A, &RecordType::A), two);
    assert_eq!(two.for_question(&RecordType::A, &RecordType::Aaaa), Expected::Gone);
}

#[test]
fn a_resolver_that_knows_neither_new_nor_old_looks_elsewhere() {
    let said = [points_at(OLD, 60), points_at("hijack.example.com", 60)];
    let detail = "ns2.example.org says CNAME hijack.example.com (TTL 60), \
                  neither CNAME new.example.net nor CNAME old.example.net as before";
    seen(&cname(NEW), Some(&cname(OLD)), &said, Verdict::Contradicted, detail);
    assert_eq!(seen_by_resolvers(&cname(NEW), None, &answers(&said)).verdict, Verdict::Pending);
}

#[test]
fn resolvers_mask_and_fall_silent_like_servers() {
    let detail = "flattened: 1 resolver says 203.0.113.7";
    seen(&flattened(Some("203.0.113.7")), None, &[gives(&["203.0.113.7"], 4)], Verdict::Masked, detail);
    let detail = "ns2.example.org: no answer within 4s; 1 of 2 agree";
    seen(&cname(NEW), None, &[points_at(NEW, 4), silent()], Verdict::Unanswered, detail);
    seen(&cname(NEW), None, &[], Verdict::Unanswered, "no resolver is known for it");
}

fn any_said() -> impl Strategy<Value = Said> {
    prop_oneof![
        4 => Just(points_at(NEW, 300)),
        1 => Just(points_at(NEW, 60)),
        1 => Just(points_at(OLD, 300)),
        1 => Just(gives(&["203.0.113.7"], 300)),
        1 => any::<Option<u32>>().prop_map(nothing),
        1 => Just(silent()),
    ]
}

fn any_expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        4 => Just(cname(NEW)),
        1 => Just(flattened(Some("203.0.113.7"))),
        1 => Just(flattened(None)),
        1 => Just(addresses(&["203.0.113.7"])),
        1 => Just(Expected::Proxied { address: Some(ip("198.51.100.1")) }),
        1 => Just(Expected::Gone),
    ]
}

proptest! {
    #[test]
    fn agreed_means_that_each_server_by_itself_agrees(
        expected in any_expected(),
        said in prop::collection::vec(any_said(), 0..6),
    ) {
        let ttl = Ttl::new(300);
        let finding = judge(&expected, ttl, &answers(&said));
        let alone: Vec<Verdict> =
            said.iter().map(|said| judge(&expected, ttl, &answers(std::slice::from_ref(said))).verdict).collect();
        let all = !alone.is_empty() && alone.iter().all(|verdict| *verdict == Verdict::Agreed);
        prop_assert_eq!(finding.verdict == Verdict::Agreed, all);
        let fits = |verdict: &Verdict| matches!(verdict, Verdict::Agreed | Verdict::Masked);
        let all_fit = !alone.is_empty() && alone.iter().all(fits);
        prop_assert_eq!(fits(&finding.verdict), all_fit);
        prop_assert_eq!(finding.verdict == Verdict::Contradicted, alone.contains(&Verdict::Contradicted));
        prop_assert!(!finding.detail.contains('\n'));
    }

    #[test]
    fn plain_cname_is_agreed_only_by_exactly_what_was_written(said in prop::collection::vec(any_said(), 0..6)) {
        let agreed = judge(&cname(NEW), Ttl::new(300), &answers(&said)).verdict == Verdict::Agreed;
        prop_assert_eq!(agreed, !said.is_empty() && said.iter().all(|said| *said == points_at(NEW, 300)));
    }

    #[test]
    fn the_order_of_servers_does_not_change_the_verdict(
        expected in any_expected(),
        said in prop::collection::vec(any_said(), 0..6).prop_flat_map(|s| (Just(s.clone()), Just(s).prop_shuffle())),
    ) {
        let verdict = |said: &[Said]| judge(&expected, Ttl::new(300), &answers(said)).verdict;
        prop_assert_eq!(verdict(&said.0), verdict(&said.1));
        let seen = |said: &[Said]| seen_by_resolvers(&expected, Some(&cname(OLD)), &answers(said)).verdict;
        prop_assert_eq!(seen(&said.0), seen(&said.1));
    }
}
