//! One name from end to end: name → label → address → port, with what each account's servers say.

use std::collections::BTreeMap;

use crate::model::endpoint::Handle;
use crate::model::verify::Verdict;
use crate::reconcile::round::{
    Chain, EndpointReport, EndpointStatus, LinkState, RecordReport, Round, SubjectKind, WayIn,
};

/// One name on its way to its ports.
#[derive(Debug)]
pub(super) struct Row<'r> {
    pub(super) name: &'r str,
    /// The accounts that hold it, and what is to be said of each.
    pub(super) holders: Vec<Holder<'r>>,
    /// The endpoint that it follows, as last read.
    pub(super) endpoint: Option<&'r EndpointReport>,
    /// Whether the name leads to the label, in every account.
    pub(super) to_label: LinkState,
    /// Whether the label leads to the address, at its own servers and elsewhere.
    pub(super) to_address: LinkState,
    /// The ports behind the address.
    pub(super) ports: Vec<&'r WayIn>,
    /// What all this rests on, in order.
    pub(super) evidence: Vec<Evidence<'r>>,
}

/// One account of a name.
#[derive(Debug)]
pub(super) struct Holder<'r> {
    pub(super) account: &'r str,
    pub(super) state: LinkState,
    /// The verdict, or why there is none.
    pub(super) word: &'static str,
}

/// One thing that was seen.
#[derive(Debug)]
pub(super) struct Evidence<'r> {
    pub(super) what: String,
    pub(super) state: LinkState,
    pub(super) detail: &'r str,
}

impl<'r> Row<'r> {
    /// The rows of `round`, what is broken first, then by name.
    pub(super) fn of(round: &'r Round) -> Vec<Self> {
        let mut names: BTreeMap<(&str, Option<&str>), Parts<'r>> = BTreeMap::new();
        for chain in &round.chains {
            let key = (chain.name.as_str(), Some(chain.endpoint.as_str()));
            names.entry(key).or_default().chains.push(chain);
        }
        for report in &round.records {
            // One that was withdrawn leads nowhere any more.
            let Some(endpoint) = &report.endpoint else { continue };
            names.entry((report.name.as_str(), Some(endpoint.as_str()))).or_default().records.push(report);
        }
        let refused = round.refused.iter().map(|it| (it.kind, it.name.as_str(), &it.account));
        let blocked = round.blocked.iter().map(|it| (it.kind, it.name.as_str(), &it.account));
        for (kind, name, account) in refused.chain(blocked) {
            let Some(account) = account.as_ref().filter(|_| kind == SubjectKind::Record) else { continue };
            // What stands in the way of one account is told beside what is known of the name in others.
            let known = names.range((name, None)..).next().map(|(key, _)| *key);
            let key = known.filter(|(other, _)| *other == name).unwrap_or((name, None));
            names.entry(key).or_default().others.push(account.as_str());
        }
        let row = |((name, endpoint), parts): ((&'r str, Option<&'r str>), Parts<'r>)| {
            parts.into_row(round, name, endpoint)
        };
        let mut rows: Vec<Self> = names.into_iter().map(row).collect();
        rows.sort_by_key(|row| (severity(row.state()), row.name));
        rows
    }

    /// The worst of its links.
    pub(super) fn state(&self) -> LinkState {
        let ports = self.ports.iter().map(|way| way.port.state);
        worst([self.to_label, self.to_address].into_iter().chain(ports))
    }

    /// What to say at once of a row that is not whole: the worst of what was seen, each account for itself. What only
    /// follows from a link before it, as a silent port does from an address that was released, is left out.
    pub(super) fn troubles(&self) -> Vec<&Evidence<'r>> {
        if self.state() == LinkState::Whole {
            return Vec::new();
        }
        let whole = |it: &&Evidence<'r>| it.state == LinkState::Whole;
        let (names, rest): (Vec<_>, Vec<_>) = self.evidence.iter().partition(|it| it.of_name());
        let (ports, way): (Vec<_>, Vec<_>) = rest.into_iter().partition(|it| it.what.starts_with("port"));
        let first = way.into_iter().find(|it| !whole(it));
        let ports = if first.is_none() { ports } else { Vec::new() };
        let told: Vec<_> = names.into_iter().chain(first).chain(ports).filter(|it| !whole(it)).collect();
        let state = worst(told.iter().map(|it| it.state));
        told.into_iter().filter(|it| it.state == state).collect()
    }

    /// What to type to connect, for each port that leads to a service.
    pub(super) fn connect(&self) -> Vec<String> {
        let leads = |way: &&&WayIn| way.port.state == LinkState::Whole;
        let Ok(name) = crate::model::name::Fqdn::parse(self.name) else { return Vec::new() };
        self.ports.iter().filter(leads).filter_map(|way| way.line(&name)).collect()
    }
}

impl Evidence<'_> {
    /// Whether it is what an account's servers say of the name itself.
    fn of_name(&self) -> bool {
        self.what.starts_with("name")
    }
}

/// What the round says of one name and its endpoint.
#[derive(Default)]
struct Parts<'r> {
    chains: Vec<&'r Chain>,
    records: Vec<&'r RecordReport>,
    /// Accounts of which nothing but a refusal or a wait may be known.
    others: Vec<&'r str>,
}

