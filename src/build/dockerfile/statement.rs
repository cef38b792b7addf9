//! The second pass: interprets all instructions but `FROM`.

use super::flags::InstructionFlags;
use super::node::{InstructionNode, NodeArguments};
use super::{copy, health, run};
use crate::ast::{ArgDeclaration, Instruction, NameValue, Statement};
use crate::suggest::did_you_mean;
use dhow_error::{Failure, invalid};

pub(super) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

pub(super) fn parse_node(node: InstructionNode) -> Result<Statement, Failure> {
    let (keyword, text) = (node.keyword.clone(), node.text.clone());
    let (lines, comments) = (node.lines.clone(), node.comments.clone());
    Ok(Statement { instruction: instruction(node)?, keyword, text, lines, comments })
}

fn instruction(node: InstructionNode) -> Result<Instruction, Failure> {
    let keyword = node.keyword.to_ascii_uppercase();
    let upper = keyword.as_str();
    Ok(match upper {
        "RUN" => Instruction::Run(run::parse_run(node)?),
        "COPY" => Instruction::Copy(copy::parse_copy(node)?),
        "ADD" => Instruction::Add(copy::parse_add(node)?),
        "ENV" => Instruction::Env(assignments(node, upper)?),
        "LABEL" => Instruction::Label(assignments(node, upper)?),
        "ARG" => Instruction::Arg(arguments(node)?),
        "WORKDIR" => Instruction::Workdir(single_argument(node, upper)?),
        "USER" => Instruction::User(single_argument(node, upper)?),
        "STOPSIGNAL" => Instruction::StopSignal(single_argument(node, upper)?),
        "MAINTAINER" => Instruction::Maintainer(single_argument(node, upper)?),
        "EXPOSE" => Instruction::Expose(ports(node)?),
        "VOLUME" => Instruction::Volume(volumes(node)?),
        "CMD" => {
            no_flags(&node)?;
            Instruction::Cmd(run::command_line(node.arguments, node.here_docs))
        }
        "ENTRYPOINT" => {
            no_flags(&node)?;
            Instruction::Entrypoint(run::command_line(node.arguments, node.here_docs))
        }
        "SHELL" => Instruction::Shell(shell(node)?),
        "HEALTHCHECK" => Instruction::HealthCheck(health::health_check(node)?),
        "ONBUILD" => Instruction::OnBuild(trigger(node)?),
        _ => return Err(unknown(&node.keyword)),
    })
}

/// The suggestion uses the case that was written.
fn unknown(keyword: &str) -> Failure {
    let message = format!("unknown instruction: {keyword}");
    let upper = keyword.to_ascii_uppercase();
    if keyword.chars().any(char::is_uppercase) {
        return invalid(did_you_mean(message, &upper, KEYWORDS));
    }
    // Written in lower case: suggest in lower case.
    let keywords = KEYWORDS.map(str::to_ascii_lowercase);
    invalid(did_you_mean(message, keyword, keywords.iter().map(String::as_str)))
}

fn no_flags(node: &InstructionNode) -> Result<(), Failure> {
    InstructionFlags::read(&node.flags, &[]).map(|_| ())
}

fn at_least_one(keyword: &str) -> Failure {
    invalid(format!("{keyword} requires at least one argument"))
}

/// The argument of an instruction that takes the whole line.
fn single_argument(node: InstructionNode, keyword: &str) -> Result<String, Failure> {
    let exactly = || invalid(format!("{keyword} requires exactly one argument"));
    // BuildKit reports missing arguments before unknown flags.
    let flags = no_flags(&node);
    let (mut words, _) = node.arguments.words();
    let word = words.pop().ok_or_else(exactly)?;
    flags?;
    Ok(word)
}

fn assignments(node: InstructionNode, keyword: &str) -> Result<Vec<NameValue>, Failure> {
    no_flags(&node)?;
    let NodeArguments::Pairs { pairs, legacy } = node.arguments else { return Err(at_least_one(keyword)) };
    if pairs.is_empty() {
        return Err(at_least_one(keyword));
    }
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return Err(invalid(format!("{keyword} names can not be blank")));
    }
    Ok(pairs.into_iter().map(|(name, value)| NameValue { name, value, legacy }).collect())
}

fn arguments(node: InstructionNode) -> Result<Vec<ArgDeclaration>, Failure> {
    no_flags(&node)?;
    let (words, _) = node.arguments.words();
    if words.is_empty() {
        return Err(at_least_one("ARG"));
    }
    let argument = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(invalid("ARG names can not be blank")),
        Some((name, value)) => Ok(ArgDeclaration { name: name.to_owned(), value: Some(value.to_owned()) }),
        None => Ok(ArgDeclaration { name: word, value: None }),
    };
    words.into_iter().map(argument).collect()
}

/// Sorted, as BuildKit does.
fn ports(node: InstructionNode) -> Result<Vec<String>, Failure> {
    let flags = no_flags(&node);
    let (mut words, _) = node.arguments.words();
    if words.is_empty() {
        return Err(at_least_one("EXPOSE"));
    }
    flags?;
    // BuildKit sorts the words before expanding them, which shows in the history.
    words.sort();
    Ok(words)
}

fn volumes(node: InstructionNode) -> Result<Vec<String>, Failure> {
    let flags = no_flags(&node);
    let (words, _) = node.arguments.words();
    if words.is_empty() {
        return Err(at_least_one("VOLUME"));
    }
    flags?;
    let paths: Vec<String> = words.iter().map(|word| word.trim().to_owned()).collect();
    if paths.iter().any(String::is_empty) {
        return Err(invalid("VOLUME specified can not be an empty string"));
    }
    Ok(paths)
}

fn shell(node: InstructionNode) -> Result<Vec<String>, Failure> {
    no_flags(&node)?;
    let text = node.text.clone();
    match node.arguments.words() {
        (words, _) if words.is_empty() => Err(at_least_one("SHELL")),
        (words, true) => Ok(words),
        (_, false) => Err(not_json(&text)),
    }
}

/// The error for SHELL in shell form, with a suggestion if the words need no unquoting.
fn not_json(text: &str) -> Failure {
    let words: Vec<&str> = text.split_whitespace().skip(1).collect();
    let failure = invalid("SHELL requires the arguments to be in JSON form");
    if words.iter().any(|word| word.contains(['"', '\'', '[', ']', '\\'])) {
        return failure;
    }
    failure.hint(format!("SHELL {}", serde_json::json!(words)))
}

/// The trigger's text followed by its here-documents. It is parsed only when a build uses the image;
/// instructions that can never be triggers are refused here.
fn trigger(node: InstructionNode) -> Result<String, Failure> {
    let flags = no_flags(&node);
    let text = node.text.trim();
    let mut trigger = text.get(node.keyword.len()..).unwrap_or_default().trim_start().to_owned();
    let NodeArguments::Trigger(inner) = node.arguments else { return Err(at_least_one("ONBUILD")) };
    flags?;
    match inner.keyword.to_ascii_uppercase().as_str() {
        // A trigger runs directly after FROM of the child; it cannot register another one.
        "ONBUILD" => return Err(invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
        upper @ ("MAINTAINER" | "FROM") => {
            return Err(invalid(format!("{upper} isn't allowed as an ONBUILD trigger")));
        }
        _ => {}
    }
    for doc in &node.here_docs {
        trigger.push_str(&format!("\n{}{}", doc.content, doc.name));
    }
    Ok(trigger)
}
