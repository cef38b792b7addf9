//! `system install-autostart`: have containers start again after a reboot.

use anyhow::Context as _;
use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::system::install_autostart::{AutostartConfig, install, uninstall};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<SystemInstallAutostartArgs>(
    &["system install-autostart"],
    "[OPTIONS]",
    "Have containers with a restart policy come back after a reboot",
);

/// Arguments of `system install-autostart`.
#[derive(Args)]
struct SystemInstallAutostartArgs {
    /// Take it back
    #[arg(long)]
    undo: bool,
}

impl CommandArgs for SystemInstallAutostartArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let config = autostart_config()?;
        let lines = if self.undo { uninstall(&config)? } else { install(&config)? };
        for line in lines {
            output::print_line(&line)?;
        }
        Ok(0)
    }
}

fn autostart_config() -> anyhow::Result<AutostartConfig> {
    let home = environment::home()?;
    let root = environment::data_root()?;
    Ok(AutostartConfig {
        program: std::env::current_exe().context("cannot tell where dhow itself is")?,
        config: environment::config_home()?,
        // A unit without the variable finds the default by itself.
        root: (root != home.join(".local/share/dhow")).then_some(root),
        user: environment::all().text("USER").unwrap_or_default().to_owned(),
    })
}
