//! Azure Monitor Logs: the workspace that machines' logons are collected in, asked through its query API (v1).

mod query;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::auth::{Credential, CredentialSettings};
use super::cloud::{self, Cloud};
use super::error::Refusal;
use super::implausible;
use super::transport::{Transport, Trouble};
use crate::model::threats::{Count, Figures, Platform, Reading, Share, Spans};
use crate::provider::http::{Effect, Http, Request, Response, Window};
use crate::provider::{Error, LogonProvider};

/// Which workspace, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its customer id, a UUID: neither its name nor its resource id.
    pub id: String,
    /// The query API's base address, such as `https://api.loganalytics.azure.com`.
    pub api: Url,
    /// What tokens for it are issued for, such as `https://api.loganalytics.io`.
    pub audience: String,
}

/// A Log Analytics workspace, as one credential sees it.
pub struct LogAnalytics {
    transport: Arc<Transport>,
    workspace: Workspace,
}

impl LogAnalytics {
    /// A client for `workspace`; asks for nothing yet.
    ///
    /// # Errors
    /// When the credential cannot be used in this process at all.
    pub fn new(
        http: &Arc<Http>,
        cloud: &Cloud,
        credential: &CredentialSettings,
        workspace: Workspace,
    ) -> Result<Self, Error> {
        let source = Credential::new(http, cloud, credential, cloud::scope(&workspace.audience));
        let source =
            source.map_err(|error| Trouble::from(error).into_error("use", "the Azure credential"))?;
        let budget = http.budget("log analytics", &credential.fingerprint(), &[LIMIT]);
        let transport = Transport::new(Arc::clone(http), budget, source, workspace.api.clone());
        Ok(Self { transport, workspace })
    }

    /// Everything that `platform`'s table tells; `None` when the workspace has no such table.
    async fn figures(&self, platform: Platform, spans: &Spans) -> Result<Option<Figures>, Error> {
        let Some(totals) = self.ask(platform, query::totals(platform, spans)).await? else { return Ok(None) };
        let mut figures = Figures::default();
        for row in &totals.rows {
            let count = Count { records: row.number("Records")?, failed: row.number("Failed")? };
            match row.text("Span")? {
                query::BEFORE => figures.before = count,
                _ => figures.after = count,
            }
        }
        let (accounts, addresses) = futures::join!(
            self.ask(platform, query::shares(platform, spans, query::ACCOUNT)),
            self.ask(platform, query::shares(platform, spans, query::ADDRESS)),
        );
        let shares = |answer: &Answer| answer.rows.iter().map(share).collect::<Result<Vec<_>, Error>>();
        let (Some(accounts), Some(addresses)) = (accounts?, addresses?) else {
            return Err(odd(platform.table(), "it went away while it was read"));
        };
        figures.accounts = shares(&accounts)?;
        figures.addresses = shares(&addresses)?;
        figures.partial = [totals, accounts, addresses].into_iter().find_map(|answer| answer.partial);
        Ok(Some(figures.ordered()))
    }

    /// One query; `None` when the workspace has no such table.
    async fn ask(&self, platform: Platform, query: String) -> Result<Option<Answer>, Error> {
        let table = platform.table();
        let path = format!("v1/workspaces/{}/query", self.workspace.id);
        let url = self.transport.url(&path).map_err(|trouble| trouble.into_error(READ, table))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = json!({ "query": query }).to_string().into();
        // A query changes nothing, whatever its method is called.
        let request =
            Request { method: Method::POST, url, headers, body, effect: Effect::Read, private: false };
        let sent = self.transport.send(self.transport.budget(), request).await;
        let response = sent.map_err(|trouble| trouble.into_error(READ, table))?;
        if !response.status.is_success() {
            if lacks_table(&response, table) {
                return Ok(None);
            }
            return Err(self.refused(&response, table));
        }
        Answer::of(&response, table).map(Some)
    }

