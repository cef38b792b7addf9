//! `import`: create an image from an archive of a file system.

use std::io::IsTerminal as _;

use clap::Args;

use crate::cli::entry::{Context, Entry, Outcome, Verb};
use crate::cli::lines::Channel;
use crate::cli::usage::UsageError;
use crate::cli::{environment, output, progress};
use crate::engine::import::{ImportRequest, Source, import};
use crate::engine::namespace;
use crate::model::platform::Platform;
use crate::model::reference::Reference;
use crate::store::Store;

pub(crate) const ENTRY: Entry = Entry::new::<Import>(
    &["image import", "import"],
    "[OPTIONS] FILE|URL|- [REPOSITORY[:TAG]]",
    "Make an image of one layer from an archive of a file system",
);

/// Arguments of `import`.
#[derive(Args)]
pub(crate) struct Import {
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
    name: Option<Reference>,
}

impl Verb for Import {
    fn run(self, _context: &Context) -> Outcome {
        let source = source(self.source);
        if source == Source::Stdin && std::io::stdin().is_terminal() {
            return Err(UsageError::words("refusing to read an archive from a terminal")
                .hinting("redirect standard input, or name a file")
                .into());
        }
        // Only downloads take long enough to be watched.
        let channel = matches!(source, Source::Url(_)).then_some(Channel::Stderr);
        let request = ImportRequest {
            source,
            reference: self.name,
            changes: self.change,
            message: self.message,
            platform: self.platform,
        };
        let environment = environment::all();
        // Layers are unpacked with the owners of their files.
        let identity = namespace::enter(&environment)?;
        let store = Store::open(environment::data_root()?)?;
        store.sweep()?;
        let ownership = namespace::ownership(&identity);
        let id = import(&store, &environment, &request, ownership, &*progress::on(channel))?;
        output::print_line(id.as_str())?;
        Ok(0)
    }
}

fn source(text: String) -> Source {
    match text.as_str() {
        "-" => Source::Stdin,
        url if url.starts_with("http://") || url.starts_with("https://") => Source::Url(text),
        _ => Source::File(text.into()),
    }
}
