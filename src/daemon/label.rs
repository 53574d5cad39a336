//! What the labels give between two rounds: a question to their name servers, and no call of an API.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::future::join_all;

use crate::model::endpoint::Handle;
use crate::model::name::Fqdn;
use crate::model::record::RecordType;
use crate::model::sight::{Happening, HappeningKind, Sight};
use crate::model::verify::{Answer, Said};
use crate::resolver::{Question, Resolver, Via};

/// What a label's servers said, all of them together: each server's addresses. Those that said nothing of use are
/// left out.
pub(super) type Picture = BTreeSet<BTreeSet<IpAddr>>;

/// The label of one endpoint as it was last seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    picture: Option<Picture>,
}

/// What a look at a label leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Glimpse {
    /// Whether a round shall look closer.
    pub(super) round: bool,
    /// What happened, where every server says so.
    pub(super) happening: Option<Happening>,
}

/// Asks for every label that is known.
pub(super) async fn look(
    resolver: &dyn Resolver,
    servers: &[String],
    sights: &BTreeMap<Handle, Sight>,
) -> BTreeMap<Handle, Picture> {
    let via = match servers {
        [] => Via::Authority,
        servers => Via::Servers(servers.to_vec()),
    };
    let ask = sights.iter().filter_map(|(endpoint, sight)| {
        let fqdn = sight.fqdn.clone()?;
        Some((endpoint, question(fqdn, sight.address)))
    });
    let asked = ask.map(|(endpoint, question)| {
        let via = &via;
        async move { (endpoint.clone(), picture(&resolver.lookup(&question, via).await)) }
    });
    join_all(asked).await.into_iter().filter(|(_, picture)| !picture.is_empty()).collect()
}

impl Outside {
    /// Takes in what the servers say now, beside what was last read of the endpoint.
    ///
    /// A difference between the two, and its end, each call for one round. Where all servers have changed their mind
    /// together, that is an event at once: nobody has to wait for the round.
    pub(super) fn take(&mut self, now: Picture, sight: &Sight) -> Glimpse {
        let expected: Picture = [sight.address.into_iter().collect()].into();
        let earlier = self.picture.replace(now.clone());
        if earlier.as_ref() == Some(&now) {
            return Glimpse::default();
        }
        let differs = now != expected;
        let differed = earlier.as_ref().is_some_and(|earlier| *earlier != expected);
        let unanimous = earlier.is_some() && now.len() == 1;
        let happening = if differs && unanimous { happened(sight.address, &now) } else { None };
        Glimpse { round: differs || differed, happening }
    }
}

fn happened(known: Option<IpAddr>, now: &Picture) -> Option<Happening> {
    let addresses = now.iter().next()?;
    // Two addresses are not what a label gives.
    let one = if addresses.len() <= 1 { addresses.first() } else { return None };
    let kind = match (known, one) {
        (Some(_), None) => HappeningKind::Released,
        (None, Some(_)) => HappeningKind::Assigned,
        (Some(_), Some(_)) => HappeningKind::Changed,
        (None, None) => return None,
    };
    let text = |address: &IpAddr| address.to_string();
    Some(Happening { kind, before: known.as_ref().map(text), after: one.map(text) })
}

fn picture(answers: &[Answer]) -> Picture {
    let said = |answer: &Answer| match &answer.said {
        Said::Records(reply) => Some(reply.addresses.iter().copied().collect()),
        Said::Nothing { .. } => Some(BTreeSet::new()),
        Said::Failed(_) => None,
    };
    answers.iter().filter_map(said).collect()
}

