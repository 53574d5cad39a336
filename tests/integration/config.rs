//! The configuration file: what it accepts, what it says of what it does not, and what it never says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it cannot go on without by panicking"
)]

mod secrets;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnamed::config::{self, AccountKind, Config, CredentialConfig, Mistakes, ResolverConfig, SecretRef};
use cnamed::model::endpoint::Intent;
use cnamed::model::gateway::{AllowFrom, Network};
use cnamed::model::record::{Mode, Policy};
use cnamed::model::state::Consents;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../config/cnamed.example.toml");
const MINIMAL: &str = include_str!("../../config/cnamed.minimal.toml");

/// Every key that has a default, with another value.
const NOTHING_BY_DEFAULT: &str = r#"
owner = "ops"
prune = false
[azure]
subscription = "00000000-0000-0000-0000-000000000000"
cloud = "usgov"
credential = "managed-identity"
[[endpoint]]
name = "jump"
resource_group = "rg-mgmt"
location = "usgovvirginia"
public_ip = "pip-jump"
label = "contoso-jump"
allocation = "dynamic"
manage = false
[[endpoint]]
name = "gate"
resource_group = "rg-mgmt"
location = "usgovvirginia"
public_ip = "pip-gate"
label = "contoso-gate"
[endpoint.load_balancer]
name = "lb-gate"
[[endpoint.nat_rule]]
name = "dns"
protocol = "udp"
frontend_port = 53
backend_port = 5353
network_interface = "vm-gate-nic"
idle_timeout_minutes = 30
[[account]]
name = "cf"
provider = "cloudflare"
token = { file = "t" }
api = "http://127.0.0.1:1/v4"
[[record]]
name = "a.example.com"
endpoint = "jump"
accounts = ["cf"]
ttl = 60
mode = "address"
policy = "create-only"
proxied = true
[watch]
interval = "5m"
label_interval = "1m 30s 5ms"
[verify]
authoritative = false
resolvers = ["::1", "9.9.9.9:5353"]
timeout = "5s"
[limits]
deletes_per_round = 0
[state]
directory = "s"
[http]
listen = "[::1]:1"
names = ["cnamed", "Status.Example.com."]
"#;

/// A key behind a bare `#` is a key; prose has a space after it.
fn uncommented(example: &str) -> String {
    let key = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    (example.lines())
        .map(|line| line.strip_prefix('#').filter(|rest| key(rest)).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n")
}

fn parsed(text: &str) -> Config {
    Config::parse(text, "cnamed.toml").unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// What a person is told of a file.
fn told(text: &str) -> String {
    match Config::parse(text, "cnamed.toml") {
        Ok(config) => config.warnings.iter().fold(String::from("accepted\n"), |mut told, warning| {
            let _ = write!(told, "\nwarning: {warning}");
            told
        }),
        Err(mistakes) => format!("{mistakes}\n"),
    }
}

#[test]
fn the_examples_are_accepted_without_a_word() {
    for text in [EXAMPLE, MINIMAL] {
        assert_eq!(parsed(text).warnings, [], "{text}");
    }
}

#[test]
fn the_example_is_accepted_with_every_key_in_force() {
    let text = uncommented(EXAMPLE);
    let config = parsed(&text);
    let idle: Vec<_> =
        config.warnings.iter().filter(|warning| !warning.problem.contains("no effect")).collect();
    assert!(idle.is_empty(), "only keys of other credentials and clouds may be idle: {idle:?}");
    assert_eq!(config.endpoints[0].gateway.as_ref().unwrap().nat_rules[0].frontend_port, 63011);
}

#[test]
fn the_example_has_every_key_of_the_schema_and_no_other() {
    fn keys(schema: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{key}");
            let inner = inner.get("items").unwrap_or(inner);
            let is_table = inner["properties"].is_object() && inner["x-secret"] != true;
            if is_table {
                keys(inner, &path, found);
            } else {
                found.insert(path);
            }
        }
    }
    fn written(value: &toml::Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            toml::Value::Table(table) => {
                for (key, inner) in table {
                    let inline = ["token", "zones", "client_", "url", "secret"]
                        .iter()
                        .any(|start| key.starts_with(start));
                    let path = format!("{path}/{key}");
                    match inner {
                        toml::Value::Table(_) if !inline => written(inner, &path, found),
                        toml::Value::Array(items) if items.iter().all(toml::Value::is_table) => {
                            items.iter().for_each(|item| written(item, &path, found));
                        }
                        _ => drop(found.insert(path)),
                    }
                }
            }
            _ => unreachable!("a document is a table"),
        }
    }
    let (mut documented, mut shown) = (BTreeSet::new(), BTreeSet::new());
    keys(&config::schema(), "", &mut documented);
    written(&toml::from_str(&uncommented(EXAMPLE)).unwrap(), "", &mut shown);
    assert_eq!(documented, shown);
    assert!(documented.contains("/endpoint/nat_rule/frontend_port"), "{documented:?}");
}

