//! Who may ask, how often, and what a token is worth.

use std::time::Duration;

use cnamed::sandbox::{AZURE_IDENTITY, Options};
use serde_json::json;

use super::client::{Ask, Azure, public_ip, standard};

#[tokio::test]
async fn a_client_secret_becomes_a_token_in_the_shape_of_a_jwt() {
    let azure = Azure::start().await;
    let answer = azure.sign_in(AZURE_IDENTITY.client_id, AZURE_IDENTITY.client_secret).await.ok(200);
    assert_eq!(answer.body["token_type"], "Bearer");
    assert!(answer.body["expires_in"].as_u64().unwrap() > 3000);
    assert_eq!(answer.body["access_token"].as_str().unwrap().split('.').count(), 3);
}

#[tokio::test]
async fn entra_refuses_with_its_own_codes() {
    let azure = Azure::start().await;
    let wrong = azure.sign_in(AZURE_IDENTITY.client_id, "wrong").await;
    assert_eq!((wrong.status, &wrong.body["error"]), (401, &json!("invalid_client")));
    assert_eq!(wrong.body["error_codes"], json!([7_000_215]));
    assert!(wrong.body["error_description"].as_str().unwrap().starts_with("AADSTS7000215: "));

    let nobody = azure.sign_in("00000000-0000-0000-0000-000000000000", "x").await;
    assert_eq!((nobody.status, &nobody.body["error_codes"]), (400, &json!([700_016])));

    let (id, secret) = (AZURE_IDENTITY.client_id, AZURE_IDENTITY.client_secret);
    let scope = format!("{}/.default", azure.sandbox.addresses().resource_manager);
    let fields = |grant, scope| {
        [("grant_type", grant), ("client_id", id), ("client_secret", secret), ("scope", scope)]
    };
    let tenant = azure.ask_token("elsewhere", &fields("client_credentials", &scope)).await;
    assert_eq!((tenant.status, &tenant.body["error_codes"]), (400, &json!([90002])));
    let grant = azure.ask_token(AZURE_IDENTITY.tenant, &fields("password", &scope)).await;
    assert_eq!((grant.status, &grant.body["error_codes"]), (400, &json!([70003])));
    let scope = azure.ask_token(AZURE_IDENTITY.tenant, &fields("client_credentials", "openid")).await;
    assert_eq!((scope.status, &scope.body["error_codes"]), (400, &json!([1_002_012])));
    let audience = fields("client_credentials", "https://vault.example/.default");
    let audience = azure.ask_token(AZURE_IDENTITY.tenant, &audience).await;
    assert_eq!((audience.status, &audience.body["error_codes"]), (400, &json!([500_011])));
}

#[tokio::test]
async fn discovery_leads_to_the_token_endpoint() {
    let azure = Azure::start().await;
    let authority = &azure.sandbox.addresses().authority;
    let discovered =
        azure.follow(&format!("{authority}/common/discovery/instance?api-version=1.1")).await.ok(200);
    let document = azure.follow(discovered.body["tenant_discovery_endpoint"].as_str().unwrap()).await.ok(200);
    let expected = format!("{authority}/{}/oauth2/v2.0/token", AZURE_IDENTITY.tenant);
    assert_eq!(document.body["token_endpoint"].as_str().unwrap().to_lowercase(), expected);
}

#[tokio::test]
async fn without_a_good_token_nothing_is_said() {
    let azure = Azure::start().await;
    let base = format!("{}/subscriptions", azure.sandbox.addresses().resource_manager);
    let url = format!("{base}?api-version=2022-12-01");
    let none = azure.send(Ask::new("GET", &url)).await;
    none.refused(401, "AuthenticationFailed");
    assert!(none.header("www-authenticate").unwrap().starts_with("Bearer authorization_uri="));
    let made_up = azure.send(Ask::new("GET", &url).header("authorization", "Bearer a.b.c")).await;
    made_up.refused(401, "InvalidAuthenticationToken");
    azure.follow(&base).await.refused(400, "MissingApiVersionParameter");
    azure.follow(&url).await.ok(200);

    azure.sandbox.control().expire_tokens();
    azure.follow(&url).await.refused(401, "ExpiredAuthenticationToken");
}

#[tokio::test]
async fn a_token_ends_when_it_said_it_would() {
    let azure = Azure::with(Options { token_lifetime: Duration::ZERO, ..Options::default() }).await;
    azure.get("").await.refused(401, "ExpiredAuthenticationToken");
}

