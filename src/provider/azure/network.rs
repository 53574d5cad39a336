//! Public IPs and their DNS labels.
//!
//! One GET tells everything while the address holds its label. An update is the JSON that was read with the label
//! changed in it; a creation alone is made of the generated types.

mod edit;
mod gateway;
mod parts;
pub(super) mod public_ip;

use std::sync::Arc;

use async_trait::async_trait;
use azure_mgmt_network::package_2024_03::models;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::operation::{Condition, Write, pause};
use super::{Arm, at, implausible, settable, text_at};
use crate::model::endpoint::{Allocation, Endpoint, LabelScope, Provisioning, PublicIp, PublicIpSpec};
use crate::model::name::DnsLabel;
use crate::model::plan::{GatewayChange, NetworkChange};
use crate::model::record::{Owner, mark};
use crate::model::resource_id::ResourceId;
use crate::model::state::{EndpointState, LabelHolder, Seen};
use crate::provider::{Ahead, Error, Kind, Mapping, NetworkProvider};

/// The subscription that holds the endpoints.
#[derive(Debug)]
pub struct AzureNetwork {
    arm: Arc<Arm>,
}

impl AzureNetwork {
    /// The endpoints of `arm`'s subscription.
    #[must_use]
    pub fn new(arm: Arc<Arm>) -> Self {
        Self { arm }
    }

    /// The public IP that `spec` names, as it is and as we know it.
    async fn read(&self, spec: &PublicIpSpec) -> Result<Option<(Value, PublicIp)>, Error> {
        let clients = self.arm.network.public_ip_addresses_client();
        let sent = clients.get(&spec.resource_group, &spec.name, &self.arm.subscription).send().await;
        match self.arm.json("read", &spec.name, sent).await? {
            Some(resource) => {
                let known = known(&resource, "read")?;
                Ok(Some((resource, known)))
            }
            None => Ok(None),
        }
    }

    /// Who holds `spec`'s label, which our public IP does not.
    async fn holder(&self, spec: &PublicIpSpec, ours: Option<&str>) -> Result<LabelHolder, Error> {
        let location = region(&spec.location);
        let label = spec.label.as_str();
        let sent = self
            .arm
            .network
            .check_dns_name_availability(&location, label, &self.arm.subscription)
            .send()
            .await;
        let answer = self.arm.json("ask after the label", label, sent).await?;
        match answer.as_ref().and_then(|answer| answer.get("available")).and_then(Value::as_bool) {
            // With a scope the name is another one, of which Azure was not asked: what we hold ourselves tells.
            Some(true) if spec.label_scope.is_none() => return Ok(LabelHolder::Nobody),
            Some(_) => {}
            None => {
                return Err(implausible(
                    "ask after the label",
                    label,
                    "the answer does not say whether it is free",
                ));
            }
        }
        let all = match self.public_ips("").await {
            // Whoever may read the public IP's resource group alone learns what that holds.
            Err(error) if error.kind() == Kind::Denied => {
                self.public_ips(&format!("/resourceGroups/{}", spec.resource_group)).await?
            }
            seen => seen?,
        };
        let own = all.iter().find(|ip| {
            let same_label = text_at(ip, &["properties", "dnsSettings", "domainNameLabel"]) == Some(label);
            let same_region = text_at(ip, &["location"]).is_some_and(|there| region(there) == location);
            let id = text_at(ip, &["id"]).unwrap_or_default();
            let held = text_at(ip, &["properties", "dnsSettings", "domainNameLabelScope"]);
            let same_name = match (held, spec.label_scope) {
                (None, None) => true,
                // Each gets a hash of its own.
                (Some(_), Some(LabelScope::NoReuse)) => false,
                (Some(held), Some(wanted)) => public_ip::scope(held) == Some(wanted),
                _ => false,
            };
            same_label && same_name && same_region && ours.is_none_or(|ours| !id.eq_ignore_ascii_case(ours))
        });
        Ok(match own.and_then(|ip| text_at(ip, &["id"])) {
            Some(id) => LabelHolder::Own(id.to_owned()),
            None if spec.label_scope.is_some() => LabelHolder::Nobody,
            None => LabelHolder::Stranger,
        })
    }

