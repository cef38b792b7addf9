//! `volume create`: create a volume.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::flags::checked::{CheckedFlag, FlagShape, add_flags, given_flags};
use crate::flags::pairs::{label_map, parse_pairs};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use dhow_engine::volume::create::{NewVolume, create};
use dhow_error::{Failure, unsupported};
use dhow_model::flags::key_value::{self, KeyValue};
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry =
    CommandEntry::new::<VolumeCreateArgs>(&["volume create"], "[OPTIONS] [VOLUME]", "Make a volume");

/// Arguments of `volume create`.
#[derive(Args)]
struct VolumeCreateArgs {
    /// The driver: `local`
    #[arg(short, long, value_name = "DRIVER", default_value = "local", hide_default_value = true)]
    driver: String,
    /// Label, KEY=VALUE
    #[arg(long, value_name = "LABEL", value_parser = key_value::parse_label)]
    label: Vec<KeyValue>,
    /// Option of the driver: type=none with o=bind and device=DIRECTORY, or type=tmpfs with device=tmpfs and o=size=…
    #[arg(short, long, value_name = "OPTION")]
    opt: Vec<String>,
    #[command(flatten)]
    swarm: SwarmVolumeFlags,
    /// Its name; one is made up where there is none
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

impl CommandArgs for VolumeCreateArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        self.swarm.check()?;
        let volume = NewVolume {
            name: self.name.unwrap_or_default(),
            driver: self.driver,
            labels: label_map(self.label),
            options: parse_pairs(&self.opt, "option")?,
        };
        let store = Store::open(environment::data_root()?)?;
        output::print_line(&create(&store, volume)?)?;
        Ok(0)
    }
}

/// docker's flags for volumes of a swarm.
const SWARM_FLAGS: &[CheckedFlag] = &[
    CheckedFlag::new("availability", FlagShape::Text),
    CheckedFlag::new("group", FlagShape::Text),
    CheckedFlag::new("limit-bytes", FlagShape::Text),
    CheckedFlag::new("required-bytes", FlagShape::Text),
    CheckedFlag::new("scope", FlagShape::Text),
    CheckedFlag::new("secret", FlagShape::Text),
    CheckedFlag::new("sharing", FlagShape::Text),
    CheckedFlag::new("topology-preferred", FlagShape::Text),
    CheckedFlag::new("topology-required", FlagShape::Text),
    CheckedFlag::new("type", FlagShape::Text),
];

struct SwarmVolumeFlags {
    given: Vec<&'static str>,
}

impl SwarmVolumeFlags {
    fn check(&self) -> Result<(), Failure> {
        match self.given.first() {
            None => Ok(()),
            Some(flag) => Err(unsupported(format!("--{flag} is for volumes of a swarm, and dhow is none"))),
        }
    }
}

impl FromArgMatches for SwarmVolumeFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { given: given_flags(matches, SWARM_FLAGS) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.given = given_flags(matches, SWARM_FLAGS);
        Ok(())
    }
}

impl Args for SwarmVolumeFlags {
    fn augment_args(command: Command) -> Command {
        add_flags(command, SWARM_FLAGS, "For volumes of a swarm only", true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
