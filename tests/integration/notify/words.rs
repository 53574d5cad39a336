//! What is said of a round and of an address: golden texts, as they are read at night.

use cnamed::journal::Noticed;
use cnamed::model::endpoint::Handle;
use cnamed::model::guard::Rule;
use cnamed::model::name::Fqdn;
use cnamed::model::plan::Verb;
use cnamed::model::record::{Mode, Owner, Policy, Ttl};
use cnamed::model::sight::{Happening, HappeningKind};
use cnamed::model::state::{Consents, Desired, RecordKey, Wanted};
use cnamed::model::verify::Verdict;
use cnamed::notify::words::{notice_of_happening, notice_of_service, notice_of_test, notices_of, unsettled};
use cnamed::notify::{Notice, Topic};
use cnamed::reconcile::round::{
    BlockedReport, Chain, ChangeOutcome, ChangeReport, Link, LinkState, Outcome, RecordReport, RefusalReport,
    Round, SubjectKind, UnknownReport, WayIn,
};

use super::notice;
use crate::support::golden;

fn handle(name: &str) -> Handle {
    Handle::parse(name).unwrap()
}

fn owner() -> Owner {
    Owner::parse("ops-westeurope").unwrap()
}

fn told(round: &Round) -> Vec<Notice> {
    notices_of(round, &owner(), notice(Topic::Test, "", "").at)
}

fn text(notices: &[Notice]) -> String {
    let lines = |notice: &Notice| {
        let mut text = format!("[{}] {} ({})\n", notice.topic, notice.title, notice.subject);
        if notice.before.is_some() || notice.after.is_some() {
            text += &format!("    {:?} → {:?}\n", notice.before, notice.after);
        }
        notice.details.iter().for_each(|line| text += &format!("    {line}\n"));
        notice.next_step.iter().for_each(|step| text += &format!("    next: {step}\n"));
        text
    };
    notices.iter().map(lines).collect()
}

fn change(name: &str, outcome: ChangeOutcome) -> ChangeReport {
    let error = match outcome {
        ChangeOutcome::Failed => {
            Some("could not update the CNAME: it answered 403 (10000); give the token DNS:Edit")
        }
        ChangeOutcome::Unconfirmed => {
            Some("could not confirm: update the CNAME; run again: it looks at what stands there first")
        }
        _ => None,
    };
    ChangeReport {
        kind: SubjectKind::Record,
        name: name.into(),
        account: Some(handle("cf")),
        verb: Verb::Update,
        outcome,
        before: Some("CNAME old.westeurope.cloudapp.azure.com".into()),
        after: Some("CNAME new.westeurope.cloudapp.azure.com".into()),
        reason: "the label moved".into(),
        requests: Vec::new(),
        error: error.map(str::to_owned),
    }
}

fn record(name: &str, account: &str, verdict: Verdict) -> RecordReport {
    RecordReport {
        name: Fqdn::parse(name).unwrap(),
        endpoint: None,
        account: handle(account),
        verdict,
        detail: "ns1.example.org says that there is nothing; 1 of 2 agree".into(),
        resolvers: None,
    }
}

fn unknown(what: &str, reason: &str) -> UnknownReport {
    UnknownReport { what: what.into(), reason: reason.into() }
}

#[test]
fn a_round_with_every_trouble_reads_well() {
    let mut round = Round::empty(Outcome::Partial);
    let network = "could not read the zones: could not connect: network unreachable; run again; if it stays so, check \
                   the network";
    round.unknown = vec![
        unknown(
            "public IP of jump",
            "could not read pip-jump: it answered 403; give the identity Reader on rg-mgmt",
        ),
        unknown("zones of cf2", network),
        unknown(
            "a.example.com, b.example.com and 4 more in azure",
            "could not read the zone: throttled; run again in 7s",
        ),
        unknown("c.example.com in azure", "could not read the zone: throttled; run again in 7s"),
    ];
    round.changes = vec![
        change("a.example.com", ChangeOutcome::Failed),
        change("b.example.com", ChangeOutcome::Unconfirmed),
        change("c.example.com", ChangeOutcome::Skipped),
        change("d.example.com", ChangeOutcome::Applied),
    ];
    round.refused = vec![RefusalReport {
        kind: SubjectKind::Record,
        name: "www.example.com".into(),
        account: Some(handle("cf")),
        rule: Rule::Foreign,
        reason: "a CNAME without our mark stands there".into(),
        allow: "cnamed adopt www.example.com".into(),
    }];
    round.authoritative = true;
    round.records = vec![
        record("a.example.com", "cf", Verdict::Contradicted),
        record("d.example.com", "cf", Verdict::Pending),
        record("e.example.com", "cf", Verdict::Contradicted),
        record("f.example.com", "cf", Verdict::Unanswered),
        record("g.example.com", "cf", Verdict::Agreed),
        record("h.example.com", "cf", Verdict::Masked),
        record("www.example.com", "cf", Verdict::Contradicted),
        record("z.example.com", "azure", Verdict::Unanswered),
    ];
    golden::same("notify/round", &text(&told(&round)));
}

