//! What stands behind a public IP: read whole, written in small pieces.
//!
//! A rule is a resource of its own in Azure, and is written as that, so that a group of hundreds of others' rules is
//! never sent back. What has no address of its own (a frontend, a membership) is a change in the JSON that was read.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::operation::{Condition, Write, pause};
use super::super::{at, implausible, text_at};
use super::{API_VERSION, AzureNetwork, edit, may_try_again, parts};
use crate::model::endpoint::{Endpoint, Provisioning};
use crate::model::gateway::{
    GatewayState, HeldNatRule, NetworkInterface, SecurityRule, carries_mark, is_marked,
};
use crate::model::plan::{
    GatewayChange, GroupChange, InterfaceChange, LoadBalancerChange, NatRuleChange, Part,
    SecurityGroupChange, SecurityRuleChange,
};
use crate::model::record::{Owner, mark};
use crate::model::resource_id::ResourceId;
use crate::model::state::Seen;
use crate::provider::{Error, Kind, Mapping};

impl AzureNetwork {
    /// Everything that `endpoint`'s gateway depends on, if it shall have one.
    pub(super) async fn gateway(&self, endpoint: &Endpoint) -> Option<GatewayState> {
        let gateway = endpoint.gateway.as_ref()?;
        // What is named in another subscription is not read, since no credential has to reach it: the guard refuses it
        // by its id.
        let here = |id: &&ResourceId| id.subscription().eq_ignore_ascii_case(&self.arm.subscription);
        let wanted: BTreeSet<ResourceId> =
            gateway.nat_rules.iter().map(|rule| &rule.network_interface).filter(here).cloned().collect();
        let (load_balancer, mut interfaces) = futures::join!(
            self.seen(&gateway.load_balancer, parts::load_balancer),
            self.all_seen(wanted.clone(), parts::interface),
        );
        // A machine that we put behind a rule which nobody wants any more has to be taken out again.
        let marked = load_balancer.present().into_iter().flat_map(|balancer| {
            let ours = balancer.pools.iter().filter(|pool| carries_mark(&pool.name));
            ours.flat_map(|pool| pool.members.iter().map(ResourceId::whole)).collect::<Vec<_>>()
        });
        let more: BTreeSet<ResourceId> = marked.filter(|id| !wanted.contains(id)).collect();
        interfaces.extend(self.all_seen(more, parts::interface).await);

        let held = || interfaces.values().filter_map(Seen::present);
        let configurations = || held().flat_map(|interface| &interface.configurations);
        let subnets = configurations().filter_map(|one| one.subnet.clone()).collect();
        let others = configurations()
            .flat_map(|one| one.pools.iter().chain(&one.nat_rules).map(ResourceId::whole))
            .filter(|other| *other != gateway.load_balancer)
            .collect();
        let (subnets, others) = futures::join!(
            self.all_seen(subnets, parts::subnet),
            self.all_seen(others, parts::load_balancer)
        );
        let access = gateway.nat_rules.iter().filter_map(|rule| rule.access.as_ref());
        let groups = (access.map(|access| &access.network_security_group).filter(here).cloned())
            .chain(held().filter_map(|interface| interface.group.clone()))
            .chain(subnets.values().filter_map(Seen::present).filter_map(|subnet| subnet.group.clone()))
            .collect();
        let groups = self.all_seen(groups, parts::security_group).await;
        Some(GatewayState { load_balancer, interfaces, subnets, groups, others })
    }

    async fn all_seen<T>(
        &self,
        ids: BTreeSet<ResourceId>,
        parse: fn(&Value) -> Result<T, String>,
    ) -> BTreeMap<ResourceId, Seen<T>> {
        let read = ids.into_iter().map(|id| async move {
            let seen = self.seen(&id, parse).await;
            (id, seen)
        });
        join_all(read).await.into_iter().collect()
    }

    async fn seen<T>(&self, id: &ResourceId, parse: fn(&Value) -> Result<T, String>) -> Seen<T> {
        match self.part(id, "read", parse).await {
            Ok(Some((_, known))) => Seen::Present(known),
            Ok(None) => Seen::Absent,
            Err(error) => Seen::Unknown(error.chain()),
        }
    }

