//! `diff`: list changes in a container's file system.

use std::io::Write as _;

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::container::diff::diff;
use dhow_image::changes::ChangeKind;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerDiffArgs>(
    &["container diff", "diff"],
    "CONTAINER",
    "List the files and directories that a container added (A), changed (C) or deleted (D)",
);

/// Arguments of `diff`.
#[derive(Args)]
struct ContainerDiffArgs {
    /// Name or ID
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

impl CommandArgs for ContainerDiffArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        // First, because entering the namespace costs more than finding that there is no such container.
        store.find_container(&self.container)?;
        userns::enter_as_root(&environment::all())?;
        let mut text = Vec::new();
        for change in diff(&store, &self.container)? {
            let letter = match change.kind {
                ChangeKind::Added => 'A',
                ChangeKind::Changed => 'C',
                ChangeKind::Deleted => 'D',
            };
            // File names may hold control characters, which must not reach a terminal.
            let path = match output::stdout_is_terminal() {
                true => String::from_utf8_lossy(&change.path).escape_debug().to_string().into_bytes(),
                false => change.path,
            };
            text.extend_from_slice(format!("{letter} /").as_bytes());
            text.extend_from_slice(&path);
            text.push(b'\n');
        }
        let mut out = output::stdout();
        out.write_all(&text)?;
        out.flush()?;
        Ok(0)
    }
}
