//! The rules of `build --check`, applied to a Dockerfile.

mod file;
mod options;
mod report;
mod rules;
mod stages;

use std::collections::{BTreeMap, BTreeSet};

pub use options::Options;
pub use report::Report;
pub(in crate::build) use report::location;
pub(in crate::build) use stages::{State, begin};

use self::rules::Rule;
use super::arguments;
use super::dockerfile::ast::{Dockerfile, Lines};
use super::progress::Warning;
use super::reach;
use crate::error::{Failure, invalid};
use crate::model::platform::Platform;

/// Looks up the environment of a base image.
pub type BaseEnvironment<'a> = dyn Fn(&str) -> Option<Vec<(String, String)>> + 'a;

/// What is known beside the file.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// `--target`. Without one `--call check` looks at all stages, a build at those it needs.
    pub target: Option<&'a str>,
    /// Whether all stages are looked at where no target is given.
    pub all_stages: bool,
    /// `--build-arg`.
    pub given: &'a BTreeMap<String, String>,
    /// The machine that builds.
    pub build: &'a Platform,
    /// What is built for.
    pub platform: &'a Platform,
    /// The environment of a base image by its name as in `FROM`, expanded; `None` where it is not known, in which case
    /// nothing is said of undefined variables.
    pub base_environment: &'a BaseEnvironment<'a>,
    /// Whether the ignore file leaves a path of the context out; `None` where there is none, or one with exceptions.
    pub ignored: Option<&'a dyn Fn(&str) -> bool>,
}

/// Applies the rules that `options` leave. In the order of the lines.
pub fn check(file: &Dockerfile, options: &Options, around: &Surroundings<'_>) -> Vec<Warning> {
    let mut found = Found { options, warnings: Vec::new() };
    file::check(file, &mut found);
    let platform = arguments::platform(around.build, around.platform, around.target.unwrap_or_default());
    // Without values for the arguments nothing that depends on them can be said; the build will say why there are none.
    if let Ok(globals) = arguments::global(file, &platform, around.given) {
        let stages = looked_at(file, around, &globals);
        stages::check(file, around, &platform, &globals, &stages, &mut found);
    }
    let mut warnings = found.warnings;
    warnings.sort_by_key(|warning| warning.lines.0);
    warnings
}

fn looked_at(
    file: &Dockerfile,
    around: &Surroundings<'_>,
    globals: &BTreeMap<String, String>,
) -> BTreeSet<usize> {
    let target = around.target.filter(|target| !target.is_empty());
    if target.is_none() && around.all_stages {
        return (0..file.stages.len()).collect();
    }
    reach::target(file, target).map(|target| reach::needed(file, target, globals)).unwrap_or_default()
}

/// The failure of a build whose Dockerfile breaks rules and says that this is an error.
pub fn error(warnings: &[Warning], options: &Options) -> Option<Failure> {
    let rules: BTreeSet<&str> = warnings.iter().map(|warning| warning.rule.as_str()).collect();
    let rules: Vec<&str> = rules.into_iter().collect();
    (options.error && !rules.is_empty())
        .then(|| invalid(format!("lint violation found for rules: {}", rules.join(", "))))
}

/// What was found so far.
struct Found<'a> {
    options: &'a Options,
    warnings: Vec<Warning>,
}

impl Found<'_> {
    /// Adds what is wrong, unless the rule is not applied: by the options or by a comment above the instruction.
    fn add(&mut self, rule: &Rule, lines: &Lines, comments: &[String], message: impl Into<String>) {
        if self.options.with_comments(comments).apply(rule) {
            self.warnings.push(rule.warning(message.into(), lines));
        }
    }
}

#[cfg(test)]
mod tests;
