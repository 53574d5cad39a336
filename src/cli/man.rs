//! `cnamed man`: the manual, made from what the program itself knows: its commands, and the schema of its file.
//!
//! Whoever packages it runs the binary that is packaged: `cnamed man --out DIRECTORY`. A build script would compile
//! the command line twice and put the pages where no packager finds them, and could describe another program than
//! the one beside them.

mod file;
mod json;

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use serde_json::Value;

use super::args::{Cli, ManArgs};
use super::exit::Exit;
use super::output::Output;
use crate::config;
use crate::model::plan::counted;
use crate::reconcile::round::VERSION;

pub(crate) fn run(args: &ManArgs, output: &Output) -> Exit {
    let Some(directory) = &args.out else {
        return match page(root()) {
            Ok(page) => output.bytes(&page),
            Err(error) => output.failure(&format!("could not write the manual page: {error}"), Exit::Failed),
        };
    };
    match write(directory) {
        Ok(pages) if output.is_json() => {
            output.json(&serde_json::json!({ "version": VERSION, "pages": pages }))
        }
        Ok(pages) => {
            output.text(&format!(
                "Wrote {} to {}; read one with `man -l FILE`.\n",
                counted(pages.len(), "manual page"),
                directory.display()
            ));
            Exit::InSync
        }
        Err(error) => output.failure(
            &format!("could not write the manual to {}: {error}", directory.display()),
            Exit::Failed,
        ),
    }
}

/// Writes every page, and returns their file names in the order of writing.
fn write(directory: &Path) -> io::Result<Vec<String>> {
    std::fs::create_dir_all(directory)?;
    let mut pages = Vec::new();
    let mut commands = vec![root()];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().filter(|below| !below.is_hide_set()).cloned());
        pages.push((Man::new(command.clone()).get_filename(), page(command)?));
    }
    pages.push((file::NAME.to_owned(), file::page(&config::schema())));
    pages.push((json::NAME.to_owned(), json::page()));
    pages.sort();
    for (name, page) in &pages {
        std::fs::write(directory.join(name), page)?;
    }
    Ok(pages.into_iter().map(|(name, _)| name).collect())
}

/// The command line, whole: each command knows what it is called with, and the options of all.
fn root() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// The page of one command, in section 1.
fn page(command: Command) -> io::Result<Vec<u8>> {
    let is_root = command.get_name() == "cnamed";
    let has_commands = command.has_subcommands();
    let man = Man::new(command);
    let mut page = title(man.get_filename().trim_end_matches(".1"), 1, "User commands").into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    let mut rest = Roff::new();
    if is_root {
        rest.control("SH", ["EXIT STATUS"]);
        for (exit, meaning) in EXITS {
            term(&mut rest, [bold(exit.code().to_string())], meaning);
        }
        rest.control("SH", ["FILES"]);
        for (path, meaning) in FILES {
            term(&mut rest, [italic(path)], meaning);
        }
    }
    rest.control("SH", ["SEE ALSO"]);
    let mut others = vec![reference("cnamed.toml", 5), reference("cnamed-json", 5)];
    if is_root {
        others.extend([reference("systemd.exec", 5), reference("systemctl", 1)]);
    } else {
        others.insert(0, reference("cnamed", 1));
    }
    rest.text(others.join(&roman(", ")));
    rest.to_writer(&mut page)?;
    Ok(page)
}

/// The head of a page. Written by hand, since an empty date is left out by the library, and the rest moves up a place;
/// there is none, so that the same source gives the same page on any day.
fn title(name: &str, section: u8, manual: &str) -> String {
    format!(".TH {name} {section} \"\" \"cnamed {}\" \"{manual}\"\n", env!("CARGO_PKG_VERSION"))
}

/// Another page, as manual pages refer to one.
fn reference(name: &str, section: u8) -> Vec<Inline> {
    vec![bold(name), roman(format!("({section})"))]
}

/// One entry of a list: what it is, and below it what is said of it.
fn term(page: &mut Roff, term: impl Into<Vec<Inline>>, meaning: &str) {
    page.control("TP", []);
    page.text(term);
    page.text(said(meaning));
}

/// The words that a value is one of, where it is not any.
fn choices(page: &mut Roff, value: &Value) {
    let Some(choices) = value["oneOf"].as_array() else {
        if let Some(words) = value["enum"].as_array() {
            let words: Vec<String> =
                words.iter().filter(|word| !word.is_null()).map(Value::to_string).collect();
            page.control("br", []);
            page.text([roman("One of "), bold(words.join(", ")), roman(".")]);
        }
        return;
    };
    page.control("RS", []);
    for choice in choices {
        let Some(word) = choice.get("const") else { continue };
        term(page, [bold(word.to_string())], choice["description"].as_str().unwrap_or_default());
    }
    page.control("RE", []);
}

/// Prose whose `code` is set in bold.
fn said(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(number, part)| if number % 2 == 1 { bold(part) } else { roman(part) }).collect()
}

const EXITS: [(Exit, &str); 7] = [
    (Exit::InSync, "In sync, or made so and verified."),
    (Exit::Failed, "Failed."),
    (Exit::Usage, "The command line or the configuration is at fault; nothing was done."),
    (Exit::Pending, "Changes are pending."),
    (Exit::Refused, "A guard refused."),
    (Exit::Unverified, "Applied, and not verified in time."),
    (Exit::Partial, "Some of it failed, or could not be confirmed."),
];

const FILES: [(&str, &str); 4] = [
    ("/etc/cnamed/cnamed.toml", "The configuration, unless `--config` or CNAMED_CONFIG names another file."),
    ("/etc/credstore/cnamed.cloudflare-token", "Where the systemd units look for this credential."),
    ("/etc/credstore/cnamed.azure-client-secret", "And for this one."),
    ("/var/lib/cnamed", "What the service remembers; `state.directory` names another place."),
];
