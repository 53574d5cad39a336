//! A batch is one transaction in a fixed order, and a zone has a quota.

use cnamed::sandbox::{CloudflarePlan, Options};
use serde_json::{Value, json};

use super::client::Api;

#[tokio::test]
async fn a_batch_runs_deletes_patches_puts_posts_whatever_the_order_in_the_body() {
    let api = Api::start().await;
    let old = api.create(json!({ "type": "A", "name": "jump.example.com", "content": "192.0.2.1" })).await;
    let kept = api
        .create(json!({ "type": "A", "name": "kept.example.com", "content": "192.0.2.2", "comment": "kept" }))
        .await;
    let wiped = api
        .create(
            json!({ "type": "A", "name": "wiped.example.com", "content": "192.0.2.3", "comment": "lost" }),
        )
        .await;
    // The post needs the delete; the put takes the content that the patch gives up.
    let batch = json!({
        "posts": [{ "type": "CNAME", "name": "jump.example.com", "content": "x.example.net" }],
        "puts": [{ "id": wiped["id"], "type": "A", "name": "kept.example.com", "content": "192.0.2.2" }],
        "patches": [{ "id": kept["id"], "content": "192.0.2.20" }],
        "deletes": [{ "id": old["id"] }],
    });
    let result = api.records("POST", "/batch", batch).await.result().clone();
    assert_eq!(result["deletes"][0]["id"], old["id"]);
    assert_eq!(
        (&result["patches"][0]["content"], &result["patches"][0]["comment"]),
        (&json!("192.0.2.20"), &json!("kept"))
    );
    assert_eq!(result["puts"][0]["comment"], Value::Null);
    assert_eq!(result["posts"][0]["type"], "CNAME");
    let left = api.records("GET", "?name=jump.example.com", Value::Null).await;
    assert_eq!(left.result().as_array().map(Vec::len), Some(1));
    assert_eq!(left.result()[0]["id"], result["posts"][0]["id"]);
}

#[tokio::test]
async fn a_batch_with_one_refusal_changes_nothing() {
    let api = Api::start().await;
    let old = api.create(json!({ "type": "A", "name": "jump.example.com", "content": "192.0.2.1" })).await;
    let batch = json!({
        "deletes": [{ "id": old["id"] }],
        "posts": [
            { "type": "CNAME", "name": "jump.example.com", "content": "x.example.net" },
            { "type": "CNAME", "name": "www.example.com", "content": "x.example.net" },
        ],
    });
    assert_eq!(api.records("POST", "/batch", batch).await.refusal(), (400, 81053));
    let now = api.records("GET", "?name=jump.example.com", Value::Null).await;
    assert_eq!(now.result(), &json!([old]));
}

#[tokio::test]
async fn a_batch_has_as_many_operations_as_the_plan_allows() {
    let mut options = Options::default();
    options.plan = CloudflarePlan::Free;
    let api = Api::with(options).await;
    let posts = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|n| json!({ "type": "TXT", "name": format!("t{n}.example.com"), "content": "x" }))
            .collect()
    };
    let answer = api.records("POST", "/batch", json!({ "posts": posts(201) })).await;
    assert!(answer.message().contains("exceeding the limit of 200"), "{}", answer.message());
    // 200 operations are one batch, but the zone's quota is 200 records and some exist.
    assert_eq!(api.records("POST", "/batch", json!({ "posts": posts(200) })).await.refusal(), (400, 81045));
    let usage = api.records("GET", "/usage", Value::Null).await.result().clone();
    let left = 200 - usage["record_usage"].as_u64().expect("a number");
    assert_eq!(usage["record_quota"], 200);
    api.records("POST", "/batch", json!({ "posts": posts(usize::try_from(left).expect("small")) }))
        .await
        .result();
    let one_more = json!({ "type": "A", "name": "full.example.com", "content": "192.0.2.1" });
    let full = api.records("POST", "", one_more).await;
    assert_eq!((full.refusal(), full.message()), ((400, 81045), "Record quota exceeded."));
}
