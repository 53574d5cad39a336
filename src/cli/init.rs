//! `cnamed init`: a few questions, or flags for all of them, and a configuration that the other commands accept.

mod draft;
mod questions;

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::Path;

use clap::Args;
use serde_json::json;

use self::draft::{Draft, Wrong};
use self::questions::{Question, questions};
use super::args::Global;
use super::exit::Exit;
use super::output::{Output, Tone};
use crate::reconcile::round::VERSION;

/// `cnamed init`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InitArgs {
    /// The instance id in the marks on everything that is written; `ops` unless told.
    #[arg(long, value_name = "ID")]
    owner: Option<String>,
    /// The id of the subscription that holds the endpoint.
    #[arg(long, value_name = "UUID")]
    subscription: Option<String>,
    /// How to obtain Azure tokens; `default` unless told.
    #[arg(long, value_name = "KIND")]
    credential: Option<String>,
    /// The tenant, for `--credential client-secret`.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The application, or a user-assigned identity.
    #[arg(long, value_name = "UUID")]
    client_id: Option<String>,
    /// Where the application's secret is: env:NAME, file:PATH or credential:NAME.
    #[arg(long, value_name = "WHERE")]
    client_secret: Option<String>,
    /// The resource group of the public IP.
    #[arg(long, value_name = "GROUP")]
    resource_group: Option<String>,
    /// The region, such as westeurope.
    #[arg(long, value_name = "REGION")]
    location: Option<String>,
    /// The DNS label.
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// The public IP's name; `pip-LABEL` unless told.
    #[arg(long, value_name = "NAME")]
    public_ip: Option<String>,
    /// A port that leads to the machine, as in rdp=63011:3389; may be given several times.
    #[arg(long = "port", value_name = "NAME=FRONT:BACK", value_delimiter = ',')]
    ports: Vec<String>,
    /// The machine's network interface, for `--port`.
    #[arg(long, value_name = "NAME")]
    network_interface: Option<String>,
    /// Who may connect, for `--port`: networks, one service tag, or `internet`.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    allow_from: Vec<String>,
    /// The security group that gets the rules, for `--port`; `nsg-LABEL` unless told.
    #[arg(long, value_name = "NAME")]
    network_security_group: Option<String>,
    /// The load balancer, for `--port`; `lb-LABEL` unless told.
    #[arg(long, value_name = "NAME")]
    load_balancer: Option<String>,
    /// Holds the names in Azure DNS, in the zones of this resource group.
    #[arg(long, value_name = "GROUP")]
    azure_dns: Option<String>,
    /// Holds the names in Cloudflare; where its API token is: env:NAME, file:PATH or credential:NAME.
    #[arg(long, value_name = "WHERE", num_args = 0..=1, default_missing_value = "env:CLOUDFLARE_API_TOKEN")]
    cloudflare: Option<String>,
    /// A name that follows the endpoint; may be given several times.
    #[arg(long = "name", value_name = "NAME", value_delimiter = ',')]
    names: Vec<String>,
    /// Asks nothing: what is not given takes its default.
    #[arg(long, short)]
    yes: bool,
    /// Replaces a file that is there.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(global: &Global, args: &InitArgs, output: &Output) -> Exit {
    let path = &global.config;
    if path.exists() && !args.force {
        let text = format!(
            "{} is there already, and nothing was written; give another path with --config, or --force to replace it",
            path.display()
        );
        return output.failure(&text, Exit::Usage);
    }
    let asking = !args.yes && output.can_ask() && !output.is_json();
    let draft = match if asking { asked(args.given(), output) } else { told(args.given()) } {
        Ok(draft) => draft,
        Err(text) => return output.failure(&text, Exit::Usage),
    };
    let (text, warnings) = match (draft.text(), draft.checked()) {
        (Ok(text), Ok(warnings)) => (text, warnings),
        (Err(problem), _) => return output.failure(&problem, Exit::Usage),
        (_, Err(Wrong { problem, remedy })) => {
            return output.failure(&format!("{problem}; {remedy}"), Exit::Usage);
        }
    };
    for warning in warnings {
        let text = format!("{} {}; {}\n", Tone::Warn.paint("warning:"), warning.problem, warning.remedy);
        output.aside(&text);
    }
    if let Err(error) = write(path, &text, args.force) {
        let text = format!(
            "could not write {}: {error}; give another path with --config, or run as a user who may write there",
            path.display()
        );
        return output.failure(&text, Exit::Failed);
    }
    tell(path, &draft, output)
}

impl InitArgs {
    fn given(&self) -> Draft {
        let args = self.clone();
        Draft {
            owner: args.owner,
            subscription: args.subscription,
            credential: args.credential,
            tenant: args.tenant,
            client_id: args.client_id,
            client_secret: args.client_secret,
            resource_group: args.resource_group,
            location: args.location,
            public_ip: args.public_ip,
            label: args.label,
            ports: args.ports,
            load_balancer: args.load_balancer,
            network_interface: args.network_interface,
            network_security_group: args.network_security_group,
            allow_from: args.allow_from,
            azure_dns: args.azure_dns,
            cloudflare: args.cloudflare,
            names: args.names,
        }
    }
}