    /// Every public IP in a resource group of the subscription, or in all of them.
    async fn public_ips(&self, group: &str) -> Result<Vec<Value>, Error> {
        let subscription = &self.arm.subscription;
        let path = format!(
            "/subscriptions/{subscription}{group}/providers/Microsoft.Network/publicIPAddresses?api-version={API_VERSION}"
        );
        let resource =
            if group.is_empty() { "the subscription's public IPs" } else { "the group's public IPs" };
        self.arm.list("list", resource, &path, self.arm.budget()).await
    }

    /// The public IP, and who holds its label; and why the public IP could not be read, if it could not.
    async fn front(
        &self,
        endpoint: &Endpoint,
        ahead: &Ahead,
    ) -> (Seen<PublicIp>, Seen<LabelHolder>, Option<Error>) {
        let spec = &endpoint.public_ip;
        let public_ip = match self.read(spec).await {
            Ok(Some((_, ip))) => {
                ahead.tell(&endpoint.name, &ip);
                Seen::Present(ip)
            }
            Ok(None) => Seen::Absent,
            Err(error) => {
                let label = Seen::Unknown("not asked, since the public IP could not be read".into());
                return (Seen::Unknown(error.chain()), label, Some(error));
            }
        };
        let held = public_ip.present();
        if held.is_some_and(|ip| ip.label.as_ref() == Some(&spec.label)) {
            return (public_ip, Seen::Absent, None);
        }
        let label = match self.holder(spec, held.map(|ip| ip.id.as_str())).await {
            Ok(holder) => Seen::Present(holder),
            Err(error) => Seen::Unknown(error.chain()),
        };
        (public_ip, label, None)
    }

    async fn create(&self, owner: &Owner, spec: &PublicIpSpec) -> Result<PublicIp, Error> {
        if spec.allocation == Allocation::Dynamic {
            return Err(Error::new(Kind::Rejected, "create", &spec.name)
                .because("Azure sells no addresses with dynamic allocation any more")
                .remedy("set allocation = \"static\""));
        }
        let id = self.id(spec);
        let wanted = |resource: &Value| {
            public_ip::parse(resource)
                .is_ok_and(|ip| ip.label.as_ref() == Some(&spec.label) && ip.mark.as_ref() == Some(owner))
        };
        // The documentation does not promise that `If-None-Match` is honoured here, and a PUT replaces.
        if let Some((resource, ip)) = self.read(spec).await? {
            let made = wanted(&resource) && ip.provisioning == Provisioning::Succeeded;
            return if made { Ok(ip) } else { Err(Error::new(Kind::Stale, "create", &spec.name)) };
        }
        let body = serde_json::to_value(new(owner, spec))
            .map_err(|error| Error::new(Kind::Rejected, "create", &spec.name).because(error))?;
        let write = Write {
            operation: "create",
            method: Method::PUT,
            name: &spec.name,
            id: &id,
            api_version: API_VERSION,
            body: Some(&body),
            condition: Condition::Absent,
            budget: self.arm.budget(),
            holds: &wanted,
        };
        self.written(&write).await
    }

