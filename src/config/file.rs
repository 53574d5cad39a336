//! The file as written: a type for each table, with the doc comments that become the JSON Schema's descriptions.
//!
//! Every key may be missing here, the required ones too: what is missing is found by the schema, and everything
//! else is still looked at, so that one run reports all mistakes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::at::At;
use super::defaults;
use super::{Cloud, CredentialKind, NotifierKind, ProviderKind};
use crate::model::endpoint::{Allocation, LabelScope};
use crate::model::gateway::Protocol;
use crate::model::record::{Mode, Policy};
use crate::notify::Topic;

/// Configuration of cnamed, which keeps friendly names pointed at Azure.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "cnamed")]
pub(super) struct ConfigFile {
    /// The instance id in the marks on everything that is written: 1 to 39 lower-case letters, digits and hyphens.
    #[schemars(required, example = &"ops-westeurope")]
    pub(super) owner: Option<At<String>>,
    /// Whether marked records that this file no longer names are withdrawn.
    #[schemars(extend("default" = defaults::PRUNE))]
    pub(super) prune: Option<At<bool>>,
    /// Where Azure is, and who we are there.
    #[schemars(required)]
    pub(super) azure: Option<At<AzureFile>>,
    /// The public IPs with a DNS label that names follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) endpoint: Vec<At<EndpointFile>>,
    /// The DNS providers' accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) account: Vec<At<AccountFile>>,
    /// The friendly names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) record: Vec<At<RecordFile>>,
    /// When `cnamed run` looks.
    pub(super) watch: Option<WatchFile>,
    /// How what was written is checked in DNS.
    pub(super) verify: Option<VerifyFile>,
    /// What one round may do at most.
    pub(super) limits: Option<LimitsFile>,
    /// Where the journal is kept; taken when the service starts, and left as it is by a reload.
    pub(super) state: Option<StateFile>,
    /// A status page, metrics and probes; taken when the service starts, and left as they are by a reload.
    pub(super) http: Option<HttpFile>,
    /// Whom to trust.
    pub(super) tls: Option<TlsFile>,
    /// Where failed logons are collected, for `cnamed threats`.
    pub(super) threats: Option<At<ThreatsFile>>,
    /// Who is told what happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) notify: Vec<At<NotifyFile>>,
}

/// Where Azure is, and who we are there.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct AzureFile {
    /// The id of the subscription that holds the endpoints.
    #[schemars(required, example = &"00000000-0000-0000-0000-000000000000")]
    pub(super) subscription: Option<At<String>>,
    /// The cloud; `custom` needs `resource_manager`, `authority`, `audience` and `label_suffix`.
    #[schemars(extend("default" = Cloud::default()))]
    pub(super) cloud: Option<At<Cloud>>,
    /// How to obtain tokens.
    #[schemars(extend("default" = CredentialKind::default(), "x-withheld" = true))]
    pub(super) credential: Option<At<CredentialKind>>,
    /// The tenant's id or domain; else the variable AZURE_TENANT_ID.
    #[schemars(example = &"contoso.onmicrosoft.com")]
    pub(super) tenant: Option<At<String>>,
    /// The application's id, or a user-assigned identity's; else the variable AZURE_CLIENT_ID.
    #[schemars(example = &"00000000-0000-0000-0000-000000000000")]
    pub(super) client_id: Option<At<String>>,
    /// The application's secret, for `client-secret`; else the variable AZURE_CLIENT_SECRET.
    pub(super) client_secret: Option<At<SecretFile>>,
    /// The application's certificate and its RSA key, not encrypted, in PEM form, for `client-certificate`.
    pub(super) client_certificate: Option<At<SecretFile>>,
    /// The federated token, for `workload-identity`; else the file that AZURE_FEDERATED_TOKEN_FILE names.
    #[schemars(with = "Option<String>", example = &"/var/run/secrets/azure/tokens/azure-identity-token")]
    pub(super) token_file: Option<At<PathBuf>>,
    /// A bearer token obtained elsewhere, for `token`.
    pub(super) token: Option<At<SecretFile>>,
    /// A custom cloud's Azure Resource Manager; plain http is taken for loopback addresses only.
    #[schemars(example = &"https://management.local.azurestack.external")]
    pub(super) resource_manager: Option<At<String>>,
    /// A custom cloud's token service.
    #[schemars(example = &"https://login.local.azurestack.external")]
    pub(super) authority: Option<At<String>>,
    /// What a custom cloud's tokens are issued for.
    #[schemars(example = &"https://management.local.azurestack.external")]
    pub(super) audience: Option<At<String>>,
    /// What a custom cloud's DNS labels end in, after the region.
    #[schemars(example = &"cloudapp.azure.com")]
    pub(super) label_suffix: Option<At<String>>,
}