#[tokio::test]
async fn a_reader_reads_and_is_told_which_action_is_missing() {
    let mut azure = Azure::start().await;
    azure.become_principal(AZURE_IDENTITY.reader_client_id, AZURE_IDENTITY.reader_client_secret).await;
    azure.get("/resourceGroups").await.ok(200);
    let refusal = azure.put(&public_ip("pip-jump"), &standard(None)).await;
    refusal.refused(403, "AuthorizationFailed");
    assert!(
        refusal.message().contains("'Microsoft.Network/publicIPAddresses/write'"),
        "{}",
        refusal.message()
    );
    let scope = format!("/subscriptions/{}{}", AZURE_IDENTITY.subscription, public_ip("pip-jump"));
    assert!(refusal.message().contains(&format!("over scope '{scope}'")), "{}", refusal.message());
}

#[tokio::test]
async fn a_grant_is_narrowed_to_actions_and_a_scope() {
    let azure = Azure::start().await;
    let scope = format!("/subscriptions/{}/resourceGroups/rg-dns", AZURE_IDENTITY.subscription);
    let control = azure.sandbox.control();
    control.grant(AZURE_IDENTITY.client_id, &["Microsoft.Network/dnszones/CNAME/*"], &scope).unwrap();
    let zone = "/resourceGroups/rg-dns/providers/Microsoft.Network/dnsZones/example.com";
    let body = json!({"properties": {"TTL": 30, "CNAMERecord": {"cname": "a.example.net"}}});
    azure.put(&format!("{zone}/CNAME/one"), &body).await.ok(201);
    let body = json!({"properties": {"TTL": 30, "ARecords": [{"ipv4Address": "192.0.2.1"}]}});
    azure.put(&format!("{zone}/A/two"), &body).await.refused(403, "AuthorizationFailed");
    azure.get(&format!("{zone}/all")).await.refused(403, "AuthorizationFailed");
    azure.get(&public_ip("x")).await.refused(403, "AuthorizationFailed");
}

#[tokio::test]
async fn buckets_run_dry_and_say_when_to_come_back() {
    let azure = Azure::with(Options { throttle_scale: 1000.0, ..Options::default() }).await;
    let mut left = Vec::new();
    for _ in 0..250 {
        let answer = azure.get("").await.ok(200);
        left.push(
            answer.header("x-ms-ratelimit-remaining-subscription-reads").unwrap().parse::<u32>().unwrap(),
        );
    }
    assert_eq!((left[0], left[249]), (249, 0));
    let dry = azure.get("").await;
    dry.refused(429, "SubscriptionRequestsThrottled");
    assert!(dry.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // Writes have a bucket of their own, and a faster clock refills both.
    azure.put("/resourceGroups/more", &json!({"location": "westeurope"})).await.ok(201);
    azure.sandbox.control().throttle_scale(0.001);
    azure.get("").await.ok(200);
}

#[tokio::test]
async fn every_answer_is_stamped() {
    let azure = Azure::start().await;
    let ask = azure.ask("GET", "/resourceGroups/rg-mgmt").header("x-ms-correlation-request-id", "mine");
    let answer = azure.send(ask).await.ok(200);
    assert_eq!(answer.header("x-ms-correlation-request-id"), Some("mine"));
    for name in ["x-ms-request-id", "x-ms-routing-request-id", "date"] {
        assert!(answer.header(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn what_stands_around_resources_is_there() {
    let azure = Azure::start().await;
    let base = &azure.sandbox.addresses().resource_manager;
    let cloud = azure
        .send(Ask::new("GET", format!("{base}/metadata/endpoints?api-version=2022-09-01")))
        .await
        .ok(200);
    assert_eq!(cloud.body["authentication"]["loginEndpoint"], json!(azure.sandbox.addresses().authority));
    azure.follow(&format!("{base}/tenants?api-version=2022-12-01")).await.ok(200);
    let resources = azure.get("/resources").await.ok(200);
    let kinds: Vec<_> =
        resources.body["value"].as_array().unwrap().iter().map(|r| r["type"].clone()).collect();
    assert!(kinds.contains(&json!("Microsoft.Network/networkInterfaces")), "{kinds:?}");
    azure.get("/resourcegroups/RG-MGMT").await.ok(200);
    azure.get("/resourceGroups/none").await.refused(404, "ResourceGroupNotFound");
    let elsewhere =
        format!("{base}/subscriptions/00000000-0000-0000-0000-000000000000?api-version=2022-12-01");
    azure.follow(&elsewhere).await.refused(404, "SubscriptionNotFound");
}