#[test]
fn an_absent_key_means_what_the_example_writes() {
    let as_written = |text: &str| {
        let mut config = parsed(text);
        config.warnings.clear();
        config
    };
    let optional_without_default = [
        "tenant",
        "client_id",
        "client_secret",
        "client_certificate",
        "token_file",
        "token",
        "resource_manager",
        "authority",
        "audience",
        "label_suffix",
        "label_scope",
        "zones",
        "subscription",
        "name_servers",
        "label_servers",
        "extra_ca",
        "proxy",
        "names",
    ];
    let defaults_in_force: String = (uncommented(EXAMPLE).lines())
        .scan(false, |in_gateway, line| {
            let optional = ["[endpoint.", "[[endpoint.", "[threats]", "[[notify]]"]
                .iter()
                .any(|at| line.starts_with(at));
            *in_gateway = (*in_gateway || optional) && !line.starts_with("[[account]]");
            Some((*in_gateway, line))
        })
        .filter(|(in_gateway, line)| {
            let key = line.split(" = ").next().unwrap_or_default();
            let required = EXAMPLE.lines().any(|plain| plain == *line);
            !in_gateway
                && (required || !optional_without_default.iter().any(|without| key.starts_with(without)))
        })
        .fold(String::new(), |text, (_, line)| text + line + "\n");
    assert!(defaults_in_force.contains("\ninterval = \"60s\"\n"), "{defaults_in_force}");
    assert_eq!(as_written(&defaults_in_force), as_written(EXAMPLE));
}

#[test]
fn the_schema_names_the_values_that_the_model_takes() {
    let schema = config::schema();
    let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"));
    let record = "/properties/record/items/properties";
    let modes: Vec<Mode> = serde_json::from_value(at(&format!("{record}/mode/enum")).clone()).unwrap();
    assert_eq!(modes, [Mode::Cname, Mode::Address, Mode::Alias, Mode::Auto]);
    let policies: Vec<Policy> = serde_json::from_value(at(&format!("{record}/policy/enum")).clone()).unwrap();
    assert_eq!(policies, [Policy::Sync, Policy::UpsertOnly, Policy::CreateOnly]);
    let endpoint = "/properties/endpoint/items/properties";
    for key in ["label_scope", "allocation"] {
        assert!(at(&format!("{endpoint}/{key}/enum")).is_array());
    }
    assert_eq!(at(&format!("{record}/ttl/default")), 300);
    assert_eq!(at("/properties/watch/properties/interval/default"), "60s");
    assert!(!schema.to_string().contains("null"), "TOML has no null");
}

