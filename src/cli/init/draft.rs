//! The configuration in the making: its text, and what the configuration's own parser says of it.

use crate::config::{Config, Diagnostic};

/// What was answered so far. What was not has a sample in the text, which is always a sound one, so that whatever the
/// parser finds wrong is the last answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) owner: Option<String>,
    pub(super) subscription: Option<String>,
    pub(super) credential: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) resource_group: Option<String>,
    pub(super) location: Option<String>,
    pub(super) public_ip: Option<String>,
    pub(super) label: Option<String>,
    pub(super) ports: Vec<String>,
    pub(super) load_balancer: Option<String>,
    pub(super) network_interface: Option<String>,
    pub(super) network_security_group: Option<String>,
    pub(super) allow_from: Vec<String>,
    pub(super) azure_dns: Option<String>,
    pub(super) cloudflare: Option<String>,
    pub(super) names: Vec<String>,
}

/// What is wrong with a draft: the problem and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) problem: String,
    pub(super) remedy: String,
}

impl Draft {
    /// What the configuration's parser says of it; what is legal and probably not meant where nothing is wrong.
    pub(super) fn checked(&self) -> Result<Vec<Diagnostic>, Wrong> {
        let text = self.text().map_err(|problem| Wrong {
            problem,
            remedy:
                "write ports as in rdp=63011:3389, and secrets as in env:NAME, file:PATH or credential:NAME"
                    .into(),
        })?;
        match Config::parse(&text, "cnamed.toml") {
            Ok(config) => Ok(config.warnings),
            Err(mistakes) => Err(mistakes.all().first().map_or_else(
                || Wrong { problem: mistakes.to_string(), remedy: String::new() },
                |first| Wrong { problem: first.problem.clone(), remedy: first.remedy.clone() },
            )),
        }
    }

    /// The file, with samples where nothing was answered.
    pub(super) fn text(&self) -> Result<String, String> {
        let or = |answer: &Option<String>, sample: &str| quoted(answer.as_deref().unwrap_or(sample));
        let mut text = format!(
            "# What cnamed holds. Each key has a default where it has one; config/cnamed.example.toml shows all of them, and\n\
             # `cnamed config schema` prints them for editors. Secrets are never written here, only where they are.\n\
             \n\
             # The instance id in the marks on everything that is written; two instances never share one.\n\
             owner = {}\n\
             \n\
             [azure]\n\
             # The subscription that holds the endpoint.\n\
             subscription = {}\n",
            or(&self.owner, "ops"),
            or(&self.subscription, NOBODY),
        );
        self.credential_text(&mut text)?;
        text.push_str(&format!(
            "\n# The public IP with its DNS label. It is made if it is not there.\n\
             [[endpoint]]\n\
             name = \"jump\"\n\
             resource_group = {}\n\
             location = {}\n\
             public_ip = {}\n\
             # Becomes LABEL.REGION.cloudapp.azure.com, which nobody else in that region may have.\n\
             label = {}\n",
            or(&self.resource_group, "rg-mgmt"),
            or(&self.location, "westeurope"),
            or(&self.public_ip, "pip-jump"),
            or(&self.label, "contoso-jump"),
        ));
        self.gateway_text(&mut text)?;
        self.accounts_text(&mut text)?;
        let accounts: Vec<&str> =
            [self.azure_dns.as_ref().map(|_| "azure"), self.cloudflare.as_ref().map(|_| "cf")]
                .into_iter()
                .flatten()
                .collect();
        let accounts = if accounts.is_empty() { vec!["azure"] } else { accounts };
        text.push_str("\n# The names that follow the endpoint, each held by the accounts that it names.\n");
        let sample = [SAMPLE_NAME.to_owned()];
        let names = if self.names.is_empty() { &sample[..] } else { &self.names };
        for (at, name) in names.iter().enumerate() {
            let gap = if at > 0 { "\n" } else { "" };
            text.push_str(&format!(
                "{gap}[[record]]\nname = {}\nendpoint = \"jump\"\naccounts = {}\n",
                quoted(name),
                list(&accounts)
            ));
        }
        Ok(text)
    }

    fn credential_text(&self, text: &mut String) -> Result<(), String> {
        match self.credential.as_deref() {
            None | Some("default") => text.push_str(
                "# Tokens come from the environment, a workload identity, a managed identity or the Azure CLI, whichever is\n\
                 # there first; `credential` names one of them.\n#credential = \"managed-identity\"\n",
            ),
            Some(kind) => text.push_str(&format!("# How to obtain tokens.\ncredential = {}\n", quoted(kind))),
        }
        let keys = [("tenant", &self.tenant), ("client_id", &self.client_id)];
        for (key, answer) in keys.iter().filter_map(|(key, answer)| Some((key, answer.as_ref()?))) {
            text.push_str(&format!("{key} = {}\n", quoted(answer)));
        }
        if let Some(secret) = &self.client_secret {
            text.push_str(&format!("client_secret = {}\n", reference(secret)?));
        }
        Ok(())
    }

