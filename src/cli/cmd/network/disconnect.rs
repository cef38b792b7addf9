//! `network disconnect`: disconnect a container from a network.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::engine::networks::connect::disconnect;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Disconnect>(
    &["network disconnect"],
    "[OPTIONS] NETWORK CONTAINER",
    "Take a container off a network, whether it runs or not",
);

/// Arguments of `network disconnect`.
#[derive(Args)]
pub(crate) struct Disconnect {
    /// Even if the container does not answer
    #[arg(short, long)]
    force: bool,
    /// Name or ID of the network
    #[arg(required = true, value_name = "NETWORK")]
    network: String,
    /// Name or ID of the container
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

impl Verb for Disconnect {
    fn run(self, _context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        disconnect(&store, &self.network, &self.container, self.force)?;
        Ok(0)
    }
}
