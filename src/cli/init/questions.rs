//! What is asked, in which order, and what depends on what.

use super::draft::Draft;

/// One question; the same for a person and for a flag.
pub(super) struct Question {
    /// The flag that answers it.
    pub(super) flag: &'static str,
    /// What a person is asked.
    pub(super) prompt: &'static str,
    /// Whether it is asked at all, after what was answered.
    pub(super) applies: fn(&Draft) -> bool,
    /// The flag that it needs, where it is not always asked.
    pub(super) needs: &'static str,
    /// What is taken when nothing is answered.
    pub(super) default: fn(&Draft) -> Option<String>,
    /// Why it cannot be left out, if it cannot.
    pub(super) required: fn(&Draft) -> Option<&'static str>,
    /// A sound answer, to go on with after a wrong one.
    pub(super) sample: &'static str,
    pub(super) get: fn(&Draft) -> Option<String>,
    pub(super) set: fn(&mut Draft, &str),
}

/// A question whose answer is one text.
macro_rules! one {
    ($field:ident) => {
        (
            |draft: &Draft| draft.$field.clone(),
            |draft: &mut Draft, text: &str| draft.$field = Some(text.to_owned()),
        )
    };
}

/// A question whose answer is several texts.
macro_rules! several {
    ($field:ident) => {
        (
            |draft: &Draft| (!draft.$field.is_empty()).then(|| draft.$field.join(", ")),
            |draft: &mut Draft, text: &str| draft.$field = split(text),
        )
    };
}

type Access = (fn(&Draft) -> Option<String>, fn(&mut Draft, &str));

/// Every question, in order.
pub(super) fn questions() -> Vec<Question> {
    let question = |flag, prompt, sample, (get, set): Access| Question {
        flag,
        prompt,
        applies: |_| true,
        needs: "",
        default: |_| None,
        required: |_| None,
        sample,
        get,
        set,
    };
    let application = |question: Question| Question {
        applies: |draft| draft.credential.as_deref() == Some("client-secret"),
        needs: "--credential client-secret",
        ..question
    };
    let gateway = |question: Question| Question {
        applies: |draft| !draft.ports.is_empty(),
        needs: "--port",
        ..question
    };
    vec![
        Question {
            default: |_| Some("ops".into()),
            ..question("owner", "Instance id, for the marks on what is written", "ops", one!(owner))
        },
        Question {
            required: |_| Some("the subscription's id, as in: az account show --query id"),
            ..question("subscription", "Azure subscription (its id)", NOBODY, one!(subscription))
        },
        Question {
            default: |_| Some("default".into()),
            ..question(
                "credential",
                "Azure credential (default, managed-identity, workload-identity, client-secret, azure-cli)",
                "default",
                one!(credential),
            )
        },
        application(Question {
            required: |_| Some("the application's tenant: an id or a domain"),
            ..question(
                "tenant",
                "Tenant of the application (an id or a domain)",
                "contoso.onmicrosoft.com",
                one!(tenant),
            )
        }),
        Question {
            applies: |draft| {
                matches!(
                    draft.credential.as_deref(),
                    Some("client-secret" | "managed-identity" | "workload-identity" | "default")
                )
            },
            needs: "a --credential that takes it",
            required: |draft| {
                (draft.credential.as_deref() == Some("client-secret"))
                    .then_some("the application's client id")
            },
            ..question(
                "client-id",
                "Application or user-assigned identity (its client id; empty for none)",
                NOBODY,
                one!(client_id),
            )
        },
        application(Question {
            default: |_| Some("env:AZURE_CLIENT_SECRET".into()),
            ..question(
                "client-secret",
                "Where its secret is (env:NAME, file:PATH, credential:NAME), never the secret",
                "env:AZURE_CLIENT_SECRET",
                one!(client_secret),
            )
        }),
        Question {
            required: |_| Some("the resource group that the public IP stands in"),
            ..question("resource-group", "Resource group of the public IP", "rg-mgmt", one!(resource_group))
        },
        Question {
            required: |_| Some("the region, as in westeurope"),
            ..question("location", "Region, such as westeurope", "westeurope", one!(location))
        },
        Question {
            required: |_| Some("the DNS label, which nobody else in the region may have"),
            ..question("label", "DNS label, such as contoso-jump", "contoso-jump", one!(label))
        },
        Question {
            default: |draft| Some(format!("pip-{}", draft.label.as_deref().unwrap_or("jump"))),
            ..question("public-ip", "Public IP (made if it is not there)", "pip-jump", one!(public_ip))
        },
        question(
            "port",
            "Ports that lead to a machine, as in rdp=63011:3389, ssh=63022:22 (empty for none)",
            "rdp=63011:3389",
            several!(ports),
        ),
        gateway(Question {
            required: |_| Some("the network interface of the machine that the ports lead to"),
            ..question(
                "network-interface",
                "The machine's network interface",
                "vm-jump-nic",
                one!(network_interface),
            )
        }),
        gateway(Question {
            required: |_| Some("who may connect: networks such as 203.0.113.0/24"),
            ..question(
                "allow-from",
                "Who may connect (networks, comma-separated)",
                "203.0.113.0/24",
                several!(allow_from),
            )
        }),
        gateway(Question {
            default: |draft| Some(format!("nsg-{}", draft.label.as_deref().unwrap_or("jump"))),
            ..question(
                "network-security-group",
                "Security group for the rules (made if it is not there)",
                "nsg-mgmt",
                one!(network_security_group),
            )
        }),
        gateway(Question {
            default: |draft| Some(format!("lb-{}", draft.label.as_deref().unwrap_or("jump"))),
            ..question(
                "load-balancer",
                "Load balancer (made if it is not there)",
                "lb-jump",
                one!(load_balancer),
            )
        }),
        question(
            "azure-dns",
            "Resource group of the Azure DNS zones (empty for none)",
            "rg-dns",
            one!(azure_dns),
        ),
        Question {
            required: |draft| {
                draft.azure_dns.is_none().then_some("an account to hold the names: this, or --azure-dns")
            },
            ..question(
                "cloudflare",
                "Where Cloudflare's token is, as in env:CLOUDFLARE_API_TOKEN (empty for no Cloudflare)",
                "env:CLOUDFLARE_API_TOKEN",
                one!(cloudflare),
            )
        },
        Question {
            required: |_| Some("at least one name, such as jumpstation.example.com"),
            ..question(
                "name",
                "Names that follow the label (comma-separated)",
                "jumpstation.example.com",
                several!(names),
            )
        },
    ]
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
