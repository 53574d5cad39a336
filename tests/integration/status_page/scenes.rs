//! Services as they stand on good days and bad ones, by hand: every name, time and number is fixed.

use std::sync::Arc;
use std::time::Duration;

use cnamed::journal::{Agreed, Change, Entry, Noticed, What};
use cnamed::model::endpoint::Handle;
use cnamed::model::guard::Rule;
use cnamed::model::name::Fqdn;
use cnamed::model::plan::Verb;
use cnamed::model::sight::{Happening, HappeningKind};
use cnamed::model::verify::{Finding, Verdict};
use cnamed::reconcile::round::{
    BlockedReport, Chain, ChangeOutcome, ChangeReport, EndpointReport, EndpointStatus, Link, LinkState,
    NoteReport, Outcome, RecordReport, RefusalReport, Round, SubjectKind, UnknownReport, WayIn,
};
use cnamed::telemetry::snapshot::{Counts, Finished, Histogram, RequestOutcome, Resting, Snapshot, Trigger};
use time::OffsetDateTime;

/// Noon on a Sunday.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_795_348_800).unwrap()
}

fn ago(seconds: u64) -> OffsetDateTime {
    now() - Duration::from_secs(seconds)
}

fn handle(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

fn fqdn(text: &str) -> Fqdn {
    Fqdn::parse(text).unwrap()
}

const LABEL: &str = "contoso-jump.fjdng2acavhkevd8.westeurope.cloudapp.azure.com";
const JUMP: &str = "jumpstation.example.com";

fn link(from: &str, state: LinkState, detail: &str) -> Link {
    Link { from: from.to_owned().into(), state, detail: detail.to_owned() }
}

fn endpoint(name: &str, label: &str, address: Option<&str>, state: EndpointStatus) -> EndpointReport {
    let fqdn = (!label.is_empty()).then(|| fqdn(label));
    EndpointReport { name: handle(name), fqdn, address: address.map(|text| text.parse().unwrap()), state }
}

fn record(name: &str, account: &str, endpoint: &str, verdict: Verdict, detail: &str) -> RecordReport {
    RecordReport {
        name: fqdn(name),
        account: handle(account),
        endpoint: Some(handle(endpoint)),
        verdict,
        detail: detail.to_owned(),
        resolvers: None,
    }
}

fn chain(name: &str, account: &str, endpoint: &str, links: Vec<Link>) -> Chain {
    Chain { name: fqdn(name), account: handle(account), endpoint: handle(endpoint), links, connect: vec![] }
}

/// All links of a chain that holds, but for the port.
fn whole(label: &str, address: &str, servers: usize) -> Vec<Link> {
    let state = LinkState::Whole;
    vec![
        link("name", state, &format!("{servers} name servers say CNAME {label} (TTL 300)")),
        link("label", state, &format!("Azure holds {label} on {address}")),
        link("label in DNS", state, &format!("4 name servers say {address} (TTL 10)")),
        link("address", state, &format!("1 name server says {address} (TTL 10)")),
    ]
}

fn way(rule: &str, frontend_port: u16, backend_port: u16, state: LinkState, detail: &str) -> WayIn {
    let port = link(&format!("port {frontend_port}"), state, detail);
    WayIn { endpoint: handle("jump"), rule: rule.to_owned(), frontend_port, backend_port, port }
}

fn entry(id: i64, seconds: u64, what: What, agreed: &[(&str, u64)]) -> Entry {
    let agreed = agreed
        .iter()
        .map(|(who, ms)| Agreed { who: (*who).to_owned(), after: Duration::from_millis(*ms) })
        .collect();
    Entry { id, at: ago(seconds), what, agreed }
}

fn happening(kind: HappeningKind, before: Option<&str>, after: Option<&str>, noticed: Noticed) -> What {
    let text = |text: Option<&str>| text.map(ToOwned::to_owned);
    let happening = Happening { kind, before: text(before), after: text(after) };
    What::Happening { endpoint: handle("jump"), happening, noticed }
}

fn written(name: &str, account: &str, before: Option<&str>, after: Option<&str>, outcome: &str) -> Change {
    Change {
        kind: "record".to_owned(),
        name: name.to_owned(),
        account: Some(handle(account)),
        endpoint: None,
        verb: match (before, after) {
            (None, _) => Verb::Create,
            (_, None) => Verb::Delete,
            _ => Verb::Update,
        },
        outcome: outcome.to_owned(),
        before: before.map(ToOwned::to_owned),
        after: after.map(ToOwned::to_owned),
        reason: "it led elsewhere than to the label of jump".to_owned(),
        error: None,
        requests: vec!["8a1f3c02-5d3e-4c7c-9f6e-0b1d2c3a4e5f".to_owned()],
        record: None,
    }
}

fn history() -> Vec<Entry> {
    let old = "CNAME contoso-old.westeurope.cloudapp.azure.com TTL 300";
    let new = format!("CNAME {LABEL} TTL 300");
    vec![
        entry(
            6,
            11_520,
            What::Change(written(JUMP, "cf", Some(old), Some(&new), "applied")),
            &[("cf", 3_400), ("resolvers", 287_000)],
        ),
        entry(
            5,
            11_521,
            What::Change(written(JUMP, "azure", Some(old), Some(&new), "applied")),
            &[("azure", 1_200), ("resolvers", 291_000)],
        ),
        entry(
            4,
            11_529,
            happening(
                HappeningKind::LabelMoved,
                Some("contoso-old.westeurope.cloudapp.azure.com"),
                Some(LABEL),
                Noticed::Label,
            ),
            &[],
        ),
        entry(
            3,
            93_000,
            happening(HappeningKind::Assigned, None, Some("203.0.113.7"), Noticed::Label),
            &[("azure", 800), ("cf", 900), ("resolvers", 10_400)],
        ),
        entry(
            2,
            129_000,
            happening(HappeningKind::Released, Some("203.0.113.99"), None, Noticed::Round),
            &[],
        ),
        entry(
            1,
            130_000,
            What::Change(written("ssh.example.com", "cf", None, Some(&new), "unconfirmed")),
            &[],
        ),
    ]
}

fn counts() -> Counts {
    let mut counts = Counts { label_lookups: 1_234, ..Counts::default() };
    counts.rounds.insert(Outcome::InSync, 310);
    counts.rounds.insert(Outcome::Changed, 2);
    counts.changes.insert(("update", ChangeOutcome::Applied, "cf".to_owned()), 3);
    counts.happenings.insert("label-moved", 1);
    let mut histogram = Histogram::default();
    for seconds in [0.05, 1.2, 3.4, 4_000.0] {
        histogram.observe(seconds);
    }
    counts.convergence.insert("cf".to_owned(), histogram);
    counts.requests.insert(("azure".to_owned(), RequestOutcome::Ok), 620);
    counts.requests.insert(("cloudflare at api.cloudflare.com".to_owned(), RequestOutcome::Throttled), 2);
    counts.quota.insert("azure".to_owned(), 11_990);
    counts.notices.insert(("slack".to_owned(), true), 4);
    counts
}

/// A service whose last round found `round`.
pub(crate) fn after(round: Round, history: Vec<Entry>) -> Snapshot {
    let well = matches!(round.outcome, Outcome::InSync | Outcome::Changed);
    let last = Finished { round, at: ago(18), took: Duration::from_millis(840), trigger: Trigger::Timer };
    Snapshot {
        owner: "ops-westeurope".to_owned(),
        program: "0.1.0",
        started: ago(400_000),
        last: Some(Arc::new(last)),
        converged: Some(if well { ago(18) } else { ago(742) }),
        since: Some(if well { ago(11_520) } else { ago(682) }),
        patience: Duration::from_secs(300),
        next: Some(now() + Duration::from_secs(42)),
        busy: false,
        overtaken: false,
        resting: Vec::new(),
        history,
        troubles: Vec::new(),
        counts: counts(),
        beat: Default::default(),
    }
}

/// Two names on two endpoints, in two accounts; both ports lead to their services.
fn two_names(outcome: Outcome) -> Round {
    let mut round = Round::empty(outcome);
    round.authoritative = true;
    let desk = "contoso-desk.westeurope.cloudapp.azure.com";
    round.endpoints = vec![
        endpoint("desk", desk, Some("203.0.113.20"), EndpointStatus::Ready),
        endpoint("jump", LABEL, Some("203.0.113.7"), EndpointStatus::Ready),
    ];
    round.ways_in = vec![
        way("rdp", 63011, 3389, LinkState::Whole, "leads to 3389 of vm-jump-nic; greeted by RDP (CredSSP)"),
        way("ssh", 63022, 22, LinkState::Whole, "leads to 22 of vm-jump-nic; greeted by SSH-2.0-OpenSSH_9.6"),
    ];
    for (name, account, follows, label, address) in [
        ("desk.example.com", "cf", "desk", desk, "203.0.113.20"),
        (JUMP, "azure", "jump", LABEL, "203.0.113.7"),
        (JUMP, "cf", "jump", LABEL, "203.0.113.7"),
    ] {
        let servers = if account == "cf" { 2 } else { 4 };
        let said = format!("{servers} name servers say CNAME {label} (TTL 300)");
        round.records.push(record(name, account, follows, Verdict::Agreed, &said));
        let mut links = whole(label, address, servers);
        if follows == "jump" {
            links.extend(round.ways_in.iter().map(|way| way.port.clone()));
        }
        round.chains.push(chain(name, account, follows, links));
    }
    round
}

/// All is well.
pub(crate) fn healthy() -> Snapshot {
    after(two_names(Outcome::InSync), history())
}

/// One server of Cloudflare's says something old, and the SSH port is silent.
pub(crate) fn broken_link() -> Snapshot {
    let mut round = two_names(Outcome::Unverified);
    let said = "coco.ns.cloudflare.com (192.0.2.53:53) says CNAME contoso-old.westeurope.cloudapp.azure.com (TTL 300), \
                not CNAME contoso-jump.fjdng2acavhkevd8.westeurope.cloudapp.azure.com; 1 of 2 agree";
    round.records[2].verdict = Verdict::Contradicted;
    round.records[2].detail = said.to_owned();
    round.chains[2].links[0] = link("name", LinkState::Broken, said);
    let silent = "leads to 22 of vm-jump-nic; nothing greeted within 5 s";
    round.ways_in[1] = way("ssh", 63022, 22, LinkState::Broken, silent);
    for chain in &mut round.chains[1..] {
        chain.links[5] = link("port 63022", LinkState::Broken, silent);
    }
    after(round, history())
}

/// The machine is deallocated, and its dynamic address is gone.
pub(crate) fn released() -> Snapshot {
    let mut round = two_names(Outcome::Pending);
    round.endpoints[1] = endpoint("jump", LABEL, None, EndpointStatus::Released);
    for way in &mut round.ways_in {
        way.port.state = LinkState::Pending;
        way.port.detail = "leads to the machine, once the public IP has an address".to_owned();
    }
    let ways = round.ways_in.clone();
    for chain in &mut round.chains[1..] {
        chain.links[1] = link(
            "label",
            LinkState::Pending,
            &format!("Azure holds {LABEL}; its address is released until the machine runs"),
        );
        chain.links[2] = link("label in DNS", LinkState::Pending, "nothing is served while it is released");
        chain.links[3] = link("address", LinkState::Pending, "192.0.2.1:53 says that there is nothing");
        for (at, way) in ways.iter().enumerate() {
            chain.links[4 + at] = way.port.clone();
        }
    }
    round.blocked.push(BlockedReport {
        kind: SubjectKind::Record,
        name: "address.example.com".to_owned(),
        account: Some(handle("cf")),
        waits_for: "jump to have an address; it is released".to_owned(),
    });
    let mut history = history();
    history.insert(
        0,
        entry(
            7,
            682,
            happening(HappeningKind::Released, Some("203.0.113.7"), None, Noticed::Label),
            &[("azure", 400), ("resolvers", 9_800)],
        ),
    );
    after(round, history)
}

/// Cloudflare is down, Azure goes on; something is refused, something failed, and the journal cannot be written.
pub(crate) fn resting() -> Snapshot {
    let mut round = two_names(Outcome::Partial);
    let reason = "list the zones of cf: could not connect: connection refused; check that api.cloudflare.com can be \
                  reached from this host";
    round.records.retain(|record| record.account.as_str() != "cf");
    for chain in &mut round.chains {
        if chain.account.as_str() == "cf" {
            chain.links[0] = link("name", LinkState::Unknown, reason);
        }
    }
    round.unknown.push(UnknownReport { what: "zones of cf".to_owned(), reason: reason.to_owned() });
    round.refused.push(RefusalReport {
        kind: SubjectKind::Record,
        name: "www.example.com".to_owned(),
        account: Some(handle("azure")),
        rule: Rule::Foreign,
        reason: "A 198.51.100.4 stands there without a mark of ours".to_owned(),
        allow: "cnamed adopt www.example.com --account azure".to_owned(),
    });
    round.changes.push(ChangeReport {
        kind: SubjectKind::NatRule,
        name: "cnamed_ops_rdp".to_owned(),
        account: None,
        verb: Verb::Update,
        outcome: ChangeOutcome::Failed,
        before: Some("port 63011 to 3389".to_owned()),
        after: Some("port 63012 to 3389".to_owned()),
        reason: "the configuration names another port".to_owned(),
        requests: Vec::new(),
        error: Some(
            "write the NAT rule: AnotherOperationInProgress (409): it is tried again in the next round"
                .into(),
        ),
    });
    round.notes.push(NoteReport {
        kind: SubjectKind::PublicIp,
        name: "desk".to_owned(),
        account: None,
        text: "its SKU is Basic, which Azure has retired; it is used as it is".to_owned(),
    });
    let mut snapshot = after(round, history());
    snapshot.resting.push(Resting {
        account: "cf".to_owned(),
        until: now() + Duration::from_secs(187),
        reason: reason.to_owned(),
        failures: 4,
    });
    snapshot
        .troubles
        .push("the journal cannot be written: no space left on device; what was written stays".into());
    snapshot
}

/// All is well, and nothing ever happened; chains were not walked.
pub(crate) fn empty_journal() -> Snapshot {
    let mut round = two_names(Outcome::InSync);
    round.chains.clear();
    round.ways_in.clear();
    round.records[0].resolvers = Some(Finding {
        verdict: Verdict::Pending,
        detail: "127.0.0.53:53 still says CNAME old.example.com for 212 s".to_owned(),
    });
    after(round, Vec::new())
}

/// The service began, and its first round is under way.
pub(crate) fn first_minute() -> Snapshot {
    Snapshot {
        started: ago(3),
        last: None,
        converged: None,
        since: None,
        next: None,
        busy: true,
        counts: Counts::default(),
        ..after(Round::empty(Outcome::InSync), Vec::new())
    }
}

/// A hundred names in two accounts, one of them broken.
pub(crate) fn two_hundred() -> Snapshot {
    let mut round = Round::empty(Outcome::Unverified);
    round.authoritative = true;
    let label = "contoso-farm.westeurope.cloudapp.azure.com";
    round.endpoints = vec![endpoint("farm", label, Some("203.0.113.50"), EndpointStatus::Ready)];
    for number in 0..100 {
        for account in ["azure", "cf"] {
            let name = format!("host-{number:03}.example.com");
            let broken = number == 57 && account == "cf";
            let verdict = if broken { Verdict::Contradicted } else { Verdict::Agreed };
            let detail =
                if broken { "ns1 says that there is nothing; 1 of 2 agree" } else { "2 name servers say so" };
            round.records.push(record(&name, account, "farm", verdict, detail));
            let mut links = whole(label, "203.0.113.50", 2);
            if broken {
                links[0] = link("name", LinkState::Broken, detail);
            }
            round.chains.push(chain(&name, account, "farm", links));
        }
    }
    after(round, history())
}

/// What outsiders say tries to be markup.
pub(crate) fn hostile() -> Snapshot {
    let evil = "<script>alert(1)</script><img src=x onerror='alert(2)'>\" onload=\"alert(3)\u{202e}";
    let mut round = two_names(Outcome::Partial);
    for record in &mut round.records {
        record.detail = evil.to_owned();
    }
    for chain in &mut round.chains {
        for link in &mut chain.links {
            link.state = LinkState::Broken;
            link.detail = evil.to_owned();
        }
    }
    round.ways_in[0].rule = evil.to_owned();
    round.unknown.push(UnknownReport { what: evil.to_owned(), reason: evil.to_owned() });
    round.refused.push(RefusalReport {
        kind: SubjectKind::Record,
        name: evil.to_owned(),
        account: Some(handle("azure")),
        rule: Rule::Foreign,
        reason: evil.to_owned(),
        allow: evil.to_owned(),
    });
    round.blocked.push(BlockedReport {
        kind: SubjectKind::LoadBalancer,
        name: evil.to_owned(),
        account: None,
        waits_for: evil.to_owned(),
    });
    let mut change = written(evil, "cf", Some(evil), Some(evil), evil);
    change.reason = evil.to_owned();
    change.error = Some(evil.to_owned());
    change.kind = evil.to_owned();
    let mut history = vec![entry(1, 5, What::Change(change), &[(evil, 5)])];
    history.push(entry(2, 6, happening(HappeningKind::Changed, Some(evil), Some(evil), Noticed::Start), &[]));
    let mut snapshot = after(round, history);
    snapshot.owner = evil.to_owned();
    snapshot.troubles.push(evil.to_owned());
    snapshot.resting.push(Resting {
        account: evil.to_owned(),
        until: now(),
        reason: evil.to_owned(),
        failures: 1,
    });
    snapshot.counts.quota.insert(evil.to_owned(), 1);
    snapshot
}

/// All of them, by name.
pub(crate) fn all() -> Vec<(&'static str, Snapshot)> {
    vec![
        ("healthy", healthy()),
        ("broken-link", broken_link()),
        ("released", released()),
        ("resting", resting()),
        ("empty-journal", empty_journal()),
        ("first-minute", first_minute()),
        ("two-hundred", two_hundred()),
        ("hostile", hostile()),
    ]
}
