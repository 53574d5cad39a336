//! Values, rows and tables, as Kusto types them.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A scalar type (Kusto: Scalar data types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Datetime,
    Int,
    Long,
    Text,
    Timespan,
}

impl Kind {
    /// As answers and errors spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Datetime => "datetime",
            Self::Int => "int",
            Self::Long => "long",
            Self::Text => "string",
            Self::Timespan => "timespan",
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Long)
    }
}

/// A value. A text is never null: an absent one is empty (Kusto: Null values).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Number(i64),
    Moment(OffsetDateTime),
    Span(time::Duration),
    Text(String),
}

impl Scalar {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Whether a predicate that gave this holds; null does not.
    pub(crate) fn holds(&self) -> bool {
        *self == Self::Bool(true)
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Number(value) => json!(value),
            Self::Moment(at) => json!(at.format(&Rfc3339).unwrap_or_default()),
            Self::Span(span) => json!(span.to_string()),
            Self::Text(text) => json!(text),
        }
    }
}

/// A name and its type.
pub(crate) type Column = (String, Kind);

/// Rows under one set of columns.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Scalar>>,
}

impl Table {
    /// As the query API answers it.
    pub(crate) fn json(&self) -> Value {
        let columns: Vec<Value> =
            self.columns.iter().map(|(name, kind)| json!({"name": name, "type": kind.name()})).collect();
        let rows: Vec<Vec<Value>> =
            self.rows.iter().map(|row| row.iter().map(Scalar::json).collect()).collect();
        json!({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]})
    }
}
