//! `update`: change limits and restart policies of containers.

use clap::Args;

use crate::cli::each::each;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::ChangeableLimits;
use crate::cli::usage::UsageError;
use crate::cli::{environment, report};
use crate::engine::update::{Change, update};
use crate::model::restart::RestartPolicy;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Update>(
    &["container update", "update"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Change limits and restart policies of containers",
);

/// Arguments of `update`.
#[derive(Args)]
pub(crate) struct Update {
    #[command(flatten)]
    limits: ChangeableLimits,
    /// When to start it again: no, on-failure[:MAX], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Verb for Update {
    fn run(self, context: &Context) -> Outcome {
        if self.restart.is_none() && !self.limits.is_given() {
            return Err(
                UsageError::words("you must provide one or more flags when using this command").into()
            );
        }
        let (limits, warnings) = self.limits.into_limits()?;
        for warning in warnings {
            report::warn(context, warning);
        }
        let change = Change { limits, restart: self.restart };
        let store = Store::open(environment::data_root()?)?;
        each(context, &self.containers, |name| {
            for warning in update(&store, name, &change, &environment::all())? {
                report::warn(context, &warning);
            }
            Ok(name.to_owned())
        })
    }
}
