//! `bake`: build the targets of bake files.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::builders;
use crate::cmd::buildx::bake_run::{self, BakeOptions};
use crate::flags::build::{invocation_env, parse_call, progress_mode};
use crate::flags::files::read_limited;
use crate::frame::command::{CommandArgs, CommandContext, CommandEntry, CommandResult};
use crate::frame::{environment, report};
use crate::output;
use crate::output::progress::build::ProgressMode;
use crate::output::table;
use dhow_builder::bake::{BakeConfig, BakeFile, BakeListing, DEFAULT_FILES};
use dhow_builder::buildflags::ClientEnv;
use dhow_error::{invalid, not_found};
use dhow_model::environment::Environment;
use dhow_model::flags::csv;
use dhow_store::Store;

pub(crate) const ENTRY: CommandEntry = CommandEntry::new::<BuildxBakeArgs>(
    &["buildx bake", "bake", "buildx f"],
    "[OPTIONS] [TARGET...]",
    "Build what files of targets describe (HCL, JSON, compose)",
);

/// Arguments of `bake`.
#[derive(Args)]
struct BuildxBakeArgs {
    /// Allow what needs more rights: network.host, security.insecure
    #[arg(long, value_name = "RIGHT")]
    allow: Vec<String>,
    /// Builder, one of `buildx ls`: they are all the same
    #[arg(long, value_name = "NAME")]
    builder: Option<String>,
    /// Instead of building: check, outline or targets, with `,format=json` as JSON
    #[arg(long, value_name = "WHAT", default_value = "build", hide_default_value = true)]
    call: String,
    /// The same as --call=check
    #[arg(long)]
    check: bool,
    /// Explain warnings, and show each cause of an error
    #[arg(short = 'D', long)]
    debug: bool,
    /// File of targets, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Vec<String>,
    /// List `targets` or `variables` and stop; `type=targets,format=json` as JSON
    #[arg(long, value_name = "WHAT")]
    list: Option<String>,
    /// What --list=targets was called
    #[arg(long, hide = true)]
    list_targets: bool,
    /// What --list=variables was called
    #[arg(long, hide = true)]
    list_variables: bool,
    /// Put images into the store, also where another output is asked for
    #[arg(long)]
    load: bool,
    /// Write what came out into this file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<String>,
    /// Carry every step out anew
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    no_cache: Option<String>,
    /// Print the targets as they come to be, and stop
    #[arg(long)]
    print: bool,
    /// How to show what goes on: auto, plain, tty, quiet, rawjson
    #[arg(long, value_name = "KIND")]
    progress: Option<ProgressMode>,
    /// Provenance attestation: false, true, or attributes such as mode=max
    #[arg(long, value_name = "ATTRIBUTES")]
    provenance: Option<String>,
    /// Ask the registry for base images that are here already
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pull: Option<String>,
    /// Push images
    #[arg(long)]
    push: bool,
    /// Attestation of what is in the image: false, true, or attributes
    #[arg(long, value_name = "ATTRIBUTES")]
    sbom: Option<String>,
    /// Change targets, TARGET.KEY=VALUE, where TARGET may be a pattern
    #[arg(long, value_name = "CHANGE")]
    set: Vec<String>,
    /// Targets or groups; `default` if left out
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl CommandArgs for BuildxBakeArgs {
    fn run(self, context: &CommandContext) -> CommandResult {
        let verbose = self.debug || context.globals.verbose();
        match self.bake(context, verbose) {
            Ok(code) => Ok(code),
            // Usage errors have exit codes of their own, all others are failed builds.
            Err(error) if report::is_usage_error(&error) => Err(error),
            Err(error) => Ok(report::report_failed_build(context, &error, verbose)),
        }
    }
}

impl BuildxBakeArgs {
    fn bake(&self, context: &CommandContext, verbose: bool) -> CommandResult {
        let client_env = invocation_env(context)?;
        if let Some(url) = self.targets.iter().find(|target| target.contains("://")) {
            return Err(dhow_error::unsupported(format!(
                "the definition {url:?} is remote: dhow reads files of targets from this machine"
            ))
            .hint("fetch it first, and name it with -f")
            .into());
        }
        let bake = BakeConfig::parse(&self.definition_files(&client_env)?, &client_env)?;
        if let Some((variables, json)) = self.list_mode()? {
            let listings = if variables { bake.variables(&client_env) } else { bake.targets() };
            output::print(&definition_list(&listings, variables, json)?)?;
            return Ok(0);
        }
        // Listing and --print need no store, so they also work where none can be made.
        let resolved = bake.resolve(&self.targets, &self.overrides(), &client_env)?;
        if self.print {
            output::print_line(&resolved.printed())?;
            return Ok(0);
        }
        let (call, format) = parse_call(if self.check { "check" } else { &self.call })?;
        let store = Store::open(environment::data_root()?)?;
        builders::check_builder(&store, self.builder.as_deref())?;
        let options = BakeOptions {
            resolved: &resolved,
            invocation_env: &client_env,
            allow: &self.allow,
            call,
            format,
            mode: progress_mode(self.progress, false, &client_env.environment)?,
            metadata: self.metadata_file.as_deref(),
            verbose,
        };
        bake_run::run_bake(context, &store, &options)
    }

