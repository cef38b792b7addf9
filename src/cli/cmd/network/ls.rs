//! `network ls`: list networks.

use clap::Args;
use serde_json::json;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output::listing::{Listing, ListingRow};
use crate::output::{self, humanize};
use dhow_engine::network::lookup::ResolvedNetwork;
use dhow_engine::network::ls::list;
use dhow_model::filter::ListFilter;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<NetworkLsArgs>(&["network ls", "network list"], "[OPTIONS]", "List networks");

/// Arguments of `network ls`.
#[derive(Args)]
struct NetworkLsArgs {
    /// Only those that match: dangling, driver, id, label, name, scope, type
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<ListFilter>,
    /// Print with a Go template, `table TEMPLATE`, or `json`
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Do not shorten IDs
    #[arg(long)]
    no_trunc: bool,
    /// Only the IDs
    #[arg(short, long)]
    quiet: bool,
}

impl CommandArgs for NetworkLsArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let store = Store::open(environment::data_root()?)?;
        let networks = list(&store, &self.filter)?;
        let rows = networks.iter().map(|network| row(network, self.no_trunc));
        let quiet = self.quiet.then_some("{{.ID}}");
        let table = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
        let listing = Listing { table, quiet, raw: None, headers: HEADINGS };
        output::print(&listing.render(self.format.as_deref(), rows)?)?;
        Ok(0)
    }
}

/// Column headings by field.
const HEADINGS: &[(&str, &str)] = &[
    ("CreatedAt", "CREATED AT"),
    ("Driver", "DRIVER"),
    ("ID", "NETWORK ID"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("Name", "NAME"),
    ("Scope", "SCOPE"),
];

fn row(network: &ResolvedNetwork, no_trunc: bool) -> ListingRow {
    // None for the predefined `host` and `none`.
    let spec = network.spec();
    let id = if no_trunc { network.id() } else { network.id().get(..12).unwrap_or_default() };
    let row = ListingRow::new(json!({
        "CreatedAt": spec.map(|spec| humanize::local_time(&spec.created)).unwrap_or_default(),
        "Driver": network.driver(), "ID": id,
        "IPv4": spec.is_none_or(|spec| spec.v4.is_some()).to_string(),
        "IPv6": spec.is_some_and(|spec| spec.v6.is_some()).to_string(),
        "Internal": spec.is_some_and(|spec| spec.internal).to_string(), "Name": network.name(), "Scope": "local",
    }));
    row.with_labels(network.labels())
}
