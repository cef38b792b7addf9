//! Here-documents: which words of a line begin one, and the lines that belong to it.

use super::ast::HereDoc;
use crate::build::expand::Lexer;
use crate::error::Failure;

/// A here-document that is being read.
#[derive(Clone, Debug)]
pub(super) struct Open {
    doc: HereDoc,
    /// `<<-`: tabs at the beginning of lines are removed.
    tabs: bool,
    finished: bool,
}

impl Open {
    /// Takes the next line, with its end. Says whether it was the last one.
    pub(super) fn takes(&mut self, line: &str) -> bool {
        let end = line.trim_end_matches(['\r', '\n']);
        let kept =
            |text: &str| if self.tabs { text.trim_start_matches('\t').to_owned() } else { text.to_owned() };
        if kept(end) == self.doc.name {
            self.finished = true;
        } else {
            self.doc.content.push_str(&kept(line));
        }
        self.finished
    }

    /// Whether the line that ends it was met.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    /// What was read.
    pub(super) fn close(self) -> HereDoc {
        self.doc
    }
}

/// The here-documents that `line` begins, in order.
pub(super) fn in_line(line: &str) -> Result<Vec<Open>, Failure> {
    let lexer = Lexer { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Lexer::new('\\') };
    // A line that is no list of words, with an apostrophe in it for example, has none.
    let Ok(read) = lexer.expand(line, &()) else { return Ok(Vec::new()) };
    let mut docs = Vec::new();
    for word in &read.words {
        docs.extend(in_word(word)?);
    }
    Ok(docs)
}

/// Whether `word` begins a here-document and says nothing else, as in `RUN <<EOF`.
pub fn is_whole(word: &str) -> bool {
    matches!(in_word(word), Ok(Some(_)))
}

/// The name that `word` gives to a here-document, if it is one.
pub(super) fn name(word: &str) -> Option<String> {
    in_word(word).ok().flatten().map(|open| open.doc.name)
}

/// Reads `3<<-'NAME'`.
fn in_word(word: &str) -> Result<Option<Open>, Failure> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (descriptor, rest) = word.split_at(digits);
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (tabs, name) = match rest.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, rest),
    };
    if name.is_empty() || name.contains('<') {
        return Ok(None);
    }
    let lexer = Lexer { keep_unset: true, ..Lexer::new('\\') };
    let plain = lexer.expand(name, &())?.words;
    let raw = Lexer { raw_quotes: true, ..lexer }.expand(name, &())?.words;
    let ([plain], [raw]) = (plain.as_slice(), raw.as_slice()) else { return Ok(None) };
    // A name with a part of it in quotes asks for the text as it is.
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let doc = HereDoc {
        name: plain.clone(),
        content: String::new(),
        expand: quotes(plain) == quotes(raw),
        descriptor: descriptor.parse().unwrap_or(0),
    };
    Ok(Some(Open { doc, tabs, finished: false }))
}
