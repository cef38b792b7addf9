//! docker's flags that dhow cannot honour. They are known, so that the refusal can say why.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::checked::{CheckedFlag, FlagShape, add_flags, given_flags};
use dhow_error::{Failure, unsupported};

const UNSUPPORTED_FLAGS: &[CheckedFlag] = &[
    CheckedFlag::new("gpus", FlagShape::Text),
    CheckedFlag::new("isolation", FlagShape::Text).harmless(&["", "default"]),
    // dhow takes the place of these runtimes.
    CheckedFlag::new("runtime", FlagShape::Text).harmless(&["", "runc", "crun", "io.containerd.runc.v2"]),
    CheckedFlag::new("storage-opt", FlagShape::Text),
    CheckedFlag::new("use-api-socket", FlagShape::Switch),
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
pub(crate) struct UnsupportedFlags {
    given: Vec<&'static str>,
}

impl UnsupportedFlags {
    /// Refuses them, with the reason for the first one in the table.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match REASONS.iter().find(|(flag, _)| self.given.contains(flag)) {
            Some((flag, reason)) => Err(unsupported(format!("--{flag} is not possible: {reason}"))),
            None => Ok(()),
        }
    }
}

impl FromArgMatches for UnsupportedFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { given: given_flags(matches, UNSUPPORTED_FLAGS) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.given = given_flags(matches, UNSUPPORTED_FLAGS);
        Ok(())
    }
}

impl Args for UnsupportedFlags {
    fn augment_args(command: Command) -> Command {
        add_flags(command, UNSUPPORTED_FLAGS, "Not in this version", true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
