//! `--ulimit NAME=SOFT[:HARD]`.

use std::str::FromStr;

use crate::container::UlimitSpec;
use dhow_error::{Failure, invalid};

/// The resources of getrlimit(2), by docker's names.
pub(crate) const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl FromStr for UlimitSpec {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let malformed = |why: &str| {
            invalid(format!("invalid ulimit argument `{}`: {why}", text.escape_debug()))
                .hint("NAME=SOFT[:HARD], as in nofile=1024:4096")
        };
        let (name, limits) = text.split_once('=').ok_or_else(|| malformed("`=` is missing"))?;
        if !NAMES.contains(&name) {
            return Err(malformed("no such limit"));
        }
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let number = |text: &str| match text.parse::<i64>() {
            Ok(number) if number >= -1 => Ok(number),
            _ => Err(malformed("a limit is a number, or -1 for none")),
        };
        let (soft, hard) = (number(soft)?, number(hard)?);
        // -1 is unlimited, above any other limit.
        if hard != -1 && (soft == -1 || soft > hard) {
            return Err(malformed("the soft limit must not exceed the hard limit"));
        }
        Ok(Self { name: name.to_owned(), soft, hard })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_or_two_limits() {
        let limit = |text: &str| text.parse::<UlimitSpec>().map(|u| (u.name, u.soft, u.hard));
        assert_eq!(limit("nofile=512:1024").unwrap(), ("nofile".into(), 512, 1024));
        assert_eq!(limit("nofile=1024").unwrap(), ("nofile".into(), 1024, 1024));
        assert_eq!(limit("core=0:-1").unwrap(), ("core".into(), 0, -1));
        assert_eq!(limit("core=-1").unwrap(), ("core".into(), -1, -1));
        for bad in
            ["nofile", "nofile=", "x=1", "nofile=2:1", "nofile=-1:5", "nofile=1:2:3", "nofile=-2", "nofile=a"]
        {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