    fn refused(&self, response: &Response, table: &str) -> Error {
        let refusal = Refusal::of(response);
        let is = |codes: &[&str]| codes.iter().any(|code| refusal.is(code));
        let remedy = if is(&["InsufficientAccessError", "AuthorizationFailedError"]) {
            Some(format!(
                "give this identity the role Log Analytics Reader on the workspace, or one with \
                 \"Microsoft.OperationalInsights/workspaces/query/read\" and \
                 \"Microsoft.OperationalInsights/workspaces/query/{table}/read\""
            ))
        } else if is(&[
            "InvalidTokenError",
            "InvalidAuthenticationToken",
            "InvalidAuthenticationTokenAudience",
        ]) {
            Some(format!(
                "the token is not one for {}; check azure.cloud and threats.audience. With credential = \"token\" the \
                 workspace cannot be asked: that token is for Resource Manager",
                self.workspace.audience
            ))
        } else if response.status == 404 {
            Some(
                "check threats.workspace: it is the workspace's customer id, neither its name nor its resource id"
                    .into(),
            )
        } else if response.status == 400 {
            // The query is ours: a column that is not there, or a service that is not the one meant.
            Some("check that threats.api is a Log Analytics query API, and report it if it is".into())
        } else {
            None
        };
        let error = refusal.into_error(READ, table);
        match remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }
}

#[async_trait]
impl LogonProvider for LogAnalytics {
    async fn failed_logons(&self, platform: Platform, spans: &Spans) -> Reading {
        match self.figures(platform, spans).await {
            Ok(Some(figures)) => Reading::Collected(figures),
            Ok(None) => Reading::NotCollected,
            Err(error) => Reading::Unread(error.chain()),
        }
    }
}

impl fmt::Debug for LogAnalytics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogAnalytics").field("workspace", &self.workspace.id).finish_non_exhaustive()
    }
}

/// The primary table of an answer (Azure Monitor Log Analytics API response format).
struct Answer {
    rows: Vec<Row>,
    /// What a `PartialError` beside it says.
    partial: Option<String>,
}

impl Answer {
    fn of(response: &Response, table: &str) -> Result<Self, Error> {
        let body = super::parse(&response.body, READ, table)?;
        let partial = body.get("error").filter(|error| !error.is_null());
        let partial = partial.map(|_| Refusal::of(response).to_string());
        let primary = body.get("tables").and_then(Value::as_array).and_then(|tables| {
            let named = |one: &&Value| one.get("name").and_then(Value::as_str) == Some("PrimaryResult");
            tables.iter().find(named).or_else(|| tables.first())
        });
        let Some(primary) = primary else {
            return Err(odd(table, partial.as_deref().unwrap_or("the answer has no table")));
        };
        let columns: Option<Vec<String>> =
            primary.get("columns").and_then(Value::as_array).and_then(|columns| {
                columns.iter().map(|column| Some(column.get("name")?.as_str()?.to_owned())).collect()
            });
        let rows = primary.get("rows").and_then(Value::as_array);
        let (Some(columns), Some(rows)) = (columns, rows) else {
            return Err(odd(table, "the answer's table has no columns or no rows"));
        };
        let row = |cells: &Value| match cells.as_array() {
            Some(cells) if cells.len() == columns.len() => {
                Ok(Row(columns.iter().cloned().zip(cells.iter().cloned()).collect()))
            }
            _ => Err(odd(table, "a row of the answer has other columns than its table")),
        };
        Ok(Self { rows: rows.iter().map(row).collect::<Result<_, _>>()?, partial })
    }
}

struct Row(Vec<(String, Value)>);

impl Row {
    fn cell(&self, name: &str) -> Result<&Value, Error> {
        let found = self.0.iter().find(|(column, _)| column == name).map(|(_, value)| value);
        found.ok_or_else(|| odd("the answer", &format!("it has no column {name}")))
    }

    fn text(&self, name: &str) -> Result<&str, Error> {
        self.cell(name)?.as_str().ok_or_else(|| odd("the answer", &format!("{name} is no text")))
    }

    fn number(&self, name: &str) -> Result<u64, Error> {
        self.cell(name)?.as_u64().ok_or_else(|| odd("the answer", &format!("{name} is no count")))
    }
}

fn share(row: &Row) -> Result<Share, Error> {
    Ok(Share {
        name: row.text("Name")?.to_owned(),
        before: row.number("Before")?,
        after: row.number("After")?,
    })
}

/// Whether the refusal is that the workspace does not know `table`: SEM0100 of the table itself, not of a column.
///
/// The code stands two levels deep, or in a JSON text within the JSON (seen of older services).
fn lacks_table(response: &Response, table: &str) -> bool {
    let text = String::from_utf8_lossy(&response.body);
    response.status == 400
        && text.contains("SEM0100")
        && text.contains("Failed to resolve table")
        && text.contains(&format!("named '{table}'"))
}

fn odd(resource: &str, what: &str) -> Error {
    implausible(READ, resource, what)
}

const READ: &str = "read";
/// What the API allows one identity (Azure Monitor service limits).
const LIMIT: Window = Window { requests: 200, per: Duration::from_secs(30) };
