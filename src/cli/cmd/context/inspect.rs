//! `context inspect`: show contexts of docker's configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cmd::inspect::indented_json;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::contexts::{self, EngineContext};
use crate::frame::engine_choice::EngineChoice;
use crate::frame::{environment, report};
use crate::output;
use crate::output::template::Template;
use dhow_model::environment::Environment;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<ContextInspectArgs>(
    &["context inspect"],
    "[OPTIONS] [CONTEXT] [CONTEXT...]",
    "Show contexts, by default the current one",
)
.without_engine();

/// Where docker says that a context is that it has in no file.
const IN_MEMORY: &str = "<IN MEMORY>";

/// Arguments of `context inspect`.
#[derive(Args)]
struct ContextInspectArgs {
    /// `json`, or a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Their names
    #[arg(value_name = "CONTEXT")]
    names: Vec<String>,
}

impl CommandArgs for ContextInspectArgs {
    fn run(mut self, context: &CommandContext) -> CommandResult {
        let environment = environment::with_flags(context);
        if self.names.is_empty() {
            let choice = EngineChoice::new(&context.globals, &environment)?;
            self.names.push(choice.context_name().to_owned());
        }
        let (mut objects, mut code) = (Vec::new(), 0);
        for name in &self.names {
            match contexts::find(&environment, name) {
                Ok(found) => objects.push(shown(&found, &environment)),
                Err(error) => {
                    report::print_error(context, &error);
                    code = 1;
                }
            }
        }
        output::print(&render(self.format.as_deref(), &objects)?)?;
        Ok(code)
    }
}

fn render(format: Option<&str>, objects: &[Value]) -> anyhow::Result<String> {
    match format {
        None => indented_json(objects),
        Some("json") => Ok(serde_json::to_string(objects)? + "\n"),
        Some(template) => {
            let template = Template::parse(template)?;
            objects.iter().map(|object| Ok(template.render(object)? + "\n")).collect()
        }
    }
}

/// In docker's format.
fn shown(context: &EngineContext, environment: &Environment) -> Value {
    let stored = |dir: fn(&Environment, &str) -> Option<PathBuf>| match context.name.as_str() {
        contexts::DEFAULT => None,
        name => dir(environment, name),
    };
    let text = |dir: Option<PathBuf>| dir.map_or(IN_MEMORY.into(), |dir| dir.display().to_string());
    let certificates = stored(contexts::tls_dir).map(|dir| file_names(&dir)).unwrap_or_default();
    json!({
        "Name": context.name,
        "Metadata": context.metadata,
        "Endpoints": context.endpoints,
        "TLSMaterial": certificates,
        "Storage": {
            "MetadataPath": text(stored(contexts::metadata_dir)), "TLSPath": text(stored(contexts::tls_dir)),
        },
    })
}

/// The names of the files in each directory of `dir`; nothing where it cannot be read.
fn file_names(dir: &Path) -> BTreeMap<String, Vec<String>> {
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    };
    names(dir).into_iter().map(|endpoint| (endpoint.clone(), names(&dir.join(endpoint)))).collect()
}
