//! Walk every chain, name → label → address → port, and name the first link that is broken.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use super::round::{Chain, Link, LinkState, RecordReport};
use super::verify::NAMES_AT_ONCE;
use super::{Reconciler, Verification};
use crate::model::endpoint::{Handle, PublicIp};
use crate::model::name::Fqdn;
use crate::model::plan;
use crate::model::record::RecordType;
use crate::model::state::{Desired, NoZone, Observed, RecordKey, Seen, Wanted};
use crate::model::verify::{Answer, Expected, Reply, Said, Verdict, judge, seen_beside};
use crate::resolver::{Question, Via};

impl Reconciler {
    /// The chain of every wanted record, over what was seen and what name servers say of the record itself.
    pub(super) async fn chains(
        &self,
        desired: &Desired,
        observed: &Observed,
        records: &[RecordReport],
    ) -> Vec<Chain> {
        let endpoints: Vec<(Handle, Vec<Link>)> = stream::iter(desired.endpoints.keys())
            .map(|endpoint| async move { self.label(endpoint, observed).await })
            .buffered(NAMES_AT_ONCE)
            .collect()
            .await;
        let label =
            |endpoint: &Handle| endpoints.iter().find(|(name, _)| name == endpoint).map(|(_, links)| links);
        // A resolver that is asked for what is not served yet remembers that there is nothing (RFC 2308, 5).
        let served = |name: &Fqdn| {
            let agreed = |report: &&RecordReport| matches!(report.verdict, Verdict::Agreed | Verdict::Masked);
            records.iter().filter(agreed).any(|report| &report.name == name)
        };
        let names: BTreeSet<&Fqdn> =
            desired.records.keys().map(|key| &key.name).filter(|name| served(name)).collect();
        let seen: Vec<(&Fqdn, Link)> = stream::iter(names)
            .map(|name| async move { self.outside(name, desired, observed).await })
            .buffered(NAMES_AT_ONCE)
            .collect()
            .await;
        let chain = |(key, wanted): (&RecordKey, &Wanted)| {
            let report =
                records.iter().find(|report| report.name == key.name && report.account == key.account);
            let mut links = vec![self.name(report, desired, observed, key, wanted)];
            links.extend(label(&wanted.endpoint).into_iter().flatten().cloned());
            links.extend(seen.iter().find(|(name, _)| **name == key.name).map(|(_, link)| link.clone()));
            Chain {
                name: key.name.clone(),
                account: key.account.clone(),
                endpoint: wanted.endpoint.clone(),
                links,
                connect: Vec::new(),
            }
        };
        desired.records.iter().filter(|(_, wanted)| !wanted.withdraw).map(chain).collect()
    }

    /// What somebody elsewhere gets for those of `questions` whose names are `served` as they shall be: as above, no
    /// resolver is asked before.
    pub(super) async fn given(
        &self,
        questions: Vec<Question>,
        served: &BTreeSet<&Fqdn>,
    ) -> Vec<(Question, Vec<Answer>)> {
        let asked = questions.into_iter().filter(|question| served.contains(&question.name));
        stream::iter(asked)
            .map(|question| async move {
                let answers = self.resolver.lookup(&question, &Via::Recursive).await;
                (question, answers)
            })
            .buffered(NAMES_AT_ONCE)
            .collect()
            .await
    }

    /// What its own servers give for the name, or why that is not known.
    fn name(
        &self,
        report: Option<&RecordReport>,
        desired: &Desired,
        observed: &Observed,
        key: &RecordKey,
        wanted: &Wanted,
    ) -> Link {
        if let Some(report) = report {
            return Link::new("name", report.verdict.into(), report.detail.clone());
        }
        let (state, detail) = unasked(desired, observed, key, wanted)
            .unwrap_or_else(|| (LinkState::Unknown, NOT_ASKED.to_owned()));
        Link::new("name", state, detail)
    }

