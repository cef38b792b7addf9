//! Which stages a Dockerfile has, what each stands on and copies from, and which of them a target needs.
//!
//! What a base image triggers (`ONBUILD`) is known only when its configuration is, and may ask for further images: so
//! the graph is made, the images that it needs are looked up, their triggers added, until nothing new is needed.

use std::collections::{BTreeMap, BTreeSet};

use crate::build::dockerfile::ast::{Dockerfile, Instruction, Lines, Stage, Statement};
use crate::build::dockerfile::parse_statement;
use crate::build::plan::{ImageUse, Tree};
use crate::build::{expand, suggest};
use crate::error::{Failure, invalid, not_found};
use crate::model::platform::Platform;
use crate::model::reference::Reference;

/// What stages are resolved with.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The variables that `FROM` sees.
    pub globals: &'a BTreeMap<String, String>,
    /// What is built for.
    pub platform: &'a Platform,
    /// The names of the contexts given (`--build-context`), in lower case.
    pub contexts: &'a BTreeSet<String>,
    /// `--target`.
    pub target: Option<&'a str>,
}

/// A stage and what it needs.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name as shown: `stage-N` for one without.
    pub name: String,
    /// Whether the name was given.
    pub named: bool,
    /// What it begins with.
    pub base: Tree,
    /// `FROM --platform`.
    pub platform: Option<Platform>,
    /// What it does, triggers of its base first.
    pub statements: Vec<Linked>,
    /// Where `FROM` stands.
    pub lines: Lines,
    triggered: bool,
}

/// An instruction and where it copies or mounts from.
#[derive(Clone, Debug)]
pub struct Linked {
    /// The instruction.
    pub statement: Statement,
    /// A trigger.
    pub triggered: bool,
    /// For `COPY` and `ADD` one, for `RUN` one for each mount, else none.
    pub trees: Vec<Tree>,
}

/// All stages of a Dockerfile, for one platform.
#[derive(Clone, Debug)]
pub struct Graph {
    /// In the order of the Dockerfile.
    pub stages: Vec<Node>,
    /// Every image named anywhere.
    pub images: Vec<ImageUse>,
    /// The stage that is the result.
    pub target: usize,
    /// The Dockerfile's escape character.
    pub escape: char,
    names: BTreeMap<String, usize>,
    contexts: BTreeSet<String>,
    platform: Platform,
}

impl Graph {
    /// Resolves the stages of a Dockerfile.
    pub fn new(dockerfile: &Dockerfile, around: Surroundings<'_>) -> Result<Self, Failure> {
        let mut graph = Self {
            stages: Vec::with_capacity(dockerfile.stages.len()),
            images: Vec::new(),
            target: 0,
            escape: dockerfile.directives.escape,
            names: BTreeMap::new(),
            contexts: around.contexts.clone(),
            platform: around.platform.clone(),
        };
        for (index, stage) in dockerfile.stages.iter().enumerate() {
            let node = graph.node(index, stage, around).map_err(|failure| failure.at(stage.lines.clone()))?;
            graph.stages.push(node);
            if let Some(name) = &stage.name {
                graph.names.insert(name.to_lowercase(), index);
            }
        }
        graph.target = graph.find_target(around.target)?;
        for (index, stage) in dockerfile.stages.iter().enumerate() {
            if matches!(&graph.stages.get(index), Some(node) if node.named && graph.replaced(&node.name)) {
                continue;
            }
            for statement in &stage.statements {
                let linked = graph.link(index, statement.clone(), false)?;
                if let Some(node) = graph.stages.get_mut(index) {
                    node.statements.push(linked);
                }
            }
        }
        graph.refuse_circles()?;
        graph.refuse_later()?;
        Ok(graph)
    }

    /// Whether a stage's name is that of a context, which then stands in for the stage.
    fn replaced(&self, name: &str) -> bool {
        self.contexts.contains(&name.to_lowercase())
    }

    fn node(&mut self, index: usize, stage: &Stage, around: Surroundings<'_>) -> Result<Node, Failure> {
        let escape = self.escape;
        let base = expand::word(&stage.base, escape, around.globals)?.text;
        if base.is_empty() {
            return Err(invalid(format!("base name ({}) should not be blank", stage.base)));
        }
        let platform = match &stage.platform {
            Some(written) => Some(stage_platform(written, escape, around)?),
            None => None,
        };
        let name = stage.name.clone().unwrap_or_else(|| format!("stage-{index}"));
        let lines = stage.lines.clone();
        let named = stage.name.is_some();
        let base = if named && self.replaced(&name) {
            Tree::Context(name.to_lowercase())
        } else {
            self.base(index, &base, platform.as_ref(), &lines)?
        };
        Ok(Node { name, named, base, platform, statements: Vec::new(), lines, triggered: false })
    }

    /// What `FROM` names: an earlier stage, nothing, a context, or an image.
    fn base(
        &mut self,
        index: usize,
        name: &str,
        platform: Option<&Platform>,
        lines: &Lines,
    ) -> Result<Tree, Failure> {
        if let Some(stage) = self.names.get(&name.to_lowercase()) {
            return Ok(Tree::Stage(*stage));
        }
        if name == "scratch" {
            return Ok(Tree::Scratch);
        }
        self.outside(name, platform, Some(index), lines)
    }

