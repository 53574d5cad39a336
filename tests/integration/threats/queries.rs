//! The sandbox's query API and its generic list of resources, asked directly: strict, and in the services' words.

use cnamed::provider::http::{Effect, Http, Request, Response, Settings};
use cnamed::sandbox::{AZURE_IDENTITY, LogTable};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::support::Cloud;

const AUDIENCE: &str = "https://api.loganalytics.io";
const WORKSPACE: &str = "1a61c500-0000-4000-8000-00000000c0de";

/// Sends one request and takes any answer for one.
async fn send(
    cloud: &Cloud,
    method: Method,
    url: &str,
    kind: &str,
    token: Option<&str>,
    body: String,
) -> Response {
    let settings = Settings { extra_ca: Some(cloud.sandbox.ca_pem().into()), ..Settings::default() };
    let http = Http::new(&settings).unwrap();
    let mut request = Request::write(method, Url::parse(url).unwrap(), body);
    request.effect = Effect::Write;
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    if let Some(token) = token {
        request.headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    }
    http.send(&http.budget("test", "test", &[]), request).await.unwrap()
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

async fn token(cloud: &Cloud, audience: &str) -> String {
    let url = format!("{}/{}/oauth2/v2.0/token", cloud.sandbox.addresses().authority, AZURE_IDENTITY.tenant);
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope={audience}/.default",
        AZURE_IDENTITY.client_id, AZURE_IDENTITY.client_secret
    );
    let answer = send(cloud, Method::POST, &url, "application/x-www-form-urlencoded", None, form).await;
    body(&answer)["access_token"].as_str().unwrap().to_owned()
}

/// Makes a bare load balancer, as another tool would.
pub(super) async fn put_load_balancer(cloud: &Cloud, name: &str) {
    let arm = &cloud.sandbox.addresses().resource_manager;
    let url = format!(
        "{arm}/subscriptions/{}/resourceGroups/rg-mgmt/providers/Microsoft.Network/loadBalancers/{name}?api-version=2024-05-01",
        AZURE_IDENTITY.subscription
    );
    let document = json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {}});
    let token = token(cloud, arm).await;
    let answer = send(cloud, Method::PUT, &url, "application/json", Some(&token), document.to_string()).await;
    assert_eq!(answer.status, 201, "{}", body(&answer));
}

struct Asker {
    cloud: Cloud,
    token: String,
}

impl Asker {
    async fn start() -> Self {
        let cloud = Cloud::with(|options| options.syslog = true).await;
        let token = token(&cloud, AUDIENCE).await;
        Self { cloud, token }
    }

    async fn query(&self, query: &str) -> (u16, Value) {
        let url = format!("{}/v1/workspaces/{WORKSPACE}/query", self.cloud.sandbox.addresses().log_analytics);
        let body_text = json!({"query": query}).to_string();
        let answer =
            send(&self.cloud, Method::POST, &url, "application/json", Some(&self.token), body_text).await;
        (answer.status.as_u16(), body(&answer))
    }

    async fn list(&self, query: &str) -> (u16, Value) {
        let arm = self.cloud.sandbox.addresses().resource_manager.clone();
        let token = token(&self.cloud, &arm).await;
        let url = format!(
            "{arm}/subscriptions/{}/resourceGroups/rg-mgmt/resources?api-version=2021-04-01&{query}",
            AZURE_IDENTITY.subscription
        );
        let answer =
            send(&self.cloud, Method::GET, &url, "application/json", Some(&token), String::new()).await;
        (answer.status.as_u16(), body(&answer))
    }
}

#[tokio::test]
async fn an_answer_has_the_documented_shape() {
    let asker = Asker::start().await;
    let (status, answer) = asker
        .query("SecurityEvent | where EventID == 4625 | summarize Failed = count() by Computer | top 1 by Failed")
        .await;
    assert_eq!(status, 200, "{answer}");
    let table = &answer["tables"][0];
    assert_eq!(table["name"], "PrimaryResult");
    assert_eq!(
        table["columns"],
        json!([{"name": "Computer", "type": "string"}, {"name": "Failed", "type": "long"}])
    );
    assert_eq!(table["rows"][0][0], "vm-jump");
    let (_, none) = asker.query("Syslog | where ProcessName == 'none' | summarize count()").await;
    assert_eq!(none["tables"][0]["rows"], json!([[0]]));
}

