//! Runs `build`: shows the progress, writes the result files, and prints the result.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::flags::build::{BuildInvocation, CallFormat};
use crate::frame::command::{CommandContext, CommandResult};
use crate::frame::report;
use crate::output;
use crate::output::progress::build::{BuildDisplay, ProgressMode};
use dhow_builder::request::{BuildRequest, BuildResult, CallFunc};
use dhow_engine::image::demo::DemoImage;
use dhow_model::environment::Environment;
use dhow_store::Store;

/// Files that describe the result.
#[derive(Default)]
pub(crate) struct BuildResultFiles {
    /// The file named by `--iidfile`.
    pub(crate) id: Option<String>,
    /// The file named by `--metadata-file`.
    pub(crate) metadata: Option<String>,
}

/// Opens a display and warns about invalid colour settings.
pub(crate) fn open_display(
    context: &CommandContext,
    mode: ProgressMode,
    environment: &Environment,
) -> anyhow::Result<BuildDisplay> {
    let (display, warnings) = BuildDisplay::new(mode, environment)?;
    warnings.iter().for_each(|text| report::warn(context, text));
    Ok(display)
}

/// Runs one build.
pub(crate) fn run_build(
    context: &CommandContext,
    store: &Store,
    environment: &Environment,
    invocation: &BuildInvocation,
    files: &BuildResultFiles,
    verbose: bool,
) -> CommandResult {
    let mut display = open_display(context, invocation.mode, environment)?;
    // Before the build, so that scripts never take the ID of an earlier one for this one's.
    if let Some(path) = files.id.as_deref() {
        remove_stale_iidfile(path)?;
    }
    let built = dhow_builder::build(store, &invocation.request, environment, &DemoImage, &mut display);
    display.finish(verbose);
    // The display has ended, so the error appears below it.
    let built = match built {
        Ok(built) => built,
        Err(error) => return Ok(report_failure(context, &display, &error, verbose)),
    };
    if let (Some(path), Some(id)) = (files.id.as_deref(), result_id(&built)) {
        write_user_file(path, id.as_bytes())?;
    }
    if let Some(path) = files.metadata.as_deref() {
        write_metadata(path, &built.metadata)?;
    }
    if invocation.request.call != CallFunc::Build {
        return print_call_result(&invocation.request, invocation.format, &built);
    }
    if invocation.quiet
        && let Some(id) = result_id(&built)
    {
        output::print_line(&id)?;
    }
    Ok(0)
}

/// Prints why a build failed, after the excerpt of the Dockerfile; returns the exit code.
pub(crate) fn report_failure(
    context: &CommandContext,
    display: &BuildDisplay,
    error: &anyhow::Error,
    verbose: bool,
) -> u8 {
    if let Some(excerpt) = display.excerpt() {
        output::eprint_line(report::printable_lines(excerpt).trim_end_matches('\n'));
    }
    report::report_failed_build(context, error, verbose)
}

/// What identifies the result: the image's ID, else the digest of what was pushed.
fn result_id(built: &BuildResult) -> Option<String> {
    built.image.as_ref().or(built.manifest.as_ref()).map(ToString::to_string)
}

/// Prints the result of `--call`; the exit code is 1 for a broken rule or a Dockerfile that cannot be built.
pub(crate) fn print_call_result(
    request: &BuildRequest,
    format: CallFormat,
    built: &BuildResult,
) -> CommandResult {
    let Some((json, text)) = &built.call_output else { return Ok(0) };
    if format.json {
        output::print_line(&serde_json::to_string_pretty(json)?)?;
    } else {
        output::print(text)?;
    }
    Ok(u8::from(request.call == CallFunc::Check && !format.ignore_status && has_problems(json)))
}

/// Whether a check reported warnings or a build error.
fn has_problems(json: &Value) -> bool {
    let has_any = |key: &str| {
        // Warnings are a list, and a build error is an object or null.
        let value = json.get(key).unwrap_or(&Value::Null);
        value.as_array().map_or(!value.is_null(), |list| !list.is_empty())
    };
    has_any("warnings") || has_any("buildError")
}

/// Writes the file of `--metadata-file`.
pub(crate) fn write_metadata(path: &str, metadata: &Map<String, Value>) -> anyhow::Result<()> {
    write_user_file(path, (serde_json::to_string_pretty(metadata)? + "\n").as_bytes())
}

/// Removes the ID file of an earlier build, which must not outlive a failure of this one. Devices and links
/// stay.
fn remove_stale_iidfile(path: &str) -> anyhow::Result<()> {
    let is_file = Path::new(path).symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file {
        rustix::fs::unlink(path).with_context(|| format!("removing image ID file {path}"))?;
    }
    Ok(())
}

/// Writes a file of the user's: symlinks are followed and devices written to, so it is not replaced by a
/// rename.
fn write_user_file(path: &str, content: &[u8]) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .with_context(|| format!("cannot write `{path}`"))?;
    file.write_all(content).with_context(|| format!("cannot write `{path}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_check_that_found_something() {
        assert!(has_problems(&json!({ "warnings": [{}] })));
        assert!(has_problems(&json!({ "warnings": [], "buildError": {} })));
        assert!(!has_problems(&json!({ "warnings": [], "buildError": null })));
        assert!(!has_problems(&json!({})));
    }
}
