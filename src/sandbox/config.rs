//! The ready configuration: what `cnamed` needs to be told to work against the sandbox.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::azure::LABEL_SUFFIX;
use super::azure::log_analytics::AUDIENCE;
use super::azure::seed::{
    DNS_GROUP, LOCATION, NETWORK_GROUP, SUBSCRIPTION, TENANT, WORKSPACE_ID, WRITER, WRITER_SECRET, ZONE,
};
use super::clock::Clock;
use super::{Addresses, CLOUDFLARE_TOKENS};

/// What the configuration depends on besides addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) gateway: bool,
    pub(crate) clock: Clock,
}

/// The configuration's text, for files kept in `directory`.
pub(crate) fn text(addresses: &Addresses, setup: Setup, directory: &Path) -> String {
    let Setup { gateway, clock } = setup;
    let file = |name: &str| quoted(&directory.join(name).display().to_string());
    let servers = |servers: &[SocketAddr]| {
        servers.iter().map(|server| format!("\"{server}\"")).collect::<Vec<_>>().join(", ")
    };
    let one = |server: Option<SocketAddr>| servers(server.as_slice());
    let mut text = String::new();
    let _ = write!(
        text,
        r#"# A sandbox cloud on loopback. It lives as long as the process that wrote this file.
owner = "demo"

[azure]
subscription = "{SUBSCRIPTION}"
cloud = "custom"
resource_manager = "{arm}"
authority = "{authority}"
audience = "{arm}"
label_suffix = "{LABEL_SUFFIX}"
credential = "client-secret"
tenant = "{TENANT}"
client_id = "{WRITER}"
client_secret = {{ file = {azure_secret} }}

[[endpoint]]
name = "jump"
resource_group = "{NETWORK_GROUP}"
location = "{LOCATION}"
public_ip = "pip-jump"
label = "contoso-jump"
{gateway}
[[account]]
name = "azure"
provider = "azure-dns"
resource_group = "{DNS_GROUP}"
name_servers = [{azure_dns}]

[[account]]
name = "cf"
provider = "cloudflare"
token = {{ file = {cloudflare_secret} }}
api = "{cloudflare}"
name_servers = [{cloudflare_dns}]

[[record]]
name = "jumpstation.{ZONE}"
endpoint = "jump"
accounts = ["azure", "cf"]
ttl = 30

[verify]
resolvers = [{recursive}]
label_servers = [{label}]
{proxy}
{watch}[state]
directory = {state}

[tls]
extra_ca = {ca}

[threats]
workspace = "{WORKSPACE_ID}"
api = "{log_analytics}"
audience = "{AUDIENCE}"
"#,
        gateway = if gateway { GATEWAY } else { "" },
        proxy =
            if gateway { format!("proxy = \"socks5://{}\"\n", addresses.internet) } else { String::new() },
        watch = watch(clock),
        arm = addresses.resource_manager,
        authority = addresses.authority,
        cloudflare = addresses.cloudflare,
        log_analytics = addresses.log_analytics,
        azure_secret = file(AZURE_SECRET),
        cloudflare_secret = file(CLOUDFLARE_SECRET),
        azure_dns = servers(&addresses.azure_dns),
        cloudflare_dns = servers(&addresses.cloudflare_dns),
        recursive = one(addresses.recursive_dns),
        label = one(addresses.label_dns),
        state = file("state"),
        ca = file(CA),
    );
    text
}

/// How often to look, where the usual is too seldom: as often in the world's time as that is in everybody's. Rounds come
/// once a second at most: a round lists each zone, and a client that keeps to Azure's sixty lists a minute counts them
/// by its own clock. The label may be looked at as often as a configuration may ask for.
fn watch(clock: Clock) -> String {
    if clock.speed() == 1 {
        return String::new();
    }
    let pause = |usual: Duration, least| clock.outside(usual).max(least).as_millis();
    let (interval, label) = (pause(INTERVAL, LEAST_INTERVAL), pause(LABEL_INTERVAL, LEAST_LABEL_INTERVAL));
    format!("[watch]\ninterval = \"{interval}ms\"\nlabel_interval = \"{label}ms\"\n\n")
}

/// Writes the configuration and the files that it names; gives its path.
pub(crate) fn write(
    addresses: &Addresses,
    setup: Setup,
    ca_pem: &str,
    directory: &Path,
) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    // Relative paths in a configuration would be read against somebody else's working directory.
    let directory = directory.canonicalize()?;
    fs::write(directory.join(CA), ca_pem)?;
    secret(&directory.join(AZURE_SECRET), WRITER_SECRET)?;
    secret(&directory.join(CLOUDFLARE_SECRET), CLOUDFLARE_TOKENS.good)?;
    let path = directory.join("cnamed.toml");
    fs::write(&path, text(addresses, setup, &directory))?;
    // Other clients begin when it appears, so it appears last and whole.
    let (draft, details) = (directory.join(".sandbox.json"), directory.join("sandbox.json"));
    fs::write(&draft, format!("{:#}\n", facts(addresses)))?;
    fs::rename(draft, details)?;
    Ok(path)
}

/// What any other client needs to be told to work against the sandbox.
fn facts(addresses: &Addresses) -> Value {
    json!({
        "arm": addresses.resource_manager,
        "authority": addresses.authority,
        "log_analytics": addresses.log_analytics,
        "cloudflare": addresses.cloudflare,
        "control": addresses.control,
        "dns": {
            "azure": addresses.azure_dns,
            "cloudflare": addresses.cloudflare_dns,
            "label": addresses.label_dns,
            "recursive": addresses.recursive_dns,
        },
        "internet": addresses.internet,
        "tenant": TENANT,
        "subscription": SUBSCRIPTION,
        "client_id": WRITER,
        "client_secret": WRITER_SECRET,
        "cloudflare_token": CLOUDFLARE_TOKENS.good,
    })
}

fn secret(path: &Path, text: &str) -> io::Result<()> {
    // The mode counts at creation only; an older file might be open to others.
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The guide's gateway: the management VM behind high ports.
const GATEWAY: &str = r#"
[endpoint.load_balancer]
name = "lb-jump"

[[endpoint.nat_rule]]
name = "rdp"
frontend_port = 63011
backend_port = 3389
network_interface = "vm-jump-nic"
network_security_group = "nsg-mgmt"
allow_from = ["203.0.113.0/24"]

[[endpoint.nat_rule]]
name = "ssh"
frontend_port = 63022
backend_port = 22
network_interface = "vm-jump-nic"
network_security_group = "nsg-mgmt"
allow_from = ["203.0.113.0/24"]
"#;
/// What `cnamed.toml(5)` says of `watch` where it says nothing.
const INTERVAL: Duration = Duration::from_secs(60);
const LABEL_INTERVAL: Duration = Duration::from_secs(10);
/// However fast its clock runs, Azure DNS takes 60 lists of a zone in a minute, and a client keeps to that.
const LEAST_INTERVAL: Duration = Duration::from_millis(1500);
const LEAST_LABEL_INTERVAL: Duration = Duration::from_millis(100);
const CA: &str = "ca.pem";
const AZURE_SECRET: &str = "azure-client-secret";
const CLOUDFLARE_SECRET: &str = "cloudflare-token";
