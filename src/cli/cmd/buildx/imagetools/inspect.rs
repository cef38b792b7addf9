//! `buildx imagetools inspect`: show an image or index on a registry.

use clap::Args;
use serde_json::{Value, json};

use crate::frame::command::{CommandArgs, CommandContext, CommandResult};
use crate::frame::environment;
use crate::output::{self, template::Template};
use dhow_engine::buildx::imagetools::{self, RegistryInspection};
use dhow_image::manifest::Descriptor;
use dhow_model::reference::ImageReference;

#[derive(Args)]
pub(super) struct ImagetoolsInspectArgs {
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

impl CommandArgs for ImagetoolsInspectArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let reference = self.name.parse::<ImageReference>()?.or_latest();
        let inspection =
            imagetools::inspect(&environment::with_flags(context), &reference, self.format.is_some())?;
        if self.raw {
            output::print(&String::from_utf8_lossy(&inspection.raw.text))?;
            return Ok(0);
        }
        match self.format.as_deref() {
            None | Some("") => output::print(&overview(&inspection))?,
            Some(format) => {
                let template = Template::parse(format)?;
                output::print_line(&template.render(&template_data(&inspection)?)?)?;
            }
        }
        Ok(0)
    }
}

/// The data of templates.
fn template_data(inspection: &RegistryInspection) -> anyhow::Result<Value> {
    let mut manifest: Value = serde_json::from_slice(&inspection.raw.text)?;
    manifest["digest"] = json!(inspection.raw.digest);
    manifest["size"] = json!(inspection.raw.text.len());
    // As in buildx, a single image is the object itself, and several are a map by platform.
    let image = match inspection.configs.as_slice() {
        [(None, config)] => config.clone(),
        configs => configs
            .iter()
            .filter_map(|(platform, config)| Some((platform.clone()?, config.clone())))
            .collect(),
    };
    Ok(json!({"Name": inspection.reference.to_string(), "Manifest": manifest, "Image": image}))
}

/// The overview, in docker's format.
fn overview(inspection: &RegistryInspection) -> String {
    let mut text = format!(
        "Name:      {}\nMediaType: {}\nDigest:    {}\n",
        inspection.reference,
        inspection.raw.media_type.escape_debug(),
        inspection.raw.digest
    );
    let Some(entries) = &inspection.entries else { return text };
    // The trailing blanks are those of buildx's tabwriter.
    text += "           \nManifests: \n";
    let rows: Vec<String> = entries.iter().map(|entry| manifest_rows(&inspection.reference, entry)).collect();
    text += &rows.join("             \n");
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
