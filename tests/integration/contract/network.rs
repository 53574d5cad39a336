//! One contract, every network provider.

use async_trait::async_trait;
use cnamed::model::endpoint::{Endpoint, Intent, PublicIp, PublicIpSpec};
use cnamed::model::name::DnsLabel;
use cnamed::model::plan::NetworkChange;
use cnamed::model::state::{LabelHolder, Seen};
use cnamed::provider::memory::{Fault, MemoryNetwork, Operation};
use cnamed::provider::{Error, Kind, NetworkProvider};

use super::{Lost, ops};
use crate::laws::world::{self, handle};

/// A network provider under test, and a back door to what it stands in front of.
#[async_trait]
pub(crate) trait NetworkSubject: Send + Sync {
    /// The account, which holds nothing.
    fn provider(&self) -> &dyn NetworkProvider;

    /// Gives a label in the endpoint's region to a stranger.
    async fn take(&self, label: &str);

    /// Changes something on the public IP as somebody else would, so that its version is another.
    async fn touch(&self, endpoint: &Endpoint);

    /// Gives the public IP another label as somebody else would.
    async fn relabel(&self, endpoint: &Endpoint, label: &str);

    /// Makes the answer to the next write of the endpoint get lost, with or without the write itself.
    async fn lose(&self, endpoint: &Endpoint, lost: Lost);
}

/// Runs every clause against the subject that the expression makes: a new one for each.
macro_rules! network_contract {
    ($subject:expr) => {
        crate::contract::network::network_contract! { $subject;
            nothing_is_absent_and_the_label_is_free
            a_public_ip_is_made_with_label_and_mark
            making_what_stands_is_a_success
            a_strangers_label_is_not_to_be_had
            a_rename_keeps_the_address
            a_write_against_another_name_is_stale
            a_new_version_of_the_same_is_the_same
            a_public_ip_is_deleted
            a_lost_answer_is_settled
        }
    };
    ($subject:expr; $($clause:ident)+) => {
        $(
            #[tokio::test]
            async fn $clause() {
                crate::contract::network::clauses::$clause(&$subject.await).await;
            }
        )+
    };
}
pub(crate) use network_contract;

/// As [`world::spec`], in a resource group that is there.
fn spec(at: usize) -> PublicIpSpec {
    PublicIpSpec { resource_group: "rg-mgmt".into(), ..world::spec(at) }
}

fn endpoint() -> Endpoint {
    Endpoint { name: handle("jump"), public_ip: spec(0), gateway: None, intent: Intent::Hold }
}

fn change(spec: PublicIpSpec, held: Option<PublicIp>, delete: bool) -> NetworkChange {
    NetworkChange { endpoint: handle("jump"), spec, held, delete }
}

async fn apply<S: NetworkSubject>(subject: &S, change: NetworkChange) -> Result<Option<PublicIp>, Error> {
    subject.provider().apply(&ops(), &change).await
}

async fn made<S: NetworkSubject>(subject: &S) -> PublicIp {
    apply(subject, change(spec(0), None, false)).await.unwrap().unwrap()
}

pub(crate) mod clauses {
    use super::*;

    pub(crate) async fn nothing_is_absent_and_the_label_is_free<S: NetworkSubject>(subject: &S) {
        let state = subject.provider().observe(&endpoint()).await;
        assert_eq!(state.public_ip, Seen::Absent);
        assert_eq!(state.label, Seen::Present(LabelHolder::Nobody));
    }

    pub(crate) async fn a_public_ip_is_made_with_label_and_mark<S: NetworkSubject>(subject: &S) {
        let ip = made(subject).await;
        assert_eq!(ip.label, Some(spec(0).label));
        assert_eq!(ip.mark, Some(ops()));
        let fqdn = ip.fqdn.clone().unwrap();
        assert!(fqdn.as_str().starts_with("alpha."), "{fqdn}");
        assert!(ip.address.is_some(), "a static address is there from the start");
        let state = subject.provider().observe(&endpoint()).await;
        assert_eq!(state.public_ip, Seen::Present(ip), "the answer is what a look gives");
        assert_eq!(state.label, Seen::Absent, "nobody need be asked");
    }

    pub(crate) async fn making_what_stands_is_a_success<S: NetworkSubject>(subject: &S) {
        let ip = made(subject).await;
        let again = made(subject).await;
        assert_eq!((again.id, again.address, again.fqdn), (ip.id, ip.address, ip.fqdn));
    }

