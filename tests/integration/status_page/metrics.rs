//! The metrics, read as Prometheus reads them, and what the dashboard and the alerts make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cnamed::telemetry::metrics::{Format, render};

use super::scenes;
use super::wire::Served;
use crate::support::golden;

/// A sample: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Reads the text format, and fails where Prometheus would, or where a rule of naming is broken.
fn read(text: &str) -> (BTreeMap<String, String>, Vec<Sample>) {
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut samples = Vec::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(help.ends_with('.') && help.len() > 5, "{line}");
            assert!(helped.insert(name.to_owned()), "a second HELP of {name}");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family, "TYPE follows its HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "a second TYPE of {name}");
        } else {
            let sample = sample(line);
            assert!(sample.0.starts_with(&family), "{line} stands outside of its family {family}");
            samples.push(sample);
        }
    }
    let mut seen = BTreeSet::new();
    for (name, labels, _) in &samples {
        assert!(seen.insert((name, labels)), "{name} {labels:?} is said twice");
    }
    (types, samples)
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a name");
    let (name, mut rest) = line.split_at(end);
    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()), "{line}");
    let mut labels = BTreeMap::new();
    while rest.starts_with(['{', ',']) {
        let (label, value) = rest[1..].split_once("=\"").expect("a label");
        let mut text = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => text.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("\\{c} in {line}"),
                }),
                (_, c) => text.push(c),
            }
        };
        assert!(labels.insert(label.to_owned(), text).is_none(), "{line}");
        rest = &value[end + 1..];
        rest = rest.strip_prefix('}').unwrap_or(rest);
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

fn value(samples: &[Sample], name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
    let wanted: BTreeMap<String, String> =
        wanted.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    samples.iter().find(|(other, labels, _)| other == name && *labels == wanted).map(|(_, _, value)| *value)
}

#[test]
fn every_scene_is_read_as_prometheus_reads_it() {
    for (name, snapshot) in scenes::all() {
        let (types, samples) = read(&render(&snapshot, scenes::now(), Format::Text));
        assert!(types.len() > 20 && samples.len() > 20, "{name}");
    }
}

#[test]
fn the_metrics_are_as_they_were() {
    let text = render(&scenes::resting(), scenes::now(), Format::Text);
    // What the process costs and how old the last beat is differ each time.
    let varies = |line: &&str| line.starts_with("process_") || line.starts_with("cnamed_loop_age_seconds");
    let fixed: Vec<&str> = text.lines().filter(|line| !varies(line)).collect();
    golden::same("page/metrics", &(fixed.join("\n") + "\n"));
}