/// A public IP with its DNS label, and what stands in front of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct EndpointFile {
    /// Your name for it: letters, digits, dots, underscores and hyphens.
    #[schemars(required, example = &"jump")]
    pub(super) name: Option<At<String>>,
    /// The resource group of the public IP.
    #[schemars(required, example = &"rg-mgmt")]
    pub(super) resource_group: Option<At<String>>,
    /// The region, as Azure writes it in resources.
    #[schemars(required, example = &"westeurope")]
    pub(super) location: Option<At<String>>,
    /// The name of the public IP resource.
    #[schemars(required, example = &"pip-jump")]
    pub(super) public_ip: Option<At<String>>,
    /// The DNS label: 3 to 63 lower-case letters, digits and hyphens.
    #[schemars(required, example = &"contoso-jump")]
    pub(super) label: Option<At<String>>,
    /// Who may claim the label's name again once it is free; settable at creation only, absent means anybody.
    #[schemars(with = "Option<String>", example = &"tenant-reuse", extend("enum" = ["tenant-reuse", "subscription-reuse", "resource-group-reuse", "no-reuse"]))]
    pub(super) label_scope: Option<At<LabelScope>>,
    /// How the address is assigned; `dynamic` adopts Basic addresses that still exist.
    #[schemars(with = "Option<String>", extend("enum" = ["static", "dynamic"], "default" = Allocation::default()))]
    pub(super) allocation: Option<At<Allocation>>,
    /// The availability zones, settable at creation only; absent leaves them to the region.
    #[schemars(example = ["1", "2", "3"])]
    pub(super) zones: Option<At<Vec<At<String>>>>,
    /// Whether to create and keep the public IP (true) or only to watch it (false).
    #[schemars(extend("default" = defaults::MANAGE))]
    pub(super) manage: Option<At<bool>>,
    /// The load balancer that carries the address.
    pub(super) load_balancer: Option<At<LoadBalancerFile>>,
    /// The high ports that lead to machines behind the load balancer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) nat_rule: Vec<At<NatRuleFile>>,
}

/// A Standard load balancer in front of one machine.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct LoadBalancerFile {
    /// The name of the load balancer, in the endpoint's resource group.
    #[schemars(required, example = &"lb-jump")]
    pub(super) name: Option<At<String>>,
}

/// One port of the address that leads to one machine.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct NatRuleFile {
    /// The rule's name.
    #[schemars(required, example = &"rdp")]
    pub(super) name: Option<At<String>>,
    /// The protocol.
    #[schemars(with = "Option<String>", extend("enum" = ["tcp", "udp"], "default" = Protocol::default()))]
    pub(super) protocol: Option<At<Protocol>>,
    /// The port that clients use, 1 to 65534.
    #[schemars(required, range(min = 1, max = 65534), example = 63011)]
    pub(super) frontend_port: Option<At<u16>>,
    /// The port on the machine, 1 to 65535.
    #[schemars(required, range(min = 1, max = 65535), example = 3389)]
    pub(super) backend_port: Option<At<u16>>,
    /// The machine's network interface: a name in the endpoint's resource group, or a whole resource id.
    #[schemars(required, example = &"vm-jump-nic")]
    pub(super) network_interface: Option<At<String>>,
    /// Who may connect: networks of one family, one service tag alone, or "internet" alone; needs `network_security_group`.
    #[schemars(example = ["203.0.113.0/24"])]
    pub(super) allow_from: Option<At<Vec<At<String>>>>,
    /// The network security group that gets the rule: a name in the endpoint's resource group, or a resource id.
    #[schemars(example = &"nsg-mgmt")]
    pub(super) network_security_group: Option<At<String>>,
    /// The security rule's priority, 100 to 4096; absent takes the first free one.
    #[schemars(range(min = 100, max = 4096), example = 300)]
    pub(super) priority: Option<At<u16>>,
    /// Minutes until an idle TCP connection is forgotten, 4 to 30.
    #[schemars(range(min = 4, max = 30), extend("default" = defaults::IDLE_TIMEOUT_MINUTES))]
    pub(super) idle_timeout_minutes: Option<At<u8>>,
}

