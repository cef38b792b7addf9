//! The output of `--call outline` (the parameters of a target) and `--call targets` (the targets of a file).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::arguments;
use super::ast::{ArgDeclaration, Dockerfile, Instruction, LineRange, Statement};
use super::check::{CheckInputs, StageScope, initial_scope, location};
use super::dockerfile::description_of;
use super::expand::{self, ReferencedNames};
use super::{reachability, run_mount};
use dhow_error::Failure;

/// The parameters of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetOutline {
    name: String,
    description: String,
    arguments: Vec<BuildArgument>,
    secrets: Vec<RequiredMount>,
    ssh: Vec<RequiredMount>,
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct BuildArgument {
    name: String,
    value: String,
    description: String,
    lines: LineRange,
}

/// A secret or an SSH agent that some `RUN` mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RequiredMount {
    name: String,
    required: bool,
    lines: LineRange,
}

impl TargetOutline {
    /// Describes the target of `file`, whose text is `source`, including the stages it needs.
    pub fn describe(file: &Dockerfile, source: &str, inputs: &CheckInputs<'_>) -> Result<Self, Failure> {
        let target = reachability::target_stage(file, inputs.target)?;
        let platform =
            arguments::platform_args(inputs.build, inputs.platform, inputs.target.unwrap_or_default());
        let globals = arguments::global_args(file, &platform, inputs.given)?;
        let needed = reachability::needed_stages(file, target, &globals);
        let mut builder =
            OutlineBuilder { file, inputs, globals: &globals, parameters: OutlineParameters::default() };
        builder.global_arguments(&platform)?;
        let mut states = Vec::with_capacity(file.stages.len());
        for index in 0..file.stages.len() {
            states.push(builder.stage(index, needed.contains(&index), &states)?);
        }
        let parameters = builder.parameters;
        // Collected stage by stage, shown in file order.
        let by_line = |mut mounts: Vec<RequiredMount>| {
            mounts.sort_by_key(|mount| *mount.lines.start());
            mounts
        };
        let mut arguments: Vec<BuildArgument> = parameters
            .arguments
            .into_iter()
            // Only what the target uses, directly or by a default.
            .filter(|(name, _)| parameters.used.contains(name))
            .map(|(_, argument)| argument)
            .collect();
        arguments.sort_by_key(|argument| *argument.lines.start());
        let stage = file.stages.get(target);
        Ok(Self {
            name: stage.and_then(|stage| stage.name.clone()).unwrap_or_default(),
            description: stage.and_then(|stage| stage.comment.clone()).unwrap_or_default(),
            arguments,
            secrets: by_line(parameters.secrets),
            ssh: by_line(parameters.ssh),
            source: source.to_owned(),
        })
    }

    /// As text, in BuildKit's table layout.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.name.is_empty() || !self.description.is_empty() {
            let name = if self.name.is_empty() { "(default)" } else { &self.name };
            let mut rows = vec![vec!["TARGET:", name]];
            if !self.description.is_empty() {
                rows.push(vec!["DESCRIPTION:", &self.description]);
            }
            text.push_str(&table(&rows, 1));
            text.push('\n');
        }
        if !self.arguments.is_empty() {
            let mut rows = vec![vec!["BUILD ARG", "VALUE", "DESCRIPTION"]];
            rows.extend(self.arguments.iter().map(|argument| {
                vec![argument.name.as_str(), argument.value.as_str(), argument.description.as_str()]
            }));
            text.push_str(&table(&rows, 3));
            text.push('\n');
        }
        for (title, mounts) in [("SECRET", &self.secrets), ("SSH", &self.ssh)] {
            if mounts.is_empty() {
                continue;
            }
            let mut rows = vec![vec![title, "REQUIRED"]];
            rows.extend(
                mounts
                    .iter()
                    .map(|mount| vec![mount.name.as_str(), if mount.required { "true" } else { "" }]),
            );
            text.push_str(&table(&rows, 3));
            text.push('\n');
        }
        text
    }

    /// As JSON, in the format of BuildKit's `frontend.outline`.
    pub fn json(&self) -> Value {
        let needed = |mounts: &[RequiredMount]| -> Value {
            let entry = |mount: &RequiredMount| json!({ "name": mount.name, "required": mount.required, "location": location(&mount.lines) });
            mounts.iter().map(entry).map(without_empty).collect()
        };
        let arguments: Value = self
            .arguments
            .iter()
            .map(|argument| {
                without_empty(json!({
                    "name": argument.name,
                    "description": argument.description,
                    "value": argument.value,
                    "location": location(&argument.lines),
                }))
            })
            .collect();
        without_empty(json!({
            "name": self.name,
            "description": self.description,
            "args": arguments,
            "secrets": needed(&self.secrets),
            "ssh": needed(&self.ssh),
            "sources": [STANDARD.encode(&self.source)],
        }))
    }
}

