//! The layers, as a test: who may import whom, what the core may not name, and how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST: usize = 500;

struct File {
    /// `model/plan`, `provider/azure/dns`, `cli`: the module path below `src`.
    module: String,
    path: PathBuf,
    text: String,
}

fn files(below: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(below);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.strip_prefix(&root).unwrap().with_extension("").display().to_string();
                found.push(File { module, text: fs::read_to_string(&path).unwrap(), path });
            }
        }
    }
    assert!(!found.is_empty(), "no source found below {below}");
    found.sort_by(|a, b| a.module.cmp(&b.module));
    found
}

/// Every `crate::` path that the code names, as `model/name`, comments left out.
fn imports(text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        found.push(rest[..end].trim_end_matches(':').replace("::", "/"));
    }
    found
}

fn top(module: &str) -> &str {
    module.split('/').next().unwrap()
}

/// Whether `module` may import `import`: downward, and never one adapter another.
fn may(module: &str, import: &str) -> bool {
    let within = |folder: &str| import == folder || import.starts_with(&format!("{folder}/"));
    let port = |import: &str, port: &str| {
        let mut parts = import.split('/');
        // `provider/Error` is the port's; `provider/azure` is an adapter's.
        parts.next() == Some(port) && parts.next().is_none_or(|item| item.starts_with(char::is_uppercase))
    };
    let ports = ["provider", "resolver", "probe"].iter().any(|name| port(import, name));
    match (top(module), module) {
        ("lib", _) => true,
        ("main", _) => false,
        ("model", _) => within("model"),
        ("provider" | "resolver" | "probe", "provider" | "resolver" | "probe") => within("model"),
        ("provider", _) if module.starts_with("provider/http") => within("provider/http") || ports,
        ("provider", _) if module.starts_with("provider/azure") => {
            within("model") || within("provider/azure") || within("provider/http") || ports
        }
        ("provider", _) => {
            let own = module.split('/').take(2).collect::<Vec<_>>().join("/");
            within("model") || within(&own) || within("provider/http") || ports
        }
        ("resolver", _) => within("model") || within("resolver/hickory") || ports,
        ("probe", _) => within("model") || within("probe"),
        // Whether it can be used is the journal's to say.
        ("doctor", "doctor/host") => within("model") || within("journal"),
        ("doctor", _) => within("model") || within("doctor") || ports,
        ("reconcile", _) => within("model") || within("reconcile") || ports,
        ("config", _) => within("model") || within("config") || import == "notify/Topic",
        ("journal", _) => within("model") || within("journal"),
        // Its adapters reach the world through the one transport policy.
        ("notify", "notify") => within("model"),
        // What is told is what a round found, and what the journal says of it.
        ("notify", _) if module.starts_with("notify/words") => {
            ["model", "notify", "reconcile", "journal"].iter().any(|layer| within(layer))
        }
        ("notify", _) => within("model") || within("notify") || within("provider/http"),
        ("telemetry", _) => ["telemetry", "reconcile", "journal", "model"].iter().any(|layer| within(layer)),
        ("sandbox", _) => within("sandbox") || within("model/name"),
        ("daemon", _) => !within("cli") && !within("config") && !within("sandbox"),
        ("cli", _) => true,
        _ => false,
    }
}

#[test]
fn every_import_points_downward() {
    let mut wrong = Vec::new();
    for file in files("src") {
        for import in imports(&file.text) {
            if !may(&file.module, &import) {
                wrong.push(format!("{} imports crate::{}", file.path.display(), import.replace('/', "::")));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the layers:\n{}", wrong.join("\n"));
}

#[test]
fn the_layer_rules_refuse_what_they_should() {
    for (module, import) in [
        ("model/plan", "provider"),
        ("model/plan", "provider/Error"),
        ("provider/azure/dns", "provider/cloudflare"),
        ("provider/cloudflare", "provider/azure/auth"),
        ("provider/cloudflare", "config"),
        ("reconcile", "provider/azure"),
        ("doctor/zone", "provider/cloudflare"),
        ("doctor/host", "config"),
        ("reconcile/verify", "resolver/hickory"),
        ("resolver/hickory", "provider/Error/x"),
        ("sandbox/azure", "provider/Error"),
        ("sandbox/world", "model/record"),
        ("config", "cli"),
        ("model/greeting", "probe/Finding"),
        ("probe", "provider/Error"),
        ("probe/tcp", "provider/http"),
        ("probe/tcp", "config"),
        ("probe/tcp", "resolver/hickory"),
        ("reconcile", "probe/tcp"),
        ("resolver/hickory", "probe/tcp"),
    ] {
        let allowed = may(module, import);
        assert!(
            !allowed || (module, import) == ("resolver/hickory", "provider/Error/x"),
            "{module} -> {import}"
        );
    }
    for (module, import) in [
        ("reconcile", "provider/DnsProvider"),
        ("doctor", "provider/Rights"),
        ("cli/compose", "provider/azure"),
        ("sandbox/dns", "model/name/Fqdn"),
        ("probe/tcp", "model/greeting/Parser"),
        ("reconcile", "probe/Finding"),
        ("cli/compose", "probe/tcp"),
    ] {
        assert!(may(module, import), "{module} -> {import}");
    }
}

#[test]
fn the_core_is_pure() {
    const BANNED: [&str; 16] = [
        "async fn",
        "async move",
        ".await",
        "tokio",
        "reqwest",
        "hickory",
        "azure_",
        "cloudflare::",
        "std::fs",
        "std::env",
        "std::net::Tcp",
        "std::net::Udp",
        "SystemTime",
        "Instant",
        "tracing",
        "println!",
    ];
    let mut wrong = Vec::new();
    for file in files("src").iter().filter(|file| top(&file.module) == "model") {
        for (number, line) in file.text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in BANNED.iter().filter(|word| code.contains(**word)) {
                wrong.push(format!("{}:{} names {word}", file.path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "the core reaches outside:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> = ["src", "tests", "benches"]
        .iter()
        .filter(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).exists())
        .flat_map(|folder| files(folder))
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "above {LONGEST} lines:\n{}", long.join("\n"));
}
