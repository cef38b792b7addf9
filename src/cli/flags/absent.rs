//! Flags of docker that this version cannot honour: known, so that the refusal can name them.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::table::{Known, Shape, asked, augment};
use crate::error::{Failure, unsupported};

const TABLE: &[Known] = &[
    Known::new("detach", Shape::Switch).short('d'),
    Known::new("expose", Shape::Text),
    Known::new("gpus", Shape::Text),
    Known::new("health-cmd", Shape::Text),
    Known::new("health-interval", Shape::Duration),
    Known::new("health-retries", Shape::Integer),
    Known::new("health-start-interval", Shape::Duration),
    Known::new("health-start-period", Shape::Duration),
    Known::new("health-timeout", Shape::Duration),
    Known::new("ip", Shape::Text),
    Known::new("ip6", Shape::Text),
    Known::new("isolation", Shape::Text).harmless(&["", "default"]),
    Known::new("link", Shape::Text),
    Known::new("link-local-ip", Shape::Text),
    Known::new("log-driver", Shape::Text),
    Known::new("log-opt", Shape::Text),
    Known::new("mac-address", Shape::Text),
    Known::new("network-alias", Shape::Text),
    Known::new("publish", Shape::Text).short('p'),
    Known::new("publish-all", Shape::Switch).short('P'),
    Known::new("restart", Shape::Text).harmless(&["", "no"]),
    Known::new("runtime", Shape::Text).harmless(&[""]),
    Known::new("storage-opt", Shape::Text),
    Known::new("use-api-socket", Shape::Switch),
    Known::new("volume-driver", Shape::Text).harmless(&["", "local"]),
    Known::new("volumes-from", Shape::Text),
];

/// The flags given that cannot be honoured.
pub(crate) struct AbsentFlags {
    asked: Vec<&'static str>,
}

impl AbsentFlags {
    /// Refuses, naming the flags.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let names: Vec<_> = self.asked.iter().map(|name| format!("--{name}")).collect();
        match names.as_slice() {
            [] => Ok(()),
            [one] => Err(unsupported(format!("{one} is not in this version of dhow"))),
            several => Err(unsupported(format!("{} are not in this version of dhow", several.join(", ")))),
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
            .mut_arg("network-alias", |argument| argument.alias("net-alias"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
