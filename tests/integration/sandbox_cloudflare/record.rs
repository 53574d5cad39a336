//! One record: what is stored, what is refused, and what PATCH and PUT keep.

use cnamed::sandbox::{CloudflarePlan, Options};
use serde_json::{Value, json};

use super::client::Api;

async fn on(plan: CloudflarePlan) -> Api {
    let mut options = Options::default();
    options.plan = plan;
    Api::with(options).await
}

#[tokio::test]
async fn a_created_record_has_every_member_of_the_published_schema() {
    let api = Api::start().await;
    let made = api
        .create(json!({ "type": "CNAME", "name": "Jump", "content": "Contoso.Example.NET.", "ttl": 30 }))
        .await;
    assert_eq!(made["name"], "jump.example.com", "a relative name is completed and folded");
    assert_eq!(made["content"], "contoso.example.net");
    assert_eq!(
        (&made["ttl"], &made["proxied"], &made["proxiable"]),
        (&json!(30), &json!(false), &json!(true))
    );
    assert_eq!(
        (&made["comment"], &made["tags"], &made["settings"], &made["meta"]),
        (&Value::Null, &json!([]), &json!({}), &json!({}))
    );
    assert!(made.get("comment_modified_on").is_none(), "absent without a comment");
    let id = made["id"].as_str().expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    for moment in ["created_on", "modified_on"] {
        assert!(made[moment].as_str().is_some_and(|at| at.ends_with('Z')), "{made}");
    }
    assert_eq!(api.records("GET", &format!("/{id}"), Value::Null).await.result(), &made);
}

#[tokio::test]
async fn patch_keeps_what_it_does_not_name_and_put_loses_it() {
    let api = Api::start().await;
    let made = api
        .create(json!({ "type": "CNAME", "name": "jump.example.com", "content": "a.example.net", "ttl": 300,
                        "comment": "a person's words", "tags": ["team:ops"], "settings": { "flatten_cname": true } }))
        .await;
    assert!(made["comment_modified_on"].is_string());
    assert!(made["tags_modified_on"].is_string());
    let rest = format!("/{}", made["id"].as_str().expect("an id"));

    let patched = api.records("PATCH", &rest, json!({ "content": "b.example.net" })).await.result().clone();
    assert_ne!(patched["modified_on"], made["modified_on"], "two changes within a second differ");
    for kept in ["id", "comment", "tags", "settings", "ttl", "name", "created_on", "comment_modified_on"] {
        assert_eq!(patched[kept], made[kept], "PATCH keeps {kept}");
    }
    assert_eq!(patched["content"], "b.example.net");

    let body = json!({ "type": "CNAME", "name": "jump.example.com", "content": "b.example.net" });
    let put = api.records("PUT", &rest, body).await.result().clone();
    assert_eq!(
        (&put["comment"], &put["tags"], &put["settings"], &put["ttl"]),
        (&Value::Null, &json!([]), &json!({}), &json!(1))
    );
    assert_eq!(put["id"], made["id"]);
    let missing = api.records("PUT", &rest, json!({ "content": "c.example.net" })).await;
    assert_eq!(missing.refusal(), (400, 1004), "PUT wants the whole record");
}

