//! Runs `build`: shows the progress, writes the result files, and prints the result.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::entry::{Context, Outcome};
use super::flags::build::{Format, Order};
use super::progress::build::{Display, Mode};
use super::{output, report};
use crate::engine::build;
use crate::engine::build::request::{BuildRequest, Built, Call};
use crate::model::environment::Environment;
use crate::store::Store;

/// Files that describe the result.
#[derive(Default)]
pub(crate) struct Files {
    /// The file named by `--iidfile`.
    pub(crate) id: Option<String>,
    /// The file named by `--metadata-file`.
    pub(crate) metadata: Option<String>,
}

/// Opens a display and warns about invalid colour settings.
pub(crate) fn display(context: &Context, mode: Mode, environment: &Environment) -> anyhow::Result<Display> {
    let (display, warnings) = Display::new(mode, environment)?;
    warnings.iter().for_each(|text| report::warn(context, text));
    Ok(display)
}

/// Runs one build.
pub(crate) fn run(
    context: &Context,
    store: &Store,
    environment: &Environment,
    order: &Order,
    files: &Files,
    verbose: bool,
) -> Outcome {
    let mut display = display(context, order.mode, environment)?;
    // Before the build, so that scripts never take the ID of an earlier one for this one's.
    if let Some(path) = files.id.as_deref() {
        forget(path)?;
    }
    let built = build::build(store, &order.request, environment, &mut display);
    display.finish(verbose);
    // The display has ended, so the error appears below it.
    let built = match built {
        Ok(built) => built,
        Err(error) => return Ok(failed(context, &display, &error, verbose)),
    };
    if let (Some(path), Some(id)) = (files.id.as_deref(), id_of(&built)) {
        write(path, id.as_bytes())?;
    }
    if let Some(path) = files.metadata.as_deref() {
        write_metadata(path, &built.metadata)?;
    }
    if order.request.call != Call::Build {
        return answer(&order.request, order.format, &built);
    }
    if order.quiet
        && let Some(id) = id_of(&built)
    {
        output::print_line(&id)?;
    }
    Ok(0)
}

/// Prints why a build failed, after the excerpt of the Dockerfile; returns the exit code.
pub(crate) fn failed(context: &Context, display: &Display, error: &anyhow::Error, verbose: bool) -> u8 {
    if let Some(excerpt) = display.excerpt() {
        output::note(report::printable_lines(excerpt).trim_end_matches('\n'));
    }
    report::failed_build(context, error, verbose)
}

/// What identifies the result: the image's ID, else the digest of what was pushed.
pub(crate) fn id_of(built: &Built) -> Option<String> {
    built.image.as_ref().or(built.manifest.as_ref()).map(ToString::to_string)
}

/// Prints the result of `--call`; the exit code is 1 for a broken rule or a Dockerfile that cannot be built.
pub(crate) fn answer(request: &BuildRequest, format: Format, built: &Built) -> Outcome {
    let Some((json, text)) = &built.answer else { return Ok(0) };
    if format.json {
        output::print_line(&serde_json::to_string_pretty(json)?)?;
    } else {
        output::print(text)?;
    }
    Ok(u8::from(request.call == Call::Check && !format.ignore_status && is_bad(json)))
}

/// Whether a check reported warnings or a build error.
fn is_bad(json: &Value) -> bool {
    let some = |key: &str| {
        let value = json.get(key).unwrap_or(&Value::Null);
        value.as_array().map_or(!value.is_null(), |list| !list.is_empty())
    };
    some("warnings") || some("buildError")
}

/// Writes the file of `--metadata-file`.
pub(crate) fn write_metadata(path: &str, metadata: &Map<String, Value>) -> anyhow::Result<()> {
    write(path, (serde_json::to_string_pretty(metadata)? + "\n").as_bytes())
}

/// Removes the ID file of an earlier build, which must not outlive a failure of this one. Devices and links
/// stay.
fn forget(path: &str) -> anyhow::Result<()> {
    let is_file = Path::new(path).symlink_metadata().is_ok_and(|found| found.is_file());
    if is_file {
        rustix::fs::unlink(path).with_context(|| format!("removing image ID file {path}"))?;
    }
    Ok(())
}

/// Writes a file of the user's: symlinks are followed and devices written to, so it is not replaced by a
/// rename.
fn write(path: &str, content: &[u8]) -> anyhow::Result<()> {
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
        assert!(is_bad(&json!({ "warnings": [{}] })));
        assert!(is_bad(&json!({ "warnings": [], "buildError": {} })));
        assert!(!is_bad(&json!({ "warnings": [], "buildError": null })));
        assert!(!is_bad(&json!({})));
    }
}