#[test]
fn many_changes_are_one_notice() {
    let mut round = Round::empty(Outcome::Changed);
    let applied =
        |count: usize| (0..count).map(|n| change(&format!("n{n}.example.com"), ChangeOutcome::Applied));
    round.changes = applied(3).collect();
    assert_eq!(told(&round).len(), 3);
    round.changes = applied(14).collect();
    golden::same("notify/changes", &text(&told(&round)));
}

#[test]
fn a_round_without_trouble_has_nothing_to_tell() {
    let mut round = Round::empty(Outcome::InSync);
    round.records = vec![record("g.example.com", "cf", Verdict::Agreed)];
    assert_eq!(told(&round), []);
}

/// Names that follow `jump`, and one that follows another endpoint.
fn follow(names: &[(&str, Mode, Policy)]) -> Desired {
    let wanted = |endpoint, mode, policy| {
        let (endpoint, ttl) = (handle(endpoint), Ttl::DEFAULT);
        Wanted { endpoint, mode, ttl, proxied: false, policy, withdraw: false }
    };
    let key = |name: &str, account| RecordKey { name: Fqdn::parse(name).unwrap(), account: handle(account) };
    let mut records = std::collections::BTreeMap::new();
    records.insert(key("elsewhere.example.com", "cf"), wanted("other", Mode::Address, Policy::Sync));
    for (name, mode, policy) in names {
        for account in ["azure", "cf"] {
            records.insert(key(name, account), wanted("jump", *mode, *policy));
        }
    }
    Desired {
        owner: owner(),
        endpoints: [].into(),
        records,
        prune: true,
        deletes_per_round: 3,
        consents: Consents::default(),
    }
}

#[test]
fn an_event_says_who_follows_and_whether_anything_is_written_for_it() {
    use HappeningKind::{Assigned, Changed, Deleted, LabelMoved, LabelTaken, Recreated, Released};
    let one = [("jumpstation.example.com", Mode::Cname, Policy::Sync)];
    let some = [
        ("a.example.com", Mode::Address, Policy::Sync),
        ("b.example.com", Mode::Address, Policy::UpsertOnly),
        ("c.example.com", Mode::Address, Policy::CreateOnly),
        ("example.com", Mode::Auto, Policy::Sync),
        ("jumpstation.example.com", Mode::Cname, Policy::Sync),
        ("x.example.com", Mode::Alias, Policy::CreateOnly),
    ];
    let said = |kind, after: Option<&str>, names: &[(&str, Mode, Policy)]| {
        let happening = Happening { kind, before: None, after: after.map(str::to_owned) };
        let at = notice(Topic::Test, "", "").at;
        let notice = notice_of_happening(&handle("jump"), &happening, Noticed::Label, &follow(names), at);
        notice.details[1..].to_vec()
    };
    let stays = "jumpstation.example.com follows by the label; nothing has to be written for it";
    assert_eq!(said(Changed, Some("192.0.2.2"), &one), [stays]);
    assert_eq!(said(Assigned, Some("192.0.2.2"), &one), [stays]);
    let follow = "the A records of a.example.com and b.example.com are to follow";
    let stay = "example.com and 2 more names follow by the label; nothing has to be written for them";
    assert_eq!(said(Changed, Some("192.0.2.2"), &some), [follow, stay]);
    assert_eq!(
        said(Changed, Some("2001:db8::2"), &some[..1]),
        ["the AAAA record of a.example.com is to follow"]
    );
    // Whether the new one has the label, and the alias what it leads to, is for the plan to say.
    assert_eq!(said(Recreated, Some("192.0.2.2"), &some), [follow]);
    for kind in [Released, Deleted, LabelMoved, LabelTaken] {
        assert_eq!(said(kind, None, &some), [""; 0]);
    }
    assert_eq!(said(Changed, Some("192.0.2.2"), &[]), [""; 0]);
}