    /// The label as Azure holds it, then as its own servers give it.
    async fn label(&self, endpoint: &Handle, observed: &Observed) -> (Handle, Vec<Link>) {
        let state = observed.endpoints.get(endpoint).map(|state| &state.public_ip);
        let held = match state {
            Some(Seen::Present(ip)) => held_link(ip),
            Some(Seen::Absent) => {
                Link::new("label", LinkState::Broken, format!("the public IP of {endpoint} does not exist"))
            }
            Some(Seen::Unknown(reason)) => Link::new("label", LinkState::Unknown, reason.clone()),
            None => Link::new("label", LinkState::Unknown, "was not read".into()),
        };
        let ip = observed.public_ip(endpoint);
        let Some((ip, fqdn)) = ip.and_then(|ip| Some((ip, ip.fqdn.as_ref()?))) else {
            return (endpoint.clone(), vec![held]);
        };
        if !self.verification.authoritative {
            let asked = Link::new("label in DNS", LinkState::Unknown, NOT_ASKED.to_owned());
            return (endpoint.clone(), vec![held, asked]);
        }
        let question = Question { name: fqdn.clone(), rtype: RecordType::of(ip.address) };
        let answers = self.resolver.lookup(&question, &self.verification.label_servers()).await;
        (endpoint.clone(), vec![held, address_link(ip, &answers)])
    }

    /// What somebody elsewhere gets for the name.
    async fn outside<'n>(&self, name: &'n Fqdn, desired: &Desired, observed: &Observed) -> (&'n Fqdn, Link) {
        let namesakes =
            || desired.records.iter().filter(|(key, _)| &key.name == name).map(|(_, wanted)| wanted);
        let wanted = namesakes().next();
        let ip = wanted.and_then(|wanted| observed.public_ip(&wanted.endpoint));
        let rtype = RecordType::of(ip.and_then(|ip| ip.address));
        let answers = self.resolver.lookup(&Question { name: name.clone(), rtype }, &Via::Recursive).await;
        let expected = match wanted.and_then(|wanted| leads_to(wanted, observed)) {
            Some(expected) => expected,
            None => {
                let (state, detail) = released(&answers, "leads to no address while it is released");
                return (name, Link::new("address", state, detail));
            }
        };
        // Where it ends is what counts here; the way there was looked at link by link.
        let ends: Vec<Answer> = answers.into_iter().map(without_chain).collect();
        let others: Vec<Expected> =
            namesakes().skip(1).filter_map(|wanted| leads_to(wanted, observed)).collect();
        let finding = seen_beside(&expected, &others, &ends);
        (name, Link::new("address", finding.verdict.into(), finding.detail))
    }
}

impl Verification {
    fn label_servers(&self) -> Via {
        match self.label_servers.as_slice() {
            [] => Via::Authority,
            servers => Via::Servers(servers.to_vec()),
        }
    }
}

impl From<Verdict> for LinkState {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Agreed | Verdict::Masked => Self::Whole,
            Verdict::Pending => Self::Pending,
            Verdict::Unanswered => Self::Unknown,
            Verdict::Contradicted => Self::Broken,
        }
    }
}

/// Where `wanted` leads somebody elsewhere; `None` while that is nowhere.
fn leads_to(wanted: &Wanted, observed: &Observed) -> Option<Expected> {
    let address = observed.public_ip(&wanted.endpoint).and_then(|ip| ip.address);
    match address {
        address if wanted.proxied => Some(Expected::Proxied { address }),
        Some(address) => Some(Expected::Addresses(vec![address])),
        None => None,
    }
}

