//! `buildx imagetools create`: make an index of images on registries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::frame::command::{CommandArgs, CommandContext, CommandResult};
use crate::frame::environment;
use crate::output::{self, reindent::reindent};
use dhow_engine::buildx::imagetools::{self, ImagetoolsRequest};
use dhow_error::{Failure, invalid};
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

#[derive(Args)]
pub(super) struct ImagetoolsCreateArgs {
    /// Annotations of the index (KEY=VALUE)
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Add to what the first tag stands for
    #[arg(long)]
    append: bool,
    /// Use the builder of this name, of which there is one
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// Show the result instead of uploading it
    #[arg(long)]
    dry_run: bool,
    /// Read names or descriptors from this file, one a line
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Only these platforms
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Make an index even of a single image; with =false it is copied as it is
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    prefer_index: bool,
    /// How progress is shown; what there is to show is a line for each tag
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    progress: String,
    /// Names for it
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// What it is made of: names, digests or descriptors
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
}

impl CommandArgs for ImagetoolsCreateArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let quiet = match self.progress.as_str() {
            "quiet" | "none" => true,
            "auto" | "plain" | "tty" | "rawjson" => false,
            other => {
                return Err(invalid(format!("`{}` is not a sort of progress", other.escape_debug())).into());
            }
        };
        let dry_run = self.dry_run;
        let request = self.request()?;
        if request.tags.is_empty() && !dry_run {
            return Err(invalid("can't push with no tags specified, please set --tag or --dry-run").into());
        }
        let environment = environment::with_flags(context);
        let index = imagetools::assemble_index(&environment, &request)?;
        if dry_run {
            output::print_line(&reindent(&String::from_utf8_lossy(index.text()), "  "))?;
            return Ok(0);
        }
        imagetools::push(&environment, &request, &index, &mut |line| {
            if !quiet {
                output::eprint_line(line);
            }
            Ok(())
        })?;
        Ok(0)
    }
}

impl ImagetoolsCreateArgs {
    fn request(self) -> anyhow::Result<ImagetoolsRequest> {
        let mut sources = self.sources;
        for file in &self.file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| invalid(format!("cannot read {}: {error}", file.display())))?;
            // A file holds one JSON descriptor, on any number of lines, or a name on each line.
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => sources.push(value.to_string()),
                Err(_) => sources
                    .extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned)),
            }
        }
        let tags = self.tag.iter().map(|tag| Ok(tag.parse::<ImageReference>()?.or_latest()));
        Ok(ImagetoolsRequest {
            tags: tags.collect::<Result<_, Failure>>()?,
            sources,
            append: self.append,
            prefer_index: self.prefer_index,
            platforms: self.platform,
            annotations: parse_annotations(&self.annotation)?,
        })
    }
}

/// Parses `[index:]KEY=VALUE`.
fn parse_annotations(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut annotations = BTreeMap::new();
    for text in texts {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| invalid(format!("invalid annotation \"{}\": no value", text.escape_debug())))?;
        // Without a type, an annotation is for the index.
        let key = key.strip_prefix("index:").unwrap_or(key);
        if ["manifest", "manifest-descriptor", "index-descriptor"]
            .iter()
            .any(|kind| key.strip_prefix(kind).is_some_and(|rest| rest.starts_with([':', '['])))
        {
            let message = format!("the annotation \"{}\" is not one of the index", text.escape_debug());
            return Err(invalid(message).hint("manifests that exist are not changed here"));
        }
        annotations.insert(key.to_owned(), value.to_owned());
    }
    Ok(annotations)
}
