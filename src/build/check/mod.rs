//! Build checks (`build --check`): BuildKit's linter rules, applied to a Dockerfile without running it.
//!
//! `syntax_rules` need the syntax tree alone; `stage_rules` track variables through each stage. As in BuildKit, a
//! build checks the syntax and every `FROM` of the file, but only the stages that it builds. A rule is
//! skipped by `# check=skip=…`, by `BUILDKIT_DOCKERFILE_CHECK`, or by a comment above the instruction.

mod options;
mod report;
mod rules;
mod stage_rules;
mod syntax_rules;

use std::collections::{BTreeMap, BTreeSet};

pub use options::CheckOptions;
pub use report::CheckReport;
pub use report::location;
pub(crate) use stage_rules::{StageScope, initial_scope};

use self::rules::CheckRule;
use super::arguments;
use super::ast::{Dockerfile, LineRange};
use super::progress::CheckWarning;
use super::reachability;
use dhow_error::{Failure, invalid};
use dhow_model::platform::Platform;

/// Looks up the environment of a base image, by its expanded name in `FROM`.
pub(crate) type BaseEnvironment<'a> = dyn Fn(&str) -> Option<Vec<(String, String)>> + 'a;

/// What the checks need besides the file.
#[derive(Clone, Copy)]
pub struct CheckInputs<'a> {
    /// `--target`.
    pub target: Option<&'a str>,
    /// Without a target: check all stages (`--call check`), or only those that a build needs.
    pub all_stages: bool,
    pub given: &'a BTreeMap<String, String>,
    pub build: &'a Platform,
    /// The target platform.
    pub platform: &'a Platform,
    /// `None` if a base image's environment is unknown: undefined variables are then not reported.
    pub base_environment: &'a BaseEnvironment<'a>,
    /// Whether `.dockerignore` excludes a path. `None` if there is none, or one with exceptions, where a path
    /// alone does not decide.
    pub ignored: Option<&'a dyn Fn(&str) -> bool>,
}

/// Runs the checks that `options` enable; sorted by line.
pub fn check(file: &Dockerfile, options: &CheckOptions, inputs: &CheckInputs<'_>) -> Vec<CheckWarning> {
    let mut warnings = check_file(file, options, inputs);
    warnings.extend(check_stages(file, options, inputs));
    // The checks run one after the other; a stable sort keeps their order within a line.
    warnings.sort_by_key(|warning| warning.lines.0);
    warnings
}

/// The checks that BuildKit makes while it parses, of what stands before an instruction that is wrong.
pub fn check_prefix(file: &Dockerfile, options: &CheckOptions) -> Vec<CheckWarning> {
    let mut collector = WarningCollector { options, warnings: Vec::new() };
    syntax_rules::check_parsed(file, &mut collector);
    collector.sorted()
}

/// The checks that need nothing but the file: those of the syntax, and of `FROM`.
pub fn check_file(file: &Dockerfile, options: &CheckOptions, inputs: &CheckInputs<'_>) -> Vec<CheckWarning> {
    let mut collector = WarningCollector { options, warnings: Vec::new() };
    syntax_rules::check_parsed(file, &mut collector);
    syntax_rules::check_whole(file, &mut collector);
    let platform = platform_args(inputs);
    // If a global argument fails to expand, its values are unknown; the build reports that error itself.
    if let Ok(globals) = arguments::global_args(file, &platform, inputs.given) {
        stage_rules::check_bases(file, &platform, &globals, &mut collector);
    }
    collector.sorted()
}

/// The checks of the instructions in the stages that are built, or of all.
pub fn check_stages(
    file: &Dockerfile,
    options: &CheckOptions,
    inputs: &CheckInputs<'_>,
) -> Vec<CheckWarning> {
    let mut collector = WarningCollector { options, warnings: Vec::new() };
    if let Ok(globals) = arguments::global_args(file, &platform_args(inputs), inputs.given) {
        let stages = checked_stages(file, inputs, &globals);
        stage_rules::check_stages(file, inputs, &globals, &stages, &mut collector);
    }
    collector.sorted()
}

fn platform_args(inputs: &CheckInputs<'_>) -> Vec<(String, String)> {
    arguments::platform_args(inputs.build, inputs.platform, inputs.target.unwrap_or_default())
}

fn checked_stages(
    file: &Dockerfile,
    inputs: &CheckInputs<'_>,
    globals: &BTreeMap<String, String>,
) -> BTreeSet<usize> {
    let target = inputs.target.filter(|target| !target.is_empty());
    if target.is_none() && inputs.all_stages {
        return (0..file.stages.len()).collect();
    }
    reachability::target_stage(file, target)
        .map(|target| reachability::needed_stages(file, target, globals))
        .unwrap_or_default()
}

/// The error of a build with `# check=error=true` whose Dockerfile has violations.
pub fn violation_error(warnings: &[CheckWarning], options: &CheckOptions) -> Option<Failure> {
    let rules: BTreeSet<&str> = warnings.iter().map(|warning| warning.rule.as_str()).collect();
    let rules: Vec<&str> = rules.into_iter().collect();
    (options.error && !rules.is_empty())
        .then(|| invalid(format!("lint violation found for rules: {}", rules.join(", "))))
}

/// The warnings so far.
struct WarningCollector<'a> {
    options: &'a CheckOptions,
    warnings: Vec<CheckWarning>,
}

impl WarningCollector<'_> {
    /// Adds a warning, unless the options or a comment above the instruction skip the rule.
    fn add(&mut self, rule: &CheckRule, lines: &LineRange, comments: &[String], message: impl Into<String>) {
        if self.options.with_comments(comments).applies(rule) {
            self.warnings.push(rule.warning(message.into(), lines));
        }
    }

    fn sorted(self) -> Vec<CheckWarning> {
        let mut warnings = self.warnings;
        warnings.sort_by_key(|warning| warning.lines.0);
        warnings
    }
}

#[cfg(test)]
mod tests;
