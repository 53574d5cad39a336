//! The providers in memory keep the contract.

use async_trait::async_trait;
use cnamed::model::record::RecordType;
use cnamed::model::state::Zone;
use cnamed::provider::DnsProvider;
use cnamed::provider::memory::{Fault, Held, MemoryDns, Operation};

use super::{Lost, Planted, Subject, ZONE};
use crate::laws::world::{AZURE, fqdn, handle};

struct Memory {
    provider: MemoryDns,
    zone: Zone,
}

impl Memory {
    async fn new() -> Self {
        let zone = crate::laws::world::zone(ZONE, "z1", AZURE);
        Self { provider: MemoryDns::new(handle("memory"), vec![zone.clone()]), zone }
    }
}

#[async_trait]
impl Subject for Memory {
    fn provider(&self) -> &dyn DnsProvider {
        &self.provider
    }

    fn has_alias(&self) -> bool {
        true
    }

    async fn plant(&self, name: &str, planted: Planted) {
        let Planted { content, mark, note } = planted;
        self.provider.put(&self.zone, &fqdn(name), Held { content, mark, note });
    }

    async fn held(&self, name: &str, rtype: RecordType) -> Option<Planted> {
        let Held { content, mark, note } = self.provider.held(&self.zone, &fqdn(name), &rtype)?;
        Some(Planted { content, mark, note })
    }

    async fn lose(&self, name: &str, lost: Lost) {
        let fault = match lost {
            Lost::Request => Fault::RequestLost,
            Lost::Answer => Fault::AnswerLost,
        };
        self.provider.script(Operation::Write(fqdn(name)), fault);
    }
}

super::contract!(Memory::new());
