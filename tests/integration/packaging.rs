//! What the packages are made of: the manual says everything that the program knows, and the units name what is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use cnamed::cli::Exit;
use cnamed::notify::command::variables;
use serde_json::Value;

use crate::notify::rich;

fn cnamed(arguments: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_cnamed")).args(arguments).output().unwrap();
    assert!(run.status.success(), "cnamed {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    run
}

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The values of a key in a unit, in the order of the file.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// A page as text: without the font changes and the escapes of a manual page.
fn plain(page: &str) -> String {
    ["\\fB", "\\fI", "\\fR"]
        .iter()
        .fold(page.to_owned(), |page, font| page.replace(font, ""))
        .replace("\\-", "-")
}

/// The commands that `--help` lists below these, with the words that lead there.
fn commands(words: &[String]) -> Vec<Vec<String>> {
    let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
    let help = String::from_utf8(cnamed(&arguments).stdout).unwrap();
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .flat_map(|name| {
            let below = [words, &[name.to_owned()]].concat();
            [vec![below.clone()], commands(&below)].concat()
        })
        .collect()
}

#[test]
fn every_command_has_a_page_and_no_page_is_left_over() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man");
    let run = cnamed(&["man", "--format", "json", "--out", out.to_str().unwrap()]);
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    let commands = commands(&[]);
    assert!(commands.len() > 12, "{commands:?}");
    let mut wanted: BTreeSet<String> =
        commands.iter().map(|words| format!("cnamed-{}.1", words.join("-"))).collect();
    wanted.extend(["cnamed.1", "cnamed.toml.5", "cnamed-json.5"].map(str::to_owned));
    let written: BTreeSet<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(written, wanted);
    let told: BTreeSet<String> =
        said["pages"].as_array().unwrap().iter().map(|page| page.as_str().unwrap().to_owned()).collect();
    assert_eq!(told, written);
    for (name, section) in
        [("cnamed.1", "1"), ("cnamed-sync.1", "1"), ("cnamed.toml.5", "5"), ("cnamed-json.5", "5")]
    {
        let page = std::fs::read_to_string(out.join(name)).unwrap();
        let title = name.strip_suffix(&format!(".{section}")).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let head = format!(".TH {title} {section} \"\" \"cnamed {version}\" ");
        assert!(page.starts_with(&head), "{name} begins with {:?}", page.lines().next());
    }
    let alone = cnamed(&["man"]).stdout;
    assert_eq!(alone, std::fs::read(out.join("cnamed.1")).unwrap(), "`cnamed man` is the first of them");
}

/// Every key of the schema, with the heading of the table that it is in.
fn keys(schema: &Value, table: &str, many: bool, found: &mut Vec<(String, String)>) {
    let heading = match (table, many) {
        ("", _) => ".SH KEYS".to_owned(),
        (_, true) => format!(".SS [[{table}]]"),
        (_, false) => format!(".SS [{table}]"),
    };
    let inside = |key: &str| if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
    for (key, value) in schema["properties"].as_object().unwrap() {
        if value["x-secret"] != true && value["properties"].is_object() {
            keys(value, &inside(key), false, found);
        } else if value["items"]["properties"].is_object() {
            keys(&value["items"], &inside(key), true, found);
        } else {
            found.push((heading.clone(), key.clone()));
        }
    }
}

#[test]
fn the_manual_of_the_file_has_every_key_under_its_table() {
    let folder = tempfile::tempdir().unwrap();
    cnamed(&["man", "--out", folder.path().to_str().unwrap()]);
    let page = plain(&std::fs::read_to_string(folder.path().join("cnamed.toml.5")).unwrap());
    let mut wanted = Vec::new();
    keys(&cnamed::config::schema(), "", false, &mut wanted);
    assert!(wanted.len() > 50, "{wanted:?}");
    for (table, key) in wanted {
        let (_, section) = page.split_once(&format!("{table}\n")).unwrap_or_else(|| panic!("no {table}"));
        let section = section.split("\n.S").next().unwrap();
        let entry = section.split(".TP\n").find(|entry| entry.starts_with(&format!("{key} = ")));
        let said = entry.unwrap_or_else(|| panic!("no {key} below {table}")).lines().nth(1);
        assert!(said.is_some_and(|line| line.ends_with('.')), "{table}: nothing is said of {key}");
    }
    for secret in values(&file("packaging/systemd/cnamed.service"), "LoadCredential") {
        assert!(page.contains(secret), "the page does not name the credential {secret}");
    }
}

