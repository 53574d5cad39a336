//! What a plan would leave behind, as far as that can be told without asking: for previews and for the laws.

mod gateway;

use super::endpoint::{LabelScope, Provisioning, PublicIp, PublicIpSpec};
use super::name::Fqdn;
use super::plan::{Action, NetworkChange, Plan, RecordChange, Step};
use super::record::{Owner, RecordSet, Version};
use super::state::{EndpointState, LabelHolder, Observed, Seen};

impl Observed {
    /// What would be seen once every step of `plan` has succeeded.
    ///
    /// Azure alone knows the name of a new label and its address; what stands for them here is made up.
    #[must_use]
    pub fn after(&self, plan: &Plan) -> Self {
        self.after_steps(&plan.owner, &plan.steps)
    }

    /// What would be seen once `steps` alone have succeeded, with `owner`'s mark on what they write.
    #[must_use]
    pub fn after_steps<'s>(&self, owner: &Owner, steps: impl IntoIterator<Item = &'s Step>) -> Self {
        let mut after = self.clone();
        for step in steps {
            match &step.action {
                Action::Network(change) => after.make(owner, change),
                Action::Gateway(change) => after.build(owner, change),
                Action::Record(change) => after.write(owner, change),
                Action::Settle(_) => {}
            }
        }
        after
    }

    fn make(&mut self, owner: &Owner, change: &NetworkChange) {
        let freed = change.releases().map(|ip| ip.id.clone());
        let gateway = self.endpoints.get(&change.endpoint).and_then(|state| state.gateway.clone());
        let state = if change.delete {
            EndpointState { public_ip: Seen::Absent, label: Seen::Present(LabelHolder::Nobody), gateway }
        } else {
            // What this plan has put it in front of meanwhile, it stands in front of.
            let present = self.public_ip(&change.endpoint).filter(|_| change.held.is_some());
            let ip = match present.or(change.held.as_ref()) {
                Some(held) => relabelled(held, &change.spec),
                None => imagined(&change.spec, owner),
            };
            EndpointState { public_ip: Seen::Present(ip), label: Seen::Absent, gateway }
        };
        self.endpoints.insert(change.endpoint.clone(), state);
        let Some(freed) = freed else { return };
        for state in self.endpoints.values_mut() {
            if matches!(&state.label, Seen::Present(LabelHolder::Own(id)) if *id == freed) {
                state.label = Seen::Present(LabelHolder::Nobody);
            }
        }
    }

    fn write(&mut self, owner: &Owner, change: &RecordChange) {
        let mut sets = self.sets(&change.key).to_vec();
        sets.retain(|set| !change.before.contains(set));
        sets.extend(change.after.clone().map(|content| RecordSet {
            name: change.key.name.clone(),
            content,
            mark: Some(owner.clone()),
            version: Version("imagined".into()),
            words: change.before.iter().map(|set| set.words).max().unwrap_or_default(),
        }));
        let seen = if sets.is_empty() { Seen::Absent } else { Seen::Present(sets) };
        self.records.insert(change.key.clone(), seen);
    }
}

/// The public IP that `spec` would become.
fn imagined(spec: &PublicIpSpec, owner: &Owner) -> PublicIp {
    PublicIp {
        id: format!("/imagined/{}/{}", spec.resource_group, spec.name),
        guid: None,
        location: spec.location.clone(),
        sku: "Standard".into(),
        allocation: spec.allocation,
        label: Some(spec.label.clone()),
        label_scope: spec.label_scope,
        fqdn: imagined_fqdn(spec, spec.label_scope),
        address: Some([192, 0, 2, 1].into()),
        provisioning: Provisioning::Succeeded,
        attached_to: None,
        mark: Some(owner.clone()),
        version: Version("imagined".into()),
    }
}

/// `held` with the label that `spec` gives it.
fn relabelled(held: &PublicIp, spec: &PublicIpSpec) -> PublicIp {
    let fqdn = match &held.fqdn {
        _ if held.label.as_ref() == Some(&spec.label) => held.fqdn.clone(),
        Some(fqdn) => fqdn
            .as_str()
            .split_once('.')
            .and_then(|(_, rest)| Fqdn::parse(&format!("{}.{rest}", spec.label)).ok()),
        None => imagined_fqdn(spec, held.label_scope),
    };
    PublicIp {
        label: Some(spec.label.clone()),
        fqdn,
        provisioning: Provisioning::Succeeded,
        version: Version(format!("{}, then imagined", held.version.0)),
        ..held.clone()
    }
}

/// The name that a label would have in Azure's public cloud.
fn imagined_fqdn(spec: &PublicIpSpec, scope: Option<LabelScope>) -> Option<Fqdn> {
    let hash = if scope.is_some() { ".imagined" } else { "" };
    Fqdn::parse(&format!("{}{hash}.{}.cloudapp.azure.com", spec.label, spec.location)).ok()
}
