//! `volume prune`: remove unused volumes.

use clap::Args;

use crate::cmd::prune_report::{deleted_list, reclaimed_line};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, prompt};
use crate::output;
use dhow_engine::volume::prune::{PrunedVolumes, VolumePruneRequest, prune};
use dhow_model::filter::ListFilter;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<VolumePruneArgs>(
    &["volume prune"],
    "[OPTIONS]",
    "Remove volumes that no container uses",
);

/// Arguments of `volume prune`.
#[derive(Args)]
struct VolumePruneArgs {
    /// Those that somebody named too
    #[arg(short, long)]
    all: bool,
    /// Only those that match: label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<ListFilter>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl CommandArgs for VolumePruneArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let request = VolumePruneRequest::new(self.all, &self.filter)?;
        if !self.force && !prompt::confirm(warning(request.all))? {
            return Ok(0);
        }
        // Volumes may hold files of any owner.
        userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let pruned = prune(&store, &request)?;
        output::print(&(deleted_lines(&pruned) + &reclaimed_line(pruned.reclaimed)))?;
        Ok(0)
    }
}

fn warning(all: bool) -> &'static str {
    match all {
        true => "This will remove all local volumes not used by at least one container.",
        false => "This will remove anonymous local volumes not used by at least one container.",
    }
}

/// The list of removed volumes.
pub(crate) fn deleted_lines(pruned: &PrunedVolumes) -> String {
    deleted_list("Volumes", &pruned.volumes)
}