    /// The values of `--set`, and of flags that set a key of all targets.
    fn overrides(&self) -> Vec<String> {
        let mut overrides = self.set.clone();
        let flags = [
            ("push", self.push.then(|| "true".to_owned())),
            ("load", self.load.then(|| "true".to_owned())),
            ("no-cache", self.no_cache.clone()),
            ("pull", self.pull.clone()),
            ("provenance", self.provenance.clone()),
            ("sbom", self.sbom.clone()),
        ];
        // After --set: as in buildx, these flags win.
        overrides.extend(flags.into_iter().filter_map(|(key, value)| Some(format!("*.{key}={}", value?))));
        overrides
    }

    /// What `--list` asks for: whether variables rather than targets, and whether as JSON.
    fn list_mode(&self) -> anyhow::Result<Option<(bool, bool)>> {
        if self.list_targets || self.list_variables {
            return Ok(Some((self.list_variables, false)));
        }
        let Some(text) = &self.list else { return Ok(None) };
        let (mut variables, mut json) = (None, false);
        for field in csv::fields(text)? {
            match field.split_once('=').unwrap_or(("type", &field)) {
                ("type", "targets") => variables = Some(false),
                ("type", "variables") => variables = Some(true),
                ("format", format) => json = format == "json",
                _ => return Err(invalid(format!("invalid list mode {text:?}: targets or variables")).into()),
            }
        }
        match variables {
            Some(variables) => Ok(Some((variables, json))),
            None => Err(invalid(format!("invalid list mode {text:?}: targets or variables")).into()),
        }
    }

    fn definition_files(&self, client_env: &ClientEnv) -> anyhow::Result<Vec<BakeFile>> {
        let names = match self.file.is_empty() {
            false => self.file.clone(),
            true => files_from_environment(&client_env.environment),
        };
        if !names.is_empty() {
            return names.iter().map(|name| read_definition(name, client_env)).collect();
        }
        let files: Vec<BakeFile> = DEFAULT_FILES
            .iter()
            .filter(|name| client_env.absolute(name).is_file())
            .map(|name| read_definition(name, client_env))
            .collect::<Result<_, _>>()?;
        if files.is_empty() {
            let names = DEFAULT_FILES.join(", ");
            return Err(not_found("couldn't find a bake definition")
                .hint(format!("-f names one; these are looked for: {names}"))
                .into());
        }
        Ok(files)
    }
}

/// The files named by `BUILDX_BAKE_FILE`.
fn files_from_environment(environment: &Environment) -> Vec<String> {
    let separator = environment.text("BUILDX_BAKE_PATH_SEPARATOR").unwrap_or(":");
    let names = environment.text("BUILDX_BAKE_FILE").unwrap_or_default();
    names.split(separator).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn read_definition(name: &str, client_env: &ClientEnv) -> anyhow::Result<BakeFile> {
    if name == "-" {
        return Ok(BakeFile { name: "-".into(), content: read_whole(std::io::stdin(), name)?, dotenv: None });
    }
    // buildx marks local files so where the definition itself is remote.
    let path = client_env.absolute(name.strip_prefix("cwd://").unwrap_or(name));
    let file = std::fs::File::open(&path).with_context(|| format!("cannot read `{name}`"))?;
    // Compose files take variables from the `.env` in their directory.
    let dotenv_path = path.parent().unwrap_or(Path::new("/")).join(".env");
    let dotenv = match std::fs::File::open(dotenv_path) {
        Ok(file) => Some(read_whole(file, ".env")?),
        Err(_) => None,
    };
    Ok(BakeFile { name: name.to_owned(), content: read_whole(file, name)?, dotenv })
}

fn read_whole(reader: impl std::io::Read, name: &str) -> anyhow::Result<Vec<u8>> {
    let content = read_limited(reader).with_context(|| format!("cannot read `{name}`"))?;
    content.ok_or_else(|| invalid(format!("`{name}` is larger than 16 MiB")).into())
}

/// A table as buildx prints it, or JSON.
fn definition_list(listings: &[BakeListing], variables: bool, json: bool) -> anyhow::Result<String> {
    if json {
        return Ok(serde_json::to_string_pretty(&definition_json(listings, variables))? + "\n");
    }
    let mut text = String::from(match variables {
        true => "VARIABLE\tTYPE\tVALUE\tDESCRIPTION\n",
        false => "TARGET\tDESCRIPTION\n",
    });
    for listing in listings {
        let description = listing.description.as_deref().unwrap_or_default();
        let value = listing.value.as_ref();
        text += &match (variables, value) {
            (true, value) => {
                let shown = match value {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Null) | None => "<null>".into(),
                    Some(other) => other.to_string(),
                };
                let kind = listing.kind.as_deref().unwrap_or_default();
                format!("{}\t{kind}\t{shown}\t{description}\n", listing.name)
            }
            // A group without a description is described by its members.
            (false, Some(Value::Array(members))) if description.is_empty() => {
                let members: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
                format!("{}\t{}\n", listing.name, members.join(", "))
            }
            (false, _) => format!("{}\t{description}\n", listing.name),
        };
    }
    Ok(table::align_columns(&text))
}

fn definition_json(listings: &[BakeListing], variables: bool) -> Value {
    let row = |listing: &BakeListing| match variables {
        true => json!(listing),
        false => json!({
            "name": listing.name, "description": listing.description, "group": listing.value.is_some(),
        }),
    };
    listings.iter().map(row).collect()
}
