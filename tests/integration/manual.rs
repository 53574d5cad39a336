//! `cnamed-json(5)` against what is really told: no field, at any depth, that the manual does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Cloud;

/// The page, taken apart: by section and path, the fields, and where else they are listed.
pub(crate) struct Manual(BTreeMap<(String, String), Place>);

#[derive(Default)]
struct Place {
    fields: BTreeSet<String>,
    see: Option<(String, String)>,
}

impl Manual {
    pub(crate) fn read() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnamed"));
        assert!(command.args(["man", "--out"]).arg(folder.path()).output().unwrap().status.success());
        let page = std::fs::read_to_string(folder.path().join("cnamed-json.5")).unwrap();
        let page = ["\\fB", "\\fI", "\\fR", "\""].iter().fold(page, |page, font| page.replace(font, ""));
        let (mut places, mut at) = (BTreeMap::<_, Place>::new(), (String::new(), String::new()));
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            if let Some(section) = line.strip_prefix(".SH ") {
                at = (section.to_owned(), String::new());
            } else if let Some(path) = line.strip_prefix(".SS ") {
                // The fields of one kind of entry, and the word that tells the kind.
                let (path, kind) = path.split_once(" where ").unwrap_or((path, ""));
                at.1 = path.to_owned();
                let tag = kind.split_once(" is ").map(|(tag, _)| tag.to_owned());
                places.entry(at.clone()).or_default().fields.extend(tag);
            } else if line == ".TP" {
                let field = lines.next().and_then(|line| line.split_whitespace().next()).unwrap();
                places.entry(at.clone()).or_default().fields.insert(field.to_owned());
            } else if let Some((_, see)) = line.split_once("Its fields are those of ") {
                let (path, section) = see.trim_end_matches('.').split_once(" in ").unwrap();
                places.entry(at.clone()).or_default().see = Some((section.to_owned(), path.to_owned()));
            }
        }
        Self(places)
    }

    /// Fails for the first field of `told` that is not in the manual's `section`.
    #[track_caller]
    pub(crate) fn has(&self, section: &str, told: &Value) {
        self.has_at((section.to_owned(), String::new()), told);
    }

    #[track_caller]
    fn has_at(&self, at: (String, String), told: &Value) {
        let place = self.0.get(&at).unwrap_or_else(|| panic!("{at:?} is nowhere"));
        if let Some(elsewhere) = &place.see {
            return self.has_at(elsewhere.clone(), told);
        }
        for (key, value) in told.as_object().unwrap() {
            match value {
                Value::Object(_) => self.has_at((at.0.clone(), format!("{}.{key}", at.1)), value),
                Value::Array(all) if all.iter().any(Value::is_object) => {
                    all.iter().for_each(|one| self.has_at((at.0.clone(), format!("{}.{key}[]", at.1)), one));
                }
                // What holds nothing now may be a list of objects, or one that is not there.
                Value::Array(all) if all.is_empty() => {}
                Value::Null => {}
                _ => assert!(place.fields.contains(key), "{key} is not in {at:?}: {:?}", place.fields),
            }
        }
    }
}

#[tokio::test]
async fn the_manual_has_every_field_that_commands_tell_programs() {
    let manual = Manual::read();
    let cloud = Cloud::with(|options| (options.gateway, options.syslog) = (true, true)).await;
    std::fs::create_dir(cloud.folder.path().join("state")).unwrap();
    cloud.append("\n[http]\nlisten = \"127.0.0.1:0\"\n");
    cloud.replace("[verify]", "[verify]\ntimeout = \"2s\"");
    for (arguments, section, code) in [
        (&["plan"][..], "A ROUND", 3),
        (&["sync", "--verify"], "A ROUND", 0),
        (&["status"], "A ROUND", 0),
        (&["history"], "THE HISTORY", 0),
        (&["doctor"], "A CHECK-UP", 0),
        (&["threats"], "FAILED LOGONS", 0),
    ] {
        let arguments = [arguments, &["--format", "json"]].concat();
        let told = cloud.run(&arguments).await.exits(code).json();
        assert!(
            told.as_object()
                .unwrap()
                .values()
                .any(|value| value.as_array().is_some_and(|all| !all.is_empty()))
        );
        manual.has(section, &told);
    }
}

#[test]
#[should_panic(expected = "colour is not in")]
fn a_field_that_is_not_there_is_missed() {
    let change = json!({"kind": "record", "colour": "red"});
    Manual::read().has("A ROUND", &json!({"version": 1, "changes": [change]}));
}
