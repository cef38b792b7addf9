//! What of a `RUN` is handed to whom: its line to the shell, a script with a `#!` line to the kernel.

use super::ast::{Command, Instruction, Statement};
use super::here_doc;

/// A command ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// Text for the stage's shell.
    Shell(String),
    /// A file, mode 0755, that is made available as `/dev/pipes/NAME` and executed.
    File {
        /// Its name.
        name: String,
        /// Its text.
        content: String,
    },
    /// Words that are executed as they are.
    Exec(Vec<String>),
}

impl Command {
    /// What runs. A line that is one here-document and nothing else is its text, which needs no shell that knows
    /// here-documents; others are put together again as a shell reads them.
    pub fn script(&self) -> Script {
        let (line, docs) = match self {
            Self::Exec(words) => return Script::Exec(words.clone()),
            Self::Shell { line, here_docs } => (line, here_docs),
        };
        let Some(first) = docs.first() else { return Script::Shell(line.clone()) };
        if !here_doc::is_whole(line) {
            let texts = docs.iter().map(|doc| format!("\n{}{}", doc.content, doc.name));
            return Script::Shell(format!("{line}{}", texts.collect::<String>()));
        }
        if first.content.starts_with("#!") {
            return Script::File { name: first.name.clone(), content: first.content.clone() };
        }
        Script::Shell(first.content.clone())
    }
}

/// The first line of a here-document, with dots where there are more.
pub fn summary(content: &str) -> String {
    let content = content.trim();
    match content.split_once('\n') {
        Some((first, _)) => format!("{}...", first.trim_end_matches('\r')),
        None => content.to_owned(),
    }
}

impl Statement {
    /// How the step is named where it is shown: the keyword in upper case, variables as written, and what a lone
    /// here-document begins with.
    pub fn shown(&self) -> String {
        let text = self.text.trim();
        let rest = text.get(self.keyword.len()..).unwrap_or_default();
        let mut shown = format!("{}{rest}", self.keyword.to_ascii_uppercase());
        if let Instruction::Run(run) = &self.instruction
            && let Command::Shell { line, here_docs } = &run.command
            && let Some(first) = here_docs.first()
            && here_doc::is_whole(line)
        {
            shown.push_str(&format!(" ({})", summary(&first.content)));
        }
        shown
    }
}
