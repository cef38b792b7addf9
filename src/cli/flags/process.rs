//! Flags for the process: environment, user, directory, terminal, ulimits.

use clap::Args;

use super::pairs::{read_pair_files, resolve_value};
use dhow_error::invalid;
use dhow_model::container::{ContainerSpec, UlimitSpec};
use dhow_model::flags::key_value::{self, KeyValue};

/// Environment, user, directory, terminal, limits by process.
#[derive(Args)]
pub(crate) struct ProcessFlags {
    /// Attach to stdin, stdout or stderr
    #[arg(short, long, value_name = "STREAM")]
    attach: Vec<String>,
    /// Program to run in place of the image's; an empty one takes it away
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Environment variable, NAME=VALUE, or NAME to pass it on
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// File with an environment variable on each line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Further group, by name or number
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Keep the standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give the process a terminal
    #[arg(short, long)]
    tty: bool,
    /// User and optionally group, USER[:GROUP], by name or number
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Directory to start in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Limit of each process, NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT")]
    ulimit: Vec<UlimitSpec>,
    /// Preference of the kernel when memory runs out, -1000 to 1000
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    oom_score_adj: Option<i32>,
}

impl ProcessFlags {
    pub(super) fn fill(self, spec: &mut ContainerSpec) -> anyhow::Result<()> {
        spec.process.env = resolve_env(&self.env, &self.env_file)?;
        spec.process.attach =
            self.attach.iter().map(|name| check_stream(name)).collect::<anyhow::Result<_>>()?;
        // An empty one removes the entrypoint of the image.
        spec.process.entrypoint =
            self.entrypoint.map(|program| if program.is_empty() { Vec::new() } else { vec![program] });
        spec.process.workdir = self.workdir.filter(|dir| !dir.is_empty()).map(check_absolute).transpose()?;
        spec.process.user = self.user.filter(|user| !user.is_empty());
        spec.process.groups = self.group_add;
        spec.process.tty = self.tty;
        spec.process.interactive = self.interactive;
        spec.ulimits = last_of_each(self.ulimit);
        spec.oom_score_adj = self.oom_score_adj.filter(|score| *score != 0);
        Ok(())
    }
}

/// Variables of files come first, so that flags win. A name without a value is looked up in the environment.
/// If it is not set there, a file's name is dropped; a flag's name stays and removes the image's variable.
pub(crate) fn resolve_env(flags: &[String], files: &[String]) -> anyhow::Result<Vec<String>> {
    let from_files = read_pair_files("--env-file", files)?;
    let mut env: Vec<String> =
        from_files.into_iter().map(resolve_pair).filter(|line| line.contains('=')).collect();
    for text in flags {
        env.push(resolve_pair(key_value::parse(text, "environment variable")?));
    }
    // execve could not pass it on.
    if let Some(bad) = env.iter().find(|line| line.contains('\0')) {
        return Err(invalid(format!("`{}` contains a NUL byte", bad.escape_debug())).into());
    }
    Ok(env)
}

fn resolve_pair(pair: KeyValue) -> String {
    let KeyValue { name, value } = resolve_value(pair);
    match value {
        Some(value) => format!("{name}={value}"),
        None => name,
    }
}

fn check_stream(name: &str) -> anyhow::Result<String> {
    // docker takes stream names in any case.
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "stdin" | "stdout" | "stderr" => Ok(lower),
        _ => Err(invalid(format!(
            "--attach {}: valid streams are stdin, stdout and stderr",
            name.escape_debug()
        ))
        .into()),
    }
}

fn check_absolute(dir: String) -> anyhow::Result<String> {
    if dir.starts_with('/') {
        return Ok(dir);
    }
    Err(invalid(format!(
        "the working directory '{}' is invalid, it needs to be an absolute path",
        dir.escape_debug()
    ))
    .into())
}

/// The last of several limits of one kind wins.
fn last_of_each(limits: Vec<UlimitSpec>) -> Vec<UlimitSpec> {
    let mut unique: Vec<UlimitSpec> = Vec::new();
    for limit in limits {
        unique.retain(|other| other.name != limit.name);
        unique.push(limit);
    }
    unique
}
