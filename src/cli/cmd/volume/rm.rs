//! `volume rm`: remove volumes.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use dhow_engine::volume;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<VolumeRmArgs>(
    &["volume rm", "volume remove"],
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove volumes",
);

/// Arguments of `volume rm`.
#[derive(Args)]
pub(crate) struct VolumeRmArgs {
    /// Do not mind volumes that are not there
    #[arg(short, long)]
    force: bool,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl CommandArgs for VolumeRmArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        // Volumes may hold files of any owner.
        userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let mut code = 0;
        for name in &self.volumes {
            match volume::rm(&store, name, self.force) {
                Ok(()) => output::print_line(name)?,
                Err(error) => {
                    report::print_error(context, &error);
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}