    /// A resource as it is and as we know it.
    async fn part<T>(
        &self,
        id: &ResourceId,
        operation: &'static str,
        parse: fn(&Value) -> Result<T, String>,
    ) -> Result<Option<(Value, T)>, Error> {
        let Some(resource) = self.arm.get(operation, id.as_str(), API_VERSION).await? else {
            return Ok(None);
        };
        let known = parse(&resource).map_err(|odd| implausible(operation, id.name(), &odd))?;
        Ok(Some((resource, known)))
    }

    /// Makes `change`.
    pub(super) async fn change(&self, owner: &Owner, change: &GatewayChange) -> Result<(), Error> {
        match &change.part {
            Part::LoadBalancer(change) => self.balancer(owner, change).await,
            Part::NatRule(change) => self.nat_rule(owner, change).await,
            Part::SecurityGroup(change) => self.group(owner, change).await,
            Part::SecurityRule(change) => self.rule(owner, change).await,
            Part::Interface(change) => self.interface(change).await,
        }
    }

    async fn balancer(&self, owner: &Owner, change: &LoadBalancerChange) -> Result<(), Error> {
        let holds =
            |resource: &Value| parts::load_balancer(resource).is_ok_and(|held| edit::is_made(&held, change));
        let read = self.part(&change.id, verb(change), parts::load_balancer).await?;
        let Some((resource, held)) = read else {
            if change.delete {
                return Ok(());
            }
            if change.held.is_some() {
                return Err(Error::new(Kind::Stale, "update", change.id.name()));
            }
            let mut body = json!({
                "location": change.location,
                "sku": {"name": "Standard", "tier": "Regional"},
                "tags": tags(owner),
                "properties": {},
            });
            edit::balancer(&mut body, change);
            return self.put(&change.id, "create", &body, Condition::Absent, &holds).await;
        };
        if change.delete {
            // What somebody put there since is not ours to delete.
            if held.mark.as_ref() != Some(owner) || held.of_others(owner).is_some() {
                return Err(Error::new(Kind::Stale, "delete", change.id.name()));
            }
            return self.take_away(&change.id, &resource).await;
        }
        if edit::is_made(&held, change) && held.provisioning == Provisioning::Succeeded {
            return Ok(());
        }
        if change.held.is_none() || !change.meets(&held) {
            return Err(Error::new(Kind::Stale, verb(change), change.id.name()));
        }
        let mut body = edit::settable_parts(&resource);
        edit::balancer(&mut body, change);
        let etag = etag(&resource, "update", &change.id)?;
        self.put(&change.id, "update", &body, Condition::Unchanged(etag), &holds).await
    }

    async fn nat_rule(&self, owner: &Owner, change: &NatRuleChange) -> Result<(), Error> {
        let Some(name) = change.wanted.as_ref().or(change.held.as_ref()).map(|rule| &rule.name) else {
            return Ok(());
        };
        let id = change.load_balancer.part("inboundNatRules", name);
        let body = change.wanted.as_ref().map(edit::nat_rule);
        let same = |a: &HeldNatRule, b: &HeldNatRule| {
            let b = HeldNatRule { provisioning: a.provisioning, ..b.clone() };
            *a == HeldNatRule { target: a.target.clone(), ..b }
        };
        let made = |rule: &HeldNatRule| rule.provisioning == Provisioning::Succeeded;
        let (held, wanted) = (change.held.as_ref(), change.wanted.as_ref());
        self.child(
            owner,
            Child { id: &id, held, wanted, body, parse: parts::nat_rule, same: &same, made: &made },
        )
        .await
    }

    async fn rule(&self, owner: &Owner, change: &SecurityRuleChange) -> Result<(), Error> {
        let Some(name) = change.wanted.as_ref().or(change.held.as_ref()).map(|rule| &rule.name) else {
            return Ok(());
        };
        let id = change.group.part("securityRules", name);
        let body = change.wanted.as_ref().map(edit::security_rule);
        let same = |a: &SecurityRule, b: &SecurityRule| a == b;
        let (held, wanted) = (change.held.as_ref(), change.wanted.as_ref());
        let made = |_: &SecurityRule| true;
        self.child(
            owner,
            Child { id: &id, held, wanted, body, parse: parts::security_rule, same: &same, made: &made },
        )
        .await
    }

