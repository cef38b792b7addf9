//! How a step is displayed.

use super::here_doc;
use crate::ast::{CommandLine, Instruction, Statement};

/// The first line of a here-document, with `...` if there are more.
pub(crate) fn here_doc_summary(content: &str) -> String {
    let content = content.trim();
    match content.split_once('\n') {
        Some((first, _)) => format!("{}...", first.trim_end_matches('\r')),
        None => content.to_owned(),
    }
}

impl Statement {
    /// The label of the step: keyword in upper case, variables unexpanded, and the first line of the script
    /// for `RUN <<EOF`.
    pub(crate) fn display_text(&self) -> String {
        let text = self.text.trim();
        let rest = text.get(self.keyword.len()..).unwrap_or_default();
        let mut shown = format!("{}{rest}", self.keyword.to_ascii_uppercase());
        if let Instruction::Run(run) = &self.instruction
            && let CommandLine::Shell { line, here_docs } = &run.command
            && let Some(first) = here_docs.first()
            && here_doc::is_whole(line)
        {
            shown.push_str(&format!(" ({})", here_doc_summary(&first.content)));
        }
        shown
    }
}
