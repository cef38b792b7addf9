//! Turns stages into a [`BuildPlan`]: each instruction is expanded with the variables known at that point,
//! its effect on the image config recorded, and file operations become [`PlanStep`]s.

mod config;
mod files;
mod windows;

use std::collections::BTreeMap;

use crate::arguments;
use crate::ast::{CopyFlags, Instruction};
use crate::expand::{self, ShellLexer};
use crate::graph::{LinkedInstruction, StageGraph, StageNode};
use crate::plan::{
    BuildPlan, CopyOp, CopySource, HistoryLine, ImageInput, InputTree, Op, PlanStep, StageConfig, StagePlan,
};
use dhow_error::{Failure, invalid};
use dhow_model::environment::DEFAULT_PATH;
use dhow_model::image::ImageConfig;
use dhow_model::platform::Platform;

/// What evaluation needs besides the graph.
pub struct EvaluationInputs<'a> {
    /// The global scope, which `FROM` sees.
    pub globals: &'a BTreeMap<String, String>,
    pub build_args: &'a BTreeMap<String, String>,
    /// The config of an image, by its index in [`StageGraph::images`]. Every needed image has been fetched by
    /// now.
    pub image: &'a dyn Fn(usize) -> Option<&'a ImageConfig>,
    /// The config of a named context that is an image (`docker-image://`, `oci-layout://`); `None` for one of
    /// files.
    pub context: &'a dyn Fn(&str) -> Option<&'a ImageConfig>,
    /// Whether a base's config is not known, as in a check, which fetches nothing: then an instruction with
    /// variables is not refused.
    pub unknown: &'a dyn Fn(&InputTree) -> bool,
    /// `--label`; goes to the target stage only.
    pub labels: &'a BTreeMap<String, String>,
    /// Several platforms are built: prefix each step with its own.
    pub multi_platform: bool,
    /// Whether `--no-cache-filter` names this stage.
    pub no_cache: &'a dyn Fn(&str) -> bool,
}

/// Evaluates the stages that the target needs.
pub fn evaluate_graph(
    graph: &StageGraph,
    platform: &Platform,
    inputs: &EvaluationInputs<'_>,
) -> Result<BuildPlan, Failure> {
    let mut states: BTreeMap<usize, StageState> = BTreeMap::new();
    let mut stages = vec![None; graph.stages.len()];
    let single = graph.stages.len() == 1;
    // Indices are in Dockerfile order, and a stage can only build on an earlier one.
    for index in graph.reachable() {
        let Some(node) = graph.stages.get(index) else { continue };
        let base = match node.base {
            InputTree::Stage(base) => states.get(&base),
            _ => None,
        };
        let state = StageState::inherit(node, base, platform, inputs, graph);
        let stage = StageEvaluator {
            index,
            node,
            graph,
            inputs,
            state,
            single,
            platform,
            shown: 0,
            steps: Vec::new(),
        };
        let (plan, state) = stage.run()?;
        states.insert(index, state);
        if let Some(slot) = stages.get_mut(index) {
            *slot = Some(plan);
        }
    }
    let mut plan =
        BuildPlan { platform: platform.clone(), target: graph.target, images: graph.images.clone(), stages };
    // `--label` wins over LABEL, hence after evaluation.
    if let Some(Some(target)) = plan.stages.get_mut(graph.target)
        && !inputs.labels.is_empty()
    {
        target.config.run.labels.get_or_insert_default().extend(inputs.labels.clone());
    }
    Ok(plan)
}

/// The state of a stage between two instructions.
#[derive(Clone, Debug)]
struct StageState {
    /// What expansion and `RUN` see, in order of definition.
    env: Vec<(String, String)>,
    config: StageConfig,
    /// The build arguments declared so far; the history of `RUN` lists them.
    arguments: Vec<(String, Option<String>)>,
    history: Vec<HistoryLine>,
    platform: Platform,
    command_set: bool,
    base_unknown: bool,
}

impl StageState {
    fn inherit(
        node: &StageNode,
        base: Option<&StageState>,
        target: &Platform,
        inputs: &EvaluationInputs<'_>,
        graph: &StageGraph,
    ) -> Self {
        let mut state = match (base, &node.base) {
            (Some(base), _) => base.clone(),
            (None, InputTree::Image(image)) => {
                let platform = graph.images.get(*image).map(|image: &ImageInput| image.platform.clone());
                Self::from_image((inputs.image)(*image), platform.unwrap_or_else(|| target.clone()))
            }
            (None, InputTree::Context(name)) => {
                let platform = node.platform.clone().unwrap_or_else(|| target.clone());
                Self::from_image((inputs.context)(name), platform)
            }
            (None, _) => Self::from_image(None, target.clone()),
        };
        state.base_unknown |= (inputs.unknown)(&node.base);
        // In this stage the CMD of the base counts as inherited.
        state.command_set = false;
        // Triggers run in the direct child of their image only, and are not inherited further.
        state.config.run.on_build = None;
        let run = &mut state.config.run;
        // BuildKit records a PATH in every image, too; Windows has its own.
        if state.platform.os != "windows" && !run.env.iter().any(|entry| entry.starts_with("PATH=")) {
            run.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for entry in &run.env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            set_env(&mut state.env, name, value);
        }
        state
    }

