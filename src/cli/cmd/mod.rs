//! The commands, one file each in a folder for their noun, as docker has them, and the table of all commands.
//!
//! Commands that docker has without a noun are with what they act on (`run` in `container`, `pull` in `image`, `login`
//! in `registry`), the rest in `system`. Files beside the folders serve commands of several nouns.

pub(crate) mod buildx;
pub(crate) mod container;
pub(crate) mod context;
pub(crate) mod for_each;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod manifest;
pub(crate) mod network;
pub(crate) mod prune_report;
pub(crate) mod registry;
pub(crate) mod system;
pub(crate) mod volume;

use crate::frame::command::{CommandEntry, CommandTable};

/// Every command of dhow.
pub(crate) static TABLE: CommandTable =
    CommandTable { entries: ENTRIES, groups: GROUPS, unsupported: UNSUPPORTED };

const ENTRIES: &[CommandEntry] = &[
    buildx::bake::ENTRY,
    buildx::create::ENTRY,
    buildx::du::ENTRY,
    buildx::imagetools::ENTRY,
    buildx::inspect::ENTRY,
    buildx::ls::ENTRY,
    buildx::prune::BUILDER_PRUNE_ENTRY,
    buildx::prune::ENTRY,
    buildx::rm::ENTRY,
    buildx::stop::ENTRY,
    buildx::switch::ENTRY,
    buildx::version::ENTRY,
    container::attach::ENTRY,
    container::commit::ENTRY,
    container::cp::ENTRY,
    container::create::ENTRY,
    container::diff::ENTRY,
    container::exec::ENTRY,
    container::export::ENTRY,
    container::inspect::ENTRY,
    container::kill::ENTRY,
    container::logs::ENTRY,
    container::ls::ENTRY,
    container::pause::ENTRY,
    container::port::ENTRY,
    container::prune::ENTRY,
    container::rename::ENTRY,
    container::restart::ENTRY,
    container::rm::ENTRY,
    container::run::ENTRY,
    container::start::ENTRY,
    container::stats::ENTRY,
    container::stop::ENTRY,
    container::top::ENTRY,
    container::unpause::ENTRY,
    container::update::ENTRY,
    container::wait::ENTRY,
    context::inspect::ENTRY,
    context::ls::ENTRY,
    context::show::ENTRY,
    context::switch::ENTRY,
    image::build::ENTRY,
    image::history::ENTRY,
    image::import::ENTRY,
    image::inspect::ENTRY,
    image::load::ENTRY,
    image::ls::ENTRY,
    image::prune::ENTRY,
    image::pull::ENTRY,
    image::push::ENTRY,
    image::rm::ENTRY,
    image::save::ENTRY,
    image::tag::ENTRY,
    manifest::annotate::ENTRY,
    manifest::create::ENTRY,
    manifest::inspect::ENTRY,
    manifest::push::ENTRY,
    manifest::rm::ENTRY,
    network::connect::ENTRY,
    network::create::ENTRY,
    network::disconnect::ENTRY,
    network::inspect::ENTRY,
    network::ls::ENTRY,
    network::prune::ENTRY,
    network::rm::ENTRY,
    registry::login::ENTRY,
    registry::logout::ENTRY,
    system::autostart::ENTRY,
    system::completion::ENTRY,
    system::df::ENTRY,
    system::events::ENTRY,
    system::info::ENTRY,
    system::inspect::ENTRY,
    system::install_autostart::ENTRY,
    system::prune::ENTRY,
    system::version::ENTRY,
    volume::create::ENTRY,
    volume::inspect::ENTRY,
    volume::ls::ENTRY,
    volume::prune::ENTRY,
    volume::rm::ENTRY,
];

/// The groups of commands, each with a line of help.
const GROUPS: &[(&str, &str)] = &[
    ("builder", "Builds"),
    ("buildx", "Builds, with docker's extended commands for them"),
    ("container", "Containers"),
    ("context", "docker's names for engines, of which only this one is used"),
    ("image", "Images"),
    ("manifest", "Lists of images for several platforms on registries"),
    ("network", "Networks"),
    ("system", "The engine and its data"),
    ("volume", "Volumes"),
];

/// docker's commands that dhow does not have.
const UNSUPPORTED: &[&str] = &[
    "checkpoint",
    "compose",
    "config",
    "node",
    "plugin",
    "search",
    "secret",
    "service",
    "stack",
    "swarm",
    "trust",
    "context create",
    "context export",
    "context import",
    "context rm",
    "context update",
    "volume update",
    "buildx debug",
    "buildx dial-stdio",
    "buildx history",
    "buildx install",
    "buildx uninstall",
    "system dial-stdio",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_means_one_command() {
        let mut seen = HashSet::new();
        for name in ENTRIES.iter().flat_map(|entry| entry.names).chain(UNSUPPORTED) {
            assert!(seen.insert(name), "{name} is there twice");
        }
    }

    #[test]
    fn names_of_two_words_begin_with_a_group() {
        for name in ENTRIES.iter().flat_map(|entry| entry.names) {
            if let Some((group, _)) = name.split_once(' ') {
                assert!(GROUPS.iter().any(|known| known.0 == group), "{name}");
            }
        }
    }
}