#[test]
fn the_figures_are_those_of_the_snapshot() {
    let (_, samples) = read(&render(&scenes::broken_link(), scenes::now(), Format::Text));
    let is = |name, labels: &[(&str, &str)]| value(&samples, name, labels);
    let jump = |verdict| [("name", "jumpstation.example.com"), ("account", "cf"), ("verdict", verdict)];
    assert_eq!(is("cnamed_record_verdict", &jump("contradicted")), Some(1.0));
    assert_eq!(is("cnamed_record_verdict", &jump("agreed")), Some(0.0));
    assert_eq!(is("cnamed_rounds_total", &[("outcome", "in-sync")]), Some(310.0));
    assert_eq!(is("cnamed_rounds_total", &[("outcome", "failed")]), Some(0.0));
    let changed = [("verb", "update"), ("account", "cf"), ("outcome", "applied")];
    assert_eq!(is("cnamed_changes_total", &changed), Some(3.0));
    assert_eq!(is("cnamed_ready", &[]), Some(0.0));
    assert_eq!(is("cnamed_last_success_timestamp_seconds", &[]), Some(1_795_348_800.0 - 742.0));
    assert_eq!(is("cnamed_next_round_timestamp_seconds", &[]), Some(1_795_348_842.0));
    assert_eq!(is("cnamed_endpoint_state", &[("endpoint", "jump"), ("state", "ready")]), Some(1.0));
    let port = [("endpoint", "jump"), ("rule", "ssh"), ("state", "broken")];
    assert_eq!(is("cnamed_port_state", &port), Some(1.0));
    assert_eq!(is("cnamed_requests_total", &[("budget", "azure"), ("outcome", "ok")]), Some(620.0));
    assert_eq!(is("cnamed_quota_remaining", &[("budget", "azure")]), Some(11_990.0));
    assert_eq!(is("cnamed_resting", &[("account", "cf")]), Some(0.0));
    let bucket = |le| is("cnamed_convergence_seconds_bucket", &[("account", "cf"), ("le", le)]);
    let buckets = [bucket("0.1"), bucket("1.0"), bucket("5.0"), bucket("3600.0"), bucket("+Inf")];
    assert_eq!(buckets, [Some(1.0), Some(1.0), Some(3.0), Some(3.0), Some(4.0)]);
    assert_eq!(is("cnamed_convergence_seconds_count", &[("account", "cf")]), Some(4.0));
    assert_eq!(is("cnamed_convergence_seconds_sum", &[("account", "cf")]), Some(4_004.65));
    assert!(is("process_resident_memory_bytes", &[]).is_some_and(|octets| octets > 1e6));
    assert!(is("process_start_time_seconds", &[]).is_some_and(|at| at > 1.6e9));
    let (_, samples) = read(&render(&scenes::resting(), scenes::now(), Format::Text));
    assert_eq!(value(&samples, "cnamed_resting", &[("account", "cf")]), Some(1.0));
    let names = |link, state| [("endpoint", "jump"), ("link", link), ("state", state)];
    assert_eq!(value(&samples, "cnamed_links", &names("name", "unknown")), Some(1.0));
    assert_eq!(value(&samples, "cnamed_links", &names("label-in-dns", "whole")), Some(2.0));
    assert_eq!(value(&samples, "cnamed_links", &names("label-in-dns", "broken")), Some(0.0));
    // Nobody can say of an account that is down that its names are served, and no series of theirs ends.
    assert_eq!(value(&samples, "cnamed_record_verdict", &jump("unknown")), Some(1.0));
    assert_eq!(value(&samples, "cnamed_record_verdict", &jump("contradicted")), Some(0.0));
    let azure = |verdict| [("name", "jumpstation.example.com"), ("account", "azure"), ("verdict", verdict)];
    assert_eq!(value(&samples, "cnamed_record_verdict", &azure("unknown")), Some(0.0));
    assert_eq!(value(&samples, "cnamed_record_verdict", &azure("agreed")), Some(1.0));
    assert_eq!(value(&samples, "cnamed_failures_in_a_row", &[("account", "cf")]), Some(4.0));
    assert_eq!(value(&samples, "cnamed_refusals", &[("rule", "foreign")]), Some(1.0));
    assert_eq!(value(&samples, "cnamed_troubles", &[]), Some(1.0));
}

#[test]
fn label_values_are_never_text_from_outside() {
    let text = render(&scenes::hostile(), scenes::now(), Format::Text);
    // Only a budget's and an account's own name may be anything at all, and the scene made them so.
    for line in text.lines().filter(|line| line.contains("alert(1)")) {
        let named =
            ["cnamed_quota_remaining", "cnamed_resting", "cnamed_failures_in_a_row", "cnamed_port_state"];
        assert!(named.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

#[tokio::test]
async fn open_metrics_is_given_to_whoever_asks() {
    let served = Served::of(scenes::healthy()).await;
    let accept = "accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3\r\n";
    let reply = served.ask("GET", "/metrics", accept).await;
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.header("content-type"), Some(open));
    assert!(reply.body.ends_with("# EOF\n"));
    assert!(reply.body.contains("# TYPE cnamed_rounds counter\ncnamed_rounds_total{"));
    assert!(reply.body.contains("# TYPE cnamed_build info\ncnamed_build_info{"));
    assert!(!served.get("/metrics").await.body.contains("# EOF"));
}

/// Gives `text` to a program and asks it what it thinks.
fn judged(program: &str, arguments: &[&str], text: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

#[test]
#[ignore = "needs promtool and Python's prometheus_client; .ci/run page installs both"]
fn prometheus_itself_reads_the_metrics_and_the_alerts() {
    const TEXT: &str = "import sys; from prometheus_client.parser import text_string_to_metric_families as read\n\
                        assert sum(len(m.samples) for m in read(sys.stdin.read())) > 20";
    const OPEN: &str = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
                        assert sum(len(m.samples) for m in read(sys.stdin.read())) > 20";
    for (_, snapshot) in scenes::all() {
        let text = render(&snapshot, scenes::now(), Format::Text);
        judged("promtool", &["check", "metrics"], &text);
        judged("python3", &["-c", TEXT], &text);
        judged("python3", &["-c", OPEN], &render(&snapshot, scenes::now(), Format::OpenMetrics));
    }
    let (path, _) = packaged("prometheus/cnamed.rules.yml");
    judged("promtool", &["check", "rules", path.to_str().unwrap()], "");
}

fn packaged(path: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path);
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The expressions of a file of alerts, or of a dashboard; and what its texts take from their labels.
fn expressions(text: &str) -> (Vec<String>, BTreeSet<String>) {
    let quoted = |after: &str| -> BTreeSet<String> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let parts = text.split(after).skip(1);
        parts.map(|rest| rest.chars().take_while(|c| word(*c)).collect()).collect()
    };
    if let Ok(board) = serde_json::from_str::<serde_json::Value>(text) {
        let panels = board["panels"].as_array().unwrap();
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        let annotations = board["annotations"]["list"].as_array().into_iter().flatten();
        let found = targets.chain(annotations).filter_map(|one| one["expr"].as_str().map(str::to_owned));
        return (found.collect(), quoted("\"legendFormat\": \"{{"));
    }
    let mut found: Vec<String> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.trim().strip_prefix("expr:") else { continue };
        let mut whole = first.trim().trim_start_matches(">-").to_owned();
        // What is folded stands further to the right.
        while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
            whole = format!("{whole} {}", more.trim());
        }
        found.push(whole);
    }
    (found, quoted("$labels."))
}

