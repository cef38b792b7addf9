//! Instructions that only change the image config.

use serde_json::json;

use super::{StageEvaluator, reject_if, set_env};
use crate::ast::{CommandLine, HealthCheckInstruction, Instruction, NameValue};
use crate::dockerfile::{expose, health};
use crate::go_format;
use dhow_error::{Failure, invalid};
use dhow_model::duration;
use dhow_model::health::HealthSpec;
use dhow_model::signal;

impl StageEvaluator<'_, '_> {
    /// Applies an expanded instruction.
    pub(super) fn configure(&mut self, instruction: &Instruction) -> Result<(), Failure> {
        let run = &mut self.state.config.run;
        let line = match instruction {
            Instruction::Env(pairs) => return self.env(pairs),
            Instruction::Label(pairs) => {
                let labels = run.labels.get_or_insert_default();
                labels.extend(pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())));
                format!("LABEL{}", format_pairs(pairs))
            }
            Instruction::User(user) => {
                run.user.clone_from(user);
                format!("USER {user}")
            }
            Instruction::Expose(words) => {
                let ports = expose::expand_ports(words)?;
                // The config has a Go map to empty structs.
                run.exposed_ports.extend(ports.iter().map(|port| (port.clone(), json!({}))));
                format!("EXPOSE {}", go_format::plain_list(&ports))
            }
            Instruction::Volume(paths) => {
                reject_if(paths.iter().any(String::is_empty), || {
                    "VOLUME specified can not be an empty string".into()
                })?;
                run.volumes.extend(paths.iter().map(|path| (path.clone(), json!({}))));
                format!("VOLUME {}", go_format::plain_list(paths))
            }
            Instruction::Cmd(command) => {
                let words = self.words(command);
                self.state.config.run.cmd = Some(words.clone());
                // Only Windows images use it; BuildKit sets it for all.
                self.state.config.run.args_escaped = true;
                self.state.command_set = true;
                format!("CMD {}", go_format::quoted_list(&words))
            }
            Instruction::Entrypoint(command) => {
                let words = self.words(command);
                let run = &mut self.state.config.run;
                // A new ENTRYPOINT drops the CMD inherited from the base, but not one of this stage.
                run.entrypoint = Some(words.clone());
                run.args_escaped = true;
                if !self.state.command_set {
                    run.cmd = None;
                }
                format!("ENTRYPOINT {}", go_format::quoted_list(&words))
            }
            Instruction::Shell(words) => {
                run.shell = Some(words.clone());
                format!("SHELL {}", go_format::plain_list(words))
            }
            Instruction::StopSignal(name) => {
                signal::parse(name).map_err(|_| invalid(format!("Invalid signal: {name}")))?;
                run.stop_signal.clone_from(name);
                format!("STOPSIGNAL {name}")
            }
            Instruction::HealthCheck(check) => {
                let check = health_check(check)?;
                run.healthcheck = Some(json!(check));
                health_history_text(&check)
            }
            Instruction::OnBuild(trigger) => {
                run.on_build.get_or_insert_default().push(trigger.clone());
                // ONBUILD leaves no history entry: it takes effect in the child image.
                return Ok(());
            }
            Instruction::Maintainer(name) => {
                self.state.config.author.clone_from(name);
                format!("MAINTAINER {name}")
            }
            // Handled as steps or arguments by the caller.
            Instruction::Run(_)
            | Instruction::Copy(_)
            | Instruction::Add(_)
            | Instruction::Arg(_)
            | Instruction::Workdir(_) => return Ok(()),
        };
        self.add_history(line, None);
        Ok(())
    }

    fn env(&mut self, pairs: &[NameValue]) -> Result<(), Failure> {
        for pair in pairs {
            set_env(&mut self.state.env, &pair.name, &pair.value);
            let entry = format!("{}={}", pair.name, pair.value);
            let env = &mut self.state.config.run.env;
            let same_name = |variable: &&mut String| variable.split('=').next() == Some(pair.name.as_str());
            match env.iter_mut().find(same_name) {
                Some(variable) => *variable = entry,
                None => env.push(entry),
            }
        }
        self.add_history(format!("ENV{}", format_pairs(pairs)), None);
        Ok(())
    }

    fn words(&self, command: &CommandLine) -> Vec<String> {
        match command {
            CommandLine::Exec(words) => words.clone(),
            CommandLine::Shell { line, .. } => self.shell_argv(line),
        }
    }
}

fn format_pairs(pairs: &[NameValue]) -> String {
    pairs.iter().map(|pair| format!(" {}={}", pair.name, pair.value)).collect()
}

fn health_check(check: &HealthCheckInstruction) -> Result<HealthSpec, Failure> {
    let times = health::parse_timings(check)?;
    // The config counts nanoseconds; 0 means the default.
    let nanoseconds = |time: Option<std::time::Duration>| {
        time.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
    };
    let test = match &check.command {
        None => return Ok(HealthSpec::none()),
        Some(CommandLine::Shell { line, .. }) => vec!["CMD-SHELL".to_owned(), line.clone()],
        Some(CommandLine::Exec(words)) => {
            std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect()
        }
    };
    Ok(HealthSpec {
        test,
        interval: nanoseconds(times.interval),
        timeout: nanoseconds(times.timeout),
        start_period: nanoseconds(times.start_period),
        start_interval: nanoseconds(times.start_interval),
        retries: times.retries.map_or(0, i64::from),
    })
}

fn health_history_text(check: &HealthSpec) -> String {
    format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        go_format::plain_list(&check.test),
        duration::format_go(check.interval),
        duration::format_go(check.timeout),
        duration::format_go(check.start_period),
        duration::format_go(check.start_interval),
        check.retries
    )
}