/// Set `UPDATE_GOLDEN=1` to write what is told now, and read the difference before it is kept.
#[test]
fn every_mistake_is_told_as_it_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let mut inputs: Vec<PathBuf> = (std::fs::read_dir(&folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    inputs.sort();
    assert!(inputs.len() > 30, "the cases are missing");
    let mut wrong = String::new();
    for input in inputs {
        let told = told(&std::fs::read_to_string(&input).unwrap());
        let golden = input.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if told != expected {
            let _ = write!(wrong, "{}\n--- expected\n{expected}\n--- told\n{told}\n", input.display());
        }
        assert!(!told.contains("CANARY"), "{}: a secret was told\n{told}", input.display());
        assert!(!told.contains('\u{1b}'), "{}: an escape sequence was told", input.display());
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path| Config::load(path).unwrap_err().to_string();
    assert!(told(&folder.path().join("none.toml")).contains("cannot be read: No such file"));
    assert!(told(folder.path()).contains("cannot be read: Is a directory"));

    let path = folder.path().join("latin1.toml");
    std::fs::write(&path, b"owner = \"ops\"\nprune = true # f\xfcr\n").unwrap();
    let told = told(&path);
    assert!(told.contains("latin1.toml:2:17: the file is not UTF-8 from here on"), "{told}");
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cnamed.toml");
    std::fs::write(
        &path,
        format!("{MINIMAL}\n[tls]\nextra_ca = \"ca.pem\"\n[state]\ndirectory = \"/srv/x\"\n"),
    )
    .unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.tls.extra_ca.as_deref(), Some(folder.path().join("ca.pem").as_path()));
    assert_eq!(config.state.directory, Path::new("/srv/x"));
    assert_eq!(
        parsed(&format!("{MINIMAL}\n[tls]\nextra_ca = \"ca.pem\"\n")).tls.extra_ca.unwrap(),
        Path::new("ca.pem")
    );
}

#[test]
fn every_mistake_comes_at_once_in_the_order_of_the_file() {
    let text = include_str!("../golden/config/everything.toml");
    let mistakes: Mistakes = Config::parse(text, "cnamed.toml").unwrap_err();
    let lines: Vec<_> = mistakes.all().iter().map(|mistake| mistake.place.as_ref().unwrap().line).collect();
    assert_eq!(lines.len(), 7, "{mistakes}");
    assert!(lines.is_sorted(), "{lines:?}");
    let json = serde_json::to_value(&mistakes).unwrap();
    assert_eq!(json[0]["line"], 1);
    assert_eq!(json[0]["column"], 9);
    assert_eq!(json[0]["file"], "cnamed.toml");
}

/// Inputs that between them use every key and every kind of value.
fn configurations() -> Vec<String> {
    let with = |kind: &str, keys: &str| {
        MINIMAL.replace("[[endpoint]]", &format!("credential = \"{kind}\"\n{keys}\n\n[[endpoint]]"))
    };
    vec![
        NOTHING_BY_DEFAULT.into(),
        MINIMAL.into(),
        EXAMPLE.into(),
        uncommented(EXAMPLE),
        uncommented(EXAMPLE).replace("cloud = \"public\"", "cloud = \"custom\""),
        uncommented(EXAMPLE).replace("[\"203.0.113.0/24\"]", "[\"internet\"]"),
        with("managed-identity", "client_id = \"abc\""),
        format!("{MINIMAL}\n[threats]\nworkspace = \"00000000-0000-0000-0000-00000000000A\"\n"),
        NOTHING_BY_DEFAULT.to_owned() + "[threats]\nworkspace = \"00000000-0000-0000-0000-000000000000\"\n",
        with("workload-identity", "tenant = \"t\"\ntoken_file = \"/t\""),
        with("client-secret", ""),
        with("client-secret", "client_secret = { credential = \"azure\" }"),
        with("client-certificate", "client_certificate = { file = \"c.pem\" }"),
        with("azure-cli", ""),
        with("token", "token = { env = \"T\" }"),
        format!("{MINIMAL}\n[[notify]]\nname = \"a\"\nkind = \"slack\"\nurl = {{ env = \"U\" }}\n"),
        format!(
            "{MINIMAL}\n[[notify]]\nname = \"a\"\nkind = \"heartbeat\"\nurl = {{ credential = \"u\" }}\n\
             [[notify]]\nname = \"b\"\nkind = \"teams\"\nurl = {{ file = \"u\" }}\nevents = [\"change\", \"failure\"]\n"
        ),
        format!(
            "{MINIMAL}\n[verify]\nresolvers = [\"::1\", \"9.9.9.9:5353\"]\nlabel_servers = [\"ns.example.net:5300\", \"[::1]:5\"]\ntimeout = \"1500ms\"\nproxy = \"socks5://[2001:db8::1]\"\n"
        ),
    ]
}

#[test]
fn what_is_shown_reads_back_as_the_same() {
    for text in configurations() {
        let mut config = parsed(&text);
        config.warnings.clear();
        let shown = config.to_toml();
        let mut again = parsed(&shown);
        again.warnings.clear();
        assert_eq!(again, config, "{shown}");
        assert_eq!(again.to_toml(), shown);
    }
}

#[test]
fn the_file_becomes_what_is_wanted() {
    let config = parsed(&uncommented(EXAMPLE).replace("manage = true", "manage = false"));
    let desired = config.desired(Consents { relabel: true, ..Consents::default() });
    assert_eq!(desired.owner.as_str(), "ops-westeurope");
    assert!(desired.prune && desired.consents.relabel);
    assert_eq!(desired.deletes_per_round, 3);
    let keys: Vec<String> = desired.records.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["jumpstation.example.com in azure", "jumpstation.example.com in cf"]);
    assert!(desired.records.values().all(|wanted| wanted.endpoint.as_str() == "jump" && !wanted.withdraw));
    let endpoint = desired.endpoints.values().next().unwrap();
    assert_eq!(endpoint.intent, Intent::Watch);
    assert_eq!(endpoint.public_ip.zones, ["1", "2", "3"]);
}

