//! The word lexer, equivalent to BuildKit's `shell.Lex`. Dockerfiles rely on its quirks, so they are kept.

use super::shell_pattern::{MatchLength, ShellPattern};
use super::{ExpandedText, ReferencedNames, Variables};
use dhow_error::{Failure, invalid};

/// Maximum nesting of `${A:-${B:-…}}`; expansion recurses on the stack.
const DEPTH: u32 = 100;
/// Maximum size of an expanded word in bytes: `${X//…}` can blow a short text up.
const LIMIT: usize = 16 << 20;
/// Maximum matching steps for all patterns of a word.
const WORK: usize = 1 << 28;

/// Lexer modes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShellLexer {
    pub escape: char,
    pub(crate) raw_quotes: bool,
    pub(crate) raw_escapes: bool,
    /// Treat quotes as plain characters (here-documents).
    pub(crate) skip_quotes: bool,
    /// Leave unset variables as written.
    pub(crate) keep_unset: bool,
}

impl ShellLexer {
    /// Removes quotes and escapes, and replaces unset variables by nothing.
    pub(crate) fn new(escape: char) -> Self {
        Self { escape, raw_quotes: false, raw_escapes: false, skip_quotes: false, keep_unset: false }
    }

    pub(crate) fn expand(self, text: &str, variables: &dyn Variables) -> Result<ExpandedText, Failure> {
        let mut pass = LexerPass {
            lexer: self,
            rest: text,
            variables,
            names: ReferencedNames::default(),
            raw_escapes: self.raw_escapes,
            depth: 0,
            expanded_bytes: 0,
            work: 0,
        };
        let LexedWords { text: expanded, mut words, word, .. } = pass
            .until(None)
            .map_err(|why| invalid(format!("failed to process \"{}\": {why}", text.escape_debug())))?;
        if !word.is_empty() {
            words.push(word);
        }
        Ok(ExpandedText { text: expanded, words, names: pass.names })
    }
}

/// The output so far, as one text and split into words.
#[derive(Default)]
struct LexedWords {
    text: String,
    words: Vec<String>,
    word: String,
}

impl LexedWords {
    /// Adds an unquoted character, which separates words if it is white space.
    fn add(&mut self, c: char) {
        self.text.push(c);
        self.split(c);
    }

    fn split(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// Adds quoted text, which is not split.
    fn add_raw(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }
}

/// One run over a text. Errors lack the text itself, which the caller adds.
struct LexerPass<'a> {
    lexer: ShellLexer,
    rest: &'a str,
    variables: &'a dyn Variables,
    names: ReferencedNames,
    raw_escapes: bool,
    depth: u32,
    expanded_bytes: usize,
    work: usize,
}

