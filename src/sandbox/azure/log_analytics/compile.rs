//! An expression with its names and types resolved, ready to be run over rows.

use regex_lite::Regex;
use time::OffsetDateTime;

use super::parse::Expr;
use super::refusal::Refused;
use super::table::{Column, Kind, Scalar};

/// An expression over the rows of one table.
#[derive(Debug)]
pub(super) enum Code {
    Column(usize),
    Literal(Scalar),
    Binary(&'static str, Box<Code>, Box<Code>),
    In(Box<Code>, Vec<Code>),
    Call(&'static str, Vec<Code>),
    Extract(Box<Regex>, usize, Box<Code>),
}

/// Where an expression stands.
pub(super) struct Scope<'s> {
    /// The operator, for errors.
    pub(super) operator: &'static str,
    pub(super) columns: &'s [Column],
    /// The present, of `now()` and `ago()`.
    pub(super) now: OffsetDateTime,
}

impl Scope<'_> {
    /// Resolves `expression`; gives its type too.
    pub(super) fn compile(&self, expression: &Expr) -> Result<(Code, Kind), Refused> {
        match expression {
            Expr::Column(name) => {
                let at = self.columns.iter().position(|(column, _)| column == name);
                let at = at.ok_or_else(|| Refused::unresolved(self.operator, name))?;
                Ok((Code::Column(at), self.columns[at].1))
            }
            Expr::Literal(literal) => Ok((Code::Literal(literal.clone()), kind_of(literal))),
            Expr::Binary(operator, left, right) => self.binary(operator, left, right),
            Expr::In(left, list) => {
                let (left, kind) = self.compile(left)?;
                let list = list.iter().map(|one| {
                    let (code, other) = self.compile(one)?;
                    comparable(kind, other)?;
                    Ok(code)
                });
                Ok((Code::In(left.into(), list.collect::<Result<_, _>>()?), Kind::Bool))
            }
            Expr::Between(value, from, to) => {
                let (from, from_kind) = self.compile(from)?;
                let (to, to_kind) = self.compile(to)?;
                let (low, kind) = self.compile(value)?;
                let (high, _) = self.compile(value)?;
                comparable(kind, from_kind)?;
                comparable(kind, to_kind)?;
                let low = Code::Binary(">=", low.into(), from.into());
                let high = Code::Binary("<=", high.into(), to.into());
                Ok((Code::Binary("and", low.into(), high.into()), Kind::Bool))
            }
            Expr::Call(function, arguments) => self.call(function, arguments),
        }
    }

    /// Resolves a predicate.
    pub(super) fn predicate(&self, expression: &Expr) -> Result<Code, Refused> {
        let (code, kind) = self.compile(expression)?;
        self.wants(Kind::Bool, kind).map(|()| code)
    }

    fn binary(&self, operator: &'static str, left: &Expr, right: &Expr) -> Result<(Code, Kind), Refused> {
        let (left, a) = self.compile(left)?;
        let (right, b) = self.compile(right)?;
        let kind = match operator {
            "and" | "or" => {
                self.wants(Kind::Bool, a)?;
                self.wants(Kind::Bool, b)?;
                Kind::Bool
            }
            "has" | "contains" | "startswith" | "startswith_cs" => {
                self.wants(Kind::Text, a)?;
                self.wants(Kind::Text, b)?;
                Kind::Bool
            }
            "+" | "-" => match (a, b) {
                (Kind::Datetime, Kind::Timespan) => Kind::Datetime,
                (Kind::Datetime, Kind::Datetime) if operator == "-" => Kind::Timespan,
                (Kind::Timespan, Kind::Timespan) => Kind::Timespan,
                (a, b) if a.is_number() && b.is_number() => Kind::Long,
                _ => return Err(mismatch("SEM0057", "Operator cannot be applied to", a, b)),
            },
            _ => {
                comparable(a, b)?;
                Kind::Bool
            }
        };
        Ok((Code::Binary(operator, left.into(), right.into()), kind))
    }

