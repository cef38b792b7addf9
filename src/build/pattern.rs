//! Patterns of paths: Go's `filepath.Match` with `**`, and the lists of patterns that `.dockerignore` and `--exclude`
//! hold, matched as `moby/patternmatcher` does.
//!
//! A pattern becomes a short list of tokens that is run over a path as an automaton, so no pattern takes more than the
//! product of both lengths, and it can be told whether a directory may have anything below it that matches.

use std::fmt;

/// A pattern that is malformed: an open bracket, a backslash at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern;

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("syntax error in pattern")
    }
}

impl std::error::Error for BadPattern {}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This character.
    Char(char),
    /// Any character but a slash.
    One,
    /// Any number of characters but slashes.
    Star,
    /// Nothing, or anything that ends in a slash; always followed by `Inside`.
    Dirs,
    /// The way to that slash.
    Inside,
    /// Anything at all.
    Rest,
    /// One of these characters, or none of them.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    /// Whether it takes `c` as its one character.
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::One => c != '/',
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
            Self::Star | Self::Dirs | Self::Inside | Self::Rest => false,
        }
    }
}

/// How `**` is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// As a whole component it stands for any number of directories; elsewhere it is `*`.
    Path,
    /// As `.dockerignore` has it, anywhere.
    Ignore,
}

/// A pattern ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    /// What every match begins and ends with: most paths are told by that alone.
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Pattern {
    /// A pattern as `COPY` has it, of the whole path.
    pub fn of_path(text: &str) -> Result<Self, BadPattern> {
        Self::new(text, Dialect::Path)
    }

    fn new(text: &str, dialect: Dialect) -> Result<Self, BadPattern> {
        let tokens = Parser { rest: text, dialect, tokens: Vec::new() }.parse()?;
        let character = |token: &Token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        };
        let start: String = tokens.iter().map_while(character).collect();
        let end: Vec<char> = tokens.iter().rev().map_while(character).collect();
        let end: String = end.into_iter().rev().collect();
        Ok(Self { tokens, start: start.into_bytes(), end: end.into_bytes() })
    }

    /// Whether it matches the whole of `path`.
    pub fn matches(&self, path: &[u8]) -> bool {
        path.starts_with(&self.start)
            && path.ends_with(&self.end)
            && self.run(path).now.contains(&self.tokens.len())
    }

    /// Whether something that begins with `start` may match.
    pub fn may_match_from(&self, start: &[u8]) -> bool {
        !self.run(start).now.is_empty()
    }

    /// Follows `path` to its end, or to where nothing can match any more.
    fn run(&self, path: &[u8]) -> Places {
        let mut places =
            Places { now: Vec::new(), next: Vec::new(), marks: vec![0; self.tokens.len() + 1], turn: 1 };
        self.enter(0, &mut places);
        std::mem::swap(&mut places.now, &mut places.next);
        let mut rest = path;
        while !rest.is_empty() && !places.now.is_empty() {
            let (c, length) = first_char(rest);
            rest = rest.get(length..).unwrap_or_default();
            places.turn += 1;
            for index in 0..places.now.len() {
                let place = places.now.get(index).copied().unwrap_or_default();
                self.step(place, c, &mut places);
            }
            places.now.clear();
            std::mem::swap(&mut places.now, &mut places.next);
        }
        places
    }

    /// Goes to `place` and to those that are reached from it without a character.
    fn enter(&self, mut place: usize, places: &mut Places) {
        while places.add(place) {
            match self.tokens.get(place) {
                Some(Token::Star | Token::Rest) => place += 1,
                Some(Token::Dirs) => {
                    places.add(place + 1);
                    place += 2;
                }
                _ => return,
            }
        }
    }

    fn step(&self, place: usize, c: char, places: &mut Places) {
        match self.tokens.get(place) {
            None | Some(Token::Dirs) => {}
            Some(Token::Star) if c == '/' => {}
            Some(Token::Star | Token::Rest) => self.enter(place, places),
            Some(Token::Inside) => {
                places.add(place);
                if c == '/' {
                    self.enter(place + 1, places);
                }
            }
            Some(token) if token.takes(c) => self.enter(place + 1, places),
            Some(_) => {}
        }
    }
}

/// Where in a list of tokens a match may be; the list's length is its end.
struct Places {
    now: Vec<usize>,
    next: Vec<usize>,
    /// The turn in which each place was last gone to.
    marks: Vec<usize>,
    turn: usize,
}

impl Places {
    /// Whether it is new in this turn.
    fn add(&mut self, place: usize) -> bool {
        match self.marks.get_mut(place) {
            Some(mark) if *mark != self.turn => {
                *mark = self.turn;
                self.next.push(place);
                true
            }
            _ => false,
        }
    }
}

/// The first character and its length; a byte that is none counts as one, as in Go.
fn first_char(bytes: &[u8]) -> (char, usize) {
    let first = bytes.first().copied().unwrap_or_default();
    if first.is_ascii() {
        return (char::from(first), 1);
    }
    let whole = (2..=4).find_map(|length| std::str::from_utf8(bytes.get(..length)?).ok());
    whole.and_then(|text| text.chars().next()).map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}