#[test]
fn the_manual_of_the_file_has_every_event_and_whatever_a_notice_holds() {
    let folder = tempfile::tempdir().unwrap();
    cnamed(&["man", "--out", folder.path().to_str().unwrap()]);
    let page = plain(&std::fs::read_to_string(folder.path().join("cnamed.toml.5")).unwrap());
    let (_, section) = page.split_once(".SH NOTICES\n").unwrap();
    let section = section.split("\n.SH").next().unwrap();
    let told: BTreeSet<&str> =
        section.split(".TP\n").skip(1).filter_map(|entry| entry.lines().next()).collect();
    let schema = cnamed::config::schema();
    let events = &schema["properties"]["notify"]["items"]["properties"]["events"]["items"]["enum"];
    let events = events.as_array().unwrap().iter().map(|event| event.as_str().unwrap());
    let notice = rich();
    let variables = variables(&notice);
    let wanted: BTreeSet<&str> = events.chain(variables.iter().map(|(name, _)| *name)).collect();
    assert_eq!(told, wanted);
    for field in serde_json::to_value(&notice).unwrap().as_object().unwrap().keys() {
        assert!(section.contains(field.as_str()), "the page does not name the field {field}");
    }
}

#[test]
fn the_units_name_what_is_there() {
    let service = file("packaging/systemd/cnamed.service");
    let sync = file("packaging/systemd/cnamed-sync.service");
    let config = "/usr/bin/cnamed --config /etc/cnamed/cnamed.toml";
    assert_eq!(values(&service, "ExecStart"), [format!("{config} run")]);
    assert_eq!(values(&service, "ExecReload").first(), Some(&format!("{config} config check").as_str()));
    assert_eq!(values(&sync, "ExecStart"), [format!("{config} sync")]);
    let incurable = Exit::Usage.code().to_string();
    assert_eq!(values(&service, "RestartPreventExitStatus"), [incurable]);
    let fine = format!("{} {}", Exit::Pending.code(), Exit::Unverified.code());
    assert_eq!(values(&sync, "SuccessExitStatus"), [fine]);
    let state = cnamed::config::schema()["properties"]["state"]["properties"]["directory"]["default"].clone();
    for unit in [&service, &sync] {
        assert_eq!(values(unit, "StateDirectory"), ["cnamed"]);
        assert_eq!(values(unit, "User"), ["cnamed"]);
    }
    assert_eq!(state, "/var/lib/cnamed");
    assert!(file("packaging/sysusers.d/cnamed.conf").contains("\nu cnamed - "));
    assert!(file("packaging/tmpfiles.d/cnamed.conf").contains("\nd /var/lib/cnamed 0700 cnamed cnamed -\n"));
}

#[test]
fn the_package_takes_what_is_there() {
    let manifest: toml::Table = file("Cargo.toml").parse().unwrap();
    let package = &manifest["package"]["metadata"]["deb"];
    let sources: Vec<&str> =
        package["assets"].as_array().unwrap().iter().map(|asset| asset[0].as_str().unwrap()).collect();
    for source in sources.iter().filter(|source| !source.starts_with("target/") && !source.contains('*')) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(source).is_file(), "{source} is not there");
    }
    for unit in ["cnamed-sync.service", "cnamed-sync.timer"] {
        assert!(sources.contains(&format!("packaging/systemd/{unit}").as_str()), "{unit} is not packaged");
    }
    let licence = file("LICENSE-MIT");
    let (_, terms) = licence.split_once("Permission is hereby granted").unwrap();
    let copyright = file("packaging/deb/copyright").replace("\n .\n", "\n\n").replace("\n ", "\n");
    assert!(copyright.contains(terms.trim_end()), "the package's copyright file differs from LICENSE-MIT");
}
