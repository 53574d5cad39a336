//! `cnamed-json(5)`: every field that `--format json` and `/status.json` give, from the types that they are written from.

use std::collections::{HashMap, HashSet};

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{choices, reference, said, term, title};
use crate::cli::doctor;
use crate::cli::history::History;
use crate::cli::notify;
use crate::cli::threats;
use crate::reconcile::round::Round;
use crate::telemetry::server::Document;

/// The page's file name.
pub(super) const NAME: &str = "cnamed-json.5";

/// The page.
pub(super) fn page() -> Vec<u8> {
    let mut page = Page::default();
    page.section("NAME", "cnamed-json - what cnamed tells programs");
    page.section("DESCRIPTION", ABOUT[0]);
    for paragraph in &ABOUT[1..] {
        page.roff.control("PP", []);
        page.roff.text(said(paragraph));
    }
    for (heading, about, schema) in documents() {
        page.section(heading, about);
        page.object(&schema, "");
    }
    let mut roff = page.roff;
    roff.control("SH", ["EXAMPLES"]);
    for (command, meaning) in EXAMPLES {
        term(&mut roff, [bold(command)], meaning);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([reference("cnamed", 1), reference("cnamed.toml", 5), reference("jq", 1)].join(&roman(", ")));
    [title("cnamed-json", 5, "File formats"), roff.to_roff()].concat().into_bytes()
}

/// Each kind of document: its heading, who writes it, and its schema.
fn documents() -> [(&'static str, &'static str, Value); 6] {
    [
        ("A ROUND", ROUND, schema::<Round>()),
        ("THE HISTORY", "Of `cnamed history`.", schema::<History<'_>>()),
        ("A CHECK-UP", "Of `cnamed doctor`.", schema::<doctor::Report<'_>>()),
        ("A TEST OF THE NOTIFIERS", "Of `cnamed notify test`.", schema::<notify::Report>()),
        ("FAILED LOGONS", "Of `cnamed threats`.", schema::<threats::json::Document<'_>>()),
        ("THE SERVICE", "Of `/status.json`, at the address of `http.listen`.", schema::<Document<'_>>()),
    ]
}

/// A type as it is written.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// The page as far as it is written.
#[derive(Default)]
struct Page {
    roff: Roff,
    /// The objects that it has already, by their fields, and where.
    told: HashMap<String, String>,
    /// The lists of words that it has already.
    words: HashSet<String>,
    section: &'static str,
}

impl Page {
    fn section(&mut self, heading: &'static str, text: &str) {
        self.section = heading;
        self.roff.control("SH", [heading]);
        self.roff.text(said(text));
    }

    /// The fields of one object, then the objects in it. `path` leads there, as jq(1) would.
    fn object(&mut self, schema: &Value, path: &str) {
        self.fields(schema);
        for variant in schema["oneOf"].as_array().into_iter().flatten() {
            let tag = variant["properties"].as_object().into_iter().flatten();
            if let Some((key, value)) =
                tag.filter_map(|(key, value)| Some((key, value["const"].as_str()?))).next()
            {
                self.roff.control("SS", [format!("{path} where {key} is {value}").as_str()]);
                self.roff.text(said(variant["description"].as_str().unwrap_or_default()));
            }
            self.fields(variant);
            self.below(variant, path);
        }
        self.below(schema, path);
    }

    fn fields(&mut self, schema: &Value) {
        for (key, value) in properties(schema) {
            if object_in(value).is_some() || value.get("const").is_some() {
                continue;
            }
            let always = is_required(schema, key);
            let mut about = value["description"].as_str().unwrap_or_default().to_owned();
            let words = some(value);
            let is_new = words["oneOf"].is_array() && self.words.insert(words["oneOf"].to_string());
            if words["oneOf"].is_array() && !is_new {
                about.push_str(" Its words are above.");
            }
            term(&mut self.roff, heading(key, value, always), &about);
            if is_new || words["enum"].is_array() {
                choices(&mut self.roff, words);
            }
        }
    }

    fn below(&mut self, schema: &Value, path: &str) {
        for (key, value) in properties(schema) {
            let Some((inner, many)) = object_in(value) else { continue };
            let path = format!("{path}.{key}{}", if many { "[]" } else { "" });
            self.roff.control("SS", [path.as_str()]);
            let about = [&value["description"], &inner["description"]].into_iter().find_map(Value::as_str);
            let null = if is_nullable(value) { " May be null." } else { "" };
            let always = is_required(schema, key);
            let null = if always { null } else { " Left out where there is none." };
            let fields = format!("{} {}", inner["properties"], inner["oneOf"]);
            let told = self.told.get(&fields).map(|told| format!(" Its fields are those of {told}."));
            let about = format!("{}{null}{}", about.unwrap_or_default(), told.as_deref().unwrap_or_default());
            self.roff.text(said(&about));
            if told.is_none() {
                self.told.insert(fields, format!("`{path}` in {}", self.section));
                self.object(inner, &path);
            }
        }
    }
}

fn is_required(schema: &Value, key: &str) -> bool {
    schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// The object that a value is, and whether it is one of many; `None` for a plain value.
fn object_in(value: &Value) -> Option<(&Value, bool)> {
    let value = some(value);
    if value["properties"].is_object() {
        return Some((value, false));
    }
    value["items"]["properties"].is_object().then(|| (&value["items"], true))
}

/// What a value is where it is not null.
fn some(value: &Value) -> &Value {
    let variants = value["anyOf"].as_array();
    variants.and_then(|all| all.iter().find(|one| one["type"] != "null")).unwrap_or(value)
}

fn is_nullable(value: &Value) -> bool {
    let null = |one: &Value| one == "null" || one["type"] == "null";
    let any = |key: &str| value[key].as_array().is_some_and(|all| all.iter().any(null));
    any("type") || any("anyOf")
}

/// The field, what it holds, and whether it may be null or missing.
fn heading(key: &str, value: &Value, always: bool) -> Vec<Inline> {
    let mut heading = vec![bold(key), roman("  "), italic(kind(value))];
    if is_nullable(value) {
        heading.push(roman(" or null"));
    }
    if !always {
        heading.push(roman(", left out where there is none"));
    }
    heading
}

fn kind(value: &Value) -> &'static str {
    let value = some(value);
    let of = |name: &str| match &value["type"] {
        Value::Array(all) => all.iter().any(|one| one == name),
        one => one == name,
    };
    match value["format"].as_str() {
        Some("date-time") => "time",
        _ if of("boolean") => "true or false",
        _ if of("integer") || of("number") => "number",
        _ if of("array") => "list of text",
        _ => "text",
    }
}

const ABOUT: [&str; 3] = [
    "With `--format json` a command writes one JSON document to its standard output, and nothing else there. But \
     `cnamed run` writes its log, as lines of JSON, to its standard error; `cnamed completions`, and `cnamed man` \
     without `--out`, write plain text. A time is in UTC (RFC 3339); an address and a name are text; what steers a \
     terminal is escaped.",
    "Every document but that of `cnamed config schema` has a `version`, 1 to this day. Under one version fields may be \
     added, in any place, and are never renamed or taken away; words may be added where a list of them is given here. \
     Where there is an `outcome`, the exit code says the same: see `cnamed`(1). Exit code 2 is `failed` there. Where \
     `cnamed history` and `cnamed config` have done their work, there is none, and the exit code is 0.",
    "A command that cannot do its work at all gives `version`, `outcome` and `error`, a text that ends in the next step. \
     `cnamed config check` gives `sound`, what it counted (`endpoints`, `accounts`, `records`) and its `warnings`; \
     `cnamed config show` the keys of the file; `cnamed init` the `path` that it wrote and the commands that come \
     `next`. What `cnamed demo`, `cnamed sandbox`, `cnamed man --out` and the log of `cnamed run` hold, this page \
     leaves out.",
];

const ROUND: &str = "Of `cnamed plan`, `sync`, `status`, `adopt`, `remove`, `teardown` and `undo`, and a part of what \
                     the service shows.";

const EXAMPLES: [(&str, &str); 3] = [
    (
        "cnamed plan --format json | jq -r '.changes[] | [.verb, .name, .account // \"azure\", .after] | @tsv'",
        "What would be done, a line each.",
    ),
    (
        "cnamed status --format json | jq -e '[.chains[]?.links[] | select(.state == \"broken\")] == []'",
        "Whether no chain is broken, as an exit code.",
    ),
    (
        "cnamed history --since 30d --format json | jq '[.entries[] | select(.kind == \"changed\")] | length'",
        "How often an address has changed in a month.",
    ),
];
