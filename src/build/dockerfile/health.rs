//! Parses `HEALTHCHECK`.

use std::time::Duration;

use super::flags::{FlagArity, InstructionFlags};
use super::node::{InstructionNode, NodeArguments};
use super::run;
use crate::ast::{CommandLine, HealthCheckInstruction};
use dhow_error::{Failure, invalid};
use dhow_model::duration;

const FLAGS: [(&str, FlagArity); 5] = [
    ("interval", FlagArity::One),
    ("timeout", FlagArity::One),
    ("start-period", FlagArity::One),
    ("start-interval", FlagArity::One),
    ("retries", FlagArity::One),
];

/// The timing of a health check; `None` means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HealthTimings {
    /// Between two checks.
    pub interval: Option<Duration>,
    /// Of one check.
    pub timeout: Option<Duration>,
    /// After the start: failures in this time do not count.
    pub start_period: Option<Duration>,
    /// Between two checks in the start period.
    pub start_interval: Option<Duration>,
    /// Consecutive failures until the container is unhealthy.
    pub retries: Option<u32>,
}

/// Parses `HEALTHCHECK NONE` or `HEALTHCHECK [flags] CMD …`.
pub(super) fn health_check(node: InstructionNode) -> Result<HealthCheckInstruction, Failure> {
    let NodeArguments::Typed { kind, command } = node.arguments else {
        return Err(invalid("HEALTHCHECK requires at least one argument"));
    };
    let kind = kind.to_ascii_uppercase();
    let empty =
        matches!(&*command, NodeArguments::Words(words) | NodeArguments::Json(words) if words.is_empty());
    if kind == "NONE" {
        return match empty {
            true => Ok(build_check(InstructionFlags::default(), None)),
            false => Err(invalid("HEALTHCHECK NONE takes no arguments")),
        };
    }
    let flags = InstructionFlags::read(&node.flags, &FLAGS)?;
    if kind != "CMD" {
        return Err(invalid(format!("Unknown type \"{}\" in HEALTHCHECK (try CMD)", kind.escape_debug())));
    }
    if empty {
        return Err(invalid("Missing command after HEALTHCHECK CMD"));
    }
    let check = build_check(flags, Some(run::command_line(*command, Vec::new())));
    // Only to report invalid values while parsing; the evaluation parses them again.
    parse_timings(&check)?;
    Ok(check)
}

fn build_check(mut flags: InstructionFlags, command: Option<CommandLine>) -> HealthCheckInstruction {
    HealthCheckInstruction {
        command,
        interval: flags.take_one("interval"),
        timeout: flags.take_one("timeout"),
        start_period: flags.take_one("start-period"),
        start_interval: flags.take_one("start-interval"),
        retries: flags.take_one("retries"),
    }
}

/// Durations are at least 1 ms; 0 means the default.
pub(crate) fn parse_timings(check: &HealthCheckInstruction) -> Result<HealthTimings, Failure> {
    Ok(HealthTimings {
        interval: time("interval", check.interval.as_deref())?,
        timeout: time("timeout", check.timeout.as_deref())?,
        start_period: time("start-period", check.start_period.as_deref())?,
        start_interval: time("start-interval", check.start_interval.as_deref())?,
        retries: retries(check.retries.as_deref())?,
    })
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Duration>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let below = || invalid(format!("Interval \"{name}\" cannot be less than 1ms"));
    // Go's ParseDuration takes a sign; ours does not.
    let (negative, number) = match text.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let time = duration::parse(number)?;
    match time {
        Duration::ZERO => Ok(None),
        _ if negative || time < Duration::from_millis(1) => Err(below()),
        time => Ok(Some(time)),
    }
}

fn retries(text: Option<&str>) -> Result<Option<u32>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let number = text
        .parse::<i32>()
        .map_err(|_| invalid(format!("--retries has to be a number, and not \"{}\"", text.escape_debug())))?;
    match u32::try_from(number) {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(invalid(format!("--retries cannot be negative ({number})"))),
    }
}
