//! `system autostart`: start the containers that are to run again after a reboot.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use dhow_engine::system::autostart::start_after_boot;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<SystemAutostartArgs>(
    &["system autostart"],
    "",
    "Start the containers that are to come back after a reboot",
);

/// Arguments of `system autostart`.
#[derive(Args)]
struct SystemAutostartArgs {}

impl CommandArgs for SystemAutostartArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let mut code = 0;
        for started in start_after_boot(&store, &environment::all())? {
            match started.result {
                Ok(()) => output::print_line(&started.name)?,
                Err(error) => {
                    report::print_error(context, &error.context(format!("starting {}", started.name)));
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}
