//! Flags that name and describe a container, and flags about its end.

use std::path::PathBuf;

use clap::Args;

use super::pairs::{label_map, parse_pairs, read_pair_files, resolve_value};
use dhow_model::container::ContainerSpec;
use dhow_model::flags::hosts;
use dhow_model::flags::key_value::{self, KeyValue};
use dhow_model::{object_name, signal};

/// The name, labels, removal and stopping of a container.
#[derive(Args)]
pub(crate) struct IdentityFlags {
    /// Name of the container; one is made up otherwise
    #[arg(long, value_name = "NAME", value_parser = object_name::check)]
    name: Option<String>,
    /// Host name inside; by default the beginning of the container's ID
    #[arg(short = 'h', long, value_name = "NAME", value_parser = hosts::check_hostname)]
    hostname: Option<String>,
    /// NIS domain name inside
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Label, NAME=VALUE or NAME
    #[arg(short, long, value_name = "LABEL", value_parser = key_value::parse_label)]
    label: Vec<KeyValue>,
    /// File with a label on each line; a name alone has its value from the environment, if it is set there
    #[arg(long, value_name = "FILE")]
    label_file: Vec<String>,
    /// Annotation, NAME=VALUE
    #[arg(long, value_name = "ANNOTATION")]
    annotation: Vec<String>,
    /// Write the container's ID to this new file
    #[arg(long, value_name = "FILE")]
    pub(super) cidfile: Option<PathBuf>,
    /// Remove the container and its anonymous volumes when it ends
    #[arg(long)]
    rm: bool,
    /// Run a small init as process 1 that forwards signals and reaps
    #[arg(long)]
    init: bool,
    /// Signal that asks the container to stop
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds to wait for that before killing
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<i64>,
    /// Verify signatures of the image: not possible, so only the default (do not) is accepted
    #[arg(long, default_value = "true", hide = true)]
    disable_content_trust: bool,
}

impl IdentityFlags {
    pub(super) fn fill(self, spec: &mut ContainerSpec) -> anyhow::Result<()> {
        if !self.disable_content_trust {
            return Err(dhow_error::unsupported(
                "--disable-content-trust=false: content trust is not supported",
            )
            .into());
        }
        if let Some(text) = &self.stop_signal {
            // Stored as given, but checked now.
            signal::parse(text)?;
        }
        // Labels of files come first, so that flags win.
        let from_files = read_pair_files("--label-file", &self.label_file)?;
        let from_files = from_files.into_iter().map(resolve_value).filter(|label| label.value.is_some());
        spec.labels = label_map(from_files.chain(self.label).collect());
        spec.annotations.extend(parse_pairs(&self.annotation, "annotation")?);
        spec.name = self.name.unwrap_or_default();
        spec.hostname = self.hostname;
        spec.domainname = self.domainname;
        spec.auto_remove = self.rm;
        spec.init = self.init;
        spec.stop_signal = self.stop_signal;
        spec.stop_timeout = self.stop_timeout;
        Ok(())
    }
}
