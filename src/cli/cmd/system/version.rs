//! `version`, and the line of `--version`.

use clap::Args;
use serde_json::{Value, json};

use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::output;
use crate::output::template::Template;
use dhow_model::platform::Platform;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<VersionArgs>(
    &["version"],
    "[OPTIONS]",
    "Show the version and what it is compatible with",
);

/// The release of docker's command line that dhow follows, and the API version it reports.
const DOCKER_VERSION: &str = "28.4.0";
const API_VERSION: &str = "1.51";
const MIN_API_VERSION: &str = "1.24";

/// Arguments of `version`.
#[derive(Args)]
struct VersionArgs {
    /// Print with a Go template, or `json`
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl CommandArgs for VersionArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let data = template_data(context);
        match self.format.as_deref() {
            None | Some("") => output::print(&version_text(&data))?,
            Some("json") => output::print_line(&data.to_string())?,
            Some(template) => output::print_line(&Template::parse(template)?.render(&data)?)?,
        }
        Ok(0)
    }
}

/// Prints the line of `--version`.
pub(crate) fn print_version_line(context: &CommandContext) -> CommandResult {
    output::print_line(&match context.as_docker() {
        true => format!("Docker version {DOCKER_VERSION}, build dhow-{}", env!("CARGO_PKG_VERSION")),
        false => format!("dhow version {}", env!("CARGO_PKG_VERSION")),
    })?;
    Ok(0)
}

/// The version to report: docker's if dhow was called as `docker`, because scripts compare it.
pub(crate) fn reported_version(context: &CommandContext) -> &'static str {
    if context.as_docker() { DOCKER_VERSION } else { env!("CARGO_PKG_VERSION") }
}

fn template_data(context: &CommandContext) -> Value {
    let platform = Platform::host();
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let (version, commit) = (reported_version(context), format!("dhow-{}", env!("CARGO_PKG_VERSION")));
    let details = json!({
        "ApiVersion": API_VERSION, "Arch": platform.architecture, "GitCommit": commit,
        "KernelVersion": kernel, "MinAPIVersion": MIN_API_VERSION, "Os": platform.os,
    });
    json!({
        // docker writes `ApiVersion` in JSON and reads `APIVersion` in templates; this object serves both.
        "Client": {
            "Platform": {"Name": "dhow"}, "Version": version, "ApiVersion": API_VERSION, "APIVersion": API_VERSION,
            "DefaultAPIVersion": API_VERSION, "GitCommit": commit, "Os": platform.os, "Arch": platform.architecture,
            "Context": "default",
        },
        "Server": {
            "Platform": {"Name": "dhow"},
            "Components": [{"Name": "Engine", "Version": version, "Details": details}],
            "Version": version, "ApiVersion": API_VERSION, "APIVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION, "GitCommit": commit, "Os": platform.os,
            "Arch": platform.architecture, "KernelVersion": kernel,
        },
    })
}

fn version_text(data: &Value) -> String {
    let client = |name: &str| data["Client"][name].as_str().unwrap_or_default();
    let server = |name: &str| data["Server"][name].as_str().unwrap_or_default();
    let mut text = String::from("Client:\n");
    text += &format!(" Version:           {}\n", client("Version"));
    text += &format!(" API version:       {}\n", client("APIVersion"));
    text += &format!(" Build:             {}\n", client("GitCommit"));
    text += &format!(" OS/Arch:           {}/{}\n", client("Os"), client("Arch"));
    text += &format!(" Context:           {}\n", client("Context"));
    text += "\nServer: none; each command is its own engine\n Engine:\n";
    text += &format!("  Version:          {}\n", server("Version"));
    text += &format!(
        "  API version:      {} (minimum version {})\n",
        server("APIVersion"),
        server("MinAPIVersion")
    );
    text += &format!("  OS/Arch:          {}/{}\n", server("Os"), server("Arch"));
    text += &format!("  Kernel:           {}\n", server("KernelVersion"));
    text
}