#[test]
fn what_happened_to_an_address_reads_well() {
    use HappeningKind::{Assigned, Changed, Deleted, LabelMoved, LabelTaken, Recreated, Released};
    let at = notice(Topic::Test, "", "").at;
    let mut notices = Vec::new();
    for (kind, before, after, noticed) in [
        (Changed, Some("192.0.2.1"), Some("192.0.2.2"), Noticed::Label),
        (Released, Some("192.0.2.1"), None, Noticed::Round),
        (Assigned, None, Some("192.0.2.2"), Noticed::Round),
        (Recreated, Some("192.0.2.1"), Some("192.0.2.2"), Noticed::Start),
        (Deleted, Some("192.0.2.1"), None, Noticed::Round),
        (LabelMoved, Some("a.cloudapp.azure.com"), Some("b.cloudapp.azure.com"), Noticed::Round),
        (LabelTaken, Some("a.cloudapp.azure.com"), None, Noticed::Round),
    ] {
        let happening =
            Happening { kind, before: before.map(str::to_owned), after: after.map(str::to_owned) };
        notices.push(notice_of_happening(&handle("jump"), &happening, noticed, &follow(&[]), at));
    }
    notices.push(notice_of_service(&owner(), at, "cnamed 0.1.0 began", vec!["it keeps 2 endpoints".into()]));
    notices.push(notice_of_test(&owner(), at));
    golden::same("notify/happenings", &text(&notices));
}

#[test]
fn links_that_do_not_hold_are_told_once_for_their_endpoint_and_only_where_nothing_else_explains_them() {
    let link =
        |from: &'static str, state, detail: &str| Link { from: from.into(), state, detail: detail.into() };
    let silent = "ns1.label.test: no answer within 5 s; 0 of 2 agree";
    let mut round = Round::empty(Outcome::Unverified);
    round.authoritative = true;
    for name in ["a.example.com", "b.example.com"] {
        round.records.push(record(name, "cf", Verdict::Agreed));
        round.chains.push(Chain {
            name: Fqdn::parse(name).unwrap(),
            account: handle("cf"),
            endpoint: handle("jump"),
            links: vec![
                link("name", LinkState::Whole, "2 name servers say so"),
                link("label", LinkState::Broken, "the public IP has no DNS label"),
                link("label in DNS", LinkState::Unknown, silent),
                link("address", LinkState::Unknown, "192.0.2.1:53: no answer within 5 s"),
                link("port 22", LinkState::Unknown, "what leads there was not read"),
            ],
            connect: Vec::new(),
        });
    }
    let port = link("port 22", LinkState::Unknown, "what leads there was not read");
    let (endpoint, rule) = (handle("jump"), "ssh".to_owned());
    round.ways_in = vec![WayIn { endpoint, rule, frontend_port: 22, backend_port: 22, port }];
    let titles = |round: &Round| told(round).into_iter().map(|notice| notice.title).collect::<Vec<_>>();
    let (port, label) = ("port 22 of jump could not be tried", "jump: the label is broken");
    let served = "jump: the label in DNS could not be seen";
    assert_eq!(titles(&round), [port, label, served]);
    let last = told(&round).pop().unwrap();
    assert_eq!((last.topic, last.details), (Topic::Unverified, vec![silent.to_owned()]));
    assert_eq!(last.next_step.as_deref(), Some("cnamed status jump"));
    // What could not be read is told as that; that the label's own servers are silent is another matter, and is not over.
    round.outcome = Outcome::Partial;
    assert_eq!(titles(&round), [served]);
    // Nobody was asked.
    round.authoritative = false;
    assert!(titles(&round).is_empty());
}

/// A round in which nothing is amiss: a name of `jump` in `cf`, and a port.
fn whole() -> Round {
    let link = |from: &'static str| Link { from: from.into(), state: LinkState::Whole, detail: "so".into() };
    let links = ["name", "label", "label in DNS", "address"].map(link).into();
    let name = Fqdn::parse("a.example.com").unwrap();
    let (account, endpoint, connect) = (handle("cf"), handle("jump"), Vec::new());
    let chain = Chain { name, account, endpoint, links, connect };
    let (endpoint, rule) = (handle("jump"), "ssh".to_owned());
    let way = WayIn { endpoint, rule, frontend_port: 22, backend_port: 22, port: link("port 22") };
    let mut round = Round::empty(Outcome::InSync);
    round.authoritative = true;
    round.records = vec![record("a.example.com", "cf", Verdict::Agreed)];
    (round.chains, round.ways_in) = (vec![chain], vec![way]);
    round
}

/// What becomes of such a round.
type Change<'c> = &'c dyn Fn(&mut Round);

