//! Zones and records, each page of them, and no more requests than it takes.

use std::time::Duration;

use cnamed::model::record::Owner;
use cnamed::model::state::Seen;
use cnamed::provider::{DnsProvider, Found, Kind, Look};
use cnamed::sandbox::{Action, CLOUDFLARE_TOKENS, CloudflarePlan, Fault, Service};
use serde_json::{Value, json};

use super::{Cloud, LABEL, MARK, account, cname, fqdn, ops, scripted, zone_name};
use crate::transport::script::{Script, Step};

#[tokio::test]
async fn zones_are_listed_once_and_their_plan_sets_the_rules() {
    for (plan, least) in [(CloudflarePlan::Free, 60), (CloudflarePlan::Enterprise, 30)] {
        let cloud = Cloud::start(plan).await;
        let zones = cloud.cf.zones().await.unwrap();
        assert_eq!(cloud.asked(), [""; 0], "they are remembered");
        assert_eq!(zones.len(), 2);
        cloud.cf.forget_zones();
        for _ in 0..2 {
            assert_eq!(cloud.cf.zones().await.unwrap(), zones);
        }
        assert_eq!(cloud.asked().len(), 1, "once more");
        let rules = cloud.zone.rules;
        assert_eq!((rules.least_ttl, rules.greatest_ttl, rules.automatic_ttl), (least, 86_400, true));
        assert!(rules.flattens_apex && rules.proxying && !rules.alias);
        assert_eq!(cloud.zone.name_servers.len(), 2, "{:?}", cloud.zone);
    }
}

#[tokio::test]
async fn a_zone_by_id_needs_no_right_to_list_zones() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let token = CLOUDFLARE_TOKENS.dns_edit_only;
    let refused = account(&cloud.sandbox, token, [].into()).zones().await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(refused.next_step().unwrap().contains("Zone > Zone > Read"), "{}", refused.chain());

    let cf = account(&cloud.sandbox, token, [(zone_name(), cloud.zone.id.clone())].into());
    cloud.sandbox.forget_requests();
    let zones = cf.zones().await.unwrap();
    assert_eq!(cloud.asked(), [""; 0]);
    let look = Look { names: [fqdn("www.example.com")].into(), marked: Some(ops()) };
    assert_eq!(cf.observe(&zones[0], &look).await.unwrap().len(), 1);

    let bent = account(&cloud.sandbox, token, [(zone_name(), "../../user".to_owned())].into());
    assert_eq!(bent.zones().await.unwrap_err().kind(), Kind::Rejected);
}

#[tokio::test]
async fn every_page_of_zones_is_read_whether_or_not_they_are_counted() {
    let zone = |n: u32| json!({"id": format!("{n:032x}"), "name": format!("z{n}.example"), "plan": null});
    let counted =
        |n| json!({"success": true, "result": [zone(n)], "result_info": {"page": n, "total_pages": 2}});
    let uncounted = |zones: &[Value]| json!({"result": zones});
    for pages in [
        vec![counted(1), counted(2)],
        vec![uncounted(&[zone(1)]), uncounted(&[zone(2)]), uncounted(&[])],
        // Names that no zone of ours can have hide nothing behind them.
        vec![
            uncounted(&[json!({"id": "odd", "name": "odd"})]),
            uncounted(&[zone(1), zone(2)]),
            uncounted(&[]),
        ],
        // A service that ignores the page gives the same for ever.
        vec![uncounted(&[zone(1), zone(2)]), uncounted(&[zone(1), zone(2)])],
    ] {
        let script = Script::play(pages.iter().map(Step::json)).await;
        let cf = super::over(crate::transport::script::http(), script.at("/v4/").as_str(), "t", [].into());
        assert_eq!(cf.zones().await.unwrap().len(), 2);
        let seen = script.seen();
        assert_eq!(seen.len(), pages.len());
        assert!(seen[1].starts_with("GET /v4/zones?page=2&per_page=50 HTTP/1.1\r\n"), "{}", seen[1]);
        assert!(seen[1].contains("authorization: Bearer t\r\n"), "{}", seen[1]);
    }
}