    fn call(&self, function: &str, arguments: &[Expr]) -> Result<(Code, Kind), Refused> {
        let compiled =
            arguments.iter().map(|argument| self.compile(argument)).collect::<Result<Vec<_>, _>>()?;
        let kinds: Vec<Kind> = compiled.iter().map(|(_, kind)| *kind).collect();
        let mut codes: Vec<Code> = compiled.into_iter().map(|(code, _)| code).collect();
        match (function, kinds.as_slice()) {
            ("now", []) => Ok((Code::Literal(Scalar::Moment(self.now)), Kind::Datetime)),
            ("ago", [Kind::Timespan]) => match codes.as_slice() {
                [Code::Literal(Scalar::Span(span))] => {
                    Ok((Code::Literal(Scalar::Moment(self.now - *span)), Kind::Datetime))
                }
                _ => Err(not_constant(function)),
            },
            ("not", [Kind::Bool]) => Ok((Code::Call("not", codes), Kind::Bool)),
            ("tolower", [Kind::Text]) => Ok((Code::Call("tolower", codes), Kind::Text)),
            ("tostring", [_]) => Ok((Code::Call("tostring", codes), Kind::Text)),
            ("tolong", [_]) => Ok((Code::Call("tolong", codes), Kind::Long)),
            ("max_of", [first, ..]) => {
                kinds.iter().try_for_each(|kind| comparable(*first, *kind))?;
                Ok((Code::Call("max_of", codes), *first))
            }
            // Of two to 64 arguments of one type, the first that is not null; for texts, not empty.
            ("coalesce", [first, _, ..]) => {
                kinds.iter().try_for_each(|kind| self.wants(*first, *kind))?;
                Ok((Code::Call("coalesce", codes), *first))
            }
            // Pairs of predicate and value, and what stands where none of them holds. Here all values have one type,
            // which the service does not insist on.
            ("case", [_, first, _, ..]) if kinds.len() % 2 == 1 => {
                for pair in kinds.chunks(2) {
                    match pair {
                        [predicate, value] => {
                            self.wants(Kind::Bool, *predicate)?;
                            self.wants(*first, *value)?;
                        }
                        other => other.iter().try_for_each(|kind| self.wants(*first, *kind))?,
                    }
                }
                Ok((Code::Call("case", codes), *first))
            }
            ("extract", [Kind::Text, Kind::Int | Kind::Long, Kind::Text]) => {
                let source = codes.pop().unwrap_or(Code::Literal(Scalar::Null));
                let (Some(Code::Literal(Scalar::Text(pattern))), Some(Code::Literal(Scalar::Number(group)))) =
                    (codes.first(), codes.get(1))
                else {
                    return Err(not_constant(function));
                };
                let regex = Regex::new(pattern).map_err(|error| {
                    let message = format!("extract(): argument #1: invalid regular expression: {error}");
                    Refused::semantic("SEM0420", message)
                })?;
                let group = usize::try_from(*group).map_err(|_| not_constant(function))?;
                Ok((Code::Extract(regex.into(), group, source.into()), Kind::Text))
            }
            (
                "now" | "ago" | "not" | "tolower" | "tostring" | "tolong" | "max_of" | "coalesce" | "case"
                | "extract",
                _,
            ) => {
                let message = format!("{function}(): function cannot be called with these arguments");
                Err(Refused::semantic("SEM0219", message))
            }
            _ => Err(Refused::semantic("SEM0260", format!("Unknown function: '{function}'."))),
        }
    }

    /// Whether a value of the type `found` can stand where `wanted` is wanted.
    pub(super) fn wants(&self, wanted: Kind, found: Kind) -> Result<(), Refused> {
        if wanted == found || wanted.is_number() && found.is_number() {
            return Ok(());
        }
        let message = format!(
            "'{}' operator: an expression of type {} is expected, not {}",
            self.operator,
            wanted.name(),
            found.name()
        );
        Err(Refused::semantic("SEM0025", message))
    }
}

impl Code {
    /// What it is for one row.
    pub(super) fn run(&self, row: &[Scalar]) -> Scalar {
        match self {
            Self::Column(at) => row.get(*at).cloned().unwrap_or(Scalar::Null),
            Self::Literal(literal) => literal.clone(),
            Self::Binary("and", left, right) => Scalar::Bool(left.run(row).holds() && right.run(row).holds()),
            Self::Binary("or", left, right) => Scalar::Bool(left.run(row).holds() || right.run(row).holds()),
            Self::Binary(operator, left, right) => binary(operator, left.run(row), right.run(row)),
            Self::In(left, list) => {
                let left = left.run(row);
                Scalar::Bool(left != Scalar::Null && list.iter().any(|one| one.run(row) == left))
            }
            Self::Extract(regex, group, source) => match source.run(row) {
                Scalar::Text(text) => {
                    let found = regex.captures(&text).and_then(|captures| captures.get(*group));
                    Scalar::text(found.map_or("", |found| found.as_str()))
                }
                _ => Scalar::text(""),
            },
            Self::Call(function, arguments) => call(function, arguments, row),
        }
    }
}

