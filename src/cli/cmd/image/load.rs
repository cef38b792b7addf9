//! `load`: load images from an archive.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::environment;
use crate::frame::usage::UsageError;
use crate::output::progress::lines::ProgressStream;
use crate::output::{self, progress};
use dhow_engine::image::load::{LoadRequest, LoadedImage, load};
use dhow_model::platform::Platform;
use dhow_runtime::userns;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImageLoadArgs>(
    &["image load", "load"],
    "[OPTIONS]",
    "Load images from an archive that `save`, docker, podman or skopeo wrote",
);

/// Arguments of `load`.
#[derive(Args)]
struct ImageLoadArgs {
    /// Read this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Only images for this platform (os/architecture[/variant])
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// Do not show the progress
    #[arg(short, long)]
    quiet: bool,
}

impl CommandArgs for ImageLoadArgs {
    fn run(self, _context: &CommandContext) -> CommandResult {
        if self.input.is_none() && std::io::stdin().is_terminal() {
            return Err(UsageError::new("requested load from stdin, but stdin is empty")
                .with_hint("name a file with -i, or redirect standard input")
                .into());
        }
        let request = LoadRequest { input: self.input, platform: self.platform };
        let stream = (!self.quiet).then_some(ProgressStream::Stdout);
        // Layers are unpacked with the owners of their files.
        let identity = userns::enter(&environment::all())?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let loaded =
            load(&store, &request, userns::layer_ownership(&identity), &*progress::progress_on(stream))?;
        output::print(&loaded.iter().map(loaded_lines).collect::<String>())?;
        Ok(0)
    }
}

/// In docker's words: a line for each name, or the ID of an image without one.
fn loaded_lines(image: &LoadedImage) -> String {
    if image.names.is_empty() {
        return format!("Loaded image ID: {}\n", image.id);
    }
    image.names.iter().map(|name| format!("Loaded image: {}\n", name.familiar())).collect()
}