#[tokio::test]
async fn one_name_and_every_mark_are_one_request() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    for (name, comment) in
        [("stray", MARK), ("human", "the web team's"), ("near", "managed-by=cnamed owner=devops")]
    {
        cloud.by_hand(json!({"type": "CNAME", "name": format!("{name}.example.com"), "content": LABEL,
            "comment": comment}));
    }
    let look = Look { names: [fqdn("www.example.com")].into(), marked: Some(ops()) };
    cloud.sandbox.forget_requests();
    let found = cloud.cf.observe(&cloud.zone, &look).await.unwrap();
    assert_eq!(cloud.asked(), ["GET zones/*/dns_records"]);
    assert_eq!(
        cloud.sandbox.requests()[0].query,
        "name.exact=www.example.com&comment.endswith=managed-by%3Dcnamed+owner%3Dops&match=any\
         &order=name&direction=asc&page=1&per_page=1000"
    );
    assert_eq!(
        shown(&found),
        [
            "stray.example.com: CNAME contoso-jump.westeurope.cloudapp.azure.com  ttl 1s by ops",
            "www.example.com: A 192.0.2.80  ttl 300s, HTTPS 1 . alpn=\"h3,h2\"  ttl 300s",
        ]
    );
    // No name at all still finds the marks, in one request.
    cloud.sandbox.forget_requests();
    let found = cloud.cf.observe(&cloud.zone, &Look { names: [].into(), marked: Some(ops()) }).await.unwrap();
    assert_eq!((found.len(), cloud.asked().len()), (1, 1));
}

#[tokio::test]
async fn a_marked_address_beside_a_strangers_is_not_ours() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let record = |id: &str, name: &str, comment: &str| {
        json!({"id": id, "name": format!("{name}.example.com"), "type": "A",
        "content": format!("192.0.2.{id}"), "ttl": 300, "comment": comment, "modified_on": "t"})
    };
    let list = |records: &[Value]| Step::json(&json!({"result": records, "result_info": {"total_pages": 1}}));
    let marked = list(&[record("1", "mixed", MARK), record("3", "pure", MARK)]);
    let mixed = list(&[record("1", "mixed", MARK), record("2", "mixed", "by hand")]);
    let script = Script::play([marked, mixed, list(&[record("3", "pure", MARK)])]).await;
    let (cf, zone) = scripted(&script);
    let found = cf.observe(&zone, &Look { names: [].into(), marked: Some(ops()) }).await.unwrap();
    // The two names are asked for at once, so either may get either answer.
    assert!(found.len() <= 1 && !found.contains_key(&fqdn("mixed.example.com")), "{found:?}");
    assert_eq!(script.seen().len(), 3);

    cloud.put("stray.example.com", Some(super::addresses(&["192.0.2.1", "192.0.2.2"]))).await.unwrap();
    let found = cloud.cf.observe(&cloud.zone, &Look { names: [].into(), marked: Some(ops()) }).await.unwrap();
    assert_eq!(shown(&found), ["stray.example.com: A 192.0.2.1 192.0.2.2  ttl 300s by ops"]);
}

#[tokio::test]
async fn few_names_are_asked_for_and_many_are_paged() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    cloud.by_hand(json!({"type": "CNAME", "name": "n1.example.com", "content": LABEL, "comment": MARK}));
    cloud.by_hand(json!({"type": "CNAME", "name": "stray.example.com", "content": LABEL, "comment": MARK}));
    let theirs = "managed-by=cnamed owner=dev";
    cloud
        .by_hand(json!({"type": "CNAME", "name": "theirs.example.com", "content": LABEL, "comment": theirs}));
    for (count, marked, requests) in [
        (1, None, 1),
        (2, Some(ops()), 2),
        (4, None, 4),
        (4, Some(ops()), 4),
        (5, None, 1),
        (9, Some(ops()), 1),
    ] {
        let names = (1..=count).map(|n| fqdn(&format!("n{n}.example.com"))).collect();
        cloud.sandbox.forget_requests();
        let found = cloud.cf.observe(&cloud.zone, &Look { names, marked: marked.clone() }).await.unwrap();
        assert_eq!(cloud.asked().len(), requests, "{count} names");
        assert_eq!(found.len(), count + usize::from(marked.is_some()), "{count} names");
        assert!(matches!(found[&fqdn("n1.example.com")], Seen::Present(_)));
        assert!((2..=count).all(|n| found[&fqdn(&format!("n{n}.example.com"))] == Seen::Absent));
        assert_eq!(found.contains_key(&fqdn("stray.example.com")), marked.is_some());
    }
}

