//! `manifest annotate`: change the platform of an image in a list.

use clap::Args;

use super::parse_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::manifest::annotate::{PlatformAnnotation, annotate};
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ManifestAnnotateArgs>(
    &["manifest annotate"],
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    "Say otherwise what an image of a list is for",
);

/// Arguments of `manifest annotate`.
#[derive(Args)]
struct ManifestAnnotateArgs {
    /// The architecture
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// The operating system
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// What the operating system must have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// The operating system's version
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// The architecture's variant
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// The list's name
    #[arg(required = true, value_name = "MANIFEST_LIST")]
    list: String,
    /// The image, as it was called when it was added
    #[arg(required = true, value_name = "MANIFEST")]
    manifest: String,
}

impl CommandArgs for ManifestAnnotateArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let annotation = PlatformAnnotation {
            architecture: self.arch,
            os: self.os,
            variant: self.variant,
            os_version: self.os_version,
            os_features: self.os_features,
        };
        let store = Store::open(environment::data_root()?)?;
        annotate(&store, &parse_name(&self.list)?, &parse_name(&self.manifest)?, &annotation)?;
        Ok(0)
    }
}
