//! Single values: text that becomes what it means.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::Build;
use crate::config::at::At;
use crate::config::diagnostic::nearest;
use crate::config::file::SecretFile;
use crate::config::shape::ANY;
use crate::config::{NameServer, SecretRef, defaults};
use crate::model::endpoint::Handle;

impl Build<'_> {
    /// What `parse` makes of a text, or its error as a mistake.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        text: &At<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
        remedy: &str,
    ) -> Option<T> {
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report.mistake(&text.span, error.to_string(), remedy);
                None
            }
        }
    }

    pub(super) fn handle(&mut self, text: &At<String>) -> Option<Handle> {
        self.parsed(text, Handle::parse, "choose another name, here and where it is referred to")
    }

    /// A list with at least one element; every element that is wrong is reported.
    pub(super) fn list<T, E: Display>(
        &mut self,
        key: &str,
        list: &At<Vec<At<String>>>,
        parse: impl Fn(&str) -> Result<T, E>,
        remedy: &str,
    ) -> Option<Vec<T>> {
        if list.value.is_empty() && !self.report.dropped(&list.span, ANY) {
            self.report.mistake(
                &list.span,
                format!("`{key}` is empty"),
                "name at least one, or leave the key out",
            );
        }
        let parsed: Vec<_> = list.value.iter().map(|text| self.parsed(text, &parse, remedy)).collect();
        parsed.into_iter().collect::<Option<Vec<_>>>().filter(|list| !list.is_empty())
    }

    /// Name servers; absent is none.
    pub(super) fn servers(
        &mut self,
        key: &str,
        list: Option<&At<Vec<At<String>>>>,
    ) -> Option<Vec<NameServer>> {
        let remedy =
            "write an address or a name, with :port where it is not 53; IPv6 with a port as [::1]:5353";
        match list {
            Some(list) => self.list(key, list, str::parse, remedy),
            None => Some(Vec::new()),
        }
    }

    pub(super) fn duration(
        &mut self,
        key: &str,
        text: Option<&At<String>>,
        default: Duration,
    ) -> Option<Duration> {
        let Some(text) = text else { return Some(default) };
        let parse = |written: &str| match humantime::parse_duration(written) {
            Err(_) => Err(format!("`{key}` is \"{written}\", which is not a time span")),
            Ok(span) if span < SHORTEST => {
                Err(format!("`{key}` of \"{written}\" is too short; 100ms is the least"))
            }
            Ok(span) if span > LONGEST => {
                Err(format!("`{key}` of \"{written}\" is too long; 7d is the most"))
            }
            Ok(span) => Ok(span),
        };
        self.parsed(text, parse, &format!("write it as in {key} = \"{}\"", defaults::text(default)))
    }

    /// A path, relative to the file that it is written in.
    pub(super) fn path(&mut self, key: &str, path: At<PathBuf>) -> Option<PathBuf> {
        if path.value.as_os_str().is_empty() {
            self.report.mistake(
                &path.span,
                format!("`{key}` is an empty path"),
                "write a path, or leave the key out",
            );
            return None;
        }
        Some(match self.base {
            Some(base) => base.join(path.value),
            None => path.value,
        })
    }

    pub(super) fn secret(&mut self, key: &str, secret: &At<SecretFile>) -> Option<SecretRef> {
        match secret.value.clone() {
            SecretFile { env: Some(name), file: None, credential: None } => {
                let rule = |text: &str| {
                    let fits = is_variable(text) && !is_secret_itself(text);
                    fits.then(|| SecretRef::Env(text.to_owned())).ok_or("this is not a variable's name")
                };
                self.blotted(&name, rule, "write the name of an environment variable, never its value")
            }
            SecretFile { env: None, file: Some(path), credential: None } => {
                self.path("file", path).map(SecretRef::File)
            }
            SecretFile { env: None, file: None, credential: Some(name) } => {
                let rule = |text: &str| {
                    let fits = !text.is_empty()
                        && text != "."
                        && text != ".."
                        && !text.contains(['/', ':', '\0'])
                        && !is_secret_itself(text);
                    fits.then(|| SecretRef::Credential(text.to_owned()))
                        .ok_or("this is not a credential's name")
                };
                self.blotted(&name, rule, "write the name that LoadCredential= gives it")
            }
            SecretFile { env: None, file: None, credential: None } => {
                if ["env", "file", "credential", ANY].iter().any(|key| self.report.dropped(&secret.span, key))
                {
                    return None;
                }
                let problem = format!("`{key}` does not say where the secret is");
                self.report.mistake(&secret.span, problem, "write one of `env`, `file` and `credential`");
                None
            }
            SecretFile { env, file: _, credential } => {
                let names = [env, credential].into_iter().flatten();
                names
                    .filter(|name| !is_variable(&name.value) || is_secret_itself(&name.value))
                    .for_each(|name| self.report.blot(&name.span));
                let problem = format!("`{key}` says more than one place for the secret");
                self.report.mistake(&secret.span, problem, "keep one of `env`, `file` and `credential`");
                None
            }
        }
    }

    /// As [`Build::parsed`], for text that may be a secret put in the wrong place.
    pub(super) fn blotted<T, E: Display>(
        &mut self,
        text: &At<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
        remedy: &str,
    ) -> Option<T> {
        let parsed = self.parsed(text, parse, remedy);
        if parsed.is_none() {
            self.report.blot(&text.span);
        }
        parsed
    }

    /// Reports a second use of what may be used once.
    pub(super) fn duplicate(&mut self, again: &At<String>, first: &At<String>, what: &str) {
        let line = self.source.line(first.span.start);
        let problem = format!("{what} \"{}\" is there already, on line {line}", again.value);
        self.report.mistake(&again.span, problem, "rename one of them or take one out");
    }
}

