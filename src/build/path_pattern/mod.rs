//! Path patterns: Go's `filepath.Match` (COPY), with `**` (COPY --parents), and the pattern lists of `.dockerignore` and
//! `--exclude`, matched as `moby/patternmatcher` does.
//!
//! A pattern compiles to a list of tokens that runs over a path as a nondeterministic automaton: time is
//! bounded by the product of both lengths, and the automaton can tell whether anything below a directory may
//! still match.

use std::fmt;

/// A malformed pattern: an unclosed bracket, or a backslash at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPattern;

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("syntax error in pattern")
    }
}

impl std::error::Error for BadPattern {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternToken {
    Char(char),
    /// Any character except a slash.
    One,
    /// Any number of characters except slashes.
    Star,
    /// The start of `**/`: matches nothing, or continues with [`PatternToken::Inside`], which always follows.
    Dirs,
    /// The rest of `**/`: anything up to and including a slash.
    Inside,
    /// Anything, slashes included.
    Rest,
    /// A character class.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl PatternToken {
    /// Whether this token can consume `c`.
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(literal) => *literal == c,
            Self::One => c != '/',
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
            Self::Star | Self::Dirs | Self::Inside | Self::Rest => false,
        }
    }
}

/// How `**` is interpreted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PatternDialect {
    /// As `*`, within one name.
    Name,
    /// As a whole path component it matches any number of directories; elsewhere it is `*`.
    Path,
    /// Anywhere, as in `.dockerignore`.
    Ignore,
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    tokens: Vec<PatternToken>,
    /// Literal text that every match starts and ends with; most paths are rejected by that alone.
    start: Vec<u8>,
    end: Vec<u8>,
}

impl PathPattern {
    /// Parses a pattern of `COPY`, which has to match the whole path.
    pub(crate) fn parse_name(text: &str) -> Result<Self, BadPattern> {
        Self::new(text, PatternDialect::Name)
    }

    /// Parses a pattern of `COPY --parents`, where `**` stands for any number of directories.
    pub(crate) fn parse_path(text: &str) -> Result<Self, BadPattern> {
        Self::new(text, PatternDialect::Path)
    }

    fn new(text: &str, dialect: PatternDialect) -> Result<Self, BadPattern> {
        let tokens = PatternParser { rest: text, dialect, tokens: Vec::new() }.parse()?;
        let character = |token: &PatternToken| match token {
            PatternToken::Char(c) => Some(*c),
            _ => None,
        };
        let start: String = tokens.iter().map_while(character).collect();
        let end: Vec<char> = tokens.iter().rev().map_while(character).collect();
        let end: String = end.into_iter().rev().collect();
        Ok(Self { tokens, start: start.into_bytes(), end: end.into_bytes() })
    }

    /// Whether it matches all of `path`.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        // Rejects most paths before the automaton is started.
        path.starts_with(&self.start)
            && path.ends_with(&self.end)
            && self.simulate(path).now.contains(&self.tokens.len())
    }

    /// Whether some path that starts with `start` may match.
    pub(crate) fn may_match_below(&self, start: &[u8]) -> bool {
        !self.simulate(start).now.is_empty()
    }

    /// Runs the automaton over `path`, stopping early when no state is left.
    fn simulate(&self, path: &[u8]) -> StateSet {
        // Two lists that are swapped after each character: active states, and those of the next step.
        let mut states =
            StateSet { now: Vec::new(), next: Vec::new(), marks: vec![0; self.tokens.len() + 1], turn: 1 };
        self.enter(0, &mut states);
        std::mem::swap(&mut states.now, &mut states.next);
        let mut rest = path;
        while !rest.is_empty() && !states.now.is_empty() {
            // Bytes, not characters: paths need not be UTF-8.
            let (c, length) = first_char(rest);
            rest = rest.get(length..).unwrap_or_default();
            states.turn += 1;
            for index in 0..states.now.len() {
                let state = states.now.get(index).copied().unwrap_or_default();
                self.step(state, c, &mut states);
            }
            states.now.clear();
            std::mem::swap(&mut states.now, &mut states.next);
        }
        states
    }

    /// Activates `state` and every state reachable from it without consuming a character.
    fn enter(&self, mut state: usize, states: &mut StateSet) {
        while states.add(state) {
            match self.tokens.get(state) {
                Some(PatternToken::Star | PatternToken::Rest) => state += 1,
                Some(PatternToken::Dirs) => {
                    states.add(state + 1);
                    state += 2;
                }
                _ => return,
            }
        }
    }

    fn step(&self, state: usize, c: char, states: &mut StateSet) {
        match self.tokens.get(state) {
            None | Some(PatternToken::Dirs) => {}
            // `*` stays within a path component.
            Some(PatternToken::Star) if c == '/' => {}
            Some(PatternToken::Star | PatternToken::Rest) => self.enter(state, states),
            Some(PatternToken::Inside) => {
                states.add(state);
                if c == '/' {
                    self.enter(state + 1, states);
                }
            }
            Some(token) if token.takes(c) => self.enter(state + 1, states),
            Some(_) => {}
        }
    }
}

