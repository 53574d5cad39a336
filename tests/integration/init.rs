//! `cnamed init`: a configuration from flags, or from answers, that the other commands accept.

use std::path::Path;
use std::process::Stdio;

use cnamed::sandbox::AZURE_IDENTITY;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{Cloud, Run, golden};

async fn finished(mut command: Command, answers: Option<&str>) -> Run {
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).kill_on_drop(true);
    command.stdin(if answers.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let (Some(answers), Some(mut stdin)) = (answers, child.stdin.take()) {
        stdin.write_all(answers.as_bytes()).await.unwrap();
        stdin.flush().await.unwrap();
        // A terminal that ends would end the program as well.
        std::mem::forget(stdin);
    }
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait_with_output());
    let output = output.await.expect("it hangs").unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn init(config: &Path, flags: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnamed"));
    command.arg("--config").arg(config).arg("init").args(flags);
    finished(command, None).await
}

async fn with(config: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnamed"));
    command.arg("--config").arg(config).args(arguments);
    finished(command, None).await
}

const FLAGS: [&str; 12] = [
    "--subscription",
    AZURE_IDENTITY.subscription,
    "--resource-group",
    "rg-mgmt",
    "--location",
    "westeurope",
    "--label",
    "contoso-jump",
    "--azure-dns",
    "rg-dns",
    "--name",
    "jumpstation.example.com",
];

#[tokio::test]
async fn flags_make_a_file_that_every_command_accepts() {
    let cloud = Cloud::start().await;
    let config = cloud.folder.path().join("made/cnamed.toml");
    let more = [
        "--cloudflare",
        "file:../cloudflare-token",
        "--owner",
        "demo",
        "--yes",
        "--port",
        "rdp=63011:3389,ssh=63022:22",
        "--network-interface",
        "vm-jump-nic",
        "--allow-from",
        "203.0.113.0/24",
        "--network-security-group",
        "nsg-mgmt",
    ];
    let run = init(&config, &[&FLAGS[..], &more].concat()).await.exits(0);
    let folder = cloud.folder.path().display().to_string();
    let words = |line: &str| format!("{}\n", line.split_whitespace().collect::<Vec<_>>().join(" "));
    let shown: String = run.out.replace(&folder, "FOLDER").lines().map(words).collect();
    golden::same("cli/init", &shown);
    let text = std::fs::read_to_string(&config).unwrap();
    golden::same("cli/init-file", &text);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let check = with(&config, &["config", "check"]).await.exits(0);
    assert_eq!(check.err, "", "it warns of nothing");
    // The rest of what the sandbox is, since no flag names a cloud of one's own.
    let whole = std::fs::read_to_string(&cloud.config).unwrap();
    let table = |name: &str| {
        let from = whole.find(&format!("\n[{name}]")).unwrap();
        let rest = &whole[from + 1..];
        rest[..rest.find("\n[").map_or(rest.len(), |end| end + 1)].to_owned()
    };
    let custom: String = table("azure").lines().skip(2).map(|line| format!("{line}\n")).collect();
    let text = text.replace("# Tokens come from", &format!("{custom}# Tokens come from"));
    let addresses = cloud.sandbox.addresses();
    let text = text.replace(
        "provider = \"cloudflare\"",
        &format!("provider = \"cloudflare\"\napi = \"{}\"", addresses.cloudflare),
    );
    std::fs::write(&config, text + &table("verify") + &table("tls")).unwrap();
    with(&config, &["plan"]).await.exits(3).says("jumpstation.example.com");
}

#[tokio::test]
async fn every_missing_and_every_wrong_flag_is_told_at_once() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("cnamed.toml");
    let run = init(&config, &["--label", "X!", "--allow-from", "203.0.113.0/24"]).await.exits(2);
    for flag in [
        "--subscription is missing",
        "--resource-group is missing",
        "--location is missing",
        "--label:",
        "--cloudflare is missing",
        "--name is missing",
        "--allow-from 203.0.113.0/24 has no effect without --port",
    ] {
        assert!(run.err.contains(flag), "{flag}:\n{}", run.err);
    }
    assert!(!config.exists());
    let secret = "sEcReTsEcReTsEcReTsEcReTsEcReTsEcReTsEcReT";
    let run = init(&config, &[&FLAGS[..], &["--cloudflare", secret]].concat()).await.exits(2);
    assert!(!run.err.contains(secret) && !run.out.contains(secret), "{}", run.err);
}

#[tokio::test]
async fn a_file_that_is_there_stays_unless_told() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("cnamed.toml");
    std::fs::write(&config, "mine").unwrap();
    init(&config, &FLAGS).await.exits(2).says("is there already");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "mine");
    init(&config, &[&FLAGS[..], &["--force"]].concat()).await.exits(0);
    with(&config, &["config", "check"]).await.exits(0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    let json =
        init(&folder.path().join("other.toml"), &[&FLAGS[..], &["--format", "json"]].concat()).await.exits(0);
    assert_eq!(json.json()["outcome"], "written");
}

#[tokio::test]
async fn a_bad_answer_is_asked_for_again() {
    // util-linux's, which gives the program a terminal.
    if Command::new("script").arg("--version").output().await.is_err() {
        eprintln!("skipped: there is no script(1) here");
        return;
    }
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("cnamed.toml");
    let line = format!("{} --color never --config {} init", env!("CARGO_BIN_EXE_cnamed"), config.display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let answers = [
        "Ops!",
        "ops-1", // owner
        "mine",
        AZURE_IDENTITY.subscription, // subscription
        "",
        "", // credential, client id
        "",
        "rg-mgmt", // resource group: needed
        "West Europe",
        "westeurope",
        "-x",
        "contoso-jump",
        "", // public IP
        "rdp=63011",
        "rdp=63011:3389",
        "vm-jump-nic",
        "everybody",
        "0.0.0.0/0",
        "203.0.113.0/24",
        "",
        "", // security group, load balancer
        "", // Azure DNS
        "",
        "token",
        "env:CLOUDFLARE_API_TOKEN",
        "jump",
        "jumpstation.example.com",
    ];
    let run = finished(command, Some(&(answers.join("\n") + "\n"))).await.exits(0);
    assert_eq!(run.out.matches("no:").count(), 9, "{}", run.out);
    assert_eq!(run.out.matches("needed:").count(), 2, "{}", run.out);
    let text = std::fs::read_to_string(&config).unwrap();
    for line in [
        "owner = \"ops-1\"",
        "public_ip = \"pip-contoso-jump\"",
        "name = \"lb-contoso-jump\"",
        "token = { env = \"CLOUDFLARE_API_TOKEN\" }",
        "allow_from = [\"203.0.113.0/24\"]",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    with(&config, &["config", "check"]).await.exits(0);
}
