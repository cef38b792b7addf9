//! The graph of a Dockerfile's stages: what each builds on and copies from, and which the target needs.
//!
//! # ONBUILD
//!
//! The triggers of a base image, or of a named context that is an image, are known only once its config is
//! fetched, and may need more images. So the caller iterates: build the graph, fetch the images it needs,
//! [`StageGraph::add_triggers`], until nothing new is needed.

use std::collections::{BTreeMap, BTreeSet};

use crate::ast::{Dockerfile, Instruction, LineRange, Stage, Statement};
use crate::dockerfile::parse_statement;
use crate::plan::{ImageInput, InputTree};
use crate::{expand, run_mount, suggest};
use dhow_error::{Failure, invalid, not_found};
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

/// What stages are resolved against.
#[derive(Clone, Copy, Debug)]
pub struct GraphInputs<'a> {
    /// The global scope, which `FROM` sees.
    pub globals: &'a BTreeMap<String, String>,
    /// The target platform.
    pub platform: &'a Platform,
    /// Names of `--build-context`, in lower case.
    pub contexts: &'a BTreeSet<String>,
    pub target: Option<&'a str>,
    /// Every stage counts as needed, for checks.
    pub every_stage: bool,
}

/// A stage with its inputs resolved.
#[derive(Clone, Debug)]
pub struct StageNode {
    /// `stage-N` without `AS`.
    pub name: String,
    /// Whether it has a name of its own (`AS`).
    pub named: bool,
    pub base: InputTree,
    pub platform: Option<Platform>,
    /// Triggers of its base first.
    pub statements: Vec<LinkedInstruction>,
    pub lines: LineRange,
    triggers_added: bool,
}

/// An instruction with its inputs resolved.
#[derive(Clone, Debug)]
pub struct LinkedInstruction {
    pub statement: Statement,
    /// It is an ONBUILD trigger.
    pub(crate) triggered: bool,
    /// What it reads: one for `COPY` and `ADD`, one per mount for `RUN`, otherwise none.
    pub trees: Vec<InputTree>,
}

/// All stages of a Dockerfile, resolved for one platform.
#[derive(Clone, Debug)]
pub struct StageGraph {
    /// In Dockerfile order.
    pub stages: Vec<StageNode>,
    /// Every image named anywhere, each pair of name and platform once.
    pub images: Vec<ImageInput>,
    pub target: usize,
    pub escape: char,
    names: BTreeMap<String, usize>,
    contexts: BTreeSet<String>,
    platform: Platform,
    every_stage: bool,
}

impl StageGraph {
    pub fn new(dockerfile: &Dockerfile, inputs: GraphInputs<'_>) -> Result<Self, Failure> {
        let mut graph = Self {
            stages: Vec::with_capacity(dockerfile.stages.len()),
            images: Vec::new(),
            target: 0,
            escape: dockerfile.directives.escape,
            names: BTreeMap::new(),
            contexts: inputs.contexts.clone(),
            platform: inputs.platform.clone(),
            every_stage: inputs.every_stage,
        };
        for (index, stage) in dockerfile.stages.iter().enumerate() {
            let node = graph.node(index, stage, inputs).map_err(|failure| failure.at(stage.lines.clone()))?;
            // Registered after it was resolved: a stage cannot refer to itself or to a later one by name in
            // FROM.
            graph.stages.push(node);
            if let Some(name) = &stage.name {
                graph.names.insert(name.to_lowercase(), index);
            }
        }
        graph.target = graph.find_target(inputs.target)?;
        for (index, stage) in dockerfile.stages.iter().enumerate() {
            if matches!(&graph.stages.get(index), Some(node) if node.named && graph.is_replaced_by_context(&node.name))
            {
                // The context replaces the whole stage, instructions included.
                continue;
            }
            for statement in &stage.statements {
                let linked = graph.link_instruction(index, statement.clone(), false)?;
                if let Some(node) = graph.stages.get_mut(index) {
                    node.statements.push(linked);
                }
            }
        }
        graph.check_cycles()?;
        graph.check_stage_order()?;
        Ok(graph)
    }

    /// Whether a named context replaces the stage of this name.
    fn is_replaced_by_context(&self, name: &str) -> bool {
        self.contexts.contains(&name.to_lowercase())
    }

