//! `pull`: download images from a registry.

use clap::Args;

use crate::cmd::image::pending_pull;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::output;
use crate::output::progress::lines::ProgressStream;
use dhow_engine::image::pull::PullRequest;
use dhow_error::unsupported;
use dhow_model::platform::Platform;
use dhow_model::reference::{DEFAULT_TAG, ImageReference};
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImagePullArgs>(
    &["image pull", "pull"],
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
);

/// Arguments of `pull`.
#[derive(Args)]
struct ImagePullArgs {
    /// Download all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Do not verify signatures; dhow has no Notary client, so nothing else is possible
    #[arg(long, default_value = "true")]
    disable_content_trust: bool,
    /// The platform, where the repository has several (os/architecture[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Print the name of the image only
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "NAME[:TAG|@DIGEST]", required = true)]
    name: String,
}

impl CommandArgs for ImagePullArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        if !self.disable_content_trust {
            return Err(unsupported("signatures of Docker Content Trust cannot be verified by dhow").into());
        }
        let reference: ImageReference = self.name.parse()?;
        let platform = self.platform.as_deref().map(str::parse::<Platform>).transpose()?;
        let platform = platform.map_or_else(environment::default_platform, |platform| Ok(Some(platform)))?;
        // As docker does where no tag was given.
        if !self.quiet && !self.all_tags && reference.tag().is_none() && reference.digest().is_none() {
            output::print_line(&format!("Using default tag: {DEFAULT_TAG}"))?;
        }
        // docker's last line is the name as it was understood: the whole repository's, or tag and digest as
        // given.
        let shown = if self.all_tags { reference.clone() } else { reference.clone().or_latest() };
        let request = PullRequest { reference, all_tags: self.all_tags, platform };
        let environment = environment::with_flags(context);
        // Before the user namespace is entered, so that credential helpers run as the user.
        let pending = pending_pull::prepare_pull(context, &environment, request)?;
        userns::enter(&environment)?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let stream = (!self.quiet).then_some(ProgressStream::Stdout);
        pending_pull::run_pull(context, &store, &pending, stream)?;
        output::print_line(&shown.to_string())?;
        Ok(0)
    }
}