    fn gateway_text(&self, text: &mut String) -> Result<(), String> {
        if self.ports.is_empty() {
            return Ok(());
        }
        let or = |answer: &Option<String>, sample: &str| quoted(answer.as_deref().unwrap_or(sample));
        text.push_str(&format!(
            "\n# The load balancer that carries the address: made if it is not there, used as it is if it is.\n\
             [endpoint.load_balancer]\nname = {}\n",
            or(&self.load_balancer, "lb-jump")
        ));
        for (at, port) in self.ports.iter().enumerate() {
            let odd = || format!("\"{port}\" is not a name and two ports");
            let (name, ports) = port.split_once('=').ok_or_else(odd)?;
            let (front, back) = ports.split_once(':').ok_or_else(odd)?;
            let number = |text: &str| text.trim().parse::<u32>().map_err(|_| odd());
            if at == 0 {
                text.push_str(
                    "\n# A high port that leads to one machine, which needs no public IP of its own, for those who are named.\n",
                );
            } else {
                text.push('\n');
            }
            let allow: Vec<&str> = self.allow_from.iter().map(String::as_str).collect();
            let allow = if allow.is_empty() { vec!["203.0.113.0/24"] } else { allow };
            text.push_str(&format!(
                "[[endpoint.nat_rule]]\nname = {}\nfrontend_port = {}\nbackend_port = {}\nnetwork_interface = {}\n\
                 network_security_group = {}\nallow_from = {}\n",
                quoted(name.trim()),
                number(front)?,
                number(back)?,
                or(&self.network_interface, "vm-jump-nic"),
                or(&self.network_security_group, "nsg-mgmt"),
                list(&allow)
            ));
        }
        Ok(())
    }

    fn accounts_text(&self, text: &mut String) -> Result<(), String> {
        // Something must hold the names, also while nothing was answered.
        let sample = (self.cloudflare.is_none()).then(|| "rg-dns".to_owned());
        if let Some(group) = self.azure_dns.clone().or(sample) {
            text.push_str(&format!(
                "\n# Azure DNS: the resource group of the zones.\n[[account]]\nname = \"azure\"\nprovider = \"azure-dns\"\n\
                 resource_group = {}\n",
                quoted(&group)
            ));
        }
        if let Some(token) = &self.cloudflare {
            text.push_str(&format!(
                "\n# Cloudflare: an API token with Zone > DNS > Edit and Zone > Zone > Read for the zones.\n[[account]]\n\
                 name = \"cf\"\nprovider = \"cloudflare\"\ntoken = {}\n",
                reference(token)?
            ));
        }
        Ok(())
    }
}

/// A secret's place, as in `env:NAME`, in the form of the file. Whatever else it is may be the secret itself, and is
/// not repeated.
fn reference(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((kind @ ("env" | "file" | "credential"), place)) if !place.trim().is_empty() => {
            Ok(format!("{{ {kind} = {} }}", quoted(place.trim())))
        }
        _ => {
            Err("this does not say where the secret is, and a secret is never written into the file"
                .to_owned())
        }
    }
}

/// A basic string of TOML (<https://toml.io/en/v1.0.0#string>).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn list(texts: &[&str]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const SAMPLE_NAME: &str = "jumpstation.example.com";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_without_answers_is_sound() {
        assert_eq!(Draft::default().checked(), Ok(Vec::new()));
    }

    #[test]
    fn the_configuration_s_parser_judges_each_answer() {
        let some = |text: &str| Some(text.to_owned());
        for (draft, word) in [
            (Draft { owner: some("Ops!"), ..Draft::default() }, "Ops!"),
            (Draft { subscription: some("mine"), ..Draft::default() }, "not a subscription's id"),
            (Draft { location: some("West Europe"), ..Draft::default() }, "region"),
            (Draft { label: some("x"), ..Draft::default() }, "label"),
            (Draft { names: vec!["jump".into()], ..Draft::default() }, "jump"),
            (Draft { ports: vec!["rdp=0:3389".into()], ..Draft::default() }, "frontend_port"),
            (Draft { ports: vec!["rdp:3389".into()], ..Draft::default() }, "two ports"),
            (
                Draft { ports: vec!["rdp=63011:3389".into(), "ssh=63011:22".into()], ..Draft::default() },
                "63011",
            ),
            (Draft { owner: some("a\"\n[x]"), ..Draft::default() }, "owner"),
        ] {
            let wrong = draft.checked().unwrap_err();
            assert!(wrong.problem.contains(word), "{word}: {wrong:?}");
            assert!(!wrong.remedy.is_empty());
        }
        let draft = Draft {
            ports: vec!["rdp=63011:3389".into()],
            allow_from: vec!["0.0.0.0/0".into()],
            ..Draft::default()
        };
        assert!(draft.checked().unwrap_err().problem.contains("whole internet"));
    }

    #[test]
    fn a_secret_in_place_of_a_reference_is_not_repeated() {
        let draft = Draft { cloudflare: Some("sEcReTsEcReT".into()), ..Draft::default() };
        let wrong = draft.checked().unwrap_err();
        assert!(!format!("{wrong:?}").contains("sEcReT"), "{wrong:?}");
    }
}