/// One account at a DNS provider.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct AccountFile {
    /// Your name for it.
    #[schemars(required, example = &"azure")]
    pub(super) name: Option<At<String>>,
    /// The kind of provider.
    #[schemars(required, example = &"azure-dns")]
    pub(super) provider: Option<At<ProviderKind>>,
    /// Azure DNS: the resource group of the zones.
    #[schemars(example = &"rg-dns")]
    pub(super) resource_group: Option<At<String>>,
    /// Azure DNS: the subscription of the zones; absent means that of `[azure]`.
    #[schemars(example = &"00000000-0000-0000-0000-000000000000")]
    pub(super) subscription: Option<At<String>>,
    /// Cloudflare: an API token with Zone:Read and DNS:Edit.
    pub(super) token: Option<At<SecretFile>>,
    /// Cloudflare: another base URL; plain http is taken for loopback addresses only.
    #[schemars(extend("default" = defaults::CLOUDFLARE_API))]
    pub(super) api: Option<At<String>>,
    /// The zones to use, and no others; Azure DNS: a list of names; Cloudflare: a table of names and zone ids.
    #[schemars(example = ["example.com"])]
    pub(super) zones: Option<At<ZonesFile>>,
    /// The authoritative servers to check, instead of those that the provider lists for a zone.
    #[schemars(example = ["ns1.example.net:53"])]
    pub(super) name_servers: Option<At<Vec<At<String>>>>,
}

/// Zones: names, or names and ids.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum ZonesFile {
    /// Names.
    Names(Vec<At<String>>),
    /// Names and ids.
    #[schemars(with = "BTreeMap<String, String>")]
    Ids(BTreeMap<At<String>, At<String>>),
}

/// One friendly name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct RecordFile {
    /// The name in full.
    #[schemars(required, example = &"jumpstation.example.com")]
    pub(super) name: Option<At<String>>,
    /// The endpoint that it follows.
    #[schemars(required, example = &"jump")]
    pub(super) endpoint: Option<At<String>>,
    /// The accounts that hold it, one or more.
    #[schemars(required, example = ["azure", "cf"])]
    pub(super) accounts: Option<At<Vec<At<String>>>>,
    /// The time to live in seconds; Azure DNS 1 to 2147483647, Cloudflare 30 to 86400, or 1 for automatic.
    #[schemars(range(min = 1, max = 2_147_483_647), extend("default" = defaults::TTL.seconds()))]
    pub(super) ttl: Option<At<u32>>,
    /// How it follows; `alias` exists in Azure DNS only, `auto` is `cname` except at an apex.
    #[schemars(with = "Option<String>", extend("enum" = ["cname", "address", "alias", "auto"], "default" = Mode::default()))]
    pub(super) mode: Option<At<Mode>>,
    /// What may be done to it: create, update and withdraw; no withdrawal; or creation only.
    #[schemars(with = "Option<String>", extend("enum" = ["sync", "upsert-only", "create-only"], "default" = Policy::default()))]
    pub(super) policy: Option<At<Policy>>,
    /// Whether Cloudflare answers in its place; a proxied name carries HTTP only, never RDP or SSH.
    #[schemars(extend("default" = defaults::PROXIED))]
    pub(super) proxied: Option<At<bool>>,
}

/// A secret by reference; exactly one of the keys.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, extend("minProperties" = 1, "maxProperties" = 1, "x-secret" = true))]
pub(super) struct SecretFile {
    /// The name of an environment variable.
    #[schemars(example = &"CLOUDFLARE_API_TOKEN")]
    pub(super) env: Option<At<String>>,
    /// The path of a file that only this service can read.
    #[schemars(with = "Option<String>", example = &"/etc/cnamed/token")]
    pub(super) file: Option<At<PathBuf>>,
    /// The name of a systemd credential (LoadCredential=).
    #[schemars(example = &"cloudflare-token")]
    pub(super) credential: Option<At<String>>,
}

/// When `cnamed run` looks.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct WatchFile {
    /// The time between full rounds, before jitter.
    #[schemars(extend("default" = defaults::text(defaults::INTERVAL)))]
    pub(super) interval: Option<At<String>>,
    /// The time between look-ups of the label, which cost no API call.
    #[schemars(extend("default" = defaults::text(defaults::LABEL_INTERVAL)))]
    pub(super) label_interval: Option<At<String>>,
}

/// How what was written is checked in DNS.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct VerifyFile {
    /// Whether every authoritative server of every provider is asked; if not, `in-sync` claims nothing about DNS.
    #[schemars(extend("default" = defaults::AUTHORITATIVE))]
    pub(super) authoritative: Option<At<bool>>,
    /// The recursive resolvers: "system", addresses, or addresses with a port.
    #[schemars(extend("default" = [defaults::RESOLVER]))]
    pub(super) resolvers: Option<At<Vec<At<String>>>>,
    /// The servers to ask for labels, instead of the label zone's own.
    #[schemars(example = ["192.0.2.53:53"])]
    pub(super) label_servers: Option<At<Vec<At<String>>>>,
    /// How long `sync` waits for the servers to agree.
    #[schemars(extend("default" = defaults::text(defaults::TIMEOUT)))]
    pub(super) timeout: Option<At<String>>,
    /// A SOCKS5 proxy, without a user name and a password, for the connections that prove the way in.
    #[schemars(example = &"socks5://bastion.example.net:1080", extend("x-withheld" = true))]
    pub(super) proxy: Option<At<String>>,
}

