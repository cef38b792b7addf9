//! `buildx create`: add a builder.

use clap::Args;

use super::builders::{DEFAULT_BUILDER, check_new_name};
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use dhow_error::{Failure, FailureKind, invalid};
use dhow_store::Store;
use dhow_store::builders::{BuilderRecord, random_builder_name};

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<BuildxCreateArgs>(
    &["buildx create"],
    "[OPTIONS] [ENDPOINT]",
    "Give the builder another name",
);

/// Drivers that scripts ask for; all of them build in the same way.
const DRIVERS: [&str; 5] = ["docker-container", "docker", "kubernetes", "remote", "cloud"];

/// Arguments of `buildx create`.
#[derive(Args)]
struct BuildxCreateArgs {
    /// Add a node to the builder: it has one whatever is added
    #[arg(long)]
    append: bool,
    /// See that it runs, which it needs not
    #[arg(long)]
    bootstrap: bool,
    /// Configuration of a daemon that there is not
    #[arg(long, value_name = "FILE", alias = "config")]
    buildkitd_config: Option<String>,
    /// Flags of a daemon that there is not
    #[arg(long, value_name = "FLAGS")]
    buildkitd_flags: Option<String>,
    /// What the driver is called: docker-container, remote, …
    #[arg(long, value_name = "DRIVER", default_value = "docker-container", hide_default_value = true)]
    driver: String,
    /// Options of the driver
    #[arg(long, value_name = "OPTIONS")]
    driver_opt: Vec<String>,
    /// Remove a node from the builder
    #[arg(long)]
    leave: bool,
    /// The name; made up if left out
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What its node is called
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Platforms of the node
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<String>,
    /// Use it from now on
    #[arg(long = "use")]
    switch: bool,
    /// Where docker would find a daemon
    #[arg(value_name = "ENDPOINT")]
    endpoint: Option<String>,
}

impl CommandArgs for BuildxCreateArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let name = self.checked_name()?;
        let ignored = [
            (self.buildkitd_config.is_some(), "--buildkitd-config"),
            (self.buildkitd_flags.is_some(), "--buildkitd-flags"),
            (!self.driver_opt.is_empty(), "--driver-opt"),
        ];
        for (_, flag) in ignored.iter().filter(|(given, _)| *given) {
            report::warn(context, &format!("{flag} has no effect: there is no BuildKit daemon"));
        }
        if self.driver == "remote" || self.driver == "kubernetes" {
            let message = format!("--driver {}: builds run here all the same", self.driver);
            report::warn(context, &message);
        }
        let store = Store::open(environment::data_root()?)?;
        // --append and --leave are about nodes, of which a builder here has exactly one: they change nothing,
        // but the builder must exist.
        let (must_exist, switch, printed_name) = (self.append || self.leave, self.switch, name.clone());
        store.edit_builders(|builders| {
            match (builders.named.get_mut(&name), must_exist) {
                (Some(_), true) => {}
                (Some(_), false) => return Err(already_exists(&name).into()),
                (None, true) => return Err(super::builders::unknown_builder(&name).into()),
                (None, false) => drop(builders.named.insert(name.clone(), self.record(&name))),
            }
            if switch {
                builders.current = Some(name);
            }
            Ok(())
        })?;
        output::print_line(&printed_name)?;
        Ok(0)
    }
}

impl BuildxCreateArgs {
    fn checked_name(&self) -> anyhow::Result<String> {
        if !DRIVERS.contains(&self.driver.as_str()) {
            let message = format!("failed to find driver {:?}", self.driver);
            return Err(invalid(message).hint(format!("there are: {}", DRIVERS.join(", "))).into());
        }
        // Only checked: listings show them as they were given.
        for platform in &self.platform {
            platform.parse::<dhow_model::platform::Platform>()?;
        }
        let name = match &self.name {
            Some(name) => name.clone(),
            None if self.append || self.leave => {
                return Err(invalid("--append and --leave need --name").into());
            }
            None => random_builder_name()?,
        };
        check_new_name(&name)?;
        Ok(name)
    }

    fn record(self, name: &str) -> BuilderRecord {
        BuilderRecord {
            options: self.driver_opt,
            daemon_flags: self.buildkitd_flags.into_iter().collect(),
            platforms: self.platform,
            node: self.node.unwrap_or_else(|| format!("{name}0")),
            endpoint: self.endpoint.unwrap_or_else(|| DEFAULT_BUILDER.into()),
            ..BuilderRecord::new(self.driver)
        }
    }
}

fn already_exists(name: &str) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        format!(
            "existing instance for {name:?} but no append mode, specify the node name to make changes for existing \
             instances"
        ),
    )
    .hint(format!("`dhow buildx rm {name}` removes it"))
}
