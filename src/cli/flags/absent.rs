//! Flags of docker that this version cannot honour: known, so that the refusal can name them.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::table::{Known, Shape, asked, augment};
use crate::error::{Failure, unsupported};

const TABLE: &[Known] = &[
    Known::new("gpus", Shape::Text),
    Known::new("isolation", Shape::Text).harmless(&["", "default"]),
    // dhow is what these are to docker.
    Known::new("runtime", Shape::Text).harmless(&["", "runc", "crun", "io.containerd.runc.v2"]),
    Known::new("storage-opt", Shape::Text),
    Known::new("use-api-socket", Shape::Switch),
];

/// Flags that no version will have as docker has them, and what there is in place of them.
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

/// The flags given that cannot be honoured.
pub(crate) struct AbsentFlags {
    asked: Vec<&'static str>,
}

impl AbsentFlags {
    /// Refuses, with the reason.
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