impl LexerPass<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    fn get(&mut self, name: &str) -> Option<String> {
        let value = self.variables.get(name);
        let names = if value.is_some() { &mut self.names.used } else { &mut self.names.undefined };
        names.insert(name.to_owned());
        value.map(str::to_owned)
    }

    /// Reads to the end, or up to `stop`, which is consumed.
    fn until(&mut self, stop: Option<char>) -> Result<LexedWords, String> {
        let mut words = LexedWords::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                return Ok(words);
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    self.count_bytes(value.len())?;
                    words.text.push_str(&value);
                    // Only an unquoted value is split into words, as in a shell.
                    value.chars().for_each(|c| words.split(c));
                }
                '\'' if !self.lexer.skip_quotes => words.add_raw(&self.single_quoted()?),
                '"' if !self.lexer.skip_quotes => words.add_raw(&self.double_quoted()?),
                '<' => words.add_raw(self.angle()),
                _ => self.plain(c, &mut words),
            }
        }
        match stop {
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
            None => Ok(words),
        }
    }

    /// Enforces [`LIMIT`] on what expansions add.
    fn count_bytes(&mut self, more: usize) -> Result<(), String> {
        self.expanded_bytes = self.expanded_bytes.saturating_add(more);
        if self.expanded_bytes > LIMIT { Err("the value becomes too long".into()) } else { Ok(()) }
    }

    /// `<`, or `<<` with the blanks after it: they stand in one word with the name of a here-document.
    fn angle(&mut self) -> &str {
        let blanks = [' ', '\t', '\r'];
        let text = self.rest;
        let end = match text.strip_prefix("<<") {
            Some(after) => {
                let dashed = after.strip_prefix('-').filter(|rest| rest.starts_with(blanks));
                text.len() - dashed.unwrap_or(after).trim_start_matches(blanks).len()
            }
            None => 1,
        };
        let (angle, rest) = text.split_at(end);
        self.rest = rest;
        angle
    }

    fn plain(&mut self, c: char, words: &mut LexedWords) {
        self.next();
        if c != self.lexer.escape {
            return words.add(c);
        }
        if self.raw_escapes {
            words.add_raw(c.encode_utf8(&mut [0; 4]));
        }
        // A trailing escape character is dropped.
        if let Some(escaped) = self.next() {
            words.add_raw(escaped.encode_utf8(&mut [0; 4]));
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        self.next();
        let Some((inside, after)) = self.rest.split_once('\'') else {
            self.rest = "";
            return Err("unexpected end of statement while looking for matching single-quote".into());
        };
        self.rest = after;
        Ok(if self.lexer.raw_quotes { format!("'{inside}'") } else { inside.to_owned() })
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        let mut out = String::new();
        self.next();
        if self.lexer.raw_quotes {
            out.push('"');
        }
        loop {
            match self.peek() {
                None => {
                    return Err("unexpected end of statement while looking for matching double-quote".into());
                }
                Some('"') => break,
                Some('$') => {
                    let value = self.dollar()?;
                    self.count_bytes(value.len())?;
                    out.push_str(&value);
                }
                Some(c) if c == self.lexer.escape => self.escaped_in_quotes(c, &mut out),
                Some(c) => {
                    self.next();
                    out.push(c);
                }
            }
        }
        self.next();
        if self.lexer.raw_quotes {
            out.push('"');
        }
        Ok(out)
    }

    /// In double quotes the escape character works before `"`, `$` and itself only.
    fn escaped_in_quotes(&mut self, escape: char, out: &mut String) {
        self.next();
        if self.raw_escapes {
            out.push(escape);
        }
        match self.peek() {
            None => {}
            Some(c) if c == '"' || c == '$' || c == escape => {
                self.next();
                out.push(c);
            }
            Some(_) => out.push(escape),
        }
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.next();
        if self.peek() == Some('{') {
            self.next();
            self.depth += 1;
            let value = if self.depth > DEPTH { Err("nested too deeply".into()) } else { self.braced() };
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        if name.is_empty() {
            // As in a shell, a dollar sign without a name is literal.
            return Ok("$".into());
        }
        match self.get(&name) {
            None if self.lexer.keep_unset => Ok(format!("${name}")),
            value => Ok(value.unwrap_or_default()),
        }
    }

    /// `${…}` after the opening brace.
    fn braced(&mut self) -> Result<String, String> {
        match self.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            Some('}') => match self.get(&name) {
                None if self.lexer.keep_unset => Ok(format!("${{{name}}}")),
                value => Ok(value.unwrap_or_default()),
            },
            Some(':') => match self.next() {
                Some(operator @ ('+' | '-' | '?')) => self.conditional(&name, operator, true),
                Some(other) => Err(format!("unsupported modifier (:{other}) in substitution")),
                None => Err("syntax error: missing '}'".into()),
            },
            Some(operator @ ('+' | '-' | '?')) => self.conditional(&name, operator, false),
            Some(operator @ ('#' | '%')) => self.trimmed(&name, operator),
            Some('/') => self.replaced(&name),
            Some(other) => Err(format!("unsupported modifier ({other}) in substitution")),
            None => Err("syntax error: missing '}'".into()),
        }
    }

    /// The text up to `stop`, itself expanded.
    fn operand(&mut self, stop: char, raw_escapes: bool, missing: &str) -> Result<String, String> {
        // Patterns keep their backslashes: the pattern parser interprets them.
        // Operands may be nested, so the mode is restored afterwards.
        let outer_mode = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let read = self.until(Some(stop));
        self.raw_escapes = outer_mode;
        match read {
            Ok(words) => Ok(words.text),
            // Ran out of text: name the operator that is incomplete, not the character that was looked for.
            Err(_) if self.rest.is_empty() => Err(missing.into()),
            Err(why) => Err(why),
        }
    }

    /// `${NAME-…}`, `${NAME+…}`, `${NAME?…}`; with a colon an empty value counts as unset.
    fn conditional(&mut self, name: &str, operator: char, colon: bool) -> Result<String, String> {
        let word = self.operand('}', false, "syntax error: missing '}'")?;
        let value = self.get(name);
        if value.is_none() && self.lexer.keep_unset {
            let colon = if colon { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        let set = value.is_some();
        let value = value.filter(|value| !(colon && value.is_empty()));
        match (operator, value) {
            ('-', value) => Ok(value.unwrap_or(word)),
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) if !word.is_empty() => Err(format!("{name}: {word}")),
            (_, None) if set => Err(format!("{name}: is not allowed to be empty")),
            (_, None) => Err(format!("{name}: is not allowed to be unset")),
        }
    }

    /// `${NAME#…}`, `${NAME##…}`, `${NAME%…}`, `${NAME%%…}`: removes a matching prefix or suffix.
    fn trimmed(&mut self, name: &str, operator: char) -> Result<String, String> {
        let word = self.operand('}', true, "syntax error: missing '}'")?;
        let value = self.get(name);
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}{operator}{word}}}"));
        }
        let (pattern, length) = match word.strip_prefix(operator) {
            Some(pattern) => (pattern, MatchLength::Long),
            None => (word.as_str(), MatchLength::Short),
        };
        let value = value.unwrap_or_default();
        let pattern = self.pattern(pattern, &value, false)?;
        Ok(if operator == '#' {
            pattern.trim_start(&value, length)
        } else {
            pattern.trim_end(&value, length)
        })
    }

    /// `${NAME/…/…}` and `${NAME//…/…}`.
    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.operand('/', true, "syntax error: missing '/' in ${}")?;
        let replacement = self.operand('}', true, "syntax error: missing '}'")?;
        let value = self.get(name);
        if value.is_none() && self.lexer.keep_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let value = value.unwrap_or_default();
        // An upper bound before anything is allocated: at most one replacement per position.
        self.count_bytes(if all {
            (value.len() + 1).saturating_mul(replacement.len())
        } else {
            replacement.len()
        })?;
        Ok(self.pattern(&pattern, &value, true)?.replace(&value, &replacement, all))
    }

    /// Parses a pattern that will be matched against `value`, within the budget of [`WORK`].
    fn pattern(&mut self, text: &str, value: &str, everywhere: bool) -> Result<ShellPattern, String> {
        let pattern = ShellPattern::read(text)
            .map_err(|why| format!("invalid pattern ({text}) in substitution: {why}"))?;
        self.work = self.work.saturating_add(pattern.work(value.len(), everywhere));
        if self.work > WORK {
            return Err(format!("invalid pattern ({text}) in substitution: it would take too long"));
        }
        Ok(pattern)
    }

    /// A variable name: letters, digits and underscores; or digits only; or a special parameter of the shell.
    fn name(&mut self) -> String {
        let first = self.peek();
        if first.is_some_and(|c| matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!')) {
            return self.next().map(String::from).unwrap_or_default();
        }
        let digits = first.is_some_and(char::is_numeric);
        let fits = |c: char| if digits { c.is_numeric() } else { c.is_alphanumeric() || c == '_' };
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name.to_owned()
    }
}
