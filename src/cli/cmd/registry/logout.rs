//! `logout`: remove the stored credential of a registry.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{fetch, output};
use crate::engine::login;

pub(crate) const ENTRY: Entry =
    Entry::new::<Logout>(&["logout"], "[SERVER]", "Log out from a registry, Docker Hub by default");

/// Arguments of `logout`.
#[derive(Args)]
pub(crate) struct Logout {
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Verb for Logout {
    fn run(self, context: &Context) -> Outcome {
        let registry = login::registry(self.server.as_deref())?;
        let shown = login::shown(&registry);
        let line = match login::forget(&fetch::environment_of(context), &registry)? {
            true => format!("Removing login credentials for {shown}"),
            false => format!("Not logged in to {shown}"),
        };
        output::print_line(&line)?;
        Ok(0)
    }
}
