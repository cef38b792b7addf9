//! Here-documents: finding their start in a line, and reading their text.

use std::borrow::Cow;

use crate::ast::HereDoc;
use crate::expand::ShellLexer;
use dhow_error::Failure;

/// A here-document while it is being read.
#[derive(Clone, Debug)]
pub(super) struct OpenHereDoc {
    doc: HereDoc,
    /// `<<-`: strip leading tabs from each line.
    tabs: bool,
    finished: bool,
}

impl OpenHereDoc {
    /// Takes the next line, with its line end. Returns whether it was the end marker.
    pub(super) fn push_line(&mut self, line: &str) -> bool {
        let end = line.trim_end_matches(['\r', '\n']);
        let unindented =
            |text: &str| if self.tabs { text.trim_start_matches('\t').to_owned() } else { text.to_owned() };
        if unindented(end) == self.doc.name {
            self.finished = true;
        } else {
            self.doc.content.push_str(&unindented(line));
        }
        self.finished
    }

    /// Whether the end marker was seen.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    pub(super) fn into_doc(self) -> HereDoc {
        self.doc
    }
}

/// The here-documents that start in `line`, in order.
pub(super) fn find_in_line(line: &str) -> Result<Vec<OpenHereDoc>, Failure> {
    let lexer = ShellLexer { raw_quotes: true, raw_escapes: true, keep_unset: true, ..ShellLexer::new('\\') };
    // A line that does not split into words, with a lone apostrophe for example, has none.
    let line = hide_arithmetic(line);
    let Ok(read) = lexer.expand(&line, &()) else { return Ok(Vec::new()) };
    let mut docs = Vec::new();
    for word in &read.words {
        docs.extend(parse_word(word)?);
    }
    Ok(docs)
}

/// `line` with the shifts of `$((1 << 2))` blanked out: there `<<` is an operator. (BuildKit looks for a line
/// `2))` then, and fails.)
fn hide_arithmetic(line: &str) -> Cow<'_, str> {
    let mut hidden = Cow::Borrowed(line);
    let mut from = 0;
    while let Some(start) = line.get(from..).and_then(|rest| rest.find("((")).map(|at| from + at) {
        let inside = start + "((".len();
        from = inside;
        let Some(length) = line.get(inside..).and_then(arithmetic_length) else { continue };
        from = inside + length;
        let blanked = line.get(inside..from).unwrap_or_default().replace('<', " ");
        hidden.to_mut().replace_range(inside..from, &blanked);
    }
    hidden
}

/// The length of `text` up to the `))` that ends an arithmetic expression; `None` if the parentheses close one by
/// one, as those of subshells do.
fn arithmetic_length(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' if open > 0 => open -= 1,
            b')' => return text.get(at..).filter(|rest| rest.starts_with("))")).map(|_| at),
            _ => {}
        }
    }
    None
}

/// Whether `word` is only the start of a here-document, as in `RUN <<EOF`.
pub(crate) fn is_whole(word: &str) -> bool {
    matches!(parse_word(word), Ok(Some(_)))
}

/// The end marker, if `word` starts a here-document.
pub(super) fn name(word: &str) -> Option<String> {
    parse_word(word).ok().flatten().map(|open| open.doc.name)
}

/// Parses `3<<-'NAME'` and `<< NAME`.
fn parse_word(word: &str) -> Result<Option<OpenHereDoc>, Failure> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (descriptor, rest) = word.split_at(digits);
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (tabs, name) = match rest.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, rest),
    };
    let name = name.trim_start();
    if name.is_empty() || name.contains('<') {
        return Ok(None);
    }
    let lexer = ShellLexer { keep_unset: true, ..ShellLexer::new('\\') };
    let plain = lexer.expand(name, &())?.words;
    // Expanded twice, with and without quotes, to see whether the marker was quoted.
    let raw = ShellLexer { raw_quotes: true, ..lexer }.expand(name, &())?.words;
    let ([plain], [raw]) = (plain.as_slice(), raw.as_slice()) else { return Ok(None) };
    // Quotes around any part of the marker disable expansion, as in sh(1).
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let doc = HereDoc {
        name: plain.clone(),
        content: String::new(),
        expand: quotes(plain) == quotes(raw),
        descriptor: descriptor.parse().unwrap_or(0),
    };
    Ok(Some(OpenHereDoc { doc, tabs, finished: false }))
}
