//! The outcome of a round, first and in one line.

use super::{Chain, ChangeOutcome, Link, LinkState, Outcome, RecordReport, Round, WayIn};
use crate::model::plan::counted;
use crate::model::verify::Verdict;

impl Round {
    /// The outcome in a word, and what it rests on, without a full stop.
    #[must_use]
    pub fn headline(&self) -> (&'static str, String) {
        let round = self;
        let agreed =
            round.records.iter().filter(|r| matches!(r.verdict, Verdict::Agreed | Verdict::Masked)).count();
        let total = round.records.len();
        let count = |outcome| round.changes.iter().filter(|change| change.outcome == outcome).count();
        let applied = count(ChangeOutcome::Applied);
        let planned = count(ChangeOutcome::Planned);
        let unsure = count(ChangeOutcome::Unconfirmed);
        match round.outcome {
            // In sync is what name servers bear out.
            Outcome::InSync if !round.authoritative || total == 0 => {
                ("Unchanged", "nothing to do; name servers were not asked".to_owned())
            }
            Outcome::InSync => (
                "In sync",
                format!(
                    "{}, and every authoritative server agrees{}",
                    counted(total, "record"),
                    ways_in(round)
                ),
            ),
            Outcome::Changed if total > 0 => (
                "Done",
                format!(
                    "{} made, and every authoritative server agrees on {}{}",
                    counted(applied, "change"),
                    counted(total, "record"),
                    ways_in(round)
                ),
            ),
            Outcome::Changed => ("Done", format!("{} made", counted(applied, "change"))),
            Outcome::Pending if planned > 0 && applied > 0 => (
                "Pending",
                format!(
                    "{} made, {} still to make: plan again",
                    counted(applied, "change"),
                    counted(planned, "change")
                ),
            ),
            Outcome::Pending if planned > 0 => ("Pending", format!("{} to make", counted(planned, "change"))),
            Outcome::Pending if applied > 0 => (
                "Pending",
                format!("{} made; something waits that cannot be done here", counted(applied, "change")),
            ),
            Outcome::Pending => {
                ("Pending", "something waits, and nothing can be done about it here".to_owned())
            }
            Outcome::Unverified if agreed == total => ("Not verified", loose(&round.chains, &round.ways_in)),
            Outcome::Unverified => (
                "Not verified",
                format!("{agreed} of {} on every authoritative server as wanted", counted(total, "record")),
            ),
            Outcome::Refused => (
                "Refused",
                match applied {
                    0 => "nothing of the endpoints concerned was touched".to_owned(),
                    _ => format!("{} made; what is refused is told below", counted(applied, "change")),
                },
            ),
            // Not "failed", which would claim more than is known.
            Outcome::Partial if round.only_unsure() => (
                "Not confirmed",
                match applied {
                    0 => {
                        format!("{} may have been made, or not; it is told below", counted(unsure, "change"))
                    }
                    _ => format!(
                        "{} made, and {unsure} may have been; it is told below",
                        counted(applied, "change")
                    ),
                },
            ),
            Outcome::Partial => (
                "Partly failed",
                match applied {
                    0 => "what was not read or not done is told below".to_owned(),
                    _ => format!("{} made; the rest is told below", counted(applied, "change")),
                },
            ),
            Outcome::Failed => ("Failed", "see below".to_owned()),
        }
    }
}

impl Round {
    /// Whether nothing failed, and all that is amiss is a change that could not be confirmed.
    #[must_use]
    pub fn only_unsure(&self) -> bool {
        let any = |outcome| self.changes.iter().any(|change| change.outcome == outcome);
        any(ChangeOutcome::Unconfirmed) && !any(ChangeOutcome::Failed) && self.unknown.is_empty()
    }

