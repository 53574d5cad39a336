//! The words of a query, each with its place.

use super::refusal::Refused;

/// A word, with its line and column from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Name(String),
    Text(String),
    Number(i64),
    /// Seconds, from a literal such as `1d`, `2h`, `30m`, `10s`.
    Span(i64),
    Sign(&'static str),
    /// What stands between the brackets of `datetime(…)`, which needs no quotes.
    Moment(String),
    End,
}

impl Word {
    /// As it is quoted in an error.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(text) | Self::Text(text) | Self::Moment(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Span(seconds) => format!("{seconds}s"),
            Self::Sign(sign) => (*sign).to_owned(),
            Self::End => String::new(),
        }
    }
}

/// Takes `text` apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Refused> {
    let mut rest = Reader { rest: text, line: 1, column: 1 };
    let mut found = Vec::new();
    loop {
        rest.skip_space();
        let (line, column) = (rest.line, rest.column);
        let word = rest.word()?;
        let end = word == Word::End;
        found.push(Token { word, line, column });
        if end {
            return Ok(found);
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
}

impl Reader<'_> {
    fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        match c {
            '\n' => (self.line, self.column) = (self.line + 1, 1),
            _ => self.column += 1,
        }
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip_space(&mut self) {
        loop {
            if self.rest.starts_with("//") {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.bump();
                }
            }
            if !self.peek().is_some_and(char::is_whitespace) {
                return;
            }
            self.bump();
        }
    }

    fn taken(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.peek().filter(|c| wanted(*c)) {
            taken.push(c);
            self.bump();
        }
        taken
    }

    fn refused(&self, token: &str) -> Refused {
        Refused::syntax(token, self.line, self.column)
    }

    fn word(&mut self) -> Result<Word, Refused> {
        let Some(first) = self.peek() else { return Ok(Word::End) };
        match first {
            '@' => {
                self.bump();
                self.text(true)
            }
            '"' | '\'' => self.text(false),
            '0'..='9' => {
                let digits = self.taken(|c| c.is_ascii_digit());
                let unit = self.taken(|c| c.is_ascii_alphabetic());
                let number: i64 = digits.parse().map_err(|_| self.refused(&digits))?;
                let seconds = match unit.as_str() {
                    "" => return Ok(Word::Number(number)),
                    "s" => 1,
                    "m" => 60,
                    "h" => 3600,
                    "d" => 86_400,
                    _ => return Err(self.refused(&unit)),
                };
                Ok(Word::Span(number.saturating_mul(seconds)))
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let name = self.taken(|c| c.is_ascii_alphanumeric() || c == '_');
                if name == "datetime" && self.peek() == Some('(') {
                    self.bump();
                    let inside = self.taken(|c| c != ')' && c != '\n');
                    self.bump().ok_or_else(|| self.refused(""))?;
                    return Ok(Word::Moment(inside.trim().to_owned()));
                }
                Ok(Word::Name(name))
            }
            c => {
                let sign = SIGNS.iter().find(|sign| self.rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| self.refused(&c.to_string()))?;
                for _ in 0..sign.len() {
                    self.bump();
                }
                Ok(Word::Sign(sign))
            }
        }
    }

    /// A text literal (Kusto: The string data type): a verbatim one doubles its quote and knows no backslash.
    fn text(&mut self, verbatim: bool) -> Result<Word, Refused> {
        let Some(quote) = self.bump().filter(|c| *c == '"' || *c == '\'') else {
            return Err(self.refused("@"));
        };
        let mut text = String::new();
        loop {
            match self.bump() {
                None | Some('\n') => return Err(self.refused(&text)),
                Some(c) if c == quote && verbatim && self.peek() == Some(quote) => {
                    self.bump();
                    text.push(quote);
                }
                Some(c) if c == quote => return Ok(Word::Text(text)),
                Some('\\') if !verbatim => match self.bump() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                    _ => return Err(self.refused("\\")),
                },
                Some(c) => text.push(c),
            }
        }
    }
}

/// Longer ones before those that begin them.
const SIGNS: [&str; 15] = ["==", "!=", "<=", ">=", "..", "<", ">", "=", "|", ",", "(", ")", "+", "-", ";"];
