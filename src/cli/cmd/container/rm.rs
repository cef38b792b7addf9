//! `rm`: remove containers.

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::{environment, output, report};
use crate::engine::namespace;
use crate::engine::rm::{Options, rm};
use crate::error::{Kind, kind_of, unsupported};
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Rm>(
    &["container rm", "rm", "container remove"],
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove containers",
);

/// Arguments of `rm`.
#[derive(Args)]
pub(crate) struct Rm {
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

impl Verb for Rm {
    fn run(self, context: &Context) -> Outcome {
        if self.link {
            return Err(unsupported("--link is not in this version of dhow").into());
        }
        let store = Store::open(environment::data_root()?)?;
        let identity = namespace::identity(&environment::all());
        let options = Options { force: self.force, volumes: self.volumes };
        let mut code = 0;
        for container in &self.containers {
            match rm(&store, container, options, &identity) {
                Ok(()) => output::print_line(container)?,
                Err(error) => {
                    report::complain(context, &error);
                    // With --force, a container that is gone already is no failure.
                    let gone = self.force && kind_of(&error) == Kind::NotFound;
                    code = if gone { code } else { 1 };
                }
            }
        }
        Ok(code)
    }
}
