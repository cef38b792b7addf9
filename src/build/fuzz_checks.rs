//! What must hold for Dockerfiles and ignore files, whoever wrote them: shared by the coverage-guided fuzz targets
//! and the seeded tests.

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

/// Reads a Dockerfile: what is read stands in lines of the file in order, and everything that is asked of it answers.
/// Whether it was one.
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
    let mut at = 0;
    for stage in &file.stages {
        assert!(*stage.lines.start() > at && *stage.lines.end() <= last);
        at = *stage.lines.end();
        for one in &stage.statements {
            assert!(*one.lines.start() > at && *one.lines.end() <= last);
            at = *one.lines.end();
            statement(one, file.directives.escape);
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

/// Expands a word: what has no special characters stays, and names are told apart by whether they have values.
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
        let known = |name: &String| variables.iter().any(|(known, _)| known == name);
        assert!(expanded.names.used.iter().all(known) && !expanded.names.undefined.iter().any(known));
        assert!(expanded.words.iter().all(|word| !word.is_empty()));
    }
    let _ = expand::expand_here_doc(text, &variables);
}

/// Reads an ignore file, and behind a zero byte a path: without exceptions, what is said of the path is the same whether
/// it is asked at once or on the way down to it (with exceptions BuildKit's two ways differ, and ours as they do), and
/// below a directory that hides all nothing is seen.
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
    let whole = PatternMatcher::new(&lines).unwrap();
    let mut parent = MatchInfo::default();
    let mut hidden = false;
    for depth in 1..=path.len() {
        let here = path[..depth].join(&b'/');
        let matched = ignore.below(&here, &parent);
        let shown = String::from_utf8_lossy(&here);
        assert!(!plain || matched.all == whole.matches(&here), "{shown}");
        assert!(matched.all || !hidden, "{shown} is seen");
        hidden |= matched.all && ignore.hides_all_of(&here);
        parent = matched;
    }
}
