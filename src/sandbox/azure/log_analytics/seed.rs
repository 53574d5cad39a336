//! What machines sent: a day of attacks until the sandbox's start, and few after; the same in every sandbox,
//! relative to its start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::table::{Column, Kind, Scalar, Table};
use crate::sandbox::azure::seed::VM;

/// A table of the workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogTable {
    /// Windows security events.
    #[default]
    SecurityEvent,
    /// Linux system logs.
    Syslog,
}

impl LogTable {
    fn name(self) -> &'static str {
        match self {
            Self::SecurityEvent => "SecurityEvent",
            Self::Syslog => "Syslog",
        }
    }

    /// The columns that are kept here, of those of the table's reference (Azure Monitor Logs reference).
    fn columns(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::SecurityEvent => &SECURITY_EVENT,
            Self::Syslog => &SYSLOG,
        }
    }
}

/// Failed logons that somebody brings about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attack {
    /// Where they show.
    pub table: LogTable,
    /// How many.
    pub count: u32,
    /// The account that is tried.
    pub account: String,
    /// From where.
    pub address: String,
    /// When the last of them happens, the others a millisecond apart before it; `None` for now.
    #[serde(with = "time::serde::rfc3339::option")]
    pub at: Option<OffsetDateTime>,
    /// What sshd says in place of `Failed password for …`; Syslog alone.
    pub message: Option<String>,
    /// Whether the logons succeed after all.
    pub succeed: bool,
}

impl Default for Attack {
    fn default() -> Self {
        Self {
            table: LogTable::SecurityEvent,
            count: 1,
            account: "administrator".into(),
            address: "203.0.113.66".into(),
            at: None,
            message: None,
            succeed: false,
        }
    }
}

/// The tables, made when they are first read.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    start: OffsetDateTime,
    syslog: bool,
    tables: Option<BTreeMap<LogTable, Vec<Vec<Scalar>>>>,
}

impl Logs {
    pub(crate) fn new(start: OffsetDateTime, syslog: bool) -> Self {
        Self { start, syslog, tables: None }
    }

    /// What `name` holds by `now`; `None` where there is no such table.
    pub(crate) fn table(&mut self, name: &str, now: OffsetDateTime) -> Option<Table> {
        let (kind, rows) = self.tables().iter().find(|(kind, _)| kind.name() == name)?;
        let columns: Vec<Column> =
            kind.columns().iter().map(|(column, kind)| ((*column).to_owned(), *kind)).collect();
        let arrived = |row: &&Vec<Scalar>| matches!(row.first(), Some(Scalar::Moment(at)) if *at <= now);
        Some(Table { columns, rows: rows.iter().filter(arrived).cloned().collect() })
    }

    /// Adds an attack, and the table if it is not there.
    pub(crate) fn attack(&mut self, attack: &Attack, now: OffsetDateTime) {
        let last = attack.at.unwrap_or(now);
        let rows = self.tables().entry(attack.table).or_default();
        for before in 0..attack.count {
            rows.push(row(attack, last - Duration::milliseconds(before.into())));
        }
    }

    /// Empties a table; it stays.
    pub(crate) fn clear(&mut self, table: LogTable) {
        self.tables().insert(table, Vec::new());
    }

    /// Takes a table away, as if nobody had ever sent it anything.
    pub(crate) fn drop(&mut self, table: LogTable) {
        self.tables().remove(&table);
    }

    fn tables(&mut self) -> &mut BTreeMap<LogTable, Vec<Vec<Scalar>>> {
        let (start, syslog) = (self.start, self.syslog);
        self.tables.get_or_insert_with(|| {
            let mut tables = BTreeMap::from([(LogTable::SecurityEvent, day(LogTable::SecurityEvent, start))]);
            if syslog {
                tables.insert(LogTable::Syslog, day(LogTable::Syslog, start));
            }
            tables
        })
    }
}

