//! `manifest inspect`: show a list, or the manifest of an image on a registry.

use clap::Args;

use super::parse_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use crate::output::reindent::reindent;
use dhow_engine::manifest::inspect::{ManifestInspection, inspect};
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ManifestInspectArgs>(
    &["manifest inspect"],
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Show a manifest list, or an image's manifest on a registry",
);

/// Arguments of `manifest inspect`.
#[derive(Args)]
struct ManifestInspectArgs {
    /// Talk to the registry without encryption if it must be
    #[arg(long)]
    insecure: bool,
    /// Show layers and platform too
    #[arg(short, long)]
    verbose: bool,
    /// A list that was put together here, then an image of it; or just an image or list
    #[arg(required = true, num_args = 1..=2, value_name = "MANIFEST")]
    names: Vec<String>,
}

impl CommandArgs for ManifestInspectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let names = self.names.iter().map(|text| parse_name(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let (list, manifest) = match names.as_slice() {
            [list, manifest] => (Some(list), manifest),
            [manifest, ..] => (None, manifest),
            // Cannot happen: clap requires a name.
            [] => return Ok(1),
        };
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::with_flags(context);
        let inspection = inspect(&store, &environment, list, manifest, self.verbose, self.insecure)?;
        let text = match inspection {
            ManifestInspection::Verbose(value) => reindent(&value.to_string(), "\t"),
            // docker indents lists and manifests differently.
            ManifestInspection::Text { text, list } => {
                reindent(&String::from_utf8_lossy(&text), if list { "   " } else { "\t" })
            }
        };
        output::print_line(&text)?;
        Ok(0)
    }
}
