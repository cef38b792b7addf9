//! `export`: write a container's file system as a tar archive.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::frame::usage::UsageError;
use crate::output;
use dhow_engine::container::export;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerExportArgs>(
    &["container export", "export"],
    "[OPTIONS] CONTAINER",
    "Write a container's file system, without its volumes, to a tar archive",
);

/// Arguments of `export`.
#[derive(Args)]
struct ContainerExportArgs {
    /// Write this file instead of standard output; it appears when it is complete
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name or ID
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

impl CommandArgs for ContainerExportArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        if self.output.is_none() && output::stdout_is_terminal() {
            return Err(UsageError::new("refusing to write an archive to a terminal")
                .with_hint("name a file with -o, or redirect standard output")
                .into());
        }
        let environment = environment::all();
        let store = Store::open(environment::data_root()?)?;
        let export = export::prepare_export(&store, &self.container, &userns::probe_identity(&environment))?;
        userns::enter_as_root(&environment)?;
        match &self.output {
            Some(path) => export.write_to_file(path)?,
            None => {
                // An archive is written in many small pieces.
                let mut out = BufWriter::with_capacity(256 << 10, output::stdout());
                export.write(&mut out)?;
                out.flush()?;
            }
        }
        Ok(0)
    }
}
