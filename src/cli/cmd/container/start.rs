//! `start`: start containers that are created or stopped.

use std::io::IsTerminal as _;

use clap::Args;

use crate::cmd::for_each::for_each_name;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult, process_exit_code};
use crate::frame::usage::UsageError;
use crate::frame::{docker_config, environment};
use crate::output;
use dhow_engine::container::start::start;
use dhow_error::{invalid, unsupported};
use dhow_model::detach_keys::DetachKeys;
use dhow_runtime::attach::AttachRequest;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerStartArgs>(
    &["container start", "start"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start containers that do not run",
);

/// Arguments of `start`.
#[derive(Args)]
struct ContainerStartArgs {
    /// Attach the output and pass signals on
    #[arg(short, long)]
    attach: bool,
    /// Restore from a checkpoint: not possible
    #[arg(long, value_name = "NAME", hide = true)]
    checkpoint: Option<String>,
    /// Where checkpoints are: not possible
    #[arg(long, value_name = "DIR", hide = true)]
    checkpoint_dir: Option<String>,
    /// Keys that detach the terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    /// Attach the input too
    #[arg(short, long)]
    interactive: bool,
    /// Pass signals on to the process while attached
    #[arg(long, default_value = "true")]
    sig_proxy: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerStartArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        if self.checkpoint.is_some() || self.checkpoint_dir.is_some() {
            return Err(unsupported("checkpoints are not in this version of dhow").into());
        }
        let store = Store::open(environment::data_root()?)?;
        let environment = environment::all();
        if !self.attach && !self.interactive {
            let mut failed = Vec::new();
            let code = for_each_name(context, &self.containers, |name| {
                // Nobody waits for the command, so there is no exit code yet.
                let started = start(&store, name, None, &environment).map(|_| name.to_owned());
                started.inspect_err(|_| failed.push(name))
            })?;
            if context.as_docker() && !failed.is_empty() {
                output::eprint_line(&format!("Error: failed to start containers: {}", failed.join(", ")));
            }
            return Ok(code);
        }
        let [name] = self.containers.as_slice() else {
            return Err(invalid("you cannot start and attach multiple containers at once").into());
        };
        // The terminal was chosen when the container was created.
        let tty = store.find_container(name)?.spec().process.tty;
        if tty && self.interactive && !std::io::stdin().is_terminal() {
            return Err(UsageError::new("the input device is not a TTY").into());
        }
        let attachment = AttachRequest {
            streams: [self.interactive, true, true],
            sig_proxy: self.sig_proxy,
            detach_keys: docker_config::detach_keys(self.detach_keys, tty, context)?,
        };
        let code = start(&store, name, Some(attachment), &environment)?;
        Ok(process_exit_code(code))
    }
}
