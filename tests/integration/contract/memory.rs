//! The providers in memory keep the contract.

use async_trait::async_trait;
use cnamed::model::record::RecordType;
use cnamed::model::state::Zone;
use cnamed::provider::memory::{Fault, Held, MemoryDns, Operation};
use cnamed::provider::{DnsProvider, Kind};

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

    fn alias_target(&self) -> Option<String> {
        Some("/subscriptions/0/resourceGroups/rg/providers/Microsoft.Network/publicIPAddresses/pip".into())
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

/// The faults that tests of a round script.
#[tokio::test]
async fn a_scripted_fault_strikes_once_and_as_it_says() {
    let memory = Memory::new().await;
    let name = "www.example.com";
    let creation = || super::change(&memory, name, Vec::new(), Some(super::cname("a.example.net")));
    let script = |fault| memory.provider.script(Operation::Write(fqdn(name)), fault);

    script(Fault::Refused(Kind::Denied));
    assert_eq!(super::apply_one(&memory, creation()).await.unwrap_err().kind(), Kind::Denied);
    script(Fault::RequestLost);
    assert_eq!(super::apply_one(&memory, creation()).await.unwrap_err().kind(), Kind::Unconfirmed);
    assert_eq!(memory.provider.writes(), 0);
    script(Fault::Silent);
    assert_eq!(super::apply_one(&memory, creation()).await.unwrap_err().kind(), Kind::Unconfirmed);
    assert_eq!(memory.provider.writes(), 1, "it was done all the same");
    super::apply_one(&memory, creation()).await.unwrap();
    assert_eq!(memory.provider.writes(), 1, "what stands already is not written again");

    memory.provider.script(Operation::Zones, Fault::Refused(Kind::Unreachable));
    assert_eq!(memory.provider.zones().await.unwrap_err().kind(), Kind::Unreachable);
    assert_eq!(memory.provider.zones().await.unwrap().len(), 1);
}
