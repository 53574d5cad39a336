//! The questions, in Kusto Query Language. All counting is done by the service: no account name crosses the wire
//! but those of the largest shares.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::model::threats::{Platform, Spans, TOP};

/// What `Span` says of a record before the moment.
pub(super) const BEFORE: &str = "before";
/// The column of accounts.
pub(super) const ACCOUNT: &str = "Who";
/// The column of addresses.
pub(super) const ADDRESS: &str = "Origin";

/// Records of any kind, and failed logons, by span.
pub(super) fn totals(platform: Platform, spans: &Spans) -> String {
    let source = source(platform, spans);
    match platform {
        Platform::Windows => format!(
            "{source}\n| summarize Records = count(), Failed = countif(EventID == {LOGON_FAILED}) by Span"
        ),
        Platform::Linux => format!(
            "{source}\n{SSH}\n\
             | summarize Records = count(), Passwords = sumif(Times, Said == 'password'), Users = sumif(Times, Said == \
             'user') by Span, Who, Origin\n\
             | extend Failed = max_of(Passwords, Users)\n\
             | summarize Records = sum(Records), Failed = sum(Failed) by Span"
        ),
    }
}

/// The largest shares of failed logons by `column`, before and after.
pub(super) fn shares(platform: Platform, spans: &Spans, column: &str) -> String {
    let source = source(platform, spans);
    let pairs = match platform {
        // Windows does not tell upper case from lower in the names of accounts.
        Platform::Windows => format!(
            "{source}\n| where EventID == {LOGON_FAILED}\n\
             | extend Who = tolower(coalesce(TargetAccount, Account)), Origin = IpAddress\n\
             | summarize Failed = count() by Span, Who, Origin"
        ),
        Platform::Linux => format!(
            "{source}\n{SSH}\n| where Said != ''\n\
             | summarize Passwords = sumif(Times, Said == 'password'), Users = sumif(Times, Said == 'user') by Span, \
             Who, Origin\n\
             | extend Failed = max_of(Passwords, Users)"
        ),
    };
    format!(
        "{pairs}\n\
         | summarize Before = sumif(Failed, Span == '{BEFORE}'), After = sumif(Failed, Span != '{BEFORE}') by Name = \
         {column}\n\
         | extend Total = Before + After\n\
         | top {TOP} by Total desc"
    )
}

/// The records of the spans, each with its own.
fn source(platform: Platform, spans: &Spans) -> String {
    let facility = match platform {
        Platform::Windows => "",
        Platform::Linux => "\n| where Facility in ('auth', 'authpriv')",
    };
    format!(
        "{}\n| where TimeGenerated >= {} and TimeGenerated < {}{facility}\n\
         | extend Span = case(TimeGenerated < {}, '{BEFORE}', 'after')",
        platform.table(),
        moment(spans.before.from),
        moment(spans.end()),
        moment(spans.before.until),
    )
}

fn moment(at: OffsetDateTime) -> String {
    // Only a year beyond 9999 has no such form; none passes the arithmetic that made the spans.
    format!("datetime({})", at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default())
}

/// "An account failed to log on."
const LOGON_FAILED: u16 = 4625;

/// What sshd says, taken apart.
///
/// Whoever tries to log on chooses the name, and may choose ` from 192.0.2.1 port 22`: the address is therefore what
/// stands last. A line that syslog folded counts as often as it says. A name that does not exist is told of once for
/// each connection, and again for each password: the larger of both is counted, never their sum. From OpenSSH 9.8
/// on the program is `sshd-session`.
const SSH: &str = r"| extend Sshd = ProcessName in ('sshd', 'sshd-session'), Line = extract(@'^(message repeated [0-9]+ times: \[ )?(.*?)\]?$', 2, SyslogMessage), Repeated = extract(@'^message repeated ([0-9]+) times: ', 1, SyslogMessage)
| extend Said = case(not(Sshd), '', Line startswith_cs 'Failed password for ', 'password', Line startswith_cs 'Failed keyboard-interactive/pam for ', 'password', Line startswith_cs 'Invalid user ', 'user', ''), Times = tolong(coalesce(Repeated, '1'))
| extend Who = case(Said == '', '', extract(@'^(Failed [a-z/-]+ for (invalid user )?|Invalid user )(.*) from ([^ ]+)( port [0-9]+)?( ssh2)?$', 3, Line)), Origin = case(Said == '', '', extract(@'^(Failed [a-z/-]+ for (invalid user )?|Invalid user )(.*) from ([^ ]+)( port [0-9]+)?( ssh2)?$', 4, Line))";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    /// Held as a text, to be read and to be held against the language's own parser; `UPDATE_GOLDEN=1` writes it anew.
    #[test]
    fn the_questions_are_these() {
        let up = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let day = Duration::from_secs(86_400);
        let spans = Spans::around(up, day, up + Duration::from_millis(7_200_500)).unwrap();
        let asked = Platform::ALL.map(|platform| {
            [totals(platform, &spans), shares(platform, &spans, ACCOUNT), shares(platform, &spans, ADDRESS)]
                .join("\n\n")
        });
        let asked = asked.join("\n\n") + "\n";
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/threats/queries.kql");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &asked).unwrap();
        }
        assert_eq!(asked, std::fs::read_to_string(&path).unwrap_or_default());
    }
}
