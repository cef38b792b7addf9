//! `run`: make a container from an image and run it in the foreground.

use std::io::IsTerminal;

use anyhow::Context as _;
use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::fetch::{self, Ready};
use crate::cli::flags::ContainerFlags;
use crate::cli::lines::Channel;
use crate::cli::usage::UsageError;
use crate::cli::{environment, output, report, settings};
use crate::engine;
use crate::engine::pull::PullRequest;
use crate::engine::run::Front;
use crate::error::not_found;
use crate::model::detach_keys::DetachKeys;
use crate::model::environment::Environment;
use crate::model::platform::Platform;
use crate::model::reference::Reference;
use crate::model::run::RunRequest;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Run>(
    &["container run", "run"],
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container from an image and run a command in it",
);

/// Arguments of `run`.
#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    container: ContainerFlags,
    /// Keys that detach the terminal
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    /// Pass signals on to the process
    #[arg(long, default_value = "true")]
    sig_proxy: bool,
}

impl Verb for Run {
    fn run(self, context: &Context) -> Outcome {
        let request = self.container.into_request(context)?;
        check_terminal(&request)?;
        let detach_keys = detach_keys(self.detach_keys, &request, context)?;
        let request = RunRequest { sig_proxy: self.sig_proxy, detach_keys, ..request };
        let store = Store::open(environment::data_root()?)?;
        let mut front = Terminal {
            context,
            environment: fetch::environment_of(context),
            platform: request.platform.clone(),
            ready: None,
        };
        let code = engine::run::run(&store, request, &mut front)?;
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }
}

/// What the engine asks of the command line while it runs a container.
struct Terminal<'a> {
    context: &'a Context,
    environment: Environment,
    platform: Option<Platform>,
    ready: Option<Ready>,
}

impl Front for Terminal<'_> {
    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn warn(&self, message: &str) {
        report::warn(self.context, message);
    }

    fn note(&self, message: &str) {
        output::note(message);
    }

    fn prepare_fetch(&mut self, image: &str) -> anyhow::Result<()> {
        let reference: Reference = image.parse()?;
        let request = PullRequest { reference, all_tags: false, platform: self.platform.clone() };
        self.ready = Some(fetch::prepare(self.context, &self.environment, request)?);
        Ok(())
    }

    fn fetch(&self, store: &Store, image: &str, request: &RunRequest) -> anyhow::Result<()> {
        let Some(ready) = &self.ready else {
            return Err(not_found(format!("No such image: {image}")).into());
        };
        let channel = (!request.quiet).then_some(Channel::Stderr);
        fetch::fetch(self.context, store, ready, channel)
    }
}

/// Those of the flag, else of docker's configuration, which only a terminal is worth reading for.
fn detach_keys(
    flag: Option<DetachKeys>,
    request: &RunRequest,
    context: &Context,
) -> anyhow::Result<DetachKeys> {
    if let Some(keys) = flag {
        return Ok(keys);
    }
    let set = if request.spec.process.tty { settings::read(context).detach_keys } else { None };
    set.filter(|keys| !keys.is_empty())
        .map_or_else(|| Ok(DetachKeys::default()), |keys| keys.parse())
        .context("cannot use detachKeys of docker's configuration")
}

/// Scripts count on the refusal of `-it` without a terminal, and on its exit code.
fn check_terminal(request: &RunRequest) -> Result<(), UsageError> {
    let process = &request.spec.process;
    let attached =
        process.interactive && (process.attach.is_empty() || process.attach.iter().any(|s| s == "stdin"));
    if process.tty && attached && !std::io::stdin().is_terminal() {
        return Err(UsageError::words("the input device is not a TTY")
            .hinting("leave out -t where the input is a pipe"));
    }
    Ok(())
}
