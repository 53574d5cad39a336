//! What writing does.

use cnamed::model::record::{Content, RecordType};
use cnamed::provider::Kind;

use super::{
    Lost, Planted, Subject, address, apply, apply_one, change, cname, contents, foreign, mine, ops, seen,
    text, zone,
};
use crate::laws::world::{owner, ttl};

const NAME: &str = "www.example.com";

async fn create<S: Subject>(subject: &S, name: &str, content: Content) {
    apply_one(subject, change(subject, name, Vec::new(), Some(content))).await.unwrap();
}

pub(super) async fn a_record_is_created_with_its_mark<S: Subject>(subject: &S) {
    let answer =
        apply_one(subject, change(subject, NAME, Vec::new(), Some(cname("a.example.net")))).await.unwrap();
    assert_eq!(contents(&answer), [&cname("a.example.net")]);
    assert_eq!(answer[0].mark, Some(ops()));
    assert_eq!(answer, seen(subject, NAME).await, "the answer is what a look gives");
    assert_eq!(subject.held(NAME, RecordType::Cname).await, Some(mine(cname("a.example.net"))));
}

pub(super) async fn a_record_is_changed_in_place<S: Subject>(subject: &S) {
    create(subject, NAME, cname("a.example.net")).await;
    let before = seen(subject, NAME).await;
    let answer = apply_one(subject, change(subject, NAME, before.clone(), Some(cname("b.example.net"))))
        .await
        .unwrap();
    assert_eq!(contents(&answer), [&cname("b.example.net")]);
    assert_ne!(answer[0].version, before[0].version, "a write gives a new version");
    assert_eq!(answer, seen(subject, NAME).await);
}

pub(super) async fn a_type_is_changed<S: Subject>(subject: &S) {
    create(subject, NAME, address(1)).await;
    let before = seen(subject, NAME).await;
    apply_one(subject, change(subject, NAME, before, Some(cname("b.example.net")))).await.unwrap();
    assert_eq!(subject.held(NAME, RecordType::A).await, None);
    let before = seen(subject, NAME).await;
    assert_eq!(contents(&before), [&cname("b.example.net")]);
    apply_one(subject, change(subject, NAME, before, Some(address(2)))).await.unwrap();
    let after = seen(subject, NAME).await;
    assert_eq!(contents(&after), [&address(2)]);
    assert_eq!(after[0].mark, Some(ops()));
}

pub(super) async fn a_record_is_withdrawn<S: Subject>(subject: &S) {
    create(subject, NAME, cname("a.example.net")).await;
    let before = seen(subject, NAME).await;
    let answer = apply_one(subject, change(subject, NAME, before, None)).await.unwrap();
    assert_eq!(answer, []);
    assert_eq!(seen(subject, NAME).await, []);
    assert_eq!(subject.held(NAME, RecordType::Cname).await, None);
}

pub(super) async fn every_property_is_written<S: Subject>(subject: &S) {
    let proxied = zone(subject).await.rules.proxying;
    let wide = Content { ttl: ttl(3600), ..cname("a.example.net") };
    create(subject, NAME, wide.clone()).await;
    assert_eq!(contents(&seen(subject, NAME).await), [&wide]);
    let other = if proxied {
        Content { ttl: ttl(1), proxied: true, ..wide }
    } else {
        Content { ttl: ttl(120), ..wide }
    };
    let before = seen(subject, NAME).await;
    apply_one(subject, change(subject, NAME, before, Some(other.clone()))).await.unwrap();
    assert_eq!(contents(&seen(subject, NAME).await), [&other]);
}

