//! `cnamed config check|show|schema`.

use super::args::{ConfigCommand, Global};
use super::compose;
use super::exit::Exit;
use super::output::{Output, Tone};
use crate::config;
use crate::model::plan::counted;

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
                    return output.json(&serde_json::json!({ "version": 1, "outcome": "sound" }));
                }
                output.text(&text);
                Exit::InSync
            }
            Err(exit) => exit,
        },
        ConfigCommand::Show => match compose::load_config(global, output) {
            Ok(config) => {
                output.text(&config.to_toml());
                Exit::InSync
            }
            Err(exit) => exit,
        },
    }
}
