//! Secrets: fetched on request, never printed.

use std::path::Path;

use cnamed::config::{Config, Environment, SecretRef};
use secrecy::ExposeSecret;

use super::{EXAMPLE, MINIMAL, uncommented};

const CANARY: &str = "CANARY-4711";

fn nothing() -> Environment {
    Environment::of::<&str, &str>([])
}

#[test]
fn a_secret_is_read_from_where_the_reference_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{CANARY}\r\n")).unwrap();
    let environment =
        Environment::of([("TOKEN", CANARY), ("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())]);
    for reference in
        [SecretRef::Env("TOKEN".into()), SecretRef::File(path.clone()), SecretRef::Credential("token".into())]
    {
        let secret = reference.read(&environment).unwrap();
        assert_eq!(secret.expose_secret(), CANARY, "{reference}");
        assert!(!format!("{secret:?} {reference:?} {reference}").contains(CANARY));
    }
    std::fs::write(&path, "rotated").unwrap();
    assert_eq!(SecretRef::File(path).read(&environment).unwrap().expose_secret(), "rotated");
}

#[test]
fn only_the_end_of_the_line_is_trimmed() {
    let environment = Environment::of([("SPACED", " a b \n")]);
    assert_eq!(SecretRef::Env("SPACED".into()).read(&environment).unwrap().expose_secret(), " a b ");
}

#[test]
fn a_missing_secret_is_named_by_its_reference() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, " \n").unwrap();
    let binary = folder.path().join("binary");
    std::fs::write(&binary, b"CANARY-4711\xff").unwrap();
    let told = |reference: SecretRef, environment: &Environment| {
        let error = reference.read(environment).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains(CANARY), "{told}");
        error.to_string()
    };
    assert_eq!(told(SecretRef::Env("T".into()), &nothing()), "the environment variable T is not set");
    assert_eq!(
        told(SecretRef::Env("T".into()), &Environment::of([("T", "\n")])),
        "the environment variable T is empty"
    );
    assert!(told(SecretRef::File(empty), &nothing()).ends_with("is empty"));
    assert!(
        told(SecretRef::File("/nowhere".into()), &nothing()).starts_with("could not read the file /nowhere")
    );
    assert!(told(SecretRef::File(binary), &nothing()).starts_with("could not read"));
    assert!(
        told(SecretRef::Credential("t".into()), &nothing()).contains("$CREDENTIALS_DIRECTORY is not set")
    );
    assert!(SecretRef::Env("T".into()).path(&nothing()).is_err());
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_everybody_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, CANARY).unwrap();
    let config = folder.path().join("cnamed.toml");
    std::fs::write(&config, MINIMAL.replace("{ env = \"CLOUDFLARE_API_TOKEN\" }", "{ file = \"token\" }"))
        .unwrap();
    let warnings = |mode: u32| {
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
        Config::load(&config).unwrap().warnings
    };
    assert_eq!(warnings(0o600), []);
    assert_eq!(warnings(0o640), []);
    let open = warnings(0o644);
    assert_eq!(open.len(), 1);
    let told = open[0].to_string();
    assert!(told.contains("can be read by every user") && told.contains("chmod 600"), "{told}");
}

/// Everything that a configuration can be turned into.
fn rendered(config: &Config) -> String {
    let secrets: Vec<_> = config.secrets().collect();
    let json = serde_json::to_string(&secrets).unwrap();
    let warnings = serde_json::to_string(&config.warnings).unwrap();
    format!("{config:?} {config:#?} {} {json} {warnings} {:?}", config.to_toml(), Environment::process())
}

#[test]
fn a_secret_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, CANARY).unwrap();
    let text = uncommented(EXAMPLE)
        .replace("{ env = \"CLOUDFLARE_API_TOKEN\" }", &format!("{{ file = \"{}\" }}", file.display()))
        .replace("/etc/cnamed/webhook-url", &file.display().to_string())
        .replace("/etc/cnamed/webhook-secret", &file.display().to_string())
        .replace("credential = \"default\"", "credential = \"client-secret\"");
    let path = folder.path().join("cnamed.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    let environment = Environment::of([("AZURE_CLIENT_SECRET", CANARY)]);
    for secret in config.secrets() {
        assert_eq!(secret.read(&environment).unwrap().expose_secret(), CANARY);
    }
    assert_eq!(config.secrets().count(), 4);
    let rendered = rendered(&config) + &format!("{environment:?}");
    assert!(!rendered.contains(CANARY), "{rendered}");
    assert!(rendered.contains("AZURE_CLIENT_SECRET"), "the reference is shown");
}

