//! Bad input reaches nobody: one sentence with its place and its remedy, exit code 2, and not one request.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Cloud, Run};

/// A run that must end before anything is asked of anybody, tokens included.
async fn refused(cloud: &Cloud, arguments: &[&str]) -> Run {
    let run = cloud.run(arguments).await.exits(2);
    assert!(cloud.sandbox.requests().is_empty(), "{:#?}", cloud.sandbox.requests());
    assert_eq!(run.out, "", "what went wrong is no result");
    run
}

#[tokio::test]
async fn a_mistake_in_the_file_is_told_with_its_place_and_its_remedy() {
    let record = "name = \"jumpstation.example.com\"";
    let long = format!("name = \"{}.example.com\"", "x".repeat(64));
    let longer = format!("name = \"{}example.com\"", "abcdefghij.".repeat(23));
    let cases = [
        (
            "owner = \"demo\"",
            "owner = \"demo\"\npruna = true",
            "unknown key `pruna`",
            "did you mean `prune`?",
        ),
        (
            "ttl = 30",
            "ttl = \"30\"",
            "`ttl` is a string; it must be a whole number",
            "write it as in ttl = 300",
        ),
        (
            "endpoint = \"jump\"",
            "endpoint = \"jmup\"",
            "there is no endpoint \"jmup\"",
            "did you mean \"jump\"?",
        ),
        (
            "[\"azure\", \"cf\"]",
            "[\"azure\", \"cloud\"]",
            "there is no account \"cloud\"",
            "\"azure\", \"cf\"",
        ),
        ("[\"azure\", \"cf\"]", "[\"cf\", \"cf\"]", "the account \"cf\" is named twice", "name it once"),
        ("name = \"cf\"", "name = \"azure\"", "the account \"azure\" is there already", "rename one of them"),
        (
            "\"contoso-jump\"",
            "\"-jump\"",
            "\"-jump\" is not a label that Azure takes",
            "write it as in label =",
        ),
        (record, &long, "has 64 octets; 63 is the limit", "write it as in name ="),
        (record, &longer, "octets; 253 is the limit", "write it as in name ="),
        (
            record,
            "name = \"xn--zzzzzz--.example.com\"",
            "not a valid internationalised name",
            "write it as in",
        ),
        (
            record,
            "name = \"*.example.com\"",
            "a wildcard cannot follow one endpoint",
            "write it as in name =",
        ),
        (record, "name = \"jump.example.com/\"", "contains '/'", "write it as in name ="),
        (
            record,
            "name = \"contoso-jump.westeurope.cloudapp.azure.com\"",
            "it would lead to itself",
            "a zone of your own",
        ),
        (
            "ttl = 30",
            "ttl = 86401",
            "outside what Cloudflare takes, in account \"cf\"",
            "30 to 86400, or 1 for automatic",
        ),
        (
            "ttl = 30",
            "ttl = 300\nproxied = true",
            "only Cloudflare proxies",
            "write a record for each account",
        ),
        (
            "credential = \"client-secret\"",
            "credential = \"password\"",
            "this is no `credential`",
            "write one of",
        ),
        (
            "[verify]",
            "[verify]\ntimeout = \"soon\"",
            "`timeout` is \"soon\", which is not a time span",
            "timeout = \"90s\"",
        ),
        (
            "[verify]",
            "[limits]\nrequest_timeout = \"0s\"\n[verify]",
            "100ms is the least",
            "request_timeout = \"20s\"",
        ),
    ];
    let cloud = Cloud::start().await;
    let good = std::fs::read_to_string(&cloud.config).unwrap();
    for (from, to, problem, remedy) in cases {
        std::fs::write(&cloud.config, &good).unwrap();
        cloud.replace(from, to);
        let run = refused(&cloud, &["sync"]).await.says(problem).says(remedy);
        let place = run.err.split_once("cnamed.toml:").expect("the file is named").1;
        let mut numbers = place.split(':');
        let mut number = || numbers.next().and_then(|number| number.parse::<usize>().ok()).expect("a place");
        let (line, column) = (number(), number());
        let text = std::fs::read_to_string(&cloud.config).unwrap();
        let line = text.lines().nth(line - 1).expect("the line is in the file");
        assert!(column <= line.len() + 1, "{line:?} has no column {column}");
    }
}

#[tokio::test]
async fn a_file_that_is_none_says_what_it_is_instead() {
    let cloud = Cloud::start().await;
    std::fs::write(&cloud.config, "").unwrap();
    refused(&cloud, &["sync"]).await.says("cnamed.toml: the file is empty").says("cnamed init");
    std::fs::write(&cloud.config, b"owner = \"demo\"\nprune = true # f\xfcr\n").unwrap();
    refused(&cloud, &["plan"])
        .await
        .says("cnamed.toml:2:17: the file is not UTF-8 from here on")
        .says("save it as UTF-8");
    std::fs::write(&cloud.config, "owner = \"demo\n").unwrap();
    refused(&cloud, &["status"]).await.says("cnamed.toml:1:");
    std::fs::remove_file(&cloud.config).unwrap();
    refused(&cloud, &["config", "check"]).await.says("cannot be read: No such file");
    std::fs::create_dir(&cloud.config).unwrap();
    refused(&cloud, &["teardown", "--yes"]).await.says("cannot be read: Is a directory");
}

