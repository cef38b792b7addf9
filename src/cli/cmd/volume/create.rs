//! `volume create`: create a volume.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::table::{Known, Shape, asked, augment};
use crate::cli::{environment, output};
use crate::engine::volumes::{NewVolume, create};
use crate::error::{Failure, unsupported};
use crate::model::key_value;
use crate::model::volume::Map;
use crate::store::Store;

pub(crate) const ENTRY: Entry =
    Entry::new::<Create>(&["volume create"], "[OPTIONS] [VOLUME]", "Make a volume");

/// Arguments of `volume create`.
#[derive(Args)]
pub(crate) struct Create {
    /// The driver: `local`
    #[arg(short, long, value_name = "DRIVER", default_value = "local", hide_default_value = true)]
    driver: String,
    /// Label, KEY=VALUE
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Option of the driver: type=none with o=bind and device=DIRECTORY, or type=tmpfs with device=tmpfs and o=size=…
    #[arg(short, long, value_name = "OPTION")]
    opt: Vec<String>,
    #[command(flatten)]
    swarm: Swarm,
    /// Its name; one is made up where there is none
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

impl Verb for Create {
    fn run(self, _context: &Context) -> Outcome {
        self.swarm.check()?;
        let new = NewVolume {
            name: self.name.unwrap_or_default(),
            driver: self.driver,
            labels: map(&self.label, "label")?,
            options: map(&self.opt, "option")?,
        };
        let store = Store::open(environment::data_root()?)?;
        output::print_line(&create(&store, new)?)?;
        Ok(0)
    }
}

fn map(texts: &[String], what: &str) -> Result<Map, Failure> {
    let pair = |text: &String| {
        let pair = key_value::parse(text, what)?;
        Ok((pair.name, pair.value.unwrap_or_default()))
    };
    texts.iter().map(pair).collect()
}

/// docker's flags for volumes of a swarm.
const TABLE: &[Known] = &[
    Known::new("availability", Shape::Text),
    Known::new("group", Shape::Text),
    Known::new("limit-bytes", Shape::Text),
    Known::new("required-bytes", Shape::Text),
    Known::new("scope", Shape::Text),
    Known::new("secret", Shape::Text),
    Known::new("sharing", Shape::Text),
    Known::new("topology-preferred", Shape::Text),
    Known::new("topology-required", Shape::Text),
    Known::new("type", Shape::Text),
];

struct Swarm {
    asked: Vec<&'static str>,
}

impl Swarm {
    fn check(&self) -> Result<(), Failure> {
        match self.asked.first() {
            None => Ok(()),
            Some(flag) => Err(unsupported(format!("--{flag} is for volumes of a swarm, and dhow is none"))),
        }
    }
}

impl FromArgMatches for Swarm {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { asked: asked(matches, TABLE) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.asked = asked(matches, TABLE);
        Ok(())
    }
}

impl Args for Swarm {
    fn augment_args(command: Command) -> Command {
        augment(command, TABLE, "For volumes of a swarm only", true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
