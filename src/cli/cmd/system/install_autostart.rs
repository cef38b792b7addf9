//! `system install-autostart`: have containers start again after a reboot.

use anyhow::Context as _;
use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output};
use crate::engine::autostart::{Setup, install, undo};

pub(crate) const ENTRY: Entry = Entry::new::<InstallAutostart>(
    &["system install-autostart"],
    "[OPTIONS]",
    "Have containers with a restart policy come back after a reboot",
);

/// Arguments of `system install-autostart`.
#[derive(Args)]
pub(crate) struct InstallAutostart {
    /// Take it back
    #[arg(long)]
    undo: bool,
}

impl Verb for InstallAutostart {
    fn run(self, _context: &Context) -> Outcome {
        let setup = setup()?;
        let said = if self.undo { undo(&setup)? } else { install(&setup)? };
        for line in said {
            output::print_line(&line)?;
        }
        Ok(0)
    }
}

fn setup() -> anyhow::Result<Setup> {
    let home = environment::home()?;
    let root = environment::data_root()?;
    Ok(Setup {
        program: std::env::current_exe().context("cannot tell where dhow itself is")?,
        config: environment::config_home()?,
        // A unit without the variable finds the default by itself.
        root: (root != home.join(".local/share/dhow")).then_some(root),
        user: environment::all().text("USER").unwrap_or_default().to_owned(),
    })
}
