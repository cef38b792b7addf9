//! `save`: write images to an archive.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::frame::usage::UsageError;
use crate::output;
use dhow_engine::image::save::{SaveRequest, save, save_to_file};
use dhow_model::platform::Platform;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageSaveArgs>(
    &["image save", "save"],
    "[OPTIONS] IMAGE [IMAGE...]",
    "Write images to an archive that docker, podman and skopeo read",
);

/// Arguments of `save`.
#[derive(Args)]
struct ImageSaveArgs {
    /// Write this file instead of standard output; it appears when it is complete
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fail for images of other platforms (os/architecture[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Names or IDs; a name without a tag means all tags
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl CommandArgs for ImageSaveArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        if self.output.is_none() && output::stdout_is_terminal() {
            return Err(UsageError::new("refusing to write an archive to a terminal")
                .with_hint("name a file with -o, or redirect standard output")
                .into());
        }
        let request = SaveRequest { images: self.images, platform: self.platform };
        // Layers hold files of any owner.
        userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        match &self.output {
            Some(path) => save_to_file(&store, &request, path)?,
            None => {
                // An archive is written in many small pieces.
                let mut out = BufWriter::with_capacity(256 << 10, output::stdout());
                save(&store, &request, &mut out)?;
                out.flush()?;
            }
        }
        Ok(0)
    }
}
