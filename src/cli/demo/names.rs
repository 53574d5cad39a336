//! The chapters about names: nothing to do, another address, helpful hands, and what somebody else made.

use super::proof::Proofs;
use super::{Story, shown};
use crate::cli::args::{Global, SyncArgs};
use crate::cli::exit::Exit;
use crate::cli::sync;
use crate::sandbox::{DnsFault, NameServer, RecordAtAzure};

impl Story<'_> {
    pub(super) async fn idle(&self, proofs: &mut Proofs) {
        self.chapter("Once more", "Nothing changed, so nothing is written.", "cnamed sync");
        self.sandbox.forget_requests();
        let exit = self.sync().await;
        let requests = self.sandbox.requests().len();
        let held = exit == Exit::InSync && self.writes() == 0;
        proofs.add(
            "a second sync writes nothing",
            held,
            format!("{requests} reads, {} writes", self.writes()),
        );
    }

    pub(super) async fn moved(&self, proofs: &mut Proofs) {
        let before = self.held_address().await;
        self.chapter(
            "The address changes",
            "Somebody deletes the public IP and makes it anew, with the same label: a new address.",
            "cnamed sync",
        );
        let done = self.sandbox.control().recreate_public_ip("pip-jump");
        self.sandbox.forget_requests();
        let exit = self.sync().await;
        let after = self.held_address().await;
        let changed = done.is_ok() && before != after && after.is_some();
        proofs.add("the address is another one", changed, format!("{} -> {}", shown(before), shown(after)));
        proofs.add(
            "no record had to be written",
            exit == Exit::InSync && self.writes() == 0,
            format!("{} writes", self.writes()),
        );
        let seen = self.wait_for(after).await;
        proofs.add("the name leads to the new address, once its TTL is over", seen == after, shown(seen));
    }

    pub(super) async fn drift(&self, proofs: &mut Proofs) {
        self.chapter(
            "Somebody helps",
            "In Cloudflare the proxy is turned on; in Azure DNS the TTL is set to an hour by hand.",
            "cnamed plan",
        );
        let control = self.sandbox.control();
        // The portal keeps a record set's metadata when its TTL is edited, and so its mark.
        let target = self.held_name().await;
        let mut edited = RecordAtAzure::new(self.name.as_str(), "CNAME", &target);
        let owner = self.composition.config.owner.to_string();
        edited.metadata =
            [("managed-by".to_owned(), "cnamed".to_owned()), ("owner".to_owned(), owner)].into();
        let drifted =
            control.proxy(self.name.as_str(), true).is_ok() && control.set_record_azure(&edited).is_ok();
        let planned = self.plan().await;
        proofs.add(
            "plan names the drift",
            drifted && planned == Exit::Pending,
            format!("exit {}", planned.code()),
        );
        self.then("cnamed sync");
        self.sandbox.forget_requests();
        let exit = self.sync().await;
        proofs.add(
            "sync heals it in place",
            exit == Exit::InSync && self.writes() == 2,
            format!("{} writes", self.writes()),
        );
    }

    pub(super) async fn doubted(&self, proofs: &mut Proofs) {
        self.chapter(
            "A name server that fails",
            "Both accounts hold what they should, and one of Azure DNS's two name servers answers SERVFAIL.",
            "cnamed status",
        );
        let control = self.sandbox.control();
        control.dns_fault(NameServer::Azure1, Some(DnsFault::ServFail));
        let (doubted, round) = self.status().await;
        control.dns_fault(NameServer::Azure1, None);
        let mut links = round.into_iter().flat_map(|round| round.chains).flat_map(|chain| chain.links);
        let named = links.any(|link| link.detail.contains("SERVFAIL"));
        self.then("cnamed status");
        let (sure, _) = self.status().await;
        proofs.add(
            "in sync is what every name server says",
            doubted == Exit::Unverified && named && sure == Exit::InSync,
            format!("exit {} with one that fails, {} without", doubted.code(), sure.code()),
        );
    }

    pub(super) async fn foreign(&self, proofs: &mut Proofs) {
        let strangers = self.sandbox.control().records_without(self.name.as_str());
        self.chapter(
            "A name that is not ours",
            "The configuration now also names www.example.com, which somebody else made.",
            "cnamed sync",
        );
        let text = std::fs::read_to_string(&self.global.config).unwrap_or_default();
        let more = "\n[[record]]\nname = \"www.example.com\"\nendpoint = \"jump\"\naccounts = [\"azure\"]\nttl = 30\n";
        let both = self.global.config.with_file_name("both.toml");
        let wrote = std::fs::write(&both, text + more);
        let global = Global { config: both, ..self.global.clone() };
        self.sandbox.forget_requests();
        let exit = sync::run(&global, &SyncArgs::default(), self.output).await;
        let refused = wrote.is_ok() && exit == Exit::Refused && self.writes() == 0;
        proofs.add(
            "a foreign record is refused, not touched",
            refused,
            format!("exit {}, {} writes", exit.code(), self.writes()),
        );
        let same = self.sandbox.control().records_without(self.name.as_str()) == strangers;
        proofs.add(
            "every foreign record is as it was",
            same,
            format!("{} records compared", strangers.len()),
        );
    }
}
