//! `logout`: remove the stored credential of a registry.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::registry::{self, logout};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<LogoutArgs>(
    &["logout"],
    "[SERVER]",
    "Log out from a registry, Docker Hub by default",
);

/// Arguments of `logout`.
#[derive(Args)]
struct LogoutArgs {
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl CommandArgs for LogoutArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let registry = registry::registry_name(self.server.as_deref())?;
        let shown = registry::display_name(&registry);
        let line = match logout::erase_credential(&environment::with_flags(context), &registry)? {
            true => format!("Removing login credentials for {shown}"),
            false => format!("Not logged in to {shown}"),
        };
        output::print_line(&line)?;
        Ok(0)
    }
}
