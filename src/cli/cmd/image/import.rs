//! `import`: create an image from an archive of a file system.

use std::io::IsTerminal as _;

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::frame::usage::UsageError;
use crate::output::progress::lines::ProgressStream;
use crate::output::{self, progress};
use dhow_engine::image::import::{ImportRequest, ImportSource, import};
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageImportArgs>(
    &["image import", "import"],
    "[OPTIONS] FILE|URL|- [REPOSITORY[:TAG]]",
    "Make an image of one layer from an archive of a file system",
);

/// Arguments of `import`.
#[derive(Args)]
struct ImageImportArgs {
    /// Apply this Dockerfile instruction to the image's configuration
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Remember this text as the image's comment
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// The platform that the files are for (os/architecture[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// The archive: a file, an HTTP or HTTPS address, or - for standard input
    #[arg(required = true, value_name = "FILE|URL|-")]
    source: String,
    /// The image's name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<ImageReference>,
}

impl CommandArgs for ImageImportArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        let source = parse_source(self.source);
        if source == ImportSource::Stdin && std::io::stdin().is_terminal() {
            return Err(UsageError::new("refusing to read an archive from a terminal")
                .with_hint("redirect standard input, or name a file")
                .into());
        }
        // Only downloads take long enough to be watched.
        let stream = matches!(source, ImportSource::Url(_)).then_some(ProgressStream::Stderr);
        let request = ImportRequest {
            source,
            reference: self.name,
            changes: self.change,
            message: self.message,
            platform: self.platform,
        };
        let environment = environment::all();
        // Layers are unpacked with the owners of their files.
        let identity = userns::enter(&environment)?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let ownership = userns::layer_ownership(&identity);
        let id = import(&store, &environment, &request, ownership, &*progress::progress_on(stream))?;
        output::print_line(id.as_str())?;
        Ok(0)
    }
}

fn parse_source(text: String) -> ImportSource {
    match text.as_str() {
        "-" => ImportSource::Stdin,
        url if url.starts_with("http://") || url.starts_with("https://") => ImportSource::Url(text),
        _ => ImportSource::File(text.into()),
    }
}