#[test]
fn networks_have_no_host_bits() {
    let reads = |text: &str| text.parse::<Network>().map(|network| network.to_string());
    for (text, network) in [
        ("203.0.113.7", "203.0.113.7/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::/0", "::/0"),
    ] {
        assert_eq!(reads(text).as_deref(), Ok(network));
    }
    for text in [
        "10.0.0.1/8",
        "1.2.3.4/0",
        "2001:db8::1/32",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "10/8",
        "",
    ] {
        assert!(reads(text).is_err(), "{text}");
    }
}

#[test]
fn many_records_are_read_quickly_and_each_once() {
    let record = |at: usize| {
        format!("[[record]]\nname = \"n{at}.example.com\"\nendpoint = \"jump\"\naccounts = [\"cf\"]\n")
    };
    let text = (0..10_000).fold(MINIMAL.to_owned(), |text, at| text + &record(at));
    assert_eq!(parsed(&text).desired(Consents::default()).records.len(), 10_001);
    let mistakes = Config::parse(&(text + &record(7)), "cnamed.toml").unwrap_err();
    assert_eq!(mistakes.all().len(), 1, "{mistakes}");
}

#[test]
fn values_become_what_they_mean() {
    let config = parsed(&uncommented(EXAMPLE));
    assert_eq!(config.watch.interval, Duration::from_secs(60));
    assert_eq!(config.verify.resolvers, [ResolverConfig::System]);
    assert_eq!(config.azure.cloud.resource_manager.as_str(), "https://management.azure.com/");
    assert_eq!(config.azure.cloud.label_suffix.as_str(), "cloudapp.azure.com");
    assert!(matches!(config.azure.credential, CredentialConfig::Default { .. }));
    let [azure, cloudflare] = config.accounts.as_slice() else { panic!("two accounts") };
    assert_eq!(azure.name_servers[0].to_string(), "ns1.example.net");
    assert!(
        matches!(&azure.kind, AccountKind::AzureDns { zones, .. } if zones[0].to_string() == "example.com")
    );
    let AccountKind::Cloudflare { token, zones, .. } = &cloudflare.kind else { panic!("Cloudflare") };
    assert_eq!(*token, SecretRef::Env("CLOUDFLARE_API_TOKEN".into()));
    assert_eq!(zones.values().next().map(String::as_str), Some("023e105f4ecef8ad9ca31a8372d0c353"));
    let rule = &config.endpoints[0].gateway.as_ref().unwrap().nat_rules[0];
    let AllowFrom::Sources(networks) = &rule.access.as_ref().unwrap().from else { panic!("networks") };
    assert_eq!(networks[0].to_string(), "203.0.113.0/24");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cnamed.toml");
        std::fs::write(&path, bytes).unwrap();
        if let Err(mistakes) = Config::load(&path) {
            prop_assert!(!mistakes.all().is_empty() && !mistakes.to_string().is_empty());
        }
    }

    /// Damage to a good file reaches deeper than noise does.
    #[test]
    fn no_damage_panics(at in 0usize..8000, cut in 0usize..40, insert in "[\\PC\\n]{0,8}") {
        let mut text: Vec<char> = uncommented(EXAMPLE).chars().collect();
        let at = at % text.len();
        let end = (at + cut).min(text.len());
        text.splice(at..end, insert.chars());
        let text: String = text.into_iter().collect();
        if let Err(mistakes) = Config::parse(&text, "cnamed.toml") {
            prop_assert!(!mistakes.all().is_empty());
            for mistake in mistakes.all() {
                let place = mistake.place.as_ref().unwrap();
                prop_assert!(place.line <= text.lines().count() + 1);
                prop_assert!(place.caret <= config::WIDTH && !place.excerpt.contains(char::is_control));
            }
        }
    }
}
