//! The shape of a file: its keys and types, held against the schema.
//!
//! What does not fit is reported and taken out, so that the rest can be read and checked further.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::diagnostic::{Report, listed, nearest};

/// Reports every key and value of `table` that does not fit `schema`, and removes it.
pub(super) fn check(table: &mut Spanned<DeTable<'_>>, schema: &Value, report: &mut Report) {
    let mut places = Vec::new();
    collect_places("", schema, &mut places);
    let span = table.span();
    Shape { root: schema, places, report }.table("", &span, table.get_mut(), schema);
}

/// Whether a key of this name holds a secret anywhere in the file.
pub(super) fn is_secret(key: &str, schema: &Value) -> bool {
    schema["properties"].as_object().is_some_and(|properties| {
        properties.iter().any(|(name, inner)| {
            let inner = inner.get("items").unwrap_or(inner);
            let withheld = inner["x-secret"] == true || inner["x-withheld"] == true;
            name == key && withheld || is_secret(key, inner)
        })
    })
}

/// Whether a key of this name stands anywhere in the file.
pub(super) fn is_known(key: &str, schema: &Value) -> bool {
    schema["properties"].as_object().is_some_and(|properties| {
        properties
            .iter()
            .any(|(name, inner)| name == key || is_known(key, inner.get("items").unwrap_or(inner)))
    })
}

struct Shape<'r> {
    /// The schema of the whole file.
    root: &'r Value,
    /// Every table's header and keys, to say where a misplaced key belongs.
    places: Vec<(String, Vec<String>)>,
    report: &'r mut Report,
}

impl Shape<'_> {
    fn table(&mut self, path: &str, span: &Range<usize>, table: &mut DeTable<'_>, schema: &Value) {
        for (key, mut value) in std::mem::replace(table, DeTable::new()) {
            let name = key.get_ref().as_ref();
            let keep = match (&schema["properties"][name], schema["properties"].as_object()) {
                (_, None) => self.value(path, name, &mut value, &schema["additionalProperties"]),
                (Value::Null, Some(known)) => {
                    let meant = self.unknown(path, &key, &value, known.keys().map(String::as_str));
                    self.report.drop_key(span, meant.unwrap_or(ANY));
                    false
                }
                (wanted, Some(_)) => self.value(path, name, &mut value, wanted),
            };
            if keep {
                table.insert(key, value);
            } else {
                self.report.drop_key(span, name);
            }
        }
        self.required(path, span, table, schema);
    }

    /// Reports the keys that must be there and are not.
    fn required(&mut self, path: &str, span: &Range<usize>, table: &DeTable<'_>, schema: &Value) {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let missing: Vec<&str> =
            required.filter(|key| !table.contains_key(*key) && !self.report.dropped(span, key)).collect();
        if missing.is_empty() {
            return;
        }
        let samples: Vec<_> =
            missing.iter().map(|key| sample(path, key, &schema["properties"][key])).collect();
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let problem = format!("{} {verb} missing {}", listed(missing, "and"), inside(path));
        self.report.mistake(span, problem, format!("add {}", samples.join(", ")));
    }

    /// Reports an unknown key and says which was meant, if that is clear.
    fn unknown<'k>(
        &mut self,
        path: &str,
        key: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        known: impl Iterator<Item = &'k str> + Clone,
    ) -> Option<&'k str> {
        let written = key.get_ref().as_ref();
        let meant = nearest(written, known.clone());
        let home = self.places.iter().find(|(_, keys)| keys.iter().any(|k| k == written));
        let remedy = match (meant, home) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, Some((home, _))) => format!("`{written}` belongs {home}"),
            (None, None) => format!("the keys here are {}", listed(known, "and")),
        };
        // Nobody knows what an unknown key holds, unless it is clear which was meant.
        if meant.or(home.map(|_| written)).is_none_or(|meant| is_secret(meant, self.root)) {
            self.blot(value);
        }
        self.report.mistake(&key.span(), format!("unknown key `{written}` {}", inside(path)), remedy);
        meant
    }

    /// Withholds every value within `value`.
    fn blot(&mut self, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => table.values().for_each(|inner| self.blot(inner)),
            DeValue::Array(array) => array.iter().for_each(|inner| self.blot(inner)),
            _ => self.report.blot(&value.span()),
        }
    }

    /// Whether the value fits.
    fn value(&mut self, path: &str, key: &str, value: &mut Spanned<DeValue<'_>>, schema: &Value) -> bool {
        let span = value.span();
        if schema["x-secret"] == true && !matches!(value.get_ref(), DeValue::Table(_)) {
            self.report.blot(&span);
            self.report.mistake(
                &span,
                format!("`{key}` is written in the file itself; a secret never is"),
                SECRET_REMEDY,
            );
            return false;
        }
        if let (true, DeValue::Table(table)) = (schema["x-secret"] == true, value.get_ref()) {
            // A reference is text; what is none may be the secret itself.
            table.values().filter(|inner| !matches!(inner.get_ref(), DeValue::String(_))).for_each(|inner| {
                self.blot(inner);
            });
        }
        let variants = schema["anyOf"].as_array();
        let fitting = |value: &DeValue<'_>| match variants {
            Some(variants) => variants.iter().find(|variant| fits(value, variant)),
            None => fits(value, schema).then_some(schema),
        };
        let Some(schema) = fitting(value.get_ref()) else {
            if schema["x-withheld"] == true {
                self.report.blot(&span);
            }
            let problem = format!("`{key}` is {}; it must be {}", found(value.get_ref()), wanted(schema));
            let remedy = if schema["items"]["type"] == "object" {
                format!("write {} before each one, with two brackets", sample(path, key, schema))
            } else {
                format!("write it as in {}", sample(path, key, schema))
            };
            self.report.mistake(&span, problem, remedy);
            return false;
        };
        let inner = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value.get_mut() {
            DeValue::Table(table) => {
                self.table(&inner, &span, table, schema);
                true
            }
            DeValue::Array(array) => {
                let header = if schema["items"]["type"] == "object" { format!("{inner}[]") } else { inner };
                let (list, mut kept) = (span, DeArray::new());
                for mut element in std::mem::replace(array, DeArray::new()) {
                    let span = element.span();
                    let keep = match element.get_mut() {
                        DeValue::Table(table) if schema["items"]["type"] == "object" => {
                            self.table(&header, &span, table, &schema["items"]);
                            true
                        }
                        _ => self.value(path, key, &mut element, &schema["items"]),
                    };
                    if keep {
                        kept.push(element);
                    } else {
                        self.report.drop_key(&list, ANY);
                    }
                }
                *array = kept;
                true
            }
            DeValue::String(text) => self.choice(key, text, &span, schema),
            DeValue::Integer(number) => {
                let number = i128::from_str_radix(number.as_str(), number.radix()).ok();
                self.range(key, number, &span, schema)
            }
            _ => true,
        }
    }

    fn choice(&mut self, key: &str, text: &str, span: &Range<usize>, schema: &Value) -> bool {
        let choices = choices(schema);
        if choices.is_empty() || choices.contains(&text) {
            return true;
        }
        let problem = format!("`{key}` cannot be \"{text}\"");
        if let Some(meant) = nearest(text, choices.iter().copied()) {
            self.report.mistake(span, problem, format!("did you mean \"{meant}\"?"));
            return false;
        }
        let remedy = format!("write one of {}", listed(choices, "or").replace('`', "\""));
        if schema["x-withheld"] == true {
            self.report.blot(span);
            self.report.mistake(span, format!("this is no `{key}`"), remedy);
        } else {
            self.report.mistake(span, problem, remedy);
        }
        false
    }

    fn range(&mut self, key: &str, number: Option<i128>, span: &Range<usize>, schema: &Value) -> bool {
        let bound = |name: &str| schema[name].as_i64().map(i128::from);
        let least = bound("minimum").unwrap_or(0);
        let greatest = bound("maximum").unwrap_or(i128::from(u32::MAX));
        if number.is_some_and(|number| (least..=greatest).contains(&number)) {
            return true;
        }
        let problem = format!("`{key}` is out of range");
        self.report.mistake(span, problem, format!("write a whole number from {least} to {greatest}"));
        false
    }
}