/// A day of attacks before `start`, a few in the day after, and what an honest machine says besides.
fn day(table: LogTable, start: OffsetDateTime) -> Vec<Vec<Scalar>> {
    let accounts = match table {
        LogTable::SecurityEvent => WINDOWS_ACCOUNTS,
        LogTable::Syslog => LINUX_ACCOUNTS,
    };
    let mut rows = Vec::new();
    // Uneven, and the same every time: a linear congruential generator (Numerical Recipes, 7.1).
    let mut random: u32 = 4625;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(random >> 16).unwrap_or(0) % below
    };
    let attacks = if table == LogTable::Syslog { ATTACKS / 3 } else { ATTACKS };
    for step in 0..attacks {
        // The smaller of two draws: a few names and addresses have most of the tries.
        let account = accounts[next(accounts.len()).min(next(accounts.len()))];
        let host = next(60).min(next(60));
        let net = ["203.0.113", "198.51.100", "192.0.2"][host % 3];
        let at = start - Duration::hours(24) * step / attacks - Duration::seconds(1);
        let attack = Attack {
            table,
            account: account.into(),
            address: format!("{net}.{}", host + 1),
            ..Attack::default()
        };
        rows.push(row(&attack, at));
    }
    for minutes in [10, 190, 550] {
        rows.push(row(&Attack { table, ..Attack::default() }, start + Duration::minutes(minutes)));
    }
    let honest = Attack {
        table,
        account: "operator".into(),
        address: "10.0.0.4".into(),
        succeed: true,
        ..Attack::default()
    };
    let often = (0..120).map(|step| Duration::seconds(step * 5));
    let seldom = (-288..288).map(|step| Duration::minutes(step * 5));
    rows.extend(often.chain(seldom).map(|offset| row(&honest, start + offset)));
    rows
}

fn row(attack: &Attack, at: OffsetDateTime) -> Vec<Scalar> {
    let Attack { table, account, address, .. } = attack;
    let text = |text: &str| Scalar::text(text);
    match table {
        LogTable::SecurityEvent => {
            let full = format!("\\{account}");
            let (event, activity, status) = if attack.succeed {
                (4624, "4624 - An account was successfully logged on.", "")
            } else {
                (4625, "4625 - An account failed to log on.", "0xc000006d")
            };
            vec![
                Scalar::Moment(at),
                text(VM),
                Scalar::Number(event),
                text(activity),
                text(&full),
                text(&full),
                text(account),
                text(address),
                Scalar::Number(3),
                text(status),
                text("Security"),
                text("SecurityEvent"),
            ]
        }
        LogTable::Syslog => {
            let known = ["root", "operator"].contains(&account.as_str());
            let message = match &attack.message {
                Some(message) => message.clone(),
                None if attack.succeed => {
                    format!("Accepted publickey for {account} from {address} port 50022 ssh2")
                }
                None => {
                    let invalid = if known { "" } else { "invalid user " };
                    format!("Failed password for {invalid}{account} from {address} port 40022 ssh2")
                }
            };
            vec![
                Scalar::Moment(at),
                text("vm-linux"),
                text("authpriv"),
                text("10.0.0.5"),
                text("vm-linux"),
                Scalar::Number(1022),
                text("sshd"),
                text("info"),
                Scalar::Text(message),
                text("Syslog"),
            ]
        }
    }
}

const SECURITY_EVENT: [(&str, Kind); 12] = [
    ("TimeGenerated", Kind::Datetime),
    ("Computer", Kind::Text),
    ("EventID", Kind::Int),
    ("Activity", Kind::Text),
    ("Account", Kind::Text),
    ("TargetAccount", Kind::Text),
    ("TargetUserName", Kind::Text),
    ("IpAddress", Kind::Text),
    ("LogonType", Kind::Int),
    ("Status", Kind::Text),
    ("Channel", Kind::Text),
    ("Type", Kind::Text),
];
const SYSLOG: [(&str, Kind); 10] = [
    ("TimeGenerated", Kind::Datetime),
    ("Computer", Kind::Text),
    ("Facility", Kind::Text),
    ("HostIP", Kind::Text),
    ("HostName", Kind::Text),
    ("ProcessID", Kind::Int),
    ("ProcessName", Kind::Text),
    ("SeverityLevel", Kind::Text),
    ("SyslogMessage", Kind::Text),
    ("Type", Kind::Text),
];
const WINDOWS_ACCOUNTS: &[&str] = &[
    "ADMINISTRATOR",
    "Administrator",
    "ADMIN",
    "USER",
    "TEST",
    "GUEST",
    "BACKUP",
    "SCANNER",
    "SQLSERVICE",
    "SUPPORT",
    "REMOTE",
    "FTP",
    "OFFICE",
    "RECEPTION",
    "TRAINING",
];
const LINUX_ACCOUNTS: &[&str] = &[
    "root",
    "admin",
    "ubuntu",
    "test",
    "oracle",
    "postgres",
    "git",
    "pi",
    "ftpuser",
    "minecraft",
    "hadoop",
    "user",
];
/// One every half a minute or so.
const ATTACKS: i32 = 3000;
