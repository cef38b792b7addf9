//! `buildx use`: choose the builder that is used when none is named.

use clap::Args;

use super::builders::{DEFAULT_BUILDER, find_builder};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<BuildxUseArgs>(
    &["buildx use"],
    "[OPTIONS] NAME",
    "Use a builder where none is named",
);

/// Arguments of `buildx use`.
#[derive(Args)]
struct BuildxUseArgs {
    /// Use it whatever docker's context is, which is always so
    #[arg(long)]
    default: bool,
    /// Use it whatever docker's context is, which is always so
    #[arg(long)]
    global: bool,
    /// The builder
    #[arg(required = true, value_name = "NAME")]
    name: String,
}

impl CommandArgs for BuildxUseArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        store.edit_builders(|builders| {
            let builder = find_builder(builders, Some(&self.name))?;
            // Without a current builder it is `default`.
            builders.current = Some(builder.name).filter(|name| name != DEFAULT_BUILDER);
            Ok(())
        })?;
        Ok(0)
    }
}
