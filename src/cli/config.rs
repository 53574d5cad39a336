//! `cnamed config check|show|schema`.

use serde_json::{Map, Value};

use super::args::{ConfigCommand, Global};
use super::compose;
use super::exit::Exit;
use super::output::{Output, Tone};
use crate::config;
use crate::model::plan::counted;
use crate::reconcile::round::VERSION;

pub(crate) fn run(global: &Global, command: ConfigCommand, output: &Output) -> Exit {
    match command {
        ConfigCommand::Schema => output.json(&config::schema()),
        ConfigCommand::Check => match compose::load_config(global, output) {
            Ok(config) => {
                let text = format!(
                    "{}: {} names {}, {} and {}.\n",
                    Tone::Good.paint("Sound"),
                    global.config.display(),
                    counted(config.endpoints.len(), "endpoint"),
                    counted(config.accounts.len(), "account"),
                    counted(config.records.len(), "record")
                );
                if output.is_json() {
                    return output.json(&serde_json::json!({
                        "version": VERSION,
                        "sound": true,
                        "endpoints": config.endpoints.len(),
                        "accounts": config.accounts.len(),
                        "records": config.records.len(),
                        "warnings": config.warnings,
                    }));
                }
                output.text(&text);
                Exit::InSync
            }
            Err(exit) => exit,
        },
        ConfigCommand::Show => match compose::load_config(global, output) {
            Ok(config) if output.is_json() => match as_json(&config.to_toml()) {
                Ok(shown) => output.json(&shown),
                Err(error) => output.failure(&format!("could not write JSON: {error}"), Exit::Failed),
            },
            // As it is: a line that is folded at the width of a terminal is no TOML any more.
            Ok(config) => output.bytes(config.to_toml().as_bytes()),
            Err(exit) => exit,
        },
    }
}

/// The keys of the file as JSON, and the contract's `version` beside them, which is no key of the file.
fn as_json(shown: &str) -> Result<Map<String, Value>, toml::de::Error> {
    let mut keys: Map<String, Value> = toml::from_str(shown)?;
    keys.insert("version".to_owned(), VERSION.into());
    Ok(keys)
}