/// How things stand at a name that no server was asked for, as far as what was read tells; `None` where a server
/// could have been asked.
fn unasked(
    desired: &Desired,
    observed: &Observed,
    key: &RecordKey,
    wanted: &Wanted,
) -> Option<(LinkState, String)> {
    let zone = match observed.zone(key) {
        Ok(zone) => zone,
        Err(NoZone::Unknown(reason)) => return Some((LinkState::Unknown, reason)),
        Err(NoZone::None) => {
            return Some((LinkState::Broken, format!("no zone of {} holds the name", key.account)));
        }
        Err(NoZone::Several(zone, _)) => {
            return Some((LinkState::Broken, format!("{} has several zones {zone}", key.account)));
        }
    };
    // Nothing is ours there only where that was read.
    let sets = match observed.records.get(key) {
        Some(Seen::Unknown(reason)) => return Some((LinkState::Unknown, reason.clone())),
        None => return Some((LinkState::Unknown, "was not read".to_owned())),
        Some(Seen::Present(sets)) => sets.as_slice(),
        Some(Seen::Absent) => &[],
    };
    let ours = sets.iter().any(|set| set.is_ours(&desired.owner));
    let endpoint = &wanted.endpoint;
    match observed.endpoints.get(endpoint).map(|state| &state.public_ip) {
        Some(Seen::Present(ip)) if plan::content(key, wanted, zone, ip).is_none() => {
            let waits = match ip.fqdn {
                Some(_) => format!("waits for {endpoint} to have an address; it is released"),
                None => format!("waits for {endpoint} to have a label"),
            };
            Some((LinkState::Pending, waits))
        }
        _ if !ours => Some((LinkState::Broken, "nothing of ours stands there".to_owned())),
        Some(Seen::Present(_)) => None,
        Some(Seen::Absent) => {
            Some((LinkState::Broken, format!("stands there, and the public IP of {endpoint} does not exist")))
        }
        Some(Seen::Unknown(_)) | None => {
            let detail =
                format!("stands there; where it shall lead is unknown, since {endpoint} was not read");
            Some((LinkState::Unknown, detail))
        }
    }
}

fn held_link(ip: &PublicIp) -> Link {
    match (&ip.fqdn, ip.address) {
        (None, _) => Link::new("label", LinkState::Broken, "the public IP has no DNS label".into()),
        (Some(fqdn), Some(address)) => {
            Link::new("label", LinkState::Whole, format!("Azure holds {fqdn} on {address}"))
        }
        (Some(fqdn), None) => Link::new(
            "label",
            LinkState::Pending,
            format!("Azure holds {fqdn}; its address is released until the machine runs"),
        ),
    }
}

fn address_link(ip: &PublicIp, answers: &[Answer]) -> Link {
    let Some(address) = ip.address else {
        let (state, detail) = released(answers, "nothing is served while it is released");
        return Link::new("label in DNS", state, detail);
    };
    let finding = judge(&Expected::Addresses(vec![address]), None, answers);
    Link::new("label in DNS", finding.verdict.into(), finding.detail)
}

/// How a link stands whose endpoint has no address: `none` is said only where every server said that there is none.
fn released(answers: &[Answer], none: &str) -> (LinkState, String) {
    let given = |answer: &Answer| match &answer.said {
        Said::Records(reply) => Some((answer.server.clone(), *reply.addresses.first()?)),
        Said::Nothing { .. } | Said::Failed(_) => None,
    };
    let failed = |answer: &Answer| match &answer.said {
        Said::Failed(why) => Some(format!("{}: {why}", answer.server)),
        Said::Records(_) | Said::Nothing { .. } => None,
    };
    if let Some((server, address)) = answers.iter().find_map(given) {
        return (LinkState::Pending, format!("{server} still gives {address}, and it is released"));
    }
    match answers.iter().find_map(failed) {
        Some(failure) => (LinkState::Unknown, failure),
        None if answers.is_empty() => (LinkState::Unknown, "no server is known for it".to_owned()),
        None => (LinkState::Pending, none.to_owned()),
    }
}

fn without_chain(answer: Answer) -> Answer {
    match answer.said {
        Said::Records(reply) => {
            Answer { said: Said::Records(Reply { chain: Vec::new(), ..reply }), ..answer }
        }
        Said::Nothing { .. } | Said::Failed(_) => answer,
    }
}

/// What is said where `verify.authoritative` is false.
const NOT_ASKED: &str = "not asked";