    /// Gives the address its label, or repairs it: in both cases by writing what was read.
    async fn update(&self, spec: &PublicIpSpec, held: &PublicIp) -> Result<PublicIp, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let Some((mut resource, ip)) = self.read(spec).await? else {
                return Err(Error::new(Kind::Missing, "update", &spec.name));
            };
            let labelled = ip.label.as_ref() == Some(&spec.label);
            if labelled && ip.provisioning == Provisioning::Succeeded {
                return Ok(ip);
            }
            if !ip.is_still(held) || ip.provisioning != held.provisioning {
                return Err(Error::new(Kind::Stale, "update", &spec.name));
            }
            if !labelled {
                relabel(&mut resource, &spec.label)?;
            }
            // A repair finds the label there: only that it is sound again tells of the repair.
            let wanted = |resource: &Value| {
                public_ip::parse(resource).is_ok_and(|ip| {
                    ip.label.as_ref() == Some(&spec.label)
                        && (!labelled || ip.provisioning == Provisioning::Succeeded)
                })
            };
            let etag = etag(&ip, "update")?;
            let body = settable(&resource, READ_ONLY);
            let write = Write {
                operation: if labelled { "repair" } else { "relabel" },
                method: Method::PUT,
                name: &spec.name,
                id: &ip.id,
                api_version: API_VERSION,
                body: Some(&body),
                condition: Condition::Unchanged(etag),
                budget: self.arm.budget(),
                holds: &wanted,
            };
            match self.written(&write).await {
                Err(error) if may_try_again(&error, tries) => sleep(pause(tries)).await,
                written => return written,
            }
        }
    }

    async fn delete(&self, owner: &Owner, spec: &PublicIpSpec, held: &PublicIp) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            // Read again: a precondition that the service should overlook must not cost somebody an address.
            let Some((_, ip)) = self.read(spec).await? else { return Ok(()) };
            if ip.mark.as_ref() != Some(owner) {
                return Err(Error::new(Kind::Rejected, "delete", &spec.name)
                    .because("it does not carry our mark, so it is not ours to delete")
                    .remedy("delete it by hand if it is not needed"));
            }
            // A user that was there when this was planned was to go first: if it has not, Azure refuses.
            let taken = ip.attached_to.is_some() && ip.attached_to != held.attached_to;
            if !ip.is_still(held) || taken {
                return Err(Error::new(Kind::Stale, "delete", &spec.name));
            }
            let etag = etag(&ip, "delete")?;
            let write = Write {
                operation: "delete",
                method: Method::DELETE,
                name: &spec.name,
                id: &ip.id,
                api_version: API_VERSION,
                body: None,
                condition: Condition::Unchanged(etag),
                budget: self.arm.budget(),
                holds: &|_| false,
            };
            match self.arm.write(&write).await {
                Err(error) if may_try_again(&error, tries) => sleep(pause(tries)).await,
                written => return written.map(drop),
            }
        }
    }

    async fn written(&self, write: &Write<'_>) -> Result<PublicIp, Error> {
        match self.arm.write(write).await? {
            Some(resource) => known(&resource, write.operation),
            None => Err(Error::new(Kind::Missing, write.operation, write.name)),
        }
    }

    fn id(&self, spec: &PublicIpSpec) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/publicIPAddresses/{}",
            self.arm.subscription, spec.resource_group, spec.name
        )
    }
}

#[async_trait]
impl NetworkProvider for AzureNetwork {
    async fn look(&self, endpoint: &Endpoint, ahead: &Ahead) -> (EndpointState, Option<Error>) {
        let (front, gateway) = futures::join!(self.front(endpoint, ahead), self.gateway(endpoint));
        let (public_ip, label, error) = front;
        (EndpointState { public_ip, label, gateway }, error)
    }

    async fn apply(&self, owner: &Owner, change: &NetworkChange) -> Result<Option<PublicIp>, Error> {
        match (&change.held, change.delete) {
            (None, false) => self.create(owner, &change.spec).await.map(Some),
            (Some(held), false) => self.update(&change.spec, held).await.map(Some),
            (Some(held), true) => self.delete(owner, &change.spec, held).await.map(|()| None),
            (None, true) => Ok(None),
        }
    }
    async fn build(&self, owner: &Owner, change: &GatewayChange) -> Result<(), Error> {
        self.change(owner, change).await
    }

    async fn mapping(
        &self,
        pool: &ResourceId,
        machine: &ResourceId,
        rule: &str,
    ) -> Result<Option<Mapping>, Error> {
        self.mapped(pool, machine, rule).await
    }
}