    fn node(&mut self, index: usize, stage: &Stage, inputs: GraphInputs<'_>) -> Result<StageNode, Failure> {
        let escape = self.escape;
        let base = expand::expand_word(&stage.base, escape, inputs.globals)?.text;
        if base.is_empty() {
            return Err(invalid(format!("base name ({}) should not be blank", stage.base)));
        }
        let platform = match &stage.platform {
            Some(written) => Some(stage_platform(written, escape, inputs)?),
            None => None,
        };
        let name = stage.name.clone().unwrap_or_else(|| format!("stage-{index}"));
        let lines = stage.lines.clone();
        let named = stage.name.is_some();
        let base = if named && self.is_replaced_by_context(&name) {
            InputTree::Context(name.to_lowercase())
        } else {
            self.resolve_base(index, &base, platform.as_ref(), &lines)?
        };
        Ok(StageNode { name, named, base, platform, statements: Vec::new(), lines, triggers_added: false })
    }

    /// What `FROM` names: an earlier stage, `scratch`, a context, or an image.
    fn resolve_base(
        &mut self,
        index: usize,
        name: &str,
        platform: Option<&Platform>,
        lines: &LineRange,
    ) -> Result<InputTree, Failure> {
        // A stage hides an image of the same name.
        if let Some(stage) = self.names.get(&name.to_lowercase()) {
            return Ok(InputTree::Stage(*stage));
        }
        if name == "scratch" {
            return Ok(InputTree::Scratch);
        }
        self.resolve_external(name, platform, Some(index), lines)
    }

    /// A named context or an image.
    fn resolve_external(
        &mut self,
        name: &str,
        platform: Option<&Platform>,
        stage: Option<usize>,
        lines: &LineRange,
    ) -> Result<InputTree, Failure> {
        if self.contexts.contains(&name.to_lowercase()) {
            return Ok(InputTree::Context(name.to_lowercase()));
        }
        let reference = name.parse::<ImageReference>().map_err(|failure| {
            invalid(format!(
                "failed to parse stage name \"{}\": invalid reference format",
                name.escape_debug()
            ))
            .hint(failure.hint_text().unwrap_or("names of images are in lower case").to_owned())
            .at(lines.clone())
        })?;
        // `--build-context debian=…` also replaces `docker.io/library/debian:latest`.
        for alias in [reference.familiar(), reference.clone().or_latest().familiar()] {
            if self.contexts.contains(&alias) {
                return Ok(InputTree::Context(alias));
            }
        }
        let platform = platform.unwrap_or(&self.platform).clone();
        let index = self.images.iter_mut().position(|image| image.name == name && image.platform == platform);
        if let Some(index) = index {
            if let Some(image) = self.images.get_mut(index) {
                // The first stage based on the image gets its pull as the first step.
                image.stage = image.stage.or(stage);
            }
            return Ok(InputTree::Image(index));
        }
        self.images.push(ImageInput { name: name.to_owned(), platform, stage, lines: lines.clone() });
        Ok(InputTree::Image(self.images.len() - 1))
    }

    fn find_target(&self, target: Option<&str>) -> Result<usize, Failure> {
        let last = self.stages.len().saturating_sub(1);
        let Some(target) = target.filter(|target| !target.is_empty()) else { return Ok(last) };
        // A stage called `1` wins over the index 1.
        let number = || target.parse::<usize>().ok().filter(|index| *index <= last);
        self.names.get(&target.to_lowercase()).copied().or_else(number).ok_or_else(|| {
            let message = format!("target stage \"{}\" could not be found", target.escape_debug());
            let names = self.names.keys().map(String::as_str);
            not_found(suggest::did_you_mean(message, &target.to_lowercase(), names))
        })
    }

    fn link_instruction(
        &mut self,
        index: usize,
        statement: Statement,
        triggered: bool,
    ) -> Result<LinkedInstruction, Failure> {
        let at = |failure: Failure| failure.at(statement.lines.clone());
        let trees = match &statement.instruction {
            Instruction::Copy(copy) | Instruction::Add(copy) => match &copy.from {
                Some(from) => vec![self.resolve_copy_from(from, &statement.lines).map_err(at)?],
                None => vec![InputTree::Context(String::new())],
            },
            Instruction::Run(run) => run
                .mounts
                .iter()
                .map(|fields| self.resolve_mount_from(index, fields, &statement.lines))
                .collect::<Result<_, _>>()
                .map_err(at)?,
            _ => Vec::new(),
        };
        Ok(LinkedInstruction { statement, triggered, trees })
    }