/// Every `name{label="value"}` of an expression, with each value that a label is held against.
fn selectors(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let length = rest[at..].find(|c| !word(c)).unwrap_or(rest.len() - at);
        let name = &rest[at..at + length];
        rest = &rest[at + length..];
        let mut labels = Vec::new();
        if let Some((inside, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            for held in inside.split("\",") {
                let (label, values) = held.trim_end_matches('"').split_once('"').unwrap();
                let label = label.trim_end_matches(['=', '~', '!']);
                labels.extend(values.split('|').map(|value| (label.to_owned(), value.to_owned())));
            }
            rest = after;
        }
        if name.starts_with("cnamed_") || name.starts_with("process_") {
            found.push((name.to_owned(), labels));
        }
    }
    found
}

#[test]
fn the_dashboard_and_the_alerts_use_metrics_labels_and_values_that_are_there() {
    // By metric and label: the values.
    let mut served: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (_, snapshot) in scenes::all() {
        for (name, labels, _) in read(&render(&snapshot, scenes::now(), Format::Text)).1 {
            let known = served.entry(name).or_default();
            for (label, value) in labels {
                known.entry(label).or_default().insert(value);
            }
        }
    }
    // No scene has one.
    let rules = served.get_mut("cnamed_refusals").unwrap().get_mut("rule").unwrap();
    rules.insert(cnamed::model::guard::Rule::Takeover.to_string());
    // What Prometheus adds by itself.
    let added = ["instance", "job"];
    for file in ["grafana/cnamed.json", "prometheus/cnamed.rules.yml"] {
        let (_, text) = packaged(file);
        let (expressions, texts) = expressions(&text);
        assert!(expressions.len() > 12, "{file}: {expressions:#?}");
        let all: Vec<_> = expressions.iter().flat_map(|expression| selectors(expression)).collect();
        assert!(all.len() >= expressions.len() - 1, "{file}: {all:#?}");
        let mut labelled: BTreeSet<&str> = added.into();
        for (name, labels) in &all {
            let known = served.get(name).unwrap_or_else(|| panic!("{file}: nobody serves {name}"));
            labelled.extend(known.keys().map(String::as_str));
            for (label, value) in labels.iter().filter(|(label, _)| !added.contains(&label.as_str())) {
                let values = known.get(label).unwrap_or_else(|| panic!("{file}: {name} has no {label}"));
                assert!(values.contains(value), "{file}: {name} is never served with {label}=\"{value}\"");
            }
        }
        let grouped = expressions.iter().flat_map(|expression| {
            let groups = ["by (", "without (", "ignoring ("].map(|how| expression.split(how).skip(1));
            let inside = groups.into_iter().flatten().filter_map(|rest| rest.split_once(')'));
            inside.flat_map(|(inside, _)| inside.split(", ").map(str::to_owned)).collect::<Vec<_>>()
        });
        for label in grouped.chain(texts) {
            assert!(labelled.contains(label.as_str()), "{file}: no metric in it has a label {label}");
        }
    }
}

#[test]
fn every_alert_says_what_it_is_and_what_to_do() {
    let (_, text) = packaged("prometheus/cnamed.rules.yml");
    let alerts: Vec<&str> = text.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 8, "{} alerts", alerts.len());
    for alert in alerts {
        for key in ["expr:", "labels:", "severity:", "annotations:", "summary:", "description:", "next:"] {
            assert!(alert.contains(key), "no {key} in {alert}");
        }
    }
    let (_, text) = packaged("grafana/cnamed.json");
    let board: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap();
    assert!(panels.len() >= 8);
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(panel["title"].is_string() && panel["description"].is_string(), "{panel}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
    }
}
