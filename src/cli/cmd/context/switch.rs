//! `context use`: select a context in docker's configuration.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{contexts, engine_choice, environment};
use crate::output;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<ContextUseArgs>(&["context use"], "CONTEXT", "Select the context that is used")
        .without_engine();

/// Arguments of `context use`.
#[derive(Args)]
struct ContextUseArgs {
    /// Its name; it must be this engine's, as `default` is
    #[arg(required = true, value_name = "CONTEXT")]
    name: String,
}

impl CommandArgs for ContextUseArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let environment = environment::with_flags(context);
        // Every later command would be refused.
        engine_choice::check_context("context", &self.name, &environment)?;
        contexts::select(&environment, &self.name)?;
        output::print_line(&self.name)?;
        output::eprint_line(&format!("Current context is now \"{}\"", self.name.escape_debug()));
        if environment.text("DOCKER_HOST").is_some() {
            output::eprint_line(
                "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set \
                 the global --context flag, or unset DOCKER_HOST environment variable.",
            );
        }
        Ok(0)
    }
}