/// What one round may do at most.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct LimitsFile {
    /// How many records one round may withdraw from one account.
    #[schemars(extend("default" = defaults::DELETES_PER_ROUND))]
    pub(super) deletes_per_round: Option<At<u32>>,
    /// How long one attempt at a request may take; reads are tried four times.
    #[schemars(extend("default" = defaults::text(defaults::REQUEST_TIMEOUT)))]
    pub(super) request_timeout: Option<At<String>>,
}

/// Where the journal is kept.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct StateFile {
    /// The directory, made for its owner alone where it is missing.
    #[schemars(with = "Option<String>", extend("default" = defaults::STATE_DIRECTORY))]
    pub(super) directory: Option<At<PathBuf>>,
}

/// A status page, metrics and probes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct HttpFile {
    /// The address and port to listen on.
    #[schemars(extend("default" = defaults::LISTEN.to_string()))]
    pub(super) listen: Option<At<String>>,
    /// Names that this host is asked by, besides addresses and localhost; requests that name another are refused.
    #[schemars(example = ["cnamed.internal.example.com"])]
    pub(super) names: Option<At<Vec<At<String>>>>,
}

/// Whom to trust.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct TlsFile {
    /// A file of certificates in PEM form, added to the public roots for every outgoing connection.
    #[schemars(with = "Option<String>", example = &"/etc/cnamed/ca.pem")]
    pub(super) extra_ca: Option<At<PathBuf>>,
}

/// Where failed logons are collected, for `cnamed threats`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct ThreatsFile {
    /// The Log Analytics workspace's customer id, which the portal calls its workspace ID.
    #[schemars(required, example = &"00000000-0000-0000-0000-000000000000")]
    pub(super) workspace: Option<At<String>>,
    /// The query API; absent means that of `azure.cloud`, and a custom cloud needs it.
    #[schemars(example = &"https://api.loganalytics.azure.com")]
    pub(super) api: Option<At<String>>,
    /// What tokens for it are issued for; absent means what `azure.cloud` says, and a custom cloud needs it.
    #[schemars(example = &"https://api.loganalytics.io")]
    pub(super) audience: Option<At<String>>,
}

/// Somebody who is told what happens.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct NotifyFile {
    /// Your name for it.
    #[schemars(required, example = &"ops")]
    pub(super) name: Option<At<String>>,
    /// How it is told.
    #[schemars(required, example = &"slack")]
    pub(super) kind: Option<At<NotifierKind>>,
    /// Where it is told, but for commands: https, or http on loopback. A secret: whoever knows it may post.
    pub(super) url: Option<At<SecretFile>>,
    /// For commands: the program's absolute path and its arguments; never through a shell.
    #[schemars(example = ["/usr/local/bin/on-notice"])]
    pub(super) command: Option<At<Vec<At<String>>>>,
    /// For webhooks: signs each body, in the header X-Cnamed-Signature (HMAC-SHA256).
    pub(super) secret: Option<At<SecretFile>>,
    /// What it is told of; not for heartbeats, which hear of rounds.
    #[schemars(
        with = "Option<Vec<String>>",
        extend("items" = {"type": "string", "enum": defaults::EVERY_EVENT}, "default" = defaults::EVENTS)
    )]
    pub(super) events: Option<At<Vec<At<Topic>>>>,
    /// The same trouble is told again after this long.
    #[schemars(extend("default" = defaults::text(defaults::REPEAT)))]
    pub(super) repeat: Option<At<String>>,
    /// How long an answer may take, or a command.
    #[schemars(extend("default" = defaults::text(defaults::NOTIFY_TIMEOUT)))]
    pub(super) timeout: Option<At<String>>,
}

impl<'de> Deserialize<'de> for ZonesFile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ZonesVisitor)
    }
}

/// Told apart by hand, because an untagged enum would lose the places.
struct ZonesVisitor;

impl<'de> serde::de::Visitor<'de> for ZonesVisitor {
    type Value = ZonesFile;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of zone names or a table of zone names and ids")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = seq.next_element()? {
            names.push(name);
        }
        Ok(ZonesFile::Names(names))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut ids = BTreeMap::new();
        while let Some((name, id)) = map.next_entry()? {
            ids.insert(name, id);
        }
        Ok(ZonesFile::Ids(ids))
    }
}