    fn from_image(image: Option<&ImageConfig>, platform: Platform) -> Self {
        let config = image.map_or_else(StageConfig::default, |image| StageConfig {
            author: image.author.clone(),
            run: image.config.clone(),
        });
        Self {
            env: Vec::new(),
            config,
            arguments: Vec::new(),
            history: Vec::new(),
            platform,
            command_set: false,
            base_unknown: false,
        }
    }

    /// `None` if it is the unknown one of the base.
    fn known_workdir(&self) -> Option<String> {
        let known = !self.base_unknown || !self.config.run.working_dir.is_empty();
        known.then(|| self.workdir())
    }

    /// With slashes, also for Windows.
    fn workdir(&self) -> String {
        match self.config.run.working_dir.as_str() {
            "" => "/".to_owned(),
            dir => windows::slashed(&self.platform.os, dir).unwrap_or_else(|_| "/".to_owned()),
        }
    }
}

/// Overwrites a variable in its position, or appends it.
fn set_env(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    match env.iter_mut().find(|(existing, _)| existing == name) {
        Some((_, old)) => value.clone_into(old),
        None => env.push((name.to_owned(), value.to_owned())),
    }
}

struct StageEvaluator<'a, 'k> {
    index: usize,
    node: &'a StageNode,
    graph: &'a StageGraph,
    inputs: &'a EvaluationInputs<'k>,
    state: StageState,
    single: bool,
    platform: &'a Platform,
    /// Number of steps that were given a label so far.
    shown: usize,
    steps: Vec<PlanStep>,
}

impl StageEvaluator<'_, '_> {
    fn run(mut self) -> Result<(StagePlan, StageState), Failure> {
        let node = self.node;
        let from_shown = self.base_label();
        self.copy_context_base();
        for linked in &node.statements {
            match self.statement(linked) {
                // It may be right with the variables of the base.
                Err(_) if self.state.base_unknown && linked.statement.has_variables() => {}
                other => other.map_err(|failure| failure.at(linked.statement.lines.clone()))?,
            }
        }
        let plan = StagePlan {
            // BuildKit leaves the stage name out of labels if there is only one stage.
            name: if self.single { String::new() } else { node.name.clone() },
            base: node.base.clone(),
            platform: self.state.platform.clone(),
            steps: self.steps,
            config: self.state.config.clone(),
            history: self.state.history.clone(),
            no_cache: (self.inputs.no_cache)(if node.named { &node.name } else { "" }),
            lines: node.lines.clone(),
            from_shown,
        };
        Ok((plan, self.state))
    }

    /// `[build 1/4] FROM docker.io/library/debian:12`, if the base is an image.
    fn base_label(&mut self) -> Option<String> {
        let InputTree::Image(image) = self.node.base else { return None };
        let image = self.graph.images.get(image)?;
        Some(self.step_label(&format!("FROM {}", full_image_name(&image.name)), false))
    }

    /// A named context of files as the base: its files are copied first.
    fn copy_context_base(&mut self) {
        let InputTree::Context(name) = &self.node.base else { return };
        if (self.inputs.context)(name).is_some() {
            return;
        }
        let op = CopyOp {
            add: false,
            from: self.node.base.clone(),
            sources: vec![CopySource::Local("/".into())],
            here_docs: Vec::new(),
            target: "/".into(),
            flags: CopyFlags::default(),
            checksum: None,
            keep_git_dir: false,
            unpack: None,
        };
        let shown = format!("[context {name}] load into {}", self.node.name);
        self.steps.push(PlanStep { op: Op::Copy(op), shown, lines: self.node.lines.clone() });
        self.add_history(format!("FROM {name}"), Some(0));
    }

    fn statement(&mut self, linked: &LinkedInstruction) -> Result<(), Failure> {
        let statement = &linked.statement;
        let (instruction, _) =
            expand::expand_instruction(&statement.instruction, self.graph.escape, &self.state.env)?;
        match &instruction {
            Instruction::Arg(arguments) => self.arguments(arguments),
            Instruction::Run(run) => self.run_instruction(run, linked),
            Instruction::Copy(copy) => self.copy(copy, false, linked),
            Instruction::Add(copy) => self.copy(copy, true, linked),
            Instruction::Workdir(path) => self.workdir(path, linked),
            other => self.configure(other),
        }
    }

