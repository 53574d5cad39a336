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
    notices(&mut page);
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

/// What `events` chooses from, and how commands and webhooks get it.
fn notices(page: &mut Roff) {
    page.control("SH", ["NOTICES"]);
    page.text(said(EVENTS));
    for (word, meaning) in TOPICS {
        term(page, [bold(word)], meaning);
    }
    page.control("PP", []);
    page.text(said(COMMAND));
    for (variable, meaning) in VARIABLES {
        term(page, [bold(variable)], meaning);
    }
    for paragraph in [EXITS, WEBHOOK] {
        page.control("PP", []);
        page.text(said(paragraph));
    }
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

const ABOUT: [&str; 4] = [
    "A TOML file. Tables in double brackets may be there many times. Relative paths are relative to the file. A time \
     span is text such as \"90s\" or \"6h\", from 100ms to 7d.",
    "Keys that are not listed here are errors. `cnamed config check` reports every mistake at once, with line and \
     column; `cnamed config show` prints the configuration with every default written out; `cnamed config schema` \
     prints the JSON Schema that this page is made from, for editors.",
    "SIGHUP, which `systemctl reload` sends, has the service read the file anew, but for `[http]` and `[state]`, which \
     hold until it is restarted. If the file has a mistake, or a provider's secret or the file of `tls.extra_ca` cannot \
     be read, the old configuration stays, and the log and the status page say why.",
    "Outgoing HTTP goes through the proxy that HTTPS_PROXY in the environment names, but for what NO_PROXY names, \
     loopback and the metadata service. A file with every key is in /usr/share/doc/cnamed/examples.",
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

const EVENTS: &str = "The words of `events` in `[[notify]]`:";

const TOPICS: [(&str, &str); 7] = [
    (
        "address",
        "An endpoint's address or label: released, assigned, changed, deleted, made anew, moved, taken by somebody \
         else.",
    ),
    ("change", "Something was written."),
    ("failure", "Something could not be read; a change failed or could not be confirmed."),
    ("refusal", "A guard refused something."),
    (
        "unverified",
        "Name servers say something else or do not answer, a link of the way is broken, a port leads to nobody.",
    ),
    ("recovery", "What was told as failure, refusal or unverified is over."),
    (
        "service",
        "Something does not work about the service itself, or works again: a configuration that was not taken, a \
         journal that cannot be written or was damaged, a secret that could not be read anew, a notifier that cannot be \
         told anything.",
    ),
];

const COMMAND: &str = "A `command` finds the notice on its standard input, as the JSON that a webhook gets, and in its \
                       environment. Of the service's own environment only PATH, HOME and LANG remain. What a notice \
                       has not is empty:";

const VARIABLES: [(&str, &str); 10] = [
    ("CNAMED_TOPIC", "One of the words above, or `test`."),
    ("CNAMED_SUBJECT", "What it concerns: an endpoint, a resource, a record, an account or a notifier."),
    ("CNAMED_TITLE", "One line."),
    ("CNAMED_DETAILS", "More lines, each a sentence of its own."),
    ("CNAMED_BEFORE", "What stood there."),
    ("CNAMED_AFTER", "What stands there now."),
    ("CNAMED_OWNER", "The instance that tells it: `owner`."),
    ("CNAMED_AT", "When, in UTC (RFC 3339)."),
    ("CNAMED_REPEATS", "How often the same was noticed and not told since it was told last."),
    ("CNAMED_NEXT_STEP", "What to do next."),
];

const EXITS: &str = "Exit code 0 says that the notice arrived; 75 asks to be run again later, with the same notice. \
                     After any other it is given up. So it is at the end of `timeout`, when the command is killed with \
                     everything that it has begun.";

const WEBHOOK: &str = "A `webhook` gets an object with `version`, 1 to this day, and the same as above: `at`, `topic`, \
                       `owner`, `subject`, `title`, `before`, `after`, `details` (a list), `next_step` and `repeats` \
                       (a number). `before`, `after` and `next_step` are null where there is none. The header \
                       X-Cnamed-Delivery is the same whenever the same notice is sent again. With a `secret`, \
                       X-Cnamed-Signature is `sha256=` and the HMAC-SHA256 of the body in hexadecimal.";