#[derive(Default)]
struct OutlineParameters {
    /// All declared arguments, each as declared last.
    arguments: BTreeMap<String, BuildArgument>,
    /// The variables that the defaults of global arguments refer to.
    references: BTreeMap<String, ReferencedNames>,
    /// Those that a needed stage uses.
    used: BTreeSet<String>,
    secrets: Vec<RequiredMount>,
    ssh: Vec<RequiredMount>,
}

impl OutlineParameters {
    /// Transitive: a used global argument uses what its default refers to.
    fn mark_used(&mut self, names: impl IntoIterator<Item = String>) {
        let mut pending: Vec<String> = names.into_iter().collect();
        while let Some(name) = pending.pop() {
            if let Some(needs) = self.references.get(&name)
                && !self.used.contains(&name)
            {
                pending.extend(needs.used.iter().cloned());
            }
            self.used.insert(name);
        }
    }
}

struct OutlineBuilder<'a> {
    file: &'a Dockerfile,
    inputs: &'a CheckInputs<'a>,
    globals: &'a BTreeMap<String, String>,
    parameters: OutlineParameters,
}

impl OutlineBuilder<'_> {
    fn declare(&mut self, argument: &ArgDeclaration, value: Option<String>, statement: &Statement) {
        let build_argument = BuildArgument {
            name: argument.name.clone(),
            value: value.unwrap_or_default(),
            description: description_of(&statement.comments, &argument.name).unwrap_or_default(),
            lines: statement.lines.clone(),
        };
        self.parameters.arguments.insert(argument.name.clone(), build_argument);
    }

    /// Global arguments, in order; each sees those before it.
    fn global_arguments(&mut self, platform: &[(String, String)]) -> Result<(), Failure> {
        let file = self.file;
        let mut scope = platform.to_vec();
        for statement in &file.arguments {
            let Instruction::Arg(declarations) = &statement.instruction else { continue };
            for argument in declarations {
                let escape = file.directives.escape;
                let (value, names) =
                    arguments::resolve_stage_arg(argument, escape, self.inputs.given, &(), &scope)
                        .map_err(|failure| failure.at(statement.lines.clone()))?;
                scope.extend(value.clone().map(|value| (argument.name.clone(), value)));
                self.parameters.references.insert(argument.name.clone(), names);
                self.declare(argument, value, statement);
            }
        }
        Ok(())
    }

    /// Walks a stage and returns its final scope.
    fn stage(&mut self, index: usize, needed: bool, states: &[StageScope]) -> Result<StageScope, Failure> {
        let mut state = initial_scope(self.file, index, self.inputs, self.globals, states);
        let file = self.file;
        let Some(stage) = file.stages.get(index) else { return Ok(state) };
        let escape = file.directives.escape;
        if needed {
            for text in std::iter::once(&stage.base).chain(&stage.platform) {
                let names = expand::expand_word(text, escape, self.globals)?.names;
                self.parameters.mark_used(names.used);
            }
        }
        for statement in &stage.statements {
            let expanded = expand::expand_instruction(&statement.instruction, escape, &state.variables);
            let located = |failure: Failure| failure.at(statement.lines.clone());
            let expanded = match expanded {
                // It may be right with the variables of the base.
                Err(_) if state.base_unknown && statement.has_variables() => continue,
                other => other.map_err(located)?.0,
            };
            match expanded {
                Instruction::Arg(declarations) => {
                    for argument in &declarations {
                        let scope = &state.variables;
                        let (value, _) = arguments::resolve_stage_arg(
                            argument,
                            escape,
                            self.inputs.given,
                            self.globals,
                            scope,
                        )
                        .map_err(located)?;
                        self.argument(argument, value.clone(), statement, needed);
                        if let Some(value) = value {
                            state.set(&argument.name, &value);
                        }
                    }
                }
                Instruction::Env(pairs) => {
                    pairs.iter().for_each(|pair| state.set(&pair.name, &pair.value));
                }
                Instruction::Run(run) if needed => {
                    for fields in &run.mounts {
                        // Only IDs are used, so the working directory does not matter.
                        match run_mount::parse(fields, None) {
                            Ok(mount) => self.mount(mount, statement),
                            // It may be right with the variables of the base.
                            Err(_) if state.base_unknown => {}
                            Err(failure) => return Err(located(failure)),
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(state)
    }

    /// A bare `ARG NAME` that inherits a global value keeps the description of the global one.
    fn argument(
        &mut self,
        argument: &ArgDeclaration,
        value: Option<String>,
        statement: &Statement,
        needed: bool,
    ) {
        if !needed {
            return;
        }
        let given = self.inputs.given.contains_key(&argument.name);
        // Its value then comes from the global argument.
        let inherited = argument.value.is_none() && !given && self.globals.contains_key(&argument.name);
        if !inherited {
            self.declare(argument, value, statement);
        }
        self.parameters.mark_used([argument.name.clone()]);
    }

    fn mount(&mut self, mount: run_mount::RunMountSpec, statement: &Statement) {
        let mounts = match mount.kind {
            run_mount::RunMountKind::Secret => &mut self.parameters.secrets,
            run_mount::RunMountKind::Ssh => &mut self.parameters.ssh,
            _ => return,
        };
        match mounts.iter_mut().find(|existing| existing.name == mount.id) {
            // Mounted by several steps: required if any of them requires it.
            Some(existing) => existing.required |= mount.required,
            None => mounts.push(RequiredMount {
                name: mount.id,
                required: mount.required,
                lines: statement.lines.clone(),
            }),
        }
    }
}

/// The targets of a Dockerfile.
#[derive(Clone, Copy, Debug)]
pub struct TargetList<'a> {
    pub file: &'a Dockerfile,
    pub source: &'a str,
}

impl TargetList<'_> {
    /// As text, in BuildKit's table layout.
    pub fn text(&self) -> String {
        let last = self.file.stages.len();
        let named: Vec<(String, &str)> = (1..)
            .zip(&self.file.stages)
            .map(|(number, stage)| {
                let name = match (stage.name.as_deref().unwrap_or_default(), number == last) {
                    ("", true) => "(default)".to_owned(),
                    (name, true) => format!("{name} (default)"),
                    (name, false) => name.to_owned(),
                };
                (name, stage.comment.as_deref().unwrap_or_default())
            })
            .collect();
        let mut rows = vec![vec!["TARGET", "DESCRIPTION"]];
        rows.extend(named.iter().map(|(name, description)| vec![name.as_str(), *description]));
        table(&rows, 1)
    }

    /// As JSON, in the format of BuildKit's `frontend.targets`.
    pub fn json(&self) -> Value {
        let last = self.file.stages.len();
        let targets: Value = (1..)
            .zip(&self.file.stages)
            .map(|(number, stage)| {
                without_empty(json!({
                    "name": stage.name.as_deref().unwrap_or_default(),
                    "default": number == last,
                    "description": stage.comment.as_deref().unwrap_or_default(),
                    "base": stage.base,
                    "platform": stage.platform.as_deref().unwrap_or_default(),
                    "location": location(&stage.lines),
                }))
            })
            .collect();
        json!({ "targets": targets, "sources": [STANDARD.encode(self.source)] })
    }
}

/// Drops empty members, as Go's `omitempty` does.
fn without_empty(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Bool(value) => *value,
            _ => true,
        });
    }
    value
}

/// Columns as Go's tabwriter lays them out: all but the last are as wide as their widest cell plus `padding`.
fn table(rows: &[Vec<&str>], padding: usize) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            + padding
    };
    let mut text = String::new();
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (column, cell) in row.iter().enumerate() {
            match column == last {
                true => text.push_str(cell),
                false => text.push_str(&format!("{cell:<0$}", width(column))),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
