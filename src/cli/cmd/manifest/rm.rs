//! `manifest rm`: remove lists from the store.

use clap::Args;

use super::parse_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use dhow_engine::manifest::rm::remove;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ManifestRmArgs>(
    &["manifest rm"],
    "MANIFEST_LIST [MANIFEST_LIST...]",
    "Forget manifest lists; what was pushed stays on the registry",
);

/// Arguments of `manifest rm`.
#[derive(Args)]
struct ManifestRmArgs {
    /// Names of lists
    #[arg(required = true, value_name = "MANIFEST_LIST")]
    lists: Vec<String>,
}

impl CommandArgs for ManifestRmArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let mut code = 0;
        for list in &self.lists {
            if let Err(error) = parse_name(list).and_then(|list| remove(&store, &list)) {
                report::print_error(context, &error);
                code = 1;
            }
        }
        Ok(code)
    }
}
