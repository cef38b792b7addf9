//! The lexer: splits a template into text and the tokens of its actions.

use super::error::TemplateError;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TemplateToken {
    pub(crate) kind: TemplateTokenKind,
    /// Where it begins, in bytes from the start of the template.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// Whether white space precedes it.
    pub(crate) spaced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TemplateTokenKind {
    /// Text outside actions, trimmed by the markers around it.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// A keyword or the name of a function.
    Word(String),
    /// `.name`
    Field(String),
    /// `$name`, or `$` with an empty name.
    Variable(String),
    /// A string, a character or a number.
    Constant(serde_json::Value),
    /// `.`, `|`, `(`, `)`, `,`, `:=`, `=`
    Sign(&'static str),
}

/// Splits `source` into tokens.
pub(crate) fn tokenize(source: &str) -> Result<Vec<TemplateToken>, TemplateError> {
    let mut lexer = TemplateLexer { source, at: 0, tokens: Vec::new(), trim: false };
    while let Some(open) = lexer.rest().find("{{") {
        lexer.text(open);
        lexer.action()?;
    }
    lexer.text(lexer.rest().len());
    Ok(lexer.tokens)
}

struct TemplateLexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<TemplateToken>,
    /// Whether the action before ended in a trim marker.
    trim: bool,
}

const BLANKS: &[char] = &[' ', '\t', '\r', '\n'];

impl<'a> TemplateLexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: TemplateTokenKind, length: usize, spaced: bool) {
        self.tokens.push(TemplateToken { kind, start: self.at, end: self.at + length, spaced });
        self.at += length;
    }

    /// Takes the next `length` bytes as text.
    fn text(&mut self, length: usize) {
        let rest = self.rest();
        let mut text = rest.get(..length).unwrap_or(rest);
        if self.trim {
            text = text.trim_start_matches(BLANKS);
        }
        // The marker of the action that follows trims this text.
        let after = rest.get(length + 2..).unwrap_or_default();
        if after.strip_prefix('-').is_some_and(|after| after.starts_with(BLANKS)) {
            text = text.trim_end_matches(BLANKS);
        }
        if text.is_empty() {
            self.at += length;
        } else {
            self.push(TemplateTokenKind::Text(text.to_owned()), length, false);
        }
        self.trim = false;
    }

    fn action(&mut self) -> Result<(), TemplateError> {
        // As in Go, a trim marker counts only with white space next to it: `{{-3}}` is a number.
        let marker = self.rest().get(2..).and_then(|rest| rest.strip_prefix('-'));
        let skip = if marker.is_some_and(|rest| rest.starts_with(BLANKS)) { 3 } else { 2 };
        if self.rest().get(skip..).unwrap_or_default().trim_start_matches(BLANKS).starts_with("/*") {
            return self.comment();
        }
        self.push(TemplateTokenKind::Open, skip, false);
        while !self.token()? {}
        Ok(())
    }

    fn comment(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest();
        let end = rest.find("*/").ok_or_else(|| self.error("unclosed comment"))?;
        let after_comment = rest.get(end + 2..).unwrap_or_default();
        let after_blanks = after_comment.trim_start_matches(BLANKS);
        let spaced = after_blanks.len() < after_comment.len();
        let (tail, trim) = match after_blanks.strip_prefix('-') {
            Some(after_blanks) if spaced => (after_blanks, true),
            _ => (after_comment, false),
        };
        let tail =
            tail.strip_prefix("}}").ok_or_else(|| self.error("comment ends before closing delimiter"))?;
        self.at = self.source.len() - tail.len();
        self.trim = trim;
        Ok(())
    }

    /// Reads one token of an action; true at its end.
    fn token(&mut self) -> Result<bool, TemplateError> {
        let before = self.rest();
        let rest = before.trim_start_matches(BLANKS);
        let spaced = rest.len() < before.len();
        self.at += before.len() - rest.len();
        if rest.starts_with("}}") {
            self.push(TemplateTokenKind::Close, 2, spaced);
            return Ok(true);
        }
        if spaced && rest.starts_with("-}}") {
            self.push(TemplateTokenKind::Close, 3, spaced);
            self.trim = true;
            return Ok(true);
        }
        let (kind, length) = self.word(rest)?;
        self.push(kind, length, spaced);
        Ok(false)
    }

    fn word(&self, rest: &str) -> Result<(TemplateTokenKind, usize), TemplateError> {
        // The longer sign first.
        for sign in [":=", "=", "|", "(", ")", ","] {
            if rest.starts_with(sign) {
                return Ok((TemplateTokenKind::Sign(sign), sign.len()));
            }
        }
        let Some(first) = rest.chars().next() else { return Err(self.error("unclosed action")) };
        let tail = rest.get(first.len_utf8()..).unwrap_or_default();
        match first {
            '"' | '`' | '\'' => self.quoted(rest, first),
            '$' => Ok((TemplateTokenKind::Variable(name(tail).into()), 1 + name(tail).len())),
            '.' if !name(tail).is_empty() && !tail.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok((TemplateTokenKind::Field(name(tail).into()), 1 + name(tail).len()))
            }
            '.' if !tail.starts_with(|c: char| c.is_ascii_digit()) => Ok((TemplateTokenKind::Sign("."), 1)),
            '+' | '-' | '.' | '0'..='9' => self.number(rest),
            _ if !name(rest).is_empty() => Ok((TemplateTokenKind::Word(name(rest).into()), name(rest).len())),
            other => Err(self.error(format!("unexpected {:?} in command", other.to_string()))),
        }
    }

    fn number(&self, rest: &str) -> Result<(TemplateTokenKind, usize), TemplateError> {
        let part = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
        let body = rest.trim_start_matches(['+', '-']);
        let sign = rest.len() - body.len();
        let mut length = sign + body.find(|c| !part(c)).unwrap_or(body.len());
        let decimal = !body.starts_with("0x") && !body.starts_with("0X");
        // `1e+5`: the sign of an exponent belongs to the number.
        if decimal && rest.get(..length).is_some_and(|text| text.ends_with(['e', 'E'])) {
            let tail = rest.get(length..).unwrap_or_default();
            if let Some(digits) = tail.strip_prefix(['+', '-']) {
                length += 1 + digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            }
        }
        let text = rest.get(..length).unwrap_or(rest);
        match super::value::parse_number(text) {
            Some(number) => Ok((TemplateTokenKind::Constant(number), length)),
            None => Err(self.error(format!("bad number syntax: {text:?}"))),
        }
    }

    fn quoted(&self, rest: &str, quote: char) -> Result<(TemplateTokenKind, usize), TemplateError> {
        let unterminated = match quote {
            '`' => "unterminated raw quoted string",
            '"' => "unterminated quoted string",
            _ => "unterminated character constant",
        };
        let length = quoted_length(rest, quote).ok_or_else(|| self.error(unterminated))?;
        let content = rest.get(1..length - 1).unwrap_or_default();
        let text = if quote == '`' { Some(content.to_owned()) } else { unescape(content) };
        let text = text.ok_or_else(|| self.error("invalid syntax in a quoted string"))?;
        let mut characters = text.chars();
        match (quote, characters.next(), characters.next()) {
            ('\'', Some(one), None) => Ok((TemplateTokenKind::Constant(u32::from(one).into()), length)),
            ('\'', ..) => Err(self.error("malformed character constant")),
            _ => Ok((TemplateTokenKind::Constant(text.into()), length)),
        }
    }

    fn error(&self, message: impl Into<String>) -> TemplateError {
        TemplateError::at(self.source, self.at, message)
    }
}

/// The letters, digits and underscores in front of `text`.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The length of the quoted text in front of `text`, with both quotes.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            // Only a raw string may contain a line break.
            '\n' if quote != '`' => return None,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Resolves Go's escapes in an interpreted string; None if one is invalid.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match rest.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'x' => numeric_escape(&mut rest, 2, 16)?,
            'u' => numeric_escape(&mut rest, 4, 16)?,
            'U' => numeric_escape(&mut rest, 8, 16)?,
            c @ ('\\' | '"' | '\'') => c,
            _ => return None,
        });
    }
    Some(plain)
}

fn numeric_escape(rest: &mut std::str::Chars<'_>, digits: usize, base: u32) -> Option<char> {
    let mut code = 0_u32;
    for _ in 0..digits {
        code = code.checked_mul(base)?.checked_add(rest.next()?.to_digit(base)?)?;
    }
    char::from_u32(code)
}
