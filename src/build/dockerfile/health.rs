//! Parses `HEALTHCHECK`.

use std::time::Duration;

use super::ast::{Command, HealthCheck};
use super::flags::{Flags, Takes};
use super::node::{Arguments, Node};
use super::run;
use crate::error::{Failure, invalid};
use crate::model::duration;

const FLAGS: [(&str, Takes); 5] = [
    ("interval", Takes::One),
    ("timeout", Takes::One),
    ("start-period", Takes::One),
    ("start-interval", Takes::One),
    ("retries", Takes::One),
];

/// The timing of a health check; `None` means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
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
pub(super) fn health_check(node: Node) -> Result<HealthCheck, Failure> {
    let Arguments::Typed { kind, command } = node.arguments else {
        return Err(invalid("HEALTHCHECK requires at least one argument"));
    };
    let kind = kind.to_ascii_uppercase();
    let empty = matches!(&*command, Arguments::Words(words) | Arguments::Json(words) if words.is_empty());
    if kind == "NONE" {
        return match empty {
            true => Ok(read(Flags::default(), None)),
            false => Err(invalid("HEALTHCHECK NONE takes no arguments")),
        };
    }
    let flags = Flags::read(&node.flags, &FLAGS)?;
    if kind != "CMD" {
        return Err(invalid(format!("Unknown type \"{}\" in HEALTHCHECK (try CMD)", kind.escape_debug())));
    }
    if empty {
        return Err(invalid("Missing command after HEALTHCHECK CMD"));
    }
    let check = read(flags, Some(run::command(*command, Vec::new())));
    // Only to report invalid values while parsing; the evaluation parses them again.
    times(&check)?;
    Ok(check)
}

fn read(mut flags: Flags, command: Option<Command>) -> HealthCheck {
    HealthCheck {
        command,
        interval: flags.one("interval"),
        timeout: flags.one("timeout"),
        start_period: flags.one("start-period"),
        start_interval: flags.one("start-interval"),
        retries: flags.one("retries"),
    }
}

/// Durations are at least 1 ms; 0 means the default.
pub fn times(check: &HealthCheck) -> Result<Times, Failure> {
    Ok(Times {
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
