use super::*;
use crate::model::record::{Owner, Policy, RecordSet, Version};
use crate::model::state::{Consents, Wanted};
use crate::model::verify::{Reply, Verdict};
use crate::reconcile::round::Link;

impl Agreement {
    fn hears(&mut self, records: &[RecordReport], chains: &[Chain], now: Instant) -> Vec<(i64, Agreed)> {
        self.take(Word { records, chains, ..Word::default() }, now, now)
    }
}

fn handle(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

fn key(name: &str, account: &str) -> RecordKey {
    RecordKey { name: fqdn(name), account: handle(account) }
}

fn says(name: &str, account: &str, verdict: Verdict) -> RecordReport {
    let (name, account) = (fqdn(name), handle(account));
    RecordReport { name, account, endpoint: None, verdict, detail: String::new(), resolvers: None }
}

fn seen(name: &str, from: &'static str, state: LinkState) -> Chain {
    let link = Link { from: from.into(), state, detail: String::new() };
    let (name, account, endpoint) = (fqdn(name), handle("cf"), handle("jump"));
    Chain { name, account, endpoint, links: vec![link], connect: Vec::new() }
}

fn who(agreed: &[(i64, Agreed)]) -> Vec<(i64, &str)> {
    agreed.iter().map(|(entry, agreed)| (*entry, agreed.who.as_str())).collect()
}

fn wanted(endpoint: &str, mode: Mode, withdraw: bool) -> Wanted {
    let (endpoint, ttl, policy) = (handle(endpoint), Ttl::DEFAULT, Policy::Sync);
    Wanted { endpoint, mode, ttl, proxied: false, policy, withdraw }
}

fn desired(records: &[(RecordKey, Wanted)]) -> Desired {
    Desired {
        owner: Owner::parse("ops").unwrap(),
        endpoints: [].into(),
        records: records.iter().cloned().collect(),
        prune: true,
        deletes_per_round: 3,
        consents: Consents::default(),
    }
}

/// The names of `jump`: one in two accounts, the other in one, which also holds a third by its address.
fn names() -> Desired {
    let cname = || wanted("jump", Mode::Cname, false);
    desired(&[
        (key(NAME, "cf"), cname()),
        (key(NAME, "azure"), cname()),
        (key(OTHER, "cf"), cname()),
        (key("address.example.com", "cf"), wanted("jump", Mode::Address, false)),
    ])
}

fn happened(kind: HappeningKind, before: Option<&str>, after: Option<&str>) -> Happening {
    let text = |text: &str| text.to_owned();
    Happening { kind, before: before.map(text), after: after.map(text) }
}

/// What is waited for after an endpoint at [`OLD`], behind [`LABEL`], was released or lost its label.
fn left(before: &str) -> (Agreement, Instant) {
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    let happening = happened(HappeningKind::Released, Some(before), None);
    let awaited = Awaited::of(&handle("jump"), &happening, None).unwrap();
    agreement.expect_endpoint(1, &handle("jump"), awaited, &names(), now);
    (agreement, now)
}

/// What every account's servers say once nothing is amiss.
fn all_say(verdict: Verdict) -> [RecordReport; 3] {
    [says(NAME, "cf", verdict), says(NAME, "azure", verdict), says(OTHER, "cf", verdict)]
}

fn gives(chain: &[&str], addresses: &[&str]) -> Said {
    let chain = chain.iter().map(|text| (fqdn(text), 60)).collect();
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Said::Records(Reply { chain, addresses, ttl: 60 })
}

/// What the resolvers give for each of the names.
fn given(rtype: &RecordType, first: &[Said], second: &[Said]) -> [(Question, Vec<Answer>); 2] {
    [(NAME, first), (OTHER, second)].map(|(name, said)| {
        let answer = |said: &Said| Answer { server: "192.0.2.53".into(), said: said.clone() };
        let question = Question { name: fqdn(name), rtype: rtype.clone() };
        (question, said.iter().map(answer).collect())
    })
}

const NOTHING: Said = Said::Nothing { negative_ttl: None };
const OLD: &str = "192.0.2.1";
const LABEL: &str = "contoso.westeurope.cloudapp.azure.com";
const NAME: &str = "jump.example.com";
const OTHER: &str = "www.example.com";

#[test]
fn whoever_agrees_is_told_once_with_how_long_it_took() {
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    agreement.expect_record(7, Awaited::Right, (&key(NAME, "cf"), Ttl::DEFAULT), now);
    assert!(agreement.is_awaited());
    let whole = [seen(NAME, "address", LinkState::Whole)];
    let later = now + Duration::from_secs(3);
    let agreed = agreement.hears(&[says(NAME, "cf", Verdict::Agreed)], &[], later);
    assert_eq!(agreed, [(7, Agreed { who: "cf".into(), after: Duration::from_secs(3) })]);
    assert!(agreement.is_awaited(), "the resolvers have not said so");
    let agreed = agreement.hears(&[says(NAME, "cf", Verdict::Agreed)], &whole, later);
    assert_eq!(who(&agreed), [(7, RESOLVERS)]);
    assert!(!agreement.is_awaited());
    assert_eq!(agreement.hears(&[says(NAME, "cf", Verdict::Agreed)], &whole, later), []);
}

#[test]
fn the_names_that_follow_an_endpoint_are_waited_for_and_those_that_leave_it_are_not() {
    let desired = desired(&[
        (key(NAME, "cf"), wanted("jump", Mode::Cname, false)),
        (key("gone.example.com", "azure"), wanted("jump", Mode::Cname, true)),
        (key(OTHER, "other"), wanted("other", Mode::Cname, false)),
    ]);
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    agreement.expect_endpoint(1, &handle("nameless"), Awaited::Right, &desired, now);
    assert!(!agreement.is_awaited(), "nobody could ever agree");
    agreement.expect_endpoint(2, &handle("jump"), Awaited::Right, &desired, now);
    let agreed = [says(NAME, "cf", Verdict::Agreed)];
    let agreed = agreement.hears(&agreed, &[seen(NAME, "address", LinkState::Whole)], now);
    assert_eq!(who(&agreed), [(2, "cf"), (2, RESOLVERS)]);
    assert!(!agreement.is_awaited());
}

#[test]
fn only_who_says_so_of_every_name_has_agreed() {
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    let keys = [key(NAME, "cf"), key(OTHER, "cf"), key(NAME, "azure")];
    agreement.expect(1, Awaited::Right, keys.iter().map(|key| (key, Ttl::DEFAULT)), now);
    let say = |first, second, third| {
        [says(NAME, "cf", first), says(OTHER, "cf", second), says(NAME, "azure", third)]
    };
    for verdict in [Verdict::Pending, Verdict::Contradicted, Verdict::Unanswered] {
        assert_eq!(agreement.hears(&say(verdict, Verdict::Agreed, verdict), &[], now), [], "{verdict:?}");
    }
    assert_eq!(agreement.hears(&[], &[], now), [], "who was not asked has said nothing");
    let elsewhere = [says("else.example.com", "azure", Verdict::Agreed)];
    assert_eq!(agreement.hears(&elsewhere, &[], now), [], "of another name");
    // A name that is proxied shows nothing of what is behind it.
    let agreed = agreement.hears(&say(Verdict::Agreed, Verdict::Masked, Verdict::Pending), &[], now);
    assert_eq!(who(&agreed), [(1, "cf")]);
}

#[test]
fn resolvers_are_believed_after_the_accounts_and_of_every_name() {
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    agreement.expect(
        1,
        Awaited::Right,
        [key(NAME, "cf"), key(OTHER, "cf")].iter().map(|key| (key, Ttl::DEFAULT)),
        now,
    );
    let whole = |name| seen(name, "address", LinkState::Whole);
    // Theirs may be an answer from before: it says the same where the address came back.
    assert_eq!(agreement.hears(&[], &[whole(NAME), whole(OTHER)], now), []);
    let agreed = [says(NAME, "cf", Verdict::Agreed), says(OTHER, "cf", Verdict::Agreed)];
    let not_yet: [&[Chain]; 5] = [
        &[],
        &[whole(NAME), seen(OTHER, "address", LinkState::Pending)],
        &[whole(NAME), seen(OTHER, "address", LinkState::Unknown)],
        &[whole(NAME), seen(OTHER, "label", LinkState::Whole)],
        &[seen("else.example.com", "address", LinkState::Whole)],
    ];
    assert_eq!(who(&agreement.hears(&agreed, not_yet[0], now)), [(1, "cf")]);
    for chains in not_yet {
        assert_eq!(agreement.hears(&agreed, chains, now), [], "{chains:?}");
    }
    assert_eq!(who(&agreement.hears(&agreed, &[whole(NAME), whole(OTHER)], now)), [(1, RESOLVERS)]);
}

#[test]
fn what_nobody_agrees_to_is_given_up_after_an_hour_or_twice_the_time_that_caches_keep_it() {
    for (seconds, hours) in [(60, 1), (1800, 1), (7200, 4), (86_400, 48)] {
        let (mut agreement, now) = (Agreement::default(), Instant::now());
        agreement.expect_record(1, Awaited::Right, (&key(NAME, "cf"), Ttl::new(seconds).unwrap()), now);
        let given_up = now + LEAST * hours;
        agreement.hears(&[], &[], given_up - Duration::from_secs(1));
        assert!(agreement.is_awaited(), "{seconds}");
        agreement.hears(&[], &[], given_up);
        assert!(!agreement.is_awaited(), "{seconds}");
        assert_eq!(agreement.hears(&[says(NAME, "cf", Verdict::Agreed)], &[], given_up), []);
    }
}

#[test]
fn they_are_asked_less_and_less_often_and_each_second_again_for_something_new() {
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    agreement.expect_record(1, Awaited::Right, (&key(NAME, "cf"), Ttl::DEFAULT), now);
    let pauses = [0, 30, 300, 3599].map(|waited| agreement.pause(now + Duration::from_secs(waited)));
    assert_eq!(pauses.map(|pause| pause.as_secs()), [1, 1, 10, 60]);
    let later = now + Duration::from_secs(3000);
    agreement.expect_record(2, Awaited::Right, (&key(OTHER, "cf"), Ttl::DEFAULT), later);
    assert_eq!(agreement.pause(later), CLOSE);
}

#[test]
fn what_is_gone_is_awaited_by_what_it_was_and_what_leads_somewhere_by_that() {
    use HappeningKind::{Assigned, Deleted, LabelMoved, LabelTaken, Recreated, Released};
    let earlier = Sight { fqdn: Some(fqdn(LABEL)), ..Sight::default() };
    let of =
        |kind, before, after| Awaited::of(&handle("jump"), &happened(kind, before, after), Some(&earlier));
    let left = |was| Some(Awaited::Left { endpoint: handle("jump"), was });
    let (old, label) = (Was::Address(OLD.parse().unwrap()), Was::Label(fqdn(LABEL)));
    assert_eq!(of(Assigned, None, Some(OLD)), Some(Awaited::Right));
    assert_eq!(of(LabelMoved, Some(LABEL), Some("other.example.net")), Some(Awaited::Right));
    for kind in [Released, Deleted, Recreated] {
        assert_eq!(of(kind, Some(OLD), None), left(old.clone()), "{kind:?}");
    }
    for kind in [LabelTaken, LabelMoved] {
        assert_eq!(of(kind, Some(LABEL), None), left(label.clone()), "{kind:?}");
    }
    assert_eq!(of(Deleted, None, None), left(label), "it was released before");
    assert_eq!(of(LabelTaken, None, None), None, "it was never ours");
    assert_eq!(of(Recreated, None, None), None, "it leads nowhere, and did not before");
}

#[test]
fn an_account_agrees_to_what_is_gone_once_its_servers_say_what_is_right_of_every_name_that_led_there() {
    let (mut agreement, now) = left(OLD);
    let mut hears = |records: &[RecordReport], left: &[RecordReport]| {
        who(&agreement.take(Word { records, left, ..Word::default() }, now, now)).len()
    };
    assert_eq!(hears(&[says(NAME, "cf", Verdict::Agreed)], &[]), 0, "nobody says anything of the other name");
    let [here, ..] = all_say(Verdict::Agreed);
    for verdict in [Verdict::Pending, Verdict::Contradicted, Verdict::Unanswered] {
        assert_eq!(hears(std::slice::from_ref(&here), &[says(OTHER, "cf", verdict)]), 0, "{verdict:?}");
    }
    // One name stays, the other is gone.
    assert_eq!(hears(&[here], &[says(OTHER, "cf", Verdict::Agreed)]), 1);
    // Nobody waits for the one that is held by its address.
    assert_eq!(hears(&[], &[says(NAME, "azure", Verdict::Agreed)]), 1);
}

#[test]
fn that_there_is_nothing_at_a_name_is_no_agreement_to_where_it_shall_lead() {
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    agreement.expect_record(1, Awaited::Right, (&key(NAME, "cf"), Ttl::DEFAULT), now);
    let nothing = [says(NAME, "cf", Verdict::Agreed)];
    assert_eq!(agreement.take(Word { left: &nothing, ..Word::default() }, now, now), []);
}

#[test]
fn resolvers_agree_that_an_address_is_gone_once_none_of_them_gives_it_for_any_name() {
    let (mut agreement, now) = left(OLD);
    let here = all_say(Verdict::Agreed);
    assert_eq!(agreement.hears(&here, &[], now).len(), 2, "both accounts");
    let gone = || gives(&[LABEL], &[]);
    let failed = || Said::Failed("no answer".into());
    let not_yet: [(&str, &[Said], &[Said]); 5] = [
        ("the first gives it still", &[gives(&[LABEL], &[OLD])], &[gone()]),
        ("and so does one of two", &[gone()], &[gone(), gives(&[LABEL], &["192.0.2.9", OLD])]),
        ("silence is not absence", &[gone()], &[failed()]),
        ("nor beside an answer", &[gone(), failed()], &[gone()]),
        ("nobody was asked", &[], &[]),
    ];
    let mut hears = |given: &[(Question, Vec<Answer>)]| {
        who(&agreement.take(Word { records: &here, given, ..Word::default() }, now, now)) == [(1, RESOLVERS)]
    };
    for (why, first, second) in not_yet {
        assert!(!hears(&given(&RecordType::A, first, second)), "{why}");
    }
    assert!(!hears(&given(&RecordType::A, &[gone()], &[gone()])[..1]), "one name of two");
    assert!(!hears(&given(&RecordType::Aaaa, &[gone()], &[gone()])), "of another type");
    assert!(hears(&given(&RecordType::A, &[gone(), NOTHING], &[gives(&[LABEL], &["192.0.2.9"])])));
    assert!(!agreement.is_awaited());
}

#[test]
fn resolvers_agree_that_a_label_is_gone_once_no_name_leads_to_it() {
    let here = all_say(Verdict::Agreed);
    let taken = || gives(&[LABEL], &["203.0.113.66"]);
    let elsewhere = || gives(&["fabrikam.westeurope.cloudapp.azure.com"], &[OLD]);
    let flat = || gives(&[], &["203.0.113.66"]);
    let right = [seen(NAME, "address", LinkState::Whole), seen(OTHER, "address", LinkState::Whole)];
    for (agrees, chains, first, second) in [
        (false, &[][..], elsewhere(), taken()),
        // A cache may give the label with the address from when it was ours.
        (false, &right, elsewhere(), gives(&[LABEL], &[OLD])),
        (false, &[], elsewhere(), gives(&["jump.example.net", LABEL], &[OLD])),
        (false, &[], elsewhere(), Said::Failed("no answer".into())),
        // What a provider flattens may be the stranger's.
        (false, &[], elsewhere(), flat()),
        (true, &right, elsewhere(), flat()),
        (true, &[], elsewhere(), NOTHING),
    ] {
        let (mut agreement, now) = left(LABEL);
        let given = given(&RecordType::A, std::slice::from_ref(&first), std::slice::from_ref(&second));
        let agreed =
            agreement.take(Word { records: &here, chains, given: &given, ..Word::default() }, now, now);
        assert_eq!(who(&agreed).contains(&(1, RESOLVERS)), agrees, "{second:?}");
    }
}

#[test]
fn resolvers_are_believed_that_something_is_gone_after_the_accounts() {
    let (mut agreement, now) = left(OLD);
    let gone = given(&RecordType::A, &[NOTHING], &[NOTHING]);
    let hears = |verdict| all_say(verdict).to_vec();
    let (pending, agreed) = (hears(Verdict::Pending), hears(Verdict::Agreed));
    assert_eq!(agreement.take(Word { records: &pending, given: &gone, ..Word::default() }, now, now), []);
    let agreed = agreement.take(Word { records: &agreed, given: &gone, ..Word::default() }, now, now);
    assert_eq!(who(&agreed), [(1, "azure"), (1, "cf"), (1, RESOLVERS)]);
}

#[test]
fn what_comes_back_before_it_is_gone_is_waited_for_no_more_and_what_comes_instead_changes_nothing() {
    let exists = |address: Option<&str>, label: &str| Sight {
        exists: true,
        address: address.map(|text| text.parse().unwrap()),
        fqdn: Some(fqdn(label)),
        ..Sight::default()
    };
    let gone = Sight { exists: false, ..exists(None, LABEL) };
    let other = "fabrikam.westeurope.cloudapp.azure.com";
    for (before, sight, waits) in [
        (OLD, exists(None, LABEL), true),
        (OLD, exists(Some("192.0.2.2"), LABEL), true),
        (OLD, exists(Some(OLD), other), false),
        (LABEL, exists(Some(OLD), other), true),
        // Its name is remembered while it is gone.
        (LABEL, gone, true),
        (LABEL, exists(None, LABEL), false),
    ] {
        let (mut agreement, _) = left(before);
        agreement.stays(&handle("other"), &sight);
        assert!(agreement.is_awaited(), "it is another endpoint's");
        agreement.stays(&handle("jump"), &sight);
        assert_eq!(agreement.is_awaited(), waits, "{before}: {sight:?}");
    }
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    agreement.expect_record(1, Awaited::Right, (&key(NAME, "cf"), Ttl::DEFAULT), now);
    agreement.stays(&handle("jump"), &exists(Some(OLD), LABEL));
    assert!(agreement.is_awaited(), "where a record shall lead is another question");
}

#[test]
fn each_name_that_something_leaves_is_asked_for_once_by_the_type_that_shows_it() {
    let (mut agreement, now) = left(OLD);
    let a = |name| Question { name: fqdn(name), rtype: RecordType::A };
    let aaaa = |name| Question { name: fqdn(name), rtype: RecordType::Aaaa };
    let both = [a(NAME), a(OTHER)];
    assert_eq!(agreement.leaving().questions, both);
    for (entry, before) in [(2, LABEL), (3, "2001:db8::1")] {
        let happening = happened(HappeningKind::Deleted, Some(before), None);
        let awaited = Awaited::of(&handle("jump"), &happening, None).unwrap();
        agreement.expect_endpoint(entry, &handle("jump"), awaited, &names(), now);
    }
    assert_eq!(agreement.leaving().questions, [a(NAME), aaaa(NAME), a(OTHER), aaaa(OTHER)]);
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    agreement.expect_record(1, Awaited::Right, (&key(NAME, "cf"), Ttl::DEFAULT), now);
    assert_eq!(agreement.leaving(), Leaving::default(), "it shall lead somewhere");
}

/// That `content` was withdrawn from [`NAME`] in one account.
fn withdrawn(content: Content) -> (Agreement, Instant) {
    let (mut agreement, now) = (Agreement::default(), Instant::now());
    let version = Version("1".into());
    let before = vec![RecordSet { name: fqdn(NAME), content, mark: None, version, words: 0 }];
    let change = RecordChange { key: key(NAME, "cf"), before, after: None };
    agreement.expect_record(1, Awaited::from(&change), (&change.key, Ttl::DEFAULT), now);
    (agreement, now)
}

fn content(data: Data) -> Content {
    Content { data, ttl: Ttl::DEFAULT, proxied: false }
}

#[test]
fn a_withdrawal_is_agreed_to_by_the_account_that_gives_nothing_there_and_by_resolvers_that_give_it_no_more() {
    let both = || Data::A([OLD.parse().unwrap(), "192.0.2.2".parse().unwrap()].into());
    let alias = || Data::Alias { rtype: RecordType::A, target: "/pip".into() };
    let proxied = || Content { proxied: true, ..content(Data::address(OLD.parse().unwrap())) };
    let (a, aaaa) = (RecordType::A, RecordType::Aaaa);
    for (content, rtypes, kept, left) in [
        (content(Data::Cname(fqdn(LABEL))), vec![a.clone()], gives(&[LABEL], &[]), gives(&["x.test"], &[])),
        (content(both()), vec![a.clone()], gives(&[], &["192.0.2.2"]), gives(&[], &["192.0.2.3"])),
        (content(alias()), vec![a.clone()], gives(&[], &["192.0.2.3"]), NOTHING),
        (proxied(), vec![a, aaaa], gives(&[], &["203.0.113.66"]), NOTHING),
    ] {
        let (mut agreement, now) = withdrawn(content);
        let Leaving { questions, withdrawn } = agreement.leaving();
        assert_eq!(withdrawn, [key(NAME, "cf")].into());
        assert_eq!(questions.iter().map(|asked| asked.rtype.clone()).collect::<Vec<_>>(), rtypes);
        let given = |said: &Said| -> Vec<(Question, Vec<Answer>)> {
            let answer = Answer { server: "192.0.2.53".into(), said: said.clone() };
            questions.iter().map(|asked| (asked.clone(), vec![answer.clone()])).collect()
        };
        let mut hears = |left: &[RecordReport], given: &[(Question, Vec<Answer>)]| {
            let told = agreement.take(Word { left, given, ..Word::default() }, now, now);
            told.into_iter().map(|(_, agreed)| agreed.who).collect::<Vec<_>>()
        };
        assert_eq!(hears(&[], &given(&NOTHING)), [""; 0], "nobody says anything of it");
        assert_eq!(hears(&[says(NAME, "cf", Verdict::Contradicted)], &[]), [""; 0]);
        assert_eq!(hears(&[says(NAME, "azure", Verdict::Agreed)], &[]), [""; 0], "of another account");
        assert_eq!(hears(&[says(NAME, "cf", Verdict::Agreed)], &given(&kept)), ["cf"], "{kept:?}");
        assert_eq!(hears(&[], &given(&Said::Failed("no answer".into()))), [""; 0]);
        assert_eq!(hears(&[], &given(&left)), [RESOLVERS], "{left:?}");
        assert!(!agreement.is_awaited());
    }
}

#[test]
fn resolvers_agree_to_a_withdrawal_too_where_they_give_what_is_right_in_another_account() {
    let (mut agreement, now) = withdrawn(content(Data::Cname(fqdn(LABEL))));
    let [asked] = &agreement.leaving().questions[..] else { panic!() };
    let said = gives(&[LABEL], &[OLD]);
    let given = [(asked.clone(), vec![Answer { server: "192.0.2.53".into(), said }])];
    let records = [says(NAME, "cf", Verdict::Agreed)];
    for (state, who_agrees) in
        [(LinkState::Broken, &[(1, "cf")][..]), (LinkState::Whole, &[(1, RESOLVERS)][..])]
    {
        let chains = [seen(NAME, "address", state)];
        let word = Word { records: &records, chains: &chains, given: &given, ..Word::default() };
        assert_eq!(who(&agreement.take(word, now, now)), who_agrees);
    }
}

#[test]
fn a_withdrawal_is_waited_for_no_more_once_something_is_written_there() {
    let (mut agreement, now) = withdrawn(content(Data::Cname(fqdn(LABEL))));
    agreement.expect_record(2, Awaited::Right, (&key(NAME, "azure"), Ttl::DEFAULT), now);
    assert!(!agreement.leaving().withdrawn.is_empty(), "it is another account's");
    agreement.expect_record(3, Awaited::Right, (&key(NAME, "cf"), Ttl::DEFAULT), now);
    assert_eq!(agreement.leaving(), Leaving::default());
    assert!(agreement.is_awaited(), "what was written is");
}
