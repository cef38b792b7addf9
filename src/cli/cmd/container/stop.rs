//! `stop`: stop containers.

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::flags::StopFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use dhow_engine::container::stop::stop;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerStopArgs>(
    &["container stop", "stop"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "End containers that run, by force if they do not react",
);

/// Arguments of `stop`.
#[derive(Args)]
struct ContainerStopArgs {
    #[command(flatten)]
    ending: StopFlags,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerStopArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let signal = self.ending.signal()?;
        let store = Store::open(environment::data_root()?)?;
        for_each_name(context, &self.containers, |name| {
            stop(&store, name, signal, self.ending.timeout).map(|()| name.to_owned())
        })
    }
}
