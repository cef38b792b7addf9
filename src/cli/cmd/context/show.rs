//! `context show`: print the name of the current context.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::engine_choice::EngineChoice;
use crate::frame::environment;
use crate::output;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<ContextShowArgs>(&["context show"], "", "Print the name of the current context")
        .without_engine();

/// Arguments of `context show`.
#[derive(Args)]
struct ContextShowArgs {}

impl CommandArgs for ContextShowArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let choice = EngineChoice::new(&context.globals, &environment::with_flags(context))?;
        output::print_line(choice.context_name())?;
        Ok(0)
    }
}
