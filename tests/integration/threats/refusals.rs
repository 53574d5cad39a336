//! What the services refuse, cut short or put off, told with the next step.

use cnamed::sandbox::{AZURE_IDENTITY, Action, Fault, Service};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::Cloud;

fn status(status: u16, headers: &[(&str, &str)], body: Value) -> Action {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Action::Status { status, headers, body }
}

fn fault(cloud: &Cloud, fault: Fault) {
    cloud.sandbox.control().fault(fault);
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let cloud = Cloud::start().await;
    cloud.sandbox.control().grant(AZURE_IDENTITY.client_id, &["Microsoft.Network/*"], "/").unwrap();
    let run = cloud.run(&["threats"]).await.exits(1).says("Failed: nothing could be read, so");
    let run = run.says("InsufficientAccessError").says("Log Analytics Reader");
    run.says("Microsoft.OperationalInsights/workspaces/query/SecurityEvent/read");
}

#[tokio::test]
async fn a_table_that_must_not_be_read_is_not_none() {
    let cloud = Cloud::start().await;
    let only = "Microsoft.OperationalInsights/workspaces/query/read";
    cloud.sandbox.control().grant(AZURE_IDENTITY.client_id, &[only], "/").unwrap();
    let run = cloud.run(&["threats"]).await.exits(0).says("Nothing was recorded in the last 24 h");
    let run = run.says("this identity may read the table SecurityEvent");
    assert!(!run.out.contains("0 failed"), "{}", run.out);
}

#[tokio::test]
async fn a_token_for_somebody_else_is_told_as_that() {
    let cloud = Cloud::start().await;
    let arm = cloud.sandbox.addresses().resource_manager.clone();
    cloud.replace("audience = \"https://api.loganalytics.io\"", &format!("audience = \"{arm}\""));
    let run = cloud.run(&["threats"]).await.exits(1).says("wrong audience").says("check azure.cloud");
    run.says("threats.audience");
}

#[tokio::test]
async fn a_workspace_that_is_not_there_is_told_with_the_key() {
    let cloud = Cloud::start().await;
    cloud.replace("1a61c500-", "2a61c500-");
    cloud.run(&["threats"]).await.exits(1).says("PathNotFoundError").says("check threats.workspace");
}

#[tokio::test]
async fn one_table_that_cannot_be_read_leaves_the_other() {
    let cloud = Cloud::with(|options| options.syslog = true).await;
    let broken = json!({"error": {"message": "The service failed", "code": "InternalServerError"}});
    fault(&cloud, Fault::on(Service::LogAnalytics, status(400, &[], broken)).path("/query"));
    let run = cloud.run(&["threats"]).await.exits(6).says("Partly read: ").says("could not be read");
    run.says("failed logons in the last 24 h").says("InternalServerError");
}

#[tokio::test]
async fn what_the_service_left_out_is_told_beside_what_it_gave() {
    let cloud = Cloud::start().await;
    // One answer that fits every query.
    let kinds = [
        ("Span", "string"),
        ("Records", "long"),
        ("Failed", "long"),
        ("Name", "string"),
        ("Before", "long"),
        ("After", "long"),
    ];
    let columns: Vec<Value> = kinds.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    let error = json!({"code": "PartialError", "message": "There were some errors when processing your query.",
        "details": [{"code": "EngineError", "message": "Something went wrong processing your query on the server.",
            "innererror": {"message": "The results of this query exceed the set limit of 64000000 bytes"}}]});
    let rows = json!([["before", 10, 4, "admin", 4, 0]]);
    let cut =
        json!({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}], "error": error});
    fault(&cloud, Fault::on(Service::LogAnalytics, status(200, &[], cut)).path("/query").always());
    let run = cloud.run(&["threats"]).await.exits(6).says("Partly read: 8 failed logons");
    run.says("the service left something out: PartialError").says("exceed the set limit");
    let shown = cloud.run(&["--format", "json", "threats"]).await.exits(6).json();
    assert_eq!(shown["outcome"], "partial");
    assert!(shown["tables"][0]["partial"].as_str().unwrap().contains("exceed the set limit"), "{shown:#}");
}

#[tokio::test]
async fn an_absent_table_is_known_by_its_name_however_deep_it_stands() {
    let cloud = Cloud::start().await;
    // As services told it in 2018: JSON in a text within JSON. It speaks of one table, and says nothing of the other.
    let details = json!({"error": {"code": "Bad request", "innererror": {"code": "SEM0100",
        "message": "'where' operator: Failed to resolve table or column expression named 'Syslog'"}}});
    let absent = json!({"error": {"message": "The request had some invalid properties", "code": "BadArgumentError",
        "innererror": {"code": "SyntaxError", "message": "Syntax Error", "information": {"details": details.to_string()}}}});
    fault(&cloud, Fault::on(Service::LogAnalytics, status(400, &[], absent)).path("/query").always());
    let run = cloud.run(&["threats"]).await.exits(6).says("Linux (Syslog, sshd): not collected");
    run.says("Windows (SecurityEvent, event 4625): could not be read");
}

#[tokio::test]
async fn an_answer_that_is_none_is_told() {
    let cloud = Cloud::start().await;
    for (body, says) in [
        (json!({"tables": []}), "the answer has no table"),
        (
            json!({"tables": [{"name": "PrimaryResult", "columns": [{"name": "x", "type": "long"}], "rows": [[1]]}]}),
            "it has no column",
        ),
        (
            json!({"tables": [{"name": "PrimaryResult", "columns": [{"name": "x", "type": "long"}], "rows": [[1, 2]]}]}),
            "other columns than its table",
        ),
    ] {
        fault(&cloud, Fault::on(Service::LogAnalytics, status(200, &[], body)).path("/query").always());
        cloud.run(&["threats"]).await.exits(1).says(says);
        cloud.sandbox.control().clear_faults();
    }
}

#[tokio::test]
async fn being_asked_to_wait_is_obeyed_or_told() {
    let cloud = Cloud::start().await;
    let wait = |seconds| status(429, &[("retry-after", seconds)], Value::Null);
    fault(&cloud, Fault::on(Service::LogAnalytics, wait("1")).path("/query"));
    let began = Instant::now();
    cloud.run(&["threats"]).await.exits(0);
    assert!(began.elapsed().as_secs() >= 1, "{:?}", began.elapsed());
    fault(&cloud, Fault::on(Service::LogAnalytics, wait("600")).path("/query").always());
    cloud.run(&["threats"]).await.exits(1).says("throttled for").says("run again in");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let cloud = Cloud::start().await;
    fault(&cloud, Fault::on(Service::LogAnalytics, Action::LostAnswer).path("/query"));
    cloud.run(&["threats"]).await.exits(0).says("failed logons in the last 24 h");
}
