//! `run`: make a container from an image and run it in the foreground.

use std::io::IsTerminal;

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::flags::ContainerFlags;
use crate::cli::usage::UsageError;
use crate::error::unsupported;
use crate::model::detach_keys::DetachKeys;
use crate::model::run::RunRequest;

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
        let detach_keys = self.detach_keys.unwrap_or_default();
        let request = RunRequest { sig_proxy: self.sig_proxy, detach_keys, ..request };
        Err(unsupported(format!("cannot run {}: the engine is missing", request.image.unwrap_or_default()))
            .into())
    }
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
