//! `cp`: copy files into a container, or out of one.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::usage::UsageError;
use crate::frame::{environment, report};
use crate::output::{self, humanize};
use dhow_engine::container::cp::{CopyContext, CopyOptions, copy_from, copy_into};
use dhow_model::copy_request::{CopyRequest, HostEndpoint, PathArg};
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContainerCpArgs>(
    &["container cp", "cp"],
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|- or SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files into a container, or out of one; - is a tar archive on standard input or output",
);

/// Arguments of `cp`.
#[derive(Args)]
struct ContainerCpArgs {
    /// Keep the owners of what is copied into a container, which is root's otherwise
    #[arg(short, long)]
    archive: bool,
    /// Follow a symbolic link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say what was copied; that is the case without a terminal anyway
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    quiet: Option<bool>,
    /// CONTAINER:PATH, a path of the host, or -
    #[arg(required = true, value_name = "SRC_PATH")]
    source: OsString,
    /// The same; one of both is in a container
    #[arg(required = true, value_name = "DEST_PATH")]
    target: OsString,
}

impl CommandArgs for ContainerCpArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let copy = CopyRequest::parse(&self.source, &self.target, &environment::working_dir()?)?;
        let options = CopyOptions { archive: self.archive, follow: self.follow_link };
        let store = Store::open(environment::data_root()?)?;
        let identity = userns::probe_identity(&environment::all());
        let (copied, target) = match &copy {
            CopyRequest::From { container, source, target } => {
                if *target == HostEndpoint::Stream && output::stdout_is_terminal() {
                    return Err(UsageError::new("refusing to write an archive to a terminal")
                        .with_hint("redirect standard output")
                        .into());
                }
                let mut out = output::stdout();
                let copied = copy_from(
                    CopyContext { store: &store, identity: &identity, container, options },
                    source,
                    target,
                    &mut out,
                )?;
                // The last of the archive may fail only now.
                out.flush()?;
                (copied, target_text(target))
            }
            CopyRequest::Into { container, source, target } => {
                if *source == HostEndpoint::Stream && io::stdin().is_terminal() {
                    return Err(UsageError::new("refusing to read an archive from a terminal")
                        .with_hint("redirect standard input")
                        .into());
                }
                let mut stdin = io::stdin();
                let copied = copy_into(
                    CopyContext { store: &store, identity: &identity, container, options },
                    source,
                    target,
                    &mut stdin,
                )?;
                (copied, Some(format!("{container}:{}", path_text(target))))
            }
        };
        // mknod(2) of a device needs CAP_MKNOD in the initial user namespace.
        if let Some(first) = copied.left_out.first() {
            let first = String::from_utf8_lossy(first);
            let more = match copied.left_out.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let message = format!("left out, because only root can make devices: {first}{more}");
            report::warn(context, &message);
        }
        if let Some(target) = target
            && !self.quiet.unwrap_or(!output::stdout_is_terminal())
        {
            output::eprint_line(&format!("Successfully copied {} to {target}", humanize::size(copied.bytes)));
        }
        Ok(0)
    }
}

fn target_text(target: &HostEndpoint) -> Option<String> {
    match target {
        HostEndpoint::Path(path) => Some(path_text(path)),
        HostEndpoint::Stream => None,
    }
}

fn path_text(path: &PathArg) -> String {
    path.path.to_string_lossy().escape_debug().to_string()
}
