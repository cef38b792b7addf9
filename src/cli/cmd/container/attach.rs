//! `attach`: attach to a running container.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult, process_exit_code};
use crate::frame::{docker_config, environment};
use dhow_engine::container::attach::attach;
use dhow_model::detach_keys::DetachKeys;
use dhow_runtime::attach::AttachRequest;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerAttachArgs>(
    &["container attach", "attach"],
    "[OPTIONS] CONTAINER",
    "Attach input and output to a container that runs",
);

/// Arguments of `attach`.
#[derive(Args)]
struct ContainerAttachArgs {
    /// Keys that detach the terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    /// Attach the output only
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the process
    #[arg(long, default_value = "true")]
    sig_proxy: bool,
    /// Name or ID
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl CommandArgs for ContainerAttachArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        // Without a terminal there are no keys that could detach.
        let tty = store.find_container(&self.container)?.spec().process.tty;
        let attachment = AttachRequest {
            streams: [!self.no_stdin, true, true],
            sig_proxy: self.sig_proxy,
            detach_keys: docker_config::detach_keys(self.detach_keys, tty, context)?,
        };
        let code = attach(&store, &self.container, attachment)?;
        Ok(process_exit_code(code))
    }
}