/// The active states of the automaton: indices into the token list, its length being the accepting state.
struct StateSet {
    now: Vec<usize>,
    next: Vec<usize>,
    /// For each state, the step in which it was last activated.
    marks: Vec<usize>,
    turn: usize,
}

impl StateSet {
    /// Returns whether the state was not active yet in this step.
    fn add(&mut self, state: usize) -> bool {
        match self.marks.get_mut(state) {
            Some(mark) if *mark != self.turn => {
                *mark = self.turn;
                self.next.push(state);
                true
            }
            _ => false,
        }
    }
}

/// The first character and its length; an invalid byte counts as one replacement character, as in Go.
fn first_char(bytes: &[u8]) -> (char, usize) {
    let first = bytes.first().copied().unwrap_or_default();
    if first.is_ascii() {
        return (char::from(first), 1);
    }
    let character = (2..=4).find_map(|length| std::str::from_utf8(bytes.get(..length)?).ok());
    character
        .and_then(|text| text.chars().next())
        .map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}

struct PatternParser<'a> {
    rest: &'a str,
    dialect: PatternDialect,
    tokens: Vec<PatternToken>,
}

impl PatternParser<'_> {
    fn parse(mut self) -> Result<Vec<PatternToken>, BadPattern> {
        let mut at_start = true;
        while let Some(c) = self.take() {
            match c {
                '*' => self.star(at_start),
                '?' => self.tokens.push(PatternToken::One),
                '[' => self.class()?,
                '\\' => {
                    let escaped = self.take().ok_or(BadPattern)?;
                    self.tokens.push(PatternToken::Char(escaped));
                }
                other => self.tokens.push(PatternToken::Char(other)),
            }
            at_start = c == '/';
        }
        Ok(self.tokens)
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    /// Parses what follows a `*` that was consumed.
    fn star(&mut self, at_start: bool) {
        let Some(rest) = self.rest.strip_prefix('*') else { return self.tokens.push(PatternToken::Star) };
        let first = self.tokens.is_empty();
        match self.dialect {
            PatternDialect::Ignore => {
                self.rest = rest.strip_prefix('/').unwrap_or(rest);
                // moby treats `**name` as a plain suffix match only if no other wildcard follows.
                let plain_end = !self.rest.contains(['*', '?', '[', ']', '\\']);
                let glued = first && !rest.starts_with('/') && plain_end;
                if self.rest.is_empty() || glued {
                    self.tokens.push(PatternToken::Rest);
                } else {
                    self.tokens.extend([PatternToken::Dirs, PatternToken::Inside]);
                }
            }
            // The second star is parsed by itself.
            PatternDialect::Name => self.tokens.push(PatternToken::Star),
            PatternDialect::Path => match rest.strip_prefix('/') {
                Some(below) if at_start => {
                    self.rest = below;
                    self.tokens.extend([PatternToken::Dirs, PatternToken::Inside]);
                }
                None if at_start && rest.is_empty() => {
                    self.rest = rest;
                    self.tokens.push(PatternToken::Rest);
                }
                _ => self.tokens.push(PatternToken::Star),
            },
        }
    }

    /// Parses a class after its opening bracket.
    fn class(&mut self) -> Result<(), BadPattern> {
        let negated = self.rest.starts_with('^');
        if negated {
            self.take();
        }
        let mut ranges = Vec::new();
        loop {
            if !ranges.is_empty() && self.rest.starts_with(']') {
                self.take();
                self.tokens.push(PatternToken::Class { negated, ranges });
                return Ok(());
            }
            let low = self.member()?;
            let mut high = low;
            if self.rest.starts_with('-') {
                self.take();
                high = self.member()?;
            }
            ranges.push((low, high));
        }
    }

    fn member(&mut self) -> Result<char, BadPattern> {
        match self.take() {
            // As in Go's `filepath.Match`, these have to be escaped in a class.
            None | Some('-' | ']') => Err(BadPattern),
            Some('\\') => self.take().ok_or(BadPattern),
            Some(other) => Ok(other),
        }
    }
}

