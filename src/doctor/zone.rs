//! What each account holds, and whether it can be read.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use tokio::time::timeout;

use super::{Account, Doctor, NO_CREDENTIAL, NOT_TAKEN, PATIENCE, credential, failed};
use crate::model::checkup::{Check, Health, Topic};
use crate::model::endpoint::Handle;
use crate::model::name::{Apexes, Fqdn};
use crate::model::permission::{CLOUDFLARE_EDIT, CLOUDFLARE_READ, lacking};
use crate::model::plan::counted;
use crate::model::record::Mode;
use crate::model::state::{Seen, Zone};
use crate::provider::{DnsProvider, Error, Look, Rights};

/// A zone in which names are wanted.
#[derive(Debug)]
pub(super) struct Held<'d> {
    /// The account that holds it.
    pub(super) account: &'d Handle,
    /// Whether that is an account of Azure's.
    pub(super) of_azure: bool,
    /// The zone.
    pub(super) zone: Zone,
    /// The names that are wanted in it.
    pub(super) names: BTreeSet<&'d Fqdn>,
    /// How they are wanted, and the endpoint that they follow.
    pub(super) wishes: Vec<(Mode, &'d Handle)>,
    /// The servers that the provider names for it.
    pub(super) listed: Result<Vec<String>, String>,
}

/// What is wanted in one zone.
#[derive(Debug, Default)]
struct Wanted<'d> {
    names: BTreeSet<&'d Fqdn>,
    wishes: Vec<(Mode, &'d Handle)>,
}

impl Doctor {
    /// Every account: its credential, its zones, and what can be read and written there. Those of Azure's are asked
    /// where its credential was `taken`.
    pub(super) async fn zones(&self, taken: bool) -> Vec<(Vec<Check>, Vec<Held<'_>>)> {
        join_all(self.accounts.iter().map(|(name, account)| async move {
            let unasked = |why| Check::new(Topic::Zone, name, Health::NotAsked, why);
            match account {
                Ok(Account { rights: None, .. }) if !taken => (vec![unasked(NOT_TAKEN)], Vec::new()),
                Ok(account) => self.account(name, account).await,
                Err(Some(why)) => {
                    (vec![credential::unread(name.as_str(), why), unasked(NO_CREDENTIAL)], Vec::new())
                }
                Err(None) => (vec![unasked(NO_CREDENTIAL)], Vec::new()),
            }
        }))
        .await
    }

    async fn account<'d>(&'d self, name: &'d Handle, account: &'d Account) -> (Vec<Check>, Vec<Held<'d>>) {
        let own = async {
            match &account.rights {
                Some(rights) => Some(credential::check(name.as_str(), rights.as_ref()).await),
                None => None,
            }
        };
        let (own, (mut checks, held)) = futures::join!(own, self.holding(name, account));
        let Some(own) = own else { return (checks, held) };
        if own.health != Health::Failed {
            checks.push(own);
            return (checks, held);
        }
        let reads = |check: &Check| check.topic == Topic::Zone && check.health == Health::Ok;
        if checks.iter().any(reads) {
            // Not every token may be asked after; one that reads is one.
            let detail = "works; its service does not tell whose it is, nor until when";
            checks.push(Check::new(Topic::Credential, name, Health::Ok, detail));
            return (checks, held);
        }
        // What follows from a credential that is not taken is told once.
        let unasked = Check::new(Topic::Zone, name, Health::NotAsked, NOT_TAKEN);
        (vec![own, unasked], Vec::new())
    }

    /// The zones of an account.
    async fn holding<'d>(&'d self, name: &'d Handle, account: &'d Account) -> (Vec<Check>, Vec<Held<'d>>) {
        let mut checks = Vec::new();
        let zones = match timeout(PATIENCE, account.provider.zones()).await {
            Ok(Ok(zones)) => zones,
            Ok(Err(error)) => return (vec![failed(Topic::Zone, name, &error)], Vec::new()),
            Err(_) => return (vec![credential::late(Topic::Zone, name)], Vec::new()),
        };
        let apexes = Apexes::new(&zones, |zone| &zone.name);
        let mut wanted: BTreeMap<&str, Wanted<'d>> = BTreeMap::new();
        for (key, wish) in self.desired.records.iter().filter(|(key, _)| key.account == *name) {
            match apexes.nearest(&key.name) {
                [zone] => {
                    let wanted = wanted.entry(&zone.id).or_default();
                    wanted.names.insert(&key.name);
                    wanted.wishes.push((wish.mode, &wish.endpoint));
                }
                found => checks.push(homeless(name, &key.name, found, &zones)),
            }
        }
        let looks = zones.iter().filter_map(|zone| Some((zone, wanted.remove(zone.id.as_str())?)));
        let looks = looks.map(|(zone, Wanted { names, wishes })| async move {
            let provider = account.provider.as_ref();
            let (read, listed, rights) = futures::join!(
                timeout(PATIENCE, read(provider, zone, &names)),
                timeout(PATIENCE, provider.listed_servers(zone)),
                written(name, zone, account.rights.as_deref()),
            );
            let subject = format!("{} in {name}", zone.name);
            let read = match read {
                Ok(Ok(())) => {
                    let detail = format!("{} can be read", counted(names.len(), "name"));
                    Check::new(Topic::Zone, subject, Health::Ok, detail)
                }
                Ok(Err(check)) => check,
                Err(_) => credential::late(Topic::Zone, subject),
            };
            let listed = match listed {
                Ok(listed) => listed.map_err(|error| error.chain()),
                Err(_) => Err("no answer in time".to_owned()),
            };
            let of_azure = account.rights.is_none();
            let held = Held { account: name, of_azure, zone: zone.clone(), names, wishes, listed };
            (read, rights, held)
        });
        let looks: Vec<_> = looks.collect();
        let mut held = Vec::new();
        for (read, rights, zone) in join_all(looks).await {
            checks.push(read);
            checks.extend(rights);
            held.push(zone);
        }
        (checks, held)
    }
}