fn question(name: Fqdn, address: Option<IpAddr>) -> Question {
    let six = address.is_some_and(|address| address.is_ipv6());
    Question { name, rtype: if six { RecordType::Aaaa } else { RecordType::A } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(address: Option<&str>) -> Sight {
        Sight { exists: true, address: address.map(ip), ..Sight::default() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn says(servers: &[&[&str]]) -> Picture {
        servers.iter().map(|addresses| addresses.iter().map(|text| ip(text)).collect()).collect()
    }

    const ROUND: Glimpse = Glimpse { round: true, happening: None };

    #[test]
    fn a_difference_and_its_end_call_for_one_round_each() {
        let mut outside = Outside::default();
        let known = sight(Some("192.0.2.1"));
        assert_eq!(outside.take(says(&[&["192.0.2.1"]]), &known), Glimpse::default());
        let glimpse = outside.take(says(&[&["192.0.2.2"]]), &known);
        assert!(glimpse.round);
        assert_eq!(glimpse.happening.unwrap().to_string(), "the address changed: 192.0.2.1 → 192.0.2.2");
        assert_eq!(outside.take(says(&[&["192.0.2.2"]]), &known), Glimpse::default());
        assert_eq!(outside.take(says(&[&["192.0.2.1"]]), &known), ROUND);
        assert_eq!(outside.take(says(&[&["192.0.2.1"]]), &known), Glimpse::default());
    }

    #[test]
    fn servers_that_disagree_call_for_a_round_and_are_no_event() {
        let mut outside = Outside::default();
        let known = sight(Some("192.0.2.1"));
        outside.take(says(&[&["192.0.2.1"]]), &known);
        assert_eq!(outside.take(says(&[&["192.0.2.1"], &["192.0.2.9"]]), &known), ROUND);
        assert_eq!(outside.take(says(&[&["192.0.2.1"], &["192.0.2.9"]]), &known), Glimpse::default());
    }

    #[test]
    fn what_azure_has_told_already_is_no_event_when_its_servers_follow() {
        let mut outside = Outside::default();
        outside.take(says(&[&["192.0.2.1"]]), &sight(Some("192.0.2.1")));
        // A round has read the new address, and the servers lag behind: they did not change their mind.
        let known = sight(Some("192.0.2.2"));
        assert_eq!(outside.take(says(&[&["192.0.2.1"]]), &known), Glimpse::default());
        assert_eq!(outside.take(says(&[&["192.0.2.2"]]), &known), ROUND);
    }

    /// Says of every question whom it was put to.
    #[derive(Debug, Default)]
    struct Asked(std::sync::Mutex<Vec<(Question, Via)>>);

    #[async_trait::async_trait]
    impl Resolver for Asked {
        async fn lookup(&self, question: &Question, via: &Via) -> Vec<Answer> {
            self.0.lock().unwrap().push((question.clone(), via.clone()));
            let answer = |server: &str, said| Answer { server: server.to_owned(), said };
            let silent = answer("b", Said::Failed("no answer".into()));
            match question.name.as_str() {
                "silent.example.net" => vec![silent],
                "released.example.net" => vec![answer("a", Said::Nothing { negative_ttl: None }), silent],
                _ => {
                    let addresses = vec![ip("192.0.2.1")];
                    let reply = crate::model::verify::Reply { addresses, ..Default::default() };
                    vec![answer("a", Said::Records(reply)), silent]
                }
            }
        }
    }

    fn labelled(fqdn: &str, address: &str) -> Sight {
        Sight { fqdn: Some(Fqdn::parse(fqdn).unwrap()), ..sight(Some(address)) }
    }

    #[tokio::test]
    async fn every_label_is_asked_for_and_silence_is_no_picture() {
        let handle = |text: &str| Handle::parse(text).unwrap();
        let sights: BTreeMap<Handle, Sight> = [
            (handle("four"), labelled("four.example.net", "192.0.2.1")),
            (handle("nameless"), sight(Some("192.0.2.1"))),
            (handle("released"), labelled("released.example.net", "192.0.2.1")),
            (handle("silent"), labelled("silent.example.net", "192.0.2.1")),
            (handle("six"), labelled("six.example.net", "2001:db8::1")),
        ]
        .into();
        let servers = ["192.0.2.53:53".to_owned()];
        for (configured, via) in [(&[][..], Via::Authority), (&servers, Via::Servers(servers.to_vec()))] {
            let asked = Asked::default();
            let pictures = look(&asked, configured, &sights).await;
            let expected = [("four", says(&[&["192.0.2.1"]])), ("released", says(&[&[]]))];
            let mut expected: BTreeMap<Handle, Picture> =
                expected.map(|(name, picture)| (handle(name), picture)).into();
            expected.insert(handle("six"), says(&[&["192.0.2.1"]]));
            assert_eq!(pictures, expected);
            let asked = asked.0.into_inner().unwrap();
            assert!(asked.iter().all(|(_, by)| *by == via), "{asked:?}");
            let mut types: Vec<(&str, &str)> =
                asked.iter().map(|(question, _)| (question.name.as_str(), question.rtype.as_str())).collect();
            types.sort_unstable();
            let expected = [("four", "A"), ("released", "A"), ("silent", "A"), ("six", "AAAA")];
            let expected = expected.map(|(name, rtype)| (format!("{name}.example.net"), rtype));
            assert!(
                types.iter().copied().eq(expected.iter().map(|(name, rtype)| (name.as_str(), *rtype))),
                "{types:?}"
            );
        }
    }

    #[test]
    fn two_addresses_together_call_for_a_round_and_are_no_event() {
        let mut outside = Outside::default();
        let known = sight(Some("192.0.2.1"));
        outside.take(says(&[&["192.0.2.1"]]), &known);
        assert_eq!(outside.take(says(&[&["192.0.2.1", "192.0.2.2"]]), &known), ROUND);
    }

    #[test]
    fn a_first_look_that_differs_calls_for_a_round_and_is_no_event() {
        let known = sight(Some("192.0.2.1"));
        assert_eq!(Outside::default().take(says(&[&["192.0.2.9"]]), &known), ROUND);
    }

    #[test]
    fn a_release_and_an_assignment_show() {
        let mut outside = Outside::default();
        outside.take(says(&[&["192.0.2.1"]]), &sight(Some("192.0.2.1")));
        let gone = outside.take(says(&[&[]]), &sight(Some("192.0.2.1")));
        assert_eq!(gone.happening.unwrap().kind, HappeningKind::Released);
        let back = outside.take(says(&[&["192.0.2.3"]]), &sight(None));
        assert_eq!(back.happening.unwrap().kind, HappeningKind::Assigned);
    }
}