    /// A context or an image.
    fn outside(
        &mut self,
        name: &str,
        platform: Option<&Platform>,
        stage: Option<usize>,
        lines: &Lines,
    ) -> Result<Tree, Failure> {
        if self.contexts.contains(&name.to_lowercase()) {
            return Ok(Tree::Context(name.to_lowercase()));
        }
        let reference = name.parse::<Reference>().map_err(|failure| {
            invalid(format!(
                "failed to parse stage name \"{}\": invalid reference format",
                name.escape_debug()
            ))
            .hint(failure.hint_text().unwrap_or("names of images are in lower case").to_owned())
            .at(lines.clone())
        })?;
        for known in [reference.familiar(), reference.clone().or_latest().familiar()] {
            if self.contexts.contains(&known) {
                return Ok(Tree::Context(known));
            }
        }
        let platform = platform.unwrap_or(&self.platform).clone();
        let known = self.images.iter_mut().position(|image| image.name == name && image.platform == platform);
        if let Some(known) = known {
            if let Some(image) = self.images.get_mut(known) {
                image.stage = image.stage.or(stage);
            }
            return Ok(Tree::Image(known));
        }
        self.images.push(ImageUse { name: name.to_owned(), platform, stage, lines: lines.clone() });
        Ok(Tree::Image(self.images.len() - 1))
    }