#[tokio::test]
async fn a_deleted_record_is_gone_and_an_unknown_one_was_never_there() {
    let api = Api::start().await;
    let made = api.create(json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.1" })).await;
    let rest = format!("/{}", made["id"].as_str().expect("an id"));
    assert_eq!(api.records("DELETE", &rest, Value::Null).await.result(), &json!({ "id": made["id"] }));
    for (method, body) in [("GET", Value::Null), ("DELETE", Value::Null), ("PATCH", json!({ "ttl": 60 }))] {
        assert_eq!(api.records(method, &rest, body).await.refusal(), (404, 81044), "{method}");
    }
    assert_eq!(api.records("GET", "/jump.example.com", Value::Null).await.refusal(), (400, 7003));
}

#[tokio::test]
async fn names_that_cannot_stand_together_are_refused_by_the_codes_of_the_service() {
    let api = Api::start().await;
    api.create(json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.1" })).await;
    api.create(json!({ "type": "CNAME", "name": "c.example.com", "content": "x.example.net" })).await;
    api.create(json!({ "type": "NS", "name": "sub.example.com", "content": "ns1.example.net" })).await;
    let refused = [
        ("CNAME", "a.example.com", "x.example.net", 81053),
        ("CNAME", "c.example.com", "y.example.net", 81053),
        ("A", "c.example.com", "192.0.2.1", 81054),
        ("AAAA", "C.example.com", "2001:db8::1", 81054),
        ("A", "a.example.com", "192.0.2.1", 81058),
        ("CNAME", "c.example.com", "X.example.net.", 81058),
        ("TXT", "sub.example.com", "text", 81056),
        ("NS", "a.example.com", "ns1.example.net", 81053),
        ("CNAME", "self.example.com", "self.example.com", 9039),
        ("CNAME", "bad.example.com", "192.0.2.1", 9007),
        ("A", "bad.example.com", "x.example.net", 9005),
        ("AAAA", "bad.example.com", "192.0.2.1", 9006),
        ("A", "-bad.example.com", "192.0.2.1", 9000),
        ("BOGUS", "bad.example.com", "x", 9020),
    ];
    for (kind, name, content, code) in refused {
        let answer = api.records("POST", "", json!({ "type": kind, "name": name, "content": content })).await;
        assert_eq!(answer.refusal(), (400, code), "{kind} {name} {content}: {}", answer.message());
    }
    // What may stand together: a second address, a text beside a CNAME, the signature of a delegation.
    let data = json!({ "key_tag": 1, "algorithm": 13, "digest_type": 2, "digest": "00".repeat(32) });
    api.create(json!({ "type": "DS", "name": "sub.example.com", "data": data })).await;
    api.create(json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.2" })).await;
    api.create(json!({ "type": "TXT", "name": "c.example.com", "content": "text" })).await;
}

#[tokio::test]
async fn a_time_to_live_is_automatic_or_from_the_floor_of_the_plan() {
    for (plan, floor) in [(CloudflarePlan::Free, 60), (CloudflarePlan::Enterprise, 30)] {
        let api = on(plan).await;
        for (ttl, legal) in
            [(0, false), (1, true), (floor - 1, false), (floor, true), (86_400, true), (86_401, false)]
        {
            let body = json!({ "type": "A", "name": format!("t{ttl}.example.com"), "content": "192.0.2.1", "ttl": ttl });
            let answer = api.records("POST", "", body).await;
            if legal {
                assert_eq!(answer.result()["ttl"], ttl);
            } else {
                assert_eq!(answer.refusal(), (400, 9021), "{plan:?} {ttl}");
                assert!(answer.message().contains(&floor.to_string()), "{}", answer.message());
            }
        }
    }
}

#[tokio::test]
async fn comments_and_tags_are_limited_by_the_plan() {
    let record = |extra: (&str, Value)| {
        let mut record = json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.1" });
        record[extra.0] = extra.1;
        record
    };
    let free = on(CloudflarePlan::Free).await;
    let long = free.records("POST", "", record(("comment", json!("x".repeat(101))))).await;
    assert_eq!(
        (long.refusal(), long.message()),
        ((400, 9313), "DNS record comment exceeds the maximum length of 100 characters.")
    );
    assert_eq!(
        free.records("POST", "", record(("comment", json!("two\nlines")))).await.refusal(),
        (400, 1004)
    );
    let tags = free.records("POST", "", record(("tags", json!(["a:b"])))).await;
    assert_eq!(
        (tags.refusal(), tags.message()),
        ((400, 9300), "DNS record has 1 tags, exceeding the quota of 0.")
    );
    let made = free.create(record(("comment", json!("x".repeat(100))))).await;
    // An empty comment is none.
    let rest = format!("/{}", made["id"].as_str().expect("an id"));
    assert_eq!(free.records("PATCH", &rest, json!({ "comment": "" })).await.result()["comment"], Value::Null);

    let paid = on(CloudflarePlan::Enterprise).await;
    assert_eq!(
        paid.records("POST", "", record(("comment", json!("x".repeat(501))))).await.refusal(),
        (400, 9313)
    );
    let many: Vec<String> = (0..21).map(|n| format!("t{n}:v")).collect();
    assert_eq!(paid.records("POST", "", record(("tags", json!(many)))).await.refusal(), (400, 9300));
    assert_eq!(paid.create(record(("tags", json!(["a:b", "c"])))).await["tags"], json!(["a:b", "c"]));
}

#[tokio::test]
async fn only_what_can_be_proxied_is_and_then_its_ttl_is_automatic() {
    let api = Api::start().await;
    let made = api.create(json!({ "type": "CNAME", "name": "p.example.com", "content": "x.example.net", "ttl": 600, "proxied": true })).await;
    assert_eq!((&made["ttl"], &made["proxied"]), (&json!(1), &json!(true)));
    for (kind, content, code) in [("TXT", "text", 9004), ("A", "10.0.0.1", 9041), ("A", "1.1.1.1", 9003)] {
        let body = json!({ "type": kind, "name": "q.example.com", "content": content, "proxied": true });
        assert_eq!(api.records("POST", "", body).await.refusal(), (400, code), "{kind} {content}");
    }
    let private = api.create(json!({ "type": "A", "name": "q.example.com", "content": "10.0.0.1" })).await;
    assert_eq!(private["proxiable"], json!(false));
}

#[tokio::test]
async fn types_with_data_are_written_by_data_and_rendered_by_the_service() {
    let api = Api::start().await;
    let caa = api.create(json!({ "type": "CAA", "name": "caa.example.com", "data": { "flags": "0", "tag": "issue", "value": "ca.example.net" } })).await;
    assert_eq!((&caa["content"], &caa["data"]["flags"]), (&json!("0 issue \"ca.example.net\""), &json!(0)));
    let bare = json!({ "type": "CAA", "name": "caa.example.com", "content": "0 issue \"x\"" });
    assert_eq!(api.records("POST", "", bare).await.refusal(), (400, 1004));
    let bare = json!({ "type": "MX", "name": "mx.example.com", "content": "mail.example.com" });
    let answer = api.records("POST", "", bare).await;
    assert_eq!((answer.refusal(), answer.message()), ((400, 1004), "priority is a required field."));
    let srv = api.create(json!({ "type": "SRV", "name": "_x._tcp.example.com", "data": { "priority": 1, "weight": 2, "port": 3, "target": "mail.example.com" } })).await;
    assert_eq!((&srv["priority"], &srv["content"]), (&json!(1), &json!("2 3 mail.example.com")));
}

#[tokio::test]
async fn a_body_that_is_not_a_record_is_refused_without_a_trace() {
    let api = Api::start().await;
    let before = api.records("GET", "/usage", Value::Null).await.result()["record_usage"].clone();
    let header = format!("authorization: Bearer {}\r\n", api.token);
    let path = api.path("/dns_records");
    for (body, code) in
        [("{", 9207), ("[]", 9207), ("{}", 1004), (r#"{"type":"A","name":"a","content":7}"#, 9207)]
    {
        let mut stream = api.connect().await;
        let answer = api.raw(&mut stream, "POST", &path, &header, Some(body.to_owned())).await;
        assert_eq!(answer.refusal(), (400, code), "{body}");
    }
    assert_eq!(api.records("GET", "/usage", Value::Null).await.result()["record_usage"], before);
}

#[tokio::test]
async fn a_person_edits_a_record_in_place_and_cannot_break_the_rules_either() {
    let api = Api::start().await;
    let control = api.sandbox.control();
    let made = api
        .create(json!({ "type": "CNAME", "name": "jump.example.com", "content": "a.example.net", "comment": "ours" }))
        .await;
    let edit = json!({ "type": "CNAME", "name": "jump.example.com", "content": "b.example.net", "ttl": 300 });
    control.set_record_cloudflare(&edit).expect("legal");
    let rest = format!("/{}", made["id"].as_str().expect("an id"));
    let now = api.records("GET", &rest, Value::Null).await.result().clone();
    assert_eq!(
        (&now["content"], &now["comment"]),
        (&json!("b.example.net"), &Value::Null),
        "no mark is kept"
    );
    let address = json!({ "type": "A", "name": "jump.example.com", "content": "192.0.2.1" });
    let refused = control.set_record_cloudflare(&address).expect_err("a CNAME is there");
    assert!(refused.to_string().contains("CNAME record with that host already exists"), "{refused}");
    control.delete_record_cloudflare("jump.example.com", "CNAME").expect("it is there");
    control.set_record_cloudflare(&address).expect("and now it is free");
    control.delete_record_cloudflare("jump.example.com", "CNAME").expect_err("gone");
    control
        .set_record_cloudflare(&json!({ "type": "A", "name": "a.example.org" }))
        .expect_err("not our zone");
}
