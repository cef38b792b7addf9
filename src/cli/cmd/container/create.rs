//! `create`: create a container from an image without starting it.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::ContainerFlags;
use crate::cli::front::Terminal;
use crate::cli::{environment, output};
use crate::engine;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Create>(
    &["container create", "create"],
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container from an image without starting it",
);

/// Arguments of `create`.
#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    container: ContainerFlags,
}

impl Verb for Create {
    fn run(self, context: &Context) -> Outcome {
        let mut request = self.container.into_request(context)?;
        let process = &mut request.spec.process;
        // docker's StdinOnce: standard input ends with the first client that attached.
        process.stdin_once = process.interactive;
        let store = Store::open(environment::data_root()?)?;
        let mut front = Terminal::new(context, &request);
        output::print_line(&engine::create::create(&store, request, &mut front)?)?;
        Ok(0)
    }
}
