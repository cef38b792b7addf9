//! Prints inspected objects: as a JSON list, or each through the user's template.

use serde::Serialize;

use crate::frame::command::{CommandContext, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use crate::output::template::Template;
use dhow_engine::system::inspect::{InspectRequest, InspectResult, inspect};
use dhow_runtime::userns;
use dhow_store::Store;

/// docker's exit code for an invalid template.
const BAD_TEMPLATE: u8 = 64;

/// How objects are printed.
enum InspectFormat {
    /// An indented list.
    List,
    /// A list on one line.
    Compact,
    /// Each object on a line, through the template.
    Template(Template),
}

/// Inspects and prints the objects called `names`. Missing ones are reported after the others are printed.
pub(crate) fn inspect_objects(
    context: &CommandContext,
    names: &[String],
    format: Option<&str>,
    request: &InspectRequest,
) -> CommandResult {
    let output_format = match format {
        None | Some("") => InspectFormat::List,
        Some("json") => InspectFormat::Compact,
        Some(template) => match Template::parse(template) {
            Ok(template) => InspectFormat::Template(template),
            Err(error) => {
                report::print_error(context, &error.into());
                return Ok(BAD_TEMPLATE);
            }
        },
    };
    // Counting sizes reads files of every owner and mode.
    if request.size {
        userns::enter_as_root(&environment::all())?;
    }
    let store = Store::open(environment::data_root()?)?;
    let (mut objects, mut errors) = (Vec::new(), Vec::new());
    for name in names {
        match inspect(&store, name, request) {
            Ok(object) => objects.push(object),
            Err(error) => errors.push(error),
        }
    }
    if request.size && objects.iter().any(|object| !matches!(object, InspectResult::Container(_))) {
        report::warn(context, "--size counts for containers only");
    }
    output::print(&render_objects(&output_format, &objects, &mut errors)?)?;
    errors.iter().for_each(|error| report::print_error(context, error));
    Ok(u8::from(!errors.is_empty()))
}

/// The objects as text; objects that do not fit the template are added to `errors`.
fn render_objects(
    output_format: &InspectFormat,
    objects: &[InspectResult],
    errors: &mut Vec<anyhow::Error>,
) -> anyhow::Result<String> {
    let template = match output_format {
        InspectFormat::List => return indented_json(objects),
        InspectFormat::Compact => return Ok(serde_json::to_string(objects)? + "\n"),
        InspectFormat::Template(template) => template,
    };
    let mut text = String::new();
    for object in objects {
        match template.render(&serde_json::to_value(object)?) {
            Ok(line) => text += &(line + "\n"),
            Err(error) => errors.push(error.into()),
        }
    }
    // docker ends the line even if no object was found.
    Ok(if text.is_empty() { "\n".into() } else { text })
}

/// docker indents by four spaces.
pub(super) fn indented_json(objects: &[impl Serialize]) -> anyhow::Result<String> {
    let mut json = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    objects.serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))?;
    json.push(b'\n');
    Ok(String::from_utf8(json)?)
}
