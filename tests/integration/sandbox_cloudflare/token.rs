//! Tokens: who may do what, and in which words the others are refused.

use cnamed::sandbox::{CLOUDFLARE_TOKENS, Options};
use serde_json::{Value, json};

use super::client::Api;

#[tokio::test]
async fn each_kind_of_token_verifies_at_its_own_path() {
    let mut api = Api::start().await;
    let account = format!("/accounts/{}/tokens/verify", CLOUDFLARE_TOKENS.account);
    let user = "/user/tokens/verify";
    let good = api.get(user).await;
    assert_eq!(good.result()["status"], "active");
    assert_eq!(good.body["messages"][0]["message"], "This API Token is valid and active");
    assert_eq!(api.get(&account).await.refusal(), (401, 1000), "a user's token is none of the account's");
    for (token, status) in [(CLOUDFLARE_TOKENS.expired, "expired"), (CLOUDFLARE_TOKENS.disabled, "disabled")]
    {
        api.token = token;
        assert_eq!(api.get(user).await.result()["status"], status);
    }
    api.token = CLOUDFLARE_TOKENS.account_owned;
    assert_eq!(api.get(user).await.refusal(), (401, 1000));
    assert_eq!(api.get(&account).await.result()["status"], "active");
    assert_eq!(api.get("/accounts").await.refusal(), (403, 1001));
    api.token = "an-unknown-token-of-a-credible-length-0001";
    assert_eq!(api.get(user).await.refusal(), (401, 1000));
}

#[tokio::test]
async fn a_token_that_is_unknown_or_over_opens_nothing() {
    let mut api = Api::start().await;
    let unknown = "an-unknown-token-of-a-credible-length-0001";
    for token in [CLOUDFLARE_TOKENS.expired, CLOUDFLARE_TOKENS.disabled, unknown] {
        api.token = token;
        for path in ["/zones", &api.path("/dns_records")] {
            let answer = api.get(path).await;
            assert_eq!((answer.refusal(), answer.message()), ((403, 9109), "Invalid access token"), "{path}");
        }
    }
    api.token = "short";
    let malformed = api.get("/zones").await;
    assert_eq!(malformed.refusal(), (400, 6003));
    assert_eq!(malformed.body["errors"][0]["error_chain"][0]["code"], 6111);
    for (header, code) in [
        ("", 9106),
        ("x-auth-email: a@example.com\r\nx-auth-key: 1\r\n", 6003),
        ("authorization: Basic eDp5\r\n", 6003),
    ] {
        let answer = api.raw(&mut api.connect().await, "GET", "/zones", header, None).await;
        assert_eq!(answer.refusal(), (400, code), "{header:?}");
    }
}

#[tokio::test]
async fn a_token_does_what_it_may_and_no_more() {
    let mut api = Api::start().await;
    let made = api.create(json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.1" })).await;
    let rest = format!("/{}", made["id"].as_str().expect("an id"));
    let body = json!({ "type": "A", "name": "b.example.com", "content": "192.0.2.1" });

    api.token = CLOUDFLARE_TOKENS.read_only;
    assert_eq!(api.records("GET", &rest, Value::Null).await.result(), &made);
    for (method, rest, body) in [
        ("POST", "", body.clone()),
        ("POST", "/batch", json!({ "posts": [body.clone()] })),
        ("PATCH", rest.as_str(), json!({ "ttl": 60 })),
        ("PUT", rest.as_str(), body.clone()),
        ("DELETE", rest.as_str(), Value::Null),
    ] {
        let answer = api.records(method, rest, body).await;
        assert_eq!(
            (answer.refusal(), answer.message()),
            ((403, 10000), "Authentication error"),
            "{method} {rest}"
        );
    }
    assert_eq!(api.records("GET", &rest, Value::Null).await.result(), &made);

    api.token = CLOUDFLARE_TOKENS.other_zone;
    assert_eq!(
        api.get("/zones?name=example.com").await.result(),
        &json!([]),
        "a zone out of reach is not listed"
    );
    assert_eq!(api.get("/zones").await.result()[0]["name"], "example.net");
    assert_eq!(api.get(&api.path("")).await.refusal(), (403, 9109));
    assert_eq!(api.records("GET", "", Value::Null).await.refusal(), (403, 10000));
    assert_eq!(api.records("DELETE", &rest, Value::Null).await.refusal(), (403, 10000));

    api.token = CLOUDFLARE_TOKENS.dns_edit_only;
    assert_eq!(
        api.get("/zones?name=example.com").await.refusal(),
        (403, 9109),
        "looking up needs Zone > Read"
    );
    api.records("POST", "", body).await.result();
}

#[tokio::test]
async fn the_request_beyond_the_budget_is_refused_and_so_is_every_other_token_of_the_user() {
    let mut options = Options::default();
    // 200 requests in 50 ms rather than a second, 1,200 in 15 s rather than five minutes.
    options.throttle_scale = 0.05;
    let mut api = Api::with(options).await;
    let header = |token: &str| format!("authorization: Bearer {token}\r\n");
    let mut stream = api.connect().await;
    let refused = loop {
        let answer = api.raw(&mut stream, "GET", "/user/tokens/verify", &header(api.token), None).await;
        if answer.status == 200 {
            assert!(answer.header("ratelimit").is_some_and(|left| left.starts_with("\"default\";r=")));
        } else if answer.header("retry-after") != Some("1") {
            break answer;
        }
    };
    assert_eq!((refused.refusal(), refused.header("retry-after")), ((429, 971), Some("15")));
    api.token = CLOUDFLARE_TOKENS.read_only;
    assert_eq!(api.get("/zones").await.refusal(), (429, 971));
    let granted = api.sandbox.requests().iter().filter(|request| request.status == Some(200)).count();
    assert_eq!(granted, 1_200);
}
