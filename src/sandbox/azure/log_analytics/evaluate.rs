//! A query run over the tables of a workspace.

use std::cmp::Ordering;
use std::collections::HashMap;

use time::OffsetDateTime;

use super::compile::{Code, Scope};
use super::parse::{Expr, Query, Step};
use super::refusal::Refused;
use super::table::{Kind, Scalar, Table};

/// Runs `query` over the table that `source` gives for its name.
pub(super) fn evaluate(
    query: &Query,
    source: impl FnOnce(&str) -> Option<Table>,
    now: OffsetDateTime,
) -> Result<Table, Refused> {
    let Some(mut table) = source(&query.table) else {
        let operator = query.steps.first().map_or("table", Step::name);
        return Err(Refused::unresolved_table(operator, &query.table));
    };
    for step in &query.steps {
        table = run(step, table, now)?;
    }
    Ok(table)
}

fn run(step: &Step, mut table: Table, now: OffsetDateTime) -> Result<Table, Refused> {
    let columns = table.columns.clone();
    let scope = Scope { operator: step.name(), columns: &columns, now };
    match step {
        Step::Where(predicate) => {
            let predicate = scope.predicate(predicate)?;
            table.rows.retain(|row| predicate.run(row).holds());
        }
        Step::Extend(named) => {
            // What is named here is seen by what comes after, not by its neighbours.
            let compiled = named.iter().map(|(name, expression)| Ok((name, scope.compile(expression)?)));
            let compiled = compiled.collect::<Result<Vec<_>, _>>()?;
            let places: Vec<usize> = compiled
                .iter()
                .map(|(name, (_, kind))| match table.columns.iter().position(|(column, _)| column == *name) {
                    Some(at) => {
                        table.columns[at].1 = *kind;
                        at
                    }
                    None => {
                        table.columns.push(((*name).clone(), *kind));
                        table.columns.len() - 1
                    }
                })
                .collect();
            for row in &mut table.rows {
                let values: Vec<Scalar> = compiled.iter().map(|(_, (code, _))| code.run(row)).collect();
                row.resize(table.columns.len(), Scalar::Null);
                for (at, value) in places.iter().zip(values) {
                    row[*at] = value;
                }
            }
        }
        Step::Summarize { aggregates, by } => return summarize(&scope, aggregates, by, &table),
        Step::Order { by, first, .. } => {
            let by = by.iter().map(|(expression, down)| Ok((scope.compile(expression)?.0, *down)));
            let by = by.collect::<Result<Vec<_>, Refused>>()?;
            table.rows.sort_by(|a, b| {
                by.iter().fold(Ordering::Equal, |order, (code, down)| {
                    let this = code.run(a).cmp(&code.run(b));
                    order.then(if *down { this.reverse() } else { this })
                })
            });
            table.rows.truncate(first.unwrap_or(usize::MAX));
        }
        Step::Take(count) => table.rows.truncate(*count),
    }
    Ok(table)
}

/// An aggregation function with its arguments resolved.
struct Aggregate {
    function: &'static str,
    value: Option<Code>,
    predicate: Option<Code>,
    kind: Kind,
}

impl Aggregate {
    fn compile(scope: &Scope<'_>, expression: &Expr) -> Result<Self, Refused> {
        let Expr::Call(function, arguments) = expression else {
            let message = "'summarize' operator: an aggregation function is expected".to_owned();
            return Err(Refused::semantic("SEM0040", message));
        };
        let numeric = |argument: &Expr| {
            let (code, kind) = scope.compile(argument)?;
            scope.wants(Kind::Long, kind).map(|()| Some(code))
        };
        let (value, predicate, kind) = match (function.as_str(), arguments.as_slice()) {
            ("count", []) => (None, None, Kind::Long),
            ("countif", [predicate]) => (None, Some(scope.predicate(predicate)?), Kind::Long),
            ("sum", [value]) => (numeric(value)?, None, Kind::Long),
            ("sumif", [value, predicate]) => (numeric(value)?, Some(scope.predicate(predicate)?), Kind::Long),
            ("min" | "max", [value]) => {
                let (code, kind) = scope.compile(value)?;
                (Some(code), None, kind)
            }
            (other, _) => {
                let message = format!("'summarize' operator: Unknown aggregation function: '{other}'");
                return Err(Refused::semantic("SEM0260", message));
            }
        };
        let function = match function.as_str() {
            "min" => "min",
            "max" => "max",
            _ if value.is_some() => "sum",
            _ => "count",
        };
        Ok(Self { function, value, predicate, kind })
    }

    fn over(&self, rows: &[&Vec<Scalar>]) -> Scalar {
        let rows = rows.iter().filter(|row| self.predicate.as_ref().is_none_or(|code| code.run(row).holds()));
        let Some(value) = &self.value else {
            return Scalar::Number(i64::try_from(rows.count()).unwrap_or(i64::MAX));
        };
        let values = rows.map(|row| value.run(row)).filter(|value| *value != Scalar::Null);
        match self.function {
            "min" => values.min().unwrap_or(Scalar::Null),
            "max" => values.max().unwrap_or(Scalar::Null),
            _ => Scalar::Number(values.fold(0, |sum, value| match value {
                Scalar::Number(number) => sum + number,
                _ => sum,
            })),
        }
    }
}

/// The columns to group by come first (Kusto: summarize operator).
fn summarize(
    scope: &Scope<'_>,
    aggregates: &[(String, Expr)],
    by: &[(String, Expr)],
    table: &Table,
) -> Result<Table, Refused> {
    let keys = by.iter().map(|(_, expression)| scope.compile(expression)).collect::<Result<Vec<_>, _>>()?;
    let sums = aggregates.iter().map(|(_, expression)| Aggregate::compile(scope, expression));
    let sums = sums.collect::<Result<Vec<_>, _>>()?;
    let mut places: HashMap<Vec<Scalar>, usize> = HashMap::new();
    let mut groups: Vec<(Vec<Scalar>, Vec<&Vec<Scalar>>)> = Vec::new();
    for row in &table.rows {
        let key: Vec<Scalar> = keys.iter().map(|(code, _)| code.run(row)).collect();
        let at = *places.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(row);
    }
    // Without groups there is one row, also of nothing.
    if by.is_empty() && groups.is_empty() {
        groups.push((Vec::new(), Vec::new()));
    }
    let named = by.iter().map(|(name, _)| name).zip(keys.iter().map(|(_, kind)| *kind));
    let counted = aggregates.iter().map(|(name, _)| name).zip(sums.iter().map(|sum| sum.kind));
    let columns = named.chain(counted).map(|(name, kind)| (name.clone(), kind)).collect();
    let rows = groups
        .into_iter()
        .map(|(key, rows)| key.into_iter().chain(sums.iter().map(|sum| sum.over(&rows))).collect());
    Ok(Table { columns, rows: rows.collect() })
}

#[cfg(test)]
mod tests;