    fn resolve_copy_from(&mut self, from: &str, lines: &LineRange) -> Result<InputTree, Failure> {
        let expanded = expand::expand_word(from, self.escape, &BTreeMap::new())?.text;
        // Checked before the lookup: which stages are built must not depend on variables.
        if expanded != from {
            return Err(invalid(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
            ));
        }
        if let Ok(index) = from.parse::<i64>() {
            let stage = usize::try_from(index).ok().filter(|index| *index < self.stages.len());
            return stage
                .map(InputTree::Stage)
                .ok_or_else(|| invalid(format!("invalid stage index {index}")));
        }
        self.resolve_name(from, lines)
    }

    /// A stage, `scratch`, or something external. `COPY --from` may name a later stage here, which
    /// [`StageGraph::check_stage_order`] reports.
    fn resolve_name(&mut self, name: &str, lines: &LineRange) -> Result<InputTree, Failure> {
        if let Some(stage) = self.names.get(&name.to_lowercase()) {
            return Ok(InputTree::Stage(*stage));
        }
        if name == "scratch" {
            return Ok(InputTree::Scratch);
        }
        self.resolve_external(name, None, None, lines)
    }

    /// `RUN --mount`: the last value of a repeated key counts.
    fn resolve_mount_from(
        &mut self,
        index: usize,
        fields: &[(String, Option<String>)],
        lines: &LineRange,
    ) -> Result<InputTree, Failure> {
        let field = |name: &str| {
            let pair = fields.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
            pair.and_then(|(_, value)| value.as_deref())
        };
        let from = field("from").filter(|from| !from.is_empty());
        // A type that is unknown or has a variable is judged when the step is evaluated.
        let kind = field("type").and_then(|text| run_mount::kind(text).ok()).unwrap_or_default();
        if !run_mount::needs_input(kind, from.is_some()) {
            return Ok(InputTree::Scratch);
        }
        match from {
            None => Ok(InputTree::Context(String::new())),
            Some(from) if from.contains('$') => {
                Err(invalid("'from' doesn't support variable expansion, define alias stage instead"))
            }
            Some(from) => match from.parse::<usize>() {
                // A later index is not a stage here: it is looked up as a name.
                Ok(stage) if stage < index => Ok(InputTree::Stage(stage)),
                _ => self.resolve_name(from, lines),
            },
        }
    }

    /// Adds ONBUILD triggers to the stages needed. `triggers` returns those of an image or a named context, or
    /// `None` if it has not been fetched yet. Returns whether other images or contexts are needed now.
    pub fn add_triggers(
        &mut self,
        triggers: &dyn Fn(&InputTree) -> Option<Vec<String>>,
    ) -> Result<bool, Failure> {
        let before = (self.needed_images(), self.needed_contexts());
        for index in self.reachable() {
            let Some(node) = self.stages.get(index) else { continue };
            if node.triggers_added {
                continue;
            }
            let texts = match &node.base {
                // An earlier stage as the base: its own ONBUILD instructions are the triggers.
                InputTree::Stage(base) => self.on_build_triggers(*base),
                InputTree::Scratch => Vec::new(),
                // The context is the stage, not what the stage stands on.
                InputTree::Context(_) if node.named && self.is_replaced_by_context(&node.name) => Vec::new(),
                image => match triggers(image) {
                    Some(texts) => texts,
                    None => continue,
                },
            };
            let lines = node.lines.clone();
            let mut linked = Vec::with_capacity(texts.len());
            for text in texts {
                linked.push(self.trigger(index, &text, &lines).map_err(|failure| failure.at(lines.clone()))?);
            }
            if let Some(node) = self.stages.get_mut(index) {
                node.triggers_added = true;
                // Triggers run before the instructions of the stage, directly after FROM.
                node.statements.splice(0..0, linked);
            }
        }
        self.check_cycles()?;
        self.check_stage_order()?;
        Ok((self.needed_images(), self.needed_contexts()) != before)
    }

    fn trigger(&mut self, index: usize, text: &str, lines: &LineRange) -> Result<LinkedInstruction, Failure> {
        let mut statement = parse_statement(text, self.escape)?;
        // A trigger is in no line of this file, so errors in it point to FROM.
        statement.lines = lines.clone();
        self.link_instruction(index, statement, true)
    }