impl<'r> Parts<'r> {
    fn into_row(self, round: &'r Round, name: &'r str, endpoint: Option<&'r str>) -> Row<'r> {
        let report = round.endpoints.iter().find(|report| Some(report.name.as_str()) == endpoint);
        let ports: Vec<&WayIn> =
            round.ways_in.iter().filter(|way| Some(way.endpoint.as_str()) == endpoint).collect();
        let evidence = self.evidence(round, name, &ports);
        let holders = self.holders(round, name);
        let of = |wanted: fn(&Evidence<'_>) -> bool| {
            evidence.iter().filter(move |it| wanted(it)).map(|it| it.state).collect::<Vec<_>>()
        };
        let mut to_address = of(|it| matches!(it.what.as_str(), "label" | "label in DNS" | "address"));
        if self.chains.is_empty() {
            to_address.push(match report.map(|report| report.state) {
                Some(EndpointStatus::Ready) => LinkState::Whole,
                Some(EndpointStatus::Released) => LinkState::Pending,
                Some(EndpointStatus::Absent) => LinkState::Broken,
                Some(EndpointStatus::Unknown) | None => LinkState::Unknown,
            });
        }
        let said = holders.iter().map(|holder| holder.state);
        let to_label = worst(of(|it| it.of_name()).into_iter().chain(said));
        let to_address = worst(to_address);
        Row { name, holders, endpoint: report, to_label, to_address, ports, evidence }
    }

    /// The links of the chains where they were walked, what is known without else.
    fn evidence(&self, round: &'r Round, name: &str, ports: &[&'r WayIn]) -> Vec<Evidence<'r>> {
        let mut evidence = Vec::new();
        let mut push = |what, state, detail| evidence.push(Evidence { what, state, detail });
        for chain in &self.chains {
            if let Some(link) = chain.links.first() {
                push(format!("{} in {}", link.from, chain.account), link.state, link.detail.as_str());
            }
        }
        // Behind the name all accounts' chains are one.
        for link in self.chains.first().into_iter().flat_map(|chain| chain.links.iter().skip(1)) {
            push(link.from.to_string(), link.state, &link.detail);
        }
        if self.chains.is_empty() {
            for record in &self.records {
                push(format!("name in {}", record.account), record.verdict.into(), record.detail.as_str());
            }
            for way in ports {
                push(way.port.from.to_string(), way.port.state, &way.port.detail);
            }
        }
        // Where no server was asked, what stands in the way is all that is known.
        let asked = |account: &Handle| {
            let recorded = self.records.iter().map(|record| &record.account);
            recorded.chain(self.chains.iter().map(|chain| &chain.account)).any(|other| other == account)
        };
        let concerns = |kind, other: &str| kind == SubjectKind::Record && other == name;
        for refusal in round.refused.iter().filter(|it| concerns(it.kind, &it.name)) {
            if let Some(account) = refusal.account.as_ref().filter(|it| !asked(it)) {
                push(format!("name in {account}"), LinkState::Broken, refusal.reason.as_str());
            }
        }
        for blocked in round.blocked.iter().filter(|it| concerns(it.kind, &it.name)) {
            if let Some(account) = blocked.account.as_ref().filter(|it| !asked(it)) {
                push(format!("name in {account}"), LinkState::Pending, blocked.waits_for.as_str());
            }
        }
        for record in &self.records {
            if let Some(finding) = record.resolvers.as_ref().filter(|it| it.verdict != Verdict::Agreed) {
                push(format!("resolvers on {}", record.account), finding.verdict.into(), &finding.detail);
            }
        }
        evidence
    }

    fn holders(&self, round: &'r Round, name: &str) -> Vec<Holder<'r>> {
        let chained = self.chains.iter().map(|chain| chain.account.as_str());
        let recorded = self.records.iter().map(|record| record.account.as_str());
        let mut accounts: Vec<&str> = chained.chain(recorded).chain(self.others.iter().copied()).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let holder =
            |account: &'r str| {
                let concerns = |kind, other: &str, by: Option<&str>| {
                    kind == SubjectKind::Record && other == name && by == Some(account)
                };
                let refused = round.refused.iter().any(|it| {
                    concerns(it.kind, &it.name, it.account.as_ref().map(|account| account.as_str()))
                });
                let waits = round.blocked.iter().any(|it| {
                    concerns(it.kind, &it.name, it.account.as_ref().map(|account| account.as_str()))
                });
                let record = self.records.iter().find(|record| record.account.as_str() == account);
                let link = self.chains.iter().find(|chain| chain.account.as_str() == account);
                let link = link.and_then(|chain| chain.links.first()).map(|link| link.state);
                let (state, word) = match (record, link) {
                    _ if refused => (LinkState::Broken, "refused"),
                    (Some(record), _) => (record.verdict.into(), verdict(record.verdict)),
                    _ if waits => (LinkState::Pending, "waits"),
                    (None, Some(state @ LinkState::Broken)) => (state, "broken"),
                    (None, Some(state @ LinkState::Pending)) => (state, "waits"),
                    (None, _) => (LinkState::Unknown, "unknown"),
                };
                Holder { account, state, word }
            };
        accounts.into_iter().map(holder).collect()
    }
}

/// The state that counts for several links together.
fn worst(states: impl IntoIterator<Item = LinkState>) -> LinkState {
    states.into_iter().min_by_key(|state| severity(*state)).unwrap_or(LinkState::Unknown)
}

/// What is broken comes first, then what nobody could see, then what only takes time.
fn severity(state: LinkState) -> u8 {
    match state {
        LinkState::Broken => 0,
        LinkState::Unknown => 1,
        LinkState::Pending => 2,
        LinkState::Whole => 3,
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Agreed => "agreed",
        Verdict::Masked => "masked",
        Verdict::Pending => "pending",
        Verdict::Unanswered => "unanswered",
        Verdict::Contradicted => "contradicted",
    }
}