#[tokio::test]
async fn a_name_that_alone_cannot_be_read_is_unknown_and_nothing_readable_is_an_error() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let refusal = Action::Status {
        status: 403,
        headers: vec![("cf-ray".into(), "ray-1".into())],
        body: json!({"success": false, "errors": [{"code": 10000, "message": "Authentication error"}]}),
    };
    let names = || ["a.example.com", "b.example.com", "c.example.com"].map(fqdn).into();
    cloud.sandbox.control().fault(Fault::on(Service::Cloudflare, refusal.clone()).nth(2));
    let found = cloud.cf.observe(&cloud.zone, &Look { names: names(), marked: None }).await.unwrap();
    let unknown: Vec<&str> = found.values().filter_map(Seen::unknown).collect();
    assert_eq!((found.len(), unknown.len()), (3, 1));
    assert!(
        unknown[0].contains("Authentication error (10000), cf-ray ray-1; give the token"),
        "{}",
        unknown[0]
    );

    cloud.sandbox.control().fault(Fault::on(Service::Cloudflare, refusal).always());
    for marked in [None, Some(ops())] {
        let error = cloud.cf.observe(&cloud.zone, &Look { names: names(), marked }).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::Denied, "could not read example.com in cf")
        );
    }
}

#[tokio::test]
async fn throttling_in_the_middle_of_paging_loses_nothing() {
    let throttled = Step::status(429).with("retry-after-ms", "200");
    let script = Script::play([page(&["a", "b"], 3, 2), throttled, page(&["c"], 3, 2)]).await;
    let (cf, zone) = scripted(&script);
    assert_eq!(cf.observe(&zone, &many(Some(ops()))).await.unwrap().len(), 5 + 3);
    assert_eq!(script.seen().len(), 3);

    // A page that never comes is no end of the list.
    let throttled = Step::status(429).with("retry-after", "600");
    let script = Script::play([page(&["a", "b"], 3, 2), throttled]).await;
    let (cf, zone) = scripted(&script);
    let error = cf.observe(&zone, &many(Some(ops()))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Throttled(Duration::from_secs(600)), "{}", error.chain());
}

/// Whoever exceeds the quota is out for five minutes, whether the answer says so or not.
#[tokio::test]
async fn a_token_that_is_blocked_without_a_word_is_left_alone_for_five_minutes() {
    let script = Script::play(vec![Step::status(429); 20]).await;
    let (cf, zone) = scripted(&script);
    let error = cf.observe(&zone, &many(Some(ops()))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Throttled(Duration::from_secs(300)), "{}", error.chain());
    assert!(error.chain().ends_with("run again in 300s"), "{}", error.chain());
    let asked = script.seen().len();
    let error = cf.observe(&zone, &many(Some(ops()))).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Throttled(left) if left > Duration::from_secs(280)), "{error:?}");
    assert_eq!(script.seen().len(), asked, "nothing is asked while it is out");
}

#[tokio::test]
async fn a_zone_that_changes_under_the_reading_is_read_again() {
    // The deletion of a record of page 1 moves one of page 2 onto page 1, which was read already: whether the total says
    // so of itself meanwhile, or not.
    for total in [4, 3] {
        let script = Script::play([
            page(&["a", "b"], 4, 2),
            page(&["d"], total, 2),
            page(&["b", "c"], 3, 2),
            page(&["d"], 3, 2),
        ])
        .await;
        let (cf, zone) = scripted(&script);
        let found = cf.observe(&zone, &many(Some(ops()))).await.unwrap();
        assert!(found.contains_key(&fqdn("c.example.com")) && !found.contains_key(&fqdn("a.example.com")));
    }

    // Nor is one page the whole when it says itself that there is more.
    for pages in [2, 1] {
        let restless = (0..9).map(|_| page(&["a"], 9, pages));
        let script = Script::play(restless).await;
        let (cf, zone) = scripted(&script);
        let error = cf.observe(&zone, &many(None)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.chain().contains("kept changing"), "{}", error.chain());
    }
}