/// From flags alone: everything that is missing or wrong is told at once.
fn told(given: Draft) -> Result<Draft, String> {
    let mut draft = Draft::default();
    let mut wrong = Vec::new();
    for question in questions() {
        if !(question.applies)(&draft) {
            // What was given for nothing was meant for something.
            if let Some(answer) = (question.get)(&given) {
                wrong.push(format!("--{} {answer} has no effect without {}", question.flag, question.needs));
            }
            continue;
        }
        let answer = (question.get)(&given).or_else(|| (question.default)(&draft));
        let Some(answer) = answer else {
            if let Some(required) = (question.required)(&draft) {
                wrong.push(format!("--{} is missing: {required}", question.flag));
            }
            continue;
        };
        let mut with = draft.clone();
        (question.set)(&mut with, &answer);
        match with.checked() {
            Ok(_) => draft = with,
            Err(Wrong { problem, remedy }) => {
                wrong.push(format!("--{}: {problem}; {remedy}", question.flag));
                // What depends on it is looked at all the same.
                (question.set)(&mut draft, question.sample);
            }
        }
    }
    if wrong.is_empty() {
        return Ok(draft);
    }
    let nothing = "nothing was written; give the flags, or answer the questions at a terminal";
    Err(format!("{}\n{nothing}", wrong.join("\n       ")))
}

/// From flags, and questions for what they leave open. Each answer is held against the configuration's rules at once,
/// and asked for again where it breaks one.
fn asked(given: Draft, output: &Output) -> Result<Draft, String> {
    let mut draft = Draft::default();
    output.aside(
        "A few questions; Enter takes what stands in brackets, Ctrl-C leaves everything as it is.\n\n",
    );
    for question in questions() {
        if !(question.applies)(&draft) {
            continue;
        }
        let mut offered = (question.get)(&given);
        loop {
            let answer = match offered.take() {
                Some(answer) => Some(answer),
                None => answer(&question, &draft, output)?,
            };
            let Some(answer) = answer else {
                match (question.required)(&draft) {
                    Some(required) => {
                        output.aside(&format!("  {} {required}\n", Tone::Bad.paint("needed:")));
                        continue;
                    }
                    None => break,
                }
            };
            let mut with = draft.clone();
            (question.set)(&mut with, &answer);
            match with.checked() {
                Ok(_) => {
                    draft = with;
                    break;
                }
                Err(Wrong { problem, remedy }) => {
                    output.aside(&format!("  {} {problem}; {remedy}\n", Tone::Bad.paint("no:")));
                }
            }
        }
    }
    output.aside("\n");
    Ok(draft)
}

/// What was answered, or the default; nothing where there is neither.
fn answer(question: &Question, draft: &Draft, output: &Output) -> Result<Option<String>, String> {
    let default = (question.default)(draft);
    let shown = default.as_ref().map(|text| format!(" [{text}]")).unwrap_or_default();
    output.ask(&format!("{}{shown}: ", question.prompt));
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(1..) => {}
        Ok(0) => return Err("the answers ended before the questions; nothing was written".into()),
        Err(error) => return Err(format!("could not read the answer: {error}; nothing was written")),
    }
    match line.trim() {
        "" => Ok(default),
        text => Ok(Some(text.to_owned())),
    }
}

/// Writes the whole file or nothing, for its user alone; replaces one that is there only with `force`.
fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && !folder.exists()
    {
        fs::create_dir(folder)?;
    }
    if !force {
        let written = fresh(path, text);
        if written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
            // Half a file is no file.
            let _ = fs::remove_file(path);
        }
        return written;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let whole = path.with_file_name(name);
    let written = fresh(&whole, text).and_then(|()| fs::rename(&whole, path));
    if written.is_err() {
        let _ = fs::remove_file(&whole);
    }
    written
}

/// Writes a file that is not there yet.
fn fresh(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn tell(path: &Path, draft: &Draft, output: &Output) -> Exit {
    let steps = next_steps(path, draft);
    if output.is_json() {
        let commands: Vec<&String> = steps.iter().map(|(command, _)| command).collect();
        return output
            .json(&json!({ "version": VERSION, "outcome": "written", "path": path, "next": commands }));
    }
    let mut table = super::table::Table::default();
    for (command, why) in steps {
        table.row([(command, Tone::Strong), (why, Tone::Plain)]);
    }
    output.text(&format!(
        "{}: {}, readable for its user alone.\n\n{}\n{}",
        Tone::Good.paint("Written"),
        path.display(),
        Tone::Strong.paint("Next"),
        table.render()
    ));
    Exit::InSync
}

/// What to type next, and why.
fn next_steps(path: &Path, draft: &Draft) -> Vec<(String, String)> {
    let mut steps = Vec::new();
    let secrets = [
        ("the application's secret", draft.client_secret.as_deref()),
        ("Cloudflare's token", draft.cloudflare.as_deref()),
    ];
    for (what, place) in secrets.iter().filter_map(|(what, place)| Some((what, (*place)?))) {
        steps.push(match place.split_once(':') {
            Some(("file", file)) => {
                // Relative paths are relative to the configuration.
                let file = path.parent().map_or_else(|| file.into(), |folder| folder.join(file));
                let command = format!("install -m 0600 /dev/stdin {}", file.display());
                (command, format!("then paste {what}, and Ctrl-D"))
            }
            Some(("credential", name)) => {
                (format!("LoadCredential={name}:/etc/cnamed/{name}"), format!("in the unit, for {what}"))
            }
            Some((_, name)) => (format!("read -rs {name} && export {name}"), format!("then paste {what}")),
            None => continue,
        });
    }
    if matches!(draft.credential.as_deref(), None | Some("default" | "azure-cli")) {
        steps.push(("az login".into(), "unless this machine has an identity of its own".into()));
    }
    let usual = path == Path::new("/etc/cnamed/cnamed.toml");
    let with = if usual { String::new() } else { format!(" --config {}", path.display()) };
    for (command, why) in [
        ("config check", "every mistake at once"),
        ("doctor", "credentials, permissions, delegations: what is missing, and where"),
        ("plan", "what would be done; changes nothing"),
        ("sync", "does it, and asks every name server whether it holds"),
    ] {
        steps.push((format!("cnamed {command}{with}"), why.into()));
    }
    steps
}
