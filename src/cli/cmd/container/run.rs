//! `run`: create a container from an image and run a command in it.

use clap::Args;

use crate::cmd::container::ui::CommandUi;
use crate::flags::ContainerFlags;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult, process_exit_code};
use crate::frame::{docker_config, environment, tty};
use crate::output;
use dhow_engine::container::run::RunResult;
use dhow_error::invalid;
use dhow_model::detach_keys::DetachKeys;
use dhow_model::run_request::RunRequest;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerRunArgs>(
    &["container run", "run"],
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container from an image and run a command in it",
);

/// Arguments of `run`.
#[derive(Args)]
struct ContainerRunArgs {
    #[command(flatten)]
    container: ContainerFlags,
    /// Leave it running in the background and print its ID
    #[arg(short, long)]
    detach: bool,
    /// Keys that detach the terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    /// Pass signals on to the process
    #[arg(long, default_value = "true")]
    sig_proxy: bool,
}

impl CommandArgs for ContainerRunArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let mut request = self.container.into_request(context)?;
        if self.detach && !request.spec.process.attach.is_empty() {
            return Err(invalid("Conflicting options: -a and -d").into());
        }
        let process = &mut request.spec.process;
        // Standard input is attached unless -a names only other streams.
        let attached =
            process.interactive && (process.attach.is_empty() || process.attach.iter().any(|s| s == "stdin"));
        tty::check_tty(process.tty && attached && !self.detach)?;
        // The standard input of a detached container stays open for those who attach later.
        process.stdin_once = process.interactive && !self.detach;
        let detach_keys = docker_config::detach_keys(self.detach_keys, process.tty && !self.detach, context)?;
        let request = RunRequest { sig_proxy: self.sig_proxy, detach: self.detach, detach_keys, ..request };
        let store = Store::open(environment::data_root()?)?;
        let mut ui = CommandUi::new(context, &request);
        match dhow_engine::container::run::run(&store, request, &mut ui)? {
            RunResult::Attached(code) => Ok(process_exit_code(code)),
            RunResult::Detached(id) => {
                output::print_line(&id)?;
                Ok(0)
            }
        }
    }
}