/// Whether a write that failed is worth another after `tries` of them, for what is read again then.
///
/// The etag of a public IP changes with the frontend before it, and that of a part with its siblings, be it by
/// ourselves: whether it is another thing now shows when it is read.
fn may_try_again(error: &Error, tries: u32) -> bool {
    error.kind() == Kind::Stale && tries < TRIES
}

fn known(resource: &Value, operation: &'static str) -> Result<PublicIp, Error> {
    let name = text_at(resource, &["name"]).unwrap_or("the public IP");
    public_ip::parse(resource).map_err(|odd| implausible(operation, name, &odd))
}

/// What a write must depend on.
fn etag<'i>(ip: &'i PublicIp, operation: &'static str) -> Result<&'i str, Error> {
    let etag = ip.version.0.as_str();
    if etag.is_empty() {
        Err(implausible(operation, super::shown(&ip.id), "it has no etag"))
    } else {
        Ok(etag)
    }
}

/// The body of a creation.
fn new(owner: &Owner, spec: &PublicIpSpec) -> models::PublicIpAddress {
    use models::public_ip_address_dns_settings::DomainNameLabelScope;

    let scope = spec.label_scope.map(|scope| match scope {
        LabelScope::TenantReuse => DomainNameLabelScope::TenantReuse,
        LabelScope::SubscriptionReuse => DomainNameLabelScope::SubscriptionReuse,
        LabelScope::ResourceGroupReuse => DomainNameLabelScope::ResourceGroupReuse,
        LabelScope::NoReuse => DomainNameLabelScope::NoReuse,
    });
    let mut ip = models::PublicIpAddress::new();
    ip.resource.location = Some(spec.location.clone());
    ip.resource.tags = Some(json!({ mark::MANAGED_BY: mark::CNAMED, mark::OWNER: owner.as_str() }));
    // Left out, it would mean Basic, which is refused.
    ip.sku = Some(models::PublicIpAddressSku {
        name: Some(models::public_ip_address_sku::Name::Standard),
        tier: Some(models::public_ip_address_sku::Tier::Regional),
    });
    ip.zones.clone_from(&spec.zones);
    let mut properties = models::PublicIpAddressPropertiesFormat::new();
    properties.public_ip_allocation_method = Some(models::IpAllocationMethod::Static);
    properties.public_ip_address_version = Some(models::IpVersion::IPv4);
    properties.dns_settings = Some(models::PublicIpAddressDnsSettings {
        domain_name_label: Some(spec.label.as_str().to_owned()),
        domain_name_label_scope: scope,
        ..Default::default()
    });
    ip.properties = Some(Box::new(properties));
    ip
}

/// Puts `label` into the JSON of a public IP, and leaves the rest as it is.
fn relabel(resource: &mut Value, label: &DnsLabel) -> Result<(), Error> {
    let name = text_at(resource, &["name"]).unwrap_or("the public IP").to_owned();
    let settings = resource.get_mut("properties").and_then(Value::as_object_mut).map(|properties| {
        let settings = properties.entry("dnsSettings").or_insert_with(|| json!({}));
        if settings.is_null() {
            *settings = json!({});
        }
        settings
    });
    let Some(settings) = settings.and_then(Value::as_object_mut) else {
        return Err(implausible("relabel", &name, "it has no properties"));
    };
    settings.insert("domainNameLabel".into(), label.as_str().into());
    Ok(())
}

/// A region's name as ids spell it: `West Europe` is `westeurope`.
fn region(location: &str) -> String {
    location.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

/// What the specification of public IPs marks as read-only (publicIpAddress.json, network.json).
const READ_ONLY: &[&str] = &[
    "name",
    "type",
    "etag",
    "properties/provisioningState",
    "properties/resourceGuid",
    "properties/ipConfiguration",
    "properties/natGateway/name",
    "properties/natGateway/type",
    "properties/natGateway/etag",
];

/// The version that the generated client speaks.
const API_VERSION: &str = "2024-03-01";

/// How often one thing is written when its etag is lost before.
const TRIES: u32 = 5;