    pub(crate) async fn a_strangers_label_is_not_to_be_had<S: NetworkSubject>(subject: &S) {
        subject.take("alpha").await;
        let state = subject.provider().observe(&endpoint()).await;
        assert_eq!(state.label, Seen::Present(LabelHolder::Stranger));
        let error = apply(subject, change(spec(0), None, false)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected, "{}", error.chain());
        assert_eq!(subject.provider().observe(&endpoint()).await.public_ip, Seen::Absent);
    }

    pub(crate) async fn a_rename_keeps_the_address<S: NetworkSubject>(subject: &S) {
        let ip = made(subject).await;
        let renamed = PublicIpSpec { label: DnsLabel::parse("renamed").unwrap(), ..spec(0) };
        let after = apply(subject, change(renamed.clone(), Some(ip.clone()), false)).await.unwrap().unwrap();
        assert_eq!(after.label, Some(renamed.label));
        assert_eq!((after.id, after.address, after.mark), (ip.id, ip.address, ip.mark));
        assert_ne!(after.version, ip.version, "a write gives a new version");
        assert!(after.fqdn.unwrap().as_str().starts_with("renamed."));
    }

    pub(crate) async fn a_write_against_another_name_is_stale<S: NetworkSubject>(subject: &S) {
        let ip = made(subject).await;
        subject.relabel(&endpoint(), "theirs").await;
        let renamed = PublicIpSpec { label: DnsLabel::parse("renamed").unwrap(), ..spec(0) };
        for stale in [change(renamed, Some(ip.clone()), false), change(spec(0), Some(ip), true)] {
            let error = apply(subject, stale).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
        }
        let state = subject.provider().observe(&endpoint()).await;
        let label = state.public_ip.present().and_then(|ip| ip.label.clone());
        assert_eq!(label.as_ref().map(DnsLabel::as_str), Some("theirs"));
    }

    pub(crate) async fn a_new_version_of_the_same_is_the_same<S: NetworkSubject>(subject: &S) {
        let ip = made(subject).await;
        subject.touch(&endpoint()).await;
        let renamed = PublicIpSpec { label: DnsLabel::parse("renamed").unwrap(), ..spec(0) };
        let ip = apply(subject, change(renamed.clone(), Some(ip), false)).await.unwrap().unwrap();
        subject.touch(&endpoint()).await;
        assert_eq!(apply(subject, change(renamed, Some(ip), true)).await.unwrap(), None);
    }

    pub(crate) async fn a_public_ip_is_deleted<S: NetworkSubject>(subject: &S) {
        let ip = made(subject).await;
        let deletion = change(spec(0), Some(ip), true);
        assert_eq!(apply(subject, deletion.clone()).await.unwrap(), None);
        assert_eq!(subject.provider().observe(&endpoint()).await.public_ip, Seen::Absent);
        assert_eq!(apply(subject, deletion).await.unwrap(), None, "what is gone already is a success");
    }

    pub(crate) async fn a_lost_answer_is_settled<S: NetworkSubject>(subject: &S) {
        subject.lose(&endpoint(), Lost::Answer).await;
        let ip = made(subject).await;
        subject.lose(&endpoint(), Lost::Request).await;
        match apply(subject, change(spec(0), Some(ip), true)).await {
            Ok(after) => assert_eq!(after, None),
            Err(error) => assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain()),
        }
    }
}

mod memory {
    use super::*;

    #[async_trait]
    impl NetworkSubject for MemoryNetwork {
        fn provider(&self) -> &dyn NetworkProvider {
            self
        }

        async fn take(&self, label: &str) {
            Self::take(self, DnsLabel::parse(label).unwrap(), "westeurope");
        }

        async fn touch(&self, endpoint: &Endpoint) {
            let PublicIpSpec { resource_group, name, .. } = &endpoint.public_ip;
            let ip = self.held(resource_group, name).unwrap();
            self.put(resource_group, name, ip);
        }

        async fn relabel(&self, endpoint: &Endpoint, label: &str) {
            let PublicIpSpec { resource_group, name, .. } = &endpoint.public_ip;
            let ip = self.held(resource_group, name).unwrap();
            let label = Some(DnsLabel::parse(label).unwrap());
            self.put(resource_group, name, PublicIp { label, ..ip });
        }

        async fn lose(&self, endpoint: &Endpoint, lost: Lost) {
            let fault = match lost {
                Lost::Request => Fault::RequestLost,
                Lost::Answer => Fault::AnswerLost,
            };
            self.script(Operation::Provision(endpoint.name.clone()), fault);
        }
    }

    async fn fresh() -> MemoryNetwork {
        MemoryNetwork::default()
    }

    network_contract!(fresh());
}
