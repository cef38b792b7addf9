//! `rm`: remove containers.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use dhow_engine::container::rm::{RmOptions, rm};
use dhow_error::{FailureKind, kind_of, unsupported};
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerRmArgs>(
    &["container rm", "rm", "container remove"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove containers",
);

/// Arguments of `rm`.
#[derive(Args)]
struct ContainerRmArgs {
    /// Kill a container that runs
    #[arg(short, long)]
    force: bool,
    /// Remove a link between containers: not in this version
    #[arg(short, long, hide = true)]
    link: bool,
    /// Remove the anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl CommandArgs for ContainerRmArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        if self.link {
            return Err(unsupported("--link is not in this version of dhow").into());
        }
        let store = Store::open(environment::data_root()?)?;
        let identity = userns::probe_identity(&environment::all());
        let options = RmOptions { force: self.force, volumes: self.volumes };
        let mut code = 0;
        for container in &self.containers {
            match rm(&store, container, options, &identity) {
                Ok(()) => output::print_line(container)?,
                Err(error) => {
                    report::print_error(context, &error);
                    // With --force, a container that is gone already is no failure.
                    let gone = self.force && kind_of(&error) == FailureKind::NotFound;
                    code = if gone { code } else { 1 };
                }
            }
        }
        Ok(code)
    }
}
