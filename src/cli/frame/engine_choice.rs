//! Which engine a command is for. dhow is one itself, and acts on no other: docker's ways to name one (`--host`,
//! `--context`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the configured context) are accepted as long as they mean this one, and
//! refused otherwise, before anything is done here that was meant to be done elsewhere.

use std::path::{Path, PathBuf};

use super::command::CommandContext;
use super::contexts;
use super::environment;
use super::globals::GlobalFlags;
use dhow_error::{Failure, FailureKind, invalid, kind_of, not_found, unsupported};
use dhow_model::environment::Environment;

/// What names the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineChoice {
    /// An address of docker's, and what gave it.
    Address(&'static str, String),
    /// A context, and what gave it.
    Context(&'static str, String),
    /// The context that docker's configuration selects.
    Configured(String),
    /// Nothing.
    Default,
}

impl EngineChoice {
    /// The choice, by docker's order of precedence.
    pub(crate) fn new(globals: &GlobalFlags, environment: &Environment) -> Result<Self, Failure> {
        let variable = |name: &str| environment.text(name).map(str::to_owned);
        match (globals.host(), globals.context()) {
            (Some(_), Some(_)) => {
                Err(invalid("conflicting options: either specify --host or --context, not both"))
            }
            (Some(address), None) => Ok(Self::Address("--host", address.to_owned())),
            (None, Some(name)) => Ok(Self::Context("--context", name.to_owned())),
            (None, None) => {
                let address = variable("DOCKER_HOST").map(|address| Self::Address("DOCKER_HOST", address));
                let named = || variable("DOCKER_CONTEXT").map(|name| Self::Context("DOCKER_CONTEXT", name));
                let configured = || contexts::configured(environment).map(Self::Configured);
                Ok(address.or_else(named).or_else(configured).unwrap_or(Self::Default))
            }
        }
    }

    /// The name of its context: an address stands for the default one.
    pub(crate) fn context_name(&self) -> &str {
        match self {
            Self::Context(_, name) | Self::Configured(name) => name,
            Self::Address(..) | Self::Default => contexts::DEFAULT,
        }
    }

    /// Refuses another engine than this one.
    fn check(&self, environment: &Environment) -> anyhow::Result<()> {
        match self {
            Self::Default => Ok(()),
            Self::Address(said_by, address) => match is_this_engine(address, environment) {
                true => Ok(()),
                false => Err(another_engine(said_by, address).into()),
            },
            Self::Context(said_by, name) => check_context(said_by, name, environment),
            Self::Configured(name) => {
                // Docker Desktop and the like select a context of their own on this machine, which nobody asked for.
                match contexts::find(environment, name) {
                    Ok(context) if context.address().starts_with("unix://") => Ok(()),
                    Err(error) if kind_of(&error) == FailureKind::NotFound => {
                        let message = format!("cannot use docker's current context: {error:#}");
                        Err(not_found(message).hint("select one with `context use default`").into())
                    }
                    _ => check_context("docker's current context", name, environment),
                }
            }
        }
    }
}

/// Refuses a command that is meant for another engine.
pub(crate) fn check(context: &CommandContext) -> anyhow::Result<()> {
    let environment = environment::with_flags(context);
    EngineChoice::new(&context.globals, &environment)?.check(&environment)
}

/// Refuses the context `name`, which `said_by` gave, unless it is this engine.
pub(crate) fn check_context(said_by: &str, name: &str, environment: &Environment) -> anyhow::Result<()> {
    if name == contexts::DEFAULT {
        return Ok(());
    }
    let context = contexts::find(environment, name)?;
    match is_this_engine(context.address(), environment) {
        true => Ok(()),
        false => Err(another_engine(&format!("{said_by} {name}"), context.address()).into()),
    }
}

fn another_engine(said_by: &str, address: &str) -> Failure {
    let (said_by, address) = (said_by.escape_debug(), address.escape_debug());
    unsupported(format!(
        "{said_by} names another engine, {address}: dhow is the engine itself, and acts on this machine only"
    ))
    .hint("leave that out, or run dhow on that machine")
}

/// Whether docker's daemon of this machine has this address by default, as root or as an ordinary user.
fn is_this_engine(address: &str, environment: &Environment) -> bool {
    match address.strip_prefix("unix://") {
        Some("") => true,
        Some(path) => default_sockets(environment).iter().any(|socket| socket == Path::new(path)),
        None => address.is_empty(),
    }
}

fn default_sockets(environment: &Environment) -> Vec<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let mut sockets = vec![
        "/var/run/docker.sock".into(),
        "/run/docker.sock".into(),
        format!("/run/user/{uid}/docker.sock").into(),
    ];
    sockets.extend(environment.path("XDG_RUNTIME_DIR").map(|dir| dir.join("docker.sock")));
    // Where there is no such directory, docker's daemon of an ordinary user is here.
    sockets.extend(environment.home().map(|home| home.join(".docker/run/docker.sock")));
    sockets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_default_addresses_are_this_engine() {
        let environment = Environment::from_iter([("HOME", "/home/x"), ("XDG_RUNTIME_DIR", "/run/x")]);
        for here in [
            "",
            "unix://",
            "unix:///var/run/docker.sock",
            "unix:///run/docker.sock",
            "unix:///run/x/docker.sock",
            "unix:///home/x/.docker/run/docker.sock",
        ] {
            assert!(is_this_engine(here, &environment), "{here}");
        }
        for elsewhere in [
            "tcp://elsewhere:2375",
            "elsewhere",
            // It may be the end of a tunnel.
            "tcp://localhost:2375",
            "ssh://me@elsewhere",
            "unix:///tmp/other.sock",
            "npipe:////./pipe/docker_engine",
        ] {
            assert!(!is_this_engine(elsewhere, &environment), "{elsewhere}");
        }
    }

    #[test]
    fn the_order_is_dockers() {
        let variables = [("DOCKER_HOST", "tcp://a"), ("DOCKER_CONTEXT", "b")];
        let choice = |count: usize| {
            let environment = variables.into_iter().skip(count).collect();
            EngineChoice::new(&GlobalFlags::default(), &environment).unwrap()
        };
        assert_eq!(choice(0), EngineChoice::Address("DOCKER_HOST", "tcp://a".into()));
        assert_eq!(choice(0).context_name(), "default");
        assert_eq!(choice(1), EngineChoice::Context("DOCKER_CONTEXT", "b".into()));
        assert_eq!(choice(2), EngineChoice::Default);
    }
}
