//! `system autostart`: start the containers that are to run again after a reboot.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, report};
use crate::engine::autostart::start_all;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Autostart>(
    &["system autostart"],
    "",
    "Start the containers that are to come back after a reboot",
);

/// Arguments of `system autostart`.
#[derive(Args)]
pub(crate) struct Autostart {}

impl Verb for Autostart {
    fn run(self, context: &Context) -> Outcome {
        let store = Store::open(environment::data_root()?)?;
        let mut code = 0;
        for started in start_all(&store, &environment::all())? {
            match started.result {
                Ok(()) => output::print_line(&started.name)?,
                Err(error) => {
                    report::complain(context, &error.context(format!("starting {}", started.name)));
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}