    fn find_target(&self, wanted: Option<&str>) -> Result<usize, Failure> {
        let last = self.stages.len().saturating_sub(1);
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return Ok(last) };
        let number = || wanted.parse::<usize>().ok().filter(|index| *index <= last);
        self.names.get(&wanted.to_lowercase()).copied().or_else(number).ok_or_else(|| {
            let message = format!("target stage \"{}\" could not be found", wanted.escape_debug());
            let names = self.names.keys().map(String::as_str);
            not_found(suggest::did_you_mean(message, &wanted.to_lowercase(), names))
        })
    }

    fn link(&mut self, index: usize, statement: Statement, triggered: bool) -> Result<Linked, Failure> {
        let at = |failure: Failure| failure.at(statement.lines.clone());
        let trees = match &statement.instruction {
            Instruction::Copy(copy) | Instruction::Add(copy) => match &copy.from {
                Some(from) => vec![self.from(from, &statement.lines).map_err(at)?],
                None => vec![Tree::Context(String::new())],
            },
            Instruction::Run(run) => run
                .mounts
                .iter()
                .map(|fields| self.mount(index, fields, &statement.lines))
                .collect::<Result<_, _>>()
                .map_err(at)?,
            _ => Vec::new(),
        };
        Ok(Linked { statement, triggered, trees })
    }

    /// `COPY --from`.
    fn from(&mut self, from: &str, lines: &Lines) -> Result<Tree, Failure> {
        let expanded = expand::word(from, self.escape, &BTreeMap::new())?.text;
        if expanded != from {
            return Err(invalid(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
            ));
        }
        if let Ok(index) = from.parse::<i64>() {
            let place = usize::try_from(index).ok().filter(|index| *index < self.stages.len());
            return place.map(Tree::Stage).ok_or_else(|| invalid(format!("invalid stage index {index}")));
        }
        self.named(from, lines)
    }

    fn named(&mut self, name: &str, lines: &Lines) -> Result<Tree, Failure> {
        if let Some(stage) = self.names.get(&name.to_lowercase()) {
            return Ok(Tree::Stage(*stage));
        }
        if name == "scratch" {
            return Ok(Tree::Scratch);
        }
        self.outside(name, None, None, lines)
    }

    /// `RUN --mount`.
    fn mount(
        &mut self,
        index: usize,
        fields: &[(String, Option<String>)],
        lines: &Lines,
    ) -> Result<Tree, Failure> {
        let field = |name: &str| {
            let found = fields.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_deref())
        };
        match (field("type").unwrap_or("bind"), field("from").filter(|from| !from.is_empty())) {
            ("tmpfs" | "secret" | "ssh", _) | ("cache", None) => Ok(Tree::Scratch),
            (_, None) => Ok(Tree::Context(String::new())),
            (_, Some(from)) if from.contains('$') => {
                Err(invalid("'from' doesn't support variable expansion, define alias stage instead"))
            }
            (_, Some(from)) => match from.parse::<usize>() {
                Ok(place) if place < index => Ok(Tree::Stage(place)),
                _ => self.named(from, lines),
            },
        }
    }

    /// Adds what bases trigger to the stages that are needed. `triggers` has those of an image, by its place, once it is
    /// known. Returns whether stages or images are needed now that were not before.
    pub fn add_triggers(&mut self, triggers: &dyn Fn(usize) -> Option<Vec<String>>) -> Result<bool, Failure> {
        let before = self.needed_images();
        for index in self.reachable() {
            let Some(node) = self.stages.get(index) else { continue };
            if node.triggered {
                continue;
            }
            let texts = match node.base {
                Tree::Image(image) => match triggers(image) {
                    Some(texts) => texts,
                    None => continue,
                },
                Tree::Stage(base) => self.on_build(base),
                Tree::Context(_) | Tree::Scratch => Vec::new(),
            };
            let lines = node.lines.clone();
            let mut linked = Vec::with_capacity(texts.len());
            for text in texts {
                linked.push(self.trigger(index, &text, &lines).map_err(|failure| failure.at(lines.clone()))?);
            }
            if let Some(node) = self.stages.get_mut(index) {
                node.triggered = true;
                node.statements.splice(0..0, linked);
            }
        }
        self.refuse_circles()?;
        self.refuse_later()?;
        Ok(self.needed_images() != before)
    }

    fn trigger(&mut self, index: usize, text: &str, lines: &Lines) -> Result<Linked, Failure> {
        let mut statement = parse_statement(text, self.escape)?;
        statement.lines = lines.clone();
        self.link(index, statement, true)
    }

    /// The triggers that a stage leaves to those that stand on it.
    fn on_build(&self, index: usize) -> Vec<String> {
        let statements = self.stages.get(index).map(|node| node.statements.as_slice()).unwrap_or_default();
        let texts = statements.iter().filter_map(|linked| match &linked.statement.instruction {
            Instruction::OnBuild(text) => Some(text.clone()),
            _ => None,
        });
        texts.collect()
    }

    /// What a stage stands on, copies from and mounts.
    fn inputs(&self, index: usize) -> Vec<&Tree> {
        let Some(node) = self.stages.get(index) else { return Vec::new() };
        std::iter::once(&node.base).chain(node.statements.iter().flat_map(|linked| &linked.trees)).collect()
    }

    /// The stages that the target needs, itself included, in the order of the Dockerfile.
    pub fn reachable(&self) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.target];
        while let Some(index) = open.pop() {
            if found.insert(index) {
                open.extend(self.inputs(index).into_iter().filter_map(|tree| match tree {
                    Tree::Stage(index) => Some(*index),
                    _ => None,
                }));
            }
        }
        found
    }

    /// The places in [`Graph::images`] of those that are needed.
    pub fn needed_images(&self) -> BTreeSet<usize> {
        let trees = self.reachable().into_iter().flat_map(|index| self.inputs(index));
        trees
            .filter_map(|tree| match tree {
                Tree::Image(image) => Some(*image),
                _ => None,
            })
            .collect()
    }

    /// The names of contexts that are needed; the main one has the empty name.
    pub fn needed_contexts(&self) -> BTreeSet<String> {
        let trees = self.reachable().into_iter().flat_map(|index| self.inputs(index));
        trees
            .filter_map(|tree| match tree {
                Tree::Context(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    fn refuse_circles(&self) -> Result<(), Failure> {
        let mut done = BTreeSet::new();
        for index in 0..self.stages.len() {
            self.visit(index, &mut Vec::new(), &mut done)?;
        }
        Ok(())
    }

    fn visit(&self, index: usize, path: &mut Vec<usize>, done: &mut BTreeSet<usize>) -> Result<(), Failure> {
        if path.contains(&index) {
            return Err(self.circular(index));
        }
        if done.contains(&index) {
            return Ok(());
        }
        path.push(index);
        for tree in self.inputs(index) {
            if let Tree::Stage(other) = tree {
                self.visit(*other, path, done)?;
            }
        }
        path.pop();
        done.insert(index);
        Ok(())
    }

    fn circular(&self, index: usize) -> Failure {
        let node = self.stages.get(index);
        let name = node.map_or("", |node| node.name.as_str());
        let failure = invalid(format!("circular dependency detected on stage: {name}"));
        match node {
            Some(node) => failure.at(node.lines.clone()),
            None => failure,
        }
    }

    /// Stages are copied from below where they stand only.
    fn refuse_later(&self) -> Result<(), Failure> {
        let name = |index: usize| self.stages.get(index).map_or("", |node| node.name.as_str());
        for index in self.reachable() {
            let linked = self.stages.get(index).map(|node| node.statements.as_slice()).unwrap_or_default();
            for one in linked {
                let later = one.trees.iter().find_map(|tree| match tree {
                    Tree::Stage(from) if *from > index => Some(*from),
                    _ => None,
                });
                if let Some(later) = later {
                    let message = format!(
                        "cannot copy from stage \"{}\", it needs to be defined before current stage \"{}\"",
                        name(later),
                        name(index)
                    );
                    return Err(invalid(message).at(one.statement.lines.clone()));
                }
            }
        }
        Ok(())
    }
}

fn stage_platform(written: &str, escape: char, around: Surroundings<'_>) -> Result<Platform, Failure> {
    let expanded = expand::word(written, escape, around.globals)?;
    let known = || around.globals.keys().map(String::as_str);
    let suggested = |message: String| match expanded.names.undefined.iter().next() {
        Some(name) => suggest::did_you_mean(message, name, known()),
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