    /// Why the outcome is no better, in one line: the first of all that was not read, not done, refused or not borne out
    /// by name servers, or that waits, and how many more there are.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let unread = self.unknown.iter().map(|it| format!("could not read {}: {}", it.what, it.reason));
        let failed =
            self.changes.iter().filter_map(|change| Some(format!("{change}: {}", change.error.as_ref()?)));
        let refused = self.refused.iter().map(|it| {
            format!("{}: refused ({}): {}", it.kind.place(&it.name, it.account.as_ref()), it.rule, it.reason)
        });
        let agreed = |it: &&RecordReport| !matches!(it.verdict, Verdict::Agreed | Verdict::Masked);
        let unverified = self.records.iter().filter(agreed);
        let unverified =
            unverified.map(|it| format!("{} in {}: {}: {}", it.name, it.account, it.verdict, it.detail));
        let waits =
            self.blocked.iter().filter(|_| self.outcome == Outcome::Pending).map(|it| {
                format!("{} waits for {}", it.kind.place(&it.name, it.account.as_ref()), it.waits_for)
            });
        let mut reasons = unread.chain(failed).chain(refused).chain(unverified).chain(waits);
        let Some(first) = reasons.next() else {
            return (self.outcome == Outcome::Unverified).then(|| loose(&self.chains, &self.ways_in));
        };
        Some(match reasons.count() {
            0 => first,
            more => format!("{first}; and {more} more"),
        })
    }
}

/// The ports, where they were tried and all of them hold.
fn ways_in(round: &Round) -> String {
    match round.ways_in.len() {
        0 => String::new(),
        1 => "; 1 port leads to its service".to_owned(),
        ports => format!("; {ports} ports lead to their services"),
    }
}

/// What is not whole in a round whose every record is: the first link that is broken, or else the ports that lead nowhere,
/// or else the first link that could not be seen.
fn loose(chains: &[Chain], ways: &[WayIn]) -> String {
    let is_port = |link: &Link| ways.iter().any(|way| way.port.from == link.from);
    let links = || chains.iter().flat_map(|chain| chain.links.iter().map(move |link| (&chain.name, link)));
    let first = |state| links().find(|(_, link)| link.state == state && !is_port(link));
    if let Some((name, link)) = first(LinkState::Broken) {
        return format!("the {} of {name} is broken: {}", link.from, link.detail);
    }
    let closed = ways.iter().filter(|way| way.port.state != LinkState::Whole);
    let ports: Vec<String> = closed.map(|way| way.frontend_port.to_string()).collect();
    match first(LinkState::Unknown) {
        Some((name, link)) if ports.is_empty() => {
            format!("the {} of {name} could not be seen: {}", link.from, link.detail)
        }
        _ => format!("no way in was proved through {}", ports.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoint::Handle;
    use crate::model::name::Fqdn;

    fn link(from: &'static str, state: LinkState) -> Link {
        Link { from: from.into(), state, detail: format!("what is seen of the {from}") }
    }

    fn told(label: LinkState, address: LinkState, port: LinkState) -> String {
        let port = link("port 63011", port);
        let links = vec![
            link("name", LinkState::Whole),
            link("label in DNS", label),
            link("address", address),
            port.clone(),
        ];
        let name = Fqdn::parse("jump.example.com").unwrap();
        let (account, endpoint) = (Handle::parse("azure").unwrap(), Handle::parse("jump").unwrap());
        let chain = Chain { name, account, endpoint, links, connect: Vec::new() };
        let endpoint = Handle::parse("jump").unwrap();
        let way = WayIn { endpoint, rule: "rdp".into(), frontend_port: 63011, backend_port: 3389, port };
        loose(&[chain], &[way])
    }

    #[test]
    fn the_first_broken_link_is_named_before_what_follows_from_it() {
        use LinkState::{Broken, Pending, Unknown, Whole};
        let label = "the label in DNS of jump.example.com is broken: what is seen of the label in DNS";
        assert_eq!(told(Broken, Broken, Broken), label);
        assert_eq!(told(Broken, Whole, Whole), label);
        let address = "the address of jump.example.com is broken: what is seen of the address";
        assert_eq!(told(Unknown, Broken, Whole), address);
        assert_eq!(told(Unknown, Pending, Broken), "no way in was proved through 63011");
        assert_eq!(told(Whole, Whole, Unknown), "no way in was proved through 63011");
        let unseen =
            "the label in DNS of jump.example.com could not be seen: what is seen of the label in DNS";
        assert_eq!(told(Unknown, Whole, Whole), unseen);
    }
}
