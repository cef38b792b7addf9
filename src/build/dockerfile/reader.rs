//! Reads text into logical lines: directives, comments, continuations and here-documents.

use super::directives::{self, DirectiveParser};
use super::here_doc;
use super::node::{self, InstructionNode};
use dhow_error::{Failure, invalid};

/// BuildKit's limit for a line, in bytes with its end.
const LONGEST: usize = (64 << 10) - 1;

/// The first pass over a file.
#[derive(Debug)]
pub(crate) struct ParsedSource {
    pub nodes: Vec<InstructionNode>,
    pub escape: char,
    /// The last lines of instructions that contain an empty line.
    pub(crate) empty_continuations: Vec<u32>,
}

/// Reads a whole file.
pub(super) fn read_source(text: &[u8]) -> Result<ParsedSource, Failure> {
    read_fragment(text, None)
}

/// Like [`read_source`]; with `escape`, reads a fragment, which has no directives.
pub(crate) fn read_fragment(text: &[u8], escape: Option<char>) -> Result<ParsedSource, Failure> {
    let mut reader = SourceReader {
        lines: PhysicalLines { rest: text, number: 0 },
        head: escape.is_none().then(DirectiveParser::default),
        comments: Vec::new(),
        read: ParsedSource {
            nodes: Vec::new(),
            escape: escape.unwrap_or('\\'),
            empty_continuations: Vec::new(),
        },
    };
    while let Some(line) = reader.lines.next()? {
        reader.line(line)?;
    }
    if reader.read.nodes.is_empty() {
        let last = reader.lines.number.max(1);
        return Err(invalid("file with no instructions").at(last..=last));
    }
    Ok(reader.read)
}

/// Physical lines, with their line ends.
struct PhysicalLines<'a> {
    rest: &'a [u8],
    /// The number of the last line read, from 1.
    number: u32,
}

impl<'a> PhysicalLines<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, Failure> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |end| end + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.number += 1;
        if line.len() > LONGEST {
            let why = format!("dockerfile line greater than max allowed size of {LONGEST}");
            return Err(invalid(why).at(self.number..=self.number));
        }
        // Windows editors start files with a byte order mark.
        let mark = "\u{feff}".as_bytes();
        Ok(Some(if self.number == 1 { line.strip_prefix(mark).unwrap_or(line) } else { line }))
    }
}

/// A line as text; only comments may be invalid UTF-8.
fn text_of(line: &[u8], number: u32) -> Result<&str, Failure> {
    std::str::from_utf8(line).map_err(|_| {
        invalid(format!("line {number} is not valid UTF-8"))
            .hint("store the file in UTF-8")
            .at(number..=number)
    })
}

/// The text of a comment line; `None` for other lines.
fn comment(line: &[u8]) -> Option<String> {
    let text = line.trim_ascii_start().strip_prefix(b"#")?;
    Some(String::from_utf8_lossy(text).trim().to_owned())
}

struct SourceReader<'a> {
    lines: PhysicalLines<'a>,
    /// `None` once directives are no longer possible.
    head: Option<DirectiveParser>,
    /// The comment lines directly above the current line.
    comments: Vec<String>,
    read: ParsedSource,
}

impl SourceReader<'_> {
    /// Handles a line that starts an instruction, or is blank or a comment, with its continuation lines.
    fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let first = self.lines.number;
        if let Some(comment) = comment(line) {
            if !self.directive(line)? {
                // An empty comment separates a description from what stands above it.
                if comment.is_empty() { self.comments.clear() } else { self.comments.push(comment) }
            }
            return Ok(());
        }
        // An instruction ends the directives.
        self.head = None;
        let text = text_of(line, first)?.trim_end_matches(['\r', '\n']).trim_start();
        let (text, goes_on) = continuation(text, self.read.escape);
        if text.is_empty() && !goes_on {
            self.comments.clear();
            return Ok(());
        }
        let mut logical = text;
        if goes_on && self.continued(&mut logical)? {
            self.read.empty_continuations.push(self.lines.number);
        }
        self.instruction(logical, first)
    }

    /// Returns whether a comment line is a directive, and applies it.
    fn directive(&mut self, line: &[u8]) -> Result<bool, Failure> {
        let Some(head) = &mut self.head else { return Ok(false) };
        let number = self.lines.number;
        let line = String::from_utf8_lossy(line);
        let Some(directive) = head.parse_line(line.trim()).map_err(|failure| failure.at(number..=number))?
        else {
            self.head = None;
            return Ok(false);
        };
        if directive.name == "escape" {
            self.read.escape =
                directives::escape(&directive.value).map_err(|failure| failure.at(number..=number))?;
        }
        Ok(true)
    }

    /// Appends the continuation lines to `logical`. Returns whether some were empty.
    fn continued(&mut self, logical: &mut String) -> Result<bool, Failure> {
        let mut empty = false;
        while let Some(line) = self.lines.next()? {
            // Comment lines inside an instruction are dropped without ending it.
            if comment(line).is_some() {
                continue;
            }
            let text = text_of(line, self.lines.number)?.trim_end_matches(['\r', '\n']);
            if text.trim_start().is_empty() {
                empty = true;
                continue;
            }
            let (text, goes_on) = continuation(text, self.read.escape);
            logical.push_str(&text);
            if !goes_on {
                break;
            }
        }
        Ok(empty)
    }

    fn instruction(&mut self, logical: String, first: u32) -> Result<(), Failure> {
        let at = |failure: Failure, last: u32| failure.at(first..=last);
        let last = self.lines.number;
        let mut node = node::split_line(&logical, self.read.escape).map_err(|failure| at(failure, last))?;
        if node.may_have_here_docs() && logical.contains("<<") {
            let mut docs = here_doc::find_in_line(&logical).map_err(|failure| at(failure, last))?;
            for doc in &mut docs {
                while let Some(line) = self.lines.next()? {
                    if doc.push_line(text_of(line, self.lines.number)?) {
                        break;
                    }
                }
                if !doc.finished() {
                    return Err(at(invalid("unterminated heredoc"), self.lines.number));
                }
            }
            node.set_here_docs(docs);
        }
        node.lines = first..=self.lines.number;
        node.comments = std::mem::take(&mut self.comments);
        self.read.nodes.push(node);
        Ok(())
    }
}

/// `line` without the escape character that continues it, and whether there was one: the last non-blank
/// character, itself not escaped.
fn continuation(line: &str, escape: char) -> (String, bool) {
    let Some(before) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
        return (line.to_owned(), false);
    };
    if before.ends_with(escape) { (line.to_owned(), false) } else { (before.to_owned(), true) }
}