#[test]
fn whatever_a_round_tells_is_hidden_by_all_that_may_come_in_its_place_and_by_nothing_else() {
    let link = |round: &mut Round, from: &str, state| {
        round.chains[0].links.iter_mut().find(|link| link.from == from).unwrap().state = state;
    };
    let refuse = |round: &mut Round, rule| {
        round.refused = vec![RefusalReport {
            kind: SubjectKind::Record,
            name: "a.example.com".into(),
            account: Some(handle("cf")),
            rule,
            reason: String::new(),
            allow: String::new(),
        }];
    };
    let block = |round: &mut Round| {
        round.blocked = vec![BlockedReport {
            kind: SubjectKind::Record,
            name: "a.example.com".into(),
            account: Some(handle("cf")),
            waits_for: "the endpoint's address, which is released".into(),
        }];
    };
    let served = |round: &mut Round, verdict: Verdict, state| {
        round.outcome = Outcome::Unverified;
        round.records[0].verdict = verdict;
        link(round, "name", state);
    };
    let account = |round: &mut Round| round.unknown = vec![unknown("zones of cf", "down")];
    let endpoint = |round: &mut Round| {
        round.unknown = vec![unknown("public IP of jump", "down")];
        round.chains[0].links.retain(|link| matches!(&*link.from, "name" | "label"));
        link(round, "name", LinkState::Unknown);
        link(round, "label", LinkState::Unknown);
        round.records.clear();
    };
    let lies = |round: &mut Round| served(round, Verdict::Contradicted, LinkState::Broken);
    let silent = |round: &mut Round| served(round, Verdict::Unanswered, LinkState::Unknown);
    let late = |round: &mut Round| served(round, Verdict::Pending, LinkState::Pending);
    let fails = |round: &mut Round| round.changes = vec![change("a.example.com", ChangeOutcome::Failed)];
    let skips = |round: &mut Round| round.changes = vec![change("a.example.com", ChangeOutcome::Skipped)];
    let made = |round: &mut Round| round.changes = vec![change("a.example.com", ChangeOutcome::Applied)];
    let foreign = |round: &mut Round| refuse(round, Rule::Foreign);
    let limit = |round: &mut Round| refuse(round, Rule::TooManyDeletes);
    let closed = |round: &mut Round| round.ways_in[0].port.state = LinkState::Broken;
    let untried = |round: &mut Round| round.ways_in[0].port.state = LinkState::Unknown;
    let unlabelled = |round: &mut Round| {
        round.outcome = Outcome::Unverified;
        link(round, "label", LinkState::Broken);
    };
    let astray = |round: &mut Round| link(round, "address", LinkState::Broken);
    let elsewhere = |round: &mut Round| round.unknown = vec![unknown("zones of azure", "down")];
    let fine = |_: &mut Round| {};
    let cases: [(Change<'_>, &[Change<'_>], &[Change<'_>]); 6] = [
        (&lies, &[&account, &endpoint, &silent, &late], &[&fine, &made, &elsewhere, &closed]),
        (&foreign, &[&account, &limit, &fails, &block, &skips], &[&fine, &made, &elsewhere, &lies]),
        (&fails, &[&account, &foreign, &block, &skips], &[&fine, &made, &elsewhere, &late]),
        (&closed, &[&endpoint, &untried], &[&fine, &account, &lies]),
        (&unlabelled, &[&endpoint], &[&fine, &account, &elsewhere]),
        (&astray, &[&endpoint], &[&fine, &elsewhere, &closed]),
    ];
    let after = |change: Change<'_>| {
        let mut round = whole();
        change(&mut round);
        round
    };
    for (number, (found, hides, shows)) in cases.into_iter().enumerate() {
        let notices = told(&after(found));
        let [trouble] = notices.as_slice() else { panic!("{number}: {notices:#?}") };
        assert!(!trouble.of.is_empty(), "{number}");
        for (nth, change) in hides.iter().enumerate() {
            let unsettled = unsettled(&after(*change), [].iter());
            assert!(!trouble.of.is_disjoint(&unsettled), "{number}, {nth}: {trouble:#?} {unsettled:#?}");
        }
        for (nth, change) in shows.iter().enumerate() {
            let unsettled = unsettled(&after(*change), [].iter());
            assert!(trouble.of.is_disjoint(&unsettled), "{number}, {nth}: {trouble:#?} {unsettled:#?}");
        }
    }
    // Where no server is asked, none is waited for.
    let mut unasked = whole();
    unasked.authoritative = false;
    unasked.chains[0].links.retain(|link| link.from != "address");
    link(&mut unasked, "name", LinkState::Unknown);
    assert_eq!(unsettled(&unasked, [].iter()), [].into());
}
