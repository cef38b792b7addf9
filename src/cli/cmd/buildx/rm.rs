//! `buildx rm`: remove builders.

use clap::Args;

use super::builders::{DEFAULT_BUILDER, requested_builder, unknown_builder};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, prompt, report};
use crate::output;
use dhow_error::{Failure, FailureKind};
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<BuildxRmArgs>(&["buildx rm"], "[OPTIONS] [NAME...]", "Forget names of the builder");

/// Arguments of `buildx rm`.
#[derive(Args)]
struct BuildxRmArgs {
    /// All that do not run: none is running for long
    #[arg(long)]
    all_inactive: bool,
    /// Builder, where no argument names one
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Keep a daemon that there is not
    #[arg(long)]
    keep_daemon: bool,
    /// Keep the cache, which is always kept: builders share it
    #[arg(long)]
    keep_state: bool,
    /// The builders
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl CommandArgs for BuildxRmArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        if self.all_inactive {
            return remove_all(&store, self.force);
        }
        let names = match self.names.as_slice() {
            [] => {
                // Without a name, the builder in use.
                let current = store.builders()?.current;
                vec![
                    requested_builder(self.builder.as_deref())
                        .or(current)
                        .unwrap_or_else(|| DEFAULT_BUILDER.into()),
                ]
            }
            names => names.to_vec(),
        };
        let mut code = 0;
        for name in &names {
            match remove(&store, name) {
                Ok(()) => output::print_line(&format!("{name} removed"))?,
                // Clean-up scripts use --force for builders that may not exist.
                Err(_) if self.force && name != DEFAULT_BUILDER => {}
                Err(error) => {
                    report::print_error(context, &error);
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}

fn remove(store: &Store, name: &str) -> anyhow::Result<()> {
    if name == DEFAULT_BUILDER {
        return Err(Failure::new(FailureKind::InUse, "default builder cannot be removed").into());
    }
    store.edit_builders(|builders| {
        builders.named.remove(name).ok_or_else(|| unknown_builder(name))?;
        builders.current = builders.current.take().filter(|current| current != name);
        Ok(())
    })
}

fn remove_all(store: &Store, force: bool) -> CommandResult {
    // Nothing runs between builds, so all of them are inactive.
    if !force && !prompt::confirm("This will remove all builders that are not in running state.")? {
        return Ok(0);
    }
    let removed = store.edit_builders(|builders| {
        builders.current = None;
        Ok(std::mem::take(&mut builders.named))
    })?;
    removed.keys().try_for_each(|name| output::print_line(&format!("{name} removed")))?;
    Ok(0)
}
