//! Checks that need the values of variables: each stage is walked as a build would, without running anything.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{
    COPY_IGNORED_FILE, EXPOSE_INVALID_FORMAT, EXPOSE_PROTO_CASING, FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    INVALID_DEFAULT_ARG_IN_FROM, JSON_ARGS_RECOMMENDED, LEGACY_KEY_VALUE_FORMAT,
    MULTIPLE_INSTRUCTIONS_DISALLOWED, REDUNDANT_TARGET_PLATFORM, SECRETS_USED_IN_ARG_OR_ENV,
    UNDEFINED_ARG_IN_FROM, UNDEFINED_VAR, WORKDIR_RELATIVE_PATH,
};
use super::{CheckInputs, WarningCollector};
use crate::arguments;
use crate::ast::{
    ArgDeclaration, CommandLine, Dockerfile, Instruction, LineRange, NameValue, Stage, Statement,
};
use crate::dockerfile::expose::parse_exposed_port;
use crate::expand::{self, ReferencedNames, Variables};
use crate::reachability;
use crate::remote_address::remote_source;
use crate::suggest::closest;
use dhow_model::environment::DEFAULT_PATH;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

/// Set in every stage, whatever its base.
const PATH: &str = "PATH";
/// Read by the SBOM scanner; referring to them is not a use of a variable.
const SCANNER_ARGS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];
/// Words that mark a variable name as sensitive, and those that make it harmless.
const SECRET_WORDS: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
const NON_SECRET_WORDS: [&str; 3] = ["public", "file", "version"];

/// Checks the `FROM` of all stages.
pub(super) fn check_bases(
    file: &Dockerfile,
    platform: &[(String, String)],
    globals: &BTreeMap<String, String>,
    collector: &mut WarningCollector<'_>,
) {
    check_defaults(file, platform, collector);
    for stage in &file.stages {
        check_from(file, stage, globals, collector);
    }
}

/// Checks the instructions of the given `stages`.
pub(super) fn check_stages(
    file: &Dockerfile,
    inputs: &CheckInputs<'_>,
    globals: &BTreeMap<String, String>,
    stages: &BTreeSet<usize>,
    collector: &mut WarningCollector<'_>,
) {
    let mut states: Vec<StageScope> = Vec::with_capacity(file.stages.len());
    for (index, stage) in file.stages.iter().enumerate() {
        let mut checker = StageChecker {
            escape: file.directives.escape,
            inputs,
            globals,
            state: initial_scope(file, index, inputs, globals, &states),
            last: BTreeMap::new(),
        };
        // A stage that is not checked may be the base of one that is, so its variables are tracked all the
        // same.
        let mut discarded = WarningCollector { options: collector.options, warnings: Vec::new() };
        let collector = if stages.contains(&index) { &mut *collector } else { &mut discarded };
        for statement in &stage.statements {
            checker.statement(statement, collector);
        }
        states.push(checker.state);
    }
}

/// The base name has to be valid with the default arguments too.
fn check_defaults(file: &Dockerfile, platform: &[(String, String)], collector: &mut WarningCollector<'_>) {
    let Ok(defaults) = arguments::global_args(file, platform, &BTreeMap::new()) else { return };
    for stage in &file.stages {
        let Ok(base) = expand::expand_word(&stage.base, file.directives.escape, &defaults) else { return };
        if base.text.parse::<ImageReference>().is_err() {
            let written = &stage.base;
            let message =
                format!("Default value for ARG {written} results in empty or invalid base image name");
            collector.add(&INVALID_DEFAULT_ARG_IN_FROM, &stage.lines, &stage.comments, message);
        }
    }
}

fn check_from(
    file: &Dockerfile,
    stage: &Stage,
    globals: &BTreeMap<String, String>,
    collector: &mut WarningCollector<'_>,
) {
    let escape = file.directives.escape;
    let base = expand::expand_word(&stage.base, escape, globals).map(|base| base.names).unwrap_or_default();
    undefined_in_from(file, stage, globals, &base, collector);
    let Some(written) = &stage.platform else { return };
    let Ok(platform) = expand::expand_word(written, escape, globals) else { return };
    let names = &platform.names;
    undefined_in_from(file, stage, globals, names, collector);
    // Only the plain variable is redundant: `linux/${TARGETARCH}` may be intended.
    let only_target = names.used.iter().eq(["TARGETPLATFORM"]) && names.undefined.is_empty();
    if only_target && globals.get("TARGETPLATFORM") == Some(&platform.text) {
        let message = format!(
            "Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
        );
        collector.add(&REDUNDANT_TARGET_PLATFORM, &stage.lines, &stage.comments, message);
    }
    if names == &ReferencedNames::default()
        && let Ok(constant) = platform.text.parse::<Platform>()
    {
        let name = stage.name.as_deref().unwrap_or_default();
        // A stage name that contains the platform shows that the constant is intended.
        if !name.contains(&constant.os) && !name.contains(&constant.architecture) {
            let message = format!("FROM --platform flag should not use constant value {:?}", platform.text);
            collector.add(&FROM_PLATFORM_FLAG_CONST_DISALLOWED, &stage.lines, &stage.comments, message);
        }
    }
}

