//! Log drivers and their options.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bytes;
use super::record::is_default;
use dhow_error::{Failure, invalid, unsupported};

/// `--log-driver` and `--log-opt` as given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSpec {
    /// Empty means the default.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: String,
    #[serde(skip_serializing_if = "is_default")]
    pub options: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDriver {
    /// JSON lines in a file.
    JsonFile,
    /// As json-file, but rotated and compressed by default.
    Local,
    Journald,
    None,
}

impl LogDriver {
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::Journald => "journald",
            Self::None => "none",
        }
    }
}

/// An output of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output; with a TTY, everything.
    Stdout,
    Stderr,
}

impl OutputStream {
    /// As written to logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// 0 for stdout, 1 for stderr.
    pub fn index(self) -> usize {
        usize::from(self == Self::Stderr)
    }
}

/// When log files are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRotation {
    /// In bytes; `None` for unlimited.
    pub max_size: Option<u64>,
    /// Including the current one.
    pub max_files: u32,
    /// Compress rotated files.
    pub compress: bool,
}

/// The parsed options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    pub driver: LogDriver,
    /// Only for drivers that write files.
    pub rotation: LogRotation,
    /// Labels to add to each line.
    pub labels: Vec<String>,
    /// Environment variables to add to each line.
    pub env: Vec<String>,
    /// docker's template for the container's name in the log.
    pub tag: Option<String>,
}

/// docker does not limit a json-file by default. Here a container's logs stop at 100 MB unless told
/// otherwise.
const DEFAULT_SIZE: u64 = 20_000_000;
const DEFAULT_FILES: u32 = 5;

impl LogSpec {
    /// Validates and parses the options.
    pub fn plan(&self) -> Result<LogPlan, Failure> {
        let driver = driver(&self.driver)?;
        let rotation = LogRotation {
            max_size: Some(DEFAULT_SIZE),
            max_files: DEFAULT_FILES,
            compress: driver == LogDriver::Local,
        };
        let mut plan = LogPlan { driver, rotation, labels: Vec::new(), env: Vec::new(), tag: None };
        for (name, value) in &self.options {
            read_option(&mut plan, name, value)?;
        }
        Ok(plan)
    }
}

fn driver(name: &str) -> Result<LogDriver, Failure> {
    Ok(match name {
        "" | "json-file" => LogDriver::JsonFile,
        "local" => LogDriver::Local,
        "journald" => LogDriver::Journald,
        "none" => LogDriver::None,
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
    let writes_files = matches!(driver, LogDriver::JsonFile | LogDriver::Local);
    let carries_extras = matches!(driver, LogDriver::JsonFile | LogDriver::Journald);
    match name {
        // -1 is docker's spelling of unlimited.
        "max-size" if writes_files => {
            plan.rotation.max_size = if value == "-1" { None } else { Some(size(name, value)?) };
        }
        "max-file" if writes_files => plan.rotation.max_files = files(value)?,
        "compress" if writes_files => plan.rotation.compress = switch(name, value)?,
        // The local driver stores no attributes.
        "labels" if carries_extras => plan.labels = list(value),
        "env" if carries_extras => plan.env = list(value),
        "tag" if carries_extras => plan.tag = Some(value.to_owned()).filter(|tag| !tag.is_empty()),
        // Writing a log never blocks the container here, so both modes behave alike and need no buffer.
        "mode" if matches!(value, "blocking" | "non-blocking") => {}
        "mode" => {
            return Err(invalid(format!(
                "log-opt mode '{}': blocking or non-blocking",
                value.escape_debug()
            )));
        }
        // Only validated, for the same reason.
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
        assert_eq!(read.driver, LogDriver::JsonFile);
        assert_eq!(read.rotation, LogRotation { max_size: Some(10 << 10), max_files: 3, compress: false });
        assert_eq!(read.labels, ["a", "b"]);
        assert!(plan("local", &[]).unwrap().rotation.compress);
        assert_eq!(plan("", &[("max-size", "-1")]).unwrap().rotation.max_size, None);
        assert_eq!(plan("none", &[("mode", "non-blocking")]).unwrap().driver, LogDriver::None);
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
