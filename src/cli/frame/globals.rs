//! The flags in front of the command, and which of docker's are refused.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, FromArgMatches};

use super::parser::{self, bare_command};
use super::usage;
use dhow_error::{Failure, unsupported};

/// Flags that precede the command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GlobalFlags {
    /// Directory of docker's client configuration (credentials, detach keys)
    #[arg(long, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// Context of docker's that names this engine, as `default` does; others are refused
    #[arg(short, long, value_name = "NAME")]
    context: Option<String>,
    /// Show each cause of an error on a line of its own
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// Address of docker's that means this engine, as unix:///var/run/docker.sock does; others are refused
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    host: Vec<String>,
    /// How much to say: debug, info, warn, error, fatal
    #[arg(short, long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Not possible: there is no connection to protect
    #[arg(long)]
    tls: bool,
    /// Not possible: there is no connection to protect
    #[arg(long, value_name = "FILE")]
    tlscacert: Option<String>,
    /// Not possible: there is no connection to protect
    #[arg(long, value_name = "FILE")]
    tlscert: Option<String>,
    /// Not possible: there is no connection to protect
    #[arg(long, value_name = "FILE")]
    tlskey: Option<String>,
    /// Not possible: there is no connection to protect
    #[arg(long)]
    tlsverify: bool,
    /// Print the version and stop
    #[arg(short, long)]
    pub(crate) version: bool,
    /// Show help and stop
    #[arg(short = 'h', long, action = ArgAction::SetTrue)]
    pub(crate) help: bool,
}

#[derive(Args)]
struct RawCommandLine {
    #[command(flatten)]
    globals: GlobalFlags,
    #[arg(trailing_var_arg = true)]
    rest: Vec<OsString>,
}

/// Splits `arguments` into the flags in front and the rest, which begins with the command.
pub(crate) fn split_globals(arguments: Vec<OsString>) -> anyhow::Result<(GlobalFlags, Vec<OsString>)> {
    // Parsing stops at the first word, so that the command's own flags are left to the command.
    let line = parser::parse(RawCommandLine::augment_args(bare_command("dhow")), arguments)
        .and_then(|matches| RawCommandLine::from_arg_matches(&matches));
    match line {
        Ok(line) => Ok((line.globals, line.rest)),
        // The caller prints the help: it has the table of commands.
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            Ok((GlobalFlags { help: true, ..GlobalFlags::default() }, Vec::new()))
        }
        Err(error) => Err(usage::from_clap(&error).into()),
    }
}

impl GlobalFlags {
    /// Refuses flags that only a client of a daemon could honour.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let files = [&self.tlscacert, &self.tlscert, &self.tlskey];
        if self.tls || self.tlsverify || files.iter().any(|file| file.is_some()) {
            return Err(no_daemon("a --tls flag".into()));
        }
        self.check_level()
    }

    /// The address of the engine; None if none was given.
    pub(super) fn host(&self) -> Option<&str> {
        self.host.last().map(String::as_str).filter(|address| !address.is_empty())
    }

    /// The name of the engine's context; None if none was given.
    pub(super) fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    fn check_level(&self) -> Result<(), Failure> {
        match self.log_level.as_deref() {
            // The levels of logrus, which docker accepts.
            None | Some("debug" | "info" | "warn" | "warning" | "error" | "fatal" | "panic" | "trace") => {
                Ok(())
            }
            Some(other) => Err(dhow_error::invalid(format!(
                "unable to parse logging level: {} (debug, info, warn, error or fatal)",
                other.escape_debug()
            ))),
        }
    }

    /// Whether each cause of an error gets its own line.
    pub(crate) fn verbose(&self) -> bool {
        self.debug || matches!(self.log_level.as_deref(), Some("debug" | "trace"))
    }

    /// Whether warnings are printed.
    pub(crate) fn warnings(&self) -> bool {
        !matches!(self.log_level.as_deref(), Some("error" | "fatal" | "panic"))
    }
}

fn no_daemon(flag: String) -> Failure {
    unsupported(format!("{flag} has no meaning here: dhow is the engine and connects to none"))
        .hint("leave the flag out, or run dhow on that machine")
}
