//! `buildx imagetools`: image indexes on registries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cmd::image::fetch;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::output;
use crate::output::reindent::reindent;
use crate::output::template::Template;
use dhow_engine::buildx::imagetools::{self, ImagetoolsRequest, RegistryInspection};
use dhow_error::{Failure, invalid};
use dhow_image::manifest::Descriptor;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ImagetoolsArgs>(
    &["buildx imagetools"],
    "COMMAND",
    "Work on images that are on registries, without fetching them",
);

/// Arguments of `buildx imagetools`.
#[derive(Args)]
pub(crate) struct ImagetoolsArgs {
    #[command(subcommand)]
    action: ImagetoolsCommand,
}

#[derive(Subcommand)]
enum ImagetoolsCommand {
    /// Make an index of images on registries
    Create(ImagetoolsCreateArgs),
    /// Show what is under a name
    Inspect(ImagetoolsInspectArgs),
}

#[derive(Args)]
struct ImagetoolsCreateArgs {
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

#[derive(Args)]
struct ImagetoolsInspectArgs {
    /// Use the builder of this name, of which there is one
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// Show it through a Go template
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Show the manifest as it is
    #[arg(long)]
    raw: bool,
    /// Name of an image
    #[arg(required = true, value_name = "NAME")]
    name: String,
}

impl CommandArgs for ImagetoolsArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        match self.action {
            ImagetoolsCommand::Create(create) => create.run(context),
            ImagetoolsCommand::Inspect(inspect) => inspect.run(context),
        }
    }
}

impl ImagetoolsCreateArgs {
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
        let environment = fetch::command_environment(context);
        let made = imagetools::assemble_index(&environment, &request)?;
        if dry_run {
            output::print_line(&reindent(&String::from_utf8_lossy(made.text()), "  "))?;
            return Ok(0);
        }
        imagetools::push(&environment, &request, &made, &mut |line| {
            if !quiet {
                output::eprint_line(line);
            }
            Ok(())
        })?;
        Ok(0)
    }

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
    let mut all = BTreeMap::new();
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
        all.insert(key.to_owned(), value.to_owned());
    }
    Ok(all)
}

impl ImagetoolsInspectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let reference = self.name.parse::<ImageReference>()?.or_latest();
        let found =
            imagetools::inspect(&fetch::command_environment(context), &reference, self.format.is_some())?;
        if self.raw {
            output::print(&String::from_utf8_lossy(&found.raw.text))?;
            return Ok(0);
        }
        match self.format.as_deref() {
            None | Some("") => output::print(&overview(&found))?,
            Some(format) => {
                let template = Template::parse(format)?;
                output::print_line(&template.render(&template_data(&found)?)?)?;
            }
        }
        Ok(0)
    }
}

/// The data of templates.
fn template_data(found: &RegistryInspection) -> anyhow::Result<Value> {
    let mut manifest: Value = serde_json::from_slice(&found.raw.text)?;
    manifest["digest"] = json!(found.raw.digest);
    manifest["size"] = json!(found.raw.text.len());
    let image = match found.configs.as_slice() {
        [(None, config)] => config.clone(),
        configs => configs
            .iter()
            .filter_map(|(platform, config)| Some((platform.clone()?, config.clone())))
            .collect(),
    };
    Ok(json!({"Name": found.reference.to_string(), "Manifest": manifest, "Image": image}))
}

/// The overview, in docker's format.
fn overview(found: &RegistryInspection) -> String {
    let mut text = format!(
        "Name:      {}\nMediaType: {}\nDigest:    {}\n",
        found.reference,
        found.raw.media_type.escape_debug(),
        found.raw.digest
    );
    let Some(entries) = &found.entries else { return text };
    text += "           \nManifests: \n";
    let each: Vec<String> = entries.iter().map(|entry| manifest_rows(&found.reference, entry)).collect();
    text += &each.join("             \n");
    text
}

fn manifest_rows(reference: &ImageReference, entry: &Descriptor) -> String {
    let mut text = format!(
        "  Name:        {}@{}\n  MediaType:   {}\n",
        reference,
        entry.digest,
        entry.media_type.escape_debug()
    );
    if let Some(platform) = &entry.platform {
        text += &format!("  Platform:    {}\n", platform.to_platform().to_string().escape_debug());
    }
    if !entry.annotations.is_empty() {
        text += "  Annotations: \n";
        for (key, value) in &entry.annotations {
            text += &format!("    {}: {}\n", key.escape_debug(), value.escape_debug());
        }
    }
    text
}
