//! What looking gives.

use cnamed::model::record::{Content, Data, RecordType};
use cnamed::model::state::Seen;
use cnamed::provider::Look;

use super::{Planted, Subject, ZONE, address, cname, contents, foreign, mine, names, ops, seen, text, zone};
use crate::laws::world::{fqdn, owner, ttl};

pub(super) async fn a_zone_is_listed<S: Subject>(subject: &S) {
    assert_eq!(zone(subject).await.name.apex(), &fqdn(ZONE));
}

pub(super) async fn a_name_that_nobody_holds_is_absent<S: Subject>(subject: &S) {
    let look = Look { names: names(&["www.example.com", "other.example.com"]), marked: Some(ops()) };
    let found = subject.provider().observe(&zone(subject).await, &look).await.unwrap();
    let absent = [(fqdn("other.example.com"), Seen::Absent), (fqdn("www.example.com"), Seen::Absent)];
    assert_eq!(found, absent.into());
}

pub(super) async fn every_type_at_a_name_is_seen<S: Subject>(subject: &S) {
    subject.plant("www.example.com", foreign(address(1))).await;
    subject.plant("www.example.com", foreign(text())).await;
    let types: Vec<RecordType> =
        seen(subject, "www.example.com").await.iter().map(|set| set.content.data.rtype()).collect();
    assert_eq!(types.len(), 2, "{types:?}");
    assert!(types.contains(&RecordType::A) && types.contains(&RecordType::from("TXT")), "{types:?}");
}

pub(super) async fn marked_records_are_found_wherever_they_stand<S: Subject>(subject: &S) {
    subject.plant("ours.example.com", mine(cname("a.example.net"))).await;
    let others = Planted { mark: Some(owner("others")), ..mine(cname("b.example.net")) };
    subject.plant("theirs.example.com", others).await;
    subject.plant("nobodys.example.com", foreign(cname("c.example.net"))).await;
    let look = Look { names: names(&["nobodys.example.com"]), marked: Some(ops()) };
    let found = subject.provider().observe(&zone(subject).await, &look).await.unwrap();
    let found: Vec<String> = found.keys().map(ToString::to_string).collect();
    assert_eq!(found, ["nobodys.example.com", "ours.example.com"]);
    let theirs = seen(subject, "theirs.example.com").await;
    assert_eq!(theirs[0].mark, Some(owner("others")));
}

pub(super) async fn names_come_back_absolute_and_lower_case<S: Subject>(subject: &S) {
    subject.plant("Www.EXAMPLE.com", mine(cname("Target.Example.NET."))).await;
    subject.plant("bücher.example.com", mine(cname("straße.example.net"))).await;
    let look = Look { names: names(&["www.example.com"]), marked: Some(ops()) };
    let found = subject.provider().observe(&zone(subject).await, &look).await.unwrap();
    let found: Vec<String> = found.keys().map(ToString::to_string).collect();
    assert_eq!(found, ["www.example.com", "xn--bcher-kva.example.com"]);
    let sets = seen(subject, "www.example.com").await;
    assert_eq!(contents(&sets), [&cname("target.example.net")]);
    assert_eq!(sets[0].name, fqdn("www.example.com"));
}

pub(super) async fn an_alias_is_present<S: Subject>(subject: &S) {
    if !subject.has_alias() {
        return;
    }
    let data = Data::Alias {
        rtype: RecordType::A,
        target: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Network/publicIPAddresses/pip".into(),
    };
    let content = Content { data, ttl: ttl(300), proxied: false };
    subject.plant("www.example.com", foreign(content.clone())).await;
    let sets = seen(subject, "www.example.com").await;
    assert_eq!(sets.len(), 1);
    assert!(sets[0].content.data.same(&content.data), "{:?}", sets[0]);
}

pub(super) async fn every_page_is_read<S: Subject>(subject: &S) {
    for at in 0..1_205 {
        let planted = if at % 2 == 0 { mine(cname("a.example.net")) } else { foreign(address(1)) };
        subject.plant(&format!("n{at:04}.example.com"), planted).await;
    }
    let look = Look { names: names(&["n0001.example.com", "n1203.example.com"]), marked: Some(ops()) };
    let found = subject.provider().observe(&zone(subject).await, &look).await.unwrap();
    assert_eq!(found.len(), 603 + 2);
    assert!(found.values().all(|seen| seen.present().is_some_and(|sets| sets.len() == 1)));
}