fn undefined_in_from(
    file: &Dockerfile,
    stage: &Stage,
    globals: &BTreeMap<String, String>,
    names: &ReferencedNames,
    collector: &mut WarningCollector<'_>,
) {
    let declared = file.arguments.iter().flat_map(|statement| match &statement.instruction {
        Instruction::Arg(arguments) => arguments.as_slice(),
        _ => &[],
    });
    let mut defined: BTreeSet<&str> = declared.map(|argument| argument.name.as_str()).collect();
    defined.extend(globals.keys().map(String::as_str));
    for name in names.undefined.iter().filter(|name| !defined.contains(name.as_str())) {
        let suggestion = closest(name, defined.iter().copied());
        let suggestion = suggestion.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
        let message = format!("FROM argument '{name}' is not declared{suggestion}");
        collector.add(&UNDEFINED_ARG_IN_FROM, &stage.lines, &stage.comments, message);
    }
}

/// The variables of a stage between two instructions.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageScope {
    /// Those with a value.
    pub variables: Vec<(String, String)>,
    /// Declared with `ARG`, with or without a value.
    arguments: BTreeSet<String>,
    /// The environment of the base is unknown.
    pub(crate) base_unknown: bool,
    workdir: bool,
    shell: bool,
}

impl StageScope {
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }
}

/// The scope at the start of a stage; `states` are the final ones of the stages above.
pub(crate) fn initial_scope(
    file: &Dockerfile,
    index: usize,
    inputs: &CheckInputs<'_>,
    globals: &BTreeMap<String, String>,
    states: &[StageScope],
) -> StageScope {
    if let Some(base) = reachability::base_stage(file, index, globals).and_then(|base| states.get(base)) {
        return base.clone();
    }
    let named = file.stages.get(index).map(|stage| stage.base.as_str()).unwrap_or_default();
    let name =
        expand::expand_word(named, file.directives.escape, globals).map(|name| name.text).unwrap_or_default();
    let environment = if name == "scratch" { Some(Vec::new()) } else { (inputs.base_environment)(&name) };
    let base_unknown = environment.is_none();
    let mut variables = environment.unwrap_or_default();
    if Variables::get(&variables, PATH).is_none() {
        variables.push((PATH.into(), DEFAULT_PATH.into()));
    }
    StageScope { variables, base_unknown, ..StageScope::default() }
}

struct StageChecker<'a> {
    escape: char,
    inputs: &'a CheckInputs<'a>,
    globals: &'a BTreeMap<String, String>,
    state: StageScope,
    /// The last occurrence of each instruction that should occur only once.
    last: BTreeMap<&'static str, LineRange>,
}

