//! `volume rm`: remove volumes.

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::volume::rm::rm;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<VolumeRmArgs>(
    &["volume rm", "volume remove"],
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove volumes",
);

/// Arguments of `volume rm`.
#[derive(Args)]
struct VolumeRmArgs {
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
        for_each_name(context, &self.volumes, |name| rm(&store, name, self.force).map(|()| name.to_owned()))
    }
}
