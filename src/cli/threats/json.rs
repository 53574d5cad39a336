//! The report for scripts: a contract with a `version`; fields may be added, never renamed.

use serde_json::{Value, json};

use super::{Up, outcome, rfc3339};
use crate::cli::hidden::escaped;
use crate::model::threats::{Count, Platform, Reading, Report};
use crate::reconcile::round::VERSION;

/// One JSON value. Characters that steer a terminal are escaped, since names in it are chosen by attackers and JSON
/// is read at terminals too.
pub(super) fn render(workspace: &str, up: &Up, report: &Report) -> String {
    let later = "the load balancer was made then, and not by us: the gateway may have come later".to_owned();
    let (at, resource, reason) = match up {
        Up::Told(at) => (Some(rfc3339(*at)), None, None),
        Up::Made(name, at) => (Some(rfc3339(*at)), Some(name), None),
        Up::MadeForOthers(name, at) => (Some(rfc3339(*at)), Some(name), Some(&later)),
        Up::NotYet(why) | Up::Unknown(why) => (None, None, Some(why)),
    };
    let tables: Vec<Value> =
        report.readings.iter().map(|(platform, reading)| table(*platform, reading, report)).collect();
    let value = json!({
        "version": VERSION,
        "outcome": outcome(up, report),
        "workspace": workspace,
        "gateway": {"up": at, "load_balancer": resource, "reason": reason},
        "spans": report.spans,
        "failed": {"before": report.before(), "after": report.after()},
        "tables": tables,
    });
    escaped(&format!("{value:#}\n"))
}

fn table(platform: Platform, reading: &Reading, report: &Report) -> Value {
    let mut value = json!({"platform": platform, "table": platform.table()});
    match reading {
        Reading::Collected(figures) => {
            // Where nothing was recorded, nothing is known: null, never 0.
            let failed = |count: Count| (count.records > 0).then_some(count.failed);
            let after = report.spans.after.map(|_| figures.after);
            value["state"] = "collected".into();
            value["failed"] = json!({"before": failed(figures.before), "after": after.and_then(failed)});
            value["records"] =
                json!({"before": figures.before.records, "after": after.map(|after| after.records)});
            value["accounts"] = json!(figures.accounts);
            value["addresses"] = json!(figures.addresses);
            value["partial"] = json!(figures.partial);
        }
        Reading::NotCollected => value["state"] = "not-collected".into(),
        Reading::Unread(reason) => {
            value["state"] = "unread".into();
            value["reason"] = reason.as_str().into();
        }
    }
    value
}
