//! Resource limits by cgroup: checked, and said to be discarded, as docker does where no cgroup is delegated.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::table::{Known, Shape, asked, augment};

const TABLE: &[Known] = &[
    Known::new("blkio-weight", Shape::Integer).harmless(&["0"]),
    Known::new("blkio-weight-device", Shape::Text),
    Known::new("cpu-count", Shape::Integer).harmless(&["0"]),
    Known::new("cpu-percent", Shape::Integer).harmless(&["0"]),
    Known::new("cpu-period", Shape::Integer).harmless(&["0"]),
    Known::new("cpu-quota", Shape::Integer).harmless(&["0", "-1"]),
    Known::new("cpu-rt-period", Shape::Integer).harmless(&["0"]),
    Known::new("cpu-rt-runtime", Shape::Integer).harmless(&["0"]),
    Known::new("cpu-shares", Shape::Integer).short('c').harmless(&["0"]),
    Known::new("cpus", Shape::Decimal).harmless(&["0"]),
    Known::new("cpuset-cpus", Shape::Text).harmless(&[""]),
    Known::new("cpuset-mems", Shape::Text).harmless(&[""]),
    Known::new("device-cgroup-rule", Shape::Text),
    Known::new("device-read-bps", Shape::Text),
    Known::new("device-read-iops", Shape::Text),
    Known::new("device-write-bps", Shape::Text),
    Known::new("device-write-iops", Shape::Text),
    Known::new("io-maxbandwidth", Shape::Bytes).harmless(&["0"]),
    Known::new("io-maxiops", Shape::Integer).harmless(&["0"]),
    Known::new("kernel-memory", Shape::Bytes).harmless(&["0"]),
    Known::new("memory", Shape::Bytes).short('m').harmless(&["0"]),
    Known::new("memory-reservation", Shape::Bytes).harmless(&["0"]),
    Known::new("memory-swap", Shape::BytesOrUnlimited).harmless(&["0", "-1"]),
    Known::new("memory-swappiness", Shape::Integer).harmless(&["-1"]),
    Known::new("oom-kill-disable", Shape::Switch),
    Known::new("pids-limit", Shape::Integer).harmless(&["0", "-1"]),
];

/// The limits asked for.
pub(crate) struct LimitFlags {
    asked: Vec<&'static str>,
}

impl LimitFlags {
    /// The line that says which limits do not hold.
    pub(crate) fn warning(&self) -> Option<String> {
        let names: Vec<_> = self.asked.iter().map(|name| format!("--{name}")).collect();
        (!names.is_empty()).then(|| {
            format!(
                "{}: not applied, as this version sets no cgroup limits. Limitation discarded.",
                names.join(", ")
            )
        })
    }
}

impl FromArgMatches for LimitFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { asked: asked(matches, TABLE) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.asked = asked(matches, TABLE);
        Ok(())
    }
}

impl Args for LimitFlags {
    fn augment_args(command: Command) -> Command {
        augment(command, TABLE, "Resource limit: checked, but not applied by this version", false)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
