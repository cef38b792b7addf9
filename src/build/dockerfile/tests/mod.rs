//! A corpus of Dockerfiles: each oddity of the language with what is read from it.

mod errors;
mod here_docs;
mod instructions;
mod lines;

use super::parse;
use crate::ast::{CommandLine, CopyInstruction, HereDoc, Instruction, NameValue, Statement};

/// All that a file says behind its first `FROM`, one instruction a line: where it stands, then what it is.
fn read(text: &str) -> String {
    let file = match parse(text.as_bytes()) {
        Ok(file) => file,
        Err(failure) => return format!("ERROR {:?} {failure}", failure.lines()),
    };
    let mut out = Vec::new();
    for (number, stage) in file.stages.iter().enumerate() {
        if number > 0 {
            out.push(format!("{:?} FROM {}", stage.lines, stage.base));
        }
        out.extend(stage.statements.iter().map(|one| format!("{:?} {}", one.lines, statement(one))));
    }
    out.join("\n")
}

/// Each text behind `FROM x` in a file of its own; it begins in line 2.
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(read(&format!("FROM x\n{text}")), *expected, "{text}");
    }
}

/// [`check`], without the lines where a single instruction stands.
fn check_one(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let read = read(&format!("FROM x\n{text}"));
        let (_, shown) = read.split_once(' ').unwrap_or(("", &read));
        assert_eq!(shown, *expected, "{text}");
    }
}

fn statement(statement: &Statement) -> String {
    match &statement.instruction {
        Instruction::Run(run) => {
            let mut shown = "RUN".to_owned();
            for fields in &run.mounts {
                let field = |(key, value): &(String, Option<String>)| match value {
                    Some(value) => format!("{key}={value}"),
                    None => key.clone(),
                };
                shown += &format!(" mount({})", fields.iter().map(field).collect::<Vec<_>>().join(" "));
            }
            for (name, value) in [("network", &run.network), ("security", &run.security)] {
                shown.extend(value.iter().map(|value| format!(" {name}={value}")));
            }
            shown.extend(run.devices.iter().map(|value| format!(" device={value}")));
            format!("{shown} {}", command(&run.command))
        }
        Instruction::Copy(all) => format!("COPY {}", copy(all)),
        Instruction::Add(all) => format!("ADD {}", copy(all)),
        Instruction::Env(pairs) => format!("ENV {}", assignments(pairs)),
        Instruction::Label(pairs) => format!("LABEL {}", assignments(pairs)),
        Instruction::Arg(arguments) => {
            let one = |argument: &crate::ast::ArgDeclaration| match &argument.value {
                Some(value) => format!("{}={value}", argument.name),
                None => argument.name.clone(),
            };
            format!("ARG {:?}", arguments.iter().map(one).collect::<Vec<_>>())
        }
        Instruction::Workdir(text) => format!("WORKDIR {text:?}"),
        Instruction::User(text) => format!("USER {text:?}"),
        Instruction::StopSignal(text) => format!("STOPSIGNAL {text:?}"),
        Instruction::Maintainer(text) => format!("MAINTAINER {text:?}"),
        Instruction::OnBuild(text) => format!("ONBUILD {text:?}"),
        Instruction::Expose(words) => format!("EXPOSE {words:?}"),
        Instruction::Volume(words) => format!("VOLUME {words:?}"),
        Instruction::Shell(words) => format!("SHELL {words:?}"),
        Instruction::Cmd(all) => format!("CMD {}", command(all)),
        Instruction::Entrypoint(all) => format!("ENTRYPOINT {}", command(all)),
        Instruction::HealthCheck(check) => {
            let all =
                [&check.interval, &check.timeout, &check.start_period, &check.start_interval, &check.retries];
            let times: Vec<&str> = all.iter().map(|time| time.as_deref().unwrap_or("-")).collect();
            let test = check.command.as_ref().map_or("NONE".into(), command);
            format!("HEALTHCHECK {} {test}", times.join(","))
        }
    }
}

fn command(command: &CommandLine) -> String {
    match command {
        CommandLine::Exec(words) => format!("exec {words:?}"),
        CommandLine::Shell { line, here_docs } => {
            format!("{line:?}{}", here_docs.iter().map(here_doc).collect::<String>())
        }
    }
}

fn here_doc(doc: &HereDoc) -> String {
    let raw = if doc.expand { "" } else { " raw" };
    let descriptor = if doc.descriptor == 0 { String::new() } else { doc.descriptor.to_string() };
    format!(" {descriptor}<<{}{raw} {:?}", doc.name, doc.content)
}

fn copy(copy: &CopyInstruction) -> String {
    let mut shown = String::new();
    let values = [
        ("from", &copy.from),
        ("chown", &copy.flags.chown),
        ("chmod", &copy.flags.chmod),
        ("checksum", &copy.checksum),
    ];
    for (name, value) in values {
        shown.extend(value.iter().map(|value| format!("{name}={value} ")));
    }
    let set =
        [("link", copy.flags.link), ("parents", copy.flags.parents), ("keep-git-dir", copy.keep_git_dir)];
    shown.extend(set.iter().filter(|(_, set)| *set).map(|(name, _)| format!("{name} ")));
    shown.extend(copy.unpack.iter().map(|unpack| format!("unpack={unpack} ")));
    shown.extend(copy.flags.exclude.iter().map(|pattern| format!("exclude={pattern} ")));
    let docs: String = copy.here_docs.iter().map(here_doc).collect();
    format!("{shown}{:?} -> {:?}{docs}", copy.sources, copy.target)
}

fn assignments(pairs: &[NameValue]) -> String {
    let legacy = if pairs.iter().any(|pair| pair.legacy) { "legacy " } else { "" };
    let pairs: Vec<String> = pairs.iter().map(|pair| format!("{}={}", pair.name, pair.value)).collect();
    format!("{legacy}{pairs:?}")
}