/// The API's document has `total_count` as what there is "without any search parameters"; the service is known to count
/// what it found.
#[tokio::test]
async fn a_filtered_list_is_whole_whatever_its_total_counts() {
    let look = || Look { names: [fqdn("a.example.com")].into(), marked: Some(ops()) };
    for (total, pages) in [(1, 1), (4000, 1), (4000, 4)] {
        let answers = [page(&["a"], total, pages), page(&[], total, pages)];
        let script = Script::play(answers).await;
        let (cf, zone) = scripted(&script);
        let found = cf.observe(&zone, &look()).await.unwrap();
        assert!(matches!(found[&fqdn("a.example.com")], Seen::Present(_)), "{total}: {found:?}");
        assert_eq!(script.seen().len(), if pages > 1 { 2 } else { 1 }, "{total}");
    }
    // Whatever is counted, it stands still while nothing moves, and is never less than what was found.
    let [first, changed] = [page(&["a", "b"], 4000, 2), page(&["d"], 3999, 2)];
    let whole = [page(&["a", "c"], 3999, 2), page(&["d"], 3999, 2)];
    let script = Script::play([first, changed].into_iter().chain(whole)).await;
    let (cf, zone) = scripted(&script);
    let found = cf.observe(&zone, &look()).await.unwrap();
    assert!(found.contains_key(&fqdn("c.example.com")), "{found:?}");
    let script = Script::play((0..9).map(|_| page(&["a", "b"], 1, 1))).await;
    let (cf, zone) = scripted(&script);
    assert_eq!(cf.observe(&zone, &look()).await.unwrap_err().kind(), Kind::Unreachable);
}

#[tokio::test]
async fn names_are_folded_and_what_is_new_to_us_is_tolerated() {
    let answer = json!({"success": true, "errors": [], "messages": [{"code": 1, "message": "hello"}], "result": [
        {"id": "1", "name": "MÜNCHEN.Example.COM", "type": "CNAME", "content": "Target.Example.NET.", "ttl": 1,
         "proxied": true, "proxiable": true, "comment": format!("ours {MARK}"), "shiny": {"new": []},
         "settings": {"flatten_cname": true, "novelty": 7}, "created_on": null, "modified_on": "t"},
        {"id": "2", "name": "new.example.com", "type": "BRANDNEW", "content": null, "data": {"x": 1}},
    ], "result_info": {"total_pages": 1, "cursors": {}}});
    let script = Script::play([Step::json(&answer)]).await;
    let (cf, zone) = scripted(&script);
    let look = Look { names: [fqdn("münchen.example.com")].into(), marked: Some(ops()) };
    assert_eq!(
        shown(&cf.observe(&zone, &look).await.unwrap()),
        ["xn--mnchen-3ya.example.com: CNAME target.example.net  proxied by ops"]
    );
    assert!(script.seen()[0].contains("name.exact=xn--mnchen-3ya.example.com&"), "{}", script.seen()[0]);
}

#[tokio::test]
async fn our_own_record_comes_back_as_it_was_written() {
    let cloud = Cloud::start(CloudflarePlan::Free).await;
    let written = cloud.put("jump.example.com", Some(cname(LABEL))).await.unwrap();
    assert_eq!(cloud.sets("jump.example.com").await, written);
    assert!(written[0].is_ours(&ops()) && !written[0].is_ours(&Owner::parse("op").unwrap()));
}

fn many(marked: Option<Owner>) -> Look {
    Look { names: (1..=5).map(|n| fqdn(&format!("n{n}.example.com"))).collect(), marked }
}

fn page(names: &[&str], total: u32, pages: u32) -> Step {
    let record = |name: &&str| {
        json!({"id": name, "name": format!("{name}.example.com"), "type": "CNAME", "content": LABEL,
        "ttl": 300, "proxied": false, "comment": MARK, "modified_on": "t"})
    };
    let records: Vec<Value> = names.iter().map(record).collect();
    let info = json!({"total_count": total, "total_pages": pages});
    Step::json(&json!({"success": true, "result": records, "result_info": info}))
}

fn shown(found: &Found) -> Vec<String> {
    let line = |(name, seen): (_, &Seen<Vec<cnamed::model::record::RecordSet>>)| {
        let sets = seen.present().unwrap().iter().map(|set| match &set.mark {
            Some(owner) => format!("{} by {owner}", set.content),
            None => set.content.to_string(),
        });
        format!("{name}: {}", sets.collect::<Vec<_>>().join(", "))
    };
    found.iter().map(line).collect()
}
