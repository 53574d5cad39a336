//! `cnamed.toml(5)`: every key of the file, from the JSON Schema that the file is held against.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use serde_json::{Map, Value};

use super::{choices, reference, said, term, title};

/// The page's file name.
pub(super) const NAME: &str = "cnamed.toml.5";

/// The page.
pub(super) fn page(schema: &Value) -> Vec<u8> {
    let mut page = Roff::new();
    page.control("SH", ["NAME"]);
    page.text([roman("cnamed.toml - configuration of cnamed, which keeps friendly names pointed at Azure")]);
    page.control("SH", ["DESCRIPTION"]);
    for (number, paragraph) in ABOUT.into_iter().enumerate() {
        if number > 0 {
            page.control("PP", []);
        }
        page.text(said(paragraph));
    }
    page.control("SH", ["SECRETS"]);
    page.text(said(SECRETS));
    for (form, meaning) in REFERENCES {
        term(&mut page, [bold(form)], meaning);
    }
    page.control("SH", ["KEYS"]);
    tables(&mut page, schema, &[]);
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    page.control("RS", []);
    for line in include_str!("../../../config/cnamed.minimal.toml").lines() {
        // An empty line in the source of a page is a request of its own.
        if line.is_empty() {
            page.control("sp", []);
        } else {
            page.text([roman(line)]);
        }
    }
    page.control("RE", []);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([reference("cnamed", 1), reference("systemd.exec", 5)].join(&roman(", ")));
    [title("cnamed.toml", 5, "File formats"), page.to_roff()].concat().into_bytes()
}

/// One step of a table's name.
#[derive(Clone, Copy)]
struct Step<'a> {
    key: &'a str,
    /// `[[key]]`, of which there may be many.
    many: bool,
}

/// The keys of one table, then the tables in it.
fn tables(page: &mut Roff, schema: &Value, path: &[Step<'_>]) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (key, value) in properties.iter().filter(|(_, value)| table(value).is_none()) {
        let required = schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
        term(page, heading(key, value, required), value["description"].as_str().unwrap_or_default());
        choices(page, value);
        limits(page, value);
    }
    for (key, value) in properties {
        let Some((below, many)) = table(value) else { continue };
        let path = [path, &[Step { key, many }]].concat();
        page.control("SS", [name(&path).as_str()]);
        let about = [&value["description"], &below["description"]].into_iter().find_map(Value::as_str);
        page.text(said(about.unwrap_or_default()));
        tables(page, below, &path);
    }
}

/// The table that a key's value is, and whether it is one of many; `None` for a plain value, and for a reference to
/// a secret, which is written as one.
fn table(value: &Value) -> Option<(&Value, bool)> {
    if value["x-secret"] == true {
        return None;
    }
    if value["properties"].is_object() {
        return Some((value, false));
    }
    value["items"]["properties"].is_object().then(|| (&value["items"], true))
}

/// A table's name as it stands in the file: the last step decides the brackets.
fn name(path: &[Step<'_>]) -> String {
    let keys: Vec<&str> = path.iter().map(|step| step.key).collect();
    let keys = keys.join(".");
    if path.last().is_some_and(|step| step.many) { format!("[[{keys}]]") } else { format!("[{keys}]") }
}

/// The key, and whether it has to be there.
fn heading(key: &str, value: &Value, required: bool) -> Vec<Inline> {
    let mut heading = vec![bold(key), roman(" = "), italic(kind(value))];
    if required {
        heading.push(roman(", required"));
    }
    if let Some(default) = value.get("default") {
        heading.extend([roman(", default "), bold(toml(default))]);
    }
    heading
}

/// What is written behind the equals sign.
fn kind(value: &Value) -> &'static str {
    if value["x-secret"] == true {
        return "secret";
    }
    match value["type"].as_str() {
        Some("boolean") => "true or false",
        Some("integer") => "number",
        Some("array") => "list",
        Some("object") => "table",
        None if value["anyOf"].is_array() => "list or table",
        _ => "text",
    }
}

/// The range of a number, where the text does not say it, and an example.
fn limits(page: &mut Roff, value: &Value) {
    let described = value["description"].as_str().unwrap_or_default();
    let mut sentences = Vec::new();
    if let (Some(least), Some(most)) = (value["minimum"].as_u64(), value["maximum"].as_u64())
        && !described.contains(&format!("{least} to {most}"))
    {
        sentences.extend([roman(format!("From {least} to {most}.")), roman(" ")]);
    }
    if let Some(example) = value["examples"].as_array().and_then(|all| all.first())
        && !value["oneOf"].is_array()
    {
        sentences.extend([roman("For example "), bold(toml(example)), roman(".")]);
    }
    if !sentences.is_empty() {
        page.control("br", []);
        page.text(sentences);
    }
}

/// A value as it is written in the file; of what has no place there, nothing.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(values) => inline(values),
        Value::Null => String::new(),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn inline(values: &Map<String, Value>) -> String {
    let pairs: Vec<String> = values.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

const ABOUT: [&str; 3] = [
    "A TOML file. Tables in double brackets may be there many times. Relative paths are relative to the file.",
    "Keys that are not listed here are errors. `cnamed config check` reports every mistake at once, with line and \
     column; `cnamed config show` prints the configuration with every default written out; `cnamed config schema` \
     prints the JSON Schema that this page is made from, for editors.",
    "A file with every key is in /usr/share/doc/cnamed/examples.",
];

const SECRETS: &str = "A secret is never written in this file. A key that takes one says where it is:";

const REFERENCES: [(&str, &str); 3] = [
    ("{ env = \"NAME\" }", "An environment variable."),
    (
        "{ file = \"/etc/cnamed/token\" }",
        "A file. It is read anew each time, so that a rotated secret is seen. For the service: owner root, group \
         cnamed, mode 0640.",
    ),
    (
        "{ credential = \"cnamed.cloudflare-token\" }",
        "A systemd credential. The units load cnamed.cloudflare-token and cnamed.azure-client-secret from \
         /etc/credstore, where they are there; another is one `LoadCredential=` in a drop-in. systemd reads it when the \
         service starts.",
    ),
];