struct Parser<'a> {
    rest: &'a str,
    dialect: Dialect,
    tokens: Vec<Token>,
}

impl Parser<'_> {
    fn parse(mut self) -> Result<Vec<Token>, BadPattern> {
        let mut at_start = true;
        while let Some(c) = self.take() {
            match c {
                '*' => self.star(at_start),
                '?' => self.tokens.push(Token::One),
                '[' => self.class()?,
                '\\' => {
                    let escaped = self.take().ok_or(BadPattern)?;
                    self.tokens.push(Token::Char(escaped));
                }
                other => self.tokens.push(Token::Char(other)),
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

    /// What begins with a star that has been taken.
    fn star(&mut self, at_start: bool) {
        let Some(rest) = self.rest.strip_prefix('*') else { return self.tokens.push(Token::Star) };
        let first = self.tokens.is_empty();
        match self.dialect {
            Dialect::Ignore => {
                self.rest = rest.strip_prefix('/').unwrap_or(rest);
                // `**name` is a mere end of the name only where nothing else follows that has a meaning of its own.
                let plain_end = !self.rest.contains(['*', '?', '[', ']', '\\']);
                let glued = first && !rest.starts_with('/') && plain_end;
                if self.rest.is_empty() || glued {
                    self.tokens.push(Token::Rest);
                } else {
                    self.tokens.extend([Token::Dirs, Token::Inside]);
                }
            }
            Dialect::Path => match rest.strip_prefix('/') {
                Some(below) if at_start => {
                    self.rest = below;
                    self.tokens.extend([Token::Dirs, Token::Inside]);
                }
                None if at_start && rest.is_empty() => {
                    self.rest = rest;
                    self.tokens.push(Token::Rest);
                }
                _ => self.tokens.push(Token::Star),
            },
        }
    }

    /// A class whose bracket has been taken.
    fn class(&mut self) -> Result<(), BadPattern> {
        let negated = self.rest.starts_with('^');
        if negated {
            self.take();
        }
        let mut ranges = Vec::new();
        loop {
            if !ranges.is_empty() && self.rest.starts_with(']') {
                self.take();
                self.tokens.push(Token::Class { negated, ranges });
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
            None | Some('-' | ']') => Err(BadPattern),
            Some('\\') => self.take().ok_or(BadPattern),
            Some(other) => Ok(other),
        }
    }
}

/// Whether a path as `COPY` has it holds a wildcard; a backslash takes the meaning from what follows it.
pub fn has_wildcard(text: &str) -> bool {
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

/// A path without `.`, `..` (as far as there is something to go up from) and needless slashes, as Go's `filepath.Clean`
/// makes it; `.` where nothing is left.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
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

/// One line of a list.
#[derive(Clone, Debug)]
struct Line {
    pattern: Pattern,
    /// It takes back what lines before it said.
    exception: bool,
}

/// What is known of a directory from its own match: which lines match it or a directory above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    lines: Vec<bool>,
    /// Whether the list as a whole matches.
    pub all: bool,
}

/// A list of patterns, the later ones taking precedence; one with `!` in front is an exception.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    lines: Vec<Line>,
}

impl Matcher {
    /// Reads the patterns; empty ones are passed over. Returns the malformed one.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, String> {
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
            let pattern = Pattern::new(text, Dialect::Ignore).map_err(|_| written.to_owned())?;
            lines.push(Line { pattern, exception });
        }
        Ok(Self { lines })
    }

    /// Whether it has no patterns.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether some pattern takes back what others say.
    pub fn has_exceptions(&self) -> bool {
        self.lines.iter().any(|line| line.exception)
    }

    /// Whether `path`, relative and clean, or a directory above it matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut matched = false;
        for line in self.lines.iter().filter(|_| !path.is_empty()) {
            if line.exception == matched && with_parents(path).any(|path| line.pattern.matches(path)) {
                matched = !line.exception;
            }
        }
        matched
    }

    /// As [`Matcher::matches`] for a path of which it is known what matches the directory that it lies in.
    pub fn matches_below(&self, path: &[u8], parent: &Matched) -> Matched {
        let mut all = false;
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.iter().enumerate() {
            let inherited = parent.lines.get(index).copied().unwrap_or(false);
            let matches = inherited || (line.exception == all && line.pattern.matches(path));
            if matches {
                all = !line.exception;
            }
            lines.push(matches);
        }
        Matched { lines, all }
    }

    /// Whether an exception may take something below `dir`, which itself matches, out of the match.
    pub fn may_except_below(&self, dir: &[u8]) -> bool {
        let start = [dir, b"/"].concat();
        self.lines.iter().any(|line| line.exception && line.pattern.may_match_from(&start))
    }
}

/// The path itself, then each directory that it lies in.
fn with_parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parents =
        path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0).map(|(at, _)| &path[..at]);
    std::iter::once(path).chain(parents)
}

#[cfg(test)]
mod tests;
