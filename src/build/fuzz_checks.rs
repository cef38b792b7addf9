//! Properties that hold for any Dockerfile and any ignore file, shared by the coverage-guided fuzz targets and
//! the seeded tests.

use std::collections::BTreeMap;

use crate::ast::Dockerfile;
use crate::ast::Instruction;
use crate::ast::Statement;
use crate::check::CheckInputs;
use crate::check::CheckOptions;
use crate::check::check;
use crate::dockerfile::excerpt::excerpt;
use crate::dockerfile::parse;
use crate::dockerfile::parse_statement;
use crate::dockerignore::IgnoreFile;
use crate::expand;
use crate::outline::TargetList;
use crate::outline::TargetOutline;
use crate::path_pattern::MatchInfo;
use crate::path_pattern::PatternMatcher;
use dhow_model::platform::Platform;

/// Parses a Dockerfile: its stages and statements must be at ascending lines of the file, and checks, outlines
/// and target lists must not fail on it. Returns whether it was valid.
pub fn dockerfile(input: &[u8]) -> bool {
    let last = input.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
    let text = String::from_utf8_lossy(input);
    let file = match parse(input) {
        Ok(file) => file,
        Err(failure) => {
            if let Some(lines) = failure.lines() {
                assert!(*lines.start() >= 1 && lines.start() <= lines.end() && *lines.end() <= last);
                assert!(!excerpt("Dockerfile", &text, &lines).is_empty());
            }
            return false;
        }
    };
    let mut line = 0;
    for stage in &file.stages {
        assert!(*stage.lines.start() > line && *stage.lines.end() <= last);
        line = *stage.lines.end();
        for parsed in &stage.statements {
            assert!(*parsed.lines.start() > line && *parsed.lines.end() <= last);
            line = *parsed.lines.end();
            statement(parsed, file.directives.escape);
        }
    }
    answers(&file, &text, last);
    true
}

fn statement(statement: &Statement, escape: char) {
    let _ = (statement.display_text(), parse_statement(&statement.text, escape));
    if let Instruction::OnBuild(trigger) = &statement.instruction {
        let _ = parse_statement(trigger, escape);
    }
    let variables = vec![("A".to_owned(), "a b".to_owned())];
    if let Ok((expanded, names)) = expand::expand_instruction(&statement.instruction, escape, &variables) {
        assert!(!names.undefined.contains("A"));
        assert_eq!(std::mem::discriminant(&expanded), std::mem::discriminant(&statement.instruction));
    }
}

fn answers(file: &Dockerfile, text: &str, last: u32) {
    let given = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    let platform = Platform::host();
    let inputs = CheckInputs {
        target: None,
        all_stages: true,
        given: &given,
        build: &platform,
        platform: &platform,
        base_environment: &|_| Some(Vec::new()),
        ignored: Some(&|path| path.len() % 2 == 0),
    };
    let options = CheckOptions::parse("experimental=all").unwrap();
    for warning in check(file, &options, &inputs) {
        assert!(warning.lines.0 >= 1 && warning.lines.0 <= warning.lines.1 && warning.lines.1 <= last);
    }
    if let Ok(outline) = TargetOutline::describe(file, text, &inputs) {
        let _ = (outline.text(), outline.json());
    }
    let targets = TargetList { file, source: text };
    assert_eq!(targets.text().lines().count().min(2), 2);
}

/// Expands a word: text without special characters must not change, and only names with a value count as
/// used.
pub fn expansion(text: &str) {
    let variables = [("A", "a b"), ("EMPTY", ""), ("PATH", "/usr/bin:/bin"), ("É", "x")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    for escape in ['\\', '`'] {
        let Ok(expanded) = expand::expand_word(text, escape, &variables) else { continue };
        if !text.contains(['$', '\'', '"', escape]) {
            assert_eq!(expanded.text, text);
            assert_eq!(expanded.words, text.split_whitespace().collect::<Vec<_>>());
        }
        let is_defined = |name: &String| variables.iter().any(|(defined, _)| defined == name);
        assert!(
            expanded.names.used.iter().all(is_defined) && !expanded.names.undefined.iter().any(is_defined)
        );
        assert!(expanded.words.iter().all(|word| !word.is_empty()));
    }
    let _ = expand::expand_here_doc(text, &variables);
}

/// Parses an ignore file, followed by a zero byte and a path. Without exceptions, matching the path at once
/// and component by component must agree (with exceptions BuildKit's two algorithms differ, and so do ours);
/// below a directory that hides everything, nothing may be visible.
pub fn ignore(input: &[u8]) {
    let split = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (text, path) = (&input[..split], &input[(split + 1).min(input.len())..]);
    let path: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"." | b".."))
        .take(16)
        .collect();
    let Ok(ignore) = IgnoreFile::parse(".dockerignore", text) else { return };
    let lines = crate::dockerignore::parse(text);
    let plain = !lines.iter().any(|line| line.starts_with('!'));
    let matcher = PatternMatcher::new(&lines).unwrap();
    let mut parent = MatchInfo::default();
    let mut hidden = false;
    for depth in 1..=path.len() {
        let prefix = path[..depth].join(&b'/');
        let matched = ignore.below(&prefix, &parent);
        let shown = String::from_utf8_lossy(&prefix);
        assert!(!plain || matched.all == matcher.matches(&prefix), "{shown}");
        assert!(matched.all || !hidden, "{shown} is seen");
        hidden |= matched.all && ignore.hides_all_of(&prefix);
        parent = matched;
    }
}