    /// Writes or deletes a part that is a resource of its own, if it is as it was planned against.
    async fn child<T: Sync>(&self, owner: &Owner, child: Child<'_, T>) -> Result<(), Error> {
        let Child { id, held, wanted, body, parse, same, made } = child;
        let operation = match (held, wanted) {
            (_, None) => "delete",
            (None, Some(_)) => "create",
            (Some(_), Some(_)) => "update",
        };
        // Whatever a plan says: only what carries our mark is ours to change.
        if !is_marked(owner, id.name()) {
            return Err(Error::new(Kind::Rejected, operation, id.name())
                .because("its name does not carry our mark, so it is not ours to change"));
        }
        let holds = |resource: &Value| match (parse(resource), wanted) {
            (Ok(found), Some(wanted)) => same(&found, wanted),
            _ => false,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let read = self.part(id, operation, parse).await?;
            let written = match (&read, held, wanted, &body) {
                (None, _, None, _) => return Ok(()),
                (Some((resource, found)), Some(held), None, _) if same(found, held) => {
                    self.take_away(id, resource).await
                }
                (Some((resource, found)), _, Some(wanted), Some(body)) => {
                    let at_rest = text_at(resource, &["properties", "provisioningState"])
                        .is_none_or(|state| state.eq_ignore_ascii_case("Succeeded"));
                    if same(found, wanted) && made(found) && at_rest {
                        return Ok(());
                    }
                    if !held.is_some_and(|held| same(found, held)) {
                        return Err(Error::new(Kind::Stale, operation, id.name()));
                    }
                    let body = edit::over(resource, body);
                    let etag = etag(resource, operation, id)?;
                    self.put(id, operation, &body, Condition::Unchanged(etag), &holds).await
                }
                (None, None, Some(_), Some(body)) => {
                    self.put(id, operation, body, Condition::Absent, &holds).await
                }
                _ => return Err(Error::new(Kind::Stale, operation, id.name())),
            };
            match written {
                Err(error) if may_try_again(&error, tries) => sleep(pause(tries)).await,
                written => return written,
            }
        }
    }

    async fn group(&self, owner: &Owner, change: &SecurityGroupChange) -> Result<(), Error> {
        let SecurityGroupChange { id, location, held } = change;
        let operation = if held.is_some() { "delete" } else { "create" };
        let read = self.part(id, operation, parts::security_group).await?;
        match (read, held) {
            (None, Some(_)) => Ok(()),
            (Some((resource, found)), Some(_)) => {
                let foreign = found.foreign(owner).next().is_some() || !found.users.is_empty();
                if found.mark.as_ref() != Some(owner) || foreign {
                    return Err(Error::new(Kind::Stale, operation, id.name()));
                }
                self.take_away(id, &resource).await
            }
            (Some((_, found)), None) => {
                let made =
                    found.mark.as_ref() == Some(owner) && found.provisioning == Provisioning::Succeeded;
                if made { Ok(()) } else { Err(Error::new(Kind::Stale, operation, id.name())) }
            }
            (None, None) => {
                let body = json!({"location": location, "tags": tags(owner), "properties": {}});
                let holds = |resource: &Value| {
                    parts::security_group(resource).is_ok_and(|found| found.mark.as_ref() == Some(owner))
                };
                self.put(id, operation, &body, Condition::Absent, &holds).await
            }
        }
    }

    async fn interface(&self, change: &InterfaceChange) -> Result<(), Error> {
        let id = &change.held.id;
        let Some((resource, found)) = self.part(id, "update", parts::interface).await? else {
            return Err(Error::new(Kind::Stale, "update", id.name()));
        };
        let done = |found: &NetworkInterface| edit::is_attached(found, change);
        if done(&found) && found.provisioning == Provisioning::Succeeded {
            return Ok(());
        }
        // One that got a security group meanwhile has one that is not ours to replace.
        let other = match &change.group {
            GroupChange::Set(group) => found.group.as_ref().is_some_and(|held| held != group),
            GroupChange::Cleared => found.group != change.held.group && found.group.is_some(),
            GroupChange::Kept => false,
        };
        let primary = |one: &NetworkInterface| one.primary().map(|one| one.name.clone());
        if other || primary(&found) != primary(&change.held) {
            return Err(Error::new(Kind::Stale, "update", id.name()));
        }
        let mut body = edit::settable_parts(&resource);
        edit::interface(&mut body, change, primary(&found).as_deref());
        let etag = etag(&resource, "update", id)?;
        let holds = |resource: &Value| parts::interface(resource).is_ok_and(|found| done(&found));
        self.put(id, "update", &body, Condition::Unchanged(etag), &holds).await
    }

