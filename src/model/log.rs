//! Where a container's output is kept: log drivers and their options.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bytes;
use crate::error::{Failure, invalid, unsupported};

/// `--log-driver` and `--log-opt`, as given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSpec {
    /// The driver; empty means the default.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// A driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A line of JSON for each line of output.
    JsonFile,
    /// The same, rotated and compressed by default.
    Local,
    /// The journal of systemd.
    Journald,
    /// Nothing is kept.
    None,
}

impl Driver {
    /// docker's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::Journald => "journald",
            Self::None => "none",
        }
    }
}

/// Which of a container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, and everything of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// 0 for output, 1 for error.
    pub fn index(self) -> usize {
        usize::from(self == Self::Stderr)
    }
}

/// When a file is put aside for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes that a file may have; `None` for any number.
    pub max_size: Option<u64>,
    /// Files that are kept, the current one included.
    pub max_files: u32,
    /// Whether those put aside are compressed.
    pub compress: bool,
}

/// The options read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// The driver.
    pub driver: Driver,
    /// For the drivers that write files.
    pub rotation: Rotation,
    /// Labels that go along with each line.
    pub labels: Vec<String>,
    /// Environment variables that go along with each line.
    pub env: Vec<String>,
    /// A template of docker's for a name of the container in the log.
    pub tag: Option<String>,
}

/// docker leaves a json-file unbounded. Here a chatty container fills 100 MB and not the disk, unless it is asked to.
const DEFAULT_SIZE: u64 = 20_000_000;
const DEFAULT_FILES: u32 = 5;

impl LogSpec {
    /// Checks and reads.
    pub fn plan(&self) -> Result<LogPlan, Failure> {
        let driver = driver(&self.driver)?;
        let rotation = Rotation {
            max_size: Some(DEFAULT_SIZE),
            max_files: DEFAULT_FILES,
            compress: driver == Driver::Local,
        };
        let mut plan = LogPlan { driver, rotation, labels: Vec::new(), env: Vec::new(), tag: None };
        for (name, value) in &self.options {
            read_option(&mut plan, name, value)?;
        }
        Ok(plan)
    }
}

fn driver(name: &str) -> Result<Driver, Failure> {
    Ok(match name {
        "" | "json-file" => Driver::JsonFile,
        "local" => Driver::Local,
        "journald" => Driver::Journald,
        "none" => Driver::None,
        "syslog" | "gelf" | "fluentd" | "awslogs" | "splunk" | "gcplogs" | "logentries" | "etwlogs" => {
            return Err(unsupported(format!("the log driver `{name}` is not in this version of dhow"))
                .hint("one of json-file, local, journald, none"));
        }
        _ => {
            return Err(invalid(format!(
                "logger: no log driver named '{}' is registered",
                name.escape_debug()
            ))
            .hint("one of json-file, local, journald, none"));
        }
    })
}

fn read_option(plan: &mut LogPlan, name: &str, value: &str) -> Result<(), Failure> {
    let driver = plan.driver;
    let writes_files = matches!(driver, Driver::JsonFile | Driver::Local);
    let carries_extras = matches!(driver, Driver::JsonFile | Driver::Journald);
    match name {
        "max-size" if writes_files => {
            plan.rotation.max_size = if value == "-1" { None } else { Some(size(name, value)?) };
        }
        "max-file" if writes_files => plan.rotation.max_files = files(value)?,
        "compress" if writes_files => plan.rotation.compress = switch(name, value)?,
        "labels" if carries_extras => plan.labels = list(value),
        "env" if carries_extras => plan.env = list(value),
        "tag" if carries_extras => plan.tag = Some(value.to_owned()).filter(|tag| !tag.is_empty()),
        // What is written never waits for anybody here, so both modes are the same and no buffer is needed.
        "mode" if matches!(value, "blocking" | "non-blocking") => {}
        "mode" => {
            return Err(invalid(format!(
                "log-opt mode '{}': blocking or non-blocking",
                value.escape_debug()
            )));
        }
        "max-buffer-size" => drop(size(name, value)?),
        "labels-regex" | "env-regex" if carries_extras => {
            return Err(unsupported(format!("log-opt {name} is not in this version of dhow"))
                .hint("name the labels or variables one by one with labels= or env="));
        }
        _ => {
            return Err(invalid(format!(
                "unknown log opt '{}' for {} log driver",
                name.escape_debug(),
                driver.name()
            )));
        }
    }
    Ok(())
}

fn size(name: &str, value: &str) -> Result<u64, Failure> {
    match bytes::parse(value) {
        Ok(1..) => Ok(bytes::parse(value)?),
        _ => Err(invalid(format!("log-opt {name}: invalid size '{}'", value.escape_debug()))
            .hint("a size such as 10m, or -1 for max-size without limit")),
    }
}

fn files(value: &str) -> Result<u32, Failure> {
    value.parse().ok().filter(|number| (1..=1000).contains(number)).ok_or_else(|| {
        invalid(format!("log-opt max-file: '{}' is not a number from 1 to 1000", value.escape_debug()))
    })
}

fn switch(name: &str, value: &str) -> Result<bool, Failure> {
    value
        .parse()
        .map_err(|_| invalid(format!("log-opt {name}: '{}' is neither true nor false", value.escape_debug())))
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(driver: &str, options: &[(&str, &str)]) -> Result<LogPlan, Failure> {
        let options = options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        LogSpec { driver: driver.into(), options }.plan()
    }

    #[test]
    fn options_of_the_drivers() {
        let read = plan("", &[("max-size", "10k"), ("max-file", "3"), ("labels", "a, b")]).unwrap();
        assert_eq!(read.driver, Driver::JsonFile);
        assert_eq!(read.rotation, Rotation { max_size: Some(10 << 10), max_files: 3, compress: false });
        assert_eq!(read.labels, ["a", "b"]);
        assert!(plan("local", &[]).unwrap().rotation.compress);
        assert_eq!(plan("", &[("max-size", "-1")]).unwrap().rotation.max_size, None);
        assert_eq!(plan("none", &[("mode", "non-blocking")]).unwrap().driver, Driver::None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (driver, options) in [
            ("what", &[][..]),
            ("syslog", &[]),
            ("none", &[("max-size", "1m")]),
            ("json-file", &[("max-size", "big")]),
            ("json-file", &[("max-size", "0")]),
            ("json-file", &[("max-file", "0")]),
            ("local", &[("tag", "x")]),
            ("json-file", &[("mode", "sometimes")]),
            ("json-file", &[("env-regex", "^x")]),
        ] {
            assert!(plan(driver, options).is_err(), "{driver} {options:?}");
        }
    }
}
