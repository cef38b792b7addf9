//! `exec`: run a command in a running container.

use clap::Args;

use crate::flags::process;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult, process_exit_code};
use crate::frame::usage::UsageError;
use crate::frame::{docker_config, environment, tty};
use dhow_engine::container::exec::exec;
use dhow_model::detach_keys::DetachKeys;
use dhow_model::exec_request::ExecRequest;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerExecArgs>(
    &["container exec", "exec"],
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Run a command in a running container",
);

/// Arguments of `exec`.
#[derive(Args)]
struct ContainerExecArgs {
    /// Let the command go on alone
    #[arg(short, long)]
    detach: bool,
    /// Keys that detach the terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    /// Environment variable, NAME=VALUE, or NAME to pass it on
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// File with an environment variable on each line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Keep the standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give the command all capabilities and no system call filter
    #[arg(long)]
    privileged: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// User and optionally group, USER[:GROUP], by name or number
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Directory to start in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The container, then the command and its arguments
    #[arg(trailing_var_arg = true, value_name = "CONTAINER COMMAND [ARG]")]
    words: Vec<String>,
}

impl CommandArgs for ContainerExecArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let mut words = self.words.into_iter();
        let (Some(container), args) = (words.next(), words.collect::<Vec<_>>()) else {
            return Err(too_few(context).into());
        };
        if args.is_empty() {
            return Err(too_few(context).into());
        }
        // Otherwise nothing that is typed reaches the terminal of the process.
        tty::check_tty(self.tty && self.interactive && !self.detach)?;
        let request = ExecRequest {
            container,
            args,
            env: process::resolve_env(&self.env, &self.env_file)?,
            user: self.user.filter(|user| !user.is_empty()),
            workdir: self.workdir.filter(|dir| !dir.is_empty()),
            privileged: self.privileged,
            tty: self.tty,
            interactive: self.interactive,
            detach: self.detach,
            // Nothing is attached with -d, so there is nothing that keys could detach.
            detach_keys: docker_config::detach_keys(self.detach_keys, self.tty && !self.detach, context)?,
        };
        let store = Store::open(environment::data_root()?)?;
        let code = exec(&store, request, &environment::all())?;
        Ok(process_exit_code(code))
    }
}

fn too_few(context: &CommandContext) -> UsageError {
    UsageError::new(format!(
        "'{}' requires at least 2 arguments: the container and the command",
        context.command_line()
    ))
}
