//! The chapters about the gateway: building it, keeping others out, a door that somebody closed, taking it down.

use serde_json::{Value, json};

use super::proof::Proofs;
use super::{Greeter, Story, shown};
use crate::cli::args::TeardownArgs;
use crate::cli::exit::Exit;
use crate::cli::teardown;
use crate::reconcile::round::{LinkState, SubjectKind};
use crate::sandbox::{LoggedRequest, Service};

impl Story<'_> {
    pub(super) async fn provision(&self, proofs: &mut Proofs) {
        self.chapter(
            "A machine without an address",
            "Its own public IP is gone. Nothing of ours exists: no public IP, no load balancer, no record.",
            "cnamed plan",
        );
        self.sandbox.forget_requests();
        let exit = self.plan().await;
        proofs.add(
            "plan changes nothing",
            self.writes() == 0,
            format!("{} writes reached the cloud", self.writes()),
        );
        proofs.add(
            "plan exits 3 while changes are pending",
            exit == Exit::Pending,
            format!("exit {}", exit.code()),
        );
        self.chapter(
            "Make it so",
            "The public IP, the load balancer with its NAT rules, the security rules in the colleagues' group, the\n\
             machine behind them; then the names on the label that Azure reports; then a knock at each port.",
            "cnamed sync --verify",
        );
        self.sandbox.forget_requests();
        let (exit, round) = self.verified().await;
        proofs.add(
            "one sync provisions and verifies everything",
            exit == Exit::InSync,
            format!("exit {}", exit.code()),
        );
        let order = order(&self.sandbox.requests());
        proofs.add(
            "each part was built on what stood already",
            order.is_ok(),
            order.map_or_else(|wrong| wrong, |()| "public IP to names, in order".to_owned()),
        );
        let address = self.held_address().await;
        let seen = self.resolved().await;
        proofs.add("the name leads to the address", address.is_some() && seen == address, shown(seen));
        for (claim, port, greeter) in [
            ("RDP greets behind port 63011", 63011, Greeter::Rdp),
            ("SSH greets behind port 63022", 63022, Greeter::Ssh),
        ] {
            let finding = self.knock(seen, port, greeter).await;
            proofs.add(claim, finding.is_open() == Some(true), finding.to_string());
        }
        let lines = round.and_then(|round| round.chains.into_iter().next()).map(|chain| chain.connect);
        let expected = [format!("mstsc /v:{}:63011", self.name), format!("ssh -p 63022 {}", self.name)];
        let lines = lines.unwrap_or_default();
        proofs.add("the lines to connect with are told", lines == expected, lines.join("; "));
    }

    pub(super) async fn elsewhere(&self, proofs: &mut Proofs) {
        self.chapter(
            "Somebody knocks from elsewhere",
            "The same look, from the address that tried most: it is in no network of allow_from.",
            "cnamed status",
        );
        let (exit, round) = self.stranger(async || self.status().await).await;
        let ways = round.map(|round| round.ways_in).unwrap_or_default();
        let silent = ways.iter().filter(|way| way.port.state == LinkState::Broken).count();
        proofs.add(
            "outside allow_from both ports are silent",
            exit == Exit::Unverified && silent == 2 && ways.len() == 2,
            format!("exit {}, {silent} of {} ports silent", exit.code(), ways.len()),
        );
    }

    pub(super) async fn closed(&self, proofs: &mut Proofs) {
        let before = self.resources();
        self.chapter(
            "Somebody closes a door",
            "By hand, the NAT rule of RDP is deleted, and the security rule of SSH turned to deny.",
            "cnamed plan",
        );
        let control = self.sandbox.control();
        let deleted = control.delete_resource("loadBalancers/lb-jump/inboundNatRules/cnamed_demo_rdp");
        let denied = control.edit_resource(
            "networkSecurityGroups/nsg-mgmt/securityRules/cnamed_demo_ssh",
            &json!({"properties": {"access": "Deny"}}),
        );
        let done = deleted.is_ok() && denied.is_ok();
        let planned = self.plan().await;
        self.then("cnamed status");
        let (_, round) = self.status().await;
        let named = round.as_ref().is_some_and(|round| {
            let has = |kind, name: &str| round.changes.iter().any(|c| c.kind == kind && c.name == name);
            round.changes.len() == 2
                && has(SubjectKind::NatRule, "cnamed_demo_rdp")
                && has(SubjectKind::NsgRule, "cnamed_demo_ssh")
        });
        proofs.add(
            "plan names both, and nothing else",
            done && planned == Exit::Pending && named,
            format!("exit {}", planned.code()),
        );
        let first = round.as_ref().and_then(|round| round.chains.first()?.broken());
        let broken = first.is_some_and(|link| link.from == "port 63011" && link.state == LinkState::Broken);
        proofs.add(
            "status names the first broken link",
            broken,
            first.map_or_else(|| "none".to_owned(), |link| format!("{}: {}", link.from, link.detail)),
        );
        self.then("cnamed sync --verify");
        self.sandbox.forget_requests();
        let (exit, _) = self.verified().await;
        proofs.add(
            "sync heals it, and both ports greet again",
            exit == Exit::InSync && self.writes() == 2,
            format!("exit {}, {} writes", exit.code(), self.writes()),
        );
        self.compare("everything else in Azure is as it was", &before, proofs);
    }

    pub(super) async fn take_down(&self, before: &[Value], proofs: &mut Proofs) {
        self.chapter(
            "Take it down",
            "The names first; then the wait until no cache can give them; then the gateway, and the\n\
             label with its address.",
            "cnamed teardown --yes",
        );
        self.sandbox.forget_requests();
        let strangers = self.sandbox.control().records_without(self.name.as_str());
        let args = TeardownArgs { only: None, yes: true };
        let exit = teardown::run(&self.global, &args, self.output).await;
        proofs.add("teardown ends well", exit == Exit::InSync, format!("exit {}", exit.code()));
        let asked = self.sandbox.requests();
        let withdrawn = |request: &LoggedRequest| request.method == "DELETE" && is_record(request);
        let count = asked.iter().filter(|request| withdrawn(request)).count();
        let names = span(&asked, withdrawn);
        let gateway = span(&asked, |request| request.method != "GET" && is_gateway(request));
        let balancer = span(&asked, |request| request.method == "DELETE" && part(request) == "loadbalancers");
        let label =
            span(&asked, |request| request.method == "DELETE" && part(request) == "publicipaddresses");
        let (safe, detail) = match (names, gateway, balancer, label) {
            (Some((_, last)), Some((began, _)), Some((_, ended)), Some((given_up, _))) => (
                count == 2 && began - last >= 30.0 && given_up > ended,
                format!("{:.1} s after the last name, TTL 30 s", given_up - last),
            ),
            _ => (false, "not everything was taken down".to_owned()),
        };
        proofs.add("names, their TTL, the gateway, then the label", safe, detail);
        let seen = self.resolved().await;
        proofs.add("nothing is left to resolve", seen.is_none(), shown(seen));
        let same = self.sandbox.control().records_without(self.name.as_str()) == strangers;
        proofs.add("what others made is all there", same, format!("{} records compared", strangers.len()));
        self.compare("Azure is as it was before the first sync", before, proofs);
    }

    fn compare(&self, claim: &'static str, before: &[Value], proofs: &mut Proofs) {
        let after = self.resources();
        let differs = before.iter().find(|resource| !after.contains(resource));
        let more = after.iter().find(|resource| !before.iter().any(|old| old["id"] == resource["id"]));
        let seen = match differs.or(more) {
            None => format!("{} resources compared", before.len()),
            Some(resource) => format!("{} differs", resource["id"].as_str().unwrap_or_default()),
        };
        proofs.add(claim, before == after, seen);
    }
}