/// Reads the names, and nothing else.
async fn read(provider: &dyn DnsProvider, zone: &Zone, names: &BTreeSet<&Fqdn>) -> Result<(), Check> {
    let subject = format!("{} in {}", zone.name, provider.account());
    let look = Look { names: names.iter().map(|name| (*name).clone()).collect(), marked: None };
    let found = provider.observe(zone, &look).await.map_err(|error| failed(Topic::Zone, &subject, &error))?;
    match found.iter().find_map(|(name, seen)| Some((name, seen.unknown()?))) {
        Some((name, why)) => {
            Err(Check::new(Topic::Zone, &subject, Health::Failed, format!("{name} cannot be read: {why}")))
        }
        None if found.values().any(|seen| matches!(seen, Seen::Present(_) | Seen::Absent))
            || names.is_empty() =>
        {
            Ok(())
        }
        None => Err(Check::new(Topic::Zone, &subject, Health::Failed, "nothing was read")),
    }
}

/// Whether a token of its own may write in a zone, by what its service says; Azure's is asked elsewhere.
async fn written(account: &Handle, zone: &Zone, rights: Option<&dyn Rights>) -> Option<Check> {
    let rights = rights?;
    let subject = format!("{} in {account}", zone.name);
    let check = |health, detail: String| Check::new(Topic::Permissions, &subject, health, detail);
    let grants = match timeout(PATIENCE, rights.grants(&zone.id)).await {
        Ok(Ok(grants)) => grants,
        Ok(Err(error)) => {
            let detail = format!("whether the token may write is not told: {}", error.causes());
            return Some(check(Health::NotAsked, detail).next(untold(&error)));
        }
        Err(_) => return Some(credential::late(Topic::Permissions, subject)),
    };
    let missing = lacking(&grants, &[CLOUDFLARE_READ, CLOUDFLARE_EDIT]);
    Some(match missing.first() {
        None => check(Health::Ok, "the token may read and write records".into()),
        Some(first) => {
            let detail = format!(
                "lacks Zone > DNS > Edit at {}: its permissions there are without {first}",
                zone.name
            );
            check(Health::Failed, detail).next(format!("give the token Zone > DNS > Edit for {}", zone.name))
        }
    })
}

fn untold(error: &Error) -> String {
    match error.kind() {
        crate::provider::Kind::Denied => {
            "give the token Zone > Zone > Read to have it told; it works without where zone ids are given"
                .into()
        }
        _ => error.step().into_owned(),
    }
}

/// A name that no zone, or more than one, answers for.
fn homeless(account: &Handle, name: &Fqdn, found: &[&Zone], zones: &[Zone]) -> Check {
    let subject = format!("{name} in {account}");
    if found.is_empty() {
        let names: Vec<String> = zones.iter().take(FEW).map(|zone| zone.name.to_string()).collect();
        let there = match (names.is_empty(), zones.len() > FEW) {
            (true, _) => "it sees none at all".to_owned(),
            (false, false) => format!("it sees {}", names.join(", ")),
            (false, true) => format!("it sees {} and more", names.join(", ")),
        };
        return Check::new(
            Topic::Zone,
            subject,
            Health::Failed,
            format!("no zone of the account holds it; {there}"),
        )
        .next("add the zone to the account, let the credential see it, or name another account");
    }
    let ids: Vec<&str> = found.iter().map(|zone| zone.id.as_str()).collect();
    Check::new(Topic::Zone, subject, Health::Failed, format!("several zones hold it: {}", ids.join(", ")))
        .next("say which one is meant in the account's `zones`, and which servers are its in `name_servers`")
}

/// Zones that are named; more is noise.
const FEW: usize = 5;