    fn arguments(&mut self, declared: &[crate::ast::ArgDeclaration]) -> Result<(), Failure> {
        let mut shown = Vec::with_capacity(declared.len());
        for argument in declared {
            let (value, _) = arguments::resolve_stage_arg(
                argument,
                self.graph.escape,
                self.inputs.build_args,
                self.inputs.globals,
                &self.state.env,
            )?;
            // An argument without a value stays undefined: `${A:-default}` has to work.
            if let Some(value) = &value {
                set_env(&mut self.state.env, &argument.name, value);
            }
            shown.push(match &value {
                Some(value) => format!("{}={value}", argument.name),
                None => argument.name.clone(),
            });
            self.state.arguments.push((argument.name.clone(), value));
        }
        self.add_history(format!("ARG {}", shown.join(" ")), None);
        Ok(())
    }

    /// Adds a history entry; `step` if it may create a layer.
    fn add_history(&mut self, created_by: String, step: Option<usize>) {
        let step = step.map(|step| (self.index, step));
        self.state.history.push(HistoryLine { created_by, step });
    }

    /// Returns the step's index.
    fn push_step(&mut self, op: Op, linked: &LinkedInstruction) -> usize {
        let text = linked.statement.display_text();
        // Only for display: `RUN` keeps quotes and unset variables, since its shell expands them.
        let lexer = ShellLexer::new(self.graph.escape);
        let lexer = match op {
            Op::Run(_) => ShellLexer { raw_quotes: true, keep_unset: true, ..lexer },
            _ => lexer,
        };
        let expanded = lexer.expand(&text, &self.state.env).map_or_else(|_| text.clone(), |done| done.text);
        let shown = self.step_label(&upper_first_word(&expanded), linked.triggered);
        let lines = linked.statement.lines.clone();
        self.steps.push(PlanStep { op, shown, lines });
        self.steps.len() - 1
    }

    /// As in BuildKit, instructions that change no files are not numbered.
    fn step_label(&mut self, text: &str, triggered: bool) -> String {
        self.shown += 1;
        let total = self.step_count();
        let width = total.to_string().len();
        let mut prefix = String::new();
        if self.inputs.multi_platform {
            prefix.push_str(&self.state.platform.to_string());
            if self.state.platform.architecture != self.platform.architecture {
                let mut target = self.platform.architecture.clone();
                if !self.platform.variant.is_empty() {
                    target = format!("{target}/{}", self.platform.variant);
                }
                // Cross-compilation: the platform that the stage runs on, and the one it builds for.
                prefix.push_str(&format!("->{target}"));
            }
            prefix.push(' ');
        }
        if !self.single {
            prefix.push_str(&self.node.name);
            prefix.push(' ');
        }
        let on_build = if triggered { "ONBUILD " } else { "" };
        format!("[{prefix}{:width$}/{total}] {on_build}{text}", self.shown)
    }

    /// Number of steps that the stage shows.
    fn step_count(&self) -> usize {
        let steps = self.node.statements.iter().filter(|linked| {
            matches!(
                linked.statement.instruction,
                Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_) | Instruction::Workdir(_)
            )
        });
        steps.count() + usize::from(matches!(self.node.base, InputTree::Image(_)))
    }

    /// The argv of a shell-form line, with the stage's SHELL.
    fn shell_argv(&self, line: &str) -> Vec<String> {
        let shell = self.state.config.run.shell.as_deref().filter(|shell| !shell.is_empty());
        let mut words =
            shell.map_or_else(|| windows::default_shell(&self.state.platform.os), <[String]>::to_vec);
        words.push(line.to_owned());
        words
    }

    /// The history text of a `RUN`: `|N NAME=value …` for the declared build arguments, then the command.
    fn run_history_text(&self, words: &[String]) -> String {
        let mut declared: Vec<(&str, String)> = Vec::new();
        for (name, value) in &self.state.arguments {
            // ENV may have overridden the argument.
            let current =
                self.state.env.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
            let entry = format!("{name}={}", current.or(value.as_deref()).unwrap_or_default());
            match declared.iter_mut().find(|(other, _)| *other == name) {
                Some((_, old)) => *old = entry,
                None => declared.push((name, entry)),
            }
        }
        let mut parts = Vec::new();
        if !declared.is_empty() {
            parts.push(format!("|{}", declared.len()));
            parts.extend(declared.into_iter().map(|(_, entry)| entry));
        }
        parts.extend(words.iter().cloned());
        format!("RUN {} # buildkit", parts.join(" "))
    }
}

/// An image name normalised for display, as BuildKit does.
pub fn full_image_name(name: &str) -> String {
    name.parse::<dhow_model::reference::ImageReference>()
        .map_or_else(|_| name.to_owned(), |reference| reference.or_latest().to_string())
}

fn upper_first_word(text: &str) -> String {
    let end = text.find(' ').unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    format!("{}{rest}", first.to_uppercase())
}

/// Fails with `message` if `condition` holds.
fn reject_if(condition: bool, message: impl FnOnce() -> String) -> Result<(), Failure> {
    if condition { Err(invalid(message())) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