#[tokio::test]
async fn what_is_not_understood_is_refused_as_the_service_does() {
    let asker = Asker::start().await;
    asker.cloud.sandbox.control().drop_table(LogTable::Syslog);
    for (query, code, says) in [
        (
            "Syslog | where true",
            "SEM0100",
            "'where' operator: Failed to resolve table or column expression named 'Syslog'",
        ),
        (
            "SecurityEvent | where Nobody == 1",
            "SEM0100",
            "Failed to resolve scalar expression named 'Nobody'",
        ),
        (
            "SecurityEvent | where TimeGenerated > '2026'",
            "SEM0064",
            "Cannot compare values of types datetime and string",
        ),
        ("SecurityEvent | where shout(Account) == 'x'", "SEM0260", "Unknown function: 'shout'."),
        (
            "SecurityEvent | project Account",
            "SYN0002",
            "Query could not be parsed at 'project' on line [1,17]",
        ),
        ("SecurityEvent |\n where (EventID", "SYN0002", "Query could not be parsed at '' on line [2,16]"),
        ("| where true", "SYN0002", "Query could not be parsed at '|' on line [1,1]"),
    ] {
        let (status, answer) = asker.query(query).await;
        let inner = &answer["error"]["innererror"]["innererror"];
        assert_eq!((status, inner["code"].as_str()), (400, Some(code)), "{query}: {answer}");
        assert!(inner["message"].as_str().unwrap().contains(says), "{query}: {answer}");
        assert_eq!(answer["error"]["code"], "BadArgumentError");
    }
}

#[tokio::test]
async fn a_token_serves_the_one_that_it_was_issued_for() {
    let asker = Asker::start().await;
    let arm = asker.cloud.sandbox.addresses().resource_manager.clone();
    let wrong = Asker { token: token(&asker.cloud, &arm).await, ..asker };
    let (status, answer) = wrong.query("SecurityEvent | take 1").await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("InvalidAuthenticationTokenAudience")));
    let url = format!("{arm}/subscriptions/{}?api-version=2022-12-01", AZURE_IDENTITY.subscription);
    let theirs = token(&wrong.cloud, AUDIENCE).await;
    let answer =
        send(&wrong.cloud, Method::GET, &url, "application/json", Some(&theirs), String::new()).await;
    assert_eq!(
        (answer.status.as_u16(), &body(&answer)["error"]["code"]),
        (401, &json!("InvalidAuthenticationTokenAudience"))
    );
}

#[tokio::test]
async fn a_creation_time_is_told_to_whoever_asks_for_it_rightly() {
    let asker = Asker::start().await;
    put_load_balancer(&asker.cloud, "lb-jump").await;
    let filter =
        "$filter=resourceType%20eq%20%27microsoft.network/LOADBALANCERS%27%20and%20name%20eq%20%27lb-jump%27";
    let (status, answer) = asker.list(&format!("{filter}&$expand=createdTime")).await;
    assert_eq!(status, 200, "{answer}");
    let [one] = answer["value"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!((&one["name"], one["createdTime"].is_string()), (&json!("lb-jump"), true), "{answer}");
    assert!(one.get("changedTime").is_none() && one.get("properties").is_none(), "{answer}");
    let (_, plain) = asker.list(filter).await;
    assert!(plain["value"][0].get("createdTime").is_none(), "{plain}");
    for wrong in [
        "$filter=nonsense",
        "$filter=resourceType%20like%20%27x%27",
        "$filter=name%20eq%20%27a%27b%27",
        "$expand=everything",
    ] {
        let (status, answer) = asker.list(wrong).await;
        assert_eq!(status, 400, "{wrong}: {answer}");
    }
}