/// Wherever a reference belongs, a literal in its place is refused and withheld, however it is written.
#[test]
fn a_literal_secret_is_refused_and_withheld() {
    let text = uncommented(EXAMPLE);
    let places: Vec<&str> = (text.lines())
        .filter(|line| {
            !line.starts_with('#')
                && ["{ env =", "{ file =", "{ credential ="].iter().any(|at| line.contains(at))
        })
        .collect();
    assert_eq!(places.len(), 6, "{places:?}");
    for line in places {
        let key = line.split(" = ").next().unwrap();
        for literal in [
            format!("{key} = \"{CANARY}\""),
            format!("{key} = '''{CANARY}'''"),
            format!("{key} = [\"{CANARY}\"]"),
            format!("{key} = \"\"\"\n{CANARY}\"\"\""),
            format!("{key} = {{ value = \"{CANARY}\" }}"),
            format!("{key} = {{ env = \"{CANARY} {CANARY}\" }}"),
            format!("{key} = {{ env = \"{CANARY}\" }}"),
            format!("{key} = {{ env = \"0CANARY\" }}"),
            format!("{key} = {{ env = \"CANARYxy9kQ2b7LmNpR4tVw\" }}"),
            format!("{key} = {{ env = [\"{CANARY}\"] }}"),
            format!("{key} = {{ env = {{ value = \"{CANARY}\" }} }}"),
            format!("{key} = {{ file = [\"{CANARY}\"] }}"),
            format!("{key} = {{ credential = [\"{CANARY}\"] }}"),
            format!("{key} = \"{CANARY}"),
            format!("{key} = {CANARY} {CANARY}"),
            format!("{key}_ = \"{CANARY}\""),
            format!("{key}.value = \"{CANARY}\""),
            format!("unknown.{key} = \"{CANARY}\""),
            format!("api_key = \"{CANARY}\""),
            format!("{key} = \"{CANARY}\" nonsense"),
            format!("\"{key}\" = {{ env = 1, x = \"{CANARY}\""),
        ] {
            let mistakes = Config::parse(&text.replacen(line, &literal, 1), "cnamed.toml").unwrap_err();
            let json = serde_json::to_string(&mistakes).unwrap();
            let told = format!("{mistakes} {mistakes:?} {json}");
            assert!(!told.contains("CANARY"), "{literal}\n{told}");
        }
        let bare = text.replacen(line, &format!("{key} = \"{CANARY}\""), 1);
        let told = Config::parse(&bare, "cnamed.toml").unwrap_err().to_string();
        assert!(told.contains("{ env = \"NAME\" }") && told.contains("[withheld]"), "{told}");
    }
}

#[test]
fn a_secret_beside_a_mistake_is_withheld() {
    for line in [
        format!(
            "account = [{{ name = \"cf\", provider = \"cloudflare\", token = \"{CANARY}\", bogus = 1 }}]"
        ),
        format!("azure = {{ subscription = 1, client_secret = \"{CANARY}\" }}"),
        format!("azure = {{ subscription = 1, client_secret = \"{CANARY} }}"),
        format!("[azure]\ncredential = \"{CANARY}\""),
        format!("[[account]]\ncredential = \"{CANARY}\""),
        format!("[[account]]\napi = \"https://me:{CANARY}@example.com\"\nprovider = \"cloudflare\""),
        format!("unknown = [\"{CANARY}\", {{ token = \"{CANARY}\" }}]"),
    ] {
        let told = Config::parse(&line, "cnamed.toml").unwrap_err().to_string();
        assert!(!told.contains(CANARY), "{told}");
    }
    let latin1 = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(latin1.path(), b"token = \"CANARY-4711\xfc\"\n").unwrap();
    let told = Config::load(latin1.path()).unwrap_err().to_string();
    assert!(!told.contains(CANARY) && told.contains("not UTF-8"), "{told}");
    assert!(!Path::new(latin1.path()).ends_with(CANARY));
}
