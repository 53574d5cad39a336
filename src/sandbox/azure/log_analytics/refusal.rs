//! How the query API says no.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::sandbox::exchange::Response;

/// A query that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    code: &'static str,
    message: String,
    place: Option<(usize, usize, String)>,
}

impl Refused {
    /// `token`, at this line and column from 1, does not belong there.
    pub(super) fn syntax(token: &str, line: usize, column: usize) -> Self {
        Self {
            code: "SYN0002",
            message: format!("Query could not be parsed at '{token}' on line [{line},{column}]"),
            place: Some((line, column, token.to_owned())),
        }
    }

    /// The table that `operator` reads, or a column that might be one, is not there.
    pub(super) fn unresolved_table(operator: &str, name: &str) -> Self {
        Self::semantic(
            "SEM0100",
            format!("'{operator}' operator: Failed to resolve table or column expression named '{name}'"),
        )
    }

    /// A column is not there.
    pub(super) fn unresolved(operator: &str, name: &str) -> Self {
        Self::semantic(
            "SEM0100",
            format!("'{operator}' operator: Failed to resolve scalar expression named '{name}'"),
        )
    }

    pub(super) fn semantic(code: &'static str, message: String) -> Self {
        Self { code, message, place: None }
    }

    #[cfg(test)]
    pub(super) fn shown(&self) -> String {
        format!("{}: {}", self.code, self.message)
    }

    /// The answer, its code two levels deep.
    pub(crate) fn response(&self) -> Response {
        let (kind, what) = match self.place {
            Some(_) => ("SyntaxError", "A recognition error occurred in the query."),
            None => ("SemanticError", "A semantic error occurred."),
        };
        let mut inner = json!({"code": self.code, "message": self.message});
        if let Some((line, column, token)) = &self.place {
            inner["line"] = json!(line);
            inner["pos"] = json!(column);
            inner["token"] = json!(token);
        }
        let inner = json!({"code": kind, "message": what, "innererror": inner});
        error(400, "BadArgumentError", "The request had some invalid properties", Some(inner))
    }
}

/// An error in the query API's shape.
pub(crate) fn error(status: u16, code: &str, message: &str, inner: Option<Value>) -> Response {
    let mut error = json!({"message": message, "code": code, "correlationId": Uuid::new_v4()});
    if let Some(inner) = inner {
        error["innererror"] = inner;
    }
    Response::json(status, json!({"error": error}))
}
