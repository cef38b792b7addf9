//! docker's flags that dhow cannot honour. They are known, so that the refusal can say why.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::table::{Known, Shape, asked, augment};
use crate::error::{Failure, unsupported};

const TABLE: &[Known] = &[
    Known::new("gpus", Shape::Text),
    Known::new("isolation", Shape::Text).harmless(&["", "default"]),
    // dhow takes the place of these runtimes.
    Known::new("runtime", Shape::Text).harmless(&["", "runc", "crun", "io.containerd.runc.v2"]),
    Known::new("storage-opt", Shape::Text),
    Known::new("use-api-socket", Shape::Switch),
];

/// Why a flag is refused, and what to use instead.
const REASONS: &[(&str, &str)] = &[
    (
        "gpus",
        "docker leaves GPUs to a hook of their maker's that dhow does not run: --device and -v can offer the nodes of /dev and the libraries",
    ),
    ("isolation", "containers of Linux know `default` only"),
    ("runtime", "dhow is its own runtime and runs no other"),
    (
        "storage-opt",
        "docker holds a size by a project quota, which root must set up: a user's own quota, or --read-only with --tmpfs, bounds what is written",
    ),
    ("use-api-socket", "there is no daemon, and so no socket of an API"),
];

/// The unsupported flags that were given.
pub(crate) struct AbsentFlags {
    asked: Vec<&'static str>,
}

impl AbsentFlags {
    /// Refuses them, with the reason for the first one in the table.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match REASONS.iter().find(|(flag, _)| self.asked.contains(flag)) {
            Some((flag, reason)) => Err(unsupported(format!("--{flag} is not possible: {reason}"))),
            None => Ok(()),
        }
    }
}

impl FromArgMatches for AbsentFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { asked: asked(matches, TABLE) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.asked = asked(matches, TABLE);
        Ok(())
    }
}

impl Args for AbsentFlags {
    fn augment_args(command: Command) -> Command {
        augment(command, TABLE, "Not in this version", true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
