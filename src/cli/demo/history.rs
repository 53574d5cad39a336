//! What the machine's log says: of the day on which its port stood open, and of the day after that.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use time::OffsetDateTime;

use super::proof::Proofs;
use super::{Greeter, Story};
use crate::sandbox::{Attack, Control, ControlError, LegacyPublicIp, LogTable};

impl Story<'_> {
    /// Before anything: the machine has a public IP of its own, with RDP behind it.
    pub(super) async fn exposed(&self, proofs: &mut Proofs) -> Result<(), ControlError> {
        let control = self.sandbox.control();
        control.clear_table(LogTable::SecurityEvent);
        attacked(&control, OffsetDateTime::now_utc());
        let old =
            LegacyPublicIp { name: OLD.into(), label: None, dynamic: false, ..LegacyPublicIp::default() };
        control.create_legacy_public_ip(&old)?;
        self.chapter(
            "A port that is open to everybody",
            "The machine has a public IP of its own, and RDP behind it. It has had it for a day.",
            "cnamed threats",
        );
        let seen = self.threats().await.ok().and_then(|survey| survey.report.before());
        proofs.add(
            "threats counts a day of failed logons",
            seen == Some(failed()),
            format!("{} counted, {} made", told(seen), failed()),
        );
        let address =
            control.public_ip(OLD).and_then(|ip| ip["properties"]["ipAddress"].as_str()?.parse().ok());
        let finding = self.stranger(async || self.knock(address, 3389, Greeter::Rdp).await).await;
        proofs.add("anybody was greeted by RDP", finding.is_open() == Some(true), finding.to_string());
        control.delete_public_ip(OLD)
    }

    /// What a day with the gateway looks like; the sandbox turns its clock for it.
    pub(super) async fn a_day_later(&self, proofs: &mut Proofs) -> Result<(), ControlError> {
        let control = self.sandbox.control();
        let now = OffsetDateTime::now_utc();
        let up = now - DAY;
        control.clear_table(LogTable::SecurityEvent);
        attacked(&control, up);
        quiet(&control, now);
        control.made_at("lb-jump", up)?;
        self.chapter(
            "A day later",
            "The sandbox turns its clock: the gateway is a day old. Who knocked before knocks in vain, as seen above;\n\
             what still fails is an operator's typing.",
            "cnamed threats",
        );
        let report = self.threats().await.ok().map(|survey| survey.report);
        let (before, after) = (
            report.as_ref().and_then(|report| report.before()),
            report.as_ref().and_then(|report| report.after()),
        );
        proofs.add(
            "threats shows what the gateway has stopped",
            before == Some(failed()) && after == Some(TYPOS.into()),
            format!("{} failed logons before, {} after", told(before), told(after)),
        );
        Ok(())
    }

    /// Does something as one of the attackers.
    pub(super) async fn stranger<T>(&self, act: impl AsyncFnOnce() -> T) -> T {
        let control = self.sandbox.control();
        control.client_address(STRANGER);
        let done = act().await;
        control.client_address(OPERATOR);
        done
    }
}

/// The day until `end`, with the port open to everybody.
fn attacked(control: &Control, end: OffsetDateTime) {
    for hour in 0..24 {
        let at = Some(end - Duration::from_secs(3600 * hour + 1));
        for (account, address, count) in ATTACKERS {
            let (account, address) = ((*account).to_owned(), (*address).to_owned());
            control.attack(&Attack { account, address, count: *count, at, ..Attack::default() });
        }
        control.attack(&Attack { at, succeed: true, ..operator() });
    }
}

/// The day until `end`, behind the gateway. That the operator's logons arrive is what makes so few failed ones worth
/// something.
fn quiet(control: &Control, end: OffsetDateTime) {
    for hour in 0..24 {
        let at = Some(end - Duration::from_secs(3600 * hour + 1));
        control.attack(&Attack { at, succeed: true, ..operator() });
    }
    let at = Some(end - Duration::from_secs(5 * 3600));
    control.attack(&Attack { at, count: TYPOS, ..operator() });
}

fn operator() -> Attack {
    Attack { account: "operator".into(), address: OPERATOR.to_string(), ..Attack::default() }
}

/// How many logons failed on the day of the attacks.
fn failed() -> u64 {
    24 * ATTACKERS.iter().map(|(_, _, count)| u64::from(*count)).sum::<u64>()
}

fn told(count: Option<u64>) -> String {
    count.map_or_else(|| "nothing".to_owned(), |count| count.to_string())
}

/// How far `threats` looks back and ahead.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
/// The one who tries most; no network of `allow_from` has it (RFC 5737).
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 23));
/// The sandbox's own client, which `allow_from` lets in.
const OPERATOR: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 200));
const OLD: &str = "pip-old";
/// How often the operator mistypes.
const TYPOS: u32 = 2;
/// Who tries which account how often in an hour.
const ATTACKERS: &[(&str, &str, u32)] = &[
    ("ADMINISTRATOR", "198.51.100.23", 41),
    ("ADMINISTRATOR", "192.0.2.77", 22),
    ("ADMIN", "198.51.100.23", 19),
    ("USER", "192.0.2.14", 13),
    ("TEST", "198.51.100.140", 11),
    ("SQLSERVICE", "192.0.2.77", 8),
    ("BACKUP", "198.51.100.61", 6),
    ("SCANNER", "192.0.2.201", 3),
    ("RECEPTION", "192.0.2.201", 2),
];