    async fn put(
        &self,
        id: &ResourceId,
        operation: &'static str,
        body: &Value,
        condition: Condition<'_>,
        holds: &(dyn Fn(&Value) -> bool + Send + Sync),
    ) -> Result<(), Error> {
        let write = Write {
            operation,
            method: Method::PUT,
            name: id.name(),
            id: id.as_str(),
            api_version: API_VERSION,
            body: Some(body),
            condition,
            budget: self.arm.budget(),
            holds,
        };
        match self.arm.write(&write).await? {
            Some(_) => Ok(()),
            None => Err(Error::new(Kind::Missing, operation, id.name())),
        }
    }

    async fn take_away(&self, id: &ResourceId, resource: &Value) -> Result<(), Error> {
        let write = Write {
            operation: "delete",
            method: Method::DELETE,
            name: id.name(),
            id: id.as_str(),
            api_version: API_VERSION,
            body: None,
            condition: Condition::Unchanged(etag(resource, "delete", id)?),
            budget: self.arm.budget(),
            holds: &|_| false,
        };
        self.arm.write(&write).await.map(drop)
    }

    /// Asks Azure itself which port it maps (`queryInboundNatRulePortMapping`).
    pub(super) async fn mapped(
        &self,
        pool: &ResourceId,
        machine: &ResourceId,
        rule: &str,
    ) -> Result<Option<Mapping>, Error> {
        let Some((_, interface)) = self.part(machine, "read", parts::interface).await? else {
            return Ok(None);
        };
        let Some(member) = interface.primary_id() else { return Ok(None) };
        let body = json!({"ipConfiguration": {"id": member.as_str()}});
        let action = format!("{pool}/queryInboundNatRulePortMapping");
        let Some(answer) =
            self.arm.ask("read the port mapping of", rule, &action, API_VERSION, &body).await?
        else {
            return Ok(None);
        };
        let listed = at(&answer, &["inboundNatRulePortMappings"]).and_then(Value::as_array);
        let port = |mapping: &Value, key: &str| {
            mapping.get(key).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
        };
        Ok(listed.into_iter().flatten().find_map(|mapping| {
            let named = text_at(mapping, &["inboundNatRuleName"])?.eq_ignore_ascii_case(rule);
            let ports = (port(mapping, "frontendPort")?, port(mapping, "backendPort")?);
            named.then_some(Mapping { frontend_port: ports.0, backend_port: ports.1 })
        }))
    }
}

/// A part of a resource that is a resource of its own.
struct Child<'c, T> {
    id: &'c ResourceId,
    held: Option<&'c T>,
    wanted: Option<&'c T>,
    body: Option<Value>,
    parse: fn(&Value) -> Result<T, String>,
    same: &'c (dyn Fn(&T, &T) -> bool + Send + Sync),
    made: &'c (dyn Fn(&T) -> bool + Send + Sync),
}

/// What a write must depend on.
fn etag<'r>(resource: &'r Value, operation: &'static str, id: &ResourceId) -> Result<&'r str, Error> {
    text_at(resource, &["etag"]).ok_or_else(|| implausible(operation, id.name(), "it has no etag"))
}

fn tags(owner: &Owner) -> Value {
    json!({ mark::MANAGED_BY: mark::CNAMED, mark::OWNER: owner.as_str() })
}

fn verb(change: &LoadBalancerChange) -> &'static str {
    match (change.delete, &change.held) {
        (true, _) => "delete",
        (false, None) => "create",
        (false, Some(_)) => "update",
    }
}
