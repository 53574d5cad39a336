//! Whether the world is led to the servers that an account names for its zone.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use super::Doctor;
use super::zone::Held;
use crate::model::checkup::{Check, Health, Topic};
use crate::model::endpoint::Handle;
use crate::model::name::ZoneName;

/// One zone, with the accounts that hold it and the servers that each names.
#[derive(Debug, Default)]
struct Hosts<'d> {
    listed: BTreeMap<&'d Handle, &'d [String]>,
    /// The accounts of each name in it: one of them must be reached.
    sets: BTreeSet<BTreeSet<&'d Handle>>,
    untold: Vec<String>,
}

impl Doctor {
    /// One check for each zone in which names are wanted, whichever accounts hold it.
    pub(super) async fn delegations(&self, held: &[Held<'_>]) -> Vec<Check> {
        let mut zones: BTreeMap<&ZoneName, Hosts<'_>> = BTreeMap::new();
        for one in held {
            let hosts = zones.entry(&one.zone.name).or_default();
            match &one.listed {
                Ok(listed) => drop(hosts.listed.insert(one.account, listed)),
                Err(why) => hosts.untold.push(format!("{}: {why}", one.account)),
            }
            for name in &one.names {
                let holders = held.iter().filter(|other| other.names.contains(name));
                hosts.sets.insert(holders.map(|holder| holder.account).collect());
            }
        }
        let asked: Vec<_> = zones.into_iter().map(|(zone, hosts)| self.delegation(zone, hosts)).collect();
        join_all(asked).await
    }

    async fn delegation(&self, zone: &ZoneName, hosts: Hosts<'_>) -> Check {
        let check = |health, detail: String| Check::new(Topic::Delegation, zone, health, detail);
        if let Some(untold) = hosts.untold.first() {
            let detail = format!("the account's own servers are not known: {untold}");
            return check(Health::NotAsked, detail);
        }
        let (above, heard) =
            futures::join!(self.survey.delegated_to(zone.apex()), self.survey.name_servers(zone.apex()));
        // The zone above decides; where it cannot be asked, resolvers have asked it.
        let (by, named) = match above {
            Some(named) => ("the zone above", named),
            None => {
                let answered: Vec<&Vec<String>> =
                    heard.iter().filter_map(|heard| heard.said.as_ref().ok()).collect();
                if answered.is_empty() {
                    let detail = "no resolver answered, nor a server of the zone above".to_owned();
                    return check(Health::NotAsked, detail).next("let this host reach a resolver");
                }
                let named: BTreeSet<&String> = answered.into_iter().flatten().collect();
                ("resolvers", named.into_iter().cloned().collect())
            }
        };
        judge(zone, &hosts, by, &named)
    }
}

/// What the servers that the world is led to mean for those that hold the zone.
fn judge(zone: &ZoneName, hosts: &Hosts<'_>, by: &str, named: &[String]) -> Check {
    let check = |health, detail: String| Check::new(Topic::Delegation, zone, health, detail);
    let lists = |accounts: &BTreeSet<&Handle>| {
        let lists = accounts.iter().map(|account| {
            let listed = hosts.listed.get(*account).copied().unwrap_or_default();
            format!("{account} names {}", or_none(listed))
        });
        lists.collect::<Vec<_>>().join("; ")
    };
    let is_reached = |account: &&Handle| {
        hosts.listed.get(*account).is_some_and(|listed| listed.iter().any(|server| named.contains(server)))
    };
    if let Some(lost) = hosts.sets.iter().find(|set| !set.iter().any(&is_reached)) {
        let detail = format!("not delegated here: {by} name {}, {}", or_none(named), lists(lost));
        let servers = lost.iter().find_map(|account| hosts.listed.get(*account)).copied().unwrap_or_default();
        let step = format!("delegate {zone} to {} where the domain is registered or held", or_none(servers));
        return check(Health::Failed, detail).next(step);
    }
    let all: BTreeSet<&Handle> = hosts.listed.keys().copied().collect();
    let (reached, passed): (Vec<&Handle>, Vec<&Handle>) =
        all.into_iter().partition(|account| is_reached(account));
    let names = |accounts: &[&Handle]| {
        accounts.iter().map(|account| account.as_str().to_owned()).collect::<Vec<_>>().join(", ")
    };
    let mut detail = format!("{by} name {}, of {}", or_none(named), names(&reached));
    if !passed.is_empty() {
        detail.push_str(&format!("; the servers of {} are not among them", names(&passed)));
    }
    let strangers: Vec<String> = (named.iter())
        .filter(|server| !hosts.listed.values().any(|listed| listed.contains(server)))
        .cloned()
        .collect();
    if strangers.is_empty() {
        return check(Health::Ok, detail);
    }
    let detail = format!("{detail}; {} of no configured account", strangers.join(", "));
    check(Health::Warning, detail)
        .next("take them out of the delegation, or add the account that they belong to")
}

fn or_none(servers: &[String]) -> String {
    if servers.is_empty() { "none".to_owned() } else { servers.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(accounts: &[(&str, &[&str])], sets: &[&[&str]], named: &[&str]) -> Check {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let handles: Vec<(Handle, Vec<String>)> =
            accounts.iter().map(|(name, listed)| (Handle::parse(name).unwrap(), owned(listed))).collect();
        let handle =
            |name: &str| handles.iter().map(|(handle, _)| handle).find(|h| h.as_str() == name).unwrap();
        let hosts = Hosts {
            listed: handles.iter().map(|(handle, listed)| (handle, listed.as_slice())).collect(),
            sets: sets.iter().map(|set| set.iter().map(|name| handle(name)).collect()).collect(),
            untold: Vec::new(),
        };
        judge(&ZoneName::parse("example.com").unwrap(), &hosts, "resolvers", &owned(named))
    }

    #[test]
    fn one_of_the_accounts_of_each_name_must_be_reached() {
        let two: [(&str, &[&str]); 2] = [("azure", &["a1", "a2"]), ("cf", &["c1", "c2"])];
        assert_eq!(judged(&two, &[&["azure", "cf"]], &["c1", "c2"]).health, Health::Ok);
        assert_eq!(judged(&two, &[&["azure", "cf"]], &["a1", "c1"]).health, Health::Ok);
        let alone = judged(&two, &[&["azure", "cf"], &["azure"]], &["c1", "c2"]);
        assert_eq!(alone.health, Health::Failed);
        assert_eq!(alone.detail, "not delegated here: resolvers name c1, c2, azure names a1, a2");
        assert_eq!(judged(&two[..1], &[&["azure"]], &[]).health, Health::Failed);
        let stranger = judged(&two[..1], &[&["azure"]], &["a1", "x1"]);
        assert_eq!(stranger.health, Health::Warning, "{stranger:?}");
    }
}
