//! `buildx version`: show the version of buildx that dhow follows.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::output;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<BuildxVersionArgs>(
    &["buildx version"],
    "",
    "Show which version of buildx the commands are like",
);

/// The version of buildx whose flags and files are understood; scripts compare it with what they need.
const BUILDX_VERSION: &str = "v0.23.0";

/// Arguments of `buildx version`.
#[derive(Args)]
struct BuildxVersionArgs {}

impl CommandArgs for BuildxVersionArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let own = env!("CARGO_PKG_VERSION");
        output::print_line(&format!("github.com/docker/buildx {BUILDX_VERSION} (as dhow {own} has it)"))?;
        Ok(0)
    }
}
