//! `port`: which ports of a container are published. This version publishes none.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::environment;
use crate::error::{invalid, not_found};
use crate::model::port;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Port>(
    &["container port", "port"],
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "Show which ports of a container are published",
);

/// Arguments of `port`.
#[derive(Args)]
pub(crate) struct Port {
    /// Name or ID
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    /// Only this port of the container
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    port: Option<String>,
}

impl Verb for Port {
    fn run(self, _context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        store.find_container(&self.container)?;
        let Some(text) = self.port else { return Ok(0) };
        let ports = port::parse(&text)?;
        let [port] = ports.as_slice() else {
            return Err(invalid(format!("`{}` is more than one port", text.escape_debug())).into());
        };
        Err(not_found(format!("No public port '{port}' published for {}", self.container)).into())
    }
}