fn call(function: &str, arguments: &[Code], row: &[Scalar]) -> Scalar {
    let first = || arguments.first().map_or(Scalar::Null, |argument| argument.run(row));
    match (function, arguments) {
        ("not", _) => Scalar::Bool(!first().holds()),
        ("tolower", _) => match first() {
            Scalar::Text(text) => Scalar::Text(text.to_lowercase()),
            other => other,
        },
        ("tostring", _) => match first() {
            Scalar::Text(text) => Scalar::Text(text),
            Scalar::Null => Scalar::text(""),
            Scalar::Number(number) => Scalar::Text(number.to_string()),
            other => {
                Scalar::Text(other.json().as_str().map_or_else(|| other.json().to_string(), str::to_owned))
            }
        },
        ("tolong", _) => match first() {
            Scalar::Text(text) => text.trim().parse().map_or(Scalar::Null, Scalar::Number),
            Scalar::Bool(value) => Scalar::Number(value.into()),
            Scalar::Number(number) => Scalar::Number(number),
            _ => Scalar::Null,
        },
        ("max_of", _) => arguments.iter().map(|one| one.run(row)).max().unwrap_or(Scalar::Null),
        ("coalesce", _) => {
            let mut last = Scalar::Null;
            for argument in arguments {
                last = argument.run(row);
                if last != Scalar::Null && last != Scalar::text("") {
                    break;
                }
            }
            last
        }
        ("case", [pairs @ .., otherwise]) => {
            let held = pairs.chunks(2).find_map(|pair| match pair {
                [predicate, value] if predicate.run(row).holds() => Some(value.run(row)),
                _ => None,
            });
            held.unwrap_or_else(|| otherwise.run(row))
        }
        _ => Scalar::Null,
    }
}

fn binary(operator: &str, left: Scalar, right: Scalar) -> Scalar {
    use Scalar::{Bool, Moment, Null, Number, Span, Text};
    let value = match (operator, left, right) {
        (_, Null, _) | (_, _, Null) => return Null,
        ("==", left, right) => left == right,
        ("!=", left, right) => left != right,
        ("<", left, right) => left < right,
        ("<=", left, right) => left <= right,
        (">", left, right) => left > right,
        (">=", left, right) => left >= right,
        ("has", Text(text), Text(term)) => has(&text.to_lowercase(), &term.to_lowercase()),
        ("contains", Text(text), Text(part)) => text.to_lowercase().contains(&part.to_lowercase()),
        ("startswith", Text(text), Text(start)) => text.to_lowercase().starts_with(&start.to_lowercase()),
        ("startswith_cs", Text(text), Text(start)) => text.starts_with(&start),
        ("+", Number(a), Number(b)) => return a.checked_add(b).map_or(Null, Number),
        ("-", Number(a), Number(b)) => return a.checked_sub(b).map_or(Null, Number),
        ("+", Moment(at), Span(span)) => return at.checked_add(span).map_or(Null, Moment),
        ("-", Moment(at), Span(span)) => return at.checked_sub(span).map_or(Null, Moment),
        ("-", Moment(a), Moment(b)) => return Span(a - b),
        ("+", Span(a), Span(b)) => return a.checked_add(b).map_or(Null, Span),
        ("-", Span(a), Span(b)) => return a.checked_sub(b).map_or(Null, Span),
        _ => return Null,
    };
    Bool(value)
}

/// Whether `term` stands in `text` between characters that are no letters and no digits (Kusto: has operator).
fn has(text: &str, term: &str) -> bool {
    let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(term).any(|(at, found)| {
        apart(text[..at].chars().next_back()) && apart(text[at + found.len()..].chars().next())
    })
}

fn kind_of(literal: &Scalar) -> Kind {
    match literal {
        Scalar::Bool(_) | Scalar::Null => Kind::Bool,
        Scalar::Number(_) => Kind::Long,
        Scalar::Moment(_) => Kind::Datetime,
        Scalar::Span(_) => Kind::Timespan,
        Scalar::Text(_) => Kind::Text,
    }
}

/// Numbers with numbers, and else like with like. The service also compares a number with a text that looks like one;
/// nobody should rely on that, and here nobody can.
fn comparable(a: Kind, b: Kind) -> Result<(), Refused> {
    if a == b || a.is_number() && b.is_number() {
        return Ok(());
    }
    Err(mismatch("SEM0064", "Cannot compare values of types", a, b))
}

fn mismatch(code: &'static str, what: &str, a: Kind, b: Kind) -> Refused {
    Refused::semantic(code, format!("{what} {} and {}. Try adding explicit casts", a.name(), b.name()))
}

fn not_constant(function: &str) -> Refused {
    Refused::semantic("SEM0220", format!("{function}(): its argument must be a constant"))
}
