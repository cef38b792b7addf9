//! `manifest inspect`: show a list, or the manifest of an image on a registry.

use clap::Args;

use super::name;
use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::reindent::reindent;
use crate::cli::{environment, fetch, output};
use crate::engine::manifest::{self, Shown};
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Inspect>(
    &["manifest inspect"],
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Show a manifest list, or an image's manifest on a registry",
);

/// Arguments of `manifest inspect`.
#[derive(Args)]
pub(crate) struct Inspect {
    /// Talk to the registry without encryption if it must be
    #[arg(long)]
    insecure: bool,
    /// Show layers and platform too
    #[arg(short, long)]
    verbose: bool,
    /// A list that was put together here, then an image of it; or just an image or list
    #[arg(required = true, num_args = 1..=2, value_name = "MANIFEST")]
    names: Vec<String>,
}

impl Verb for Inspect {
    fn run(self, context: &Context) -> Outcome {
        let names = self.names.iter().map(|text| name(text)).collect::<anyhow::Result<Vec<_>>>()?;
        let (list, manifest) = match names.as_slice() {
            [list, manifest] => (Some(list), manifest),
            [manifest, ..] => (None, manifest),
            [] => return Ok(1),
        };
        let store = Store::open(environment::data_root()?)?;
        let environment = fetch::environment_of(context);
        let shown = manifest::inspect(&store, &environment, list, manifest, self.verbose, self.insecure)?;
        let text = match shown {
            Shown::Verbose(value) => reindent(&value.to_string(), "\t"),
            // docker indents lists and manifests differently.
            Shown::Text { text, list } => {
                reindent(&String::from_utf8_lossy(&text), if list { "   " } else { "\t" })
            }
        };
        output::print_line(&text)?;
        Ok(0)
    }
}