/// Whether a `COPY` source contains an unescaped wildcard.
pub(crate) fn has_wildcard(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// Go's `filepath.Clean`: resolves `.` and `..` lexically and collapses slashes; `.` where nothing is left.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            // An absolute path, a double slash or a trailing one gives an empty part.
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// `path`, relative to the absolute directory `dir`, as a clean absolute path.
pub(crate) fn clean_join(dir: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("/{dir}/{path}")) }
}

#[derive(Clone, Debug)]
struct PatternRule {
    pattern: PathPattern,
    /// Starts with `!`: re-includes what earlier patterns matched.
    exception: bool,
}

/// The match state of a directory, which its children inherit: which patterns match it or one of its parents
/// (moby's `MatchInfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchInfo {
    lines: Vec<bool>,
    /// Whether the list as a whole matches.
    pub all: bool,
}

/// A list of patterns; the last one that matches a path decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct PatternMatcher {
    lines: Vec<PatternRule>,
}

impl PatternMatcher {
    /// Empty patterns are skipped. Fails with the malformed pattern.
    pub(crate) fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, String> {
        let mut lines = Vec::new();
        for written in patterns {
            let written = written.as_ref().trim();
            if written.is_empty() {
                continue;
            }
            let cleaned = clean(written);
            let (exception, text) = match cleaned.strip_prefix('!') {
                Some("") => return Err(written.to_owned()),
                Some(rest) => (true, rest),
                None => (false, &cleaned[..]),
            };
            let pattern = PathPattern::new(text, PatternDialect::Ignore).map_err(|_| written.to_owned())?;
            lines.push(PatternRule { pattern, exception });
        }
        Ok(Self { lines })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether some pattern starts with `!`.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.lines.iter().any(|line| line.exception)
    }

    /// Whether `path`, relative and clean, or one of its parents matches.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        let mut matched = false;
        for line in self.lines.iter().filter(|_| !path.is_empty()) {
            // Only a pattern that would change the outcome has to be tried.
            if line.exception == matched && with_parents(path).any(|path| line.pattern.matches(path)) {
                matched = !line.exception;
            }
        }
        matched
    }

    /// Like [`PatternMatcher::matches`] for one entry of a directory whose match state is known.
    pub(crate) fn match_child(&self, path: &[u8], parent: &MatchInfo) -> MatchInfo {
        let mut all = false;
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.iter().enumerate() {
            // A pattern that matches a directory matches everything below it.
            let inherited = parent.lines.get(index).copied().unwrap_or(false);
            let matches = inherited || (line.exception == all && line.pattern.matches(path));
            if matches {
                all = !line.exception;
            }
            lines.push(matches);
        }
        MatchInfo { lines, all }
    }

    /// Whether an exception may re-include something below `dir`, which itself matches.
    pub(crate) fn has_exception_below(&self, dir: &[u8]) -> bool {
        let start = [dir, b"/"].concat();
        self.lines.iter().any(|line| line.exception && line.pattern.may_match_below(&start))
    }
}

/// The path itself, then its parents from the top down.
fn with_parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parents =
        path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0).map(|(at, _)| &path[..at]);
    std::iter::once(path).chain(parents)
}

#[cfg(test)]
mod tests;