impl StageChecker<'_> {
    fn statement(&mut self, statement: &Statement, collector: &mut WarningCollector<'_>) {
        let expanded = expand::expand_instruction(&statement.instruction, self.escape, &self.state.variables);
        let Ok((instruction, names)) = expanded else { return };
        if !matches!(instruction, Instruction::Expose(_)) {
            self.undefined(statement, &names, collector);
        }
        let add = |collector: &mut WarningCollector<'_>, rule, message: String| {
            collector.add(rule, &statement.lines, &statement.comments, message);
        };
        match &instruction {
            Instruction::Arg(arguments) => self.arguments(arguments, statement, collector),
            Instruction::Label(pairs) => check_legacy(pairs, statement, collector),
            Instruction::Env(pairs) => {
                check_legacy(pairs, statement, collector);
                for pair in pairs {
                    check_secret_name("ENV", &pair.name, statement, collector);
                    self.state.set(&pair.name, &pair.value);
                }
            }
            Instruction::Workdir(path) => {
                if !self.state.workdir && !path.starts_with('/') {
                    let message = format!(
                        "Relative workdir {path:?} can have unexpected results if the base image changes"
                    );
                    add(collector, &WORKDIR_RELATIVE_PATH, message);
                }
                self.state.workdir = true;
            }
            Instruction::Shell(_) => self.state.shell = true,
            Instruction::Cmd(command) => self.command("CMD", command, statement, collector),
            Instruction::Entrypoint(command) => self.command("ENTRYPOINT", command, statement, collector),
            Instruction::HealthCheck(_) => self.check_repeated("HEALTHCHECK", statement, collector),
            Instruction::Expose(ports) => expose(ports, statement, collector),
            Instruction::Copy(copy) if copy.from.is_none() => {
                self.check_ignored_sources("Copy", &copy.sources, statement, collector);
            }
            Instruction::Add(copy) => self.check_ignored_sources("Add", &copy.sources, statement, collector),
            _ => {}
        }
    }

    fn undefined(
        &self,
        statement: &Statement,
        names: &ReferencedNames,
        collector: &mut WarningCollector<'_>,
    ) {
        if self.state.base_unknown {
            return;
        }
        for name in &names.undefined {
            if self.state.arguments.contains(name) || SCANNER_ARGS.contains(&name.as_str()) {
                continue;
            }
            let suggestion = closest(name, self.state.variables.names());
            let suggestion = suggestion.map(|name| format!(" (did you mean ${name}?)")).unwrap_or_default();
            let message = format!("Usage of undefined variable '${name}'{suggestion}");
            collector.add(&UNDEFINED_VAR, &statement.lines, &statement.comments, message);
        }
    }

    fn arguments(
        &mut self,
        arguments: &[ArgDeclaration],
        statement: &Statement,
        collector: &mut WarningCollector<'_>,
    ) {
        for argument in arguments {
            check_secret_name("ARG", &argument.name, statement, collector);
            let value = arguments::resolve_stage_arg(
                argument,
                self.escape,
                self.inputs.given,
                self.globals,
                &self.state.variables,
            );
            let Ok((value, names)) = value else { continue };
            self.undefined(statement, &names, collector);
            self.state.arguments.insert(argument.name.clone());
            if let Some(value) = value {
                self.state.set(&argument.name, &value);
            }
        }
    }

    fn command(
        &mut self,
        name: &'static str,
        command: &CommandLine,
        statement: &Statement,
        collector: &mut WarningCollector<'_>,
    ) {
        self.check_repeated(name, statement, collector);
        if matches!(command, CommandLine::Shell { .. }) && !self.state.shell {
            let message = format!(
                "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                statement.keyword
            );
            collector.add(&JSON_ARGS_RECOMMENDED, &statement.lines, &statement.comments, message);
        }
    }

    /// Only the last CMD, ENTRYPOINT or HEALTHCHECK has an effect: warn about the earlier one.
    fn check_repeated(
        &mut self,
        name: &'static str,
        statement: &Statement,
        collector: &mut WarningCollector<'_>,
    ) {
        if let Some(before) = self.last.insert(name, statement.lines.clone()) {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                statement.keyword
            );
            collector.add(&MULTIPLE_INSTRUCTIONS_DISALLOWED, &before, &statement.comments, message);
        }
    }

    fn check_ignored_sources(
        &self,
        verb: &str,
        sources: &[String],
        statement: &Statement,
        collector: &mut WarningCollector<'_>,
    ) {
        let Some(ignored) = self.inputs.ignored else { return };
        // URLs and git repositories do not come from the context.
        for source in sources.iter().filter(|source| remote_source(source).is_none()) {
            let path = source.trim_start_matches("./").trim_matches('/');
            if !path.is_empty() && path != "." && ignored(path) {
                let message = format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
                collector.add(&COPY_IGNORED_FILE, &statement.lines, &statement.comments, message);
            }
        }
    }
}

fn check_legacy(pairs: &[NameValue], statement: &Statement, collector: &mut WarningCollector<'_>) {
    if pairs.iter().any(|pair| pair.legacy) {
        let keyword = &statement.keyword;
        let message = format!(
            "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
        );
        collector.add(&LEGACY_KEY_VALUE_FORMAT, &statement.lines, &statement.comments, message);
    }
}

fn expose(ports: &[String], statement: &Statement, collector: &mut WarningCollector<'_>) {
    for port in ports {
        let Ok(exposed) = parse_exposed_port(port) else { continue };
        if exposed.protocol != exposed.protocol.to_lowercase() {
            let message = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
            collector.add(&EXPOSE_PROTO_CASING, &statement.lines, &statement.comments, message);
        }
        if exposed.published {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            );
            collector.add(&EXPOSE_INVALID_FORMAT, &statement.lines, &statement.comments, message);
        }
    }
}

/// A secret in ARG or ENV is stored in the image's history, readable to everyone who has the image.
fn check_secret_name(
    instruction: &str,
    name: &str,
    statement: &Statement,
    collector: &mut WarningCollector<'_>,
) {
    let lower = name.to_ascii_lowercase();
    // Whole words between underscores: KEYBOARD is not a key.
    let has = |words: &[&str]| lower.split('_').any(|part| words.contains(&part));
    if has(&SECRET_WORDS) && !has(&NON_SECRET_WORDS) {
        let message =
            format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})");
        collector.add(&SECRETS_USED_IN_ARG_OR_ENV, &statement.lines, &statement.comments, message);
    }
}
