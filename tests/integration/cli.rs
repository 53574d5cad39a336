//! What the commands print: golden texts, exit codes, and nothing on stdout that is no result.

use serde_json::Value;

use crate::support::{Cloud, Run, golden};

/// The output with what differs from run to run made the same.
fn steady(cloud: &Cloud, run: &Run) -> String {
    let mut text = run.out.clone();
    for folder in [cloud.folder.path().to_path_buf(), cloud.folder.path().canonicalize().unwrap()] {
        text = text.replace(&folder.display().to_string(), "FOLDER");
    }
    let mut steady = text;
    let addresses = cloud.sandbox.addresses();
    for server in addresses.azure_dns.iter().chain(&addresses.cloudflare_dns) {
        steady = steady.replace(&server.to_string(), "SERVER");
    }
    for server in addresses.recursive_dns.iter().chain(addresses.label_dns.iter()) {
        steady = steady.replace(&server.to_string(), "SERVER");
    }
    for url in [&addresses.resource_manager, &addresses.authority, &addresses.cloudflare, &addresses.control]
    {
        steady = steady.replace(url.as_str(), "URL");
    }
    // A resolver counts down from one second to the next.
    let counted = |line: &str| match line.split_once(" resolver says ").zip(line.rsplit_once(" (TTL ")) {
        Some((_, (said, _))) if !line.ends_with("(TTL 1)") => format!("{said} (TTL LEFT)\n"),
        _ => format!("{line}\n"),
    };
    steady.lines().map(counted).collect()
}

#[tokio::test]
async fn plan_sync_status_and_teardown_read_well() {
    let cloud = Cloud::start().await;
    cloud.replace("accounts = [\"azure\", \"cf\"]", "accounts = [\"azure\"]");
    cloud.replace("ttl = 30", "ttl = 1");
    let run = cloud.run(&["plan"]).await.exits(3);
    golden::same("cli/plan", &steady(&cloud, &run));
    let run = cloud.run(&["sync"]).await.exits(0);
    golden::same("cli/sync", &steady(&cloud, &run));
    let run = cloud.run(&["sync"]).await.exits(0);
    golden::same("cli/sync-again", &steady(&cloud, &run));
    cloud.sandbox.control().clear_cache();
    let run = cloud.run(&["status"]).await.exits(0);
    golden::same("cli/status", &steady(&cloud, &run));
    let run = cloud.run(&["teardown", "--yes"]).await.exits(0);
    golden::same("cli/teardown", &steady(&cloud, &run));
}

#[tokio::test]
async fn the_gateway_reads_well_whole_and_with_a_door_closed() {
    let cloud = Cloud::with(|options| options.gateway = true).await;
    cloud.replace("[verify]", "[verify]\ntimeout = \"2s\"");
    let run = cloud.run(&["plan"]).await.exits(3);
    golden::same("cli/gateway-plan", &steady(&cloud, &run));
    let run = cloud.run(&["sync", "--verify"]).await.exits(0);
    golden::same("cli/gateway-sync", &steady(&cloud, &run));
    let control = cloud.sandbox.control();
    control.delete_resource("loadBalancers/lb-jump/inboundNatRules/cnamed_demo_rdp").unwrap();
    control.clear_cache();
    let run = cloud.run(&["status"]).await.exits(3);
    golden::same("cli/gateway-status", &steady(&cloud, &run));
}

#[tokio::test]
async fn a_refusal_reads_well() {
    let cloud = Cloud::start().await;
    cloud.append("[[record]]\nname = \"www.example.com\"\nendpoint = \"jump\"\naccounts = [\"azure\"]\n");
    let run = cloud.run(&["sync"]).await.exits(4);
    golden::same("cli/refused", &steady(&cloud, &run));
}

