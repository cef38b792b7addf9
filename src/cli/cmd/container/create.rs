//! `create`: create a container from an image without starting it.

use clap::Args;

use crate::cmd::container::ui::CommandUi;
use crate::flags::ContainerFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::container::create::create;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerCreateArgs>(
    &["container create", "create"],
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container from an image without starting it",
);

/// Arguments of `create`.
#[derive(Args)]
struct ContainerCreateArgs {
    #[command(flatten)]
    container: ContainerFlags,
}

impl CommandArgs for ContainerCreateArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let mut request = self.container.into_request(context)?;
        let process = &mut request.spec.process;
        // docker's StdinOnce: standard input ends with the first client that attached.
        process.stdin_once = process.interactive;
        let store = Store::open(environment::data_root()?)?;
        let mut ui = CommandUi::new(context, &request);
        output::print_line(&create(&store, request, &mut ui)?)?;
        Ok(0)
    }
}
