//! The flags shared by all `prune` commands.

use clap::Args;

use crate::frame::prompt;
use dhow_model::filter::ListFilter;

/// What to remove, and whether to ask first.
#[derive(Args)]
pub(crate) struct PruneFlags {
    /// Only those that match: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Vec<ListFilter>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl PruneFlags {
    /// Whether to go on: with `--force`, or if the user confirms `warning`.
    pub(crate) fn confirmed(&self, warning: &str) -> anyhow::Result<bool> {
        Ok(self.force || prompt::confirm(warning)?)
    }
}
