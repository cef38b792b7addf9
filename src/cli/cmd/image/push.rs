//! `push`: upload images to a registry.

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output::progress::lines::ProgressStream;
use crate::output::{self, progress};
use dhow_engine::image::push::{self, PushRequest};
use dhow_error::{Failure, invalid, unsupported};
use dhow_image::compress::Compression;
use dhow_image::push::PushFormat;
use dhow_model::platform::Platform;
use dhow_model::reference::{DEFAULT_TAG, ImageReference};
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImagePushArgs>(
    &["image push", "push"],
    "[OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
);

/// Arguments of `push`.
#[derive(Args)]
struct ImagePushArgs {
    /// Upload all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// How layers are compressed: gzip, zstd or uncompressed; without it blobs that the registry has are used as they are
    #[arg(long, value_name = "SORT")]
    compression: Option<String>,
    /// How much effort goes into that: 0 to 9 for gzip, 0 to 22 for zstd
    #[arg(long, value_name = "N")]
    compression_level: Option<i64>,
    /// Do not sign; dhow has no Notary client, so nothing else is possible
    #[arg(long, default_value = "true")]
    disable_content_trust: bool,
    /// The manifest's sort: docker or oci; without it the image's own, else docker
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The one platform to upload of an image for several (os/architecture[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Print the name of the image only
    #[arg(short, long)]
    quiet: bool,
    #[arg(value_name = "NAME[:TAG]", required = true)]
    name: String,
}

impl ImagePushArgs {
    fn manifest_options(&self) -> Result<PushFormat, Failure> {
        let oci = match self.format.as_deref() {
            None => None,
            Some("oci") => Some(true),
            Some("docker" | "v2s2") => Some(false),
            Some(other) => {
                return Err(invalid(format!("`{}` is not a format: docker or oci", other.escape_debug())));
            }
        };
        let compression = match (&self.compression, self.compression_level) {
            (None, None) => return Ok(PushFormat { oci, ..PushFormat::default() }),
            (kind, level) => Compression::from_name(kind.as_deref().unwrap_or("gzip"), level)?,
        };
        Ok(PushFormat { compression, force: true, oci })
    }
}

impl CommandArgs for ImagePushArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        if !self.disable_content_trust {
            return Err(unsupported("dhow cannot sign for Docker Content Trust").into());
        }
        let form = self.manifest_options()?;
        let reference: ImageReference = self.name.parse()?;
        let untagged = reference.tag().is_none() && reference.digest().is_none();
        // As docker does where no tag was given.
        if !self.quiet && !self.all_tags && untagged {
            output::print_line(&format!("Using default tag: {DEFAULT_TAG}"))?;
        }
        let shown = if self.all_tags { reference.clone() } else { reference.clone().or_latest() };
        let request =
            PushRequest { reference: shown.clone(), all_tags: self.all_tags, platform: self.platform, form };
        let environment = environment::with_flags(context);
        // Before the user namespace is entered, so that credential helpers run as the user.
        let prepared = push::prepare(&environment, request)?;
        prepared.target.warnings.iter().for_each(|warning| report::warn(context, warning));
        userns::enter(&environment)?;
        let store = Store::open(environment::data_root()?)?;
        let stream = (!self.quiet).then_some(ProgressStream::Stdout);
        push::push(&store, &prepared, &*progress::progress_on(stream))?;
        if self.quiet {
            output::print_line(&shown.to_string())?;
        }
        Ok(0)
    }
}
