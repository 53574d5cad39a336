//! What the labels give between two rounds: a question to their name servers, and no call of an API.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::record::RecordType;
use crate::model::sight::{Happening, HappeningKind, Sight};
use crate::model::verify::{Answer, Said};
use crate::resolver::{Question, Resolver, Via};

/// What a label's servers said, all of them together: each server's addresses. Those that said nothing of use are
/// left out, and all of them may have.
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

/// What to ask for the label of an endpoint, where it has one.
pub(super) fn question(sight: &Sight) -> Option<Question> {
    let name = sight.fqdn.clone()?;
    Some(Question { name, rtype: if sight.is_six() { RecordType::Aaaa } else { RecordType::A } })
}

/// Asks for one label.
pub(super) async fn look(resolver: &dyn Resolver, servers: &[String], question: &Question) -> Picture {
    let via = match servers {
        [] => Via::Authority,
        servers => Via::Servers(servers.to_vec()),
    };
    picture(&resolver.lookup(question, &via).await)
}

impl Outside {
    /// Takes in what the servers say now, beside what was last read of the endpoint.
    ///
    /// A difference between the two, and its end, each call for one round. Where all servers have changed their mind
    /// together and give another address, that is an event at once: nobody has to wait for the round. Where they give
    /// none any more, only the round can tell whether the address was released, the label moved, or the public IP deleted.
    pub(super) fn take(&mut self, now: Picture, sight: &Sight) -> Glimpse {
        let expected: Picture = [sight.told().into_iter().collect()].into();
        let earlier = self.picture.replace(now.clone());
        if earlier.as_ref() == Some(&now) {
            return Glimpse::default();
        }
        let differs = now != expected;
        let differed = earlier.as_ref().is_some_and(|earlier| *earlier != expected);
        let unanimous = earlier.is_some() && now.len() == 1;
        // That somebody made the public IP anew is for a round to find out.
        let happening =
            if differs && unanimous && sight.exists { happened(sight.told(), &now) } else { None };
        Glimpse { round: differs || differed, happening }
    }
}

fn happened(known: Option<IpAddr>, now: &Picture) -> Option<Happening> {
    let addresses = now.iter().next()?;
    // Two addresses are not what a label gives.
    let one = addresses.first().filter(|_| addresses.len() == 1)?;
    let kind = if known.is_some() { HappeningKind::Changed } else { HappeningKind::Assigned };
    Some(Happening { kind, before: known.map(|known| known.to_string()), after: Some(one.to_string()) })
}

fn picture(answers: &[Answer]) -> Picture {
    let said = |answer: &Answer| match &answer.said {
        Said::Records(reply) => Some(reply.addresses.iter().copied().collect()),
        Said::Nothing { .. } => Some(BTreeSet::new()),
        Said::Failed(_) => None,
    };
    answers.iter().filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::Fqdn;

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
    async fn a_label_is_asked_for_by_its_kind_of_address_and_silence_is_no_picture() {
        assert_eq!(question(&sight(Some("192.0.2.1"))), None, "it has no name");
        let servers = ["192.0.2.53:53".to_owned()];
        for (configured, via) in [(&[][..], Via::Authority), (&servers, Via::Servers(servers.to_vec()))] {
            for (name, known, rtype, expected) in [
                ("four", "192.0.2.1", "A", says(&[&["192.0.2.1"]])),
                ("released", "192.0.2.1", "A", says(&[&[]])),
                ("silent", "192.0.2.1", "A", says(&[])),
                ("six", "2001:db8::1", "AAAA", says(&[&["192.0.2.1"]])),
            ] {
                let asked = Asked::default();
                let name = format!("{name}.example.net");
                let question = question(&labelled(&name, known)).unwrap();
                assert_eq!(look(&asked, configured, &question).await, expected, "{name}");
                assert_eq!((question.name.as_str(), question.rtype.as_str()), (name.as_str(), rtype));
                assert_eq!(asked.0.into_inner().unwrap(), [(question, via.clone())]);
            }
        }
    }

    #[test]
    fn a_label_whose_address_was_released_is_asked_for_by_the_kind_that_it_was() {
        for (before, rtype) in [("192.0.2.1", RecordType::A), ("2001:db8::1", RecordType::Aaaa)] {
            let earlier = labelled("jump.example.net", before);
            let released = Sight { address: None, ..earlier.clone() }.after(&earlier);
            assert_eq!(question(&released).unwrap().rtype, rtype, "{before}");
        }
    }

    #[test]
    fn of_a_public_ip_that_is_gone_an_answer_calls_for_a_round_and_is_no_event() {
        let gone = Sight { exists: false, ..sight(None) };
        let mut outside = Outside::default();
        assert_eq!(outside.take(says(&[&[]]), &gone), Glimpse::default());
        assert_eq!(outside.take(says(&[&["192.0.2.7"]]), &gone), ROUND);
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
    fn an_assignment_shows_and_a_label_that_gives_nothing_is_for_a_round_to_explain() {
        let mut outside = Outside::default();
        outside.take(says(&[&["192.0.2.1"]]), &sight(Some("192.0.2.1")));
        assert_eq!(outside.take(says(&[&[]]), &sight(Some("192.0.2.1"))), ROUND);
        let back = outside.take(says(&[&["192.0.2.3"]]), &sight(None));
        assert_eq!(back.happening.unwrap().kind, HappeningKind::Assigned);
    }
}
