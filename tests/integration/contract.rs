//! One contract, every DNS provider.
//!
//! A provider joins with a [`Subject`] and one line of [`contract!`].

mod azure;
mod cloudflare;
mod gateway;
mod memory;
mod network;
mod reads;
mod writes;

use async_trait::async_trait;
use cnamed::model::name::Fqdn;
use cnamed::model::plan::RecordChange;
use cnamed::model::record::{Content, Data, Owner, RecordSet, RecordType};
use cnamed::model::state::{RecordKey, Seen, Zone};
use cnamed::provider::{DnsProvider, Error, Look};

use crate::laws::world::{fqdn, owner, ttl};

/// A provider under test, and a back door to what it stands in front of.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    /// The account, which holds the zone `example.com` and nothing in it but what every zone has.
    fn provider(&self) -> &dyn DnsProvider;

    /// The id of a resource that an alias record set of Azure's may follow; `None` where there are no such sets.
    fn alias_target(&self) -> Option<String>;

    /// Writes as somebody else would, over what is there of the same type. `name` is as a person would write it.
    async fn plant(&self, name: &str, planted: Planted);

    /// What really stands at a name, of one type.
    async fn held(&self, name: &str, rtype: RecordType) -> Option<Planted>;

    /// Makes the answer to the next write of `name` get lost, with or without the write itself.
    async fn lose(&self, name: &str, lost: Lost);
}

/// What somebody wrote, or what stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planted {
    pub(crate) content: Content,
    pub(crate) mark: Option<Owner>,
    /// A person's words beside the record: a comment, or metadata of another key.
    pub(crate) note: String,
}

/// What gets lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The request never arrives.
    Request,
    /// The write is made, and its answer does not arrive.
    Answer,
}

/// Runs every clause against the subject that the expression makes: a new one for each.
macro_rules! contract {
    ($subject:expr; $($part:ident: $($clause:ident)+;)+) => {
        $($(
            #[tokio::test]
            async fn $clause() {
                super::$part::$clause(&$subject.await).await;
            }
        )+)+
    };
    ($subject:expr) => {
        crate::contract::contract! { $subject;
            reads:
                a_zone_is_listed
                a_name_that_nobody_holds_is_absent
                every_type_at_a_name_is_seen
                marked_records_are_found_wherever_they_stand
                names_come_back_absolute_and_lower_case
                an_alias_is_present
                every_page_is_read;
            writes:
                a_record_is_created_with_its_mark
                a_record_is_changed_in_place
                a_type_is_changed
                a_record_is_withdrawn
                every_property_is_written
                what_stands_already_is_a_success
                what_is_gone_already_is_a_success
                a_change_against_an_old_version_is_stale
                a_withdrawal_against_an_old_version_is_stale
                a_creation_that_lost_the_race_is_stale
                what_others_wrote_beside_survives
                an_adopted_record_gets_the_mark
                other_types_at_the_name_survive
                changes_are_answered_in_order
                one_failure_holds_back_no_other
                a_lost_answer_is_settled
                a_lost_request_changes_nothing;
        }
    };
}
pub(crate) use contract;

/// The zone under test.
pub(crate) const ZONE: &str = "example.com";

fn ops() -> Owner {
    owner("ops")
}

async fn zone<S: Subject>(subject: &S) -> Zone {
    let zones = subject.provider().zones().await.unwrap();
    zones.into_iter().find(|zone| zone.name.apex().as_str() == ZONE).unwrap()
}

fn cname(target: &str) -> Content {
    Content { data: Data::Cname(fqdn(target)), ttl: ttl(300), proxied: false }
}

fn address(last: u8) -> Content {
    Content { data: Data::A([[203, 0, 113, last].into()].into()), ttl: ttl(300), proxied: false }
}

fn text() -> Content {
    let data = Data::Opaque { rtype: RecordType::from("TXT"), text: "hello".into() };
    Content { data, ttl: ttl(300), proxied: false }
}

fn foreign(content: Content) -> Planted {
    Planted { content, mark: None, note: String::new() }
}

fn mine(content: Content) -> Planted {
    Planted { content, mark: Some(ops()), note: String::new() }
}

/// What the provider sees at `name`.
async fn seen<S: Subject>(subject: &S, name: &str) -> Vec<RecordSet> {
    let look = Look { names: [fqdn(name)].into(), marked: None };
    let mut found = subject.provider().observe(&zone(subject).await, &look).await.unwrap();
    match found.remove(&fqdn(name)) {
        Some(Seen::Present(sets)) => sets,
        Some(Seen::Absent) => Vec::new(),
        other => panic!("{name}: {other:?}"),
    }
}

fn change<S: Subject>(
    subject: &S,
    name: &str,
    before: Vec<RecordSet>,
    after: Option<Content>,
) -> RecordChange {
    let key = RecordKey { name: fqdn(name), account: subject.provider().account().clone() };
    RecordChange { key, before, after }
}

async fn apply<S: Subject>(subject: &S, changes: &[RecordChange]) -> Vec<Result<Vec<RecordSet>, Error>> {
    let answers = subject.provider().apply(&zone(subject).await, &ops(), changes).await;
    assert_eq!(answers.len(), changes.len(), "one answer for each change");
    answers
}

async fn apply_one<S: Subject>(subject: &S, change: RecordChange) -> Result<Vec<RecordSet>, Error> {
    apply(subject, &[change]).await.remove(0)
}

fn contents(sets: &[RecordSet]) -> Vec<&Content> {
    sets.iter().map(|set| &set.content).collect()
}

fn names(names: &[&str]) -> std::collections::BTreeSet<Fqdn> {
    names.iter().map(|name| fqdn(name)).collect()
}