fn collect_places(path: &str, schema: &Value, places: &mut Vec<(String, Vec<String>)>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    if schema["x-secret"] == true {
        return;
    }
    let home = if path.is_empty() {
        "at the top of the file, before the first [table]".into()
    } else {
        inside(path)
    };
    places.push((home, properties.keys().cloned().collect()));
    for (key, inner) in properties {
        let inside = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match inner.get("items") {
            Some(items) => collect_places(&format!("{inside}[]"), items, places),
            None => collect_places(&inside, inner, places),
        }
    }
}

/// A table as a person finds it in the file. The path of an array's table ends in a bracket.
fn inside(path: &str) -> String {
    match path {
        "" => "at the top of the file".into(),
        _ if path.ends_with(']') => format!("in [[{}]]", bare(path)),
        _ => format!("in [{}]", bare(path)),
    }
}

fn bare(path: &str) -> String {
    path.replace(['[', ']'], "")
}

/// A line that would do: the schema's example, else its default.
fn sample(path: &str, key: &str, schema: &Value) -> String {
    let inner = || if path.is_empty() { key.to_owned() } else { format!("{}.{key}", bare(path)) };
    if schema["x-secret"] == true {
        return format!("{key} = {{ env = \"NAME\" }}");
    }
    if schema["items"]["type"] == "object" {
        return format!("[[{}]]", inner());
    }
    if schema["type"] == "object" {
        return format!("[{}]", inner());
    }
    let value = schema["examples"].get(0).or(schema.get("default"));
    let value = value.cloned().or_else(|| choices(schema).first().map(|choice| (*choice).into()));
    value.map_or_else(
        || format!("`{key}`"),
        |value| format!("{key} = {}", value.to_string().replace(",\"", ", \"")),
    )
}

fn choices(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let one_of = schema["oneOf"].as_array().into_iter().flatten();
    listed.chain(one_of.filter_map(|variant| variant["const"].as_str())).collect()
}

fn kind(schema: &Value) -> &str {
    schema["type"].as_str().unwrap_or(if schema["oneOf"].is_array() { "string" } else { "" })
}

fn fits(value: &DeValue<'_>, schema: &Value) -> bool {
    match value {
        DeValue::String(_) => kind(schema) == "string",
        DeValue::Integer(_) => kind(schema) == "integer",
        DeValue::Boolean(_) => kind(schema) == "boolean",
        DeValue::Array(_) => kind(schema) == "array",
        DeValue::Table(_) => kind(schema) == "object",
        DeValue::Float(_) | DeValue::Datetime(_) => false,
    }
}

fn wanted(schema: &Value) -> String {
    if let Some(variants) = schema["anyOf"].as_array() {
        return variants.iter().map(wanted).collect::<Vec<_>>().join(" or ");
    }
    match kind(schema) {
        "string" => "a string",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" if schema["items"]["type"] == "object" => "an array of tables",
        "array" => "a list",
        _ => "a table",
    }
    .into()
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Stands for whatever was dropped when nobody knows what was meant; no key is called so.
pub(super) const ANY: &str = "*";

const SECRET_REMEDY: &str =
    "write where it is: { env = \"NAME\" }, { file = \"/path\" } or { credential = \"name\" } (systemd)";