/// Whether `text` can be the name of an environment variable (POSIX.1-2017, 8.1, with the lower-case letters that it
/// leaves to applications).
fn is_variable(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether `text` looks like a secret in the place of its name: long, and of letters as no name is made of them. Names are
/// shown in messages, so that whatever may be none is turned away.
fn is_secret_itself(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let unparted = has(u8::is_ascii_digit) && !has(|b| b"_-.".contains(b));
    text.len() >= LONG && (mixed || unparted)
}

/// A GUID, as Azure writes subscriptions: five groups of hexadecimal digits.
pub(super) fn guid(text: &str) -> Result<String, String> {
    let fits = text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
    fits.then(|| text.to_ascii_lowercase()).ok_or_else(|| format!("\"{text}\" is not a subscription's id"))
}

/// A resource group: 1 to 90 letters, digits and `_ ( ) - .`, not ending in a period (Azure's naming rules).
pub(super) fn resource_group(text: &str) -> Result<String, String> {
    let fits = (1..=90).contains(&text.chars().count())
        && !text.ends_with('.')
        && text.chars().all(|c| c.is_alphanumeric() || "_()-.".contains(c));
    fits.then(|| text.to_owned()).ok_or_else(|| format!("\"{text}\" is not a resource group's name"))
}

/// A network resource: 1 to 80 letters, digits and `_ . -`, from a letter or digit to a letter, digit or `_`
/// (Azure's naming rules).
pub(super) fn resource(text: &str) -> Result<String, String> {
    let fits = text.len() <= 80
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    fits.then(|| text.to_owned()).ok_or_else(|| format!("\"{text}\" is not the name of a network resource"))
}

/// A network resource of a kind such as `networkInterfaces`, by name or by its whole id.
pub(super) fn resource_or_id(text: &str, kind: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return resource(text);
    }
    let parts: Vec<&str> = text.split('/').collect();
    let fits = match parts.as_slice() {
        ["", subscriptions, id, groups, group, providers, namespace, found, name] => {
            subscriptions.eq_ignore_ascii_case("subscriptions")
                && guid(id).is_ok()
                && groups.eq_ignore_ascii_case("resourceGroups")
                && resource_group(group).is_ok()
                && providers.eq_ignore_ascii_case("providers")
                && namespace.eq_ignore_ascii_case("Microsoft.Network")
                && found.eq_ignore_ascii_case(kind)
                && resource(name).is_ok()
        }
        _ => false,
    };
    fits.then(|| text.to_owned()).ok_or_else(|| format!("\"{text}\" is not the resource id of one of {kind}"))
}

/// A region as resources carry it: `West Europe` is `westeurope`.
pub(super) fn location(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    fits.then(|| text.to_owned())
        .ok_or_else(|| format!("\"{text}\" is not a region's name as resources carry it"))
}

/// The remedy for a reference to nothing.
pub(super) fn instead<'k>(
    written: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    table: &str,
) -> String {
    match nearest(written, known.clone()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None if known.clone().next().is_none() => format!("add {table} with that name"),
        None => {
            let names: Vec<_> = known.map(|name| format!("\"{name}\"")).collect();
            format!("there is only {}", names.join(", "))
        }
    }
}

/// Shorter spans would ask providers more often than any of them allows.
const SHORTEST: Duration = Duration::from_millis(100);
/// Longer ones are mistakes of unit.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// From here on a name of mixed case or with digits and nothing between its words is taken for a secret.
const LONG: usize = 20;