pub(super) async fn what_stands_already_is_a_success<S: Subject>(subject: &S) {
    let creation = change(subject, NAME, Vec::new(), Some(cname("a.example.net")));
    apply_one(subject, creation.clone()).await.unwrap();
    let before = seen(subject, NAME).await;
    let answer = apply_one(subject, creation).await.unwrap();
    assert_eq!(contents(&answer), [&cname("a.example.net")]);
    let update = change(subject, NAME, before, Some(cname("b.example.net")));
    apply_one(subject, update.clone()).await.unwrap();
    let answer = apply_one(subject, update).await.unwrap();
    assert_eq!(contents(&answer), [&cname("b.example.net")]);
    assert_eq!(contents(&seen(subject, NAME).await), [&cname("b.example.net")]);
}

pub(super) async fn what_is_gone_already_is_a_success<S: Subject>(subject: &S) {
    create(subject, NAME, cname("a.example.net")).await;
    let withdrawal = change(subject, NAME, seen(subject, NAME).await, None);
    apply_one(subject, withdrawal.clone()).await.unwrap();
    assert_eq!(apply_one(subject, withdrawal).await.unwrap(), []);
}

pub(super) async fn a_change_against_an_old_version_is_stale<S: Subject>(subject: &S) {
    create(subject, NAME, cname("a.example.net")).await;
    let before = seen(subject, NAME).await;
    subject.plant(NAME, mine(cname("elsewhere.example.net"))).await;
    let error =
        apply_one(subject, change(subject, NAME, before, Some(cname("b.example.net")))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
    let held = subject.held(NAME, RecordType::Cname).await.unwrap();
    assert_eq!(held.content, cname("elsewhere.example.net"), "nothing was changed");
}

pub(super) async fn a_withdrawal_against_an_old_version_is_stale<S: Subject>(subject: &S) {
    create(subject, NAME, cname("a.example.net")).await;
    let before = seen(subject, NAME).await;
    subject.plant(NAME, foreign(cname("elsewhere.example.net"))).await;
    let error = apply_one(subject, change(subject, NAME, before, None)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
    let held = subject.held(NAME, RecordType::Cname).await.unwrap();
    assert_eq!(held.content, cname("elsewhere.example.net"), "nothing was changed");
}

pub(super) async fn a_creation_that_lost_the_race_is_stale<S: Subject>(subject: &S) {
    let theirs = foreign(cname("theirs.example.net"));
    subject.plant(NAME, theirs.clone()).await;
    let error = apply_one(subject, change(subject, NAME, Vec::new(), Some(cname("a.example.net"))))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Stale, "{}", error.chain());
    assert_eq!(subject.held(NAME, RecordType::Cname).await, Some(theirs), "nothing was changed");
}

pub(super) async fn what_others_wrote_beside_survives<S: Subject>(subject: &S) {
    let note = "ring the network team first".to_owned();
    subject.plant(NAME, Planted { note: note.clone(), ..mine(cname("a.example.net")) }).await;
    let before = seen(subject, NAME).await;
    assert_eq!(before[0].mark, Some(ops()));
    apply_one(subject, change(subject, NAME, before, Some(cname("b.example.net")))).await.unwrap();
    let held = subject.held(NAME, RecordType::Cname).await.unwrap();
    assert_eq!(held, Planted { note, ..mine(cname("b.example.net")) });
}

pub(super) async fn an_adopted_record_gets_the_mark<S: Subject>(subject: &S) {
    for (name, mark) in [("a.example.com", None), ("b.example.com", Some(owner("others")))] {
        let note = "since 2019".to_owned();
        let theirs = Planted { mark, note: note.clone(), ..foreign(cname("a.example.net")) };
        subject.plant(name, theirs).await;
        let before = seen(subject, name).await;
        apply_one(subject, change(subject, name, before, Some(cname("a.example.net")))).await.unwrap();
        let held = subject.held(name, RecordType::Cname).await.unwrap();
        assert_eq!(held, Planted { note, ..mine(cname("a.example.net")) });
    }
}

pub(super) async fn other_types_at_the_name_survive<S: Subject>(subject: &S) {
    subject.plant(NAME, foreign(text())).await;
    subject.plant("beside.example.com", foreign(address(9))).await;
    create(subject, NAME, address(1)).await;
    let ours: Vec<_> = seen(subject, NAME).await.into_iter().filter(|set| set.mark.is_some()).collect();
    apply_one(subject, change(subject, NAME, ours, Some(address(2)))).await.unwrap();
    let ours: Vec<_> = seen(subject, NAME).await.into_iter().filter(|set| set.mark.is_some()).collect();
    assert_eq!(contents(&ours), [&address(2)]);
    apply_one(subject, change(subject, NAME, ours, None)).await.unwrap();
    assert!(subject.held(NAME, RecordType::from("TXT")).await.is_some());
    assert_eq!(subject.held("beside.example.com", RecordType::A).await, Some(foreign(address(9))));
}

pub(super) async fn changes_are_answered_in_order<S: Subject>(subject: &S) {
    create(subject, "gone.example.com", cname("a.example.net")).await;
    create(subject, "moved.example.com", cname("a.example.net")).await;
    let changes = [
        change(subject, "new.example.com", Vec::new(), Some(cname("n.example.net"))),
        change(subject, "gone.example.com", seen(subject, "gone.example.com").await, None),
        change(
            subject,
            "moved.example.com",
            seen(subject, "moved.example.com").await,
            Some(cname("m.example.net")),
        ),
    ];
    let answers = apply(subject, &changes).await;
    for (change, answer) in changes.iter().zip(answers) {
        let answer = answer.unwrap();
        assert_eq!(contents(&answer), change.after.iter().collect::<Vec<_>>(), "{}", change.key);
        assert_eq!(answer, seen(subject, change.key.name.as_str()).await);
    }
}

pub(super) async fn one_failure_holds_back_no_other<S: Subject>(subject: &S) {
    subject.plant("b.example.com", foreign(cname("theirs.example.net"))).await;
    let changes = ["a.example.com", "b.example.com", "c.example.com"]
        .map(|name| change(subject, name, Vec::new(), Some(cname("x.example.net"))));
    let answers = apply(subject, &changes).await;
    let kinds: Vec<Option<Kind>> =
        answers.iter().map(|answer| answer.as_ref().err().map(cnamed::provider::Error::kind)).collect();
    assert_eq!(kinds, [None, Some(Kind::Stale), None]);
    for name in ["a.example.com", "c.example.com"] {
        assert_eq!(contents(&seen(subject, name).await), [&cname("x.example.net")], "{name}");
    }
    let theirs = subject.held("b.example.com", RecordType::Cname).await.unwrap();
    assert_eq!(theirs.content, cname("theirs.example.net"));
}

pub(super) async fn a_lost_answer_is_settled<S: Subject>(subject: &S) {
    subject.lose(NAME, Lost::Answer).await;
    let answer =
        apply_one(subject, change(subject, NAME, Vec::new(), Some(cname("a.example.net")))).await.unwrap();
    assert_eq!(contents(&answer), [&cname("a.example.net")]);
    subject.lose(NAME, Lost::Answer).await;
    assert_eq!(apply_one(subject, change(subject, NAME, answer, None)).await.unwrap(), []);
    assert_eq!(subject.held(NAME, RecordType::Cname).await, None);
}

/// Either the provider finds that nothing happened so far and says so, or it tries again and makes it happen.
pub(super) async fn a_lost_request_changes_nothing<S: Subject>(subject: &S) {
    create(subject, NAME, cname("a.example.net")).await;
    let before = seen(subject, NAME).await;
    subject.lose(NAME, Lost::Request).await;
    let answer =
        apply_one(subject, change(subject, NAME, before.clone(), Some(cname("b.example.net")))).await;
    match answer {
        Ok(sets) => assert_eq!(contents(&sets), [&cname("b.example.net")]),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Unconfirmed, "{}", error.chain());
            assert_eq!(seen(subject, NAME).await, before);
        }
    }
}
