//! `manifest create`: make a list of images on a registry.

use clap::Args;

use super::parse_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::manifest::create::create;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ManifestCreateArgs>(
    &["manifest create"],
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    "Put a list together of images on a registry, to be annotated and pushed",
);

/// Arguments of `manifest create`.
#[derive(Args)]
struct ManifestCreateArgs {
    /// Add to a list that is there
    #[arg(short, long)]
    amend: bool,
    /// Talk to the registry without encryption if it must be
    #[arg(long)]
    insecure: bool,
    /// The list's name
    #[arg(required = true, value_name = "MANIFEST_LIST")]
    list: String,
    /// Names of images on the registry
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<String>,
}

impl CommandArgs for ManifestCreateArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let list = parse_name(&self.list)?;
        let manifests =
            self.manifests.iter().map(|text| parse_name(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::with_flags(context);
        create(&store, &environment, &list, &manifests, self.amend, self.insecure)?;
        output::print_line(&format!("Created manifest list {list}"))?;
        Ok(0)
    }
}
