//! Chains in words: what several accounts hold alike is told once.

use super::section;
use crate::cli::output::Tone;
use crate::cli::table::Table;
use crate::reconcile::round::{Chain, Link, LinkState, Round, WayIn};

/// Every chain of `round`, those of one name together, each with the lines to connect with.
pub(super) fn render(round: &Round) -> String {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for chain in &round.chains {
        match groups.iter_mut().find(|group| group.takes(chain)) {
            Some(group) => group.chains.push(chain),
            None => groups.push(Group { chains: vec![chain] }),
        }
    }
    let mut out = String::new();
    for group in &groups {
        section(&mut out, &group.title(), &group.links());
        for line in group.connect(&round.ways_in) {
            out.push_str(&format!("  {} {line}\n", Tone::Faint.paint("connect:")));
        }
    }
    out
}

/// Chains of one name that differ in their first link alone: what each account's name servers say.
struct Group<'r> {
    chains: Vec<&'r Chain>,
}

impl<'r> Group<'r> {
    fn takes(&self, chain: &Chain) -> bool {
        let told = |chain: &Chain| -> Vec<(String, LinkState, String)> {
            let rest = chain.links.iter().skip(1);
            rest.map(|link| (link.from.to_string(), link.state, link.detail.clone())).collect()
        };
        self.chains.iter().all(|held| held.name == chain.name && told(held) == told(chain))
    }

    /// The links in their order, each account's own first, with what to call them.
    fn named(&self) -> Vec<(String, &'r Link)> {
        let alone = self.chains.len() == 1;
        let own = self.chains.iter().filter_map(|chain| {
            let link = chain.links.first()?;
            Some((
                if alone { link.from.to_string() } else { format!("{} in {}", link.from, chain.account) },
                link,
            ))
        });
        let shared = self.chains.first().into_iter().flat_map(|chain| chain.links.iter().skip(1));
        own.chain(shared.map(|link| (link.from.to_string(), link))).collect()
    }

    fn title(&self) -> String {
        let accounts: Vec<&str> = self.chains.iter().map(|chain| chain.account.as_str()).collect();
        let what = self.chains.first().map(|chain| chain.name.as_str()).unwrap_or_default();
        let links = self.named();
        // What is broken counts for more than what has yet to become whole before it.
        let worst = [LinkState::Broken, LinkState::Unknown, LinkState::Pending]
            .into_iter()
            .find_map(|state| links.iter().find(|(_, link)| link.state == state));
        let state = match worst {
            None => "whole".to_owned(),
            Some((from, link)) => {
                let what = match link.state {
                    LinkState::Pending => "waits",
                    LinkState::Unknown => "unknown",
                    LinkState::Broken | LinkState::Whole => "first broken",
                };
                format!("{what} at the {from}")
            }
        };
        format!("{what} in {}: {state}", accounts.join(" and "))
    }

    fn links(&self) -> Table {
        let mut table = Table::default();
        for (from, link) in self.named() {
            let (state, tone) = match link.state {
                LinkState::Whole => ("whole", Tone::Good),
                LinkState::Pending => ("pending", Tone::Warn),
                LinkState::Broken => ("broken", Tone::Bad),
                LinkState::Unknown => ("unknown", Tone::Warn),
            };
            table.row([(from, Tone::Plain), (state.to_owned(), tone), (link.detail.clone(), Tone::Plain)]);
        }
        table
    }

    /// What to type for each port that leads to its service; a line that cannot work now is not worth typing.
    fn connect(&self, ways: &[WayIn]) -> Vec<String> {
        let Some(chain) = self.chains.first() else { return Vec::new() };
        let led = |way: &&WayIn| {
            let same = |link: &Link| link.from == way.port.from && link.detail == way.port.detail;
            way.port.state == LinkState::Whole && chain.links.iter().any(same)
        };
        ways.iter().filter(led).filter_map(|way| way.line(&chain.name)).collect()
    }
}