/// Whether each part was written after everything that it stands on, and which was not.
fn order(asked: &[LoggedRequest]) -> Result<(), String> {
    let written = |what: &str| {
        span(asked, |request| {
            request.method != "GET" && if what == NAMES { is_record(request) } else { part(request) == what }
        })
    };
    for (first, then) in STANDS_ON {
        match (written(first), written(then)) {
            (Some((_, ended)), Some((began, _))) if ended <= began => {}
            (Some(_), Some(_)) => return Err(format!("{then} before {first}")),
            (None, _) => return Err(format!("no {first}")),
            (_, None) => return Err(format!("no {then}")),
        }
    }
    Ok(())
}

/// When the first and the last of such requests arrived.
fn span(asked: &[LoggedRequest], is_meant: impl Fn(&LoggedRequest) -> bool) -> Option<(f64, f64)> {
    let mut times = asked.iter().filter(|request| is_meant(request)).map(|request| request.at);
    let first = times.next()?;
    Some((first, times.fold(first, f64::max)))
}

fn is_record(request: &LoggedRequest) -> bool {
    request.service == Service::Cloudflare || part(request) == "dnszones"
}

fn is_gateway(request: &LoggedRequest) -> bool {
    let gateway = ["loadbalancers", "inboundnatrules", "securityrules", "networkinterfaces"];
    gateway.contains(&part(request).as_str())
}

/// The kind of what a request to Resource Manager concerns, in lower case; an entry's own where it has one.
fn part(request: &LoggedRequest) -> String {
    let path = request.path.to_ascii_lowercase();
    let mut kinds = path.split('/').skip_while(|part| *part != "microsoft.network").skip(1).step_by(2);
    let kind = kinds.next().unwrap_or_default();
    match kinds.next() {
        Some(entry) if kind != "dnszones" && !entry.starts_with("query") => entry.to_owned(),
        _ => kind.to_owned(),
    }
}

const NAMES: &str = "names";
const STANDS_ON: [(&str, &str); 6] = [
    ("publicipaddresses", "loadbalancers"),
    ("loadbalancers", "inboundnatrules"),
    ("inboundnatrules", "networkinterfaces"),
    ("securityrules", "networkinterfaces"),
    ("networkinterfaces", NAMES),
    ("publicipaddresses", NAMES),
];