#[tokio::test]
async fn a_script_that_asked_for_json_gets_its_mistakes_as_json() {
    let cloud = Cloud::start().await;
    cloud.replace("ttl = 30", "ttl = 0");
    let told = cloud.run(&["--format", "json", "sync"]).await.exits(2).json();
    assert_eq!(told["version"], 1);
    assert_eq!(told["outcome"], "failed");
    assert!(told["error"].as_str().unwrap().contains("`ttl` is out of range"), "{told:#}");
}

#[tokio::test]
async fn a_literal_secret_is_refused_and_never_repeated() {
    let cloud = Cloud::start().await;
    cloud.configure(|text| {
        let secret = |line: &str| line.starts_with("token = ") || line.starts_with("client_secret = ");
        let key = |line: &str| line.split_once(' ').unwrap().0.to_owned();
        let lines = text.lines().map(|line| match secret(line) {
            true => format!("{} = \"CANARY-literal\"\n", key(line)),
            false => format!("{line}\n"),
        });
        lines.collect()
    });
    let run = refused(&cloud, &["-vv", "sync"]).await;
    let run = run.says("`token` is written in the file itself").says("{ env = \"NAME\" }");
    assert!(!run.err.contains("CANARY"), "{}", run.err);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_told_with_the_key_that_wants_it() {
    let cloud = Cloud::start().await;
    let file = cloud.folder.path().canonicalize().unwrap().join("cloudflare-token");
    std::fs::remove_file(&file).unwrap();
    let run = refused(&cloud, &["sync"]).await.says("the token of account cf").says("No such file");
    assert_eq!(run.err.matches("cloudflare-token").count(), 1, "{}", run.err);
    std::fs::write(&file, "\n").unwrap();
    refused(&cloud, &["sync"]).await.says("the token of account cf").says("is empty");
    cloud.replace(&format!("file = \"{}\"", file.display()), "env = \"CNAMED_TEST_TOKEN\"");
    refused(&cloud, &["sync"]).await.says("CNAMED_TEST_TOKEN is not set");
}

#[tokio::test]
async fn a_secret_file_that_everybody_can_read_is_warned_of_and_used() {
    let cloud = Cloud::start().await;
    let file = cloud.folder.path().join("cloudflare-token");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    cloud.run(&["plan"]).await.exits(3).says("warning:").says("can be read by every user of this system");
}

#[tokio::test]
async fn the_command_line_is_held_to_the_same() {
    let cloud = Cloud::start().await;
    refused(&cloud, &["sync", "--only", "nobody"]).await.says("names no record and no endpoint \"nobody\"");
    refused(&cloud, &["teardown", "jumpstation.example.com"]).await.says("names no endpoint");
    refused(&cloud, &["remove", "a..b"]).await.says("has an empty label");
    refused(&cloud, &["sync", "--allow", "everything"]).await.says("possible values: relabel, deletes");
    refused(&cloud, &["synch"]).await.says("sync");
    for at in ["9999-12-31T23:59:59-23:00", "0000-01-01T00:00:00Z", "0000-01-01T00:00:00+23:00"] {
        refused(&cloud, &["threats", "--at", at]).await.says("the year is from 1970 to 9999");
    }
    refused(&cloud, &["sync", "--plan", "none.json"])
        .await
        .says("could not read the plan none.json: No such file");
    let file = cloud.folder.path().join("plan.json");
    for (text, sentence) in [("{}", "is not a plan that `cnamed plan --out` wrote"), ("", "is not a plan")] {
        std::fs::write(&file, text).unwrap();
        refused(&cloud, &["sync", "--plan", file.to_str().unwrap()]).await.says(sentence);
    }
    refused(&cloud, &["sync", "--plan", "x", "--only", "jump"]).await.says("cannot be used with");
    cloud.run(&["plan", "--out", file.to_str().unwrap()]).await.exits(3);
    cloud.sandbox.forget_requests();
    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, kept.replacen("\"version\": 1", "\"version\": 2", 1)).unwrap();
    let run = refused(&cloud, &["sync", "--plan", file.to_str().unwrap()]).await;
    run.says("is a plan of version 2; this is version 1. Plan again");
}

#[tokio::test]
async fn a_certificate_authority_that_is_none_stops_everything() {
    let cloud = Cloud::start().await;
    std::fs::write(cloud.folder.path().join("ca.pem"), "not a certificate").unwrap();
    refused(&cloud, &["sync"]).await.says("hold no certificate in PEM form");
    std::fs::remove_file(cloud.folder.path().join("ca.pem")).unwrap();
    refused(&cloud, &["sync"]).await.says("tls.extra_ca: could not read").says("No such file");
}