#[tokio::test]
async fn the_configuration_is_shown_as_it_takes_effect() {
    let cloud = Cloud::start().await;
    let run = cloud.run(&["config", "show"]).await.exits(0);
    let shown = cloud.folder.path().join("shown.toml");
    std::fs::write(&shown, &run.out).unwrap();
    std::fs::copy(&shown, &cloud.config).unwrap();
    assert_eq!(
        cloud.run(&["config", "show"]).await.exits(0).out,
        run.out,
        "what is shown reads back as the same"
    );
    cloud.run(&["config", "check"]).await.exits(0).says("names 1 endpoint, 2 accounts and 1 record.");
    let schema = cloud.run(&["config", "schema"]).await.exits(0).json();
    assert_eq!(schema["title"], "cnamed");
}

#[tokio::test]
async fn json_says_what_text_says() {
    let cloud = Cloud::start().await;
    cloud.run(&["sync"]).await.exits(0);
    let status = cloud.run(&["--format", "json", "status"]).await.exits(0).json();
    for key in ["version", "outcome", "endpoints", "changes", "blocked", "refused", "records", "chains"] {
        assert!(status.get(key).is_some(), "{key} is missing:\n{status:#}");
    }
    let chain = &status["chains"][0];
    assert_eq!(chain["name"], "jumpstation.example.com");
    let links: Vec<&str> =
        chain["links"].as_array().unwrap().iter().map(|link| link["state"].as_str().unwrap()).collect();
    assert!(links.len() >= 4 && links.iter().all(|state| *state == "whole"), "{status:#}");
}

#[tokio::test]
async fn a_failure_is_json_too_when_json_was_asked_for() {
    let cloud = Cloud::start().await;
    cloud.append("surprise = true\n");
    let run = cloud.run(&["--format", "json", "plan"]).await.exits(2);
    let told: Value = run.json();
    assert_eq!(told["outcome"], "failed");
    assert!(told["error"].as_str().unwrap().contains("surprise"), "{told:#}");
}

#[tokio::test]
async fn mistakes_on_the_command_line_exit_with_2_and_say_what_is_meant() {
    let cloud = Cloud::start().await;
    cloud.run(&["snyc"]).await.exits(2).says("sync");
    cloud.run(&["sync", "--only", "nobody.example.com"]).await.exits(2).says("nobody.example.com");
    cloud.run(&["teardown", "nothing"]).await.exits(2).says("nothing");
    cloud.run(&["remove", "not a name"]).await.exits(2).says("not a name");
    cloud.run(&["sync", "--plan", "/nowhere/plan.json"]).await.exits(2).says("/nowhere/plan.json");
    assert!(cloud.writes().is_empty());
}

#[tokio::test]
async fn completions_and_the_manual_page_are_written() {
    let cloud = Cloud::start().await;
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        cloud.run(&["completions", shell]).await.exits(0).says("teardown");
    }
    cloud.run(&["man"]).await.exits(0).says(".TH cnamed");
}

#[tokio::test]
async fn the_demo_proves_what_it_tells() {
    let cloud = Cloud::start().await;
    let run = cloud.run(&["demo"]).await.exits(0).says("What was proved");
    assert!(!run.out.contains("FAILS"), "{}", run.out);
    // The story is whole only with all of it.
    for claim in [
        "anybody was greeted by RDP",
        "one sync provisions and verifies everything",
        "RDP greets behind port 63011",
        "SSH greets behind port 63022",
        "the lines to connect with are told",
        "a second sync writes nothing",
        "outside allow_from both ports are silent",
        "no record had to be written",
        "plan names the drift",
        "status names the first broken link",
        "everything else in Azure is as it was",
        "a foreign record is refused, not touched",
        "threats shows what the gateway has stopped",
        "names, their TTL, the gateway, then the label",
        "Azure is as it was before the first sync",
    ] {
        assert!(run.out.contains(&format!("holds  {claim}")), "nothing proves {claim:?}\n{}", run.out);
    }
    assert!(run.out.contains("30 of 30 claims held"), "{}", run.out);
    let left = std::fs::read_dir(cloud.folder.path()).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("cnamed-demo-")).collect();
    assert!(left.is_empty(), "the demo left its folder behind: {left:?}");
}
