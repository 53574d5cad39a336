//! The part of Kusto Query Language that is understood: one table, then operators in a row. Whatever else there is
//! in the language is refused as if it were none of it.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::refusal::Refused;
use super::table::Scalar;
use super::token::{Token, Word, tokens};

/// A query.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) table: String,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Step {
    Where(Expr),
    Extend(Vec<(String, Expr)>),
    Summarize {
        aggregates: Vec<(String, Expr)>,
        by: Vec<(String, Expr)>,
    },
    /// By which, descending or not, and how many of the first.
    Order {
        by: Vec<(Expr, bool)>,
        first: Option<usize>,
        top: bool,
    },
    Take(usize),
}

impl Step {
    /// As errors call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Where(_) => "where",
            Self::Extend(_) => "extend",
            Self::Summarize { .. } => "summarize",
            Self::Order { top: true, .. } => "top",
            Self::Order { .. } => "order",
            Self::Take(_) => "take",
        }
    }
}

#[derive(Debug)]
pub(super) enum Expr {
    Column(String),
    Literal(Scalar),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
    Between(Box<Expr>, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
}

/// Parses `text`.
pub(super) fn parse(text: &str) -> Result<Query, Refused> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let table = parser.name()?;
    let mut steps = Vec::new();
    while parser.sign("|") {
        steps.push(parser.step()?);
    }
    let _ = parser.sign(";");
    match parser.peek() {
        Word::End => Ok(Query { table, steps }),
        _ => Err(parser.refused()),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Word {
        self.tokens.get(self.at).map_or(&Word::End, |token| &token.word)
    }

    fn refused(&self) -> Refused {
        match self.tokens.get(self.at) {
            Some(token) => Refused::syntax(&token.word.shown(), token.line, token.column),
            None => Refused::syntax("", 1, 1),
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let here = matches!(self.peek(), Word::Sign(found) if *found == sign);
        self.at += usize::from(here);
        here
    }

    fn keyword(&mut self, word: &str) -> bool {
        let here = matches!(self.peek(), Word::Name(found) if found == word);
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, sign: &str) -> Result<(), Refused> {
        if self.sign(sign) { Ok(()) } else { Err(self.refused()) }
    }

    fn name(&mut self) -> Result<String, Refused> {
        match self.peek().clone() {
            Word::Name(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.refused()),
        }
    }

    fn count(&mut self) -> Result<usize, Refused> {
        match *self.peek() {
            Word::Number(number) => {
                let count = usize::try_from(number).map_err(|_| self.refused())?;
                self.at += 1;
                Ok(count)
            }
            _ => Err(self.refused()),
        }
    }

    fn step(&mut self) -> Result<Step, Refused> {
        let operator = self.peek().clone();
        let operator = match &operator {
            Word::Name(name) => name.as_str(),
            _ => return Err(self.refused()),
        };
        match operator {
            "where" | "filter" => {
                self.at += 1;
                Ok(Step::Where(self.expression()?))
            }
            "extend" => {
                self.at += 1;
                Ok(Step::Extend(self.named("Column")?))
            }
            "summarize" => {
                self.at += 1;
                let by_alone = matches!(self.peek(), Word::Name(name) if name == "by");
                let aggregates = if by_alone { Vec::new() } else { self.named("")? };
                let by = if self.keyword("by") { self.named("Column")? } else { Vec::new() };
                Ok(Step::Summarize { aggregates, by })
            }
            "top" => {
                self.at += 1;
                let first = self.count()?;
                if !self.keyword("by") {
                    return Err(self.refused());
                }
                Ok(Step::Order { by: vec![self.ordering()?], first: Some(first), top: true })
            }
            "order" | "sort" => {
                self.at += 1;
                if !self.keyword("by") {
                    return Err(self.refused());
                }
                let mut by = vec![self.ordering()?];
                while self.sign(",") {
                    by.push(self.ordering()?);
                }
                Ok(Step::Order { by, first: None, top: false })
            }
            "take" | "limit" => {
                self.at += 1;
                Ok(Step::Take(self.count()?))
            }
            _ => Err(self.refused()),
        }
    }

    /// Descending unless it says otherwise (Kusto: sort operator).
    fn ordering(&mut self) -> Result<(Expr, bool), Refused> {
        let by = self.expression()?;
        let ascending = self.keyword("asc");
        if !ascending {
            let _ = self.keyword("desc");
        }
        Ok((by, !ascending))
    }

    /// `Name = expression`, or an expression that names itself.
    fn named(&mut self, otherwise: &str) -> Result<Vec<(String, Expr)>, Refused> {
        let mut named = Vec::new();
        loop {
            let name = match (self.peek().clone(), self.tokens.get(self.at + 1).map(|next| &next.word)) {
                (Word::Name(name), Some(Word::Sign("="))) => {
                    self.at += 2;
                    Some(name)
                }
                _ => None,
            };
            let expression = self.expression()?;
            let name = name.unwrap_or_else(|| match &expression {
                Expr::Column(name) => name.clone(),
                Expr::Call(function, arguments) => match arguments.first() {
                    Some(Expr::Column(column)) => format!("{function}_{column}"),
                    _ => format!("{function}_"),
                },
                _ => format!("{otherwise}{}", named.len() + 1),
            });
            named.push((name, expression));
            if !self.sign(",") {
                return Ok(named);
            }
        }
    }

    fn expression(&mut self) -> Result<Expr, Refused> {
        let mut left = self.conjunction()?;
        while self.keyword("or") {
            left = Expr::Binary("or", left.into(), self.conjunction()?.into());
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Expr, Refused> {
        let mut left = self.comparison()?;
        while self.keyword("and") {
            left = Expr::Binary("and", left.into(), self.comparison()?.into());
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Expr, Refused> {
        let left = self.sum()?;
        for operator in ["==", "!=", "<=", ">=", "<", ">"] {
            if self.sign(operator) {
                return Ok(Expr::Binary(operator, left.into(), self.sum()?.into()));
            }
        }
        for operator in ["has", "contains", "startswith", "startswith_cs"] {
            if self.keyword(operator) {
                return Ok(Expr::Binary(operator, left.into(), self.sum()?.into()));
            }
        }
        if self.keyword("in") {
            self.expect("(")?;
            return Ok(Expr::In(left.into(), self.arguments()?));
        }
        if self.keyword("between") {
            self.expect("(")?;
            let from = self.sum()?;
            self.expect("..")?;
            let to = self.sum()?;
            self.expect(")")?;
            return Ok(Expr::Between(left.into(), from.into(), to.into()));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Expr, Refused> {
        let mut left = self.primary()?;
        loop {
            let operator = match self.peek() {
                Word::Sign(sign @ ("+" | "-")) => *sign,
                _ => return Ok(left),
            };
            self.at += 1;
            left = Expr::Binary(operator, left.into(), self.primary()?.into());
        }
    }

    fn primary(&mut self) -> Result<Expr, Refused> {
        let word = self.peek().clone();
        let literal = match word {
            Word::Text(text) => Scalar::Text(text),
            Word::Number(number) => Scalar::Number(number),
            Word::Span(seconds) => Scalar::Span(time::Duration::seconds(seconds)),
            Word::Moment(text) => Scalar::Moment(moment(&text).ok_or_else(|| self.refused())?),
            Word::Sign("(") => {
                self.at += 1;
                let inside = self.expression()?;
                self.expect(")")?;
                return Ok(inside);
            }
            Word::Name(name) if name == "true" || name == "false" => Scalar::Bool(name == "true"),
            Word::Name(name) if RESERVED.contains(&name.as_str()) => return Err(self.refused()),
            Word::Name(name) => {
                self.at += 1;
                return Ok(if self.sign("(") {
                    Expr::Call(name, self.arguments()?)
                } else {
                    Expr::Column(name)
                });
            }
            Word::Sign(_) | Word::End => return Err(self.refused()),
        };
        self.at += 1;
        Ok(Expr::Literal(literal))
    }

    /// What stands up to the closing bracket.
    fn arguments(&mut self) -> Result<Vec<Expr>, Refused> {
        let mut arguments = Vec::new();
        if self.sign(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.sign(",") {
                self.expect(")")?;
                return Ok(arguments);
            }
        }
    }
}

/// A datetime literal: a whole time in UTC, or a day.
fn moment(text: &str) -> Option<OffsetDateTime> {
    let whole =
        if text.len() == "2026-11-22".len() { format!("{text}T00:00:00Z") } else { text.replace(' ', "T") };
    OffsetDateTime::parse(&whole, &Rfc3339).ok()
}

/// Words that name no column.
const RESERVED: [&str; 6] = ["and", "or", "by", "in", "has", "between"];