    /// The triggers that a stage leaves to stages based on it.
    fn on_build_triggers(&self, index: usize) -> Vec<String> {
        let statements = self.stages.get(index).map(|node| node.statements.as_slice()).unwrap_or_default();
        let texts = statements.iter().filter_map(|linked| match &linked.statement.instruction {
            Instruction::OnBuild(text) => Some(text.clone()),
            _ => None,
        });
        texts.collect()
    }

    /// What a stage builds on, copies from and mounts.
    fn inputs(&self, index: usize) -> Vec<&InputTree> {
        let Some(node) = self.stages.get(index) else { return Vec::new() };
        std::iter::once(&node.base).chain(node.statements.iter().flat_map(|linked| &linked.trees)).collect()
    }

    /// The stages that the target needs, itself included, in Dockerfile order.
    pub fn reachable(&self) -> BTreeSet<usize> {
        if self.every_stage {
            return (0..self.stages.len()).collect();
        }
        let mut reachable = BTreeSet::new();
        let mut pending = vec![self.target];
        while let Some(index) = pending.pop() {
            if reachable.insert(index) {
                pending.extend(self.inputs(index).into_iter().filter_map(|tree| match tree {
                    InputTree::Stage(index) => Some(*index),
                    _ => None,
                }));
            }
        }
        reachable
    }

    /// Indices into [`StageGraph::images`].
    pub fn needed_images(&self) -> BTreeSet<usize> {
        let trees = self.reachable().into_iter().flat_map(|index| self.inputs(index));
        trees
            .filter_map(|tree| match tree {
                InputTree::Image(image) => Some(*image),
                _ => None,
            })
            .collect()
    }

    /// The main context has the empty name.
    pub fn needed_contexts(&self) -> BTreeSet<String> {
        let trees = self.reachable().into_iter().flat_map(|index| self.inputs(index));
        trees
            .filter_map(|tree| match tree {
                InputTree::Context(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    fn check_cycles(&self) -> Result<(), Failure> {
        let mut done = BTreeSet::new();
        for index in 0..self.stages.len() {
            self.visit(index, &mut Vec::new(), &mut done)?;
        }
        Ok(())
    }

    fn visit(&self, index: usize, path: &mut Vec<usize>, done: &mut BTreeSet<usize>) -> Result<(), Failure> {
        if path.contains(&index) {
            return Err(self.cycle_error(index));
        }
        if done.contains(&index) {
            return Ok(());
        }
        path.push(index);
        for tree in self.inputs(index) {
            if let InputTree::Stage(other) = tree {
                self.visit(*other, path, done)?;
            }
        }
        path.pop();
        done.insert(index);
        Ok(())
    }

    fn cycle_error(&self, index: usize) -> Failure {
        let node = self.stages.get(index);
        let name = node.map_or("", |node| node.name.as_str());
        let failure = invalid(format!("circular dependency detected on stage: {name}"));
        match node {
            Some(node) => failure.at(node.lines.clone()),
            None => failure,
        }
    }

    /// A stage can only copy from earlier ones.
    fn check_stage_order(&self) -> Result<(), Failure> {
        let name = |index: usize| self.stages.get(index).map_or("", |node| node.name.as_str());
        for index in self.reachable() {
            let statements =
                self.stages.get(index).map(|node| node.statements.as_slice()).unwrap_or_default();
            for linked in statements {
                let later = linked.trees.iter().find_map(|tree| match tree {
                    InputTree::Stage(from) if *from > index => Some(*from),
                    _ => None,
                });
                if let Some(later) = later {
                    let message = format!(
                        "cannot copy from stage \"{}\", it needs to be defined before current stage \"{}\"",
                        name(later),
                        name(index)
                    );
                    return Err(invalid(message).at(linked.statement.lines.clone()));
                }
            }
        }
        Ok(())
    }
}

fn stage_platform(written: &str, escape: char, inputs: GraphInputs<'_>) -> Result<Platform, Failure> {
    let expanded = expand::expand_word(written, escape, inputs.globals)?;
    let names = || inputs.globals.keys().map(String::as_str);
    let suggested = |message: String| match expanded.names.undefined.iter().next() {
        Some(name) => suggest::did_you_mean(message, name, names()),
        None => message,
    };
    if expanded.text.is_empty() {
        let message = format!("empty platform value from expression {written}");
        return Err(invalid(suggested(message)));
    }
    expanded.text.parse::<Platform>().map_err(|failure| {
        Failure::new(failure.kind(), suggested(format!("failed to parse platform {written}: {failure}")))
    })
}
