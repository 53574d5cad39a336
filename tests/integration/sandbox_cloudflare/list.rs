//! Lists: zones and records, filters, order, pages.

use serde_json::{Value, json};

use super::client::Api;

async fn filled() -> Api {
    let api = Api::start().await;
    for (name, content, comment, tags) in [
        (
            "alpha.example.com",
            "a.example.net",
            Some("Managed-By=cnamed owner=one"),
            json!(["team:ops", "env:prod"]),
        ),
        ("beta.example.com", "b.example.net", Some("by hand"), json!(["team:web"])),
        ("gamma.example.com", "c.example.org", None, json!([])),
    ] {
        api.create(
            json!({ "type": "CNAME", "name": name, "content": content, "comment": comment, "tags": tags }),
        )
        .await;
    }
    api
}

async fn names(api: &Api, query: &str) -> Vec<String> {
    let answer = api.records("GET", &format!("?{query}"), Value::Null).await;
    let shown = answer.result().as_array().expect("a list").iter();
    shown
        .map(|record| record["name"].as_str().expect("a name").trim_end_matches(".example.com").to_owned())
        .collect()
}

#[tokio::test]
async fn filters_compare_without_case_and_combine_by_match() {
    let api = filled().await;
    let cases: &[(&str, &[&str])] = &[
        ("name.exact=ALPHA.example.com", &["alpha"]),
        ("name=beta.example.com.", &["beta"]),
        ("name.startswith=al", &["alpha"]),
        ("name.endswith=ta.example.com", &["beta"]),
        ("name.contains=AMM", &["gamma"]),
        ("type=CNAME&content.endswith=.NET", &["alpha", "beta"]),
        ("content=C.example.org", &["gamma"]),
        ("comment.present=&type=CNAME", &["alpha", "beta"]),
        ("comment.absent=&type=CNAME", &["gamma"]),
        ("comment.endswith=owner=ONE", &["alpha"]),
        ("comment.contains=managed-by=CNAMED", &["alpha"]),
        ("comment.exact=by%20hand", &["beta"]),
        ("tag.present=team", &["alpha", "beta"]),
        ("tag.exact=team:ops", &["alpha"]),
        ("tag=team:web", &["beta"]),
        ("tag.absent=team&type=CNAME", &["gamma"]),
        ("tag.startswith=team:o", &["alpha"]),
        ("tag.exact=team:ops&tag.exact=team:web&tag_match=any", &["alpha", "beta"]),
        ("tag.exact=team:ops&tag.exact=team:web", &[]),
        ("name.exact=alpha.example.com&content.exact=b.example.net", &[]),
        ("name.exact=alpha.example.com&content.exact=b.example.net&match=any", &["alpha", "beta"]),
        ("proxied=true", &["shop"]),
        ("type=CNAME&order=content&direction=desc", &["gamma", "beta", "alpha"]),
        ("search=hand", &["beta"]),
        ("name.exact=nobody.example.com", &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(names(&api, query).await, *expected, "{query}");
    }
    for query in ["match=some", "order=size", "direction=up", "page=0", "per_page=x"] {
        assert_eq!(
            api.records("GET", &format!("?{query}"), Value::Null).await.refusal(),
            (400, 1004),
            "{query}"
        );
    }
}

#[tokio::test]
async fn pages_are_cut_by_their_size_and_the_one_after_the_last_is_empty() {
    let api = filled().await;
    let mut seen = Vec::new();
    let total = api.records("GET", "", Value::Null).await.body["result_info"]["total_count"]
        .as_u64()
        .expect("a number");
    let pages = total.div_ceil(4);
    for page in 1..=pages + 1 {
        let answer = api.records("GET", &format!("?per_page=4&page={page}"), Value::Null).await;
        let shown = answer.result().as_array().expect("a list");
        let info = json!({ "page": page, "per_page": 4, "count": shown.len(), "total_count": total, "total_pages": pages });
        assert_eq!(answer.body["result_info"], info);
        assert_eq!(shown.is_empty(), page > pages, "page {page}");
        seen.extend(shown.iter().map(|record| record["id"].clone()));
    }
    assert_eq!(seen.len() as u64, total);
    seen.sort_by_key(ToString::to_string);
    seen.dedup();
    assert_eq!(seen.len() as u64, total, "no record on two pages");
    assert_eq!(api.records("GET", "", Value::Null).await.body["result_info"]["per_page"], 100);
}

#[tokio::test]
async fn zones_are_found_by_name_in_either_spelling() {
    let api = Api::start().await;
    for path in [
        "/zones?name=example.com",
        "/zones/?name=EXAMPLE.com",
        "/zones?name.exact=example.com&per_page=10000",
    ] {
        let answer = api.get(path).await;
        let found = answer.result().as_array().expect("a list");
        assert_eq!(found.len(), 1, "{path}");
        let zone = &found[0];
        assert_eq!(
            (&zone["name"], &zone["status"], &zone["type"]),
            (&json!("example.com"), &json!("active"), &json!("full"))
        );
        assert_eq!(zone["name_servers"], json!(["cora.ns.cloudflare.com", "hank.ns.cloudflare.com"]));
        assert_eq!(api.get(&format!("/zones/{}", zone["id"].as_str().expect("an id"))).await.result(), zone);
    }
    assert_eq!(api.get("/zones?name=nobody.example").await.result(), &json!([]));
    assert_eq!(api.get("/zones").await.body["result_info"]["total_count"], 2);
    assert_eq!(api.get("/zones?page=2").await.result(), &json!([]), "clients page until nothing comes");
    let by_name = api.get("/zones/example.com/dns_records").await;
    assert_eq!(by_name.refusal(), (400, 7003), "a zone is addressed by its id");
    assert_eq!(by_name.body["errors"][1]["code"], 7000);
    assert_eq!(api.get(&api.path("/pagerules?status=active")).await.result(), &json!([]));
    assert_eq!(api.get(&api.path("/nowhere")).await.refusal(), (400, 7003));
    assert_eq!(api.call("PUT", &api.path("/dns_records"), None).await.refusal(), (405, 7001));
}

#[tokio::test]
async fn settings_of_a_zone_are_changed_one_by_one() {
    let api = Api::start().await;
    let path = api.path("/dns_settings");
    assert_eq!(api.get(&path).await.result()["multi_provider"], false);
    let body = json!({ "multi_provider": true, "soa": { "min_ttl": 60 } });
    let changed = api.call("PATCH", &path, Some(body)).await.result().clone();
    assert_eq!((&changed["multi_provider"], &changed["soa"]["min_ttl"]), (&json!(true), &json!(60)));
    let refused = api.call("PATCH", &path, Some(json!({ "soa": { "min_ttl": 59 } }))).await;
    assert_eq!(refused.refusal(), (400, 1004));
    assert_eq!(api.get(&path).await.result(), &changed);
}

#[tokio::test]
async fn a_record_below_a_delegation_is_kept_but_named_as_shadowed() {
    let api = Api::start().await;
    api.create(json!({ "type": "A", "name": "host.sub.example.com", "content": "192.0.2.9" })).await;
    api.create(json!({ "type": "NS", "name": "sub.example.com", "content": "ns1.example.net" })).await;
    let plain = api.records("GET", "?name=host.sub.example.com", Value::Null).await;
    assert_eq!(plain.result()[0]["meta"], json!({}));
    let shadowed =
        api.records("GET", "?name=host.sub.example.com&include_shadow_metadata=true", Value::Null).await;
    assert_eq!(shadowed.result()[0]["meta"], json!({ "shadowed_by": "sub.example.com" }));
}
