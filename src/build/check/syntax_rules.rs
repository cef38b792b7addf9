//! Checks that need only the syntax tree.

use std::collections::BTreeSet;

use super::WarningCollector;
use super::rules::{
    CONSISTENT_INSTRUCTION_CASING, DUPLICATE_STAGE_NAME, FROM_AS_CASING, INVALID_DEFINITION_DESCRIPTION,
    MAINTAINER_DEPRECATED, NO_EMPTY_CONTINUATION, RESERVED_STAGE_NAME, STAGE_NAME_CASING,
};
use crate::ast::{Dockerfile, Instruction, LineRange, Stage, Statement};

/// Names with a special meaning in `FROM` and `--from`.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// Checks what BuildKit checks while it parses, which it does up to an instruction that is wrong.
pub(super) fn check_parsed(file: &Dockerfile, collector: &mut WarningCollector<'_>) {
    for line in &file.empty_continuations {
        collector.add(&NO_EMPTY_CONTINUATION, &(*line..=*line), &[], "Empty continuation line");
    }
    for statement in &file.arguments {
        check_statement(statement, collector);
    }
    for stage in &file.stages {
        check_from(stage, collector);
        for statement in &stage.statements {
            check_statement(statement, collector);
        }
    }
}

/// Checks the whole of a file.
pub(super) fn check_whole(file: &Dockerfile, collector: &mut WarningCollector<'_>) {
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        check_name(stage, &mut names, collector);
    }
    check_casing(file, collector);
}

fn check_from(stage: &Stage, collector: &mut WarningCollector<'_>) {
    let (lines, comments) = (&stage.lines, &stage.comments);
    let (Some(name), Some(written)) = (stage.name.as_deref(), stage.written_name.as_deref()) else { return };
    if written != name {
        let message = format!("Stage name '{written}' should be lowercase");
        collector.add(&STAGE_NAME_CASING, lines, comments, message);
    }
    let from = stage.keyword.as_str();
    if let Some(keyword) = stage.as_keyword.as_deref()
        && let Some(expected) = match_case(from, keyword)
        && keyword != expected
    {
        let message = format!("'{keyword}' and '{from}' keywords' casing do not match");
        collector.add(&FROM_AS_CASING, lines, comments, message);
    }
    check_description("FROM", &[name], comments, lines, collector);
}

fn check_name<'f>(stage: &'f Stage, names: &mut BTreeSet<&'f str>, collector: &mut WarningCollector<'_>) {
    let (lines, comments) = (&stage.lines, &stage.comments);
    let Some(name) = stage.name.as_deref() else { return };
    if RESERVED.contains(&name) {
        let message = format!("Stage name should not use the same name as reserved stage {name:?}");
        collector.add(&RESERVED_STAGE_NAME, lines, comments, message);
    }
    // `name` is in lower case already: stage names ignore case.
    if !names.insert(name) {
        let message = format!("Duplicate stage name {name:?}, stage names should be unique");
        collector.add(&DUPLICATE_STAGE_NAME, lines, comments, message);
    }
}

/// `word` in the case of `model`; `None` if that is mixed case.
fn match_case(model: &str, word: &str) -> Option<String> {
    if model == model.to_lowercase() {
        Some(word.to_lowercase())
    } else {
        (model == model.to_uppercase()).then(|| word.to_uppercase())
    }
}

fn check_statement(statement: &Statement, collector: &mut WarningCollector<'_>) {
    let Statement { lines, comments, .. } = statement;
    match &statement.instruction {
        Instruction::Maintainer(_) => {
            let message = "Maintainer instruction is deprecated in favor of using label";
            collector.add(&MAINTAINER_DEPRECATED, lines, comments, message);
        }
        Instruction::Arg(arguments) => {
            let names: Vec<&str> = arguments.iter().map(|argument| argument.name.as_str()).collect();
            check_description("ARG", &names, comments, lines, collector);
        }
        _ => {}
    }
}

/// A comment directly above a named stage or argument describes it, and should start with its name.
fn check_description(
    keyword: &str,
    names: &[&str],
    comments: &[String],
    lines: &LineRange,
    collector: &mut WarningCollector<'_>,
) {
    let Some(comment) = comments.last() else { return };
    let first = comment.split(' ').next().unwrap_or_default();
    if names.contains(&first) {
        return;
    }
    let example = match names {
        [] => return,
        [only] => only,
        _ => "<arg_key>",
    };
    let message = format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    collector.add(&INVALID_DEFINITION_DESCRIPTION, lines, comments, message);
}

/// All keywords should be in the case that most of them have.
fn check_casing(file: &Dockerfile, collector: &mut WarningCollector<'_>) {
    let keywords: Vec<(&str, &LineRange, &[String])> = file
        .stages
        .iter()
        .flat_map(|stage| {
            let from = (stage.keyword.as_str(), &stage.lines, stage.comments.as_slice());
            let others = stage.statements.iter();
            std::iter::once(from)
                .chain(others.map(|other| (other.keyword.as_str(), &other.lines, other.comments.as_slice())))
        })
        .collect();
    let count =
        |convert: fn(&str) -> String| keywords.iter().filter(|(word, ..)| convert(word) == *word).count();
    // Upper case wins a tie, being the convention.
    let lower = count(str::to_lowercase) > count(str::to_uppercase);
    for (word, lines, comments) in keywords {
        let (expected, casing) =
            if lower { (word.to_lowercase(), "lowercase") } else { (word.to_uppercase(), "uppercase") };
        if word != expected {
            let message =
                format!("Command '{word}' should match the case of the command majority ({casing})");
            collector.add(&CONSISTENT_INSTRUCTION_CASING, lines, comments, message);
        }
    }
}
